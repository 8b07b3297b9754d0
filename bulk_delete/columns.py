"""Pairs as two columns of numbers, for as many of them as no list of tuples could hold. Pure.

Both columns are arrays of unsigned 64-bit integers of one length; row i is a pair. "Ascending"
means by result id, then by run id, and no pair twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from bulk_delete.model import Pair

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Positions: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]

AT_ONCE = 1 << 19
"""Pairs that are worked on together: 8 MB of them, so that a few copies fit into any memory."""

_WORD = 64
_RESULT_BITS = 32
"""Leading bits of a result id to sort by, where not all ids' bits can be had."""

_PLACE_BITS = 20
"""Bits for a row's place in a sort; AT_ONCE and the merge of several runs must stay below."""


class Columns(NamedTuple):
    """Some pairs. `rows` is their number; `len()` would be that of the tuple."""

    result_ids: Numbers
    run_ids: Numbers

    @property
    def rows(self) -> int:
        return len(self.result_ids)

    def part(self, wanted: "slice | Mask | Positions") -> "Columns":
        return Columns(self.result_ids[wanted], self.run_ids[wanted])

    def pair(self, row: int) -> Pair:
        return Pair(int(self.result_ids[row]), int(self.run_ids[row]))

    def pairs(self) -> list[Pair]:
        return [Pair(*pair) for pair in zip(*map(np.ndarray.tolist, self), strict=True)]


NO_PAIRS = Columns(np.empty(0, np.uint64), np.empty(0, np.uint64))


def columns_of(pairs: Iterable[tuple[int, int]]) -> Columns:
    """Take pairs one by one; for a few of them."""
    listed = list(pairs)
    return Columns(
        np.array([pair[0] for pair in listed], np.uint64),
        np.array([pair[1] for pair in listed], np.uint64),
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """Put columns one behind the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_PAIRS
    return Columns(
        np.concatenate([part.result_ids for part in parts]),
        np.concatenate([part.run_ids for part in parts]),
    )


def ascending(columns: Columns) -> Columns:
    """Sort, and drop what is there twice. Takes at most 2^20 rows."""
    if columns.rows == 0:
        return columns
    result_low, run_low = columns.result_ids.min(), columns.run_ids.min()
    result_bits = int(columns.result_ids.max() - result_low).bit_length()
    run_bits = int(columns.run_ids.max() - run_low).bit_length()
    if result_bits + run_bits <= _WORD:
        return _ascending_packed(columns, result_low, run_low, run_bits)
    return _unique(_sorted_wide(columns, result_low, run_low, result_bits, run_bits))


def _ascending_packed(
    columns: Columns, result_low: np.uint64, run_low: np.uint64, run_bits: int
) -> Columns:
    """Sort pairs whose ranges of ids fit into one word together."""
    keys = columns.result_ids - result_low
    if run_bits < _WORD:  # else all are of one result, and a shift by 64 is no shift at all
        keys <<= np.uint64(run_bits)
    keys |= columns.run_ids - run_low
    keys.sort()
    if keys.size > 1:
        fresh = np.empty(keys.size, np.bool_)
        fresh[0] = True
        np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
        if not fresh.all():
            keys = keys[fresh]
    run_ids = keys & np.uint64((1 << run_bits) - 1)
    run_ids += run_low
    if run_bits < _WORD:
        keys >>= np.uint64(run_bits)
    else:
        keys[:] = 0
    keys += result_low
    return Columns(keys, run_ids)


def _sorted_wide(
    columns: Columns, result_low: np.uint64, run_low: np.uint64, result_bits: int, run_bits: int
) -> Columns:
    """Sort pairs of any width by their leading bits, with the place of each row behind them.

    An argsort takes five times as long as a sort (measured with NumPy 2.4). Rows whose leading
    bits are equal are put in order afterwards; there are few, unless the ids are made for it.
    """
    room = _WORD - _PLACE_BITS
    for_result = min(result_bits, max(_RESULT_BITS, room - run_bits))
    for_run = min(run_bits, room - for_result)
    keys = (columns.result_ids - result_low) >> np.uint64(result_bits - for_result)
    keys <<= np.uint64(for_run)
    keys |= (columns.run_ids - run_low) >> np.uint64(run_bits - for_run)
    keys <<= np.uint64(_PLACE_BITS)
    keys |= np.arange(columns.rows, dtype=np.uint64)
    keys.sort()
    places = (keys & np.uint64((1 << _PLACE_BITS) - 1)).astype(np.intp)
    rows = columns.part(places)
    del places
    keys >>= np.uint64(_PLACE_BITS)
    if for_result < result_bits:
        keys >>= np.uint64(for_run)  # results that share these bits are mixed
    tied = _misplaced(rows, keys)
    if tied.size:
        result_ids, run_ids = rows.part(tied)
        order = np.lexsort((run_ids, result_ids, keys[tied]))
        rows.result_ids[tied], rows.run_ids[tied] = result_ids[order], run_ids[order]
    return rows


def _misplaced(columns: Columns, keys: Numbers) -> Positions:
    """Find the rows whose key, in ascending keys, is that of two rows in the wrong order."""
    result_ids, run_ids = columns
    wrong = result_ids[1:] == result_ids[:-1]
    wrong &= run_ids[1:] < run_ids[:-1]
    wrong |= result_ids[1:] < result_ids[:-1]
    found = np.unique(keys[1:][wrong])
    change = np.zeros(keys.size + 1, np.int8)
    change[np.searchsorted(keys, found, "left")] = 1
    change[np.searchsorted(keys, found, "right")] -= 1
    return np.flatnonzero(np.cumsum(change[:-1], dtype=np.int8))


def _unique(columns: Columns) -> Columns:
    fresh = np.empty(columns.rows, np.bool_)
    fresh[0] = True
    np.not_equal(columns.result_ids[1:], columns.result_ids[:-1], out=fresh[1:])
    fresh[1:] |= columns.run_ids[1:] != columns.run_ids[:-1]
    return columns if fresh.all() else columns.part(fresh)


def rows_up_to(columns: Columns, pair: Pair) -> int:
    """Count the rows of ascending columns that are not above a pair."""
    result_id = np.uint64(pair.result_id)
    start = int(np.searchsorted(columns.result_ids, result_id, "left"))
    end = int(np.searchsorted(columns.result_ids, result_id, "right"))
    within = columns.run_ids[start:end]
    return start + int(np.searchsorted(within, np.uint64(pair.run_id), "right"))


def big_endian(columns: Columns) -> memoryview:
    """Write each pair as two big-endian 64-bit integers, as fingerprints are made of."""
    return _interleaved(columns).data


def is_in(columns: Columns, others: Columns) -> Mask:
    """Tell for each row whether it is among others, which must be ascending."""
    return places_in(columns, others) >= 0


def places_in(columns: Columns, others: Columns) -> Positions:
    """Return for each row where it is among others, which must be ascending; -1 if it is not."""
    if columns.rows == others.rows and all(map(np.array_equal, columns, others)):
        return np.arange(columns.rows)
    found = np.full(columns.rows, -1, np.intp)
    if others.rows == 0:
        return found
    low, high = others.result_ids[0], others.result_ids[-1]
    near = np.flatnonzero((columns.result_ids >= low) & (columns.result_ids <= high))
    if near.size:
        keys, known = _texts(columns.part(near)), _texts(others)
        at = np.searchsorted(known, keys)
        at[at == known.size] = 0
        found[near] = np.where(known[at] == keys, at, -1)
    return found


def _texts(columns: Columns) -> "np.ndarray[Any, np.dtype[np.bytes_]]":
    """Make one comparable key of each pair: byte strings compare as the big-endian numbers do.

    A string's trailing zero bytes do not count; all are equally long, so nothing is lost.
    """
    return _interleaved(columns).view("S16").ravel()


def _interleaved(columns: Columns) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    both = np.empty((columns.rows, 2), ">u8")
    both[:, 0] = columns.result_ids
    both[:, 1] = columns.run_ids
    return both


class Groups(NamedTuple):
    """Results, ascending, and how many rows each has."""

    result_ids: Numbers
    counts: Numbers


def grouped(columns: Columns) -> Groups:
    """Count the rows of each result of ascending columns."""
    if columns.rows == 0:
        return Groups(*NO_PAIRS)
    ids = columns.result_ids
    starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    starts = np.concatenate(([0], starts))
    counts = np.diff(starts, append=columns.rows)
    return Groups(ids[starts], counts.astype(np.uint64))
