"""One batch, attempt by attempt, until something is decided.

The intent of a call is on the disk before the call leaves; the wait for its turn comes before the
intent, so that few are in doubt at a crash.
"""

import dataclasses
from dataclasses import dataclass

import anyio

from bulk_delete.config import Retry
from bulk_delete.dispatch.contact import Contact
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.errors import GaveUp, KeyRejected
from bulk_delete.model import Batch, Deleted, Fact, NotSent, Throttled
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
    is_absence,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided of a batch, which may have come into doubt by then."""

    batch: Batch
    attempt: int
    fact: Fact
    decision: Done | Split | Refuse | EndResult


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Some runs of a batch must not be sent; `sent`: earlier attempts were."""

    batch: Batch
    run_ids: frozenset[int]
    sent: bool


class Sender:
    def __init__(
        self, ends: Ends, retry: Retry, outcomes: Outcomes, contact: Contact, brake: Brake
    ) -> None:
        self._ends = ends
        self._retry = retry
        self._outcomes = outcomes
        self._contact = contact
        self._brake = brake
        self.in_flight = 0

    async def send(self, batch: Batch, *, accepted: bool) -> Answer | HeldBack:
        """Send until something is decided; `accepted`: the result has seen a 204.

        Raises LeaveOffError when the job stops first.
        """
        attempt, throttled, outages = 0, 0, 0
        first: float | None = None
        last = 0.0
        while True:
            await self._turn()
            if held := await self._held_back(batch):
                return HeldBack(batch, held, sent=attempt > 0)
            before, last = last, self._ends.clock()
            if first is None:
                first = before = last
            attempt += 1
            fact = await self._attempt(batch, attempt)
            now = self._ends.clock()
            throttled += isinstance(fact, Throttled)
            connection = self._contact.connection(before, now)
            outages += is_absence(fact) and connection is Connection.OUTAGE
            standing = Standing(
                attempt=attempt,
                throttled=throttled,
                outages=outages,
                elapsed_s=now - first,
                runs=len(batch.run_ids),
                doubted=bool(batch.doubted),
                accepted=accepted,
                connection=connection,
            )
            decision = decide(fact, standing, self._retry, self._ends.dice())
            if isinstance(decision, Again | Refuse) and decision.in_doubt:
                batch = dataclasses.replace(batch, doubted=frozenset(batch.run_ids))
            match decision:
                case Again():
                    await self._again(batch, attempt, fact, decision)
                case StopJob():
                    self._outcomes.open_still(batch, attempt, fact)
                    why = decision.detail or "no words"
                    self._brake.pull(KeyRejected(f"the API does not accept the key (401: {why})"))
                    raise LeaveOffError
                case Refuse(worn_out=True) if isinstance(fact, NotSent) and self._contact.is_lost(
                    since=before
                ):
                    self._outcomes.open_still(batch, attempt, fact)
                    self.give_up("it could not be connected to")
                    raise LeaveOffError
                case _:
                    return Answer(batch, attempt, fact, decision)

    def give_up(self, what: str) -> None:
        last = self._outcomes.trouble
        self._brake.pull(GaveUp(f"the API stayed away: {what} (last: {last})"))

    async def _held_back(self, batch: Batch) -> frozenset[int]:
        held: frozenset[int] = frozenset()
        try:
            with self._brake.wait():
                held = await self._ends.shield.held_back(batch.result_id, batch.run_ids)
        except GaveUp as ending:
            self._brake.pull(ending)
        if self._brake.pulled:
            raise LeaveOffError
        return held

    async def _turn(self) -> None:
        with self._brake.wait():
            await self._ends.pace.ready()
        if self._brake.pulled:
            raise LeaveOffError

    async def _attempt(self, batch: Batch, attempt: int) -> Fact:
        request_id = self._ends.new_id()
        self._outcomes.sent(batch, attempt, request_id)
        await self._outcomes.durable()
        if self._brake.pulled:
            return NotSent("the job is stopping")
        self.in_flight += 1
        try:
            body = b'{"run_ids":[%b]}' % ",".join(map(str, batch.run_ids)).encode()
            fact = await self._ends.transport.delete_runs(batch.result_id, body, request_id)
        finally:
            self.in_flight -= 1
        self._contact.note(fact, self._ends.clock())
        if isinstance(fact, Deleted):
            self._outcomes.deleted(batch, attempt, fact)
        return fact

    async def _again(self, batch: Batch, attempt: int, fact: Fact, decision: Again) -> None:
        self._outcomes.open_still(
            batch, attempt, fact, in_doubt=decision.in_doubt, wait_s=decision.wait_s
        )
        if decision.all_wait:
            self._ends.pace.pause(decision.wait_s)
            self._contact.pause_until(self._ends.clock() + decision.wait_s)
            return
        with self._brake.wait():
            await anyio.sleep(decision.wait_s)
