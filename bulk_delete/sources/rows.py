"""What a source is asked for, and what it yields."""

from dataclasses import dataclass
from typing import NamedTuple

from bulk_delete.columns import Columns
from bulk_delete.model import Reject

SHOWN = 200
"""Characters of a bad row that are kept."""

WHOLE_RESULT = 0
"""Stands for the run id in a row that speaks of a result as a whole."""


class Rows(NamedTuple):
    """The pairs of some rows that follow each other, in no order, and the bad ones among them."""

    columns: Columns
    rejects: list[Reject]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names of the columns.

    `whole_results`: rows without a run are of a result as a whole; `may_be_empty`: a file without
    even a header will do.
    """

    result_column: str
    run_column: str
    whole_results: bool = False
    may_be_empty: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a header must have."""
        return (
            (self.result_column,) if self.whole_results else (self.result_column, self.run_column)
        )

    @property
    def header(self) -> str:
        return ",".join(self.needed)
