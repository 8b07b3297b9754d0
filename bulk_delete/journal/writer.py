"""Writing the journal: numbered, chained lines, group commit; the first failure ends it."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog

from bulk_delete import events
from bulk_delete.errors import JournalFailed
from bulk_delete.journal.chain import VERSION, Link, seal
from bulk_delete.journal.mark import write_mark

MARK_EVERY_LINES = 1000
MARK_EVERY_S = 1.0


class _Logger(structlog.BoundLoggerBase):
    """A structlog logger whose sink is a list of the lines that are to be written."""

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        self._proxy_to_logger("append", event, **fields)


class Journal:
    """One writer of one file.

    `write` takes a line at once and never blocks; `durable` waits until all lines taken so far
    are on the disk. `serve` must be running for that. After the first failed write or sync both
    raise JournalFailed.
    """

    def __init__(
        self,
        path: Path,
        mark: Path,
        end: Link,
        *,
        now: Callable[[], float] = time.time,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._path = path
        self._mark = mark
        self._now = now
        self._sync = sync
        self._taken = end
        self._synced = end
        self._marked = end
        self._marked_at = float("-inf")
        self._pending: list[bytes] = []
        self._wake = anyio.Event()
        self._on_disk = anyio.Event()
        self._failure: JournalFailed | None = None
        self._log = _Logger(self._pending, [self._number, self._seal], {})
        try:
            if not mark.exists():
                write_mark(mark, end)
            self._handle = _open(path)
        except OSError as error:
            raise _failed(path, error) from None

    @property
    def end(self) -> Link:
        """Return the end of all that was taken."""
        return self._taken

    def write(self, event: events.Event) -> None:
        """Take an event as the next line. Raises JournalFailed."""
        if self._failure:
            raise self._failure
        fields = msgspec.to_builtins(event)
        self._log.write(fields.pop("event"), fields)
        self._wake.set()

    async def durable(self) -> None:
        """Wait until all that was taken is on the disk. Raises JournalFailed."""
        wanted = self._taken.lines
        while self._synced.lines < wanted:
            if self._failure:
                raise self._failure
            await self._on_disk.wait()
        if self._failure:
            raise self._failure

    async def serve(self) -> None:
        """Write and sync what is pending, all that waits at once, until cancelled or failed."""
        while True:
            if not self._pending:
                await self._wake.wait()
                self._wake = anyio.Event()
                continue
            data, upto = b"".join(self._pending), self._taken
            self._pending.clear()
            try:
                with anyio.CancelScope(shield=True):  # what is taken must not be lost
                    await anyio.to_thread.run_sync(self._commit, data, upto)
            except OSError as error:
                self._failure = _failed(self._path, error)
            else:
                self._synced = upto
            woken, self._on_disk = self._on_disk, anyio.Event()
            woken.set()
            if self._failure:
                return

    async def close(self) -> None:
        """Wait until all is written, or the writing has failed."""
        with contextlib.suppress(JournalFailed):
            await self.durable()

    def release(self) -> None:
        """Put the last mark and close the file; `serve` must have ended."""
        with contextlib.suppress(OSError):  # an older mark is as true, it only says less
            if not self._failure and self._marked != self._synced:
                write_mark(self._mark, self._synced)
        os.close(self._handle)

    # structlog's chain: a processor each for number and time, and for bytes and chain.

    def _number(self, _logger: object, _method: str, found: Any) -> Any:  # noqa: ANN401 - structlog's
        seconds = self._now()
        stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        event = found.pop("event")
        return {
            "v": VERSION,
            "n": self._taken.lines + 1,
            "ts": stamp.removesuffix("+00:00") + "Z",
            "event": event,
            **found,
        }

    def _seal(self, _logger: object, _method: str, found: Any) -> bytes:  # noqa: ANN401 - structlog's
        line, chain = seal(self._taken.chain, msgspec.json.encode(found))
        self._taken = Link(found["n"], chain, self._taken.offset + len(line))
        return line

    def _commit(self, data: bytes, upto: Link) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        self._sync(self._handle)
        now = self._now()
        late = not 0 <= now - self._marked_at < MARK_EVERY_S
        if upto.lines - self._marked.lines >= MARK_EVERY_LINES or late:
            write_mark(self._mark, upto)
            self._marked, self._marked_at = upto, now


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return handle


def _failed(path: Path, error: OSError) -> JournalFailed:
    return JournalFailed(
        f"the journal {path} cannot be written: {error.strerror or error}; "
        "no call leaves without it. Make room or mend the disk, then resume"
    )
