"""Input files as blocks of bytes: opened, unpacked, checked for damage that spoils a file."""

import gzip
import hashlib
import io
import os
import stat
import sys
import zlib
from contextlib import ExitStack
from typing import Any, BinaryIO, Protocol, Self

import numpy as np

from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile
from bulk_delete.scan.digits import PAD, Bytes
from bulk_delete.sources.rows import SHOWN

STDIN = "-"
MAX_LINE = 64 * 1024 * 1024
"""Longest row, in bytes: a grouped row of several million ids."""

_BLOCK = 256 * 1024
"""Bytes that are read and scanned together: what is made of them stays in a processor's cache."""

_ROOM_AT_END = 1
"""For the line end that a file's last line may lack."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = {".gz": _GZIP, ".zst": _ZSTD}
_UTF8_BOM = b"\xef\xbb\xbf"
_LF = 0x0A
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


class _Unpacked(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Feed:
    """One input, a block at a time.

    `data[start:stop]` is what has not been taken yet; it is UTF-8 without NUL. PAD readable bytes
    stand before it. When the input has `ended` it is all that is left, with a line end behind the
    last line. `line` is the number of lines before `start`.

    Every way in which the file cannot be what it should be raises InvalidInput with the place
    and the cure, once all that stands before the place has been taken. Use as a context manager;
    `read` is known once all is taken.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.shown = os.fsencode(path).decode("utf-8", "replace")  # a name may be any bytes
        self.name = "standard input" if path == STDIN else self.shown
        self.line = 0
        self.start = self.stop = PAD
        self.ended = False
        self._stack = ExitStack()
        self._filled = PAD
        self._damage: InvalidInput | None = None
        self._at_end = False
        self._opened_as: tuple[int, int] | None = None
        self._allocate(_BLOCK)

    def __enter__(self) -> Self:
        _keep_memory()
        try:
            raw = self._open()
            self._opened_as = _version(raw)
            self._file = raw
            self._hashed = _Hashed(raw)
            self._source = self._unpacked(io.BufferedReader(self._hashed, _BLOCK))
            self._fill()
            self._sniff()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def read(self) -> InputFile:
        return InputFile(self.shown, self._hashed.digest.hexdigest(), self._hashed.size)

    def more(self) -> bool:
        """Go on reading behind what is left; False when all has been taken."""
        if not self.ended:
            if self._damage:
                raise self._damage
            self._make_room()
            self._fill()
        return self.start < self.stop or not self.ended

    def take(self, upto: int) -> None:
        """Leave behind what stands before a position."""
        self.line += int(np.count_nonzero(self.data[self.start : upto] == _LF))
        self.start = upto

    def line_end(self, start: int) -> int | None:
        """Return where the line that begins at a position ends, behind its line end."""
        found = self._buffer.find(b"\n", start, self.stop)
        return None if found < 0 else found + 1

    def raw(self, start: int, stop: int) -> bytes:
        return bytes(self._buffer[start:stop])

    def text(self, start: int, stop: int) -> str:
        return self._buffer[start:stop].decode("utf-8")

    def shown_text(self, start: int, stop: int) -> str:
        """Return a row's text for people: its beginning, without the line end."""
        head = self._buffer[start : min(stop, start + 4 * SHOWN)].decode("utf-8", "ignore")
        return head.rstrip("\r\n")[:SHOWN]

    def refuse(self, reason: str, line: int | None = None) -> InvalidInput:
        """Make the error that refuses the whole file, naming the place."""
        place = f"{self.name}, line {line}" if line else self.name
        return InvalidInput(f"{place}: {reason}")

    # Opening

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

    def _sniff(self) -> None:
        """Refuse what is no text of ours, and find the first character that is not blank."""
        head = bytes(self._buffer[PAD : self._filled][:4096])
        for magic, what in _REFUSED.items():
            if head.startswith(magic):
                raise self.refuse(f"is {what}")
        if head.startswith(_UTF8_BOM):
            self.start += len(_UTF8_BOM)
            self.stop = max(self.stop, self.start)  # behind no whole line yet, if the first is long
        self.first = head.removeprefix(_UTF8_BOM).lstrip()[:1].decode("latin-1")
        """The first character that is not blank; empty for an empty file."""

    # Reading

    def _allocate(self, size: int) -> None:
        self._buffer = bytearray(PAD + size + _ROOM_AT_END)
        self.data: Bytes = np.frombuffer(self._buffer, np.uint8)

    def _make_room(self) -> None:
        """Move what is left to the front, into a larger buffer where it needs one."""
        rest = bytes(self._buffer[self.start : self._filled])
        if len(rest) > MAX_LINE:
            if rest.find(b"\n") < 0:
                raise self.refuse(
                    f"is longer than {MAX_LINE >> 20} MiB; split the row", self.line + 1
                )
            raise self.refuse(
                f"the row that begins here is longer than {MAX_LINE >> 20} MiB; "
                "look for a quote that is not closed",
                self.line + 1,
            )
        if len(rest) > (self.data.size - PAD) // 2:
            self._allocate(2 * self.data.size)
        self._buffer[PAD : PAD + len(rest)] = rest
        self.stop = PAD + self.stop - self.start
        self.start, self._filled = PAD, PAD + len(rest)

    def _fill(self) -> None:
        """Read until the buffer is full or the input ends, and check what came."""
        try:
            while not self._at_end and (room := self.data.size - _ROOM_AT_END - self._filled):
                new = self._source.read1(room)
                self._buffer[self._filled : self._filled + len(new)] = new
                self._filled += len(new)
                self._at_end = not new
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._spoilt(f"the packed data ends early or is damaged ({error})")
        except OSError as error:
            self._spoilt(f"cannot be read: {error.strerror or error}")
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # its module is loaded only where it is needed
                raise
            self._spoilt(f"the packed data ends early or is damaged ({error})")
        if self._at_end and not self._damage:
            self._check_unchanged()
            if self._filled > PAD and self._buffer[self._filled - 1] != _LF:
                self._buffer[self._filled] = _LF
                self._filled += 1
        self._check_text()

    def _spoilt(self, what: str) -> None:
        lines = self.line + bytes(self._buffer[self.start : self._filled]).count(b"\n")
        self._damage = self.refuse(f"{what}, after line {lines}; make the file anew")

    def _check_unchanged(self) -> None:
        if _version(self._file) != self._opened_as:
            raise self.refuse(
                "was changed while it was read; wait until it is complete, or replace it by "
                "renaming a new file over it"
            )

    def _check_text(self) -> None:
        """Let through whole lines of UTF-8 without NUL; what spoils a line is the damage."""
        whole = self._filled if self._at_end else self._buffer.rfind(b"\n", 0, self._filled) + 1
        whole = max(whole, self.stop)
        new = self.data[self.stop : whole]
        if new.size and (int(new.max()) > 0x7F or int(new.min()) == 0):  # noqa: PLR2004 - ASCII
            whole = self.stop + self._good_bytes(bytes(new))
        self.stop = whole
        self.ended = self._at_end and self._damage is None

    def _good_bytes(self, new: bytes) -> int:
        """Return how many of the new bytes are whole lines before the first that is no text."""
        nul = new.find(b"\0")
        line_start = len(new) if nul < 0 else new.rfind(b"\n", 0, nul) + 1
        told = "holds a NUL byte; this is no text, or it is UTF-16" if nul >= 0 else ""
        try:
            new[:line_start].decode("utf-8")
        except UnicodeDecodeError as error:
            line_start = new.rfind(b"\n", 0, error.start) + 1
            at = error.start - line_start + 1
            told = f"byte {at} is not UTF-8; convert the file: iconv -f … -t UTF-8"
        if told:
            before = bytes(self._buffer[self.start : self.stop]) + new[:line_start]
            self._damage = self.refuse(told, self.line + before.count(b"\n") + 1)
        return line_start


def _keep_memory() -> None:
    """Have what blocks are scanned with used again, not given back to the system each time.

    The C library does so for sizes up to that of the largest piece it ever got back. Nothing is
    written to this one, so it takes no memory. CSV is scanned in two thirds of the time.
    """
    np.empty(32 * _BLOCK, np.uint8)


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
