"""What is to be sent: pairs grouped by result and cut into batches, and their figures. Pure."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bulk_delete.columns import Columns, Groups, Numbers, big_endian, grouped
from bulk_delete.model import MAX_BATCH

MOST_SHOWN = 10
"""The biggest results that are kept by name."""

_BATCHES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Group:
    """A result and its runs, ascending and without duplicates.

    `read(start, stop)` gives the runs from one place to another; there are `runs` of them.
    """

    result_id: int
    runs: int
    read: Callable[[int, int], Numbers]

    @property
    def calls(self) -> int:
        return -(-self.runs // MAX_BATCH)

    def part(self, start: int, stop: int) -> "Group":
        """Return the runs from one place to another as a group."""
        read = self.read
        return Group(
            self.result_id, stop - start, lambda first, last: read(start + first, start + last)
        )

    def batches(self) -> Iterator[tuple[int, ...]]:
        at_once = _BATCHES_AT_ONCE * MAX_BATCH
        for start in range(0, self.runs, at_once):
            run_ids = self.read(start, min(start + at_once, self.runs)).tolist()
            for at in range(0, len(run_ids), MAX_BATCH):
                yield tuple(run_ids[at : at + MAX_BATCH])


@dataclass(frozen=True, slots=True)
class Biggest:
    result_id: int
    runs: int
    calls: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A plan in numbers. The ranges are of the smallest and the largest id, None without any.

    `biggest` are the results with the most runs. `fingerprint` is the SHA-256 (hex) over the
    ascending pairs, each as two big-endian 64-bit integers.
    """

    runs: int
    results: int
    calls: int
    result_ids: tuple[int, int] | None
    run_ids: tuple[int, int] | None
    biggest: tuple[Biggest, ...]
    fingerprint: str


class Tally:
    """Adds up the figures of a plan whose pairs pass by in ascending order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._runs = self._results = self._calls = 0
        self._result_ids: tuple[int, int] | None = None
        self._low, self._high = 2**64, 0
        self._biggest: list[tuple[int, int]] = []
        self._open: tuple[int, int] | None = None

    def add(self, columns: Columns) -> Groups:
        """Take the next pairs; return the results that are complete, with their counts."""
        self._digest.update(big_endian(columns))
        self._runs += columns.rows
        self._low = min(self._low, int(columns.run_ids.min(initial=2**64 - 1)))
        self._high = max(self._high, int(columns.run_ids.max(initial=0)))
        groups = grouped(columns)
        if groups.result_ids.size == 0:
            return groups
        if self._open:
            last_id, count = self._open
            if last_id == int(groups.result_ids[0]):
                groups.counts[0] += np.uint64(count)
            else:
                groups = Groups(
                    np.concatenate((np.array([last_id], np.uint64), groups.result_ids)),
                    np.concatenate((np.array([count], np.uint64), groups.counts)),
                )
        self._open = int(groups.result_ids[-1]), int(groups.counts[-1])
        return self._complete(Groups(groups.result_ids[:-1], groups.counts[:-1]))

    def end(self) -> Groups:
        """Return the last result, which only the end completes."""
        last, self._open = self._open, None
        ids, counts = ([last[0]], [last[1]]) if last else ([], [])
        return self._complete(Groups(np.array(ids, np.uint64), np.array(counts, np.uint64)))

    def figures(self) -> Figures:
        """Return the figures of all that was added."""
        return Figures(
            runs=self._runs,
            results=self._results,
            calls=self._calls,
            result_ids=self._result_ids,
            run_ids=(self._low, self._high) if self._runs else None,
            biggest=tuple(
                Biggest(result_id, -runs, -(runs // MAX_BATCH)) for runs, result_id in self._biggest
            ),
            fingerprint=self._digest.hexdigest(),
        )

    def _complete(self, groups: Groups) -> Groups:
        if groups.result_ids.size:
            first, last = int(groups.result_ids[0]), int(groups.result_ids[-1])
            self._result_ids = (self._result_ids[0] if self._result_ids else first, last)
            self._results += groups.result_ids.size
            self._calls += int(calls_of(groups.counts).sum())
            self._keep_biggest(groups)
        return groups

    def _keep_biggest(self, groups: Groups) -> None:
        least = -self._biggest[-1][0] if len(self._biggest) == MOST_SHOWN else 0
        large = np.flatnonzero(groups.counts > least)
        if large.size > MOST_SHOWN:
            counts = groups.counts[large]
            bound = np.partition(counts, counts.size - MOST_SHOWN)[counts.size - MOST_SHOWN]
            above = large[counts > bound]
            level = large[counts == bound]
            large = np.concatenate((above, level[: MOST_SHOWN - above.size]))
        new = zip(groups.counts[large].tolist(), groups.result_ids[large].tolist(), strict=True)
        merged = sorted([*self._biggest, *((-runs, result_id) for runs, result_id in new)])
        self._biggest = merged[:MOST_SHOWN]


def calls_of(counts: Numbers) -> Numbers:
    """Return the calls that results with so many runs take."""
    return (counts + np.uint64(MAX_BATCH - 1)) // np.uint64(MAX_BATCH)
