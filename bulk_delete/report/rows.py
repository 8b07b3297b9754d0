"""The rows of the files that people open: CSV that a spreadsheet does not obey."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bulk_delete.model import Pair, Reject, Verdict
from bulk_delete.plain import printable

if TYPE_CHECKING:  # it loads NumPy, which `status` does without
    from bulk_delete.plan import Group

_SIGNS = "=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
_SIGNS += "\N{FULLWIDTH COMMERCIAL AT}"
_FORMULA = re.compile(rf"""(^|[,;|\t]["' ]*)(?=[{_SIGNS}])""")
"""Where a spreadsheet takes a cell for a formula, whichever delimiter it goes by."""


def rejects_text(rejects: Iterable[Reject], count: int) -> str:
    """Name the first bad rows, a line each."""
    shown = [f"  {printable(row.file)}, line {row.line}: {row.reason}" for row in rejects]
    if count > len(shown):
        shown.append(f"  … and {count - len(shown):,} more")
    return "\n".join(shown)


def bad_rows(count: int) -> str:
    return "1 row is bad" if count == 1 else f"{count:,} rows are bad"


def reject_row(row: Reject) -> str:
    return csv_line((row.file, row.line, row.reason, row.text))


def verdict_rows(verdicts: Iterable[tuple[Pair, Verdict]]) -> Iterator[str]:
    """Write pairs as a valid input, with the reason beside; nothing at all where there are none."""
    for number, (pair, verdict) in enumerate(verdicts):
        if number == 0:
            yield csv_line(("result_id", "run_id", "state", "reason", "status", "detail"))
        status = "" if verdict.status is None else verdict.status
        yield csv_line((*pair, verdict.state.value, verdict.reason, status, verdict.detail))


def plan_rows(groups: "Iterable[Group]") -> Iterator[str]:
    """Write results as grouped JSON Lines, at most one batch a line: itself an input."""
    for group in groups:
        for run_ids in group.batches():
            yield f'{{"result_id": {group.result_id}, "run_ids": {list(run_ids)}}}\n'


def csv_line(cells: Iterable[object]) -> str:
    """Write a CSV line that no spreadsheet takes for a formula and no terminal for a command."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        _FORMULA.sub(r"\1'", printable(cell)) if isinstance(cell, str) else cell for cell in cells
    )
    return line.getvalue()


REJECTS_HEADER = csv_line(("file", "line", "reason", "text"))
