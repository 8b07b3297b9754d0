"""Following the journal of a running job: its end, and the next start, need not read it all."""

from dataclasses import replace
from typing import Self

import anyio
import anyio.lowlevel
import anyio.to_thread

from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.folder import JobFolder
from bulk_delete.journal.reader import Position, Reader
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.runner.checkpoint import is_worth_it, keep_checkpoint
from bulk_delete.store import Scratch, ScratchError, States

_LOOK_EVERY_S = 1.0
_LINES_AT_ONCE = 100
"""Lines that are read while the calls wait: about a millisecond."""


class Follower:
    """Reads the journal of a running job as it is written, and keeps checkpoints of it.

    What it has read at the end are the books, as the disk tells them.
    """

    def __init__(
        self,
        folder: JobFolder,
        journal: Journal,
        history: History,
        states: States,
        scratch: Scratch,
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._writer = states.writer(scratch)
        start = Position(replace(history, damage=None, calls_at=dict(history.calls_at)), {})
        try:
            self._reader = Reader(folder.journal, self._writer, start=start)
        except BaseException:
            self._writer.close()
            raise
        self._kept_lines = 0  # so the next start is soon spared what this one had to read
        self._broken = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.close()
        self._writer.close()

    async def follow(self) -> None:
        """Read what is on the disk, now and then, until cancelled."""
        while not self._broken:
            await anyio.sleep(_LOOK_EVERY_S)
            upto = self._journal.synced.offset
            while self._is_before(upto):
                self._go_on(upto, _LINES_AT_ONCE)
                await anyio.lowlevel.checkpoint()
            if self._is_worth_it():
                await anyio.to_thread.run_sync(self._keep)

    def books(self) -> tuple[History, States] | None:
        """Read the rest; return what all tells, and the states.

        None where the disk may have more than was read, or other things. Raises ScratchError.
        """
        end = self._journal.synced
        while self._is_before(end.offset):
            self._go_on(end.offset, None)
        if self._broken or not self._reader.history.end == end == self._journal.end:
            return None
        if self._is_worth_it():
            self._keep()
        if self._broken:
            return None
        self._reader.end()
        return self._reader.history, self._writer.states()

    def _is_before(self, offset: int) -> bool:
        return not self._broken and self._reader.history.end.offset < offset

    def _go_on(self, upto: int, lines: int | None) -> None:
        try:
            self._reader.go_on(lines=lines, upto=upto)
            self._broken = self._reader.history.damage is not None
        except (InvalidInput, ScratchError, OSError):
            self._broken = True  # the end of the job reads it all anew, and tells

    def _is_worth_it(self) -> bool:
        new = self._reader.history.end.lines - self._kept_lines
        return not self._broken and is_worth_it(self._folder, new)

    def _keep(self) -> None:
        """Write a checkpoint. That it fails means no harm: then more is read at the next start."""
        self._kept_lines = self._reader.history.end.lines
        try:
            keep_checkpoint(self._folder, self._writer, self._reader)
        except JournalFailed:
            pass
        except (OSError, ScratchError):
            self._broken = True  # the states can no more be relied on
