"""Keeps a metrics file while a job runs, and tells in it how each start ended.

A disk may stand still, so all of it is done in a courier's thread.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bulk_delete import report
from bulk_delete.metrics import Execution, Verdict
from bulk_delete.model import State
from bulk_delete.runner.job import Job
from bulk_delete.runner.watching import Progress

_PARTS = ("rejected", "duplicates", "protected", "already_done", "skipped", "planned")
"""Where the rows of an input may go; together they are all of them."""


class Keeper:
    """A watcher that writes the file now and then. A file that cannot be written is told once."""

    def __init__(
        self,
        path: Path,
        job: str,
        every_s: float,
        log: Callable[[str, str, Mapping[str, Any]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.interval_s = min(every_s, 1.0)
        self._path = path
        self._job = job
        self._every_s = every_s
        self._log_line = log
        self._clock = clock
        self._told = self._is_over = False
        self._began = self._written_at = 0.0
        self._counts: Mapping[str, int] = {}
        self._latest = Progress(0, {}, 0, 0, 0, 0.0, None, 0.0, None, None, "")

    def begin(self, job: Job, log: Callable[[str, str, Mapping[str, Any]], None]) -> None:
        """Tell that an execution runs."""
        self._log_line = log
        self._began = self._clock()
        self._counts = job.todo.counts._asdict()
        rate, planned = job.order.settings.limits.rate.per_second, job.todo.plan.figures.runs
        runs = {State.UNSENT: planned - job.todo.doubted, State.IN_DOUBT: job.todo.doubted}
        self._latest = Progress(
            planned, runs, 0, 0, 0, 0.0, None, 0.0, None, None, "", pace=rate, limit=rate
        )
        self._write_progress(running=True)

    def show(self, progress: Progress) -> None:
        self._latest = progress
        if not self._is_over and self._clock() - self._written_at >= self._every_s:
            self._write_progress(running=True)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass

    def finish(
        self,
        summary: report.Summary | None,
        log: Callable[[str, str, Mapping[str, Any]], None],
    ) -> None:
        """Tell that the execution is over; the books rule over what was seen while it ran."""
        self._log_line = log
        self._is_over = True
        if summary is None:
            self._write_progress(running=False)
            return
        runs = {state.value: summary.counts[state.value] for state in State}
        self._write_execution(
            summary.counts, runs, summary.retries, running=False, seconds=summary.seconds
        )

    def judge(self, exit_code: int) -> None:
        """Tell how a start ended, whether it came to an execution or not."""
        self._write(Verdict(self._job, exit_code, self._clock()))

    def _write_progress(self, *, running: bool) -> None:
        runs = {state.value: self._latest.runs.get(state, 0) for state in State}
        self._write_execution(self._counts, runs, self._latest.retries, running=running)

    def _write_execution(
        self,
        counts: Mapping[str, int],
        runs: Mapping[str, int],
        retries: int,
        *,
        running: bool,
        seconds: float | None = None,
    ) -> None:
        latest, now = self._latest, self._clock()
        self._written_at = now
        self._write(
            Execution(
                job=self._job,
                running=running,
                began=self._began,
                at=now,
                seconds=now - self._began if seconds is None else seconds,
                rows={part: counts[part] for part in _PARTS},
                runs=runs,
                retries=retries,
                in_flight=latest.in_flight if running else 0,
                pace=latest.pace,
                limit=latest.limit,
                throttled_s=latest.throttled_s,
                held={
                    "operator": running and latest.paused,
                    "schedule": running and latest.shut is not None,
                    "outage": running and latest.outage,
                },
                tally=latest.tally,
            )
        )

    def _write(self, told: Execution | Verdict) -> None:
        try:
            from bulk_delete.metrics.textfile import write  # noqa: PLC0415 - hardly anybody needs it

            other = write(self._path, told)
        except Exception as error:  # noqa: BLE001 - nothing that goes wrong with it ends a job
            why = error.strerror if isinstance(error, OSError) else None
            self._tell_once("metrics.unwritable", {"reason": why or type(error).__name__})
        else:
            if other:
                self._tell_once("metrics.shared", {"with": other, "cure": "put {job} in its name"})

    def _tell_once(self, event: str, fields: Mapping[str, str]) -> None:
        if not self._told:
            self._told = True
            self._log_line("error", event, {"file": str(self._path), **fields})
