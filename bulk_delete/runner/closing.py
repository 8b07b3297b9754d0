"""The end of an execution: what ruled, the books as the disk tells them, the files, the summary."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from bulk_delete import events, report
from bulk_delete.errors import (
    Bug,
    Ending,
    Incomplete,
    Interrupted,
    InvalidInput,
    JournalFailed,
    gravest,
)
from bulk_delete.folder import write_whole
from bulk_delete.journal.reader import read
from bulk_delete.journal.writer import Journal
from bulk_delete.ledger import Ledger
from bulk_delete.model import Books, State
from bulk_delete.runner.job import Job

ALL_DONE = "every run is deleted"
NOTHING_TO_DO = "nothing to do"

_LEFT = (State.UNSENT, State.IN_DOUBT)


async def close_books(
    job: Job, journal: Journal, execution: str, endings: list[Ending], seconds: float
) -> report.Summary:
    """Read the journal back, write the files and the last line; return what both say."""
    with contextlib.suppress(JournalFailed):
        await journal.durable()
    live = on_disk = job.history.ledger
    try:
        on_disk = read(job.folder.journal).ledger
    except InvalidInput as error:
        endings = [*endings, JournalFailed(error.reason)]
    planned = job.todo.plan
    states = on_disk.count(planned.chunks())
    if not any(isinstance(ending, JournalFailed) for ending in endings) and states != live.count(
        planned.chunks()
    ):
        endings = [*endings, Bug(f"{job.folder.journal} does not say what was done; keep it")]
    books = Books(job.todo.counts, states)
    endings = _endings(job, books, on_disk, endings)
    try:
        _write_lists(job, on_disk)
    except JournalFailed as failure:
        endings = [*endings, failure]
    try:
        journal.write(_last_line(gravest(endings), books, seconds))
        await journal.durable()
    except JournalFailed as failure:
        endings = [*endings, failure]
    summary = _summary(job, execution, gravest(endings), books, on_disk, seconds)
    with contextlib.suppress(JournalFailed):  # the journal is the record, and no summary is no lie
        write_whole(job.folder.summary, [report.as_json(summary.as_dict())])
    return summary


def _endings(job: Job, books: Books, ledger: Ledger, endings: list[Ending]) -> list[Ending]:
    """Add what the books say to what ended the engine."""
    states = books.states
    left = sum(states.get(state, 0) for state in _LEFT)
    if not left:
        # A signal that came when all was done has ended nothing.
        endings = [ending for ending in endings if not isinstance(ending, Interrupted)]
    elif not endings:
        endings = [Bug(f"{left:,} pairs were left without an outcome; report this")]
    if not books.balanced:
        endings = [*endings, Bug(f"the books do not balance: {books.as_dict()}; report this")]
    parts = {
        "failed": states.get(State.FAILED, 0),
        "unknown": states.get(State.UNKNOWN, 0),
        "withheld": states.get(State.WITHHELD, 0),
        "skipped": books.intake.skipped,
        "rejected": books.intake.rejected,
        "in doubt, left over from an earlier plan": job.leftover.doubts(ledger),
    }
    if any(parts.values()):
        told = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        endings = [*endings, Incomplete(f"ended, but not every run is deleted: {told}")]
    return endings


def _last_line(ending: Ending | None, books: Books, seconds: float) -> events.JobFinished:
    return events.JobFinished(
        outcome=ending.outcome if ending else Ending.outcome,
        exit_code=ending.exit_code if ending else Ending.exit_code,
        reason=_reason(ending, books),
        counts=books.as_dict(),
        seconds=seconds,
    )


def _reason(ending: Ending | None, books: Books) -> str:
    if ending:
        return ending.reason
    return ALL_DONE if books.intake.planned else NOTHING_TO_DO


def _write_lists(job: Job, ledger: Ledger) -> None:
    """Write `failed.csv` and `unknown.csv`, of all pairs that the inputs ask for."""
    for path, state in ((job.folder.failed, State.FAILED), (job.folder.unknown, State.UNKNOWN)):
        pairs = ledger.in_state(job.intake.plan.chunks(), state)
        write_whole(path, report.verdict_rows((pair, ledger.told(pair)) for pair in pairs))


def _summary(
    job: Job,
    execution: str,
    ending: Ending | None,
    books: Books,
    ledger: Ledger,
    seconds: float,
) -> report.Summary:
    folder = job.folder
    listed = (folder.broken, folder.rejects, folder.failed, folder.unknown, folder.leftover)
    files = (folder.journal.name, *(path.name for path in listed if path.exists()))
    return report.Summary(
        job=job.name,
        execution=execution,
        outcome=ending.outcome if ending else Ending.outcome,
        exit_code=ending.exit_code if ending else Ending.exit_code,
        reason=_reason(ending, books),
        counts=books.as_dict(),
        calls=ledger.calls - job.calls_before,
        retries=ledger.retries - job.retries_before,
        seconds=seconds,
        fingerprint=job.intake.plan.figures.fingerprint,
        base_url=job.order.settings.api.base_url,
        folder=str(folder.path),
        files=files,
        next=_next(job, ending, books.states, ledger),
    )


def _next(
    job: Job, ending: Ending | None, states: Mapping[State, int], ledger: Ledger
) -> str | None:
    """Say what to type next; None when nothing is left to do."""
    if ending is None or isinstance(ending, Bug):
        return None
    settings = job.order.settings
    again = report.command("resume", (job.name,), settings)
    if not isinstance(ending, Incomplete):
        return again
    if job.leftover.doubts(ledger, job.protection):
        left = str(job.folder.leftover)
        return report.command("run", (left,), settings, name=job.name)
    if states.get(State.FAILED, 0) or job.todo.counts.skipped:
        return f"look at {job.folder.failed}, then {again}"
    if states.get(State.UNKNOWN, 0):
        return again
    return f"look at {_left_out(job, states)}"


def _left_out(job: Job, states: Mapping[State, int]) -> Path | None:
    """Name the file that tells why the rest was left out."""
    if states.get(State.WITHHELD, 0) or not job.todo.counts.rejected:
        return job.order.settings.guards.protect
    return job.folder.rejects
