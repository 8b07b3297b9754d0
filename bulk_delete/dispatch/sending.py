"""One batch, attempt by attempt, until something is decided.

The intent of a call is on the disk before the call leaves; the wait for its turn comes before the
intent, so that few are in doubt at a crash.
"""

from dataclasses import dataclass, replace

import msgspec

from bulk_delete.config import Retry
from bulk_delete.dispatch.ends import Ends, Shield
from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.lanes import Case, Lane
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.reading import Reader
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.dispatch.turns import Turns
from bulk_delete.errors import GaveUp, KeyRejected
from bulk_delete.model import Deleted, Fact, NotSent, Throttled
from bulk_delete.retry import (
    Again,
    Done,
    EndResult,
    Look,
    Refuse,
    Split,
    Standing,
    StopJob,
    decide,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided of a batch, which may have come into doubt by then.

    `Again` comes up here only where its batch is to be read back first, after the wait.
    """

    fact: Fact
    decision: Done | Again | Look | Split | Refuse | EndResult


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Some runs of a batch must not be sent."""

    run_ids: frozenset[int]


_DONE = Done()


class Sender:
    def __init__(
        self,
        ends: Ends,
        retry: Retry,
        outcomes: Outcomes,
        gate: Gate,
        turns: Turns,
        brake: Brake,
        reader: Reader,
    ) -> None:
        self._ends = ends
        self._retry = retry
        self._outcomes = outcomes
        self._gate = gate
        self._turns = turns
        self._brake = brake
        self._reader = reader
        self.in_flight = 0

    async def send(self, case: Case, lane: Lane) -> Answer | HeldBack:
        """Send until something is decided. Raises LeaveOffError when the job stops first."""
        while True:
            ticket = await self._turns.take(lane.left, case.after)
            fact = None
            try:
                if self._ends.shield and (held := await self._held_back(self._ends.shield, case)):
                    return HeldBack(held)
                before, case.left_at = case.left_at, self._ends.clock()
                if case.first_at is None:
                    case.first_at = before = case.left_at
                fact = await self._attempt(case)
            finally:
                self._turns.give_back(ticket, fact)
            if isinstance(fact, Deleted):
                return Answer(fact, _DONE)
            case.after = fact
            if answer := await self._decided(case, lane, fact, before):
                return answer

    async def _attempt(self, case: Case) -> Fact:
        case.attempt += 1
        batch, ends = case.batch, self._ends
        request_id = ends.new_id()
        ids = msgspec.json.encode(batch.run_ids)
        self._outcomes.sent(batch, case.attempt, request_id, ids)
        await ends.recorder.durable()
        try:
            await self._turns.spaced()
        except LeaveOffError:
            self._outcomes.kept_back(batch, case.attempt)
            raise
        left_at = ends.clock()
        self.in_flight += 1
        try:
            fact = await ends.transport.delete_runs(
                batch.result_id, b'{"run_ids":%b}' % ids, request_id
            )
        finally:
            self.in_flight -= 1
        now = ends.clock()
        if isinstance(fact, Deleted):
            self._outcomes.deleted(batch, case.attempt, fact)
        self._gate.note(fact, now)
        if change := ends.pace.note(fact, now - left_at):
            self._outcomes.job(change)
        return fact

    async def _decided(self, case: Case, lane: Lane, fact: Fact, before: float) -> Answer | None:
        """Decide, and wait where it says so; None: send again. `before`: when the last one left."""
        circuit, now = self._gate.circuit, self._ends.clock()
        outage = circuit.is_outage(fact, before)
        case.throttled += isinstance(fact, Throttled)
        case.outages += outage
        standing = Standing(
            attempt=case.attempt,
            throttled=case.throttled,
            outages=case.outages,
            elapsed_s=now - (case.first_at or now),
            doubted=bool(case.batch.doubted),
            accepted=lane.accepted,
            outage=outage,
            readable=self._reader.allowed,
            looked=case.looked and not case.lost,
        )
        decision = decide(fact, standing, self._retry, self._ends.dice())
        if isinstance(decision, Again | Refuse) and decision.in_doubt:
            case.batch = replace(case.batch, doubted=frozenset(case.batch.run_ids))
            case.lost = True
        match decision:
            case Again():
                await self._again(case, fact, decision)
                return Answer(fact, decision) if decision.look else None
            case StopJob():
                self._outcomes.open_still(case.batch, case.attempt, fact)
                why = decision.detail or "no words"
                self._brake.pull(KeyRejected(f"the API does not accept the key (401: {why})"))
                raise LeaveOffError
            case Refuse(worn_out=True) if isinstance(fact, NotSent) and circuit.is_lost(before):
                self._outcomes.open_still(case.batch, case.attempt, fact)
                self._gate.give_up("it could not be connected to")
                raise LeaveOffError
            case _:
                return Answer(fact, decision)

    async def _held_back(self, shield: Shield, case: Case) -> frozenset[int]:
        held: frozenset[int] = frozenset()
        try:
            with self._brake.wait():
                held = await shield.held_back(case.batch.result_id, case.batch.run_ids)
        except GaveUp as ending:
            self._brake.pull(ending)
        if self._brake.pulled:
            raise LeaveOffError
        return held

    async def _again(self, case: Case, fact: Fact, decision: Again) -> None:
        self._outcomes.open_still(
            case.batch,
            case.attempt,
            fact,
            in_doubt=decision.in_doubt,
            wait_s=decision.wait_s,
            asked_s=decision.asked_s,
        )
        if decision.all_wait:
            self._ends.pace.pause(decision.wait_s)
            self._gate.circuit.pause_until(self._ends.clock() + decision.wait_s)
            return
        await self._gate.back_off(decision.wait_s)
