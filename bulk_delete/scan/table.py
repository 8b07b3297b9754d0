"""CSV rows out of a block of bytes, all at once.

A block is cut at its delimiters and line ends. Where quotes are, the parity of the quotes before
tells what is inside; that holds only while every quote opens a field, closes one or is doubled, so
the first that does not ends what is read.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bulk_delete.columns import NO_PAIRS, Columns, Mask, Positions
from bulk_delete.scan.digits import LF, PAD, Bytes, read_ids

_CR, _QUOTE = b'\r"'


@dataclass(frozen=True, slots=True)
class Layout:
    """A row's form: its delimiter, its number of fields, and which of them hold the ids.

    `run_at` is None where rows speak of whole results; their run id is then 0.
    """

    delimiter: str
    width: int
    result_at: int
    run_at: int | None


class Found(NamedTuple):
    """What was read of a block.

    `odd` are the first and last-but-one positions of rows to be looked at again, in order. Up to
    `end` every row is in `columns` or in `odd`; the row that begins there is not complete or, if
    `stuck`, has quotes where none should be.
    """

    columns: Columns
    odd: list[tuple[int, int]]
    end: int
    stuck: bool


def scan_table(data: Bytes, start: int, stop: int, layout: Layout) -> Found:
    """Read data[start:stop], which begins with a row; PAD readable bytes stand before it."""
    block = data[start:stop]
    cuts = np.flatnonzero((block == ord(layout.delimiter)) | (block == LF))
    quotes = np.flatnonzero(block == _QUOTE) if _holds(block, _QUOTE) else None
    trusted = block.size
    inside = None
    if quotes is not None:
        inside = np.bitwise_and(np.cumsum(block == _QUOTE, dtype=np.uint8), 1).view(np.bool_)
        cuts = cuts[~inside[cuts]]
        trusted = _first_stray(block, quotes, inside, ord(layout.delimiter))
    last_cuts = np.flatnonzero(block[cuts] == LF)
    row_ends = cuts[last_cuts]
    complete = int(np.searchsorted(row_ends, trusted))
    stuck = trusted < block.size
    if complete == 0:
        return Found(NO_PAIRS, [], start, stuck)
    last_cuts, row_ends = last_cuts[:complete], row_ends[:complete]
    row_starts = np.concatenate(([0], row_ends[:-1] + 1))
    good = np.diff(last_cuts, prepend=-1) == layout.width
    has_cr = _holds(block, _CR)
    if has_cr:
        good[_rows_with_stray_cr(block, inside, row_ends)] = False
    starts, ends = _fields(cuts, last_cuts, row_starts, good, layout)
    padded = data[start - PAD : stop]
    if has_cr:
        ends = ends - (padded[ends - 1] == _CR)
    if quotes is not None:
        quoted = (padded[starts] == _QUOTE) & (padded[ends - 1] == _QUOTE) & (ends - starts > 1)
        starts, ends = starts + quoted, ends - quoted
    columns, fine = _read(padded, starts, ends, layout)
    if not fine.all():
        good[np.flatnonzero(good)[~fine]] = False
        columns = columns.part(fine)
    odd = np.flatnonzero(~good)
    spans = zip(
        (row_starts[odd] + start).tolist(), (row_ends[odd] + start + 1).tolist(), strict=True
    )
    return Found(columns, list(spans), start + int(row_ends[-1]) + 1, stuck)


def _holds(block: Bytes, byte: int) -> bool:
    return bool((block == byte).any())


def _first_stray(block: Bytes, quotes: Positions, inside: Mask, delimiter: int) -> int:
    """Find the first quote that neither opens a field, nor closes one, nor is doubled."""
    before = block[quotes - 1]
    before[quotes == 0] = LF
    after = block[np.minimum(quotes + 1, block.size - 1)]
    after[quotes + 1 == block.size] = LF
    opens = (before == delimiter) | (before == LF) | (before == _QUOTE)
    closes = (after == delimiter) | (after == LF) | (after == _CR) | (after == _QUOTE)
    stray = quotes[~np.where(inside[quotes], opens, closes)]
    return int(stray[0]) if stray.size else block.size


def _rows_with_stray_cr(block: Bytes, inside: Mask | None, row_ends: Positions) -> Positions:
    """Find the rows in which a carriage return stands elsewhere than right before the line end."""
    found = np.flatnonzero(block == _CR)
    if inside is not None:
        found = found[~inside[found]]
    stray = found[block[np.minimum(found + 1, block.size - 1)] != LF]
    rows: Positions = np.searchsorted(row_ends, stray)
    return rows[rows < row_ends.size]


def _fields(
    cuts: Positions, last_cuts: Positions, row_starts: Positions, good: Mask, layout: Layout
) -> tuple[Positions, Positions]:
    """Find where the ids of the good rows start and end: first all result ids, then all run ids.

    The positions count from PAD bytes before the block.
    """
    starts, ends = [], []
    every = bool(good.all())
    cells = cuts[: last_cuts.size * layout.width].reshape(-1, layout.width) if every else None
    for field in (layout.result_at, layout.run_at):
        if field is None:
            continue
        if cells is not None:
            ends.append(cells[:, field] + PAD)
            starts.append(cells[:, field - 1] + PAD + 1 if field else row_starts + PAD)
        else:
            at = last_cuts[good] - (layout.width - 1 - field)
            ends.append(cuts[at] + PAD)
            starts.append((cuts[at - 1] + 1 if field else row_starts[good]) + PAD)
    return np.concatenate(starts), np.concatenate(ends)


def _read(
    padded: Bytes, starts: Positions, ends: Positions, layout: Layout
) -> tuple[Columns, Mask]:
    values, good = read_ids(padded, starts, ends)
    if layout.run_at is None:
        return Columns(values, np.zeros(values.size, np.uint64)), good
    rows = values.size // 2
    return Columns(values[:rows], values[rows:]), good[:rows] & good[rows:]
