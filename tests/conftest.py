"""What the tests stand on: a loop whose time is faked, a sandbox to look into, the real command."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bulk_delete.model import Pair
from bulk_delete.sandbox import Call, CallLog, Faults, Server, World, in_background
from tests.nursery import Child, nursery, nurses

KEY = "test-key-5f1d9c"

NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""For where no file can grow: Python would keep modules cut short, for all that start later."""

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


class WarpLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait: when nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        select = self._selector.select  # type: ignore[attr-defined]

        def warped(timeout: float | None = None) -> Any:
            if timeout is None:
                return select(None)
            ready = select(0)
            if not ready:
                self._now += timeout + 1e-7  # as on a real machine, each turn takes some time
            return ready

        self._selector.select = warped  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def pytest_xdist_auto_num_workers() -> int:
    """Run two tests a core: many wait for a process, for a disk or for each other."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True, scope="session")
def _hang_up_is_heard() -> None:
    """Let the commands that are started hear SIGHUP, also where the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def warped() -> tuple[str, dict[str, Any]]:
    """Give the backend on which time is faked."""
    return "asyncio", {"loop_factory": WarpLoop}


@dataclass
class Sandbox:
    """A running sandbox: its URL, its world, and every delete call it saw."""

    url: str
    world: World
    server: Server
    calls: list[Call] = field(default_factory=list)

    @property
    def seen(self) -> list[Pair]:
        return [Pair(call.result_id, run) for call in self.calls for run in call.run_ids]

    @property
    def left(self) -> set[Pair]:
        return set(self.world.pairs())


class _Calls(CallLog):
    def __init__(self, on_call: Callable[[Call], None]) -> None:
        super().__init__()
        self.list: list[Call] = []
        self._on_call = on_call

    def add(self, call: Call) -> None:
        super().add(call)
        self._on_call(call)
        self.list.append(call)


@contextlib.contextmanager
def running_sandbox(
    world: World,
    faults: Faults | None = None,
    *,
    seed: int = 1,
    key: str | None = None,
    on_call: Callable[[Call], None] = lambda _: None,
) -> Iterator[Sandbox]:
    """Serve a world; `on_call` is called in the server, for each delete call before its reply."""
    log = _Calls(on_call)
    server = Server(world, faults or Faults(), seed=seed, key=key, log=log)
    with in_background(server) as url:
        yield Sandbox(url, world, server, log.list)


@pytest.fixture
def sandbox() -> Callable[..., contextlib.AbstractContextManager[Sandbox]]:
    return running_sandbox


@dataclass
class Command:
    """The real command, with a home and a state folder of its own."""

    home: Path
    environ: dict[str, str]
    umask: int = -1

    @property
    def state(self) -> Path:
        return self.home / "state"

    def line(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "bulk_delete", *map(str, words)]

    def run(
        self, *words: object, stdin: str | bytes | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        environ = {**self.environ, **environ}
        if nurses(environ):
            line = [str(word) for word in words]
            return nursery().run(line, environ, self.home, data or b"", self.umask)
        done = subprocess.run(
            self.line(*words),
            input=data if data is not None else b"",
            capture_output=True,
            env=environ,
            cwd=self.home,
            umask=self.umask,
            timeout=50,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *words: object, **environ: str) -> Child:
        environ = {**self.environ, **environ}
        if nurses(environ):
            return nursery().start([str(word) for word in words], environ, self.home)
        return subprocess.Popen(
            self.line(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=self.home,
        )

    def on_terminal(self, typed: str, *words: object) -> tuple[str, int]:
        """Run it on a terminal of its own; return what it showed and its exit code."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            self.line(*words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.environ, "TERM": "xterm", "COLUMNS": "120"},
            cwd=self.home,
            start_new_session=True,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        with contextlib.suppress(OSError):  # the other end has closed
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        return shown.decode(), child.wait(50)

    def folder(self, job: str = "runs") -> Path:
        return self.state / "bulk-delete" / job

    def journal(self, job: str = "runs") -> list[dict[str, Any]]:
        text = (self.folder(job) / "journal.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def summary(self, job: str = "runs") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder(job) / "summary.json").read_text())
        return found


def command_in(home: Path) -> Command:
    """Make the command's surroundings: nothing of the user's, and quick retries."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "CEKURA_API_KEY": KEY,
        "BULK_DELETE_RETRY_BASE": "20ms",
        "BULK_DELETE_LIMITS_RATE": "2000/s",
        "PYTHONWARNINGS": "error",
        "SSL_CERT_FILE": os.devnull,  # loading the system's takes an eighth of each start
    }
    return Command(home, environ)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return command_in(tmp_path)


def write_csv(path: Path, pairs: list[Pair]) -> Path:
    rows = "".join(f"{pair.result_id},{pair.run_id}\n" for pair in pairs)
    path.write_text("result_id,run_id\n" + rows)
    return path


def write_jsonl(path: Path, pairs: list[Pair]) -> Path:
    rows = (json.dumps({"result_id": pair.result_id, "run_id": pair.run_id}) for pair in pairs)
    path.write_text("".join(f"{row}\n" for row in rows))
    return path
