"""The job folder: its place, its lock, and files that are written whole or not at all."""

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bulk_delete import lock
from bulk_delete.errors import InvalidInput, JournalFailed

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def state_dir(chosen: Path | None, environ: Mapping[str, str], home: Path) -> Path:
    """Return the folder of all jobs: the chosen one, or bulk-delete's own by the XDG rules."""
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the XDG rules: then it does not count
        base = home / ".local" / "state"
    return chosen or base / "bulk-delete"


class JobFolder:
    """`<state dir>/<job>/`. Everything in it is for this user alone (0700, files 0600)."""

    def __init__(self, state: Path, job: str) -> None:
        if not _NAME.fullmatch(job):
            raise InvalidInput(
                f"{job!r} cannot name a job; give --name letters, digits, '.', '_' and '-'"
            )
        self.job = job
        self.path = state / job
        self.journal = self.path / "journal.jsonl"
        self.mark = self.path / "journal.mark"
        self.broken = self.path / "journal.broken"
        self.rejects = self.path / "rejects.csv"
        self.failed = self.path / "failed.csv"
        self.unknown = self.path / "unknown.csv"
        self.leftover = self.path / "leftover.csv"
        self.still_there = self.path / "still-there.csv"
        self.summary = self.path / "summary.json"
        self.lock = self.path / "lock"
        self.control = self.path / "control.json"
        self.live = self.path / "status.json"
        self.execution = str(uuid.uuid4())
        """Names what this process does under the lock."""

    def plan(self, fingerprint: str) -> Path:
        """Return the place of a saved plan; plans are told apart by their fingerprints."""
        return self.path / f"plan.{fingerprint[:16]}.bin"

    def forget_before(self, fingerprint: str) -> None:
        """Remove the plans but this one, and the summary: they told of an execution before.

        Raises JournalFailed.
        """
        stale = [path for path in self.path.glob("plan.*") if path != self.plan(fingerprint)]
        for path in (*stale, self.summary):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise JournalFailed(f"{path} cannot be removed: {error.strerror}") from None

    def make(self) -> None:
        """Make the folder. Raises JournalFailed."""
        try:
            for folder in (self.path.parent, self.path):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalFailed(
                f"{self.path} cannot be made: {error.strerror}; give --state-dir a folder "
                "that can be written"
            ) from None

    @contextlib.contextmanager
    def locked(
        self,
        doing: str = "run",
        *,
        wait_s: float = 0.0,
        waiting: lock.Waiting = lock.in_silence,
    ) -> Iterator[None]:
        """Hold the job. Raises JobBusy when another process does, naming it, or JournalFailed.

        With `wait_s` it waits that long for the other, of which `waiting` is told.
        """
        self.make()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self.lock, flags, 0o600)
        except OSError as error:
            raise JournalFailed(f"{self.lock} cannot be opened: {error.strerror}") from None
        try:
            mine = lock.newcomer(self.execution, doing)
            try:
                lock.take(self.lock, handle, mine, wait_s, waiting)
            except OSError as error:
                raise JournalFailed(
                    f"{self.lock} cannot be written: {error.strerror}; make room, or give "
                    "--state-dir another disk"
                ) from None
            _sweep(self.path)
            try:
                yield
            finally:
                lock.leave(handle)
        finally:
            os.close(handle)  # which lets go of the lock; the file stays

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Keep others from starting the job, writing nothing. Raises JobBusy while it runs."""
        try:
            handle = os.open(self.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # it was copied here, or is not to be read: then nobody runs it, either
            yield
            return
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise lock.busy(self.job, lock.holder_of(self.lock)) from None
            yield
        finally:
            os.close(handle)

    def room_for(self, needed: int) -> None:
        """Check that the disk has `needed` bytes left. Raises JournalFailed."""
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise JournalFailed(
                f"{self.path}: {free / 1e6:,.1f} MB free, the journal of this plan needs about "
                f"{needed / 1e6:,.1f} MB; make room, or give --state-dir another disk"
            )


def _sweep(folder: Path) -> None:
    """Remove what a killed process had not finished writing."""
    for path in folder.glob(".*.new"):
        with contextlib.suppress(ValueError, OSError):
            pid = int(path.name.split(".")[-2])
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                path.unlink()


class WholeFile:
    """A file that appears in one step: the old one stays until the new one is on the disk.

    Where nothing was written, `commit` removes the old one: no rows, no file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f".{path.name}.{os.getpid()}.new")
        self._file: BinaryIO | None = None

    def write(self, data: str | bytes) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(self._new, flags, 0o600)
            self._file = open(handle, "wb")  # noqa: PTH123, SIM115 - closed below
        self._file.write(data if isinstance(data, bytes) else data.encode())

    def commit(self) -> None:
        if self._file is None:
            self._path.unlink(missing_ok=True)
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._new.replace(self._path)

    def drop(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # closing flushes once more, to the full disk
                self._file.close()
            self._new.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[WholeFile]:
    """Write a file in one step when the block ends well, else leave the old one as it is.

    Raises JournalFailed.
    """
    file = WholeFile(path)
    try:
        yield file
        file.commit()
    except OSError as error:
        raise JournalFailed(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        file.drop()


def write_whole(path: Path, parts: Iterable[str | bytes], *, even_empty: bool = False) -> None:
    """Write the parts as a file, in one step. Raises JournalFailed."""
    with whole_file(path) as file:
        if even_empty:
            file.write("")
        for part in parts:
            file.write(part)
