"""Ids out of bytes: strictly ASCII decimal digits, eight at a time.

The eight bytes before a field's end are loaded as one little-endian number. What is not of the
field is masked away, every byte is checked to be a digit, and three multiplications add them up
(the well-known "SWAR" way; see D. Lemire, "Quickly parsing eight digits", 2018).
"""

from typing import Any, TypeAlias

import numpy as np

from bulk_delete.columns import Mask, Numbers, Positions
from bulk_delete.model import MAX_ID

PAD = 24
"""Readable bytes that must stand before the first field of a buffer."""

LF = 0x0A

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

WIDTH = 8
"""Bytes that are looked at together."""

_MOST_DIGITS = len(str(MAX_ID))
_MOST_BLANKS = 16
_BLANK = np.zeros(256, np.bool_)
_BLANK[[ord(blank) for blank in " \t\r\n"]] = True

_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_9 = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


def read_ids(data: Bytes, starts: Positions, ends: Positions) -> tuple[Numbers, Mask]:
    """Read the fields data[start:end]; tell which of them are ids. Others get some number.

    Blanks around are allowed. Says no to an id with more than 19 digits or 16 blanks on a side:
    that is for the caller to look at again.
    """
    values, good = _read_digits(data, starts, ends)
    if not good.all():
        rest = np.flatnonzero(~good)
        values[rest], good[rest] = _read_digits(data, *_trimmed(data, starts[rest], ends[rest]))
    return values, good


def _read_digits(data: Bytes, starts: Positions, ends: Positions) -> tuple[Numbers, Mask]:
    lengths = ends - starts
    longest = min(int(lengths.max(initial=0)), _MOST_DIGITS)
    shortest = int(lengths.min(initial=_MOST_DIGITS))
    words = words_of(data)
    wrong = np.zeros(starts.size, np.uint64)
    values = _eight(words, ends, lengths if shortest < WIDTH else None, wrong)
    scale = 10**WIDTH
    for taken in range(WIDTH, longest, WIDTH):
        rest = lengths - taken if shortest < taken + WIDTH else None
        more = _eight(words, ends - taken, rest, wrong)
        more *= np.uint64(scale)  # may overflow only above 19 digits, which are not good
        values += more
        scale *= 10**WIDTH
    good = wrong == 0
    good &= lengths > 0
    good &= lengths <= _MOST_DIGITS
    good &= values - np.uint64(1) < np.uint64(MAX_ID)  # 0 becomes the largest number
    return values, good


def words_of(data: Bytes) -> Numbers:
    """View the eight bytes from each position on as one little-endian number."""
    return np.ndarray((data.size - WIDTH + 1,), "<u8", data, strides=(1,))


def _trimmed(data: Bytes, starts: Positions, ends: Positions) -> tuple[Positions, Positions]:
    for _ in range(_MOST_BLANKS):
        blank = _BLANK[data[starts]] & (starts < ends)
        if not blank.any():
            break
        starts = starts + blank
    for _ in range(_MOST_BLANKS):
        blank = _BLANK[data[ends - 1]] & (starts < ends)
        if not blank.any():
            break
        ends = ends - blank
    return starts, ends


def _eight(words: Numbers, ends: Positions, lengths: Positions | None, wrong: Numbers) -> Numbers:
    """Read the last eight digits before `ends`, or `lengths` of them; set `wrong` where none is."""
    digits = words[ends - WIDTH]
    digits ^= _ZEROS
    if lengths is not None:
        _mask(digits, lengths)
    over = digits + _ABOVE_9
    over |= digits
    over &= _HIGH_BITS
    wrong |= over
    digits *= np.uint64(2561)
    digits >>= np.uint64(8)
    digits &= np.uint64(0x00FF00FF00FF00FF)
    digits *= np.uint64(6553601)
    digits >>= np.uint64(16)
    digits &= np.uint64(0x0000FFFF0000FFFF)
    digits *= np.uint64(42949672960001)
    digits >>= np.uint64(32)
    return digits


def _mask(digits: Numbers, lengths: Positions) -> None:
    """Make what is not of the field zeros; it comes first, so it is in the lower bytes."""
    missing = 8 * WIDTH - (lengths << 3)  # bits; a shift by 64 and more gives 0
    np.maximum(missing, 0, out=missing)
    digits &= np.left_shift(_FULL, missing.view(np.uint64))
