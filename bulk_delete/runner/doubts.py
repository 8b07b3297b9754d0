"""What a damaged journal may have lost: its runs are put in doubt, so that they are read back."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import anyio

from bulk_delete import events
from bulk_delete.columns import Columns, columns_of
from bulk_delete.errors import JournalFailed
from bulk_delete.folder import JobFolder
from bulk_delete.journal.chain import DamagedError, Link, told_chain, unseal
from bulk_delete.journal.lines import UnknownLineError, decode
from bulk_delete.journal.reader import read
from bulk_delete.journal.writer import Journal
from bulk_delete.ledger import DONE, DOUBTED, among
from bulk_delete.model import MAX_ID, Pair
from bulk_delete.store import Builder, Plan, Scratch, States, states_told

_LOST = "the journal lost what it said of them, so they may have been sent"


class Doubts(NamedTuple):
    """Runs that may have been sent, in a journal whose batches have numbers up to `last_batch`."""

    plan: Plan
    last_batch: int


class Rest(NamedTuple):
    """What stands behind the sound part of a journal: a file, from this offset on."""

    path: Path
    offset: int


def doubts_of(
    rests: Iterable[Rest],
    journal: Path,
    end: Link,
    plan: Plan | None,
    scratch: Scratch,
    stack: ExitStack,
) -> Doubts:
    """Find what may have been sent after the end of the sound part.

    That is what sound lines of the rests name and, given a plan, all of it that was not settled
    before: the lines that are not sound may have named that. Where a `verify` was at work, what
    was settled may have been opened again.
    """
    history, states = states_told(lambda sink: read(journal, sink, lines=end.lines), scratch, plan)
    last_batch = history.last_batch
    with closing(states), Builder(scratch) as builder:
        verified = history.verifying
        for event in (event for rest in rests for event in _told_in(rest)):
            last_batch = max(last_batch, getattr(event, "batch", None) or 0)
            verified |= isinstance(event, events.VerifyStarted | events.BatchReopened)
            if named := _named(event):
                builder.add(columns_of(named))
        for columns in plan.chunks() if plan else ():
            builder.add(columns if verified else _unsettled(columns, states))
        doubts = builder.plan()
    stack.callback(doubts.close)
    return Doubts(doubts, last_batch)


def _unsettled(columns: Columns, states: States) -> Columns:
    return columns.part(~among(states.codes(columns), DONE | DOUBTED))


def _named(event: events.AnyEvent) -> list[Pair]:
    """Return the pairs that a line names; none where it names what cannot be."""
    result_id, run_ids = getattr(event, "result_id", None), getattr(event, "run_ids", None)
    if result_id is None or not run_ids:
        return []
    possible = all(1 <= number <= MAX_ID for number in (result_id, *run_ids))
    return sorted(Pair(result_id, run) for run in run_ids) if possible else []


def _told_in(rest: Rest) -> Iterator[events.AnyEvent]:
    if not rest.path.exists():
        return
    chain: bytes | None = None
    with rest.path.open("rb") as file:
        file.seek(rest.offset)
        for data in file:
            before, chain = chain, told_chain(data)
            try:
                if before is None or unseal(before, data) != chain:
                    continue  # a changed line may name runs that nobody asked for
                _, event = decode(data)
            except (DamagedError, UnknownLineError):
                continue
            if event is not None:
                yield event


async def record_doubts(
    folder: JobFolder, end: Link, repaired: events.JournalRepaired, doubts: Doubts
) -> None:
    """Write all of it in one commit: the mark is right again only when that is on the disk."""
    journal = Journal(folder.journal, folder.mark, end)
    failures: list[JournalFailed] = []
    async with anyio.create_task_group() as house:
        house.start_soon(journal.serve)
        journal.write(repaired)
        for number, (result_id, run_ids) in enumerate(_batches(doubts.plan), start=1):
            journal.write(
                events.BatchUnknown(
                    batch=doubts.last_batch + number,
                    status=None,
                    reason="journal repaired",
                    detail=_LOST,
                    run_ids=run_ids,
                    result_id=result_id,
                )
            )
        try:
            await journal.durable()
        except JournalFailed as failure:
            failures.append(failure)
        house.cancel_scope.cancel()
    journal.release()
    if failures:
        raise failures[0]


def _batches(plan: Plan) -> Iterator[tuple[int, tuple[int, ...]]]:
    for group in plan.groups():
        for run_ids in group.batches():
            yield group.result_id, run_ids
