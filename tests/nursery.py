"""Real processes of the command that start in no time: forked from one that has loaded its modules.

Most of a start is loading. What loads, and when, is tested with whole starts.
"""

import atexit
import contextlib
import functools
import importlib
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import NoReturn, TypeAlias

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

_WIDTH = 12
"""Bytes of a number that is told."""


class _Request(msgspec.Struct):
    words: list[str]
    environ: dict[str, str]
    cwd: str
    umask: int
    own_group: bool


class Nursling:
    """A process of the command, to be handled as those of `subprocess`, text in and out."""

    def __init__(self, words: Sequence[str], news: int, out: int, err: int) -> None:
        self.args = list(words)
        self.returncode: int | None = None
        self.stdout, self.stderr = (
            TextIOWrapper(BufferedReader(FileIO(end)), "utf-8") for end in (out, err)
        )
        self._news = os.fdopen(news, "rb", buffering=0)
        self.pid = int(self._news.read(_WIDTH))

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            with self._news as news:
                self.returncode = int(news.read(_WIDTH))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read to the end what it says, and wait for its end. Raises TimeoutExpired."""
        said = ["", ""]

        def drain(at: int, file: TextIOWrapper) -> None:
            with file:
                said[at] = file.read()

        threads = [
            threading.Thread(target=drain, args=(at, file), daemon=True)
            for at, file in enumerate((self.stdout, self.stderr))
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said[0], said[1]

    def send_signal(self, signum: int) -> None:
        if self.returncode is None:  # another thread may be waiting for its end
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Child: TypeAlias = subprocess.Popen[str] | Nursling


class Nursery:
    """Starts processes."""

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

    def start(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path,
        *,
        data: bytes = b"",
        umask: int = -1,
        own_group: bool = False,
    ) -> Nursling:
        """Start the command; `data` is what it finds on its standard input."""
        ends = [os.pipe() for _ in range(4)]
        feed, out, err, news = ends
        theirs = [feed[0], out[1], err[1], news[1]]
        request = _Request(list(words), dict(environ), str(cwd), umask, own_group)
        socket.send_fds(self._ours, [msgspec.json.encode(request)], theirs)
        for handle in theirs:
            os.close(handle)
        threading.Thread(target=_feed, args=(feed[1], data), daemon=True).start()
        return Nursling(words, news[0], out[0], err[0])

    def run(
        self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, data: bytes, umask: int
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end. Raises TimeoutExpired after 50 s."""
        child = self.start(words, environ, cwd, data=data, umask=umask)
        try:
            out, err = child.communicate(50)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        return subprocess.CompletedProcess(child.args, child.wait(), out, err)


def _feed(handle: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(handle, "wb") as file:
        file.write(data)


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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for others
    while True:
        data, handles, *_ = socket.recv_fds(door, _MOST, 4)
        if not data:
            return
        if os.fork() == 0:
            door.close()
            _keep(msgspec.json.decode(data, type=_Request), handles)
        for handle in handles:
            os.close(handle)


def _keep(request: _Request, handles: list[int]) -> NoReturn:
    """Start the command, and tell its number and how it ended."""
    news = handles.pop()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(news)
        _become(request, handles)
        runpy.run_module("bulk_delete", run_name="__main__", alter_sys=True)
        sys.exit(0)
    for handle in handles:
        os.close(handle)
    if request.own_group:
        os.setpgid(pid, pid)
    os.write(news, b"%*d" % (_WIDTH, pid))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(news, b"%*d" % (_WIDTH, os.waitstatus_to_exitcode(status)))
    os._exit(0)


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
