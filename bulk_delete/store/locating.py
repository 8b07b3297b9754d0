"""Where in a plan its pairs stand, found by reading a little of it.

Places are counted from 0, in the plan's order. Memory holds one result id in _BLOCK and the blocks
of results that were asked for last; pages of the file are read, not mapped, as mapped ones count
as memory.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from bulk_delete.columns import AT_ONCE, Columns, Numbers, Positions, places_in
from bulk_delete.model import Pair
from bulk_delete.store.plan_file import Plan
from bulk_delete.store.scratch import WORD

_BLOCK = 512
_BLOCKS = 128
"""Results that are read together, and how many times that many are kept: 2 MB."""

_PAGE = 1024
_PAGES = 512
"""Runs that are looked at again and again, and how many times that many are kept: 4 MB."""

_LANES = 1024
"""Results whose next place is remembered: more than have calls in flight at once."""

_WINDOW = 4096
"""Runs that are read to look for some of them among them."""


class Stretch(NamedTuple):
    """Some runs of a result from a place on, over `size` places.

    Without `offsets` they fill these, else they are at these of them, ascending.
    """

    place: int
    size: int
    offsets: Positions | None
    run_ids: tuple[int, ...]


class _Block(NamedTuple):
    """Some results, as numbers that one at a time is looked at: NumPy's take longer for that."""

    result_ids: "array[int]"
    starts: "array[int]"
    ends: "array[int]"


class Locator:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        results = plan.figures.results
        step = AT_ONCE - AT_ONCE % _BLOCK or _BLOCK
        self._fences = array("Q")
        for start in range(0, results, step):
            ids = plan.results(start, min(start + step, results)).result_ids
            self._fences.extend(ids[::_BLOCK].tolist())
        self._blocks: dict[int, _Block] = {}
        self._pages: dict[int, bytes] = {}
        self._next: dict[int, tuple[int, int]] = {}
        """Of results with open batches, where the next one should start and where they end."""

    def bounds(self, result_id: int) -> tuple[int, int] | None:
        """Return the first place of a result and the one after its last; None without any."""
        number = bisect_right(self._fences, result_id) - 1
        if number < 0:
            return None
        block = self._block(number)
        at = bisect_left(block.result_ids, result_id)
        if at == len(block.result_ids) or block.result_ids[at] != result_id:
            return None
        return block.starts[at], block.ends[at]

    def locate(
        self, result_id: int, run_ids: tuple[int, ...]
    ) -> tuple[list[Stretch], tuple[int, ...]]:
        """Find runs of a result; return where they stand, and those that are not in the plan."""
        place = self.next_place(result_id, run_ids)
        if place is None:
            return self._search(result_id, run_ids)
        return [Stretch(place, len(run_ids), None, run_ids)], ()

    def next_place(self, result_id: int, run_ids: tuple[int, ...]) -> int | None:
        """Return where runs stand that are the next ones of their result; None for all others."""
        bounds = self._next.get(result_id) or self.bounds(result_id)
        if bounds is None:
            return None
        place, end = bounds
        after = place + len(run_ids)
        if after > end or not self._stand_at(place, run_ids):
            return None
        if after < end and result_id in self._next:
            self._next[result_id] = after, end
        else:
            self._go_on(result_id, after, end)
        return place

    def _stand_at(self, place: int, run_ids: tuple[int, ...]) -> bool:
        """Tell whether the runs from a place on are these."""
        wanted = array("Q", run_ids).tobytes()
        number, at = divmod(place, _PAGE)
        if at + len(run_ids) > _PAGE:
            return self._plan.run_ids(place, place + len(run_ids)).tobytes() == wanted
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) == _PAGES:
                self._pages.clear()
            start = number * _PAGE
            stop = min(start + _PAGE, self._plan.figures.runs)
            page = self._pages[number] = self._plan.run_ids(start, stop).tobytes()
        at *= WORD
        return page[at : at + len(wanted)] == wanted

    def places(self, columns: Columns) -> Positions:
        """Return the place of each of some ascending pairs, -1 for one that is not in the plan."""
        found = np.full(columns.rows, -1, np.int64)
        if columns.rows == 0 or not self._fences:
            return found
        first, low = self._near(columns.pair(0), "left")
        last, high = self._near(columns.pair(-1), "right")
        place = first
        for others in self._plan.stretch(low, high, first, last):
            at = places_in(columns, others)
            found[at >= 0] = at[at >= 0] + place
            place += others.rows
        return found

    def _near(self, pair: Pair, side: Literal["left", "right"]) -> tuple[int, int]:
        """Find where a pair stands or would stand: its place, and the number of its result.

        From the right it is the place after it, and the number of the result after its own.
        """
        number = max(bisect_right(self._fences, pair.result_id) - 1, 0)
        block = self._block(number)
        at = bisect_left(block.result_ids, pair.result_id)
        if at == len(block.result_ids) or block.result_ids[at] != pair.result_id:
            place = block.starts[at] if at < len(block.ends) else block.ends[-1]
            return place, number * _BLOCK + at
        start, end = block.starts[at], block.ends[at]
        place = self._bisect(start, end, pair.run_id, side)
        return place, number * _BLOCK + at + (side == "right")

    def _search(
        self, result_id: int, run_ids: tuple[int, ...]
    ) -> tuple[list[Stretch], tuple[int, ...]]:
        bounds = self.bounds(result_id)
        if bounds is None:
            return [], run_ids
        start, end = bounds
        wanted = np.unique(np.array(run_ids, np.uint64))
        stretches = list(self._stretches(start, end, wanted))
        if stretches:
            self._go_on(result_id, stretches[-1].place + stretches[-1].size, end)
        found = {run for stretch in stretches for run in stretch.run_ids}
        return stretches, tuple(run for run in run_ids if run not in found)

    def _stretches(self, start: int, end: int, wanted: Numbers) -> Iterator[Stretch]:
        """Look for ascending runs between two places: all at once, or half by half."""
        if end - start > _WINDOW:
            start = self._bisect(start, end, int(wanted[0]), "left")
            end = self._bisect(start, end, int(wanted[-1]), "right")
        if end - start > _WINDOW:
            middle = wanted.size // 2
            yield from self._stretches(start, end, wanted[:middle])
            yield from self._stretches(start, end, wanted[middle:])
            return
        there = self._plan.run_ids(start, end)
        at = np.searchsorted(there, wanted)
        near = at < there.size
        at, wanted = at[near], wanted[near]
        hit = there[at] == wanted
        if hit.any():
            at, wanted = at[hit], wanted[hit]
            offsets = at - at[0]
            size = int(offsets[-1]) + 1
            filled = size == wanted.size
            runs = tuple(wanted.tolist())
            yield Stretch(start + int(at[0]), size, None if filled else offsets, runs)

    def _bisect(self, start: int, end: int, run_id: int, side: Literal["left", "right"]) -> int:
        while end - start > _WINDOW:
            middle = (start + end) // 2
            found = int(self._plan.run_ids(middle, middle + 1)[0])
            if found < run_id or (side == "right" and found == run_id):
                start = middle + 1
            else:
                end = middle
        there = self._plan.run_ids(start, end)
        return start + int(np.searchsorted(there, np.uint64(run_id), side))

    def _go_on(self, result_id: int, place: int, end: int) -> None:
        if place == end:
            self._next.pop(result_id, None)
        else:
            if len(self._next) == _LANES:
                self._next.clear()
            self._next[result_id] = place, end

    def _block(self, number: int) -> _Block:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) == _BLOCKS:
                self._blocks.clear()
            start = number * _BLOCK
            stop = min(start + _BLOCK, self._plan.figures.results)
            index = self._plan.results(start, stop)
            block = _Block(*(array("Q", numbers.tobytes()) for numbers in index))
            self._blocks[number] = block
        return block
