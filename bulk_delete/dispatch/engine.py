"""Workers take results, send their batches one at a time, and settle what comes of each.

A worker owns the result it works on, so no result ever has two calls in flight.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import anyio

from bulk_delete.config import Limits, Retry
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.isolating import Isolator
from bulk_delete.dispatch.lanes import Case, Lane, Lanes, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.pausing import Stopwatch
from bulk_delete.dispatch.reading import Reader
from bulk_delete.dispatch.sending import HeldBack, Sender
from bulk_delete.dispatch.settling import Settler
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.dispatch.turns import Turns
from bulk_delete.errors import Ending, GaveUp, JournalFailed
from bulk_delete.health import Health
from bulk_delete.model import Batch, Before, Fact
from bulk_delete.plan import Group
from bulk_delete.readback import Conclusion

_NONE: frozenset[int] = frozenset()

_UNSENT_AT_ONCE = 64
"""Records of batches that need no call which may wait for the disk together."""


class Engine:
    """Sends a plan. `run` once; the others may be called at any time, from the same loop.

    `endings` takes in what ends it before every batch has its outcome.
    """

    def __init__(
        self,
        ends: Ends,
        limits: Limits,
        retry: Retry,
        next_batch: int,
        endings: list[Ending],
    ) -> None:
        self._stopwatch = Stopwatch(ends.clock)
        ends = replace(ends, clock=self._stopwatch)
        self._past = ends.past
        self._workers = limits.concurrency
        self._settle = retry.settle
        self._next_batch = next_batch
        self._brake = Brake(endings)
        self._outcomes = Outcomes(ends.recorder)
        self._health = Health(limits)
        gate = self._gate = Gate(limits, self._brake, self._outcomes, ends.clock, ends.dice)
        turns = Turns(ends.pace, gate, self._brake)
        self._reader = Reader(ends, retry, self._outcomes, gate, turns, self._brake)
        asking = replace(retry, settle="read-back")
        self._checker = Reader(ends, asking, self._outcomes, gate, turns, self._brake)
        self._sender = Sender(ends, retry, self._outcomes, gate, turns, self._brake, self._reader)
        self._isolator = Isolator(self._outcomes, self._health, self._number, limits.split_calls)
        self._settler = Settler(self._outcomes, self._health, gate, self._reader, self._isolator)
        self._lanes = Lanes((), ends.past.was_accepted)

    @property
    def endings(self) -> list[Ending]:
        return self._brake.endings

    @property
    def in_flight(self) -> int:
        return self._sender.in_flight

    @property
    def trouble(self) -> str:
        """Return the last refusal or failure, in the API's words."""
        return self._outcomes.trouble

    async def run(
        self, groups: Iterable[Group], first: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Work until every batch has an outcome, or until stopped and drained.

        `first` is done before, and may `send` and `read_back`.
        """
        with self._brake.scope:
            if first:
                await first()
            await self.send(groups)

    async def send(self, groups: Iterable[Group]) -> None:
        self._lanes = Lanes(groups, self._past.was_accepted)
        async with anyio.create_task_group() as workers:
            for _ in range(self._workers):
                workers.start_soon(self._worker)

    async def read_back(self, result_id: int, run_ids: tuple[int, ...]) -> Conclusion:
        """Look whether runs that were deleted are there. Raises LeaveOffError when stopped."""
        return await self._checker.look(None, result_id, run_ids, 0)

    @property
    def is_paused(self) -> bool:
        return self._gate.is_paused

    @property
    def is_held(self) -> bool:
        """Tell whether calls are held as nobody answers."""
        return self._gate.is_open

    def pause(self) -> None:
        """Let nothing leave until `go_on`; what is in flight finishes."""
        self._stopwatch.stop()
        self._gate.pause()

    def go_on(self) -> None:
        self._stopwatch.go_on()
        self._gate.go_on()

    def stop(self, ending: Ending) -> None:
        """Send nothing more; what is in flight finishes."""
        self._brake.pull(ending)

    def cut(self) -> None:
        """Leave off at once; what is in flight stays in doubt."""
        self._brake.cut()

    async def _worker(self) -> None:
        try:
            while not self._brake.pulled:
                lane = self._lanes.next(parked_first=self._health.proven)
                if lane is None:
                    return
                with contextlib.suppress(LeaveOffError):
                    await self._drive(lane)
        except JournalFailed as failure:
            self._brake.pull(failure)
            self._brake.cut()

    async def _drive(self, lane: Lane) -> None:
        for run_ids in lane.batches:
            before = self._past.before(lane.result_id, run_ids)
            batch = Batch(self._number(), lane.result_id, run_ids)
            await self._finish(
                await self._begin(lane, batch, before)
                if before
                else Work(lane, _NONE, len(run_ids), [Case(batch)])
            )
            lane.left -= 1
        if lane.put_aside and not lane.waited and not self._health.proven:
            self._lanes.park(lane)
            return
        while lane.put_aside:
            work = lane.put_aside.popleft()
            self._isolator.take_up(work)
            await self._finish(work)

    async def _begin(self, lane: Lane, batch: Batch, before: Before) -> Work:
        """Take up a planned batch of which earlier executions tell."""
        batch = replace(batch, doubted=before.doubted)
        work = Work(lane, before.failed, len(batch.run_ids))
        rest: Case | None = Case(batch, lost=bool(batch.doubted))
        if batch.doubted and self._settle == "hold":
            rest = self._settler.hold_doubt(work, batch)
        elif batch.doubted and self._reader.allowed:
            rest = await self._settler.clear_doubt(work, batch)
        work.todo += [rest] if rest else []
        return work

    def _number(self) -> int:
        number, self._next_batch = self._next_batch, self._next_batch + 1
        return number

    async def _finish(self, work: Work) -> None:
        """Bring a planned batch to its end. Raises LeaveOffError when the worker must let go."""
        lane = work.lane
        while work.todo and not work.put_aside:
            case = work.todo.pop()
            answer = await self._sender.send(case, lane)
            if isinstance(answer, HeldBack):
                self._settler.hold_back(work, case, answer)
            elif end := await self._settler.act(work, case, answer):
                await self._refuse_rest(work, answer.fact, end.reason)
        if not work.put_aside:
            self._health.finished(work.runs - len(work.failed_before), work.failed)
        if self._health.is_marred:
            self._look_after_health()

    async def _refuse_rest(self, work: Work, fact: Fact, reason: str) -> None:
        """Settle what is left of a result that has ended, without a call."""
        lane = work.lane
        while work.todo:
            batch = work.todo.pop().batch
            self._outcomes.refused(batch, fact, reason, unsent=True)
            work.fail(batch.run_ids)
        self._isolator.refuse_aside(lane, fact, reason)
        for count, run_ids in enumerate(lane.batches, start=1):
            before = self._past.before(lane.result_id, run_ids)
            doubted, failed = before or (_NONE, _NONE)
            batch = Batch(self._number(), lane.result_id, run_ids, doubted)
            self._outcomes.refused(batch, fact, reason, unsent=True)
            self._health.ended(len(run_ids) - len(failed))
            if count % _UNSENT_AT_ONCE == 0:
                await self._outcomes.durable()

    def _look_after_health(self) -> None:
        if not self._brake.pulled and (complaint := self._health.complaint()):
            last = f" (last: {self._outcomes.trouble})" if self._outcomes.trouble else ""
            self._brake.pull(GaveUp(complaint + last))
