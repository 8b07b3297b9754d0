"""Temporary files without a name, and the one way in which they fail."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from bulk_delete.columns import Numbers

WORD = 8
"""Bytes of a number."""

_BYTES_AT_ONCE = 1 << 20
_PAGE = 1 << 12
_PAGES = 1 << 10
"""Bytes of a page, and how many are kept: 4 MB."""


class ScratchError(Exception):
    """The disk for temporary files cannot be used. The text says where, why and what to do."""


class Scratch:
    """A folder for temporary files: the given one, or the system's (TMPDIR)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def file(self) -> "ScratchFile":
        """Make a file of numbers. Raises ScratchError."""
        return ScratchFile(self._made(), self)

    def zeros(self, size: int = 0) -> "ScratchBytes":
        """Make a file of so many bytes, all zero. Raises ScratchError."""
        file = self._made()
        try:
            os.ftruncate(file.fileno(), size)
        except OSError as error:
            file.close()
            raise self.error(error) from None
        return ScratchBytes(file, self, size)

    def _made(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._folder, buffering=0)
        except OSError as error:
            raise self.error(error) from None

    def error(self, error: OSError) -> ScratchError:
        change = "give --state-dir" if self._folder else "set TMPDIR to"
        return ScratchError(
            f"{self._folder or _default_folder()}: temporary files cannot be written: "
            f"{error.strerror or error}; {change} a disk with room for 40 bytes a row"
        )


def _default_folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # it has looked for one that can be written, in vain
        return os.environ.get("TMPDIR", "TMPDIR")


class ScratchFile:
    """Numbers, appended at the end and read from anywhere. Places are counted in numbers."""

    def __init__(self, file: IO[bytes], scratch: Scratch) -> None:
        self._file = file
        self._scratch = scratch
        self.size = 0

    def fileno(self) -> int:
        return self._file.fileno()

    def append(self, numbers: Numbers) -> None:
        """Write at the end. Raises ScratchError."""
        if numbers.size:
            self.put(self.size, np.ascontiguousarray(numbers, "<u8").data.cast("B"))
            self.size += numbers.size

    def put(self, place: int, data: bytes | memoryview) -> None:
        """Write bytes at a place. Raises ScratchError."""
        self.put_at(place * WORD, data)

    def put_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes at an offset that is counted in bytes. Raises ScratchError."""
        _write(self._file, self._scratch, offset, data)

    def read(self, start: int, stop: int) -> Numbers:
        return read_numbers(self.fileno(), start * WORD, stop - start)

    def close(self) -> None:
        self._file.close()


class ScratchBytes:
    """Bytes, written and read anywhere. Those that were never written are zero.

    Pages that were used last are kept in memory: most bytes are written a few at a time, near
    those before. Not for two threads at once.
    """

    def __init__(self, file: IO[bytes], scratch: Scratch, size: int) -> None:
        self._file = file
        self._scratch = scratch
        self._handle = file.fileno()
        self._pages: dict[int, bytearray] = {}
        self._changed: set[int] = set()
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes at an offset. Raises ScratchError, and OSError for a file that lacks some."""
        number, at = divmod(offset, _PAGE)
        if at + count <= _PAGE and offset + count <= self.size:
            page = self._pages.get(number) or self._page(number)
            return bytes(page[at : at + count])
        if count <= _PAGE and offset + count <= self.size:
            first = _PAGE - at
            return self.read(offset, first) + self.read(offset + first, count - first)
        self._flush()
        data = os.pread(self._handle, count, offset)
        if len(data) != count:
            raise OSError("the file has been cut")
        return data

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes at an offset. Raises ScratchError."""
        size = len(data)
        number, at = divmod(offset, _PAGE)
        if at + size <= _PAGE and offset + size <= self.size:
            page = self._pages.get(number) or self._page(number)
            page[at : at + size] = data
            self._changed.add(number)
            return
        if size <= _PAGE and offset + size <= self.size:
            view, first = memoryview(data), _PAGE - at
            self.write(offset, view[:first])
            self.write(offset + first, view[first:])
            return
        self._flush()
        _write(self._file, self._scratch, offset, data)
        self.size = max(self.size, offset + size)

    def _page(self, number: int) -> bytearray:
        if len(self._pages) == _PAGES:
            self._flush()
        start = number * _PAGE
        page = bytearray(os.pread(self._handle, min(_PAGE, self.size - start), start))
        self._pages[number] = page
        return page

    def _flush(self) -> None:
        """Write what was changed in memory, and forget all of it."""
        for number in sorted(self._changed):
            _write(self._file, self._scratch, number * _PAGE, memoryview(self._pages[number]))
        self._changed.clear()
        self._pages.clear()

    def fill(self, parts: Iterable[bytes]) -> None:
        """Write parts one after the other, from the start on. Raises ScratchError."""
        offset = 0
        for data in parts:
            self.write(offset, data)
            offset += len(data)

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes."""
        for offset in range(0, self.size, _BYTES_AT_ONCE):
            yield self.read(offset, min(_BYTES_AT_ONCE, self.size - offset))

    def close(self) -> None:
        self._file.close()


def _write(file: IO[bytes], scratch: Scratch, offset: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.pwrite(file.fileno(), view, offset)
            view, offset = view[written:], offset + written
    except OSError as error:
        raise scratch.error(error) from None


def read_numbers(handle: int, offset: int, count: int) -> Numbers:
    """Read `count` numbers from a place in bytes. Raises OSError for a file that lacks some."""
    data = bytearray(count * WORD)
    view = memoryview(data)
    while view:
        taken = os.preadv(handle, [view], offset)
        if taken == 0:
            raise OSError("the file has been cut")
        view, offset = view[taken:], offset + taken
    return np.frombuffer(data, "<u8")
