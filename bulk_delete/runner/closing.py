"""The end of an execution: what ruled, the books as the disk tells them, the files, the summary."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bulk_delete import events, report
from bulk_delete.errors import (
    Bug,
    Ending,
    Incomplete,
    Interrupted,
    InvalidInput,
    JournalFailed,
    Stopped,
    gravest,
    out_of_memory,
)
from bulk_delete.folder import write_whole
from bulk_delete.journal.reader import read
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.model import Books, State
from bulk_delete.runner.following import Follower
from bulk_delete.runner.job import Job, resume_command
from bulk_delete.runner.standings import Standings
from bulk_delete.store import ScratchError, States, states_told

ALL_DELETED = "every run is deleted"
ALL_DONE = "every run is deleted, or proven gone"
NOTHING_TO_DO = "nothing to do"

_LEFT = (State.UNSENT, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was done, as the journal on the disk tells it.

    `states` are those of the planned pairs; `doubts` counts the pairs left over from earlier plans
    of which nobody knows whether they are deleted, `sendable` those of them that may be sent.
    """

    states: Mapping[State, int]
    calls: int
    retries: int
    doubts: int = 0
    sendable: int = 0


async def close_books(
    job: Job,
    journal: Journal,
    follower: Follower,
    execution: str,
    standings: Standings,
    endings: list[Ending],
    seconds: float,
) -> report.Summary:
    """Read the journal back, write the files and the last line; return what both say.

    Only where the journal cannot be read back as far as it was written, the books are what the
    engine told.
    """
    with contextlib.suppress(JournalFailed):
        await journal.durable()
    outcome = _Outcome(standings.runs, standings.calls, standings.retries)
    try:
        history, states = follower.books() or states_told(
            lambda sink: read(job.folder.journal, sink), job.scratch, job.intake.plan
        )
        with contextlib.closing(states):
            if history.end != journal.end and not _failed(endings):
                wrong = Bug(f"{job.folder.journal} does not say what was done; keep it")
                endings = [*endings, wrong]
            if history.end.lines >= journal.synced.lines:
                outcome = _outcome(job, history, states)
                _write_lists(job, states)
    except (InvalidInput, ScratchError) as error:
        endings = [*endings, JournalFailed(str(error))]
    except JournalFailed as failure:
        endings = [*endings, failure]
    except Exception as error:
        short = out_of_memory(error)
        if short is None:
            raise
        endings = [*endings, short]
    books = Books(job.todo.counts, outcome.states)
    endings = _endings(books, outcome, endings)
    try:
        journal.write(_last_line(gravest(endings), books, seconds))
        await journal.durable()
    except JournalFailed as failure:
        endings = [*endings, failure]
    summary = _summary(job, execution, gravest(endings), books, outcome, seconds)
    with contextlib.suppress(JournalFailed):  # the journal is the record, and no summary is no lie
        write_whole(job.folder.summary, [report.as_json(summary.as_dict())])
    return summary


def _failed(endings: list[Ending]) -> bool:
    return any(isinstance(ending, JournalFailed) for ending in endings)


def _outcome(job: Job, history: History, states: States) -> _Outcome:
    return _Outcome(
        states=states.count_plan(job.todo.plan),
        calls=history.calls - job.history.calls,
        retries=history.retries - job.history.retries,
        doubts=job.leftover.doubts(states),
        sendable=job.leftover.doubts(states, job.protection),
    )


def _endings(books: Books, outcome: _Outcome, endings: list[Ending]) -> list[Ending]:
    """Add what the books say to what ended the engine."""
    states = books.states
    left = sum(states.get(state, 0) for state in _LEFT)
    if not left:
        # A signal or a stop that came when all was done has ended nothing.
        endings = [ending for ending in endings if not isinstance(ending, Interrupted | Stopped)]
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
        "in doubt, left over from an earlier plan": outcome.doubts,
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
    if not books.intake.planned:
        return NOTHING_TO_DO
    return ALL_DONE if books.states.get(State.GONE, 0) else ALL_DELETED


def _write_lists(job: Job, states: States) -> None:
    """Write `failed.csv` and `unknown.csv`, of all pairs that the inputs ask for."""
    for path, state in ((job.folder.failed, State.FAILED), (job.folder.unknown, State.UNKNOWN)):
        found = states.in_state(job.intake.plan, state)
        write_whole(path, report.verdict_rows(states.told(found)))


def _summary(
    job: Job,
    execution: str,
    ending: Ending | None,
    books: Books,
    outcome: _Outcome,
    seconds: float,
) -> report.Summary:
    folder = job.folder
    listed = (folder.broken, folder.rejects, folder.failed, folder.unknown, folder.leftover)
    files = tuple(path.name for path in (folder.journal, *listed) if path.exists())
    return report.Summary(
        job=job.name,
        execution=execution,
        outcome=ending.outcome if ending else Ending.outcome,
        exit_code=ending.exit_code if ending else Ending.exit_code,
        reason=_reason(ending, books),
        counts=books.as_dict(),
        calls=outcome.calls,
        retries=outcome.retries,
        seconds=seconds,
        fingerprint=job.intake.plan.figures.fingerprint,
        base_url=job.order.settings.api.base_url,
        folder=str(folder.path),
        files=files,
        next=_next(job, ending, outcome),
    )


def _next(job: Job, ending: Ending | None, outcome: _Outcome) -> str | None:
    """Say what to type next; None when nothing is left to do."""
    if ending is None or isinstance(ending, Bug) or not job.folder.journal.exists():
        return None
    settings, states = job.order.settings, outcome.states
    again = resume_command(job)
    if not isinstance(ending, Incomplete):
        return again
    if outcome.sendable:
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
