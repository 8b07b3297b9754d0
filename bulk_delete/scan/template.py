"""JSON Lines that are all alike but for the two ids, out of a block of bytes, all at once.

What stands before, between and behind the ids is taken from one line and must stand in the same
places of every other; so a line that is taken is known to the last byte.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bulk_delete.columns import NO_PAIRS, Columns, Mask, Numbers, Positions
from bulk_delete.scan.digits import LF, PAD, WIDTH, Bytes, read_ids, words_of

_ID = rb"[1-9][0-9]*"


@dataclass(frozen=True, slots=True)
class Template:
    """What stands before, between and behind the ids of a line; `swapped`: the run comes first."""

    before: bytes
    between: bytes
    behind: bytes
    swapped: bool


class Found(NamedTuple):
    """The pairs of the lines that fit, and the positions of the others: first and behind."""

    columns: Columns
    odd: list[tuple[int, int]]


def template_of(line: bytes, result_key: bytes, run_key: bytes) -> Template | None:
    """Take a line, without its end, as a template; keys with their quotes. None if it is none."""
    for first, second in ((result_key, run_key), (run_key, result_key)):
        match = re.fullmatch(
            rb"(\s*\{\s*%b\s*:\s*)%b(\s*,\s*%b\s*:\s*)%b(\s*\}\s*)"
            % (re.escape(first), _ID, re.escape(second), _ID),
            line.replace(b"\x0b", b"?").replace(b"\x0c", b"?"),  # no blanks for JSON
        )
        if match and b"," not in match[1] and match[2].count(b",") == 1:
            return Template(match[1], match[2], match[3], swapped=first is run_key)
    return None


def scan_lines(data: Bytes, start: int, stop: int, template: Template) -> Found:
    """Read data[start:stop], which is whole lines; PAD readable bytes stand before it."""
    block = data[start:stop]
    comma = template.between.index(b",")
    cuts = np.flatnonzero((block == ord(",")) | (block == LF))
    last_cuts = np.flatnonzero(block[cuts] == LF)
    line_ends = cuts[last_cuts]
    line_starts = np.concatenate(([0], line_ends[:-1] + 1))
    good = np.diff(last_cuts, prepend=-1) == 2  # noqa: PLR2004 - the comma and the line end
    starts, ends = line_starts[good], line_ends[good]
    split = cuts[last_cuts[good] - 1] - comma
    firsts = np.minimum(starts + len(template.before), ends)  # a line may be shorter than that
    seconds = np.minimum(split + len(template.between), ends)
    tails = ends - len(template.behind)
    fits = (split > firsts) & (tails > seconds)
    padded = data[start - PAD : stop]
    words = words_of(padded)
    for text, places in (
        (template.before, firsts),
        (template.between, seconds),
        (template.behind, ends),
    ):
        _compare(words, text, places + PAD, fits)
    for places in (firsts, seconds):  # JSON knows no leading zeros
        fits &= padded[places + PAD] != ord("0")
    values, fine = read_ids(
        padded, np.concatenate((firsts, seconds)) + PAD, np.concatenate((split, tails)) + PAD
    )
    count = starts.size
    fits &= fine[:count] & fine[count:]
    good[np.flatnonzero(good)[~fits]] = False
    odd = np.flatnonzero(~good)
    spans = zip((line_starts[odd] + start).tolist(), (line_ends[odd] + start).tolist(), strict=True)
    ids = (values[:count], values[count:])
    columns = Columns(*(reversed(ids) if template.swapped else ids)).part(fits)
    return Found(columns if count else NO_PAIRS, list(spans))


def _compare(words: Numbers, text: bytes, ends: Positions, fits: Mask) -> None:
    """Take out of `fits` the lines where another text stands before `ends`."""
    for upto in range(len(text), 0, -WIDTH):
        piece = text[max(0, upto - WIDTH) : upto]
        unread = np.uint64(8 * (WIDTH - len(piece)))
        at = np.minimum(ends - (len(text) - upto) - WIDTH, words.size - 1)
        found = words[at] >> unread
        fits &= found == np.uint64(int.from_bytes(piece, "little"))
