"""Real processes of the command that start in no time: forked from one that has loaded its modules.

Most of a start is loading. What loads, and when, is tested with whole starts.
"""

import atexit
import contextlib
import functools
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import msgspec

LOADED = (
    "bulk_delete.cli.app",
    "bulk_delete.cli.auditing",
    "bulk_delete.cli.rehearsal",
    "bulk_delete.cli.sending",
    "bulk_delete.cli.verifying",
    "bulk_delete.cli.watching",
    "bulk_delete.runner.check",
    "bulk_delete.runner.doubts",
    "bulk_delete.runner.steering",
    "uvloop",
)
_LOADED_WITH = {"PYTHONWARNINGS": "error", "SSL_CERT_FILE": os.devnull}
_AT_LOADING = ("PYTHON", "SSL_CERT", "LANG", "LC_", "OPENBLAS", "INJECTED")
"""What variables begin with that have a say while modules are loaded."""

_MOST = 1 << 20
"""Bytes of a request."""


class _Request(msgspec.Struct):
    words: list[str]
    environ: dict[str, str]
    cwd: str
    umask: int


class Ended(NamedTuple):
    code: int
    out: bytes
    err: bytes


class Nursery:
    """Starts processes; one at a time, as whoever asks waits for the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={**environ, "OPENBLAS_NUM_THREADS": "1"},
                cwd=Path(__file__).parent.parent,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._ours.close()
        self._parent.wait(10)

    def run(
        self, words: Sequence[str], data: bytes, environ: Mapping[str, str], cwd: Path, umask: int
    ) -> Ended:
        """Run the command to its end. Raises TimeoutExpired after 50 s."""
        ends = [os.pipe() for _ in range(3)]
        theirs = [ends[0][0], ends[1][1], ends[2][1]]
        request = _Request(list(words), dict(environ), str(cwd), umask)
        socket.send_fds(self._ours, [msgspec.json.encode(request)], theirs)
        for handle in theirs:
            os.close(handle)
        read: list[bytes] = [b"", b""]
        threads = [
            threading.Thread(target=_feed, args=(ends[0][1], data)),
            *(threading.Thread(target=_drain, args=(ends[at + 1][0], read, at)) for at in (0, 1)),
        ]
        for thread in threads:
            thread.start()
        pid = int(self._ours.recv(_MOST))
        self._ours.settimeout(50)
        try:
            code = int(self._ours.recv(_MOST))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(words), 50) from None
        finally:
            self._ours.settimeout(None)
        for thread in threads:
            thread.join()
        return Ended(code, *read)


def _feed(handle: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(handle, "wb") as file:
        file.write(data)


def _drain(handle: int, into: list[bytes], at: int) -> None:
    with open(handle, "rb") as file:
        into[at] = file.read()


@functools.cache
def nursery() -> Nursery:
    """Return the one of this process."""
    return Nursery({"PATH": os.environ["PATH"], **_LOADED_WITH})


def nurses(environ: Mapping[str, str]) -> bool:
    """Tell whether modules that were loaded with other variables than these are the same."""
    mine = {name: value for name, value in environ.items() if name.startswith(_AT_LOADING)}
    return mine == _LOADED_WITH


def _serve(door: socket.socket) -> None:
    for module in LOADED:
        importlib.import_module(module)
    while True:
        data, handles, *_ = socket.recv_fds(door, _MOST, 3)
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            door.close()
            _become(msgspec.json.decode(data, type=_Request), handles)
            runpy.run_module("bulk_delete", run_name="__main__", alter_sys=True)
            sys.exit(0)
        for handle in handles:
            os.close(handle)
        door.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        door.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: _Request, handles: Sequence[int]) -> None:
    """Turn this process into one that was started with these words, streams and variables."""
    for target, handle in enumerate(handles):
        os.dup2(handle, target)
        os.close(handle)
    os.environ.clear()
    os.environ.update(request.environ)
    os.chdir(request.cwd)
    if request.umask >= 0:
        os.umask(request.umask)
    time.tzset()
    sys.argv = ["bulk-delete", *request.words]
    sys.stdin = TextIOWrapper(BufferedReader(FileIO(0, closefd=False)), "utf-8", "surrogateescape")
    sys.stdout = TextIOWrapper(BufferedWriter(FileIO(1, "w", closefd=False)), "utf-8")
    sys.stderr = TextIOWrapper(
        BufferedWriter(FileIO(2, "w", closefd=False)),
        "utf-8",
        "backslashreplace",
        line_buffering=True,
    )


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
