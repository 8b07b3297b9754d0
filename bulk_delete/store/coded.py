"""A plan with a byte for each of its pairs, and a verdict for some; both on the disk."""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from bulk_delete.columns import AT_ONCE, Columns, Positions
from bulk_delete.ledger import CODES, DELETED, UNTOLD, Codes, Step, among, shown
from bulk_delete.model import State
from bulk_delete.store.kept import KeptPart
from bulk_delete.store.locating import Locator
from bulk_delete.store.plan_file import Plan
from bulk_delete.store.scratch import Scratch, ScratchBytes

_DELETED = bytes([CODES[State.DELETED]])
_NUMBER = np.dtype("<u4")
VerdictNumbers: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
"""The numbers of verdicts."""


class CodedPlan:
    """The plan is its maker's to close, the bytes are its own."""

    def __init__(self, plan: Plan, scratch: Scratch) -> None:
        self.plan = plan
        self._scratch = scratch
        self._locator = Locator(plan)
        self._codes = scratch.zeros(plan.figures.runs)
        self._verdicts: ScratchBytes | None = None

    def close(self) -> None:
        self._codes.close()
        if self._verdicts:
            self._verdicts.close()

    def copy(self) -> "CodedPlan":
        """Make another one of the same plan, for steps of its own. Raises ScratchError."""
        other = CodedPlan(self.plan, self._scratch)
        try:
            other.fill(self._codes.chunks(), self._verdicts.chunks() if self._verdicts else None)
        except BaseException:
            other.close()
            raise
        return other

    def fill(self, codes: Iterable[bytes], verdicts: Iterable[bytes] | None) -> None:
        """Take the bytes of another one of the same plan. Raises ScratchError."""
        self._codes.fill(codes)
        if verdicts is not None:
            self._verdicts = self._scratch.zeros(self._codes.size * _NUMBER.itemsize)
            self._verdicts.fill(verdicts)

    def kept(self, *, plan: bool) -> tuple[KeptPart, Iterator[bytes]]:
        """Return what is to be kept of it, with its plan or without."""
        size = self.plan.size if plan else 0
        verdicts = self._verdicts.size if self._verdicts else 0
        parts = chain(
            self.plan.raw() if plan else (),
            self._codes.chunks(),
            self._verdicts.chunks() if self._verdicts else (),
        )
        return KeptPart(self.plan.figures, size, self._codes.size, verdicts), parts

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: int
    ) -> tuple[int, ...]:
        """Take a step with some runs of a result; return those that are not in the plan."""
        if step is DELETED:  # most batches, whatever was before
            place = self._locator.next_place(result_id, run_ids)
            if place is not None:
                self._codes.write(place, step[:1] * len(run_ids))
                return ()
        stretches, others = self._locator.locate(result_id, run_ids)
        for place, size, offsets, _ in stretches:
            if offsets is None:
                self._codes.write(place, self._codes.read(place, size).translate(step))
            else:
                new = np.array(np.frombuffer(self._codes.read(place, size), np.uint8))
                new[offsets] = np.frombuffer(step, np.uint8)[new[offsets]]
                self._codes.write(place, new.data)
            if verdict:
                self._set_verdict(place, size, offsets, verdict)
        return others

    def told(self, result_id: int, run_ids: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Yield the runs that are in the plan and of which anything was told, with their states."""
        stretches, _ = self._locator.locate(result_id, run_ids)
        for place, size, offsets, runs in stretches:
            codes = self._codes.read(place, size)
            if codes.count(UNTOLD) < size:
                states = shown(codes) if offsets is None else shown(codes)[offsets]
                pairs = zip(runs, states.tolist(), strict=True)
                yield from (pair for pair in pairs if pair[1] != UNTOLD)

    def was_accepted(self, result_id: int) -> bool:
        """Tell whether any run of a result is deleted."""
        start, end = self._locator.bounds(result_id) or (0, 0)
        return any(
            _DELETED in self._codes.read(at, min(AT_ONCE, end - at))
            for at in range(start, end, AT_ONCE)
        )

    def codes(self) -> Iterator[Codes]:
        """Yield the states of all pairs, in the plan's order."""
        for at in range(0, self._codes.size, AT_ONCE):
            yield shown(self._codes.read(at, min(AT_ONCE, self._codes.size - at)))

    def codes_along(self) -> Callable[[int], Codes]:
        """Return what reads the states of the next so many pairs, in the plan's order."""
        place = 0

        def codes(count: int) -> Codes:
            nonlocal place
            found = shown(self._codes.read(place, count))
            place += count
            return found

        return codes

    def in_states(self, states: AbstractSet[State]) -> Iterator[Columns]:
        """Yield the pairs that are in one of the states; the plan is read only if there are any."""
        if any(among(codes, states).any() for codes in self.codes()):
            codes_of = self.codes_along()
            for columns in self.plan.chunks():
                yield columns.part(among(codes_of(columns.rows), states))

    def codes_at(self, places: Positions) -> Codes:
        """Return the states at ascending places."""
        found = np.empty(places.size, np.uint8)
        for some, start, stop in _windows(places):
            found[some] = shown(self._codes.read(start, stop - start))[places[some] - start]
        return found

    def verdicts_at(self, places: Positions) -> VerdictNumbers:
        """Return the numbers of the verdicts at ascending places, 0 where there is none."""
        found = np.zeros(places.size, np.uint32)
        if self._verdicts:
            for some, start, stop in _windows(places):
                numbers = _read(self._verdicts, start, stop - start)
                found[some] = numbers[places[some] - start]
        return found

    def places(self, columns: Columns) -> Positions:
        """Return the place of each of some ascending pairs, -1 for one that is not in the plan."""
        return self._locator.places(columns)

    def _set_verdict(self, place: int, size: int, offsets: Positions | None, verdict: int) -> None:
        if self._verdicts is None:
            self._verdicts = self._scratch.zeros(self._codes.size * _NUMBER.itemsize)
        if offsets is None:
            numbers = np.full(size, verdict, _NUMBER)
        else:
            numbers = np.array(_read(self._verdicts, place, size))
            numbers[offsets] = verdict
        self._verdicts.write(place * _NUMBER.itemsize, numbers.data.cast("B"))


def _read(numbers: ScratchBytes, place: int, count: int) -> VerdictNumbers:
    size = _NUMBER.itemsize
    return np.frombuffer(numbers.read(place * size, count * size), _NUMBER)


def _windows(places: Positions) -> Iterator[tuple[slice, int, int]]:
    """Cut ascending places so that those of one part lie within AT_ONCE of each other.

    Yields which ones they are, the first of them, and the one after the last.
    """
    at = 0
    while at < places.size:
        start = int(places[at])
        upto = int(np.searchsorted(places, start + AT_ONCE))
        yield slice(at, upto), start, int(places[upto - 1]) + 1
        at = upto
