"""How jobs stand, for a screen, for a line of text and for scripts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bulk_delete.model import State
from bulk_delete.plain import printable
from bulk_delete.report.words import duration, many

JobState = Literal[
    "starting",
    "running",
    "paused",
    "held",
    "stopping",
    "closing",
    "verifying",
    "repairing",
    "done",
    "interrupted",
    "failed",
    "dead",
    "unreadable",
]

_OVER = {"done", "interrupted", "failed", "dead", "unreadable"}
_HEAD = ("JOB", "STATE", "DELETED", "OF", "RATE", "LEFT", "SEEN", "LAST ERROR")
_RIGHT = {"DELETED", "OF", "RATE"}
_SHOWN_ERROR = 60


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands, as far as its folder tells; figures are those of its last execution.

    Times are RFC 3339 in UTC, `age_s` is how old the figures are. `paused` has `by`, `at` and
    `reason`; of a job that does not run it says that the next start will wait. `journal` tells of
    its last line, `counted` is the line up to which the figures go. `refused` tells of a start
    since then that sent nothing: `at`, `outcome`, `exit_code` and `reason`, which are the job's.
    """

    job: str
    state: JobState
    folder: str
    pid: int | None = None
    host: str | None = None
    since: str | None = None
    execution: str | None = None
    base_url: str | None = None
    fingerprint: str | None = None
    began: str | None = None
    updated: str | None = None
    age_s: float | None = None
    planned: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    calls: int | None = None
    retries: int | None = None
    in_flight: int | None = None
    calls_per_s: float | None = None
    limit: str | None = None
    lowered_to: float | None = None
    eta_s: float | None = None
    held_until: str | None = None
    held_by: str | None = None
    paused: Mapping[str, str] | None = None
    stopping: str | None = None
    last_error: str | None = None
    outcome: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    refused: Mapping[str, Any] | None = None
    journal: Mapping[str, Any] | None = None
    counted: int | None = None
    files: tuple[str, ...] = ()
    next: str | None = None

    @property
    def is_over(self) -> bool:
        return self.state in _OVER

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def statuses_text(jobs: Iterable[JobStatus]) -> str:
    """Write a line for each job, in columns."""
    rows = [_HEAD, *(_row(job) for job in jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines) + "\n"


def status_text(job: JobStatus) -> str:
    """Write all that matters of one job."""
    runs = [f"{count:,} {name.replace('_', ' ')}" for name, count in job.counts.items() if count]
    calls = f"{job.calls:,}" if job.calls is not None else None
    if calls and job.retries:
        calls += f", {many(job.retries, 'retry', 'retries')}"
    if calls and job.in_flight and not job.is_over:
        calls += f", {job.in_flight} in flight"
    told = {
        "state": _state(job),
        "runs": f"{job.planned:,} planned: {', '.join(runs)}" if job.planned is not None else None,
        "calls": calls,
        "rate": _rate_of(job),
        "left": duration(job.eta_s) if job.eta_s is not None and not job.is_over else None,
        "paused": _asked(job.paused),
        "held": job.held_by if not job.is_over else None,
        "stopping": job.stopping if not job.is_over else None,
        "reason": job.reason if not job.refused or job.state == "dead" else None,
        "last start": _sent_nothing(job.refused),
        "last error": job.last_error,
        "process": f"pid {job.pid} on {job.host} since {job.since}" if job.pid else None,
        "figures": f"of {job.updated}, {_ago(job)}{_uncounted(job)}" if job.updated else None,
        "journal": _last_line(job.journal),
        "folder": f"{job.folder}" + (f": {', '.join(job.files)}" if job.files else ""),
    }
    lines = [f"Job {printable(job.job)}"]
    lines += [f"  {name:<12} {printable(value)}" for name, value in told.items() if value]
    if job.next:
        lines.append(f"Next: {printable(job.next)}")
    return "\n".join(lines) + "\n"


def status_line(job: JobStatus) -> str:
    """Write how a job stands on one line, without what changes by itself as time goes by."""
    words = [f"{job.job}: {_state(job)}"]
    if job.planned is not None:
        words.append(f"{job.counts.get(State.DELETED.value, 0):,}/{job.planned:,} deleted")
        words += [
            f"{job.counts[state.value]:,} {state.value}"
            for state in (State.FAILED, State.UNKNOWN)
            if job.counts.get(state.value)
        ]
    if not job.is_over:
        words += [_rate_of(job)] if job.limit else []
        words += [f"{duration(job.eta_s)} left"] if job.eta_s is not None else []
    if error := _error(job):
        words.append(f"last: {error[:_SHOWN_ERROR]}")
    return printable(" · ".join(words)) + "\n"


def _row(job: JobStatus) -> tuple[str, ...]:
    done = job.counts.get(State.DELETED.value, 0)
    cells = (
        job.job,
        _state(job),
        f"{done:,}" if job.planned is not None else "",
        f"{job.planned:,}" if job.planned is not None else "",
        f"{job.calls_per_s:.1f}/s" if job.calls_per_s is not None and not job.is_over else "",
        duration(job.eta_s) if job.eta_s is not None and not job.is_over else "",
        _ago(job) if job.age_s is not None else "",
        _error(job)[:_SHOWN_ERROR],
    )
    return tuple(map(printable, cells))


def _error(job: JobStatus) -> str:
    return job.refused["reason"] if job.refused else job.last_error or ""


def _state(job: JobStatus) -> str:
    """Say the state as people do, with what belongs to it."""
    match job.state:
        case "held" if job.held_until:
            return f"held until {job.held_until}"
        case "held":
            return "held: nobody answers"
        case "dead":
            return "dead: its process is gone"
        case "failed" | "interrupted" if job.exit_code is not None:
            state = f"{job.state} ({job.exit_code})"
        case _:
            state = job.state
    return f"{state}, to be paused" if job.paused and job.is_over else state


def _rate_of(job: JobStatus) -> str:
    if job.limit is None:
        return ""
    lowered = f", lowered to {job.lowered_to:.3g}/s" if job.lowered_to else ""
    real = f"{job.calls_per_s:.1f} calls/s of " if job.calls_per_s and job.state != "paused" else ""
    return f"{real}{job.limit}{lowered}"


def _asked(paused: Mapping[str, str] | None) -> str | None:
    if paused is None:
        return None
    why = f": {paused['reason']}" if paused["reason"] else ""
    return f"by {paused['by']} at {paused['at']}{why}"


def _sent_nothing(refused: Mapping[str, Any] | None) -> str | None:
    if refused is None:
        return None
    code, when = refused["exit_code"], refused["at"]
    return f"at {when} ended with {code} and sent nothing: {refused['reason']}"


def _last_line(journal: Mapping[str, Any] | None) -> str | None:
    if journal is None:
        return None
    return f"{many(journal['lines'], 'line')}, the last {journal['event']} at {journal['at']}"


def _uncounted(job: JobStatus) -> str:
    """Tell how much more the journal of a dead job knows; of a running one it is a moment's."""
    last = (job.journal or {}).get("lines")
    if job.state != "dead" or not job.counted or not isinstance(last, int) or last <= job.counted:
        return ""
    return f"; the journal has {many(last - job.counted, 'line')} more"


def _ago(job: JobStatus) -> str:
    return f"{duration(job.age_s or 0.0)} ago"
