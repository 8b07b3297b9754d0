"""Finding the runs that spoil a batch: it is split in halves, until each of them stands alone."""

from collections.abc import Callable

from bulk_delete.dispatch.lanes import Case, Lane, Work
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.health import Health
from bulk_delete.model import BadRequest, Batch, Fact


class Isolator:
    """Works on the stack of a `Work`.

    `number` gives the next batch's, `split_calls` is the most calls that splitting may make.
    """

    def __init__(
        self, outcomes: Outcomes, health: Health, number: Callable[[], int], split_calls: int
    ) -> None:
        self._outcomes = outcomes
        self._health = health
        self._number = number
        self._calls_left = split_calls

    def part(self, batch: Batch, run_ids: tuple[int, ...]) -> Batch:
        """Return some runs of a batch as a batch of its own."""
        doubted = batch.doubted.intersection(run_ids)
        return Batch(self._number(), batch.result_id, run_ids, doubted, batch.number)

    def refuse(
        self, work: Work, batch: Batch, fact: Fact, reason: str, *, part: bool = False
    ) -> None:
        """Settle runs as refused; `part`: they are what is left of the batch of this number."""
        self._outcomes.refused(batch, fact, reason, part=part)
        work.fail(batch.run_ids)

    def isolate(self, work: Work, case: Case, fact: Fact, reason: str, *, told: bool) -> None:
        """Split a refused batch, once it is clear that not all gets a 400.

        `told`: that the refusal has settled nothing is written already.
        """
        first = isinstance(fact, BadRequest) and work.is_news and not work.told_bad
        if isinstance(fact, BadRequest) and work.is_news:
            self._health.bad_request(planned=first)
            work.told_bad = True
        if first and len(case.batch.run_ids) > 1 and not self._health.proven:
            if not told:
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

    def refuse_aside(self, lane: Lane, fact: Fact, reason: str) -> None:
        """Settle what was put aside of a result that has ended."""
        for work in lane.put_aside:
            for case in work.todo:
                self.refuse(work, case.batch, fact, reason)
            self._health.ended(work.failed)
        lane.put_aside.clear()

    def _divide(self, work: Work, case: Case, fact: Fact, reason: str) -> None:
        """Put a batch's halves in its place; a single run is refused."""
        if len(case.batch.run_ids) == 1:
            self.refuse(work, case.batch, fact, reason)
        elif self._calls_left < 2:  # noqa: PLR2004 - a call for each half
            self.refuse(work, case.batch, fact, f"{reason}; split_calls are used up")
        else:
            self._split(work, case)

    def _split(self, work: Work, case: Case) -> None:
        """Close a batch and put its halves in its place, the first half on top."""
        batch = case.batch
        middle = (len(batch.run_ids) + 1) // 2
        halves = [
            self.part(batch, run_ids)
            for run_ids in (batch.run_ids[:middle], batch.run_ids[middle:])
        ]
        self._calls_left -= len(halves)
        self._outcomes.split(batch, tuple(half.number for half in halves))
        work.todo += [Case(half, looked=case.looked, lost=case.lost) for half in reversed(halves)]
