"""Workers take results, send their batches one at a time, and record what comes of each.

A worker owns the result it works on, so no result ever has two calls in flight. The intent of a
call is on the disk before the call leaves; the wait for its turn comes before the intent.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

import anyio

from bulk_delete.config import Limits, Retry
from bulk_delete.dispatch.contact import MOST_WORN_OUT, Contact
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.lanes import Lane, Lanes, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.errors import Ending, GaveUp, JournalFailed, KeyRejected
from bulk_delete.health import Health
from bulk_delete.model import (
    BadRequest,
    Batch,
    Deleted,
    Fact,
    NotSent,
    Throttled,
)
from bulk_delete.plan import Group
from bulk_delete.retry import (
    Again,
    Connection,
    Done,
    EndResult,
    Refuse,
    Split,
    Standing,
    StopJob,
    decide,
)

_UNSENT_AT_ONCE = 64
"""Records of batches that need no call which may wait for the disk together."""


@dataclass(frozen=True, slots=True)
class _Answer:
    batch: Batch
    attempt: int
    fact: Fact
    decision: Done | Split | Refuse | EndResult


class _LeaveOffError(Exception):
    """The worker must let go of its result."""


@dataclass(slots=True)
class Engine:
    """Sends a plan. `run` once; `stop` and `cut` may be called at any time, from the same loop."""

    ends: Ends
    limits: Limits
    retry: Retry
    next_batch: int = 1
    endings: list[Ending] = field(default_factory=list)
    in_flight: int = 0

    _outcomes: Outcomes = field(init=False)
    _health: Health = field(init=False)
    _contact: Contact = field(init=False)
    _lanes: Lanes = field(init=False)
    _waits: set[anyio.CancelScope] = field(default_factory=set)
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def __post_init__(self) -> None:
        self._outcomes = Outcomes(self.ends.recorder)
        self._health = Health(self.limits)
        self._contact = Contact(self.limits.give_up_after)

    @property
    def trouble(self) -> str:
        """Return the last refusal or failure, in the API's words."""
        return self._outcomes.trouble

    @property
    def stopping(self) -> bool:
        return bool(self.endings)

    async def run(self, groups: Iterable[Group]) -> None:
        """Work until every batch has an outcome, or until stopped and drained."""
        self._lanes = Lanes(groups, self.ends.past.was_accepted)
        with self._scope:
            async with anyio.create_task_group() as workers:
                for _ in range(self.limits.concurrency):
                    workers.start_soon(self._worker)

    def stop(self, ending: Ending) -> None:
        """Send nothing more; what is in flight finishes."""
        self.endings.append(ending)
        for scope in self._waits:
            scope.cancel()

    def cut(self) -> None:
        """Leave off at once; what is in flight stays in doubt."""
        self._scope.cancel()

    async def _worker(self) -> None:
        try:
            while not self.stopping:
                lane = self._lanes.next(parked_first=self._health.proven)
                if lane is None:
                    return
                with contextlib.suppress(_LeaveOffError):
                    await self._drive(lane)
        except JournalFailed as failure:
            self.stop(failure)
            self.cut()

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
        doubted = frozenset(run for run in run_ids if self.ends.past.is_doubted(result_id, run))
        return Batch(self._number(), result_id, run_ids, doubted)

    def _failed_before(self, batch: Batch) -> frozenset[int]:
        is_failed = self.ends.past.is_failed
        return frozenset(run for run in batch.run_ids if is_failed(batch.result_id, run))

    def _number(self) -> int:
        number, self.next_batch = self.next_batch, self.next_batch + 1
        return number

    async def _finish(self, work: Work) -> None:
        """Bring a planned batch to its end. Raises _LeaveOffError when the worker must let go."""
        while work.todo and not work.put_aside:
            await self._act(work, await self._send(work.todo.pop(), work.lane))
        if not work.put_aside:
            self._health.finished(work.runs - len(work.failed_before), work.failed)
        self._look_after_health()

    async def _act(self, work: Work, answer: _Answer) -> None:
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

    async def _send(self, batch: Batch, lane: Lane) -> _Answer:
        """Send a batch until something is decided. Raises _LeaveOffError when the job stops."""
        attempt, throttled, outages = 0, 0, 0
        first: float | None = None
        last = 0.0
        while True:
            await self._turn()
            before, last = last, self.ends.clock()
            if first is None:
                first = before = last
            attempt += 1
            fact = await self._attempt(batch, attempt)
            now = self.ends.clock()
            throttled += isinstance(fact, Throttled)
            connection = self._contact.connection(before, now)
            outages += isinstance(fact, NotSent) and connection is Connection.OUTAGE
            standing = Standing(
                attempt=attempt,
                throttled=throttled,
                outages=outages,
                elapsed_s=now - first,
                runs=len(batch.run_ids),
                doubted=bool(batch.doubted),
                accepted=lane.accepted,
                connection=connection,
            )
            decision = decide(fact, standing, self.retry, self.ends.dice())
            if isinstance(decision, Again | Refuse) and decision.in_doubt:
                batch = dataclasses.replace(batch, doubted=frozenset(batch.run_ids))
            match decision:
                case Again():
                    self._outcomes.open_still(
                        batch, attempt, fact, in_doubt=decision.in_doubt, wait_s=decision.wait_s
                    )
                    if decision.all_wait:
                        self.ends.pace.pause(decision.wait_s)
                        self._contact.pause_until(now + decision.wait_s)
                    else:
                        await self._rest(decision.wait_s)
                case StopJob():
                    self._outcomes.open_still(batch, attempt, fact)
                    why = decision.detail or "no words"
                    self.stop(KeyRejected(f"the API does not accept the key (401: {why})"))
                    raise _LeaveOffError
                case Refuse(worn_out=True) if isinstance(fact, NotSent) and self._contact.is_lost(
                    since=before
                ):
                    self._outcomes.open_still(batch, attempt, fact)
                    self._give_up("it could not be connected to")
                    raise _LeaveOffError
                case _:
                    return _Answer(batch, attempt, fact, decision)

    async def _attempt(self, batch: Batch, attempt: int) -> Fact:
        request_id = self.ends.new_id()
        self._outcomes.sent(batch, attempt, request_id)
        await self._outcomes.durable()
        self.in_flight += 1
        try:
            fact = await self.ends.transport.delete_runs(batch.result_id, batch.run_ids, request_id)
        finally:
            self.in_flight -= 1
        self._contact.note(fact, self.ends.clock())
        if isinstance(fact, Deleted):
            self._outcomes.deleted(batch, attempt, fact)
        return fact

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
            self._health.ended(aside.runs)
        lane.put_aside.clear()
        for count, run_ids in enumerate(lane.batches, start=1):
            batch = self._batch(lane.result_id, run_ids)
            self._outcomes.refused(batch, fact, reason, unsent=True)
            self._health.ended(len(run_ids))
            if count % _UNSENT_AT_ONCE == 0:
                await self._outcomes.durable()

    def _look_after_contact(self) -> None:
        in_a_row = self._contact.wear_out()
        if in_a_row >= MOST_WORN_OUT and not self.stopping:
            self._give_up(f"{in_a_row} batches in a row used up their attempts")

    def _give_up(self, what: str) -> None:
        self.stop(GaveUp(f"the API stayed away: {what} (last: {self._outcomes.trouble})"))

    def _look_after_health(self) -> None:
        if not self.stopping and (complaint := self._health.complaint()):
            last = f" (last: {self._outcomes.trouble})" if self._outcomes.trouble else ""
            self.stop(GaveUp(complaint + last))

    async def _turn(self) -> None:
        with self._waiting():
            await self.ends.pace.ready()
        if self.stopping:
            raise _LeaveOffError

    async def _rest(self, seconds: float) -> None:
        with self._waiting():
            await anyio.sleep(seconds)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Wait inside, until a stop ends it."""
        with anyio.CancelScope() as scope:
            if self.stopping:
                scope.cancel()
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)
