"""`control.json`: what commands ask of a job, and who asked, when and why.

A pause stays until somebody asks to go on. A stop and a rate are meant for one execution: one that
is asked of an execution before stops nothing.
"""

import contextlib
import fcntl
import os
import pwd
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bulk_delete.control.files import get, put

VERSION = 1

_PATIENCE_S = 2.0
_TRY_EVERY_S = 0.02


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """`execution` is the one that it is meant for, `rate` the new limit."""

    by: str
    at: str
    reason: str = ""
    execution: str | None = None
    rate: str | None = None


class Control(msgspec.Struct, frozen=True):
    """What is asked at present. `n` grows with every change.

    `v` is the version of the form; what names none was not written by a command.
    """

    v: int = 0
    n: int = 0
    pause: Ask | None = None
    went_on: Ask | None = None
    """What ended the last pause."""

    stop: Ask | None = None
    rate: Ask | None = None


class UnreadableError(Exception):
    """The file is not what a command writes. The text says how."""


def read_control(path: Path) -> Control:
    """Read what is asked; nothing where there is no file. Raises UnreadableError."""
    try:
        found = _decode(get(path))
    except FileNotFoundError:
        return Control()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: {error}") from None
    if found.v != VERSION:
        raise UnreadableError(f"{path}: is of version {found.v}; this program reads {VERSION}")
    return found


def change(path: Path, asked: Callable[[Control], Control]) -> Control:
    """Write what is asked, given what was asked before; return it.

    What cannot be read is replaced. Raises OSError.
    """
    with alone(path.parent):
        try:
            before = read_control(path)
        except UnreadableError:
            before = Control()
        n = max(before.n + 1, time.time_ns() // 1000)  # grows, even where the file was lost
        now = msgspec.structs.replace(asked(before), v=VERSION, n=n)
        data = msgspec.json.format(msgspec.json.encode(now), indent=2) + b"\n"
        put(path, data, sync=True)
    return now


class Ear:
    """Reads the file when it has changed; to ask costs a `stat`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def news(self) -> Control | None:
        """Return what is asked, if that has changed; a file that is gone changes nothing.

        Raises UnreadableError, once for each change.
        """
        try:
            found = self._path.stat()
        except OSError:
            return None
        seen = found.st_mtime_ns, found.st_ino, found.st_size
        if seen == self._seen:
            return None
        self._seen = seen
        return read_control(self._path)


def whoever_asks() -> str:
    """Name who runs this process: the user, and the terminal if there is one."""
    user = _user(os.getuid())
    if os.getuid() == 0 and (behind := os.environ.get("SUDO_USER")):
        user = f"{behind} (as {user})"
    place = f"{user}@{os.uname().nodename}, pid {os.getpid()}"
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            return f"{place}, {os.ttyname(descriptor).removeprefix('/dev/')}"
    return place


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep others out of here for a moment, where they can be; an operator's lock ends no job."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            _lock(handle)
        yield


def _lock(handle: int) -> None:
    """Lock it, if that can be had in time. Raises OSError where it cannot be locked at all."""
    for _ in range(round(_PATIENCE_S / _TRY_EVERY_S)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TRY_EVERY_S)
        else:
            return


_decode = msgspec.json.Decoder(Control).decode
