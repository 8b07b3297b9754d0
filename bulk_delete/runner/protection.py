"""Runs that must never be sent: `--protect FILE`, read when a job starts and when it changes."""

import contextlib
import os
import stat
from pathlib import Path

import numpy as np

from bulk_delete.columns import Columns, Mask
from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.model import Reject
from bulk_delete.report import bad_rows, rejects_text
from bulk_delete.sources import STDIN, WHOLE_RESULT, Source
from bulk_delete.store import Builder, Plan, Scratch, ScratchError

_SHOWN = 20


_Version = tuple[int, int, int, int]


class Protection:
    """The pairs and results of one file. Raises InvalidInput when it is made and cannot be read."""

    def __init__(self, path: Path, scratch: Scratch) -> None:
        self._path = path
        self._scratch = scratch
        self._version, self._plan = self.read()

    def close(self) -> None:
        self._plan.close()

    def covers(self, columns: Columns) -> Mask:
        """Tell of each of some ascending pairs whether it is protected."""
        whole = Columns(columns.result_ids, np.full(columns.rows, WHOLE_RESULT, np.uint64))
        return self._plan.holds(columns) | self._plan.holds(whole)

    @property
    def changed(self) -> bool:
        return self._seen() != self._version

    def read(self) -> "_Read":
        """Read the file. Raises InvalidInput."""
        if str(self._path) == STDIN:
            raise InvalidInput("--protect: standard input cannot be read again; name a file")
        version = self._seen()
        self._check_kind()
        first: list[Reject] = []
        count = 0
        source = Source((str(self._path),), Input(), whole_results=True)
        with Builder(self._scratch) as builder:
            try:
                for rows in source.rows():
                    builder.add(rows.columns)
                    count += len(rows.rejects)
                    first += rows.rejects[: _SHOWN - len(first)]
                if count == 0:
                    return version, builder.plan()
            except InvalidInput as error:
                raise InvalidInput(f"--protect {error.reason}") from None
            except ScratchError as error:
                raise InvalidInput(f"--protect {self._path}: {error}") from None
        raise InvalidInput(
            f"--protect {self._path}: {bad_rows(count)}, so it is not known what to protect; "
            "mend the file",
            rejects_text(first, count),
        )

    def take(self, read: "_Read") -> None:
        """Go by what was read from now on."""
        self._plan.close()
        self._version, self._plan = read

    def _check_kind(self) -> None:
        with contextlib.suppress(OSError):  # the source will tell
            found = self._path.stat()
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise InvalidInput(f"--protect {self._path}: cannot be read again; name a file")
            if found.st_size == 0:
                raise InvalidInput(
                    f"--protect {self._path}: is empty, as a file is that is being written; where "
                    "nothing is to be protected, leave --protect out"
                )

    def _seen(self) -> _Version | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - before each send, so it should be cheap
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


_Read = tuple[_Version | None, Plan]
