"""Pairs from CSV: a header names the columns, its delimiter is found from it."""

import csv
from collections.abc import Iterator
from itertools import chain

from bulk_delete.config import Input
from bulk_delete.model import Pair, Reject
from bulk_delete.sources.files import MAX_LINE, TextLines
from bulk_delete.sources.ids import parse_id

DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 200


def rows(lines: TextLines, settings: Input) -> Iterator[Pair | Reject]:
    """Read all rows. Raises InvalidInput where the header or the quoting spoils the file."""
    source = iter(lines)
    header = next(source, "")
    while header and not header.strip():
        header = next(source, "")
    if not header:
        raise lines.refuse(f"is empty; it needs the header {_wanted(settings)}")
    header_line = lines.line
    csv.field_size_limit(MAX_LINE)  # other columns may be long; the module has one limit for all
    start = header_line
    reader = csv.reader(
        chain([header], source), delimiter=_delimiter(header, settings), strict=True
    )
    try:
        names = [name.strip() for name in next(reader)]
        result_at, run_at = _columns(lines, names, settings, header_line)
        while True:
            start = lines.line + 1
            row = next(reader, None)
            if row is None:
                return
            if row and (len(row) > 1 or row[0].strip()):
                yield _pair(lines, start, row, len(names), result_at, run_at)
    except csv.Error as error:
        raise lines.refuse(
            f"the row that begins here is not well-formed CSV ({error}); look for a quote that is "
            "not closed, or a stray carriage return",
            start,
        ) from None


def _wanted(settings: Input) -> str:
    return f"{settings.result_column},{settings.run_column}"


def _delimiter(header: str, settings: Input) -> str:
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([header], delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        if {settings.result_column, settings.run_column} <= {name.strip() for name in names}:
            return delimiter
    return ","


def _columns(
    lines: TextLines, names: list[str], settings: Input, header_line: int
) -> tuple[int, int]:
    double = sorted({name for name in names if name and names.count(name) > 1})
    if double:
        raise lines.refuse(f"the header names {double[0]!r} twice; rename one", header_line)
    for column, flag in (
        (settings.result_column, "--result-column"),
        (settings.run_column, "--run-column"),
    ):
        if column not in names:
            shown = ", ".join(repr(name[:40]) for name in names[:12])
            raise lines.refuse(
                f"the header has no column {column!r}, only {shown}; "
                f"the first line must be {_wanted(settings)}, or name the column with {flag}",
                header_line,
            )
    return names.index(settings.result_column), names.index(settings.run_column)


def _pair(
    lines: TextLines, line: int, row: list[str], width: int, result_at: int, run_at: int
) -> Pair | Reject:
    if len(row) != width:
        return _reject(lines, line, row, f"has {len(row)} fields, the header has {width}")
    try:
        name = "result id"
        result_id = parse_id(row[result_at])
        name = "run id"
        return Pair(result_id, parse_id(row[run_at]))
    except ValueError as error:
        return _reject(lines, line, row, f"{name} {error}")


def _reject(lines: TextLines, line: int, row: list[str], reason: str) -> Reject:
    return Reject(lines.name, line, reason, ",".join(row)[:_SHOWN])
