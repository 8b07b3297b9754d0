"""How the jobs of a state folder stand. Reads only, and takes no lock that a start could meet.

Imports nothing large: `status` is to be there at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bulk_delete.config import Api, Settings
from bulk_delete.control import (
    Ask,
    End,
    Live,
    UnreadableError,
    age_s,
    get,
    read_control,
    read_live,
    read_refusal,
    stamp_of,
)
from bulk_delete.errors import Interrupted, Stopped
from bulk_delete.folder import JobFolder
from bulk_delete.journal.ending import last_lines
from bulk_delete.lock import holder_of
from bulk_delete.model import State
from bulk_delete.report import JobState, JobStatus, command
from bulk_delete.runner.presence import Running, has_begun, is_known, jobs_in, running

_ENDS = {"job.started", "job.finished", "batch.sent"}
"""Events that tell whether a job has ended: the last of them does."""

_DOING: dict[str, JobState] = {"verify": "verifying", "repair": "repairing"}


def overview(state: Path, settings: Settings) -> list[JobStatus]:
    """Tell how all jobs stand. Raises InvalidInput."""
    found = (status_of(folder, settings) for folder in jobs_in(state))
    return [status for status in found if status]


def status_of(folder: JobFolder, settings: Settings) -> JobStatus | None:
    """Tell how a job stands; None where there is none. `settings` tell where that is."""
    try:
        now = running(folder)
        if not now and not is_known(folder):
            return None
        status = _status(folder, now)
    except OSError as error:
        why = error.strerror or str(error)
        return JobStatus(folder.job, "unreadable", str(folder.path), last_error=why)
    if status.next:
        return status
    verb = _next(status)
    if verb is None:
        return status
    api = Api(base_url=status.base_url) if verb == "resume" and status.base_url else Api()
    settings = replace(Settings(), state=settings.state, api=api)
    return replace(status, next=command(verb, (folder.job,), settings))


def _next(status: JobStatus) -> str | None:
    if status.paused:
        return "continue"
    if status.refused or status.state in {"done", "unreadable"}:
        return None
    return "resume" if status.is_over else None


def _status(folder: JobFolder, now: Running | None) -> JobStatus:
    lines = last_lines(folder.journal) if folder.journal.exists() else []
    paused, trouble = _pause_of(folder)
    if now is None or now.holder.doing in _DOING:
        status = _refused(folder, _at_rest(folder, lines))
    elif now.live is None:
        status = JobStatus(folder.job, "starting", str(folder.path))
    else:
        state = "starting" if now.live.state == "over" else now.live.state
        status = _figures(folder, state, now.live)
        paused = now.live.paused
    if now:
        holder = now.holder
        status = replace(
            status,
            state=_DOING.get(holder.doing, status.state),
            pid=holder.pid,
            host=holder.host,
            since=holder.since,
            execution=holder.execution,
        )
    listed = (folder.rejects, folder.failed, folder.unknown, folder.leftover, folder.still_there)
    return replace(
        status,
        paused=msgspec.structs.asdict(paused) if paused else None,
        next=None if paused else status.next,
        last_error=status.last_error or trouble,
        journal=_last(lines),
        files=tuple(path.name for path in listed if path.exists()),
    )


def _pause_of(folder: JobFolder) -> tuple[Ask | None, str | None]:
    """Return the pause that is asked for, and what keeps it from being seen."""
    try:
        return read_control(folder.control).pause, None
    except UnreadableError as error:
        return None, str(error)


def _at_rest(folder: JobFolder, lines: list[dict[str, Any]]) -> JobStatus:
    """Tell how a job stands that nobody holds, or that is only being looked at."""
    live, holder = read_live(folder.live), holder_of(folder.lock)
    if holder and holder.doing == "run" and (live is None or live.execution != holder.execution):
        why = f"pid {holder.pid} on {holder.host} was gone before its first call"
        return JobStatus(folder.job, "dead", str(folder.path), reason=why, began=holder.since)
    summary = _summary(folder, live)
    end = _end(live, summary, lines)
    state = _state_after(end)
    status = JobStatus(folder.job, state, str(folder.path))
    if live:
        status = replace(
            _figures(folder, state, live),
            in_flight=None,
            calls_per_s=None,
            eta_s=None,
            held_until=None,
            held_by=None,
            stopping=None,
            next=live.resume if state == "dead" else None,
        )
    if summary:
        status = replace(status, **summary)
    if end:
        status = replace(status, outcome=end.outcome, exit_code=end.exit_code, reason=end.reason)
    return status


def _refused(folder: JobFolder, status: JobStatus) -> JobStatus:
    """Tell of a start after the last execution that sent nothing, if there was one."""
    refusal = read_refusal(folder.refused)
    last = status.updated or status.began
    if refusal is None or (last and refusal.at < last):
        return status
    status = replace(status, refused=msgspec.structs.asdict(refusal))
    if status.state == "dead" and has_begun(folder):
        return status  # which matters more: what was in flight is in doubt
    status = replace(status, next=None)  # it would do what was just refused
    end = End(refusal.outcome, refusal.exit_code, refusal.reason)
    return replace(
        status,
        state=_state_after(end),
        outcome=end.outcome,
        exit_code=end.exit_code,
        reason=end.reason,
    )


def _end(
    live: Live | None, summary: Mapping[str, Any] | None, lines: list[dict[str, Any]]
) -> End | None:
    """Return how the last execution ended, as told by whichever file tells; None if none does."""
    if live and live.end:
        return live.end
    told: Mapping[str, Any] | None = summary
    if told is None:
        began = live.began if live else ""
        told = next((line for line in reversed(lines) if line.get("event") in _ENDS), None)
        if told is None or told["event"] != "job.finished" or str(told.get("ts")) < began:
            return None
    try:
        return msgspec.convert(told, End)
    except msgspec.ValidationError:
        return None


def _summary(folder: JobFolder, live: Live | None) -> dict[str, Any] | None:
    """Return what `summary.json` tells, where it is about the execution that was last."""
    try:
        found = msgspec.json.decode(get(folder.summary), type=_Summary)
        written = folder.summary.stat().st_mtime
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if live and live.execution != found.execution:
        return None
    told = msgspec.structs.asdict(found)
    told["planned"] = found.counts.get("planned")
    states = [state.value for state in State]
    told["counts"] = {name: found.counts[name] for name in states if name in found.counts}
    if live is None:
        told["updated"] = stamp_of(datetime.fromtimestamp(written, UTC))
        told["age_s"] = round(age_s(told["updated"]), 1)
    return told


class _Summary(msgspec.Struct, frozen=True):
    execution: str
    outcome: str
    exit_code: int
    reason: str
    counts: dict[str, int]
    calls: int
    retries: int
    fingerprint: str
    base_url: str
    next: str | None


def _state_after(end: End | None) -> JobState:
    if end is None:
        return "dead"
    if end.exit_code == 0:
        return "done"
    on_purpose = end.outcome in {Stopped.outcome, Interrupted.outcome}
    return "interrupted" if on_purpose else "failed"


def _figures(folder: JobFolder, state: JobState, live: Live) -> JobStatus:
    return JobStatus(
        job=folder.job,
        state=state,
        folder=str(folder.path),
        execution=live.execution,
        base_url=live.base_url,
        fingerprint=live.fingerprint,
        began=live.began,
        updated=live.at,
        age_s=round(age_s(live.at), 1),
        planned=live.planned,
        counts=live.runs,
        calls=live.calls,
        retries=live.retries,
        in_flight=live.in_flight,
        calls_per_s=live.calls_per_s,
        limit=live.limit,
        lowered_to=live.lowered_to,
        eta_s=live.eta_s,
        held_until=live.held_until,
        held_by=live.held_by,
        stopping=live.stopping,
        last_error=live.trouble or None,
        counted=live.lines,
    )


def _last(lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Tell of a journal's last line."""
    if not lines:
        return None
    return {"lines": lines[-1].get("n"), "event": lines[-1].get("event"), "at": lines[-1].get("ts")}
