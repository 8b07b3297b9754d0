"""Why pairs ended where they did: each verdict once on the disk, where it has a number."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec

from bulk_delete.model import Verdict
from bulk_delete.store.scratch import Scratch, ScratchBytes

_GRAIN = 16
"""A verdict's number counts these bytes before it, so that four bytes lead through 64 GB."""

_LENGTH = 4
_KEPT = 1000
"""Verdicts whose numbers, or whose words, are kept in memory."""


class Verdicts:
    """Numbers are from 1; 0 stands for none."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._file: ScratchBytes | None = None
        self._size = _GRAIN
        self.number = lru_cache(_KEPT)(self._add)
        self.get = lru_cache(_KEPT)(self._read)

    def close(self) -> None:
        if self._file:
            self._file.close()

    @property
    def size(self) -> int:
        """Return how many bytes `raw` yields."""
        return self._file.size if self._file else 0

    def raw(self) -> Iterator[bytes]:
        """Yield all bytes, to be kept."""
        if self._file:
            yield from self._file.chunks()

    def fill(self, parts: Iterable[bytes]) -> None:
        """Take what was kept, before any other verdict. Raises ScratchError."""
        file = self._file = self._scratch.zeros()
        file.fill(parts)
        self._size = max(_GRAIN, -(-file.size // _GRAIN) * _GRAIN)

    def _add(self, verdict: Verdict) -> int:
        """Return the number of a verdict, which is written unless it was lately. ScratchError."""
        if self._file is None:
            self._file = self._scratch.zeros()
        text = msgspec.json.encode(verdict)
        self._file.write(self._size, len(text).to_bytes(_LENGTH, "little") + text)
        number = self._size // _GRAIN
        self._size += -(-(_LENGTH + len(text)) // _GRAIN) * _GRAIN
        return number

    def _read(self, number: int) -> Verdict | None:
        if self._file is None or number == 0:
            return None
        at = number * _GRAIN
        length = int.from_bytes(self._file.read(at, _LENGTH), "little")
        return msgspec.json.decode(self._file.read(at + _LENGTH, length), type=Verdict)
