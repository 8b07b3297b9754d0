"""Input files → pairs and rejects, in the order in which they stand."""

from collections.abc import Iterator
from pathlib import PurePath

from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile, Pair, Reject
from bulk_delete.sources import csv_rows, jsonl_rows
from bulk_delete.sources.files import STDIN, TextLines

__all__ = ["STDIN", "Source", "stem"]

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
    """Some inputs, read one after the other and one row at a time."""

    def __init__(self, paths: tuple[str, ...], settings: Input) -> None:
        if paths.count(STDIN) > 1:
            raise InvalidInput("standard input (-) is named twice")
        if settings.result_column == settings.run_column:
            raise InvalidInput("--result-column and --run-column name the same column")
        self._paths = paths
        self._settings = settings
        self.read: list[InputFile] = []
        """The files that have been read to their end."""

    def rows(self) -> Iterator[Pair | Reject]:
        """Yield every row. Raises InvalidInput for damage that spoils a whole file."""
        for path in self._paths:
            with TextLines(path) as lines:
                form = csv_rows if self._format(lines) == "csv" else jsonl_rows
                yield from form.rows(lines, self._settings)
                self.read.append(lines.read)

    def _format(self, lines: TextLines) -> str:
        if self._settings.format != "auto":
            return self._settings.format
        suffixes = [suffix.lower() for suffix in PurePath(lines.path).suffixes]
        named = [suffix for suffix in suffixes if suffix not in _PACKED]
        by_name = _FORMATS.get(named[-1]) if named else None
        return by_name or ("jsonl" if lines.first in {"{", "["} else "csv")
