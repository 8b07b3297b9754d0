"""Jobs that are paused, slowed, stopped and taken up again from another terminal."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from bulk_delete.control import Live, read_live
from bulk_delete.folder import JobFolder
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import check_laws, finish, wait_for_calls, wait_until
from tests.nursery import Child

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=120, runs=1500, seed=5).pairs()


def world() -> World:
    return World.of(PAIRS)


def started(command: Command, api: Sandbox, rate: str = "4/s") -> Child:
    """Start a job, so slow that it does not end by itself, and wait for its first call."""
    write_csv(command.home / "runs.csv", PAIRS)
    child = command.start("run", "runs.csv", "--yes", "--rate", rate, "--base-url", api.url)
    wait_for_calls(api, 1)
    return child


def hurry(command: Command, job: str = "runs") -> None:
    """Let a job come to its end."""
    assert command.run("rate", job, "2000/s").returncode == 0


def live(command: Command) -> Live:
    found = read_live(command.folder() / "status.json")
    assert found
    return found


def wait_for_state(command: Command, state: str, pid: int, job: str = "runs") -> None:
    def is_so() -> bool:
        found = read_live(command.folder(job) / "status.json")
        return found is not None and (found.state, found.pid) == (state, pid)

    wait_until(is_so)


def wait_for_another_look(command: Command) -> None:
    """Wait until the job has shown itself twice more: two seconds of its own time."""
    for _ in range(2):
        seen = live(command).at
        wait_until(lambda seen=seen: live(command).at != seen)  # type: ignore[misc]  # read at once


def of(command: Command, *names: str) -> list[dict[str, Any]]:
    return [line for line in command.journal() if line["event"] in names]


def test_a_pause_and_its_end(command: Command, sandbox: Running) -> None:
    """A paused job sends nothing until it is told to go on, and the journal has who and why."""
    with sandbox(world()) as api:
        child = started(command, api)
        paused = command.run("pause", "runs", "--reason", "incident 4711")
        assert paused.returncode == 0, paused.stderr
        assert "Job runs is paused by " in paused.stdout
        wait_until(lambda: live(command).in_flight == 0)
        seen = len(api.calls)
        wait_for_another_look(command)
        assert len(api.calls) == seen < 120
        (told,) = json.loads(command.run("status", "runs", "--json").stdout)["jobs"]
        assert (told["state"], told["pid"]) == ("paused", child.pid)
        assert told["paused"]["reason"] == "incident 4711"
        twice = command.run("pause", "runs", "--reason", "me too")
        assert "Job runs was already paused by " in twice.stdout
        (command.folder() / "control.json").unlink()
        again = command.run("continue", "runs", "--reason", "it is over")
        assert again.stdout == "Job runs goes on\n"
        hurry(command)
        code, _, err = finish(child)
    assert code == 0, err
    assert "job.paused" in err
    assert "job.continued" in err
    assert api.left == set()
    pause, go_on = of(command, "job.paused", "job.continued")
    assert (pause["reason"], pause["detail"]) == ("asked", "incident 4711")
    assert (go_on["reason"], go_on["detail"]) == ("asked", "it is over")
    assert "@" in pause["by"]
    assert go_on["seconds"] > 1
    check_laws(command, api, PAIRS)


def test_a_paused_job_that_is_killed_starts_paused(command: Command, sandbox: Running) -> None:
    """A pause outlives its process: the next start waits, says so, and goes on when it is told."""
    with sandbox(world()) as api:
        child = started(command, api)
        command.run("pause", "runs", "--reason", "wait for me")
        wait_until(lambda: live(command).in_flight == 0)
        seen = len(api.calls)
        child.kill()
        finish(child)
        (told,) = json.loads(command.run("status", "--json").stdout)["jobs"]
        assert (told["state"], told["paused"]["reason"]) == ("dead", "wait for me")
        assert told["next"].startswith("bulk-delete continue runs")
        child = command.start("resume", "runs", "--quiet", "--base-url", api.url)
        wait_for_state(command, "paused", child.pid)
        wait_for_another_look(command)
        assert len(api.calls) == seen
        assert command.run("continue", "runs").returncode == 0
        code, _, err = finish(child)
    assert code == 0, err
    assert "job.starts_paused" in err
    assert "bulk-delete continue runs" in err
    assert api.left == set()
    assert [line["detail"] for line in of(command, "job.paused")] == ["wait for me"] * 2
    check_laws(command, api, PAIRS)


def test_a_pause_that_ends_while_nobody_runs(command: Command, sandbox: Running) -> None:
    """A signal ends a paused job; told to go on, its next start does, and writes down by whom."""
    with sandbox(world()) as api:
        child = started(command, api)
        command.run("pause", "runs")
        child.send_signal(signal.SIGTERM)
        assert finish(child)[0] == 143
        assert len(api.calls) < 120
        told = command.run("continue", "runs", "--reason", "all clear")
        assert (told.returncode, "bulk-delete resume runs" in told.stdout) == (0, True)
        twice = command.run("continue", "runs")
        assert (twice.returncode, "is not paused" in twice.stderr) == (2, True)
        done = command.run("resume", "runs", "--base-url", api.url)
        assert done.returncode == 0, done.stderr
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 0
    assert api.left == set()
    (go_on,) = of(command, "job.continued")
    assert go_on["detail"] == "all clear"
    check_laws(command, api, PAIRS)


def test_a_stop_drains_and_stops_once(command: Command, sandbox: Running) -> None:
    """A stop ends with 3 and nothing in doubt; the same stop does not end the next execution."""
    with sandbox(world(), Faults(latency_s=0.1)) as api:
        child = started(command, api)
        told = command.run("stop", "runs", "--reason", "wrong \x1b[2Jexport")
        assert told.returncode == 0, told.stderr
        code, out, err = finish(child)
        assert code == 3, err
        last = command.journal()[-1]
        assert (last["event"], last["outcome"], last["exit_code"]) == ("job.finished", "stopped", 3)
        assert last["reason"].endswith(": wrong \\x1b[2Jexport")
        assert last["counts"]["in_doubt"] == 0
        assert last["counts"]["unsent"] > 0
        assert "Next: bulk-delete resume runs" in out
        assert "\x1b" not in out + err
        (stopping,) = of(command, "job.stopping")
        assert (stopping["reason"], stopping["detail"]) == ("asked", "wrong \\x1b[2Jexport")
        (told_now,) = json.loads(command.run("status", "--json").stdout)["jobs"]
        assert (told_now["state"], told_now["outcome"]) == ("interrupted", "stopped")
        assert (command.folder() / "control.json").exists()
        again = command.run("resume", "runs", "--base-url", api.url)
    assert again.returncode == 0, again.stderr
    assert api.left == set()
    check_laws(command, api, PAIRS)


def test_a_stop_reaches_a_job_that_is_still_planning(command: Command, sandbox: Running) -> None:
    """A job that is stopped while it reads its input makes no call."""
    with sandbox(world()) as api:
        child = subprocess.Popen(
            command.line("run", "-", "--name", "runs", "--yes", "--base-url", api.url),
            env=command.environ,
            cwd=command.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lock = JobFolder(command.state / "bulk-delete", "runs").lock
        wait_until(lambda: lock.exists() and lock.stat().st_size > 0)
        told = command.run("stop", "runs")
        assert "is still planning; it will send nothing more" in told.stdout, told.stderr
        assert command.run("status").stdout.splitlines()[1].split()[:2] == ["runs", "starting"]
        rows = write_csv(command.home / "rows.csv", PAIRS).read_text()
        out, err = child.communicate(rows, timeout=40)
    assert child.returncode == 3, out + err
    assert api.calls == []


def test_a_stop_that_comes_too_late_ends_nothing(command: Command, sandbox: Running) -> None:
    """A job whose last call was out when it was stopped is done, and ends with 0."""
    write_csv(command.home / "runs.csv", PAIRS[:1])
    called, stopped = threading.Event(), threading.Event()

    def answer_late(_call: Call) -> None:
        called.set()
        stopped.wait(30)

    with sandbox(world(), on_call=answer_late) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        assert called.wait(30)
        told = command.run("stop", "runs")
        assert "is stopping: nothing more leaves, 1 call out" in told.stdout
        stopped.set()
        code, _, err = finish(child)
    assert code == 0, err
    assert [line["event"] for line in command.journal()][-3:] == [
        "job.stopping",
        "batch.deleted",
        "job.finished",
    ]


def test_a_rate_that_is_raised(command: Command, sandbox: Running) -> None:
    """A job that would take two minutes is done at once at the new rate, whose hour still holds."""
    with sandbox(world()) as api:
        child = started(command, api, "1/s,5000/h")
        told = command.run("rate", "runs", "500/s", "--reason", "agreed")
        assert told.stdout == "Job runs keeps to 500/s, 5000/h now, until it ends\n"
        assert live(command).limit == "500/s, 5000/h"
        code, _, err = finish(child)
    assert code == 0, err
    (changed,) = of(command, "rate.changed")
    asked = {"reason": "asked", "rate": 500.0, "before": 1.0, "ceiling": 500.0, "detail": "agreed"}
    assert {name: changed[name] for name in asked} == asked
    assert changed["limit"] == "500/s, 5000/h"
    assert "rate.changed" in err


def test_a_rate_that_is_lowered(command: Command, sandbox: Running) -> None:
    """At a call an hour a job still hears a stop, and has made one call more at most."""
    with sandbox(world()) as api:
        child = started(command, api)
        assert command.run("rate", "runs", "1/h").returncode == 0
        wait_until(lambda: live(command).in_flight == 0)
        seen = len(api.calls)
        wait_for_another_look(command)
        assert len(api.calls) <= seen + 1
        assert command.run("stop", "runs").returncode == 0
        assert finish(child)[0] == 3


@pytest.mark.parametrize(
    "order", [("pause", "runs"), ("continue", "runs"), ("stop", "runs"), ("rate", "runs", "5/s")]
)
def test_a_job_that_is_not_there(command: Command, order: tuple[str, ...]) -> None:
    """An order to a job that never was ends with 2, names those that are, and writes nothing."""
    done = command.run(*order)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no job 'runs'" in done.stderr
    assert not command.state.exists()


def test_a_job_that_does_not_run(command: Command, sandbox: Running) -> None:
    """Stop and rate want a job that runs, continue a paused one; a pause waits for the next run."""
    write_csv(command.home / "runs.csv", PAIRS[:5])
    with sandbox(world()) as api:
        line = ("run", "runs.csv", "--yes", "--base-url", api.url)
        assert command.run(*line).returncode == 0
        for order in (("stop", "runs"), ("rate", "runs", "5/s"), ("continue", "runs")):
            done = command.run(*order)
            assert (done.returncode, done.stdout) == (2, ""), order
            assert "runs" in done.stderr
        assert "did you mean runs?" in command.run("stop", "rans").stderr
        paused = command.run("pause", "runs")
        assert (paused.returncode, "Its next start will wait" in paused.stdout) == (0, True)
        write_csv(command.home / "runs.csv", PAIRS[:9])
        child = command.start(*line)
        wait_for_state(command, "paused", child.pid)
        assert len(api.seen) == 5
        assert command.run("continue", "runs").returncode == 0
        assert finish(child)[0] == 0
    assert sorted(api.seen) == PAIRS[:9]


def test_who_only_reads_takes_no_orders(command: Command, sandbox: Running) -> None:
    """While a job is being verified an order ends with 2, and says how to end that."""
    write_csv(command.home / "runs.csv", PAIRS[:5])
    with sandbox(world()) as api:
        assert command.run("run", "runs.csv", "--yes", "--base-url", api.url).returncode == 0
    with JobFolder(command.state / "bulk-delete", "runs").locked("verify"):
        done = command.run("pause", "runs")
        told = command.run("status")
    assert (done.returncode, "kill -TERM" in done.stderr) == (2, True)
    assert told.stdout.splitlines()[1].split()[:2] == ["runs", "verifying"]


def test_a_control_file_that_is_spoilt(command: Command, sandbox: Running) -> None:
    """It changes nothing for a job that runs, keeps the next from starting, and can be mended."""
    with sandbox(world()) as api:
        child = started(command, api)
        command.run("pause", "runs")
        (command.folder() / "control.json").write_text("spoilt")
        assert child.stderr
        assert any("control.unreadable" in line for line in child.stderr)
        assert live(command).state == "paused"
        child.kill()
        finish(child)
        seen = len(api.calls)
        refused = command.run("resume", "runs", "--base-url", api.url)
        assert refused.returncode == 2
        assert "bulk-delete continue runs" in refused.stderr
        assert len(api.calls) == seen
        assert command.run("continue", "runs").returncode == 0
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 0
    assert api.left == set()


@pytest.mark.parametrize("limit", ["", "5", "5/d", "fast", "-1/s"])
def test_a_rate_that_is_none(command: Command, limit: str) -> None:
    """What is no rate ends with 2 before anything is asked."""
    done = command.run("rate", "runs", "--", limit)
    assert (done.returncode, "RATE" in done.stderr) == (2, True)
