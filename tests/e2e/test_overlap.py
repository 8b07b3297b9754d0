"""Jobs that meet: one job started twice, and two with the same key."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import finish, wait_for_calls
from tests.e2e.test_steering import PAIRS, hurry, started, wait_for_state, world

Running = Callable[..., AbstractContextManager[Sandbox]]

FIRST, SECOND = PAIRS[:700], PAIRS[700:]


@contextmanager
def paused_job(command: Command, api: Sandbox) -> Iterator[int]:
    """Keep a job running, paused, with the first half of the runs; give its process."""
    write_csv(command.home / "first.csv", FIRST)
    words = ("--rate", "4/s", "--base-url", api.url)
    child = command.start("run", "first.csv", "--yes", *words)
    wait_for_calls(api, 1)
    command.run("pause", "first")
    wait_for_state(command, "paused", child.pid, "first")
    try:
        yield child.pid
    finally:
        hurry(command, "first")
        command.run("continue", "first")
        finish(child)


def test_a_second_start_waits_its_turn(command: Command, sandbox: Running) -> None:
    """With --wait a second start says for whom it waits, and follows the first."""
    with sandbox(world()) as api:
        first = started(command, api)
        second = command.start(
            "run", "runs.csv", "--yes", "--wait", "40s", "--json", "--base-url", api.url
        )
        assert second.stderr
        assert (
            f"waiting for the job (it is running: pid {first.pid} on " in second.stderr.readline()
        )
        hurry(command)
        assert finish(first)[0] == 0
        code, out, err = finish(second)
    assert code == 0, err
    assert json.loads(out)["counts"]["already_done"] == len(PAIRS)
    assert sorted(api.seen) == PAIRS


def test_a_resume_waits_its_turn_as_well(command: Command, sandbox: Running) -> None:
    """A resume with --wait goes on where the one before it was stopped; quiet, without a word."""
    with sandbox(world()) as api:
        first = started(command, api)
        second = command.start("resume", "runs", "--wait", "40s", "--quiet", "--base-url", api.url)
        assert command.run("stop", "runs").returncode == 0
        assert finish(first)[0] == 3
        code, _, err = finish(second)
    assert (code, err) == (0, "")
    assert api.left == set()


def test_waiting_in_vain(command: Command, sandbox: Running) -> None:
    """When the time to wait is over the second start ends with 7, and names the first."""
    with sandbox(world()) as api:
        first = started(command, api)
        command.run("pause", "runs")
        words = ("run", "runs.csv", "--yes", "--base-url", api.url)
        at_once = command.run(*words)
        later = command.run(*words, "--wait", "100ms", "--log-format", "json")
        assert (at_once.returncode, later.returncode) == (7, 7)
        assert f"already running (pid {first.pid} on " in at_once.stderr
        assert "--wait 10m" in at_once.stderr
        audited = command.run("audit", "runs")
        assert audited.returncode == 7
        assert audited.stderr.endswith("; wait for its end\n")
        waiting, error = map(json.loads, later.stderr.splitlines())
        assert (waiting["event"], error["event"]) == ("job.waiting", "error")
        assert waiting["holder"].startswith(f"pid {first.pid} on ")
        assert f"still running (pid {first.pid} on " in error["reason"]
        assert command.run("stop", "runs").returncode == 0
        assert finish(first)[0] == 3


def test_a_wait_that_is_no_time(command: Command) -> None:
    """What is no time ends with 2, by the flag's name."""
    write_csv(command.home / "runs.csv", PAIRS[:1])
    done = command.run("run", "runs.csv", "--yes", "--wait", "soon")
    assert (done.returncode, "--wait" in done.stderr) == (2, True)


def test_another_job_with_the_same_key_is_told(command: Command, sandbox: Running) -> None:
    """A job that starts beside another with the same key and API says so, and goes on."""
    write_csv(command.home / "second.csv", SECOND)
    with sandbox(world()) as api:
        with paused_job(command, api) as pid:
            words = ("run", "second.csv", "--yes", "--log-format", "json", "--base-url", api.url)
            told = command.run(*words)
            other_key = command.run(*words, "--name", "third", CEKURA_API_KEY="another")
        alone = command.run(*words)
    assert (told.returncode, other_key.returncode, alone.returncode) == (0, 0, 0), told.stderr
    lines = [json.loads(line) for line in told.stderr.splitlines() if line.startswith("{")]
    (shared,) = [line for line in lines if line["event"] == "key.shared"]
    assert (shared["job"], shared["pid"], shared["rate"]) == ("first", pid, "4/s")
    assert "key.shared" not in other_key.stderr + alone.stderr
    assert api.left == set()


def test_an_exclusive_job_is_refused_beside_another(command: Command, sandbox: Running) -> None:
    """With limits.exclusive a job ends with 4 beside another with its key, and sends nothing."""
    write_csv(command.home / "second.csv", SECOND)
    exclusive = {"BULK_DELETE_LIMITS_EXCLUSIVE": "true"}
    with sandbox(world()) as api:
        words = ("run", "second.csv", "--yes", "--base-url", api.url)
        with paused_job(command, api) as pid:
            seen = len(api.calls)
            refused = command.run(*words, **exclusive)
            assert len(api.calls) == seen
            assert not (command.folder("second") / "journal.jsonl").exists()
            other = command.run(*words, **exclusive, CEKURA_API_KEY="another")
        assert refused.returncode == 4
        assert f"'first' (pid {pid} on " in refused.stderr
        assert "job.started" not in refused.stderr
        assert other.returncode == 0, other.stderr
        assert command.run(*words, **exclusive).returncode == 0
    assert api.left == set()


def test_a_dead_job_excludes_nobody(command: Command, sandbox: Running) -> None:
    """A job that was killed is no other job: its key is free."""
    write_csv(command.home / "second.csv", SECOND)
    with sandbox(world()) as api:
        child = started(command, api)
        wait_for_state(command, "running", child.pid)
        child.kill()
        finish(child)
        done = command.run(
            *("run", "second.csv", "--yes", "--base-url", api.url),
            BULK_DELETE_LIMITS_EXCLUSIVE="true",
        )
    assert done.returncode == 0, done.stderr
    assert "key.shared" not in done.stderr
