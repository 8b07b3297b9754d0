"""Input files → pairs and rejects, a block at a time."""

from collections.abc import Iterator
from pathlib import PurePath

from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile
from bulk_delete.sources import csv_rows, jsonl_rows
from bulk_delete.sources.files import STDIN, Feed
from bulk_delete.sources.finding import find, is_missing
from bulk_delete.sources.rows import WHOLE_RESULT, Rows, Wanted

__all__ = ["STDIN", "WHOLE_RESULT", "Rows", "Source", "find", "is_missing", "stem"]

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_PACKED = {".gz", ".zst"}


def stem(path: str) -> str:
    """Return a file's name without its format's and packing's endings."""
    pure = PurePath(path)
    while pure.suffix.lower() in {*_PACKED, *_FORMATS}:
        pure = pure.with_suffix("")
    return pure.name


class Source:
    """Some inputs, read one after the other.

    With `whole_results`, rows without a run speak of a result as a whole, and their run id is
    WHOLE_RESULT; else they are bad rows.
    """

    def __init__(
        self, paths: tuple[str, ...], settings: Input, *, whole_results: bool = False
    ) -> None:
        if paths.count(STDIN) > 1:
            raise InvalidInput("standard input (-) is named twice")
        if settings.result_column == settings.run_column:
            raise InvalidInput("--result-column and --run-column name the same column")
        self._paths = paths
        self._format = settings.format
        self._require = settings.require
        self._wanted = Wanted(
            settings.result_column,
            settings.run_column,
            whole_results=whole_results,
            may_be_empty=settings.require == "nothing",
        )
        self.read: list[InputFile] = []
        """The files that have been read to their end."""

    def rows(self) -> Iterator[Rows]:
        """Yield all rows. Raises InvalidInput for damage that spoils a whole file."""
        for path in self._paths:
            with Feed(path) as feed:
                form = csv_rows if self._format_of(feed) == "csv" else jsonl_rows
                any_row = False
                for rows in form.rows(feed, self._wanted):
                    any_row = any_row or bool(rows.columns.rows or rows.rejects)
                    yield rows
                if self._require == "rows" and not any_row:
                    raise feed.refuse("has no rows; look at what writes it, or say --require file")
                self.read.append(feed.read)

    def _format_of(self, feed: Feed) -> str:
        if self._format != "auto":
            return self._format
        suffixes = [suffix.lower() for suffix in PurePath(feed.path).suffixes]
        named = [suffix for suffix in suffixes if suffix not in _PACKED]
        by_name = _FORMATS.get(named[-1]) if named else None
        return by_name or ("jsonl" if feed.first in {"{", "["} else "csv")
