"""What is promised about keys, files and terminals, held against the real command."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import Command, Sandbox, running_sandbox, write_csv

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=4, runs=40, seed=5).pairs()


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Serve a world in which everything that is asked for stays to be asked for again."""
    with running_sandbox(World.of(PAIRS)) as api:
        yield api


def call(
    command: Command, *words: object, umask: int = -1, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the command under an umask."""
    return subprocess.run(
        command.line(*words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**command.environ, **environ},
        cwd=command.home,
        umask=umask,
        timeout=50,
        check=False,
    )


# Modes


def open_to_others(folder: Path) -> list[str]:
    """Name what is in a folder, and the folder, where others have any right to it."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_all_is_for_its_owner_alone(command: Command, sandbox: Running, umask: int) -> None:
    """Whatever the umask, after each command every file is 0600, every folder 0700."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(999_999, 1)])
    with (command.home / "runs.csv").open("a") as rows:
        rows.write("x,y\n")
    journal = command.folder() / "journal.jsonl"
    seen: set[str] = set()

    def step(code: int, *words: object) -> None:
        done = call(command, *words, umask=umask)
        assert done.returncode == code, done.stderr
        assert open_to_others(command.state) == []
        seen.update(path.name for path in command.folder().iterdir())

    with sandbox(World.of(PAIRS), Faults(error_after=0.4), seed=3) as api:
        to = ("--base-url", api.url)
        step(2, "plan", "runs.csv", *to)
        step(1, "run", "runs.csv", "--yes", "--on-bad-row", "skip", "--settle", "hold", *to)
        step(1, "resume", "runs", *to)
        for pair in PAIRS[:3]:
            api.world.live[pair.result_id].add(pair.run_id)
        step(1, "verify", "runs", *to)
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([lines[0], *lines[2:]]))
        step(0, "audit", "runs", "--repair")
    assert {path.partition(".")[0] for path in seen} == {
        *("journal", "lock", "plan", "summary"),
        *("rejects", "failed", "unknown", "still-there"),
    }


def test_what_was_open_to_others_is_closed(command: Command, api: Sandbox) -> None:
    """A job's folder and files that others may use are closed; of the folder of all it warns."""
    write_csv(command.home / "runs.csv", PAIRS)
    line = ("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
    state = command.folder().parent
    assert call(command, *line).stderr == ""
    for mode, warned in ((0o777, True), (0o1777, False), (0o775, False)):
        for path in command.folder().iterdir():
            path.chmod(0o666)
        command.folder().chmod(0o777)
        state.chmod(mode)
        done = call(command, *line)
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
    *("journal.jsonl", "journal.mark", "journal.mark.new", "journal.broken", "lock"),
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
    for target in (victim.file, victim.folder, command.home / "nothing"):
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
        assert not target.exists() or target != command.home / "nothing"
    assert len(api.calls) == calls


@pytest.mark.parametrize(
    "words", [("resume",), ("verify",), ("audit",), ("audit", "--repair")], ids=" ".join
)
def test_a_file_that_was_moved_away_is_not_followed(
    command: Command, api: Sandbox, words: tuple[str, ...]
) -> None:
    """Where a job's own file lies behind a link now, every command that opens it ends with 2."""
    write_csv(command.home / "runs.csv", PAIRS)
    to = () if words[0] == "audit" else ("--base-url", api.url)
    assert call(command, "run", "runs.csv", "--yes", "--base-url", api.url).returncode == 0
    for name in ("journal.jsonl", "journal.mark"):
        path = command.folder() / name
        victim = Victim(command.home, path.read_text() + "torn")
        path.unlink()
        path.symlink_to(victim.file)
        done = call(command, words[0], "runs", *words[1:], *to)
        assert done.returncode == 2, done.stderr
        assert f"{path} is a link" in done.stderr
        assert victim.is_untouched
        shutil.rmtree(victim.folder)
        path.unlink()
        victim.file.rename(path)


@pytest.mark.parametrize("words", [("run", "runs.csv", "--yes"), ("plan", "runs.csv")])
def test_a_job_is_no_link(command: Command, api: Sandbox, words: tuple[str, ...]) -> None:
    """A link in the place of a job's folder ends with 2; one to the folder of all jobs is fine."""
    write_csv(command.home / "runs.csv", PAIRS)
    victim = Victim(command.home)
    jobs, link = command.home / "jobs", command.home / "link"
    jobs.mkdir()
    link.symlink_to(jobs)
    (jobs / "runs").symlink_to(victim.folder)
    line = (*words, "--state-dir", link, "--base-url", api.url)
    refused = call(command, *line)
    assert refused.returncode == 2
    assert f"{link / 'runs'} is a link" in refused.stderr
    assert victim.is_untouched
    (jobs / "runs").unlink()
    done = call(command, *line)
    assert done.returncode == 0, done.stderr
    assert (jobs / "runs").is_dir() == (words[0] == "run")


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
