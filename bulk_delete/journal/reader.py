"""Reading a journal back, checked line by line: all of it, or on from a position."""

import errno
import hashlib
import os
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from bulk_delete.errors import InvalidInput
from bulk_delete.journal.chain import START, DamagedError, Link, TornError, told_chain, unseal
from bulk_delete.journal.lines import UnknownLineError, parse
from bulk_delete.journal.replay import Damage, History, OpenBatch, Replay
from bulk_delete.ledger import Sink

_READ_AT_ONCE = 1 << 20
_TAIL = 64
"""Bytes at a line's end in which its chain stands."""


class Position(msgspec.Struct):
    """A place in a journal, up to which it was read and found sound: what it told by then."""

    history: History
    open: dict[int, OpenBatch]


def read(
    path: Path,
    sink: Sink,
    mark: Link = START,
    *,
    start: Position | None = None,
    lines: int | None = None,
) -> History:
    """Replay a journal into a sink, or so many lines of it; an absent one is empty.

    What stands before a position to start from is not looked at. Stops at the first damage and
    reports it. Raises InvalidInput for a line of an unknown version, an unknown `batch.*` event,
    and an event of a batch that was never sent.
    """
    with Reader(path, sink, mark, start) as reader:
        reader.go_on(lines=lines)
        reader.end()
        return reader.history


class Reader:
    """Replays a journal as far as it is asked to. `close` it, or use it as a context manager.

    Raises as `read` does.
    """

    def __init__(
        self, path: Path, sink: Sink, mark: Link = START, start: Position | None = None
    ) -> None:
        self._path = path
        self._mark = mark
        self.history = history = start.history if start else History()
        self._replay = Replay(history, sink, start.open if start else None)
        self._digest, self._digested = hashlib.sha256(), 0
        try:
            self._file: BinaryIO | None = path.open("rb", buffering=_READ_AT_ONCE)
        except FileNotFoundError:
            self._file = None
        except OSError as error:
            raise _unreadable(path, error) from None
        if self._file:
            self._file.seek(history.end.offset)
        history.mark_met = self._meets_mark()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def go_on(self, *, lines: int | None = None, upto: int | None = None) -> None:
        """Read so many lines, or those before an offset that is the end of one, or all there are.

        After damage no more is read.
        """
        history, mark, take = self.history, self._mark, self._replay.take
        if self._file is None or history.damage:
            return
        number, told, offset = history.end
        chain = told.encode()
        try:
            for data in islice(self._file, lines):
                new = unseal(chain, data)
                take(*parse(data, number + 1))
                chain, number, offset = new, number + 1, offset + len(data)
                if number == mark.lines:
                    history.mark_met = chain.decode() == mark.chain
                if offset == upto:
                    break
        except DamagedError as error:
            history.damage = Damage(number + 1, str(error), isinstance(error, TornError))
        except UnknownLineError as error:
            raise InvalidInput(
                f"{self._path}, line {number + 1}: {error}. Nothing was sent. "
                "Use the version that wrote it, or start over under another --name"
            ) from None
        except OSError as error:
            raise _unreadable(self._path, error) from None
        history.end = Link(number, chain.decode(), offset)

    def end(self) -> None:
        """Take what is open as it stands."""
        self._replay.end()

    def position(self) -> Position:
        """Return where it is, with a history that goes on as more is read."""
        return Position(self.history, dict(self._replay.open))

    def sha256(self) -> str:
        """Return the digest (hex) of all bytes up to where it is. Raises OSError."""
        if self._file is None:
            raise FileNotFoundError(errno.ENOENT, "is not there", str(self._path))
        upto = self.history.end.offset
        _digest(self._file.fileno(), self._digest, self._digested, upto)
        self._digested = upto
        return self._digest.hexdigest()

    def _meets_mark(self) -> bool:
        """Tell whether the journal says at the mark what the mark says, as far as it is read."""
        mark, end = self._mark, self.history.end
        if mark.lines == 0 or self._file is None:
            return mark.lines == 0
        if mark.lines > end.lines:
            return False
        size = min(_TAIL, mark.offset)
        tail = os.pread(self._file.fileno(), size, mark.offset - size)
        return told_chain(tail) == mark.chain.encode()


def reaches(path: Path, end: Link, sha256: str) -> bool:
    """Tell whether a journal has, up to a place, the bytes of that digest (hex) and its chain."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            _digest(file.fileno(), digest, 0, end.offset)
            tail = os.pread(file.fileno(), _TAIL, end.offset - _TAIL)
    except (OSError, ValueError):
        return False
    return digest.hexdigest() == sha256 and told_chain(tail) == end.chain.encode()


def _digest(handle: int, digest: "hashlib._Hash", start: int, upto: int) -> None:
    while start < upto:
        data = os.pread(handle, min(_READ_AT_ONCE, upto - start), start)
        if not data:
            raise OSError(errno.EIO, "it has been cut")
        digest.update(data)
        start += len(data)


def _unreadable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{path}: cannot be read: {error.strerror}")
