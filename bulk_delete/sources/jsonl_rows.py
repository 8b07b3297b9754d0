"""Pairs from JSON Lines: one run a line, or the runs of a result grouped on one.

The scanner takes blocks and lines that are plain; the `json` module reads the other lines, one by
one, and what it makes of them decides.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, NoReturn, TypeGuard

import numpy as np

from bulk_delete.columns import columns_of, joined
from bulk_delete.model import Reject
from bulk_delete.scan.digits import LF
from bulk_delete.scan.objects import GROUPED, Objects
from bulk_delete.scan.template import Found, scan_lines
from bulk_delete.sources.files import Feed
from bulk_delete.sources.ids import named_id
from bulk_delete.sources.rows import SHOWN, WHOLE_RESULT, Rows, Wanted

_PIECE = 256
"""Lines that are decoded together: a bad one costs no more than these a second look."""

_MOST_ODD = 0.05
"""Share of lines unlike the first, above which they are not taken to be alike."""


def rows(feed: Feed, wanted: Wanted) -> Iterator[Rows]:
    """Read all rows. Raises InvalidInput where the file is no JSON Lines at all."""
    if feed.first == "[":
        raise feed.refuse("is one JSON array; make lines of it: jq -c '.[]'")
    reader = _Reader(feed, wanted)
    while True:
        if feed.start < feed.stop:
            yield reader.block()
        if not feed.more():
            return


class _Reader:
    def __init__(self, feed: Feed, wanted: Wanted) -> None:
        self._feed = feed
        self._wanted = wanted
        self._objects = Objects(wanted.result_column, wanted.run_column)

    def block(self) -> Rows:
        """Take all lines of the feed's block."""
        feed = self._feed
        start, stop, first = feed.start, feed.stop, feed.line + 1
        found = self._alike(start, stop)
        if found is not None:
            ends = np.flatnonzero(feed.data[start:stop] == LF) + start
            numbers = np.searchsorted(ends, [span[0] for span in found.odd]) + first
            lines = [feed.raw(*span) for span in found.odd]
            late, rejects = self._one_by_one(numbers.tolist(), lines)
            rows = Rows(joined([found.columns, late]), rejects)
        else:
            lines = feed.raw(start, stop).split(b"\n")[:-1]
            parts = [
                self._piece(first + at, lines[at : at + _PIECE])
                for at in range(0, len(lines), _PIECE)
            ]
            columns = joined([part.columns for part in parts])
            rows = Rows(columns, [reject for part in parts for reject in part.rejects])
        feed.take(stop)
        return rows

    def _alike(self, start: int, stop: int) -> Found | None:
        """Read lines that are alike; None where too many are not."""
        first_end = self._feed.line_end(start)
        line = self._feed.raw(start, first_end - 1) if first_end else b""
        template = self._objects.template(line)
        if template is None:
            return None
        found = scan_lines(self._feed.data, start, stop, template)
        return found if len(found.odd) <= found.columns.rows * _MOST_ODD else None

    def _piece(self, first: int, lines: list[bytes]) -> Rows:
        columns = self._objects.block(b"\n".join(lines), len(lines))
        if columns is not None:
            return Rows(columns, [])
        return self._one_by_one(range(first, first + len(lines)), lines)

    def _one_by_one(self, numbers: Iterable[int], lines: list[bytes]) -> Rows:
        pairs: list[tuple[int, int]] = []
        rejects: list[Reject] = []
        for number, line in zip(numbers, lines, strict=True):
            found = self._objects.line(line) or self._slowly(number, line)
            if isinstance(found, Reject):
                rejects.append(found)
            elif found:
                result_id, run_ids = found
                pairs.extend(zip(repeat(result_id), run_ids))
        return Rows(columns_of(pairs), rejects)

    def _slowly(self, number: int, line: bytes) -> tuple[int, list[int]] | Reject | None:
        """Read a line that the scanner left; None for a blank one."""
        text = line.decode("utf-8").strip()
        if not text:
            return None
        found = _Members()
        try:
            found = _members(line.decode("utf-8"))
            return _group(found, self._wanted)
        except ValueError as error:
            return Reject(self._feed.name, number, str(error), text[:SHOWN], found.asked_for)


class _Members(list[tuple[str, Any]]):
    """An object's members as they stand, so that a double key is seen."""

    @property
    def asked_for(self) -> int:
        """Count the pairs that the object asks for, good or bad."""
        grouped = [value for key, value in self if key == GROUPED and _is_list(value)]
        return max(1, sum(map(len, grouped)))


def _members(text: str) -> _Members:
    try:
        found = _decoder.decode(text.strip(" \t\r\n"))
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(found, _Members):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - one kind of error for a bad row
    return found


def _group(found: _Members, wanted: Wanted) -> tuple[int, list[int]]:
    result_key, run_key = wanted.result_column, wanted.run_column
    asked = [key for key, _ in found if key in {result_key, run_key, GROUPED}]
    members = dict(found)
    if len(asked) != len(set(asked)):
        raise ValueError("has a key twice")
    if result_key not in members:
        raise ValueError(f"has no {result_key!r}")
    result_id = _id(members[result_key], "result id")
    if wanted.whole_results and not {run_key, GROUPED} & members.keys():
        return result_id, [WHOLE_RESULT]
    if (GROUPED in members) == (run_key in members):
        raise ValueError(f"needs either {run_key!r} or {GROUPED!r}")
    if run_key in members:
        return result_id, [_id(members[run_key], "run id")]
    run_ids = members[GROUPED]
    if not _is_list(run_ids):
        raise ValueError(f"{GROUPED!r} is not a list")
    return result_id, [_id(run_id, "run id") for run_id in run_ids]


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and not isinstance(value, _Members)


def _id(value: object, name: str) -> int:
    # Integers arrive as their digits (parse_int): int() would accept what the rule does not.
    if not isinstance(value, str):
        raise ValueError(f"{name} {_shown(value)} is not a whole decimal number")  # noqa: TRY004
    return named_id(value, name)


def _shown(value: object) -> str:
    if isinstance(value, _Members):
        return "(an object)"
    return "(a list)" if isinstance(value, list) else json.dumps(value)[:40]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"is not JSON: {name}")


_decoder = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=str, parse_float=float, parse_constant=_no_constant
)
