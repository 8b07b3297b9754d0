"""What is promised about keys, files and terminals, held against the real command."""

import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import Command, Sandbox, running_sandbox, write_csv

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=4, runs=40, seed=5).pairs()


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Serve a world that takes every call for its runs, again and again."""
    with running_sandbox(World.of(PAIRS)) as api:
        yield api


# Modes


def open_to_others(folder: Path) -> list[str]:
    """Name what is in a folder, and the folder, where others have any right to it."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def test_all_is_for_its_owner_alone(command: Command, sandbox: Running) -> None:
    """Whatever the umask, after each command every file is 0600, every folder 0700."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(999_999, 1)])
    with (command.home / "runs.csv").open("a") as rows:
        rows.write("x,y\n")
    journal = command.folder() / "journal.jsonl"
    seen: set[str] = set()

    def step(code: int, *words: object, umask: int = 0o000) -> None:
        command.umask = umask
        done = command.run(*words)
        assert done.returncode == code, done.stderr
        assert open_to_others(command.state) == []
        seen.update(path.name for path in command.folder().iterdir())

    with sandbox(World.of(PAIRS), Faults(error_after=0.4), seed=3) as api:
        to = ("--base-url", api.url)
        step(2, "plan", "runs.csv", *to)
        step(1, "run", "runs.csv", "--yes", "--on-bad-row", "skip", "--settle", "hold", *to)
        step(1, "resume", "runs", *to, umask=0o077)
        for pair in PAIRS[:3]:
            api.world.live[pair.result_id].add(pair.run_id)
        step(1, "verify", "runs", *to)
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([lines[0], *lines[2:]]))
        step(0, "audit", "runs", "--repair")
    assert {path.partition(".")[0] for path in seen} == {
        *("journal", "lock", "plan", "status", "summary"),
        *("rejects", "failed", "unknown", "still-there"),
    }


def test_what_was_open_to_others_is_closed(command: Command, api: Sandbox) -> None:
    """A job's folder and files that others may use are closed; of the folder of all it warns."""
    write_csv(command.home / "runs.csv", PAIRS)
    line = ("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
    state = command.folder().parent
    assert command.run(*line).stderr == ""
    for mode, warned in ((0o777, True), (0o1777, False)):
        for path in command.folder().iterdir():
            path.chmod(0o666)
        command.folder().chmod(0o777)
        state.chmod(mode)
        done = command.run(*line)
        assert done.returncode == 0, done.stderr
        assert open_to_others(command.folder()) == []
        assert state.stat().st_mode & 0o7777 == mode
        assert (f"{state}: everybody may put another folder" in done.stderr) == warned


# Links


class Victim:
    """A file and a folder of somebody's, which nobody is to touch."""

    def __init__(self, home: Path, text: str = "precious, and without a line end") -> None:
        self.file = home / "victim"
        self.folder = home / "victims"
        self.file.write_text(text)
        self.file.chmod(0o644)
        self.folder.mkdir(mode=0o755)
        (self.folder / "journal.jsonl").write_text("precious")
        self._before = self._seen()

    @property
    def is_untouched(self) -> bool:
        return self._seen() == self._before

    def _seen(self) -> list[tuple[str, int, int, bytes]]:
        paths = (self.file, self.folder, *self.folder.iterdir())
        return [
            (
                str(path),
                path.stat().st_mode,
                path.stat().st_mtime_ns,
                b"" if path.is_dir() else path.read_bytes(),
            )
            for path in paths
        ]


NAMES = [
    *(
        "journal.jsonl",
        "journal.mark",
        "journal.mark.new",
        "journal.broken",
        "journal.checkpoint",
        "lock",
    ),
    *("plan.0123456789abcdef.bin", "summary.json", ".summary.json.$$.new", ".plan.x.bin.$$.new"),
    *("rejects.csv", "failed.csv", "unknown.csv", "leftover.csv", "still-there.csv"),
]


@pytest.mark.parametrize("name", NAMES)
def test_no_link_is_followed(command: Command, api: Sandbox, name: str) -> None:
    """A link in the place of a file ends `run` with 2 and its name; what it leads to is as it was.

    The names of unfinished files have the process's number, so a shell that becomes the command
    plants them.
    """
    write_csv(command.home / "runs.csv", PAIRS)
    victim = Victim(command.home)
    calls = len(api.calls)
    line = " ".join(command.line("run", "runs.csv", "--yes", "--base-url", api.url))
    for target in (victim.file, victim.folder):
        shutil.rmtree(command.state, ignore_errors=True)
        command.folder().mkdir(parents=True)
        planted = f'ln -s {target} "{command.folder()}/{name}"'
        done = subprocess.run(
            ["/bin/sh", "-c", f"{planted} && exec {line}"],
            env=command.environ,
            cwd=command.home,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert str(command.folder() / name.partition("$$")[0]) in done.stderr
        assert done.stderr.count("\n") == 1
        assert victim.is_untouched
    assert len(api.calls) == calls


def test_a_file_that_was_moved_away_is_not_followed(command: Command, api: Sandbox) -> None:
    """Where a job's own file lies behind a link now, every command that opens it ends with 2."""
    write_csv(command.home / "runs.csv", PAIRS)
    to = ("--base-url", api.url)
    assert command.run("run", "runs.csv", "--yes", *to).returncode == 0
    journal = command.folder() / "journal.jsonl"
    victim = Victim(command.home, journal.read_text() + "torn")
    journal.unlink()
    journal.symlink_to(victim.file)
    for words in (
        ("resume", "runs", *to),
        ("verify", "runs", *to),
        ("audit", "runs"),
        ("audit", "runs", "--repair"),
    ):
        done = command.run(*words)
        assert done.returncode == 2, done.stderr
        assert f"{journal} is a link" in done.stderr
        assert victim.is_untouched


def test_a_job_is_no_link(command: Command, api: Sandbox) -> None:
    """A link in the place of a job's folder ends with 2; one to the folder of all jobs is fine."""
    write_csv(command.home / "runs.csv", PAIRS)
    victim = Victim(command.home)
    jobs, link = command.home / "jobs", command.home / "link"
    jobs.mkdir()
    link.symlink_to(jobs)
    (jobs / "runs").symlink_to(victim.folder)
    to = ("--state-dir", link, "--base-url", api.url)
    for words in (("run", "runs.csv", "--yes"), ("plan", "runs.csv")):
        refused = command.run(*words, *to)
        assert refused.returncode == 2
        assert f"{link / 'runs'} is a link" in refused.stderr
        assert victim.is_untouched
    (jobs / "runs").unlink()
    done = command.run("run", "runs.csv", "--yes", *to)
    assert done.returncode == 0, done.stderr
    assert (jobs / "runs" / "journal.jsonl").is_file()


# Cores


def test_no_core_is_left(command: Command, sandbox: Running) -> None:
    """A crash leaves no core, which would have the key in it, however large one may be.

    Nor does a crash of api.key_command.
    """
    write_csv(command.home / "runs.csv", PAIRS)
    asked = command.home / "asked"
    asked.write_text("#!/bin/sh\nulimit -c >limit\necho some-key\n")
    asked.chmod(0o700)

    def unlimited() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    limits: list[str] = []

    def crash(_: Call) -> None:
        limits.extend(Path(f"/proc/{child.pid}/limits").read_text().splitlines())
        child.send_signal(signal.SIGSEGV)

    with sandbox(World.of(PAIRS), on_call=crash) as api:
        child = subprocess.Popen(
            command.line("run", "runs.csv", "--yes", "--concurrency", "1", "--base-url", api.url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **command.environ,
                "CEKURA_API_KEY": "",
                "BULK_DELETE_API_KEY_COMMAND": str(asked),
            },
            cwd=command.home,
            preexec_fn=unlimited,  # noqa: PLW1509 - it makes two system calls
        )
        _, status = os.waitpid(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == -signal.SIGSEGV
    assert not os.WCOREDUMP(status)
    assert next(line.split()[4] for line in limits if line.startswith("Max core")) == "0"
    assert (command.home / "limit").read_text() == "0\n"
    assert list(command.home.glob("*core*")) == []


def test_a_vendors_file_that_everybody_may_read_is_told(command: Command, api: Sandbox) -> None:
    """The vendor's config.toml has the key, too: a command that takes it from there warns."""
    write_csv(command.home / "runs.csv", PAIRS)
    path = command.home / ".cekura" / "config.toml"
    path.parent.mkdir()
    path.write_text('api_key = "any"\n')
    command.environ["CEKURA_API_KEY"] = ""
    warning = f"bulk-delete: {path} has the API key, and everybody may read it: chmod 600\n"
    for words, mode, told in (
        (("run", "runs.csv", "--yes"), 0o644, warning),
        (("verify", "runs"), 0o644, warning),
        (("verify", "runs"), 0o640, ""),
    ):
        path.chmod(mode)
        done = command.run(*words, "--quiet", "--base-url", api.url)
        assert (done.returncode, done.stderr) == (0, told)


# The key

KEY = "c4n4ry-9f3e5d7a1b8c2064"
NEEDLE = "c4n4ry"
"""Its beginning, which stands nowhere else: half a key is half given away."""

WAYS = ("environment", "key_file", "key_command", "vendor's file")


@dataclass
class Keyed:
    """The command with the key given in one way, and all that was ever seen of it."""

    command: Command
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.command.environ |= {"TMPDIR": str(self.command.home / "tmp")}
        (self.command.home / "tmp").mkdir()

    def give(self, way: str) -> None:
        home, environ = self.command.home, self.command.environ
        environ["CEKURA_API_KEY"] = ""
        path = home / "key"
        path.write_text(f"{KEY}\n")
        match way:
            case "environment":
                environ["CEKURA_API_KEY"] = KEY
            case "key_file":
                environ["BULK_DELETE_API_KEY_FILE"] = str(path)
            case "key_command":
                script = home / "asked"
                script.write_text(
                    "#!/bin/sh\ntr '\\0' ' ' </proc/$PPID/cmdline >>lines\n"
                    f"tr '\\0' ' ' </proc/$$/cmdline >>lines\ncat {path}\n"
                )
                script.chmod(0o700)
                environ["BULK_DELETE_API_KEY_COMMAND"] = str(script)
            case _:
                path = home / ".cekura" / "config.toml"
                path.parent.mkdir()
                path.write_text(f'api_key = "{KEY}"\n')
        path.chmod(0o600)

    def run(self, code: int, *words: object, **environ: str) -> str:
        done = self.command.run(*words, **environ)
        self.shown.append(done.stdout + done.stderr)
        assert done.returncode == code, self.shown[-1]
        return self.shown[-1]

    def start_and_stop(self, code: int, *words: object, until: str) -> None:
        """Start a command, and interrupt it when it has said a word."""
        child = self.command.start(*words)
        assert child.stderr
        for line in child.stderr:
            self.shown.append(line)
            if until in line:
                break
        child.send_signal(signal.SIGINT)
        self.shown.extend(child.communicate(timeout=50))
        assert child.returncode == code

    def leaks(self) -> list[str]:
        """Name where the key, or the beginning of it, is found but where it was put."""
        home = self.command.home
        kept = {home / "key", home / ".cekura" / "config.toml"}
        files = [path for path in home.rglob("*") if path.is_file() and path not in kept]
        assert len(files) > 1
        found = [str(path) for path in files if NEEDLE.encode() in path.read_bytes()]
        return found + [text for text in self.shown if NEEDLE in text]


@pytest.fixture
def keyed(command: Command) -> Keyed:
    return Keyed(command)


@pytest.mark.parametrize("way", WAYS)
def test_a_good_day_gives_no_key_away(keyed: Keyed, sandbox: Running, way: str) -> None:
    """However the key is given, no command writes it, says it or shows it among the processes."""
    write_csv(keyed.command.home / "runs.csv", PAIRS)
    keyed.give(way)
    looks: list[str] = []

    def look(_: Call) -> None:
        """Look at what the running job shows and keeps open, once."""
        proc = Path(f"/proc/{child.pid}")
        if not looks:
            looks.append((proc / "cmdline").read_text())
            looks.extend(path.read_text() for path in proc.glob("task/*/children"))
            for path in (proc / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if path.is_file():
                        looks.append(path.read_bytes().decode("latin-1"))
        child.kill()

    with sandbox(World.of(PAIRS), key=KEY, on_call=look) as api:
        child = keyed.command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        keyed.shown.extend(child.communicate(timeout=50))
    assert len(looks) > 4
    keyed.shown += looks
    with sandbox(World.of(PAIRS), key=KEY) as api:
        to = ("--base-url", api.url)
        keyed.run(0, "run", "runs.csv", "--name", "b", "--yes", "--verify", *to)
        if way == "environment":
            keyed.run(0, "plan", "runs.csv", "--name", "b", *to, "--json")
            keyed.run(0, "resume", "b", *to, "--log-format", "json")
            keyed.run(0, "verify", "b", *to, "--json")
            keyed.run(0, "run", "--help")
            keyed.run(0, "--help", _BULK_DELETE_COMPLETE="bash_source")
            keyed.run(2, "run", "runs.csv", "--no-such-flag")
            keyed.run(2, "verify", "b", "--base-url", "http://example.com")
            journal = keyed.command.folder("b") / "journal.jsonl"
            journal.write_bytes(journal.read_bytes().replace(b'"attempt":1', b'"attempt":7', 1))
            keyed.run(2, "run", "runs.csv", "--name", "b", "--yes", *to)
            keyed.run(1, "audit", "b")
            keyed.run(0, "audit", "b", "--repair")
            keyed.start_and_stop(130, "demo", until="--yes")
            keyed.start_and_stop(0, "sandbox", "--port", "0", until="Sandbox at")
    assert keyed.leaks() == []


class Mean(ThreadingHTTPServer):
    """A server that gives the key back in every place of its replies; `replies` take turns."""

    daemon_threads = True

    def __init__(self, replies: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.replies = itertools.cycle(replies)
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        assert isinstance(self.server, Mean)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append(str(self.headers))
        self.wfile.write(next(self.server.replies))
        self.close_connection = True

    do_GET = do_POST = do_CONNECT = _answer  # noqa: N815 - as the base class calls them

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def mean(*replies: bytes) -> Iterator[Mean]:
    with Mean(list(replies)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def echo(status: str, body: str, *more: str) -> bytes:
    """Make a reply that has the key in its headers, too."""
    data = body.encode()
    head = [
        f"HTTP/1.1 {status}",
        f"X-CEKURA-API-KEY: {KEY}",
        f"Location: /{KEY}?api_key={KEY}",
        f"Retry-After: {KEY}",
        f"Set-Cookie: {KEY}",
        f"{KEY}: {KEY}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *more,
    ]
    return "\r\n".join([*head, "", ""]).encode() + data


HEADERS = f"Host: x\nX-CEKURA-API-KEY: {KEY}\n"
FINE = echo("204 No Content", "")
ECHOES = [
    echo("500 Oops", json.dumps({"detail": HEADERS, KEY: [KEY, {KEY: KEY}]})),
    echo(f"503 {KEY}", HEADERS),
    echo("403 No", json.dumps([KEY])),
    echo("404 No", f"<html>{KEY}"),
    echo("409 No", f'{{"detail": "{KEY}'),
    echo("302 Found", HEADERS),
    echo("307 Again", HEADERS),
    echo("200 OK", json.dumps([{"id": KEY, "result_id": 1}])),
    echo("500 Oops", "a" + " " * (4096 - 1 - 12) + KEY),
    echo("502 Oops", f"{KEY[:10]}")[:-1],
    echo("500 Oops", HEADERS, "Content-Encoding: gzip"),
    f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode(),
    f"{KEY} {KEY}\r\n\r\n".encode(),
    f"HTTP/1.1 500 Oops\r\n{KEY}\0 : {KEY}\r\n\r\n".encode(),
]
THROTTLED = echo("429 Slow", HEADERS)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_mean_server_gives_no_key_away(keyed: Keyed, form: str) -> None:
    """A server that sends the key back, whole or torn, in any place of a reply, tells nobody."""
    write_csv(keyed.command.home / "runs.csv", [Pair(place, place) for place in range(1, 33)])
    keyed.give("environment")
    line = ("--log-format", form, "--attempts", "1", *(["--json"] if form == "json" else []))
    run = ("run", "runs.csv", "--yes", "--max-failures", "100%", "--settle", "hold", *line)
    with mean(*(reply for odd in ECHOES for reply in (odd, FINE)), THROTTLED) as server:
        keyed.run(1, *run, "--base-url", server.url)
        assert len(server.heard) > 2 * len(ECHOES)
        assert all(KEY in heard for heard in server.heard)
        if form == "text":
            server.replies = itertools.cycle(ECHOES)
            keyed.run(5, "verify", "runs", *line, "--base-url", server.url)
            server.replies = itertools.cycle([echo("401 No", HEADERS)])
            keyed.run(6, *run, "--base-url", server.url)
    assert any("***" in shown for shown in keyed.shown)
    assert keyed.leaks() == []


def test_no_way_there_gives_no_key_away(keyed: Keyed) -> None:
    """A proxy that refuses or is not there, no TLS, a wrong URL: nobody is told the key."""
    write_csv(keyed.command.home / "runs.csv", PAIRS)
    keyed.give("environment")
    run = ("run", "runs.csv", "--yes", "--give-up-after", "100ms", "--attempts", "1", "--name")
    with mean(ECHOES[0]) as server:
        by_proxy = {"HTTPS_PROXY": server.url}
        to = "https://api.example.com"
        keyed.run(5, *run, "proxy", "--base-url", to, **by_proxy)
        keyed.run(5, *run, "dead-proxy", "--base-url", to, HTTPS_PROXY="http://127.0.0.1:1")
        assert server.heard
        assert not any(NEEDLE in heard for heard in server.heard)
        keyed.run(5, *run, "tls", "--base-url", server.url.replace("http", "https"))
    for url in ("ftp://nowhere", f"https://{KEY}@a.example", f"https://a.example?k={KEY}", KEY):
        keyed.run(2, *run, "url", CEKURA_API_URL=url)
    assert keyed.leaks() == []


BUG = """
from bulk_delete.client.connections import Connections

async def send(self, request):
    raise RuntimeError(f"no words for \\x1b[31m {request!r}")

Connections.send = send
"""


def test_a_bug_gives_no_key_away(keyed: Keyed, sandbox: Running) -> None:
    """An error that nobody foresaw, with the request in its words, ends with 70, and no key."""
    write_csv(keyed.command.home / "runs.csv", PAIRS)
    keyed.give("environment")
    path = keyed.command.home / "inject"
    path.mkdir()
    (path / "sitecustomize.py").write_text(BUG)
    with sandbox(World.of(PAIRS)) as api:
        to = ("--base-url", api.url)
        keyed.run(0, "run", "runs.csv", "--yes", "--name", "b", *to)
        for words in (
            ("run", "runs.csv", "--yes"),
            ("run", "runs.csv", "--yes", "--name", "c", "--log-format", "json"),
            ("verify", "b"),
            ("verify", "b", "--log-format", "json"),
            ("check",),
        ):
            shown = keyed.run(70, *words, *to, PYTHONPATH=str(path))
            assert "Traceback" in shown
            assert "no words for " in shown
            assert "\x1b" not in shown
    assert keyed.leaks() == []


# Terminals

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b1m\u202egnp\u2028\r\nforged: all is well\x7f"
"""A title, a bell, colours in both spellings, a turn of direction, line ends, a deletion."""


def steers(text: str) -> list[str]:
    """Return what a terminal would obey in a text, or take for a line of ours."""
    odd = [char for char in text if not char.isprintable() and char != "\n"]
    return odd + [line for line in text.split("\n") if line.lstrip().startswith("forged")]


def written(command: Command) -> str:
    """Return all text that stands in the folder of all jobs."""
    files = [path for path in command.state.rglob("*") if path.is_file() and path.suffix != ".bin"]
    assert len(files) > 4
    return "".join(path.read_text("utf-8") for path in files)


def evil_echo(status: str) -> bytes:
    body = json.dumps({"detail": EVIL, EVIL: [EVIL]})
    return f"HTTP/1.1 {status}\r\nX-Odd: {EVIL[:20]}\r\nRetry-After: {EVIL[:20]}\r\n".encode() + (
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_from_elsewhere_steers_a_terminal(command: Command, form: str) -> None:
    """Names, rows, settings and replies full of escapes are shown, and written, escaped."""
    name = f"runs{EVIL}.csv"
    write_csv(command.home / name, PAIRS)
    with (command.home / name).open("a", newline="") as rows:
        rows.write(f'"{EVIL}",1\n1,"{EVIL}"\n')
    keep = command.home / "keep\x1b[31m\x9b1m\u202e.csv"
    keep.write_text("result_id\n123456\n")
    state = command.state / EVIL
    flags = ("--json",) if form == "json" else ()
    shown: list[str] = []

    def run(code: int, *words: object) -> None:
        done = command.run(*words, *flags)
        assert done.returncode == code, done.stderr
        shown.extend((done.stdout, done.stderr))

    with mean(FINE, *map(evil_echo, ("500 \x1b[31m", "403 No", "200 OK", "302 Found"))) as server:
        to = ("--state-dir", state, "--base-url", server.url)
        calls = ("--attempts", "1", "--log-format", form)
        whole = ("--settle", "hold", "--max-failures", "100%", *calls)
        named = (name, *to, "--name", "b", "--on-bad-row", "skip", "--protect", keep)
        if form == "text":
            run(2, "plan", name, *to, "--name", "b")
        run(0, "plan", *named)
        run(1, "run", *named, *whole, "--yes")
        if form == "text":
            run(1, "resume", "b", *to, *whole)
        server.replies = itertools.cycle([evil_echo("500 \x1b[31m")])
        run(1, "verify", "b", *to, *calls)
        assert steers(written(command)) == []
        journal = state / "b" / "journal.jsonl"
        journal.write_bytes(
            journal.read_bytes().replace(b'"v":1,"n":2', f'"v":"{EVIL}'.encode(), 1)
        )
        run(1, "audit", "b", "--state-dir", state)
    assert sum("owned" in text for text in shown) >= 4
    assert [text for text in shown if steers(text)] == []


def test_no_wrong_word_steers_a_terminal(command: Command) -> None:
    """What is refused is named escaped, in one line."""
    (command.home / "config.toml").write_text(f"[{json.dumps(EVIL)}]\n")
    for words in (
        ("plan", "a.csv", "--config", "config.toml"),
        ("plan", "a.csv", "--name", EVIL),
        ("plan", f"a{EVIL}.csv"),
        ("audit", "b", EVIL),
    ):
        done = command.run(*words)
        assert done.returncode == 2
        assert "owned" in done.stderr
        assert steers(done.stdout + done.stderr) == []


def test_a_terminal_is_steered_by_us_alone(command: Command) -> None:
    """On a terminal, too, nothing that came from elsewhere is obeyed."""
    name = f"runs{EVIL}.csv"
    write_csv(command.home / name, PAIRS)
    with mean(*map(evil_echo, ("500 \x1b[31m", "403 No", "200 OK"))) as server:
        line = ("run", name, "--name", "b", "--base-url", server.url, "--attempts", "1")
        flags = ("--settle", "hold", "--max-failures", "100%")
        shown, code = command.on_terminal(f"{len(PAIRS)}\n", *line, *flags)
    assert code == 1, shown
    assert "batch.failed" in shown
    assert "owned" in shown
    for steer in ("\x1b]", "\x07", "\x9b", "\u202e", "\u2028", "\x7f"):
        assert steer not in shown
    assert not any(line.strip().startswith("forged") for line in shown.splitlines())
