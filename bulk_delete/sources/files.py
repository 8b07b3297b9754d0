"""Input files as lines of text: opened, unpacked, checked for damage that spoils a file."""

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, BinaryIO, Self

from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STDIN = "-"
MAX_LINE = 64 * 1024 * 1024
"""Longest line, in bytes: a grouped row of several million ids."""

_PACKED = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_UTF8_BOM = b"\xef\xbb\xbf"
_REFUSED = {
    b"PK\x03\x04": "a ZIP or Excel file; save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as CSV (UTF-8)",
    b"PAR1": "a Parquet file; export it as CSV, with the columns result_id and run_id",
    b"\xff\xfe": "UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16; convert it: iconv -f UTF-16 -t UTF-8",
    b"BZh": "bzip2; unpack it, or pack it with gzip or zstd",
    b"\xfd7zXZ": "xz; unpack it, or pack it with gzip or zstd",
}


class _Hashed(io.RawIOBase):
    """Passes the raw bytes on and keeps their digest and number."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._raw.read(len(view))
        view[: len(data)] = data
        self.digest.update(data)
        self.size += len(data)
        return len(data)


class TextLines:
    """The lines of one input, decoded, line ends kept; `line` is the physical number of the last.

    Every way in which the file cannot be what it should be raises InvalidInput with the place
    and the cure. Use as a context manager; `read` is known once all lines have been taken.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.shown = os.fsencode(path).decode("utf-8", "replace")  # a name may be any bytes
        self.name = "standard input" if path == STDIN else self.shown
        self.line = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._hashed = _Hashed(self._open())
            buffered = io.BufferedReader(self._hashed, 1 << 20)
            self._lines = self._unpacked(buffered)
            self.first = self._peek()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[str]:
        lines = self._lines
        while True:
            try:
                data = lines.readline(MAX_LINE)
            except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
                raise self._damaged(f"the packed data ends early or is damaged ({error})") from None
            except OSError as error:
                raise self._damaged(f"cannot be read: {error.strerror or error}") from None
            if not data:
                return
            self.line += 1
            yield self._decoded(data)

    @property
    def read(self) -> InputFile:
        return InputFile(self.shown, self._hashed.digest.hexdigest(), self._hashed.size)

    def refuse(self, reason: str, line: int | None = None) -> InvalidInput:
        """Make the error that refuses the whole file, naming the place."""
        place = f"{self.name}, line {line}" if line else self.name
        return InvalidInput(f"{place}: {reason}")

    def _open(self) -> BinaryIO:
        if self.path == STDIN:
            if sys.stdin is None:
                raise self.refuse("is closed; pipe the rows in, or name a file")
            return sys.stdin.buffer
        try:
            if os.path.isdir(self.path):  # noqa: PTH112 - the path is shown as it was given
                raise self.refuse("is a folder; name the files in it")
            return self._stack.enter_context(open(self.path, "rb", buffering=0))  # noqa: PTH123 - the path as given
        except OSError as error:
            raise self.refuse(f"cannot be opened: {error.strerror}") from None

    def _unpacked(self, buffered: "io.BufferedReader[_Hashed]") -> IO[bytes]:
        try:
            head = buffered.peek(8)[:8]
        except OSError as error:
            raise self.refuse(f"cannot be read: {error.strerror or error}") from None
        for suffix, magic in _PACKED.items():
            if self.path.lower().endswith(suffix) and not head.startswith(magic):
                raise self.refuse(f"is named {suffix} but is not packed so; it may have been cut")
        if head.startswith(_PACKED[".gz"]):
            return io.BufferedReader(gzip.GzipFile(fileobj=buffered))  # type: ignore[type-var, unused-ignore]
        if head.startswith(_PACKED[".zst"]):
            return io.BufferedReader(zstd.ZstdFile(buffered))  # type: ignore[type-var, unused-ignore]
        return buffered

    def _peek(self) -> str:
        """Return the first character that is not blank, or "" for an empty file."""
        try:
            head: bytes = self._lines.peek(4096)[:4096]  # type: ignore[attr-defined]
        except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
            raise self._damaged(f"the packed data ends early or is damaged ({error})") from None
        except OSError as error:
            raise self._damaged(f"cannot be read: {error.strerror or error}") from None
        for magic, what in _REFUSED.items():
            if head.startswith(magic):
                raise self.refuse(f"is {what}")
        return head.removeprefix(_UTF8_BOM).lstrip()[:1].decode("latin-1")

    def _decoded(self, data: bytes) -> str:
        if len(data) == MAX_LINE and not data.endswith(b"\n"):
            raise self.refuse(f"is longer than {MAX_LINE >> 20} MiB; split the row", self.line)
        if self.line == 1:
            data = data.removeprefix(_UTF8_BOM)
        if b"\0" in data:
            raise self.refuse("holds a NUL byte; this is no text, or it is UTF-16", self.line)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse(
                f"byte {error.start + 1} is not UTF-8; convert the file: iconv -f … -t UTF-8",
                self.line,
            ) from None

    def _damaged(self, what: str) -> InvalidInput:
        return self.refuse(f"{what}, after line {self.line}; make the file anew")
