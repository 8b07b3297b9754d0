"""Figures → metric families of Prometheus, by its rules for names and units.

The job's label is not `job`: Prometheus gives that name to what it collects from, and renames ours.
"""

from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from bulk_delete.metrics.figures import BUCKETS, Execution, Latency, Verdict

LABEL = "job_name"
LAST_SUCCESS = "bulk_delete_last_success_timestamp_seconds"

_OF_THIS = "in the last execution alone: a resume begins at 0 again"


def of_execution(now: Execution) -> list[Metric]:
    """Return what an execution shows of itself."""
    job = [now.job]
    rows = _gauge(
        "bulk_delete_input_rows", f"Rows of the input by where they went, {_OF_THIS}.", "part"
    )
    for part, count in now.rows.items():
        rows.add_metric([*job, part], count)
    runs = _gauge("bulk_delete_runs", f"Planned runs by what became of them, {_OF_THIS}.", "state")
    for state, count in now.runs.items():
        runs.add_metric([*job, state], count)
    calls = CounterMetricFamily(
        "bulk_delete_calls",
        f"Calls by what they were for and the reply's status, {_OF_THIS}.",
        labels=[LABEL, "kind", "status"],
    )
    for (kind, status), count in sorted(now.tally.calls.items()):
        calls.add_metric([*job, kind, status], count)
    held = _gauge("bulk_delete_held", "1 while no call may leave, by what holds them.", "by")
    for by, holds in now.held.items():
        held.add_metric([*job, by], int(holds))
    return [
        _one(now.job, "bulk_delete_running", "1 while an execution runs.", int(now.running)),
        _one(
            now.job,
            "bulk_delete_start_timestamp_seconds",
            "When the last execution started.",
            now.began,
        ),
        _one(
            now.job,
            "bulk_delete_update_timestamp_seconds",
            "When the figures of the last execution were written; old while it is said to run: "
            "its process is dead.",
            now.at,
        ),
        _one(
            now.job,
            "bulk_delete_duration_seconds",
            "How long the last execution has taken.",
            now.seconds,
        ),
        rows,
        runs,
        calls,
        held,
        _counter(
            now.job,
            "bulk_delete_retries",
            f"Attempts that settled nothing, {_OF_THIS}.",
            now.retries,
        ),
        _counter(
            now.job,
            "bulk_delete_throttled_seconds",
            f"Seconds for which the API held all calls (429 and Retry-After), {_OF_THIS}.",
            now.throttled_s,
        ),
        _one(now.job, "bulk_delete_calls_in_flight", "Deletions on their way.", now.in_flight),
        _one(
            now.job,
            "bulk_delete_pace_calls_per_second",
            "The rate that is kept to; below the limit where it has given way.",
            now.pace,
        ),
        _one(
            now.job,
            "bulk_delete_pace_limit_calls_per_second",
            "The rate that was set.",
            now.limit,
        ),
        _latency(now.job, now.tally.latency),
    ]


def of_verdict(verdict: Verdict, last_success: float) -> list[Metric]:
    """Return how the last start of a job ended; `last_success` is 0 where none is known."""
    job = verdict.job
    return [
        _one(
            job,
            "bulk_delete_last_exit_code",
            "Exit code of the last start, also of one that sent nothing.",
            verdict.exit_code,
        ),
        _one(
            job,
            "bulk_delete_last_end_timestamp_seconds",
            "When the last start ended, also one that sent nothing.",
            verdict.at,
        ),
        _one(
            job,
            LAST_SUCCESS,
            "When a start last ended with exit code 0; 0: never, as far as this file tells.",
            last_success,
        ),
    ]


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=[LABEL, *labels])


def _one(job: str, name: str, words: str, value: float) -> Metric:
    family = _gauge(name, words)
    family.add_metric([job], value)
    return family


def _counter(job: str, name: str, words: str, value: float) -> Metric:
    family = CounterMetricFamily(name, words, labels=[LABEL])
    family.add_metric([job], value)
    return family


def _latency(job: str, latency: Latency) -> Metric:
    family = HistogramMetricFamily(
        "bulk_delete_call_duration_seconds",
        f"Time from a call's leaving to its reply, or to its being given up, {_OF_THIS}.",
        labels=[LABEL],
    )
    bounds = [*map(str, BUCKETS), "+Inf"]
    sums = accumulate(latency.counts)
    family.add_metric([job], list(zip(bounds, sums, strict=True)), latency.seconds)
    return family
