"""What a rough night does to the command: odd arguments, lost streams, late signals, old doubts."""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bulk_delete.model import Pair, State
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import NO_BYTECODE, Command, Sandbox, write_csv
from tests.replays import replay

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=60, runs=600, seed=9).pairs()


def world() -> World:
    return World.of(PAIRS)


def shell(command: Command, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a shell does, with its redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env=command.environ | NO_BYTECODE,
        cwd=command.home,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.mark.parametrize("expected", ["", "abc", " " * 64])
def test_an_empty_guard_is_no_guard_left_out(
    command: Command, sandbox: Running, expected: str
) -> None:
    """An --expect that is no fingerprint, as of an unset variable, ends with 2: nothing is sent."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--expect", expected, "--yes", "--base-url", api.url)
        unnamed = command.run("run", "runs.csv", "--name", "", "--yes", "--base-url", api.url)
    assert (done.returncode, unnamed.returncode) == (2, 2)
    assert "64 hex digits" in done.stderr
    assert api.calls == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(command: Command, sandbox: Running, closed: str) -> None:
    """Started with closed streams, as by a bare daemon, the job is done and ends with 0."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = " ".join(command.line("run", "runs.csv", "--yes", "--base-url", api.url))
        done = shell(command, f"exec {line} {closed}")
    assert done.returncode == 0, done.stderr
    assert api.left == set()


FULL = {"stdout": ">/dev/full", "stderr": "2>/dev/full", "both": ">/dev/full 2>&1"}
"""Streams that take nothing, as files on a full disk."""


@pytest.mark.parametrize(
    ("form", "full"),
    [
        *(("", full) for full in FULL),
        ("--json", "both"),
        ("--quiet", "stdout"),
        ("--verify", "stdout"),
    ],
)
def test_a_full_output_changes_no_job(
    command: Command, sandbox: Running, form: str, full: str
) -> None:
    """What cannot be printed holds no job up: code, journal and summary tell how it ended."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = command.line("run", "runs.csv", "--yes", *form.split(), "--base-url", api.url)
        done = shell(command, f"exec {' '.join(line)} {FULL[full]}")
        codes = [done.returncode]
        for words in (("resume", "runs"), ("verify", "runs", "--json")):
            line = command.line(*words, "--base-url", api.url)
            codes.append(shell(command, f"exec {' '.join(line)} {FULL[full]}").returncode)
    assert codes == [0, 0, 0]
    assert api.left == set()
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) == (full == "stdout" and form != "--quiet")
    assert command.summary()["exit_code"] == 0
    audit = command.run("audit", "runs")
    assert audit.returncode == 0, audit.stdout


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize(
    "words", ["plan runs.csv", "plan runs.csv --json", "audit runs", "--help", "run --help"]
)
def test_a_full_output_shows(command: Command, sandbox: Running, full: str, words: str) -> None:
    """A command that is there to print ends with 2 where it cannot, not with success."""
    write_csv(command.home / "runs.csv", PAIRS)
    if words.startswith("audit"):
        with sandbox(world()) as api:
            command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    done = shell(command, " ".join([*command.line(words), FULL[full]]))
    assert done.returncode == (0 if full == "stderr" else 2)
    assert ("No space left" in done.stderr) == (full == "stdout")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["run", "nonsense", "plan runs.csv", "resume runs", "audit runs"])
def test_an_error_that_cannot_be_told_is_one_all_the_same(command: Command, words: str) -> None:
    """Where stderr takes nothing either, the code is that of the error."""
    for full in ("2>/dev/full", ">/dev/full 2>&1"):
        assert shell(command, " ".join([*command.line(words), full])).returncode == 2


def test_a_disk_that_takes_nothing(command: Command, sandbox: Running) -> None:
    """Where not even the lock can be written the job ends with 74, and nothing is sent."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = " ".join(command.line("run", "runs.csv", "--yes", "--base-url", api.url))
        done = shell(command, f"ulimit -f 0; exec {line}")
    assert done.returncode == 74, done.stderr
    assert "--state-dir" in done.stderr
    assert api.calls == []


@pytest.mark.parametrize("limit", ["-v 300000", "-d 100000"])
def test_too_little_memory_is_told(command: Command, sandbox: Running, limit: str) -> None:
    """Under a limit that loading would break, the job ends with 2 and says which."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = " ".join(command.line("run", "runs.csv", "--yes", "--base-url", api.url))
        done = shell(command, f"ulimit {limit}; exec {line}")
    assert done.returncode == 2, done.stderr
    assert f"`ulimit {limit.split(maxsplit=1)[0]}`" in done.stderr
    assert api.calls == []


def test_a_terminal_that_stands_still_holds_nothing_up(command: Command, sandbox: Running) -> None:
    """When nobody takes what stderr says, the job goes on and ends as ever."""
    write_csv(command.home / "runs.csv", PAIRS)
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(theirs, b"x" * 4096):
            pass
    os.set_blocking(theirs, True)
    with sandbox(world(), Faults(error_before=0.7)) as api:
        # Some 140 retries, a line each: five times what the pipe holds.
        child = subprocess.Popen(
            command.line("run", "runs.csv", "--yes", "--attempts", "99", "--base-url", api.url),
            env={**command.environ, "BULK_DELETE_RETRY_CAP": "30ms"},
            cwd=command.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        # The plan is shown before the first call, and waits: take that much and no more.
        os.read(ours, 4096)
        while not api.calls and select.select([ours], [], [], 0.2)[0]:
            os.read(ours, 4096)
        assert child.wait(40) == 0
    os.close(ours)
    assert api.left == set()


def test_many_signals_at_once(command: Command, sandbox: Running) -> None:
    """Ctrl-C five times in a row ends with 130 and a summary that agrees with the journal."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.3)) as api:
        child = command.start("run", "runs.csv", "--yes", "--json", "--base-url", api.url)
        assert child.stderr
        poller = select.poll()
        while len(api.calls) < 8:
            poller.poll(5)
        for _ in range(5):
            child.send_signal(signal.SIGINT)
            poller.poll(10)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert json.loads(out)["counts"] == command.journal()[-1]["counts"]


def test_doubts_outlive_a_change_of_input(command: Command, sandbox: Running) -> None:
    """Runs left in doubt by a crash end every later execution with 1 until they are settled."""
    write_csv(command.home / "runs.csv", PAIRS)
    line = ("run", "runs.csv", "--yes", "--base-url")
    with sandbox(world(), Faults(latency_s=0.2)) as api:
        child = command.start(*line, api.url)
        poller = select.poll()
        while len(api.calls) < 4:
            poller.poll(5)
        child.kill()
        child.communicate()
        before = replay(command.folder() / "journal.jsonl")
        doubted = [pair for pair in PAIRS if before.state(*pair) is State.IN_DOUBT]
        fresh = [pair for pair in PAIRS if before.state(*pair) is State.UNSENT][-5:]
        write_csv(command.home / "runs.csv", fresh)
        codes = [command.run(*line, api.url).returncode for _ in range(2)]
        assert doubted
        assert codes == [1, 1]
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 1
        leftover = command.folder() / "leftover.csv"
        settled = command.run("run", leftover, "--name", "runs", "--yes", "--base-url", api.url)
    assert settled.returncode == 0, settled.stdout
    assert api.left == set()
    assert not leftover.exists()


def test_nothing_left_over_is_dropped_before_it_is_planned(
    command: Command, sandbox: Running
) -> None:
    """A start that fails before its first journal line leaves leftover.csv as it was."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.2)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        poller = select.poll()
        while len(api.calls) < 4:
            poller.poll(5)
        child.kill()
        child.communicate()
        write_csv(command.home / "runs.csv", PAIRS[-1:])
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        leftover = command.folder() / "leftover.csv"
        listed = leftover.read_text()
        line = command.line("run", leftover, "--name", "runs", "--yes", "--base-url", api.url)
        failed = shell(command, f"ulimit -f 8; exec {' '.join(line)}")
        assert failed.returncode == 74, failed.stderr
        assert leftover.read_text() == listed
        done = command.run(*line[3:])
    assert done.returncode == 0, done.stdout
    assert api.left == set()


def test_plan_sees_what_run_would_refuse(command: Command, sandbox: Running) -> None:
    """`plan` of a job whose journal was edited or lost is refused as `run` is."""
    write_csv(command.home / "runs.csv", PAIRS)
    journal = command.folder() / "journal.jsonl"
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        whole = journal.read_bytes()
        journal.write_bytes(whole.replace(b'"attempt":1', b'"attempt":2', 1))
        edited = [command.run(verb, "runs.csv", "--base-url", api.url) for verb in ("plan", "run")]
        journal.unlink()
        lost = [
            command.run(*words, "--base-url", api.url)
            for words in (("plan", "runs.csv"), ("run", "runs.csv"), ("resume", "runs"))
        ]
    assert {done.returncode for done in (*edited, *lost)} == {2}
    assert len({done.stderr for done in edited}) == len({done.stderr for done in lost}) == 1


def test_a_lost_mark_is_no_licence(command: Command, sandbox: Running) -> None:
    """Without its mark an edited journal is refused: else what is deleted would be sent again."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        before = len(api.calls)
        (command.folder() / "journal.mark").unlink()
        journal = command.folder() / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().replace(b'"attempt":1', b'"attempt":2', 1))
        done = command.run("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
    assert done.returncode == 2
    assert "journal.mark is gone" in done.stderr
    assert len(api.calls) == before


def test_a_journal_changed_under_the_job_is_a_bug(command: Command, sandbox: Running) -> None:
    """When the disk does not say in the end what was written, the job ends with 70."""
    write_csv(command.home / "runs.csv", PAIRS)
    spoilt: list[int] = []

    def spoil(_call: Call) -> None:
        if not spoilt:
            with (command.folder() / "journal.jsonl").open("r+b") as journal:
                spoilt.append(journal.write(b"X"))

    with sandbox(world(), on_call=spoil) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 70
    assert "does not say what was done" in done.stdout


def test_a_list_that_cannot_be_written(command: Command, sandbox: Running) -> None:
    """A failing list ends with 74, and the journal's last line says so."""
    write_csv(command.home / "runs.csv", PAIRS)
    (command.folder() / "failed.csv").mkdir(parents=True)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    last = command.journal()[-1]
    assert (last["event"], last["exit_code"], done.returncode) == ("job.finished", 74, 74)
    assert api.left == set()


@pytest.mark.parametrize(
    "target", ["-", "", ".", "runs.csv", "fifo", "plan.csv", "plan.jsonl.gz", "nowhere/plan.jsonl"]
)
def test_save_spoils_nothing(command: Command, target: str) -> None:
    """`--save` refuses an input, what is no file, a name of another form and a missing folder."""
    path = write_csv(command.home / "runs.csv", PAIRS)
    os.mkfifo(command.home / "fifo")
    before = path.read_bytes()
    done = command.run("plan", "runs.csv", "--save", target)
    assert done.returncode == 2, done.stdout
    assert "--save" in done.stderr
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in command.home.iterdir()) == ["fifo", "runs.csv"]


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "runs.csv", "--state-dir", "x" * 300),
        ("resume", "runs", "--state-dir", "x" * 300),
        ("plan", "runs.csv", "--save", "x" * 300 + ".jsonl"),
        ("plan", "runs.csv", "--state-dir", "runs.csv/x"),
    ],
)
def test_a_place_that_cannot_be_is_no_bug(command: Command, words: tuple[str, ...]) -> None:
    """A folder or a file that the system does not even look at ends with 2, by its name."""
    write_csv(command.home / "runs.csv", PAIRS)
    done = command.run(*words)
    assert done.returncode == 2
    assert words[-1] in done.stderr
    assert done.stderr.count("\n") == 1


def test_save_goes_through_a_link(command: Command) -> None:
    """`--save` to a link writes the file behind it and leaves the link."""
    write_csv(command.home / "runs.csv", PAIRS)
    (command.home / "real.jsonl").write_text("")
    (command.home / "link.jsonl").symlink_to("real.jsonl")
    assert command.run("plan", "runs.csv", "--save", "link.jsonl").returncode == 0
    assert (command.home / "link.jsonl").is_symlink()
    assert (command.home / "real.jsonl").read_text().count("\n") >= 60


def test_an_empty_job_can_be_resumed(command: Command, sandbox: Running) -> None:
    """A header without rows is nothing to do, for `run` and for `resume`."""
    write_csv(command.home / "runs.csv", [])
    with sandbox(world()) as api:
        ran = command.run("run", "runs.csv", "--base-url", api.url)
        resumed = command.run("resume", "runs", "--base-url", api.url)
    assert (ran.returncode, resumed.returncode) == (0, 0), resumed.stderr
    assert api.calls == []


def test_rejects_are_remembered_by_resume(command: Command, sandbox: Running) -> None:
    """A job that left bad rows out ends with 1 when it is resumed, too."""
    write_csv(command.home / "runs.csv", PAIRS[:5])
    with (command.home / "runs.csv").open("a") as file:
        file.write("x,y\n")
    with sandbox(world()) as api:
        ran = command.run("run", "runs.csv", "--yes", "--on-bad-row", "skip", "--base-url", api.url)
        resumed = command.run("resume", "runs", "--base-url", api.url)
    assert (ran.returncode, resumed.returncode) == (1, 1)
    assert command.summary()["counts"]["rejected"] == 1


def test_another_key_is_noted(command: Command, sandbox: Running) -> None:
    """Going on with another key is allowed, and told."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(1, 1)])
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        done = command.run("resume", "runs", "--base-url", api.url, CEKURA_API_KEY="other-key-77")
    assert "key.changed" in done.stderr
    assert "other-key-77" not in done.stderr


def test_a_late_reply_is_in_doubt(command: Command, sandbox: Running) -> None:
    """Calls whose replies come after the time-out are unknown, though the server applied them."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    flags = ("--timeout", "300ms", "--attempts", "1")
    with sandbox(world(), Faults(latency_s=1)) as api:
        done = command.run("run", "runs.csv", "--yes", *flags, "--base-url", api.url)
    assert done.returncode == 1, done.stdout
    assert command.summary()["counts"]["unknown"] == 3
    assert not api.left.intersection(PAIRS[:3])
    listed = Path(command.folder() / "unknown.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:4] for row in listed] == [
        [str(result), str(run), "unknown", "reply lost"] for result, run in PAIRS[:3]
    ]
