"""A canary: a few small batches are sent and read back before the rest may leave.

A retry is no surprise; a run that is not deleted as the API said, or at all, is one, and ends the
job.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

from bulk_delete import events
from bulk_delete.dispatch import Engine, LeaveOffError
from bulk_delete.errors import GaveUp
from bulk_delete.model import MAX_BATCH, Batch
from bulk_delete.plan import Group
from bulk_delete.readback import Sight
from bulk_delete.report.words import many
from bulk_delete.runner.watching import Recording
from bulk_delete.store import Plan


class Witness:
    """Hands the engine's events on; while a canary is out, it keeps what became of its runs.

    `bad` counts runs that are not deleted, by the word for what they are.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.watching = False
        self.deleted: list[tuple[int, tuple[int, ...]]] = []
        self.bad: Counter[str] = Counter()

    def record_sent(self, batch: Batch, event: events.BatchSent, ids: bytes) -> None:
        self._recording.record_sent(batch, event, ids)

    def record_job(self, event: events.OfJob) -> None:
        self._recording.record_job(event)

    def record_pairs(self, event: events.OfPairs) -> None:
        self._recording.record_pairs(event)

    def record(self, batch: Batch, event: events.OfBatch) -> None:
        self._recording.record(batch, event)
        if self.watching:
            self._keep(batch, event)

    def record_back(self, event: events.BatchReopened) -> None:
        self._recording.record_back(event)

    async def durable(self) -> None:
        await self._recording.durable()

    def _keep(self, batch: Batch, event: events.OfBatch) -> None:
        match event:
            case events.BatchDeleted():
                self.deleted.append((batch.result_id, batch.run_ids))
            case events.BatchFailed():
                self.bad["failed"] += len(event.run_ids or batch.run_ids)
            case events.BatchUnknown():
                self.bad["unknown"] += len(event.run_ids or batch.run_ids)
            case events.BatchGone():  # what is in doubt may be gone by a call of ours
                named = event.run_ids or batch.run_ids
                self.bad["gone"] += sum(run not in batch.doubted for run in named)
            case _:
                pass


class Canary:
    """`fly` before the rest is sent; `rest` is what is left of the plan then.

    `wait` is called with the words of why, where somebody is to look before the rest leaves.
    """

    def __init__(
        self,
        plan: Plan,
        batches: int,
        engine: Engine,
        witness: Witness,
        wait: Callable[[str], Awaitable[None]] | None,
    ) -> None:
        self._plan = plan
        self._groups = smallest(plan, batches)
        self._engine = engine
        self._witness = witness
        self._wait = wait

    def rest(self) -> Iterator[Group]:
        """Yield what does not belong to the canary, the results with the most calls first."""
        flown = {group.result_id: group.runs for group in self._groups}
        for group in self._plan.lanes():
            start = flown.get(group.result_id, 0)
            if start < group.runs:
                yield group.part(start, group.runs) if start else group

    async def fly(self) -> None:
        """Send, read back, and end the job on a surprise."""
        if not self._groups:
            return
        witness, calls = self._witness, sum(group.calls for group in self._groups)
        runs = sum(group.runs for group in self._groups)
        witness.record_job(events.CanaryStarted(calls, len(self._groups), runs))
        witness.watching = True
        await self._engine.send(self._groups)
        witness.watching = False
        if self._engine.endings:
            return
        try:
            await self._read_back()
        except LeaveOffError:
            return
        bad = {name: count for name, count in witness.bad.items() if count}
        deleted = sum(len(run_ids) for _, run_ids in witness.deleted)
        outcome: Literal["surprise", "passed"] = "surprise" if bad else "passed"
        witness.record_job(events.CanaryFinished(outcome, {"deleted": deleted, **bad}))
        if bad:
            told = ", ".join(f"{count:,} {name}" for name, count in bad.items())
            self._engine.stop(
                GaveUp(f"the canary met with a surprise, of {many(runs, 'run')}: {told}")
            )
        elif self._wait:
            await self._wait(
                f"the canary is back: {many(deleted, 'run')} deleted, and none is there"
            )

    async def _read_back(self) -> None:
        witness = self._witness
        for result_id, run_ids in witness.deleted:
            conclusion = await self._engine.read_back(result_id, run_ids)
            if not isinstance(conclusion, Sight):
                witness.bad["unseen"] += len(run_ids)
                continue
            witness.bad["unseen"] += len(conclusion.unproven)
            still = (*conclusion.present, *conclusion.elsewhere)
            if still:
                witness.bad["still there"] += len(still)
                witness.record_back(events.BatchReopened(result_id, still))


def smallest(plan: Plan, batches: int) -> list[Group]:
    """Choose the results with the fewest runs, for so many calls; the last one may be cut."""
    chosen: list[Group] = []
    for group in plan.fewest(batches):
        left = batches - sum(other.calls for other in chosen)
        if left > 0:
            chosen.append(group.part(0, min(group.runs, left * MAX_BATCH)))
    return chosen
