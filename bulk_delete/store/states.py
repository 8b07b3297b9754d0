"""The state of every pair that a journal tells of, on the disk: a byte each.

Pairs of the job's plan have theirs by their place in it. What earlier plans of the job asked for
besides, the strays, is made a plan of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from typing import TypeVar

import msgspec
import numpy as np

from bulk_delete.columns import Columns, Positions
from bulk_delete.ledger import CODES, DONE, DOUBTED, STATES, UNTOLD, Codes, Sink, Step, among
from bulk_delete.model import Before, Pair, State, Verdict
from bulk_delete.store.coded import CodedPlan
from bulk_delete.store.kept import VERSION as KEPT_VERSION
from bulk_delete.store.kept import Kept, KeptHead, sealed
from bulk_delete.store.plan_file import Plan
from bulk_delete.store.saved_plan import copied_plan
from bulk_delete.store.scratch import Scratch
from bulk_delete.store.strays import Strays
from bulk_delete.store.verdicts import Verdicts

_DOUBTED = {CODES[state] for state in DOUBTED}
_DONE = {CODES[state] for state in DONE}
_FAILED = CODES[State.FAILED]
_MOST_PARTS = 4
"""Plans whose states are kept; where there are more, all are sorted into one by a new reading."""


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

    def codes_along(self, plan: Plan) -> Callable[[Columns], Codes]:
        """Return what tells the states of a plan's chunks; it wants them one after the other."""
        part = next((part for part in self._parts if part.plan is plan), None)
        if part is None:
            return self.codes
        codes = part.codes_along()
        return lambda columns: codes(columns.rows)

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

    def writer(self, scratch: Scratch) -> "StatesWriter":
        """Return a writer that goes on from here, on a copy of its own. Raises ScratchError."""
        writer = StatesWriter(scratch, verdicts=self._verdicts, is_empty=self.is_empty)
        try:
            for part in self._parts:
                writer.add(part.copy())
        except BaseException:
            writer.close()
            raise
        return writer

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

    Pairs are looked for in the plans that were added, the job's first, if that is known.
    """

    def __init__(
        self, scratch: Scratch, *, verdicts: Verdicts | None = None, is_empty: bool = True
    ) -> None:
        self._scratch = scratch
        self._files = ExitStack()
        self._verdicts = verdicts or Verdicts(scratch)
        if not verdicts:
            self._files.callback(self._verdicts.close)
        self._parts: list[CodedPlan] = []
        self._strays: Strays | None = None
        self._is_empty = is_empty

    def add(self, part: CodedPlan) -> None:
        """Take a plan to look for pairs in; its states are this writer's to close."""
        self._files.callback(part.close)
        self._parts.append(part)

    def restore(self, kept: Kept, universe: Plan) -> None:
        """Take what was kept of the plan. Raises ScratchError, and OSError for a failing disk."""
        for number, part in enumerate(kept.head.parts):
            plan = universe
            if number:
                plan = copied_plan(kept.take(part.plan), part.figures, self._scratch)
                self._files.callback(plan.close)
            coded = CodedPlan(plan, self._scratch)
            self.add(coded)
            coded.fill(kept.take(part.codes), kept.take(part.verdicts) if part.verdicts else None)
        self._verdicts.fill(kept.take(kept.head.reasons))
        self._is_empty = False

    def kept(self, told: bytes) -> Iterator[bytes] | None:
        """Yield the bytes of a file that `restore` takes; None where it would not be worth it.

        `told` is JSON that is kept with it. No step may be taken before all is yielded.
        """
        if self._strays or not 0 < len(self._parts) <= _MOST_PARTS:
            return None
        found = [part.kept(plan=bool(number)) for number, part in enumerate(self._parts)]
        parts = tuple(part for part, _ in found)
        head = KeptHead(KEPT_VERSION, msgspec.Raw(told), parts, self._verdicts.size)
        return sealed(head, chain(*(data for _, data in found), self._verdicts.raw()))

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: Verdict | None = None
    ) -> None:
        """Take a step with some runs of a result; `verdict` is why they end there."""
        self._is_empty = False
        number = self._verdicts.number(verdict) if verdict else 0
        for part in self._parts:
            run_ids = part.apply(result_id, run_ids, step, number)
            if not run_ids:
                return
        if run_ids:
            if self._strays is None:
                self._strays = Strays(self._scratch)
                self._files.callback(self._strays.close)
            self._strays.apply(result_id, run_ids, step, number)

    def done(self, result_id: int, run_ids: tuple[int, ...]) -> list[int]:
        """Return those of some runs in the plan that are deleted or gone by now."""
        told = self._parts[0].told(result_id, run_ids) if self._parts else ()
        return [run for run, code in told if code in _DONE]

    def count(self) -> Mapping[State, int]:
        """Count the pairs of the plan in each state."""
        return _counted(self._parts[0].codes()) if self._parts else {}

    def states(self) -> States:
        """Return what was told; the writer must not be used any more."""
        parts = list(self._parts)
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


def states_writer(scratch: Scratch, universe: Plan | None) -> StatesWriter:
    """Make a writer that knows of nothing yet; `universe` has most of the pairs, if it is known."""
    writer = StatesWriter(scratch)
    if universe:
        writer.add(CodedPlan(universe, scratch))
    return writer


Found = TypeVar("Found")


def states_told(
    tell: Callable[[Sink], Found], scratch: Scratch, universe: Plan | None
) -> tuple[Found, States]:
    """Have a journal told; return what the teller returns, and the states of all pairs."""
    return states_of(tell, states_writer(scratch, universe))


def states_of(tell: Callable[[Sink], Found], writer: StatesWriter) -> tuple[Found, States]:
    """Have a journal told to a writer; return what the teller returns, and the states."""
    try:
        found = tell(writer)
        return found, writer.states()
    except BaseException:
        writer.close()
        raise
