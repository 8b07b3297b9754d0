"""Looking a job's journal over, and repairing one that is damaged as no crash damages it.

A repair throws nothing away: the journal is cut before the first damage, the rest is moved beside
it, and all runs that may have been sent in the lost part are put in doubt, so that the next start
reads them back.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import anyio

from bulk_delete import events, report
from bulk_delete.errors import JournalFailed
from bulk_delete.folder import JobFolder
from bulk_delete.journal.chain import Link
from bulk_delete.journal.mark import REPAIRING, read_mark, write_mark
from bulk_delete.journal.opening import move_tail
from bulk_delete.journal.survey import Finding, Survey
from bulk_delete.ledger import DONE, UNCALLED, Step
from bulk_delete.model import State, Verdict
from bulk_delete.runner.doubts import Rest, doubts_of, record_doubts
from bulk_delete.runner.names import unknown_job
from bulk_delete.runner.record import guessed_plan, has_started
from bulk_delete.store import (
    Plan,
    Scratch,
    ScratchError,
    SpoiltPlanError,
    StatesWriter,
    open_sound_plan,
    states_writer,
)

MOST_TOLD = 1000
"""Findings that are told one by one; beyond, they are counted."""

_SHOWN_RUNS = 3


def audit(state: Path, name: str, *, repair: bool) -> report.Audit:
    """Look a job's journal over, and repair it where that is asked for and needed.

    Raises InvalidInput, JobBusy and JournalFailed.
    """
    folder = JobFolder(state, name)
    if not has_started(folder):
        raise unknown_job(name, state)
    try:
        with folder.locked("repair") if repair else folder.at_rest(), ExitStack() as stack:
            scratch = Scratch(folder.path if repair else None)
            plan = guessed_plan(folder, scratch, stack) or _only_plan(folder, scratch, stack)
            writer = states_writer(scratch, plan)
            stack.callback(writer.close)
            auditor = BookAuditor(writer, plan)
            mark = read_mark(folder.mark)
            survey = Survey(folder.journal, mark, auditor)
            findings = survey.findings()
            found = list(islice(findings, MOST_TOLD))
            more = sum(1 for _ in findings)
            repaired = None
            if repair and (mark is None or not survey.sound):
                repaired = _repair(folder, survey, found[0], mark, plan, scratch, stack)
    except ScratchError as error:
        raise JournalFailed(str(error)) from None
    return report.Audit(
        job=name,
        journal=str(folder.journal),
        lines=survey.line,
        executions=survey.executions,
        books="agree with the plan" if auditor.compared else "balance in themselves",
        findings=tuple(found),
        more=more,
        has_plan=plan is not None,
        repaired=repaired,
    )


def _only_plan(folder: JobFolder, scratch: Scratch, stack: ExitStack) -> Plan | None:
    """Open the saved plan, where the journal has lost which one it was."""
    saved = list(folder.path.glob("plan.*.bin"))
    if len(saved) != 1:
        return None
    try:
        plan = open_sound_plan(saved[0], scratch)
    except (OSError, SpoiltPlanError):
        return None
    stack.callback(plan.close)
    return plan


class BookAuditor:
    """Holds what a journal says against itself, and against the plan that it is about at last."""

    def __init__(self, writer: StatesWriter, plan: Plan | None) -> None:
        self._writer = writer
        self._plan = plan
        self._complaints: list[str] = []
        self.compared = False

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: Verdict | None = None
    ) -> None:
        if step not in UNCALLED and (done := self._writer.done(result_id, run_ids)):
            runs = ", ".join(map(str, done[:_SHOWN_RUNS]))
            self._complaints.append(
                f"runs of result {result_id} were sent again that were deleted or gone: {runs}"
                + (f" and {len(done) - _SHOWN_RUNS} more" if len(done) > _SHOWN_RUNS else "")
            )
        self._writer.apply(result_id, run_ids, step, verdict)

    def complaints(self) -> list[str]:
        told, self._complaints = self._complaints, []
        return told

    def ended(self, started: events.JobStarted, finished: events.JobFinished) -> Iterator[str]:
        if self._plan is None or started.fingerprint != self._plan.figures.fingerprint:
            return
        self.compared = True
        states, counts = self._writer.count(), finished.counts
        done = sum(states.get(state, 0) for state in DONE)
        told = sum(counts.get(name, 0) for name in ("already_done", "deleted", "gone"))
        if done != told:
            yield f"its books say {told:,} runs are deleted or gone, its lines {done:,}"
        for state in (State.IN_DOUBT, State.UNKNOWN):
            if (found := states.get(state, 0)) != counts.get(state.value, 0):
                yield (
                    f"its books say {counts.get(state.value, 0):,} runs are {state.value}, "
                    f"its lines {found:,}"
                )


def _repair(
    folder: JobFolder,
    survey: Survey,
    first: Finding,
    mark: Link | None,
    plan: Plan | None,
    scratch: Scratch,
    stack: ExitStack,
) -> report.Repair:
    """Cut the journal before its first damage, and record what may have been lost with the rest."""
    end = survey.sound_to
    rests = [Rest(folder.journal, end.offset)]
    if mark and mark.chain == REPAIRING:  # one that was cut short has moved the rest already
        rests.append(Rest(folder.broken, 0))
    doubts = doubts_of(rests, folder.journal, end, plan, scratch, stack)
    try:
        # Until the end no start takes this for a whole journal, whatever happens meanwhile.
        write_mark(folder.mark, Link(end.lines + 1, REPAIRING, end.offset))
        folder.journal.touch(0o600)
        moved = move_tail(folder.journal, end.offset, folder.broken)
    except OSError as error:
        raise JournalFailed(f"{folder.path} cannot be written: {error.strerror}") from None
    event = events.JournalRepaired(
        line=end.lines + 1,
        lines=survey.line - end.lines,
        bytes=moved,
        lost=survey.lost,
        reason=first.what,
    )
    anyio.run(record_doubts, folder, end, event, doubts)
    return report.Repair(
        line=event.line,
        lines=event.lines,
        bytes=moved,
        lost=event.lost,
        doubted=doubts.plan.figures.runs,
        to=str(folder.broken),
    )
