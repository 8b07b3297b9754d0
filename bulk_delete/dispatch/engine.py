"""Workers take results, send their batches one at a time, and settle what comes of each.

A worker owns the result it works on, so no result ever has two calls in flight.
"""

import contextlib
from collections.abc import Iterable
from typing import assert_never

import anyio

from bulk_delete.config import Limits, Retry
from bulk_delete.dispatch.contact import MOST_WORN_OUT, Contact
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.lanes import Lane, Lanes, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.sending import Answer, HeldBack, Sender
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.errors import Ending, GaveUp, JournalFailed
from bulk_delete.health import Health
from bulk_delete.model import BadRequest, Batch, Fact
from bulk_delete.plan import Group
from bulk_delete.retry import Done, EndResult, Refuse, Split

_UNSENT_AT_ONCE = 64
"""Records of batches that need no call which may wait for the disk together."""


class Engine:
    """Sends a plan. `run` once; `stop` and `cut` may be called at any time, from the same loop.

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
        self._past = ends.past
        self._workers = limits.concurrency
        self._next_batch = next_batch
        self._brake = Brake(endings)
        self._outcomes = Outcomes(ends.recorder)
        self._contact = Contact(limits.give_up_after)
        self._health = Health(limits)
        self._sender = Sender(ends, retry, self._outcomes, self._contact, self._brake)
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

    async def run(self, groups: Iterable[Group]) -> None:
        """Work until every batch has an outcome, or until stopped and drained."""
        self._lanes = Lanes(groups, self._past.was_accepted)
        with self._brake.scope:
            async with anyio.create_task_group() as workers:
                for _ in range(self._workers):
                    workers.start_soon(self._worker)

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
            batch = self._batch(lane.result_id, run_ids)
            await self._finish(Work(lane, self._failed_before(batch), len(run_ids), [batch]))
        if lane.put_aside and not lane.waited and not self._health.proven:
            self._lanes.park(lane)
            return
        while lane.put_aside:
            work = lane.put_aside.popleft()
            work.put_aside = False
            self._split(work, work.todo.pop())
            await self._finish(work)

    def _batch(self, result_id: int, run_ids: tuple[int, ...]) -> Batch:
        before = self._past.before(result_id, run_ids)
        doubted = before.doubted if before else frozenset()
        return Batch(self._number(), result_id, run_ids, doubted)

    def _failed_before(self, batch: Batch) -> frozenset[int]:
        before = self._past.before(batch.result_id, batch.run_ids)
        return before.failed if before else frozenset()

    def _number(self) -> int:
        number, self._next_batch = self._next_batch, self._next_batch + 1
        return number

    async def _finish(self, work: Work) -> None:
        """Bring a planned batch to its end. Raises LeaveOffError when the worker must let go."""
        while work.todo and not work.put_aside:
            batch = work.todo.pop()
            answer = await self._sender.send(batch, accepted=work.lane.accepted)
            if isinstance(answer, HeldBack):
                self._hold_back(work, answer)
            else:
                await self._act(work, answer)
        if not work.put_aside:
            self._health.finished(work.runs - len(work.failed_before), work.failed)
        self._look_after_health()

    async def _act(self, work: Work, answer: Answer) -> None:
        batch, fact = answer.batch, answer.fact
        if not isinstance(fact, BadRequest):
            self._health.prove()
        elif work.is_news:
            self._health.bad_request(planned=batch.parent is None)
        match answer.decision:
            case Done():
                work.lane.accepted = True
            case Split():
                if batch.parent is None and work.is_news and not self._health.proven:
                    # While all get a 400, splitting would only make calls.
                    self._outcomes.open_still(batch, answer.attempt, fact)
                    work.todo.append(batch)
                    work.put_aside = True
                    work.lane.put_aside.append(work)
                else:
                    self._split(work, batch)
            case Refuse():
                self._outcomes.refused(batch, fact, answer.decision.reason)
                work.fail(batch)
                if answer.decision.worn_out:
                    self._look_after_contact()
            case EndResult():
                self._outcomes.refused(batch, fact, answer.decision.reason)
                work.fail(batch)
                await self._refuse_rest(work, fact, answer.decision.reason)
            case _:
                assert_never(answer.decision)

    def _hold_back(self, work: Work, held: HeldBack) -> None:
        """Leave out what is protected; the rest of a batch that was sent goes on as a new one."""
        batch = held.batch
        rest = tuple(run for run in batch.run_ids if run not in held.run_ids)
        new = Batch(
            number=self._number() if held.sent else batch.number,
            result_id=batch.result_id,
            run_ids=rest,
            doubted=batch.doubted.intersection(rest),
            parent=batch.number if held.sent else batch.parent,
        )
        if held.sent:
            self._outcomes.split(batch, (new.number,) if rest else ())
        self._outcomes.held_back(batch, held.run_ids)
        work.hold_back(held.run_ids)
        if rest:
            work.todo.append(new)

    def _split(self, work: Work, batch: Batch) -> None:
        """Close a batch and put its halves in its place, the first half on top."""
        middle = (len(batch.run_ids) + 1) // 2
        halves = [
            Batch(
                number=self._number(),
                result_id=batch.result_id,
                run_ids=run_ids,
                doubted=batch.doubted.intersection(run_ids),
                parent=batch.number,
            )
            for run_ids in (batch.run_ids[:middle], batch.run_ids[middle:])
        ]
        self._outcomes.split(batch, tuple(half.number for half in halves))
        work.todo.extend(reversed(halves))

    async def _refuse_rest(self, work: Work, fact: Fact, reason: str) -> None:
        """Settle what is left of a result that has ended, without a call."""
        lane = work.lane
        while work.todo:
            batch = work.todo.pop()
            self._outcomes.refused(batch, fact, reason, unsent=True)
            work.fail(batch)
        for aside in lane.put_aside:
            self._outcomes.refused(aside.todo[0], fact, reason)
            self._health.ended(aside.runs - len(aside.failed_before))
        lane.put_aside.clear()
        for count, run_ids in enumerate(lane.batches, start=1):
            batch = self._batch(lane.result_id, run_ids)
            failed_before = self._failed_before(batch)
            self._outcomes.refused(batch, fact, reason, unsent=True)
            self._health.ended(len(run_ids) - len(failed_before))
            if count % _UNSENT_AT_ONCE == 0:
                await self._outcomes.durable()

    def _look_after_contact(self) -> None:
        in_a_row = self._contact.wear_out()
        if in_a_row >= MOST_WORN_OUT and not self._brake.pulled:
            self._sender.give_up(f"{in_a_row} batches in a row used up their attempts")

    def _look_after_health(self) -> None:
        if not self._brake.pulled and (complaint := self._health.complaint()):
            last = f" (last: {self._outcomes.trouble})" if self._outcomes.trouble else ""
            self._brake.pull(GaveUp(complaint + last))
