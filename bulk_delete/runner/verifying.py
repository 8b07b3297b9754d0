"""Reading back what a job's journal calls deleted or gone: one `verify`, from lock to last line."""

import asyncio
import os
import platform
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio
import numpy as np

from bulk_delete import __version__, events, report
from bulk_delete.client import open_client
from bulk_delete.columns import Columns, Mask, columns_of
from bulk_delete.config import ApiKey, Settings
from bulk_delete.dispatch import Ends
from bulk_delete.dispatch.verifying import Verifier
from bulk_delete.errors import (
    Ending,
    Incomplete,
    Interrupted,
    JournalFailed,
    gravest,
)
from bulk_delete.folder import JobFolder, write_whole
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.ledger import DONE, among
from bulk_delete.model import State, Verdict
from bulk_delete.runner.assembly import throttle_of
from bulk_delete.runner.execution import room_for_files
from bulk_delete.runner.intake import check_target
from bulk_delete.runner.leftover import listed
from bulk_delete.runner.names import unknown_job
from bulk_delete.runner.opening import tell_mended
from bulk_delete.runner.record import guessed_plan, has_started, read_journal
from bulk_delete.runner.standings import Standings
from bulk_delete.runner.watching import Recording, Watcher
from bulk_delete.signals import obeyed
from bulk_delete.store import Builder, Plan, Scratch, ScratchError, States

CONFIDENCE = 0.95
PROGRESS_EVERY_S = 5.0
_STILL_THERE = Verdict(State.UNSENT, "still there", None, "read back after it was deleted")


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be read back, and of what."""

    folder: JobFolder
    settings: Settings
    history: History
    states: States
    plan: Plan
    believed: int
    after: tuple[int, int] | None
    sample: bool


def verify(
    state: Path, name: str, settings: Settings, key: ApiKey, sample: int | None, watcher: Watcher
) -> report.Verification:
    """Read back what a job is believed to have deleted, or some of it by chance.

    Raises InvalidInput, Refused, JobBusy and JournalFailed for what shows before the first call.
    """
    folder = JobFolder(state, name)
    if not has_started(folder):
        raise unknown_job(name, state)
    room_for_files(settings.limits.concurrency)
    try:
        with folder.locked("verify"), ExitStack() as stack:
            scratch = Scratch(folder.path)
            found = read_journal(folder, guessed_plan(folder, scratch, stack), scratch, stack)
            tell_mended(found.mended, watcher)
            check_target(found.history, settings.api.base_url, name)
            believed = _built(scratch, found.states.pairs_in(frozenset(DONE)), stack)
            after = None if sample else found.history.verified_upto
            plan = believed
            if after:
                plan = believed.keep(lambda columns: _beyond(columns, after))
                stack.callback(plan.close)
            elif sample is not None and sample < believed.figures.runs:
                plan = _built(scratch, _drawn(believed, sample), stack)
            task = _Task(
                folder=folder,
                settings=settings,
                history=found.history,
                states=found.states,
                plan=plan,
                believed=believed.figures.runs,
                after=after,
                sample=plan is not believed and after is None,
            )
            still = Builder(scratch)
            stack.callback(still.close)
            for columns in _known(folder, found.states, scratch, stack):
                still.add(columns)
            return anyio.run(_verify, task, key, watcher, still)
    except ScratchError as error:
        raise JournalFailed(str(error)) from None


def _built(scratch: Scratch, chunks: Iterator[Columns], stack: ExitStack) -> Plan:
    with Builder(scratch) as builder:
        for columns in chunks:
            builder.add(columns)
        plan = builder.plan()
    stack.callback(plan.close)
    return plan


def _known(
    folder: JobFolder, states: States, scratch: Scratch, stack: ExitStack
) -> Iterator[Columns]:
    """Yield what earlier verifies found still there, and was not deleted since."""
    if folder.still_there.exists():
        for columns in _built(scratch, listed(folder.still_there), stack).chunks():
            yield columns.part(~among(states.codes(columns), DONE))


def _beyond(columns: Columns, after: tuple[int, int]) -> Mask:
    result_id, run_id = (np.uint64(number) for number in after)
    beyond: Mask = (columns.result_ids == result_id) & (columns.run_ids > run_id)
    beyond |= columns.result_ids > result_id
    return beyond


def _drawn(plan: Plan, size: int) -> Iterator[Columns]:
    """Draw so many pairs, all with the same chance."""
    chosen = np.sort(random.SystemRandom().sample(range(plan.figures.runs), size))
    place = 0
    for columns in plan.chunks():
        low, high = np.searchsorted(chosen, (place, place + columns.rows))
        yield columns.part(chosen[low:high] - place)
        place += columns.rows


async def _verify(
    task: _Task, key: ApiKey, watcher: Watcher, still: Builder
) -> report.Verification:
    started = time.monotonic()
    settings, endings = task.settings, list[Ending]()
    async with open_client(settings.api, key, settings.limits.concurrency) as client:
        journal = Journal(task.folder.journal, task.folder.mark, task.history.end)
        execution = uuid.uuid4().hex
        ends = Ends(
            transport=client,
            pace=throttle_of(settings, task.history),
            recorder=Recording(journal, Standings(0, 0), watcher),
            past=task.states,
            shield=None,
            clock=time.monotonic,
            dice=random.random,
            new_id=(f"{execution}-{number}" for number in count(1)).__next__,
        )
        verifier = Verifier(
            ends,
            settings.limits,
            settings.retry,
            endings,
            lambda result_id, runs: still.add(columns_of((result_id, run) for run in runs)),
        )
        async with anyio.create_task_group() as house:
            house.start_soon(journal.serve)
            with obeyed(_on_signal(verifier, settings.limits.grace, watcher)):
                try:
                    journal.write(_started(task, key, execution))
                    await journal.durable()
                    async with anyio.create_task_group() as side:
                        side.start_soon(_tell, task, verifier, journal, watcher)
                        await verifier.run(task.plan.groups())
                        side.cancel_scope.cancel()
                except JournalFailed as failure:
                    endings.append(failure)
            watcher.close()
            verification = await _close(
                task, journal, verifier, still, endings, round(time.monotonic() - started, 3)
            )
            house.cancel_scope.cancel()
        journal.release()
    return verification


def _started(task: _Task, key: ApiKey, execution: str) -> events.VerifyStarted:
    return events.VerifyStarted(
        execution=execution,
        version=__version__,
        host=platform.node(),
        pid=os.getpid(),
        base_url=task.settings.api.base_url,
        key_id=key.id,
        runs=task.plan.figures.runs,
        of=task.believed,
        sample=task.sample,
        after=task.after,
    )


async def _tell(task: _Task, verifier: Verifier, journal: Journal, watcher: Watcher) -> None:
    """Log how far it has come, and write it down, so that the next one need not begin anew."""
    while True:
        await anyio.sleep(PROGRESS_EVERY_S)
        fields = {"runs": task.plan.figures.runs, "checked": verifier.checked}
        watcher.log("info", "verify.progress", {**fields, "still_there": verifier.still_there})
        if verifier.upto and not task.sample:
            journal.write(events.VerifyProgress(upto=verifier.upto))


async def _close(
    task: _Task,
    journal: Journal,
    verifier: Verifier,
    still: Builder,
    endings: list[Ending],
    seconds: float,
) -> report.Verification:
    folder = task.folder
    found = still.plan()
    listed_runs = found.figures.runs
    try:
        rows = report.verdict_rows((pair, _STILL_THERE) for pair in found.pairs())
        write_whole(folder.still_there, rows)
    except JournalFailed as failure:
        endings.append(failure)
    finally:
        found.close()
    if listed_runs or verifier.unseen:
        told = [f"{listed_runs:,} runs are still there"] if listed_runs else []
        told += [f"{verifier.unseen:,} could not be seen"] if verifier.unseen else []
        endings.append(Incomplete(", ".join(told)))
    if verifier.checked == task.plan.figures.runs:
        endings[:] = [ending for ending in endings if not isinstance(ending, Interrupted)]
    ending = gravest(endings)
    counts = {
        "runs": task.plan.figures.runs,
        "checked": verifier.checked,
        "still_there": listed_runs,
        "unseen": verifier.unseen,
    }
    last = events.VerifyFinished(
        outcome=ending.outcome if ending else Ending.outcome,
        exit_code=ending.exit_code if ending else Ending.exit_code,
        reason=ending.reason if ending else "every run is absent",
        counts=counts,
        seconds=seconds,
    )
    try:
        if verifier.upto and not task.sample and verifier.checked < task.plan.figures.runs:
            journal.write(events.VerifyProgress(upto=verifier.upto))
        journal.write(last)
        await journal.durable()
    except JournalFailed as failure:
        ending = gravest([*endings, failure])
    return report.Verification(
        job=folder.job,
        outcome=ending.outcome if ending else Ending.outcome,
        exit_code=ending.exit_code if ending else Ending.exit_code,
        reason=ending.reason if ending else last.reason,
        believed=task.believed,
        counts=counts,
        sample=task.sample,
        resumed=task.after is not None,
        confidence=CONFIDENCE,
        seconds=seconds,
        still_there=str(folder.still_there) if listed_runs else None,
    )


def _on_signal(
    verifier: Verifier, grace_s: float, watcher: Watcher
) -> Callable[[signal.Signals, int], None]:
    """Finish what is in flight on the first signal; leave off on the second."""
    loop = asyncio.get_running_loop()

    def asked(signum: signal.Signals, count: int) -> None:
        if count == 1:
            watcher.log("warning", "verify.draining", {"signal": signum.name, "grace_s": grace_s})
            verifier.stop(Interrupted(signum))
            loop.call_later(grace_s, verifier.cut)
        else:
            verifier.cut()

    return asked
