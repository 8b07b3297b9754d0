"""Writing the journal: numbered, chained lines, group commit; the first failure ends it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
import structlog

from bulk_delete import events
from bulk_delete.errors import JournalFailed, out_of_memory
from bulk_delete.journal.chain import VERSION, Link, seal
from bulk_delete.journal.mark import write_mark
from bulk_delete.plain import plain_json

MARK_EVERY_LINES = 1000
MARK_EVERY_S = 1.0
OUTCOMES_WAIT_S = 0.005
"""How long outcomes wait for an intent to share a sync with: one of their own would hold it up."""


class _Logger(structlog.BoundLoggerBase):
    """A structlog logger whose sink is a list of the lines that are to be written."""

    def write(self, event: bytes) -> None:
        self._proxy_to_logger("append", event)  # type: ignore[arg-type]  # JSON, not a name


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
        self._lines, self._chain, self._offset = end.lines, end.chain.encode(), end.offset
        self._synced = end
        self._marked = end
        self._marked_at = float("-inf")
        self._pending: list[bytes] = []
        self._wake = anyio.Event()
        self._wanted = anyio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._failure: JournalFailed | None = None
        self._stamped = (-1, b"")
        self._log = _Logger(self._pending, [self._line], {})
        try:
            if not mark.exists():
                write_mark(mark, end)
            self._handle = _open(path)
        except OSError as error:
            raise _failed(path, error) from None

    @property
    def end(self) -> Link:
        """Return where the journal ends with all that was taken."""
        return Link(self._lines, self._chain.decode(), self._offset)

    @property
    def synced(self) -> Link:
        """Return up to where it was on the disk when it was last looked at."""
        return self._synced

    def write(self, event: events.Event, run_ids: bytes | None = None) -> None:
        """Take an event as the next line, with run ids that are JSON already, if they are given.

        Raises JournalFailed.
        """
        if self._failure:
            raise self._failure
        try:
            if run_ids is not None and isinstance(event, events.BatchSent):
                self._log.write(_encode(event.with_encoded(run_ids)))
            else:
                self._log.write(_plain(_encode(event)))
        except MemoryError as error:  # the line may be lost, but not its number
            self._failure = _failed(self._path, error)
            raise self._failure from None
        finally:
            self._wake.set()

    async def durable(self) -> None:
        """Wait until all that was taken is on the disk. Raises JournalFailed."""
        wanted = self._lines
        while self._synced.lines < wanted and not self._failure:
            synced = asyncio.get_running_loop().create_future()
            self._waiting.append(synced)
            self._wanted.set()
            await synced
        if self._failure:
            raise self._failure

    async def serve(self) -> None:
        """Write and sync what is pending, all that waits at once, until cancelled or failed."""
        while True:
            if not self._pending:
                self._wake = anyio.Event()
                await self._wake.wait()
            if not self._waiting:
                self._wanted = anyio.Event()
                with anyio.move_on_after(OUTCOMES_WAIT_S):
                    await self._wanted.wait()
            await anyio.lowlevel.checkpoint()  # what can go on now will share this sync
            if not self._failure:
                await self._commit_pending()
            waiting, self._waiting = self._waiting, []
            for synced in waiting:
                if not synced.cancelled():
                    synced.set_result(None)
            if self._failure:
                return

    async def _commit_pending(self) -> None:
        """Bring what is pending to the disk, or fail for good."""
        try:
            data, upto = b"".join(self._pending), self.end
            self._pending.clear()
            with anyio.CancelScope(shield=True):  # what is taken must not be lost
                await anyio.to_thread.run_sync(self._commit, data, upto)
        except Exception as error:
            if not (isinstance(error, OSError) or out_of_memory(error)):
                raise
            self._failure = _failed(self._path, error)
        else:
            self._synced = upto

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

    def _line(self, _logger: object, _method: str, found: Any) -> bytes:  # noqa: ANN401 - structlog's
        """Make the line of an event; the one processor, as each costs every call."""
        self._lines += 1
        numbered = b'{"v":%d,"n":%d,"ts":"%b",%b' % (
            VERSION,
            self._lines,
            self._stamp(),
            found["event"][1:],
        )
        line, self._chain = seal(self._chain, numbered)
        self._offset += len(line)
        return line

    def _stamp(self) -> bytes:
        """Return the time as RFC 3339, in UTC and to the millisecond; made once a millisecond."""
        ms = int(self._now() * 1000)
        if ms != self._stamped[0]:
            stamp = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
            self._stamped = ms, stamp.removesuffix("+00:00").encode() + b"Z"
        return self._stamped[1]

    def _commit(self, data: bytes, upto: Link) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        self._sync(self._handle)
        self._look_for_it()
        now = self._now()
        late = not 0 <= now - self._marked_at < MARK_EVERY_S
        if upto.lines - self._marked.lines >= MARK_EVERY_LINES or late:
            write_mark(self._mark, upto)
            self._marked, self._marked_at = upto, now

    def _look_for_it(self) -> None:
        """See that it is where a start looks for it: writing to a removed file succeeds."""
        if not os.path.samestat(os.fstat(self._handle), self._path.stat()):
            raise FileNotFoundError


def _plain(event: bytes) -> bytes:
    """Escape what would steer a terminal on which the journal is looked at."""
    if event.isascii() and b"\x7f" not in event:
        return event
    return plain_json(event.decode()).encode()


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return handle


def _failed(path: Path, error: Exception) -> JournalFailed:
    if isinstance(error, FileNotFoundError):
        return JournalFailed(
            f"the journal {path} was removed or moved away while the job ran; no call leaves "
            "without it. Bring its folder back, then resume; where it is gone for good, run sends "
            "all of the input again"
        )
    if not isinstance(error, OSError):
        return JournalFailed(
            f"the journal {path} cannot be written: memory ran out ({type(error).__name__}); no "
            "call leaves without it. Give the process more, then resume"
        )
    return JournalFailed(
        f"the journal {path} cannot be written: {error.strerror or error}; "
        "no call leaves without it. Make room or mend the disk, then resume"
    )


_encode = msgspec.json.Encoder().encode
