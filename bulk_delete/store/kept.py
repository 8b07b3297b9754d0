"""The states that a journal told, kept in a file, so that a start need not read all of it again.

A line of JSON, then the parts' bytes, then the SHA-256 of all that. The plan of the first part is
saved elsewhere, those of the others are in the file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bulk_delete.plan import Figures

VERSION = 1
_AT_ONCE = 1 << 20
_DIGEST = 64
_LONGEST_HEAD = 1 << 26


class KeptPart(msgspec.Struct):
    """The figures of a plan, and how many bytes stand there for it, its states and verdicts."""

    figures: Figures
    plan: int
    codes: int
    verdicts: int


class KeptHead(msgspec.Struct):
    """`told` is what else is kept: JSON that only its owner knows."""

    v: int
    told: msgspec.Raw
    parts: tuple[KeptPart, ...]
    reasons: int


class Kept:
    """Such a file, found whole. `close` it when it is no more needed."""

    def __init__(self, handle: int, head: KeptHead, start: int) -> None:
        self._handle = handle
        self.head = head
        self._next = start

    def close(self) -> None:
        os.close(self._handle)

    def take(self, size: int) -> Iterator[bytes]:
        """Yield the next so many bytes, which must all be taken. Raises OSError."""
        upto = self._next + size
        while self._next < upto:
            data = os.pread(self._handle, min(_AT_ONCE, upto - self._next), self._next)
            if not data:
                raise OSError("the file has been cut")
            self._next += len(data)
            yield data


def sealed(head: KeptHead, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of such a file."""
    digest = hashlib.sha256()
    line = msgspec.json.encode(head) + b"\n"
    digest.update(line)
    yield line
    for data in parts:
        digest.update(data)
        yield data
    yield digest.hexdigest().encode()


def open_kept(path: Path) -> Kept | None:
    """Open such a file; None where there is none that is whole and of this version."""
    with ExitStack() as stack:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            found = _checked(handle)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if found is None or found.head.v != VERSION:
            return None
        stack.pop_all()
        return found


def _checked(handle: int) -> Kept | None:
    size = os.fstat(handle).st_size - _DIGEST
    digest, place, line = hashlib.sha256(), 0, bytearray()
    start = 0
    while place < size:
        data = os.pread(handle, min(_AT_ONCE, size - place), place)
        if not data:
            return None
        digest.update(data)
        if not start:
            line += data
            start = line.find(b"\n") + 1
            if not start and len(line) > _LONGEST_HEAD:
                return None
        place += len(data)
    if os.pread(handle, _DIGEST, max(size, 0)) != digest.hexdigest().encode():
        return None
    return Kept(handle, msgspec.json.decode(line[:start], type=KeptHead), start)
