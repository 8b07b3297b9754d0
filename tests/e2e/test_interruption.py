"""Crashes, signals, full disks and overlaps, through the real command; then what recovery does."""

import json
import resource
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bulk_delete.columns import columns_of
from bulk_delete.config import Limits
from bulk_delete.model import Pair, State
from bulk_delete.runner.auditing import audit
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import NO_BYTECODE, Command, Sandbox, write_csv, write_jsonl
from tests.nursery import Child
from tests.replays import replay

Running = Callable[..., AbstractContextManager[Sandbox]]

WORLD = World.made(results=120, runs=1500, seed=5)
PAIRS = WORLD.pairs()


def world() -> World:
    return World.of(PAIRS)


def check_laws(command: Command, api: Sandbox, asked_for: list[Pair], job: str = "runs") -> None:
    """Hold the journal against what the server saw.

    Every run that the server saw was announced in the journal; none was outside the input; none
    known to be deleted was announced again; the journal is sound.
    """
    announced: set[Pair] = set()
    deleted: set[Pair] = set()
    batches: dict[int, list[Pair]] = {}
    for line in command.journal(job):
        match line["event"]:
            case "batch.sent" if "run_ids" in line:
                pairs = [Pair(line["result_id"], run) for run in line["run_ids"]]
                assert not deleted.intersection(pairs)
                batches[line["batch"]] = pairs
                announced.update(pairs)
            case "batch.deleted":
                deleted.update(batches[line["batch"]])
            case _:
                pass
    assert set(api.seen) <= announced <= set(asked_for)
    found = audit(command.state / "bulk-delete", job, repair=False)
    assert found.findings == ()
    assert found.books == "agree with the plan"


def wait_until(ready: Callable[[], bool]) -> None:
    poller = select.poll()
    for _ in range(2000):
        if ready():
            return
        poller.poll(5)
    raise AssertionError("it did not come")


def wait_for_calls(api: Sandbox, calls: int) -> None:
    """Wait until the server has seen so many calls."""
    wait_until(lambda: len(api.calls) >= calls)


def finish(child: Child) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=40)
    return child.wait(), out, err


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_drains(
    command: Command, sandbox: Running, signum: signal.Signals, code: int
) -> None:
    """After a signal what is in flight gets its outcome, none is in doubt, and resume goes on."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.1)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        wait_for_calls(api, 4)
        child.send_signal(signum)
        found, out, err = finish(child)
        assert found == code, err
        last = command.journal()[-1]
        assert (last["event"], last["outcome"], last["exit_code"]) == (
            "job.finished",
            "interrupted",
            code,
        )
        counts = last["counts"]
        assert counts["in_doubt"] == 0
        assert counts["deleted"] == len(api.seen) > 0
        assert counts["deleted"] + counts["unsent"] == len(PAIRS)
        assert "Next: bulk-delete resume runs" in out
        again = command.run("resume", "runs", "--base-url", api.url)
    assert again.returncode == 0, again.stderr
    assert sorted(api.seen) == PAIRS
    check_laws(command, api, PAIRS)


def test_a_second_signal_stops_at_once(command: Command, sandbox: Running) -> None:
    """Ctrl-C twice leaves the calls in flight in doubt, and says so."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=20)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        wait_for_calls(api, 8)
        child.send_signal(signal.SIGINT)
        assert child.stderr
        while "job.draining" not in child.stderr.readline():
            pass
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert finish(child)[0] == 130
        assert time.monotonic() - began < 10
    counts = command.journal()[-1]["counts"]
    states = replay(command.folder() / "journal.jsonl").states.count([columns_of(PAIRS)])
    assert states[State.IN_DOUBT] == counts["in_doubt"] > 0


def test_the_grace_ends(command: Command, sandbox: Running) -> None:
    """A call that does not come back within the grace is left in doubt."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=30)) as api:
        child = command.start("run", "runs.csv", "--yes", "--grace", "300ms", "--base-url", api.url)
        wait_for_calls(api, 8)
        child.send_signal(signal.SIGTERM)
        found, _, _ = finish(child)
    assert found == 143
    assert command.journal()[-1]["counts"]["in_doubt"] > 0


def test_a_full_disk_stops_the_sending(command: Command, sandbox: Running) -> None:
    """When the journal cannot grow the job ends with 74; with room again it goes on."""
    write_csv(command.home / "runs.csv", PAIRS)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    with sandbox(world()) as api:
        line = command.line("run", "runs.csv", "--yes", "--rate", "300/s", "--base-url", api.url)
        done = subprocess.run(
            line,
            env=command.environ | NO_BYTECODE,
            cwd=command.home,
            capture_output=True,
            text=True,
            preexec_fn=small_files,
            timeout=40,
            check=False,
        )
        assert done.returncode == 74, done.stderr
        assert "cannot be written" in done.stdout + done.stderr
        sent_before = len(api.calls)
        journal = (command.folder() / "journal.jsonl").read_bytes()
        whole = [
            json.loads(line) for line in journal.splitlines(keepends=True) if line[-1:] == b"\n"
        ]
        announced = {
            (line["result_id"], run)
            for line in whole
            if line["event"] == "batch.sent"
            for run in line.get("run_ids", ())
        }
        assert {tuple(pair) for pair in api.seen} <= announced
        assert 0 < sent_before < 120
        again = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert again.returncode == 0, again.stderr
    assert api.left == set()
    check_laws(command, api, PAIRS)


def test_a_removed_folder_stops_the_sending(command: Command, sandbox: Running) -> None:
    """When the journal is removed nothing more is sent: code 74, with the books as they were."""
    write_csv(command.home / "runs.csv", PAIRS)
    seen: list[Call] = []

    def remove(call: Call) -> None:
        seen.append(call)
        if len(seen) == 30:
            shutil.rmtree(command.folder(), ignore_errors=True)  # the job may just make a file

    with sandbox(world(), Faults(latency_s=0.01), on_call=remove) as api:
        line = ("run", "runs.csv", "--yes", "--json", "--base-url", api.url)
        done = command.run(*line)
        told = json.loads(done.stdout)
        assert (done.returncode, told["exit_code"], told["next"]) == (74, 74, None)
        assert "removed or moved away" in told["reason"]
        assert told["counts"]["deleted"] + told["counts"]["in_doubt"] >= len(api.seen)
        assert len(api.calls) <= 30 + Limits().concurrency
        shutil.rmtree(command.folder(), ignore_errors=True)
        again = command.run(*line)
    assert again.returncode == 0, again.stderr
    assert api.left == set()


def test_a_state_folder_that_cannot_be_made(command: Command, sandbox: Running) -> None:
    """Without a place for the journal nothing is sent: code 74."""
    write_csv(command.home / "runs.csv", PAIRS)
    (command.home / "file").write_text("")
    with sandbox(world()) as api:
        done = command.run(
            "run", "runs.csv", "--yes", "--state-dir", "file/x", "--base-url", api.url
        )
    assert done.returncode == 74
    assert "--state-dir" in done.stderr
    assert api.calls == []


def test_two_at_once(command: Command, sandbox: Running) -> None:
    """A second start of a running job ends with 7 and names the first; the first goes on."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.1)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        wait_for_calls(api, 1)
        second = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert second.returncode == 7
        assert f"pid {child.pid} on " in second.stderr
        assert finish(child)[0] == 0
    assert sorted(api.seen) == PAIRS


def test_a_torn_journal_is_mended_aloud(command: Command, sandbox: Running) -> None:
    """A torn last line is moved away, the operator is told, and its batch is sent again."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        journal = command.folder() / "journal.jsonl"
        (command.folder() / "journal.mark").unlink()
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:30])
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 0
    assert "journal.mended" in done.stderr
    assert (command.folder() / "journal.broken").read_bytes() == lines[-2][:30]


def test_a_journal_damaged_before_its_mark_is_refused(command: Command, sandbox: Running) -> None:
    """An edited journal ends with code 2, the line named, nothing sent."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        journal = command.folder() / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:5] + lines[6:]))
        before = len(api.calls)
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 2
    assert "line 6: " in done.stderr
    assert len(api.calls) == before


def test_a_changed_input_leaves_the_rest_over(command: Command, sandbox: Running) -> None:
    """New input rules over an unfinished plan; what it drops is listed, its doubts end with 1."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.2)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        wait_for_calls(api, 4)
        child.kill()
        finish(child)
        before = replay(command.folder() / "journal.jsonl")
        doubted = [pair for pair in PAIRS if before.state(*pair) is State.IN_DOUBT]
        fresh = [pair for pair in PAIRS if before.state(*pair) is State.UNSENT][-10:]
        write_csv(command.home / "runs.csv", fresh)
        seen = len(api.seen)
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert doubted
    assert done.returncode == 1, done.stderr
    assert sorted(api.seen[seen:]) == fresh
    (replaced,) = [line for line in command.journal() if line["event"] == "plan.replaced"]
    assert replaced["counts"]["in_doubt"] == len(doubted)
    listed = (command.folder() / "leftover.csv").read_text().splitlines()[1:]
    assert len(listed) == sum(replaced["counts"].values())
    assert "in doubt, left over from an earlier plan" in command.journal()[-1]["reason"]


def test_standard_input(command: Command, sandbox: Running) -> None:
    """Rows from a pipe are a job like any other, given a name; resume needs no pipe."""
    text = write_jsonl(command.home / "x.jsonl", PAIRS[:20]).read_text()
    with sandbox(world()) as api:
        unnamed = command.run("run", "-", "--yes", "--base-url", api.url, stdin=text)
        assert unnamed.returncode == 2
        assert "--name" in unnamed.stderr
        done = command.run(
            "run", "-", "--name", "piped", "--yes", "--base-url", api.url, stdin=text
        )
        assert done.returncode == 0, done.stderr
        assert command.run("resume", "piped", "--base-url", api.url).returncode == 0
    assert sorted(api.seen) == PAIRS[:20]
