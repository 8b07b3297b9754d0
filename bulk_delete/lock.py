"""The lock of a job: who holds it, and whether that process is still there.

To ask who holds a lock takes none: the holder leaves its number and its birth in the file.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from bulk_delete.errors import JobBusy

POLL_S = 0.2
"""How often who waits for a job tries to take it."""

_MOST = 2000
_BORN = 22 - 3
"""Place of the start time in /proc/<pid>/stat, behind the name (proc(5))."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What a process says of itself in the lock that it holds.

    `execution` names what it does from there on, `doing` is the kind of that. Process numbers mean
    something in one `place` only, between two starts of a machine, and to one process: `born`.
    """

    pid: int
    host: str
    since: str
    execution: str = ""
    doing: str = "run"
    place: str = ""
    born: int = 0

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}"

    @property
    def is_there(self) -> bool | None:
        """Tell whether the process still is; None where that cannot be seen from here."""
        if self.host != os.uname().nodename or self.place != _place():
            return None
        if not self.place:
            return _answers(self.pid)
        born = _born(self.pid)
        return _answers(self.pid) if born is None or not self.born else born == self.born


Waiting = Callable[[Holder | None], None]


def in_silence(_: Holder | None) -> None:
    """Wait without a word."""


def take(path: Path, handle: int, mine: Holder, wait_s: float, waiting: Waiting) -> None:
    """Take the lock of an open file, waiting for it that long; `waiting` is told for whom.

    Raises JobBusy and OSError.
    """
    until = time.monotonic() + wait_s
    told: Holder | None = None
    first = True
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = until - time.monotonic()
            found = holder_of(path)
            if left <= 0:
                raise busy(path.parent.name, found, mine.doing, waited=wait_s > 0) from None
            if first or found != told:
                waiting(found)
                first, told = False, found
            time.sleep(min(POLL_S, left))
        else:
            break
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(asdict(mine)).encode(), 0)


def leave(handle: int) -> None:
    """Say that nobody holds it from here on; to close the file lets go of it."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)


def newcomer(execution: str, doing: str) -> Holder:
    """Describe this process."""
    return Holder(
        pid=os.getpid(),
        host=os.uname().nodename,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        execution=execution,
        doing=doing,
        place=_place(),
        born=_born(os.getpid()) or 0,
    )


def holder_of(path: Path) -> Holder | None:
    """Return who says in a lock's file that it holds it; None where nobody does."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = json.loads(os.pread(handle, _MOST, 0))
        kinds = {field.name: field.type for field in fields(Holder)}
        told = {name: found[name] for name in kinds if name in found}
        if not all(isinstance(value, kinds[name]) for name, value in told.items()):  # type: ignore[arg-type]  # they are types
            return None
        holder = Holder(**told)
        return holder if str(holder).isprintable() else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    finally:
        os.close(handle)


def busy(job: str, holder: Holder | None, doing: str, *, waited: bool = False) -> JobBusy:
    """Say who is in the way of what another process was `doing`."""
    who = str(holder) if holder else "it has just started, or is being audited"
    if waited:
        return JobBusy(f"job {job!r} is still running ({who}), and was waited for as long as asked")
    cure = (
        "wait for it (--wait 10m), or give another --name" if doing == "run" else "wait for its end"
    )
    return JobBusy(f"job {job!r} is already running ({who}); {cure}")


def _place() -> str:
    """Return a name for where process numbers mean something; empty where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - what it names is no path
    except (OSError, ValueError):
        return ""


def _born(pid: int) -> int | None:
    """Return when a process was started, in ticks; 0 when it is no more, None when unseen."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = told.rpartition(")")[2].split()
    return 0 if words[0] in {"Z", "X"} else int(words[_BORN])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
