"""The state of every pair that a journal tells of, on the disk: a byte each.

Pairs of the job's plan have theirs by their place in it. What earlier plans of the job asked for
besides, the strays, is made a plan of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TypeVar

import numpy as np

from bulk_delete.columns import Columns, Positions
from bulk_delete.ledger import CODES, DONE, DOUBTED, STATES, UNTOLD, Codes, Sink, Step, among
from bulk_delete.model import Before, Pair, State, Verdict
from bulk_delete.store.coded import CodedPlan
from bulk_delete.store.plan_file import Plan
from bulk_delete.store.scratch import Scratch
from bulk_delete.store.strays import Strays
from bulk_delete.store.verdicts import Verdicts

_DOUBTED = {CODES[state] for state in DOUBTED}
_DONE = {CODES[state] for state in DONE}
_FAILED = CODES[State.FAILED]


class States:
    """Of pairs that no event named, the state is unsent. `close` it when it is no more needed.

    `is_empty`: no event named any pair.
    """

    def __init__(
        self, parts: list[CodedPlan], verdicts: Verdicts, files: ExitStack, *, is_empty: bool
    ) -> None:
        self._parts = parts
        self._verdicts = verdicts
        self._files = files
        self.is_empty = is_empty

    def before(self, result_id: int, run_ids: tuple[int, ...]) -> Before | None:
        """Tell how some runs were left; None where nothing was ever told of any of them."""
        if self.is_empty:
            return None
        told = [pair for part in self._parts for pair in part.told(result_id, run_ids)]
        if not told:
            return None
        return Before(
            doubted=frozenset(run for run, code in told if code in _DOUBTED),
            failed=frozenset(run for run, code in told if code == _FAILED),
        )

    def was_accepted(self, result_id: int) -> bool:
        """Tell whether any run of a result is deleted."""
        return not self.is_empty and any(part.was_accepted(result_id) for part in self._parts)

    def codes(self, columns: Columns) -> Codes:
        """Return the state of each of some ascending pairs, as its place in STATES."""
        codes = np.full(columns.rows, UNTOLD, np.uint8)
        for part, rows, places in self._found(columns):
            codes[rows] = part.codes_at(places)
        return codes

    def count(self, chunks: Iterable[Columns]) -> Mapping[State, int]:
        """Count the ascending pairs in each state."""
        return _counted(self.codes(columns) for columns in chunks)

    def count_plan(self, plan: Plan) -> Mapping[State, int]:
        """Count the pairs of a plan in each state."""
        for part in self._parts:
            if part.plan is plan:
                return _counted(part.codes())
        return self.count(plan.chunks())

    def in_state(self, plan: Plan, state: State) -> Iterator[Columns]:
        """Yield those pairs of a plan that are in a state."""
        for part in self._parts:
            if part.plan is plan:
                yield from part.in_states({state})
                return
        for columns in plan.chunks():
            yield columns.part(among(self.codes(columns), {state}))

    def pairs_in(self, states: frozenset[State]) -> Iterator[Columns]:
        """Yield every pair in one of the states, whatever plan it came from."""
        for part in self._parts:
            yield from part.in_states(states)

    def told(self, chunks: Iterable[Columns]) -> Iterator[tuple[Pair, Verdict]]:
        """Yield ascending pairs with their states, and the reasons where any were given."""
        for columns in chunks:
            codes = self.codes(columns)
            numbers = np.zeros(columns.rows, np.uint32)
            for part, rows, places in self._found(columns):
                numbers[rows] = part.verdicts_at(places)
            pairs = zip(columns.pairs(), codes.tolist(), numbers.tolist(), strict=True)
            for pair, code, number in pairs:
                verdict = self._verdicts.get(number)
                state = STATES[code]
                if verdict is None or verdict.state is not state:
                    verdict = Verdict(state, "", None, "")
                yield pair, verdict

    def close(self) -> None:
        self._files.close()

    def _found(self, columns: Columns) -> Iterator[tuple[CodedPlan, Positions, Positions]]:
        """Yield each plan that has some of the pairs: which rows of them, and at what places."""
        if not self.is_empty:
            for part in self._parts:
                places = part.places(columns)
                rows = np.flatnonzero(places >= 0)
                if rows.size:
                    yield part, rows, places[rows]
                if rows.size == columns.rows:
                    return


def _counted(parts: Iterable[Codes]) -> Mapping[State, int]:
    total = np.zeros(len(STATES), np.int64)
    for codes in parts:
        total += np.bincount(codes, minlength=len(STATES))
    return {state: count for state, count in zip(STATES, total.tolist(), strict=True) if count}


class StatesWriter:
    """Takes pairs through the steps of a journal; raises ScratchError.

    `universe` is the plan that most of them are in, if one is known.
    """

    def __init__(self, scratch: Scratch, universe: Plan | None) -> None:
        self._scratch = scratch
        self._files = ExitStack()
        self._verdicts = Verdicts(scratch)
        self._files.callback(self._verdicts.close)
        self._strays: Strays | None = None
        self._universe: CodedPlan | None = None
        if universe:
            self._universe = CodedPlan(universe, scratch)
            self._files.callback(self._universe.close)
        self._is_empty = True

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: Verdict | None = None
    ) -> None:
        """Take a step with some runs of a result; `verdict` is why they end there."""
        self._is_empty = False
        number = self._verdicts.number(verdict) if verdict else 0
        if self._universe:
            run_ids = self._universe.apply(result_id, run_ids, step, number)
        if run_ids:
            if self._strays is None:
                self._strays = Strays(self._scratch)
                self._files.callback(self._strays.close)
            self._strays.apply(result_id, run_ids, step, number)

    def done(self, result_id: int, run_ids: tuple[int, ...]) -> list[int]:
        """Return those of some runs in the plan that are deleted or gone by now."""
        told = self._universe.told(result_id, run_ids) if self._universe else ()
        return [run for run, code in told if code in _DONE]

    def count(self) -> Mapping[State, int]:
        """Count the pairs of the plan in each state."""
        return _counted(self._universe.codes()) if self._universe else {}

    def states(self) -> States:
        """Return what was told; the writer must not be used any more."""
        parts = [self._universe] if self._universe else []
        if self._strays:
            plan = self._strays.plan()
            self._files.callback(plan.close)
            coded = CodedPlan(plan, self._scratch)
            self._files.callback(coded.close)
            self._strays.tell(coded)
            self._strays.close()
            parts.append(coded)
        return States(parts, self._verdicts, self._files.pop_all(), is_empty=self._is_empty)

    def close(self) -> None:
        """Leave off."""
        self._files.close()


Found = TypeVar("Found")


def states_told(
    tell: Callable[[Sink], Found], scratch: Scratch, universe: Plan | None
) -> tuple[Found, States]:
    """Have a journal told; return what the teller returns, and the states of all pairs."""
    writer = StatesWriter(scratch, universe)
    try:
        found = tell(writer)
        return found, writer.states()
    except BaseException:
        writer.close()
        raise
