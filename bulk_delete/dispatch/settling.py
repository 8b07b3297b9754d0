"""What becomes of a batch once something was decided: settled, read back, sent again, isolated."""

from dataclasses import replace
from typing import assert_never

from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.isolating import Isolator
from bulk_delete.dispatch.lanes import Case, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.reading import Reader
from bulk_delete.dispatch.sending import Answer, HeldBack
from bulk_delete.health import Health
from bulk_delete.model import BadRequest, Batch, Fact, ResultNotFound
from bulk_delete.readback import Blind, Conclusion, NoResult, Sight
from bulk_delete.retry import Again, Done, EndResult, Look, Refuse, Split


class Settler:
    """Works on the stack of a `Work`."""

    def __init__(
        self, outcomes: Outcomes, health: Health, gate: Gate, reader: Reader, isolator: Isolator
    ) -> None:
        self._outcomes = outcomes
        self._health = health
        self._gate = gate
        self._reader = reader
        self._isolator = isolator

    async def act(self, work: Work, case: Case, answer: Answer) -> EndResult | None:
        """Carry a decision out; return what ends the result."""
        fact, decision = answer.fact, answer.decision
        if not isinstance(fact, BadRequest) and not isinstance(decision, Again):
            self._health.prove()
        match decision:
            case Done():
                work.lane.has_accepted = True
            case Again():
                conclusion = await self._look(work, case)
                rest = self._settle(work, case, conclusion, fact)
                work.todo += [rest] if rest else []
            case Look():
                return await self._look_into(work, case, fact, decision)
            case Split():
                self._isolator.isolate(work, case, fact, decision.reason, told=False)
            case Refuse():
                await self._refuse(work, case, fact, decision)
            case EndResult():
                self._isolator.refuse(work, case.batch, fact, decision.reason)
                return decision
            case _:
                assert_never(decision)
        return None

    async def clear_doubt(self, work: Work, batch: Batch) -> Case | None:
        """Read back what an earlier execution left in doubt, before its first call leaves."""
        doubted = tuple(run for run in batch.run_ids if run in batch.doubted)
        conclusion = await self._reader.look(batch.number, batch.result_id, doubted, work.lane.left)
        case = Case(batch, lost=True)
        if not isinstance(conclusion, Sight):
            return case
        case.batch = self._prove(work, batch, conclusion, None)
        return case if case.batch.run_ids else None

    def hold_doubt(self, work: Work, batch: Batch) -> Case | None:
        """Leave alone what an earlier execution left in doubt."""
        self._outcomes.held_in_doubt(batch)
        work.fail(batch.doubted)
        rest = tuple(run for run in batch.run_ids if run not in batch.doubted)
        return Case(replace(batch, run_ids=rest, doubted=frozenset())) if rest else None

    def hold_back(self, work: Work, case: Case, held: HeldBack) -> None:
        """Leave out what is protected; the rest of a batch that was sent goes on as a new one."""
        batch, sent = case.batch, case.attempt > 0
        rest = tuple(run for run in batch.run_ids if run not in held.run_ids)
        new = (
            self._isolator.part(batch, rest)
            if sent and rest
            else replace(batch, run_ids=rest, doubted=batch.doubted.intersection(rest))
        )
        if sent:
            self._outcomes.split(batch, (new.number,) if rest else ())
        self._outcomes.held_back(batch, held.run_ids)
        work.hold_back(held.run_ids)
        if rest:
            work.todo.append(Case(new, looked=case.looked, lost=case.lost))

    async def _look(self, work: Work, case: Case, *, result_first: bool = False) -> Conclusion:
        batch = case.batch
        return await self._reader.look(
            batch.number, batch.result_id, batch.run_ids, work.lane.left, result_first=result_first
        )

    async def _look_into(
        self, work: Work, case: Case, fact: Fact, decision: Look
    ) -> EndResult | None:
        """Read back what the API refuses, and go on with what is there."""
        self._outcomes.open_still(case.batch, case.attempt, fact)
        conclusion = await self._look(work, case, result_first=decision.result_first)
        case.looked, reason = True, decision.reason
        match conclusion:
            case NoResult():
                ends = True
            case Blind():
                untouched = not work.lane.accepted and not case.batch.doubted
                ends = conclusion.forbidden and untouched and isinstance(fact, ResultNotFound)
            case Sight():
                rest = self._settle(work, case, conclusion, fact)
                if conclusion.settles:
                    work.todo += [rest] if rest else []
                    return None
                ends = False
        if ends:
            self._isolator.refuse(work, case.batch, fact, reason)
            return EndResult(reason)
        reason = "not found" if decision.result_first else reason
        self._isolator.isolate(work, case, fact, reason, told=True)
        return None

    def _settle(self, work: Work, case: Case, conclusion: Conclusion, fact: Fact) -> Case | None:
        """Write what a read-back proves; return what is left to be sent."""
        if not isinstance(conclusion, Sight):
            return case
        batch = case.batch
        left = self._prove(work, batch, conclusion, fact)
        case.batch = replace(batch, doubted=left.doubted)
        if not left.run_ids:
            return None
        if len(left.run_ids) == len(batch.run_ids):
            return case
        part = self._isolator.part(left, left.run_ids)
        self._outcomes.split(batch, (part.number,))
        return Case(part, case.looked, case.lost, first_at=case.first_at, after=fact)

    def _prove(self, work: Work, batch: Batch, sight: Sight, fact: Fact | None) -> Batch:
        """Write what was read; return the batch without what that settles."""
        self._outcomes.read_back(batch, sight, fact)
        work.fail(sight.elsewhere)
        settled = {*sight.absent, *sight.elsewhere}
        return replace(
            batch,
            run_ids=tuple(run for run in batch.run_ids if run not in settled),
            doubted=batch.doubted.intersection(sight.unproven),
        )

    async def _refuse(self, work: Work, case: Case, fact: Fact, decision: Refuse) -> None:
        batch, part = case.batch, False
        if decision.look:
            self._outcomes.open_still(batch, case.attempt, fact, in_doubt=decision.in_doubt)
            conclusion = await self._look(work, case)
            if isinstance(conclusion, Sight):
                batch = self._prove(work, batch, conclusion, fact)
                part = len(batch.run_ids) < len(case.batch.run_ids)
        if batch.run_ids:
            self._isolator.refuse(work, batch, fact, decision.reason, part=part)
        if decision.worn_out:
            self._gate.wear_out()
