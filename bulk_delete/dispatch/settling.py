"""What becomes of a batch once something was decided: settled, read back, split or put aside."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.lanes import Case, Lane, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.reading import Reader
from bulk_delete.dispatch.sending import Answer, HeldBack
from bulk_delete.health import Health
from bulk_delete.model import BadRequest, Batch, Fact, ResultNotFound
from bulk_delete.readback import Blind, Conclusion, NoResult, Sight
from bulk_delete.retry import Again, Done, EndResult, Look, Refuse, Split

RefuseRest = Callable[[Work, Fact, str], None]


class Settler:
    """Works on the stack of a `Work`.

    `number` gives the next batch's, `split_calls` is the most calls that splitting may make.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        health: Health,
        gate: Gate,
        reader: Reader,
        number: Callable[[], int],
        split_calls: int,
    ) -> None:
        self._outcomes = outcomes
        self._health = health
        self._gate = gate
        self._reader = reader
        self._number = number
        self._split_calls_left = split_calls

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
                self._isolate(work, case, fact, decision.reason)
            case Refuse():
                await self._refuse(work, case, fact, decision)
            case EndResult():
                self._outcomes.refused(case.batch, fact, decision.reason)
                work.fail(case.batch.run_ids)
                return decision
            case _:
                assert_never(decision)
        return None

    async def clear_doubt(self, work: Work, batch: Batch) -> Case | None:
        """Read back what an earlier execution left in doubt, before its first call leaves."""
        doubted = tuple(run for run in batch.run_ids if run in batch.doubted)
        conclusion = await self._reader.look(batch.number, batch.result_id, doubted, work.lane.left)
        case = Case(batch)
        if not isinstance(conclusion, Sight):
            return case
        self._outcomes.read_back(batch, conclusion, None)
        work.fail(conclusion.elsewhere)
        out = {*conclusion.absent, *conclusion.elsewhere}
        rest = tuple(run for run in batch.run_ids if run not in out)
        case.batch = replace(batch, run_ids=rest, doubted=frozenset(conclusion.unproven))
        return case if rest else None

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
            self._part(batch, rest)
            if sent and rest
            else replace(batch, run_ids=rest, doubted=batch.doubted.intersection(rest))
        )
        if sent:
            self._outcomes.split(batch, (new.number,) if rest else ())
        self._outcomes.held_back(batch, held.run_ids)
        work.hold_back(held.run_ids)
        if rest:
            work.todo.append(Case(new, looked=case.looked))

    def _split(self, work: Work, case: Case) -> None:
        """Close a batch and put its halves in its place, the first half on top."""
        batch = case.batch
        middle = (len(batch.run_ids) + 1) // 2
        halves = [
            self._part(batch, run_ids)
            for run_ids in (batch.run_ids[:middle], batch.run_ids[middle:])
        ]
        self._split_calls_left -= len(halves)
        self._outcomes.split(batch, tuple(half.number for half in halves))
        work.todo += [Case(half, looked=case.looked) for half in reversed(halves)]

    def _part(self, batch: Batch, run_ids: tuple[int, ...]) -> Batch:
        doubted = batch.doubted.intersection(run_ids)
        return Batch(self._number(), batch.result_id, run_ids, doubted, batch.number)

    async def _look(self, work: Work, case: Case, *, result_first: bool = False) -> Conclusion:
        batch = case.batch
        case.looked = True
        return await self._reader.look(
            batch.number, batch.result_id, batch.run_ids, work.lane.left, result_first=result_first
        )

    async def _look_into(
        self, work: Work, case: Case, fact: Fact, decision: Look
    ) -> EndResult | None:
        """Read back what the API refuses, and go on with what is there."""
        self._outcomes.open_still(case.batch, case.attempt, fact)
        conclusion = await self._look(work, case, result_first=decision.result_first)
        match conclusion:
            case NoResult():
                ends = True
            case Blind(forbidden=True):
                ends = not work.lane.accepted and not case.batch.doubted
                ends = ends and isinstance(fact, ResultNotFound)
            case Sight() if conclusion.settles:
                rest = self._settle(work, case, conclusion, fact)
                work.todo += [rest] if rest else []
                return None
            case _:
                ends = False
        if ends:
            self._outcomes.refused(case.batch, fact, decision.reason)
            work.fail(case.batch.run_ids)
            return EndResult(decision.reason)
        self._isolate(work, case, fact, "not found" if decision.result_first else decision.reason)
        return None

    def _settle(self, work: Work, case: Case, conclusion: Conclusion, fact: Fact) -> Case | None:
        """Write what a read-back proves; return what is left to be sent."""
        if not isinstance(conclusion, Sight):
            return case
        batch = case.batch
        self._outcomes.read_back(batch, conclusion, fact)
        work.fail(conclusion.elsewhere)
        rest = tuple(
            run
            for run in batch.run_ids
            if run not in conclusion.absent and run not in conclusion.elsewhere
        )
        doubted = batch.doubted.intersection(conclusion.unproven)
        case.batch = replace(batch, doubted=doubted)
        if len(rest) == len(batch.run_ids) or not rest:
            return case if rest else None
        part = self._part(case.batch, rest)
        self._outcomes.split(batch, (part.number,))
        return Case(part, looked=case.looked, first_at=case.first_at, after=fact)

    def _isolate(self, work: Work, case: Case, fact: Fact, reason: str) -> None:
        """Find the bad runs of a batch by halves, once it is clear that not all gets a 400."""
        first = isinstance(fact, BadRequest) and work.is_news and not work.told_bad
        if isinstance(fact, BadRequest) and work.is_news:
            self._health.bad_request(planned=first)
            work.told_bad = True
        if first and len(case.batch.run_ids) > 1 and not self._health.proven:
            if not case.looked:
                self._outcomes.open_still(case.batch, case.attempt, fact)
            work.todo.append(case)
            work.put_aside = True
            work.lane.put_aside.append(work)
        else:
            self._divide(work, case, fact, reason)

    def take_up(self, work: Work) -> None:
        """Split what was put aside."""
        work.put_aside = False
        case = work.todo.pop()
        if case.after:
            self._divide(work, case, case.after, "bad request")

    def _divide(self, work: Work, case: Case, fact: Fact, reason: str) -> None:
        """Put a batch's halves in its place; a single run is refused."""
        if len(case.batch.run_ids) == 1:
            self._refuse_all(work, case.batch, fact, reason)
        elif self._split_calls_left < 2:  # noqa: PLR2004 - a call for each half
            self._refuse_all(work, case.batch, fact, f"{reason}; split_calls are used up")
        else:
            self._split(work, case)

    def _refuse_all(
        self, work: Work, batch: Batch, fact: Fact, reason: str, *, part: bool = False
    ) -> None:
        self._outcomes.refused(batch, fact, reason, part=part)
        work.fail(batch.run_ids)

    async def _refuse(self, work: Work, case: Case, fact: Fact, decision: Refuse) -> None:
        batch, part = case.batch, False
        if decision.look:
            self._outcomes.open_still(batch, case.attempt, fact, in_doubt=decision.in_doubt)
            conclusion = await self._look(work, case)
            if isinstance(conclusion, Sight):
                self._outcomes.read_back(batch, conclusion, fact)
                work.fail(conclusion.elsewhere)
                rest = (*conclusion.present, *conclusion.unproven)
                part = len(rest) < len(batch.run_ids)
                doubted = batch.doubted.intersection(conclusion.unproven)
                batch = replace(batch, run_ids=rest, doubted=doubted)
        if batch.run_ids:
            self._refuse_all(work, batch, fact, decision.reason, part=part)
        if decision.worn_out:
            self._gate.wear_out()

    def refuse_aside(self, lane: Lane, fact: Fact, reason: str) -> None:
        """Settle what was put aside of a result that has ended."""
        for aside in lane.put_aside:
            self._outcomes.refused(aside.todo[0].batch, fact, reason)
            self._health.ended(aside.runs - len(aside.failed_before))
        lane.put_aside.clear()
