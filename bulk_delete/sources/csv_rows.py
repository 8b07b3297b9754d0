"""Pairs from CSV: a header names the columns, its delimiter is found from it.

The scanner takes the rows of a block that are as they should be; the `csv` module reads the others,
one by one, and what it makes of them decides.
"""

import contextlib
import csv
from collections.abc import Iterator

import numpy as np

from bulk_delete.columns import columns_of, joined
from bulk_delete.errors import InvalidInput
from bulk_delete.model import Pair, Reject
from bulk_delete.scan.digits import LF
from bulk_delete.scan.table import Layout, scan_table
from bulk_delete.sources.files import MAX_LINE, Feed
from bulk_delete.sources.ids import named_id
from bulk_delete.sources.rows import WHOLE_RESULT, Rows, Wanted

DELIMITERS = (",", ";", "\t", "|")

_FEW = 1000
"""Rows between two stray quotes for which it pays to scan the rest of a block again."""


def rows(feed: Feed, wanted: Wanted) -> Iterator[Rows]:
    """Read all rows. Raises InvalidInput where the header or the quoting spoils the file."""
    csv.field_size_limit(2 * MAX_LINE)  # other columns may be long; a feed has a limit of its own
    layout = _header(feed, wanted)
    if layout is None:
        return
    table = _Table(feed, layout)
    yield from table.block()
    while feed.more():
        yield from table.block()


def _header(feed: Feed, wanted: Wanted) -> Layout | None:
    """Take the first line that is not blank; None where there may be none. Raises InvalidInput."""
    while (end := feed.line_end(feed.start)) is None or not feed.text(feed.start, end).strip():
        feed.take(end or feed.start)
        if feed.start == feed.stop and not feed.more():
            if wanted.may_be_empty:
                return None
            raise feed.refuse(f"is empty; it needs the header {wanted.header}")
    line = feed.line + 1
    delimiter, names = _names(feed, wanted)
    double = sorted({name for name in names if name and names.count(name) > 1})
    if double:
        raise feed.refuse(f"the header names {double[0]!r} twice; rename one", line)
    for column in wanted.needed:
        if column not in names:
            shown = ", ".join(repr(name[:40]) for name in names[:12])
            flag = "--result-column" if column == wanted.result_column else "--run-column"
            cure = "" if wanted.whole_results else f", or name the column with {flag}"
            cure = "; delete this line" if names[0].startswith("sep=") else cure
            cure = "; if it is JSON Lines, say --format jsonl" if names[0].startswith("{") else cure
            raise feed.refuse(
                f"the header has no column {column!r}, only {shown}; "
                f"the first line must be {wanted.header}{cure}",
                line,
            )
    run_at = names.index(wanted.run_column) if wanted.run_column in names else None
    return Layout(delimiter, len(names), names.index(wanted.result_column), run_at)


def _names(feed: Feed, wanted: Wanted) -> tuple[str, list[str]]:
    """Take the header; choose the delimiter that makes the wanted columns of it, else a comma."""
    for delimiter in DELIMITERS:
        with contextlib.suppress(csv.Error):
            names, end = _first_record(feed, delimiter)
            if set(wanted.needed) <= set(names):
                feed.take(end)
                return delimiter, names
    try:
        names, end = _first_record(feed, DELIMITERS[0])
    except csv.Error as error:
        raise _ill_formed(feed, error) from None
    feed.take(end)
    return DELIMITERS[0], names


def _first_record(feed: Feed, delimiter: str) -> tuple[list[str], int]:
    while (record := _record(feed, feed.start, delimiter)) is None:
        feed.more()
    return [name.strip() for name in record[0]], record[1]


class _Lines:
    """The lines of a feed, as csv.reader wants them. `end` is where the last one given ends."""

    def __init__(self, feed: Feed, start: int) -> None:
        self._feed = feed
        self.end = start
        self.used_up = False

    def __iter__(self) -> Iterator[str]:
        while (end := self._feed.line_end(self.end)) is not None:
            start, self.end = self.end, end
            yield self._feed.text(start, end)
        self.used_up = True


def _record(feed: Feed, start: int, delimiter: str) -> tuple[list[str], int] | None:
    """Read one record; return it and where it ends, or None where more must be read for it.

    Raises csv.Error.
    """
    lines = _Lines(feed, start)
    try:
        row = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
    except csv.Error:
        if lines.used_up and not feed.ended:
            return None
        raise
    return None if row is None else (row, lines.end)


def _ill_formed(feed: Feed, error: csv.Error, line: int | None = None) -> InvalidInput:
    return feed.refuse(
        f"the row that begins here is not well-formed CSV ({error}); look for a quote that is "
        "not closed, or a stray carriage return",
        line or feed.line + 1,
    )


class _Table:
    """The rows behind the header."""

    def __init__(self, feed: Feed, layout: Layout) -> None:
        self._feed = feed
        self._layout = layout
        self._slow_rows = 1

    def block(self) -> Iterator[Rows]:
        """Take what of the feed's block is complete. Raises InvalidInput."""
        feed = self._feed
        while feed.start < feed.stop:
            found = scan_table(feed.data, feed.start, feed.stop, self._layout)
            late, rejects = self._look_again(found.odd)
            yield Rows(joined([found.columns, columns_of(late)]), rejects)
            many = found.columns.rows >= _FEW
            feed.take(found.end)
            if not (found.stuck or feed.ended):
                return
            self._slow_rows = 1 if many else 2 * self._slow_rows
            slow = self._row_by_row(self._slow_rows)
            if slow is None:
                return
            yield slow

    def _look_again(self, spans: list[tuple[int, int]]) -> tuple[list[Pair], list[Reject]]:
        """Read single rows, each of which is complete."""
        pairs: list[Pair] = []
        rejects: list[Reject] = []
        if spans:
            feed = self._feed
            line_ends = np.flatnonzero(feed.data[feed.start : spans[-1][1]] == LF) + feed.start
            lines = np.searchsorted(line_ends, [start for start, _ in spans]) + feed.line + 1
            for span, line in zip(spans, lines.tolist(), strict=True):
                self._read(span, line, pairs, rejects)
        return pairs, rejects

    def _row_by_row(self, count: int) -> Rows | None:
        """Take some rows, whatever quotes they have; None where more must be read for one."""
        feed = self._feed
        pairs: list[Pair] = []
        rejects: list[Reject] = []
        for number in range(count):
            if feed.start == feed.stop:
                break
            end = self._read((feed.start, feed.stop), feed.line + 1, pairs, rejects)
            if end is None:
                if number == 0:
                    return None
                break
            feed.take(end)
        return Rows(columns_of(pairs), rejects)

    def _read(
        self, span: tuple[int, int], line: int, pairs: list[Pair], rejects: list[Reject]
    ) -> int | None:
        """Read the row at the start of a span; return where it ends. Raises InvalidInput."""
        start, stop = span
        try:
            record = _record(self._feed, start, self._layout.delimiter)
        except csv.Error as error:
            raise _ill_formed(self._feed, error, line) from None
        if record is None:
            return None
        row, end = record
        if row and (len(row) > 1 or row[0].strip()):
            try:
                pairs.append(self._pair(row))
            except ValueError as error:
                text = self._feed.shown_text(start, min(end, stop))
                rejects.append(Reject(self._feed.name, line, str(error), text))
        return end

    def _pair(self, row: list[str]) -> Pair:
        layout = self._layout
        if len(row) != layout.width:
            raise ValueError(f"has {len(row)} fields, the header has {layout.width}")
        result_id = named_id(row[layout.result_at], "result id")
        if layout.run_at is None:
            return Pair(result_id, WHOLE_RESULT)
        return Pair(result_id, named_id(row[layout.run_at], "run id"))
