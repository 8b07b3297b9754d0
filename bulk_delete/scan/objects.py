"""JSON Lines out of a block of bytes: msgspec decodes, and is asked for no more than it checks.

msgspec takes the last of two equal keys. So a block, or a line, is taken only if the keys that
matter stand in it just as often as there are objects, and none can be written in another way (no
escaped ASCII): then each object that has its keys has them once. All else is left for the slow
reader.
"""

import json
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np

from bulk_delete.columns import Columns
from bulk_delete.model import MAX_ID
from bulk_delete.scan.template import Template, template_of

GROUPED = "run_ids"

_MOST_BRACKETS = 200
"""A line with more may be nested deeper than a reader goes."""

_ESCAPED_ASCII = b"\\u00"

_Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]


class Objects:
    """Reads objects that have `result_key` and one of `run_key` and `run_ids`."""

    def __init__(self, result_key: str, run_key: str) -> None:
        keys = (result_key, run_key, GROUPED)
        self._plain = len(set(keys)) == len(keys) and all(map(_is_plain, keys))
        if not self._plain:
            return
        self._result, self._run, self._grouped = (f'"{key}"'.encode() for key in keys)
        row = msgspec.defstruct(
            "Row",
            [
                ("result_id", _Id, msgspec.field(name=result_key)),
                (
                    "run_id",
                    _Id | msgspec.UnsetType,
                    msgspec.field(default=msgspec.UNSET, name=run_key),
                ),
                ("run_ids", list[_Id] | msgspec.UnsetType, msgspec.UNSET),
            ],
            gc=False,
        )
        self._decoder = msgspec.json.Decoder[Any](row)

    def template(self, line: bytes) -> Template | None:
        """Take a line as the template of the lines behind it; None if it cannot be one."""
        return template_of(line, self._result, self._run) if self._plain else None

    def block(self, data: bytes, lines: int) -> Columns | None:
        """Read whole lines, each with one object; None if they are not all plain and good."""
        if not self._plain or not self._has_keys_once(data, lines) or _may_be_deep(data):
            return None
        try:
            rows = self._decoder.decode_lines(data)
        except (msgspec.DecodeError, RecursionError):
            return None
        if len(rows) != lines or not _ends_objects(data, lines):
            return None
        listed = [_runs(row) for row in rows]
        if None in listed:
            return None
        runs = [runs for runs in listed if runs is not None]
        counts = list(map(len, runs))
        result_ids = np.fromiter(map(_RESULT_ID, rows), np.uint64, lines)
        run_ids = np.fromiter(chain.from_iterable(runs), np.uint64, sum(counts))
        return Columns(np.repeat(result_ids, counts), run_ids)

    def _has_keys_once(self, data: bytes, objects: int) -> bool:
        return (
            _ESCAPED_ASCII not in data
            and data.count(self._result) == objects
            and data.count(self._run) + data.count(self._grouped) == objects
        )

    def line(self, data: bytes) -> tuple[int, list[int]] | None:
        """Read one line; None if the slow reader must look at it."""
        if not self._plain or not self._has_keys_once(data, 1) or _may_be_deep(data):
            return None
        try:
            row = self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return None
        runs = _runs(row)
        return None if runs is None else (row.result_id, runs)


def _is_plain(key: str) -> bool:
    """Tell whether only escaped ASCII is another way to write a key."""
    return key.isascii() and json.dumps(key) == f'"{key}"' and "/" not in key


def _ends_objects(data: bytes, lines: int) -> bool:
    """Tell whether each line end stands between two objects; within one, JSON has no "}{"."""
    return data.count(b"}\n{") + data.count(b"}\r\n{") == lines - 1


def _may_be_deep(data: bytes) -> bool:
    """Tell whether some line may be nested deeper than every reader goes."""
    if data.count(b"{") + data.count(b"[") <= _MOST_BRACKETS:
        return False
    block = np.frombuffer(data, np.uint8)
    opening = np.flatnonzero((block == ord("{")) | (block == ord("[")))
    before = np.searchsorted(opening, np.flatnonzero(block == ord("\n")))
    return int(np.diff(before, prepend=0, append=opening.size).max()) > _MOST_BRACKETS


def _runs(row: Any) -> list[int] | None:  # noqa: ANN401 - a struct made at run time
    if (row.run_id is msgspec.UNSET) == (row.run_ids is msgspec.UNSET):
        return None
    found: list[int] = [row.run_id] if row.run_ids is msgspec.UNSET else row.run_ids
    return found


_RESULT_ID = attrgetter("result_id")
