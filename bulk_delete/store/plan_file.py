"""A plan in one file: a header, all run ids, then the results, then where the runs of each end.

All numbers are little-endian and have 64 bits. The header is a line of JSON, filled up with blanks,
so that `head -1` shows what the plan is. No result has a place in memory but those that take more
than one call: 24 bytes for each of these, which have more than a hundred runs.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from bulk_delete.columns import AT_ONCE, Columns, Groups, Mask, Numbers, is_in
from bulk_delete.model import MAX_BATCH, Pair
from bulk_delete.plan import Figures, Group, Tally, calls_of
from bulk_delete.store.scratch import WORD, Scratch, ScratchFile, read_numbers

VERSION = 1
HEADER = 2048
"""Bytes before the run ids."""

_INDEX_AT_ONCE = 1 << 16
_GROUPS_AT_ONCE = 1 << 12
_RAW_AT_ONCE = 1 << 20
_AHEAD = 6400
"""Runs that are read together where results are small: they are asked for one after the other."""

_FEW = 1000
"""Pairs of one result that are looked for one by one, and not by reading all that it has."""


class SpoiltPlanError(Exception):
    """A saved plan is not what was saved. The text says how."""


class Header(msgspec.Struct):
    """The first line of the file."""

    v: int
    figures: Figures


class Index(NamedTuple):
    """Some results that follow each other: their ids, and where the runs of each start and end."""

    result_ids: Numbers
    starts: Numbers
    ends: Numbers


class Plan:
    """Pairs in ascending order, none twice. `close` it when it is no more needed."""

    def __init__(self, file: Any, figures: Figures, scratch: Scratch) -> None:  # noqa: ANN401 - whatever has a fileno
        self._file = file
        self._handle: int = file.fileno()
        self._ahead = 0, np.empty(0, np.uint64)
        self._scratch = scratch
        self.figures = figures

    def close(self) -> None:
        self._file.close()

    def chunks(self) -> Iterator[Columns]:
        """Yield all pairs, at most AT_ONCE together."""
        for index in self._index(_INDEX_AT_ONCE):
            yield from self._pairs_between(index, int(index.starts[0]), int(index.ends[-1]))

    def pairs(self) -> Iterator[Pair]:
        """Yield all pairs one by one; for a few of them."""
        for columns in self.chunks():
            yield from columns.pairs()

    def groups(self) -> Iterator[Group]:
        """Yield all results, ascending."""
        for index in self._index(_GROUPS_AT_ONCE):
            yield from self._groups_of(index)

    def lanes(self) -> Iterator[Group]:
        """Yield the results with the most calls first, so that none becomes the tail."""
        found = [
            Index(*(numbers[many] for numbers in index))
            for index in self._index(_INDEX_AT_ONCE)
            if (many := index.ends - index.starts > MAX_BATCH).any()
        ]
        if found:
            large = Index(*map(np.concatenate, zip(*found, strict=True)))
            calls = calls_of(large.ends - large.starts).astype(np.int64)
            order = np.lexsort((large.result_ids, -calls))
            for at in range(0, order.size, _GROUPS_AT_ONCE):
                some = order[at : at + _GROUPS_AT_ONCE]
                yield from self._groups_of(Index(*(numbers[some] for numbers in large)))
        for index in self._index(_GROUPS_AT_ONCE):
            few = index.ends - index.starts <= MAX_BATCH
            yield from self._groups_of(Index(*(numbers[few] for numbers in index)))

    def fewest(self, results: int) -> list[Group]:
        """Return so many of the results that have the fewest runs, the smallest first."""
        best = Index(*(np.zeros(0, np.uint64) for _ in Index._fields))
        for index in self._index(_INDEX_AT_ONCE):
            both = Index(*map(np.concatenate, zip(best, index, strict=True)))
            order = np.lexsort((both.result_ids, both.ends - both.starts))[:results]
            best = Index(*(numbers[order] for numbers in both))
        return list(self._groups_of(best))

    def keep(self, wanted: Callable[[Columns], Mask]) -> "Plan":
        """Make the plan of the pairs for which `wanted` holds. Raises ScratchError."""
        writer = PlanWriter(self._scratch)
        try:
            for columns in self.chunks():
                kept = wanted(columns)
                writer.add(columns if kept.all() else columns.part(kept))
            return writer.plan()
        except BaseException:
            writer.close()
            raise

    def holds(self, columns: Columns) -> Mask:
        """Tell for each of some ascending pairs whether it is in the plan."""
        found = np.zeros(columns.rows, np.bool_)
        if columns.rows == 0 or self.figures.results == 0:
            return found
        ids, ends, runs = self._mapped
        low = int(np.searchsorted(ids, columns.result_ids[0], "left"))
        high = int(np.searchsorted(ids, columns.result_ids[-1], "right"))
        if columns.rows <= _FEW and high - low == 1:
            mine = runs[int(ends[low - 1]) if low else 0 : int(ends[low])]
            at = np.minimum(np.searchsorted(mine, columns.run_ids), mine.size - 1)
            found |= (mine[at] == columns.run_ids) & (columns.result_ids == ids[low])
        elif high > low:
            first, last = columns.pair(0), columns.pair(-1)
            begin = self._place(low, first, "left") if ids[low] == first.result_id else None
            end = self._place(high - 1, last, "right") if ids[high - 1] == last.result_id else None
            for others in self.stretch(low, high, begin, end):
                found |= is_in(columns, others)
        return found

    def _place(self, result: int, pair: Pair, side: Literal["left", "right"]) -> int:
        """Find where a pair of the result of that number stands, or would stand."""
        _, ends, runs = self._mapped
        start = int(ends[result - 1]) if result else 0
        mine = runs[start : int(ends[result])]
        return start + int(np.searchsorted(mine, np.uint64(pair.run_id), side))

    def stretch(self, low: int, high: int, begin: int | None, end: int | None) -> Iterator[Columns]:
        """Yield the pairs of some results, from one place to another where these are given."""
        for start in range(low, high, _INDEX_AT_ONCE):
            stop = min(start + _INDEX_AT_ONCE, high)
            index = self.results(start, stop)
            first = begin if begin is not None and start == low else int(index.starts[0])
            last = end if end is not None and stop == high else int(index.ends[-1])
            yield from self._pairs_between(index, first, last)

    @property
    def size(self) -> int:
        """Return how many bytes `raw` yields."""
        return size_of(self.figures)

    def raw(self) -> Iterator[bytes]:
        """Yield the bytes of the file, to be saved."""
        offset = 0
        while data := os.pread(self._handle, _RAW_AT_ONCE, offset):
            yield data
            offset += len(data)

    def check(self) -> None:
        """Read all of it. Raises SpoiltPlanError when it is not what the header says."""
        tally = Tally()
        for index in self._index(_INDEX_AT_ONCE):
            if (index.starts >= index.ends).any() or index.ends[-1] > self.figures.runs:
                raise SpoiltPlanError("its results do not share its runs out")
            for columns in self._pairs_between(index, int(index.starts[0]), int(index.ends[-1])):
                tally.add(columns)
        tally.end()
        if tally.figures() != self.figures:
            raise SpoiltPlanError("its pairs are not those that its header tells of")

    def _index(self, at_once: int) -> Iterator[Index]:
        for start in range(0, self.figures.results, at_once):
            yield self.results(start, min(start + at_once, self.figures.results))

    def results(self, start: int, stop: int) -> Index:
        """Read the results from one number to another, counted from 0."""
        ids_at = HEADER + self.figures.runs * WORD
        ends_at = ids_at + self.figures.results * WORD
        ids = read_numbers(self._handle, ids_at + start * WORD, stop - start)
        before = 1 if start else 0
        ends = read_numbers(self._handle, ends_at + (start - before) * WORD, stop - start + before)
        starts = ends[:-1] if before else np.concatenate((np.zeros(1, np.uint64), ends[:-1]))
        return Index(ids, starts, ends[before:])

    def _pairs_between(self, index: Index, first: int, last: int) -> Iterator[Columns]:
        for start in range(first, last, AT_ONCE):
            stop = min(start + AT_ONCE, last)
            low = int(np.searchsorted(index.ends, np.uint64(start), "right"))
            high = int(np.searchsorted(index.ends, np.uint64(stop - 1), "right")) + 1
            cuts = np.concatenate(([start], index.ends[low:high].astype(np.int64)))
            counts = np.diff(np.minimum(cuts, stop))
            yield Columns(np.repeat(index.result_ids[low:high], counts), self.run_ids(start, stop))

    def run_ids(self, start: int, stop: int) -> Numbers:
        """Read the runs of the pairs from one place to another, counted from 0."""
        return read_numbers(self._handle, HEADER + start * WORD, stop - start)

    def _groups_of(self, index: Index) -> Iterator[Group]:
        for result_id, start, end in zip(*map(np.ndarray.tolist, index), strict=True):
            yield Group(result_id, end - start, partial(self._runs, start))

    def _runs(self, offset: int, start: int, stop: int) -> Numbers:
        """Read runs of a result, and those of the next few results with them."""
        start, stop = offset + start, offset + stop
        at, ahead = self._ahead
        if not at <= start <= stop <= at + ahead.size:
            at, ahead = (
                start,
                self.run_ids(start, min(max(stop, start + _AHEAD), self.figures.runs)),
            )
            self._ahead = at, ahead
        return ahead[start - at : stop - at]

    @cached_property
    def _mapped(self) -> tuple[Numbers, Numbers, Numbers]:
        """View result ids, ends and run ids without reading them: a search touches a few pages."""
        runs, results = self.figures.runs, self.figures.results
        whole = mmap.mmap(self._handle, self.size, prot=mmap.PROT_READ)
        numbers = np.frombuffer(whole, "<u8")[HEADER // WORD :]
        return numbers[runs : runs + results], numbers[runs + results :], numbers[:runs]


class PlanWriter:
    """Writes a plan from ascending pairs."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._tally = Tally()
        self._end = np.uint64(0)
        with ExitStack() as stack:
            self._file, self._ids, self._ends = (_made(stack, scratch) for _ in range(3))
            self._file.append(np.zeros(HEADER // WORD, np.uint64))
            stack.pop_all()

    def add(self, columns: Columns) -> None:
        """Take the next pairs. Raises ScratchError."""
        groups = self._tally.add(columns)
        self._file.append(columns.run_ids)
        self._add(groups)

    def plan(self) -> Plan:
        """Return the plan; the writer must not be used any more. Raises ScratchError."""
        self._add(self._tally.end())
        for part in (self._ids, self._ends):
            for start in range(0, part.size, _INDEX_AT_ONCE):
                self._file.append(part.read(start, min(start + _INDEX_AT_ONCE, part.size)))
            part.close()
        figures = self._tally.figures()
        header = msgspec.json.encode(Header(VERSION, figures))
        self._file.put(0, header.ljust(HEADER - 1) + b"\n")
        return Plan(self._file, figures, self._scratch)

    def close(self) -> None:
        """Leave off."""
        for file in (self._file, self._ids, self._ends):
            file.close()

    def _add(self, groups: Groups) -> None:
        if groups.counts.size:
            ends = np.cumsum(groups.counts, dtype=np.uint64) + self._end
            self._end = ends[-1]
            self._ids.append(groups.result_ids)
            self._ends.append(ends)


def _made(stack: ExitStack, scratch: Scratch) -> ScratchFile:
    file = scratch.file()
    stack.callback(file.close)
    return file


def size_of(figures: Figures) -> int:
    """Return the bytes of the file of a plan."""
    return HEADER + (figures.runs + 2 * figures.results) * WORD
