"""The job folder: its place, its lock, and files that are written whole or not at all."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bulk_delete import lock
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.model import JOB_NAME, NAMES


def state_dir(chosen: Path | None, environ: Mapping[str, str], home: Path) -> Path:
    """Return the folder of all jobs: the chosen one, or bulk-delete's own by the XDG rules."""
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the XDG rules: then it does not count
        base = home / ".local" / "state"
    return chosen or base / "bulk-delete"


def exposure(state: Path) -> str | None:
    """Return a warning where everybody on this machine may change what the folder of jobs holds."""
    try:
        mode = state.stat().st_mode
    except OSError:
        return None
    if not mode & stat.S_IWOTH or mode & stat.S_ISVTX:
        return None
    return f"{state}: everybody may put another folder in a job's place here: chmod o-w"


class JobFolder:
    """`<state dir>/<job>/`. Everything in it is for this user alone (0700, files 0600).

    Nothing in it is reached through a link: what stands behind one is not the job's to write.
    """

    def __init__(self, state: Path, job: str) -> None:
        if not JOB_NAME.fullmatch(job):
            raise InvalidInput(f"{job!r} cannot name a job; give --name {NAMES}")
        self.job = job
        self.path = state / job
        if os.path.islink(self.path):  # noqa: PTH114 - Path.is_symlink() raises where this does not
            raise _not_ours(self.path)
        self.journal = self.path / "journal.jsonl"
        self.mark = self.path / "journal.mark"
        self.checkpoint = self.path / "journal.checkpoint"
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
        self.refused = self.path / "refused.json"
        self.execution = str(uuid.uuid4())
        """Names what this process does under the lock."""

    def plan(self, fingerprint: str) -> Path:
        """Return the place of a saved plan; plans are told apart by their fingerprints."""
        return self.path / f"plan.{fingerprint[:16]}.bin"

    def forget_before(self, fingerprint: str) -> None:
        """Remove the plans but this one, and what told of an execution or a start before.

        Raises JournalFailed.
        """
        stale = [path for path in self.path.glob("plan.*") if path != self.plan(fingerprint)]
        for path in (*stale, self.summary, self.refused):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise JournalFailed(f"{path} cannot be removed: {error.strerror}") from None

    def make(self) -> None:
        """Make the folder, and close it to others where it was there. Raises JournalFailed."""
        try:
            _make(self.path)
            mode = self.path.stat().st_mode
        except OSError as error:
            raise JournalFailed(
                f"{self.path} cannot be made: {error.strerror}; give --state-dir a folder "
                "that can be written"
            ) from None
        _close_to_others(self.path, mode)

    @contextlib.contextmanager
    def locked(
        self,
        doing: str = "run",
        *,
        wait_s: float = 0.0,
        waiting: lock.Waiting = lock.in_silence,
    ) -> Iterator[None]:
        """Hold the job. Raises JobBusy when another process does, naming it, or JournalFailed.

        With `wait_s` it waits that long for the other, of which `waiting` is told. Raises
        InvalidInput for a link in the place of a file.
        """
        self.make()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self.lock, flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_ours(self.lock) from None
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
            try:
                _sweep(self.path)
                for path, mode in _files(self.path):
                    _close_to_others(path, mode)
                yield
            finally:
                lock.leave(handle)
        finally:
            os.close(handle)  # which lets go of the lock; the file stays

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Keep others from starting the job, writing nothing. Raises JobBusy while it runs.

        Raises InvalidInput for a link in the place of a file.
        """
        for _ in _files(self.path):
            pass
        try:
            handle = os.open(self.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # it was copied here, or is not to be read: then nobody runs it, either
            yield
            return
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise lock.busy(self.job, lock.holder_of(self.lock), "audit") from None
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


def _make(folder: Path) -> None:
    """Make a folder, and those that it lies in, for this user alone. Raises OSError."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a job with their modes. Raises InvalidInput for a link."""
    try:
        found = list(folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be looked into: {error.strerror}") from None
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # a running job is just replacing it
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise _not_ours(path)
            if stat.S_ISREG(mode):
                yield path, mode


def _not_ours(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} is a link, which this program did not make: find out who did, and move it away"
    )


def _close_to_others(path: Path, mode: int) -> None:
    if not mode & 0o077:
        return
    try:
        path.chmod(mode & 0o7700)
    except OSError as error:
        raise JournalFailed(
            f"{path} is open to others, and cannot be closed to them: {error.strerror}; give "
            "--state-dir a folder of your own"
        ) from None


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
