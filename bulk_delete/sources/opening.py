"""Input files opened, hashed and unpacked; other kinds of files are refused by their name."""

import gzip
import hashlib
import io
import os
import stat
import sys
import zlib
from contextlib import ExitStack
from typing import Any, BinaryIO, Protocol, Self

from bulk_delete.config import nearest
from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile

STDIN = "-"

_READ_AHEAD = 256 * 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = {".gz": _GZIP, ".zst": _ZSTD}
_REFUSED = {
    b"PK\x03\x04": "a ZIP or Excel file; save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as CSV (UTF-8)",
    b"PAR1": "a Parquet file; export it as CSV, with the columns result_id and run_id",
    b"\xff\xfe\0\0": "UTF-32; convert it: iconv -f UTF-32 -t UTF-8",
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
        count = self._raw.readinto(view) or 0  # type: ignore[attr-defined]
        self.digest.update(view[:count])
        self.size += count
        return count


class SpoiltError(Exception):
    """The bytes end where they should not, or cannot be had. The text says why."""


class _Unpacked(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Opened:
    """One input's bytes, unpacked. Use as a context manager, which raises InvalidInput."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.shown = os.fsencode(path).decode("utf-8", "replace")  # a name may be any bytes
        self.name = "standard input" if path == STDIN else self.shown
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._file = self._open()
            self._version = _version(self._file)
            self._hashed = _Hashed(self._file)
            self._source = self._unpacked(io.BufferedReader(self._hashed, _READ_AHEAD))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def as_read(self) -> InputFile:
        """What was read so far; of the raw bytes."""
        return InputFile(self.shown, self._hashed.digest.hexdigest(), self._hashed.size)

    @property
    def is_changed(self) -> bool:
        """Tell whether a file on a disk is not what it was when it was opened."""
        return _version(self._file) != self._version

    def read(self, size: int) -> bytes:
        """Read some bytes, none at the end. Raises SpoiltError."""
        try:
            return self._source.read1(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SpoiltError(f"the packed data ends early or is damaged ({error})") from None
        except OSError as error:
            raise SpoiltError(f"cannot be read: {error.strerror or error}") from None
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # its module is loaded only where it is needed
                raise
            raise SpoiltError(f"the packed data ends early or is damaged ({error})") from None

    def refuse_other_kinds(self, head: bytes) -> None:
        """Look at the first bytes. Raises InvalidInput for what is no text of ours."""
        for magic, what in _REFUSED.items():
            if head.startswith(magic):
                raise self.refuse(f"is {what}")

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
            near = _near(self.path) if isinstance(error, FileNotFoundError) else ""
            raise self.refuse(f"cannot be opened: {error.strerror}{near}") from None

    def _unpacked(self, buffered: "io.BufferedReader[_Hashed]") -> _Unpacked:
        try:
            head = buffered.peek(8)[:8]
        except OSError as error:
            raise self.refuse(f"cannot be read: {error.strerror or error}") from None
        for suffix, magic in _PACKED.items():
            if self.path.lower().endswith(suffix) and not head.startswith(magic):
                raise self.refuse(f"is named {suffix} but is not packed so; it may have been cut")
        if head.startswith(_GZIP):
            return gzip.GzipFile(fileobj=buffered)
        if head.startswith(_ZSTD):
            return _zstd_file(buffered)
        return buffered


def _near(path: str) -> str:
    """Ask whether a file of a like name was meant."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208 - names, not paths
    except OSError:
        return ""
    return nearest(name, filter(str.isprintable, names))


def _version(file: BinaryIO) -> tuple[int, int] | None:
    """Return size and time of change of a file on a disk; None for a pipe or a device."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _zstd_file(buffered: Any) -> _Unpacked:  # noqa: ANN401 - typeshed's files disagree
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most inputs are not packed so
    else:
        from backports import zstd  # noqa: PLC0415 - likewise
    return zstd.ZstdFile(buffered)  # type: ignore[no-any-return, unused-ignore]
