"""Pairs from JSON Lines: one run a line, or the runs of a result grouped on one."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn, TypeGuard

from bulk_delete.config import Input
from bulk_delete.model import Pair, Reject
from bulk_delete.sources.files import TextLines
from bulk_delete.sources.ids import parse_id

GROUPED = "run_ids"
_SHOWN = 200


class _Members(list[tuple[str, Any]]):
    """An object's members as they stand, so that a double key is seen."""

    @property
    def asked_for(self) -> int:
        """Count the pairs that the object asks for, good or bad."""
        grouped = [value for key, value in self if key == GROUPED and _is_list(value)]
        return max(1, sum(map(len, grouped)))


def rows(lines: TextLines, settings: Input) -> Iterator[Pair | Reject]:
    """Read all rows. Raises InvalidInput where the file is no JSON Lines at all."""
    if lines.first == "[":
        raise lines.refuse("is one JSON array; make lines of it: jq -c '.[]'")
    for text in lines:
        if not text.strip():
            continue
        found = _Members()
        try:
            found = _members(text)
            result_id, run_ids = _group(found, settings)
        except ValueError as error:
            row = text.strip()[:_SHOWN]
            yield Reject(lines.name, lines.line, str(error), row, found.asked_for)
            continue
        for run_id in run_ids:
            yield Pair(result_id, run_id)


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


def _group(found: _Members, settings: Input) -> tuple[int, list[int]]:
    members = dict(found)
    if len(members) != len(found):
        raise ValueError("has a key twice")
    result_key, run_key = settings.result_column, settings.run_column
    if result_key not in members:
        raise ValueError(f"has no {result_key!r}")
    result_id = _id(members[result_key], "result id")
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
    try:
        return parse_id(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _shown(value: object) -> str:
    if isinstance(value, _Members):
        return "(an object)"
    return "(a list)" if isinstance(value, list) else json.dumps(value)[:40]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"is not JSON: {name}")


_decoder = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=str, parse_float=float, parse_constant=_no_constant
)
