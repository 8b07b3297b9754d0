"""Input files as blocks of bytes, checked for damage that spoils a file."""

from contextlib import ExitStack
from typing import Self

import numpy as np

from bulk_delete.errors import InvalidInput
from bulk_delete.model import InputFile
from bulk_delete.scan.digits import LF, PAD, Bytes
from bulk_delete.sources.opening import STDIN, Opened, SpoiltError
from bulk_delete.sources.rows import SHOWN

__all__ = ["MAX_LINE", "STDIN", "Feed"]

MAX_LINE = 64 * 1024 * 1024
"""Longest row, in bytes: a grouped row of several million ids."""

_BLOCK = 256 * 1024
"""Bytes that are read and scanned together: what is made of them stays in a processor's cache."""

_ROOM_AT_END = 1
"""For the line end that a file's last line may lack."""

_UTF8_BOM = b"\xef\xbb\xbf"


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
        self._opened = Opened(path)
        self.path, self.name = path, self._opened.name
        self.line = 0
        self.start = self.stop = PAD
        self.ended = False
        self._stack = ExitStack()
        self._filled = PAD
        self._damage: InvalidInput | None = None
        self._at_end = False
        self._allocate(_BLOCK)

    def __enter__(self) -> Self:
        _keep_memory()
        with ExitStack() as stack:
            stack.enter_context(self._opened)
            self._fill()
            self._sniff()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def read(self) -> InputFile:
        return self._opened.as_read

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
        self.line += int(np.count_nonzero(self.data[self.start : upto] == LF))
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
        return self._opened.refuse(reason, line)

    def _sniff(self) -> None:
        """Refuse what is no text of ours, and find the first character that is not blank."""
        head = bytes(self._buffer[PAD : self._filled][:4096])
        self._opened.refuse_other_kinds(head)
        if head.startswith(_UTF8_BOM):
            self.start += len(_UTF8_BOM)
            self.stop = max(self.stop, self.start)  # behind no whole line yet, if the first is long
        self.first = head.removeprefix(_UTF8_BOM).lstrip()[:1].decode("latin-1")
        """The first character that is not blank; empty for an empty file."""

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
                new = self._opened.read(room)
                self._buffer[self._filled : self._filled + len(new)] = new
                self._filled += len(new)
                self._at_end = not new
        except SpoiltError as error:
            lines = self.line + self._buffer.count(b"\n", self.start, self._filled)
            self._damage = self.refuse(f"{error}, after line {lines}; make the file anew")
        if self._at_end and not self._damage:
            if self._opened.is_changed:
                raise self.refuse(
                    "was changed while it was read; wait until it is complete, or replace it by "
                    "renaming a new file over it"
                )
            if self._filled > PAD and self._buffer[self._filled - 1] != LF:
                self._buffer[self._filled] = LF
                self._filled += 1
        self._check_text()

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
        told = (
            "holds a NUL byte, so it is no text, or UTF-16: iconv -f UTF-16 -t UTF-8"
            if nul >= 0
            else ""
        )
        try:
            new[:line_start].decode("utf-8")
        except UnicodeDecodeError as error:
            line_start = new.rfind(b"\n", 0, error.start) + 1
            at = error.start - line_start + 1
            told = f"byte {at} is not UTF-8; convert the file: iconv -f … -t UTF-8"
        if told:
            before = self._buffer.count(b"\n", self.start, self.stop) + new.count(
                b"\n", 0, line_start
            )
            self._damage = self.refuse(told, self.line + before + 1)
        return line_start


def _keep_memory() -> None:
    """Have what blocks are scanned with used again, not given back to the system each time.

    The C library does so for sizes up to that of the largest piece it ever got back. Nothing is
    written to this one, so it takes no memory. CSV is scanned in two thirds of the time.
    """
    np.empty(32 * _BLOCK, np.uint8)
