"""What the API refuses or leaves in doubt, read back over the real server, through the command."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import Command, Sandbox, write_csv

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = [Pair(result, result * 1000 + number) for result in range(1, 31) for number in range(60)]


def events_of(command: Command, job: str = "runs") -> Counter[str]:
    return Counter(line["event"] for line in command.journal(job))


def listed(command: Command, name: str, job: str = "runs") -> list[list[str]]:
    text = (command.folder(job) / name).read_text()
    return [line.split(",")[:4] for line in text.splitlines()[1:]]


def test_runs_that_are_not_there_are_gone(command: Command, sandbox: Running) -> None:
    """Three runs that the API does not know cost three calls and no run; they are proven gone."""
    bad = [Pair(1, 1), Pair(1, 2), Pair(7, 9_999_999)]
    write_csv(command.home / "runs.csv", [*PAIRS, *bad])
    with sandbox(World.of(PAIRS)) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.left == set()
    counts = command.summary()["counts"]
    assert (counts["deleted"], counts["gone"]) == (len(PAIRS), 3)
    assert len(api.calls) == 30 + 2
    gone = [line for line in command.journal() if line["event"] == "batch.gone"]
    assert sorted(run for line in gone for run in line["run_ids"]) == [1, 2, 9_999_999]
    assert {line["reason"] for line in gone} == {"absent"}
    assert "proven gone" in done.stdout


def test_a_run_of_another_result_is_failed(command: Command, sandbox: Running) -> None:
    """A run that belongs elsewhere is never deleted there, and is listed with where it belongs."""
    stray = Pair(2, 1005)
    write_csv(command.home / "runs.csv", [*PAIRS[60:], stray])
    with sandbox(World.of(PAIRS)) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 1
    assert api.left == set(PAIRS[:60])
    assert listed(command, "failed.csv") == [["2", "1005", "failed", "wrong result"]]
    assert "belongs to result 1" in (command.folder() / "failed.csv").read_text()


def test_a_result_that_is_not_there_takes_one_call(command: Command, sandbox: Running) -> None:
    """All runs of a result that the API does not find fail with one call and one read."""
    missing = [Pair(99, run) for run in range(1, 251)]
    write_csv(command.home / "runs.csv", [*PAIRS, *missing])
    with sandbox(World.of(PAIRS)) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 1
    assert api.left == set()
    assert sum(call.result_id == 99 for call in api.calls) == 1
    assert Counter(row[3] for row in listed(command, "failed.csv")) == {"result not found": 250}
    assert events_of(command)["api.read"] == 1


@pytest.mark.parametrize("faults", [Faults(reset_after=0.3), Faults(error_after=0.3)])
def test_what_was_applied_is_not_sent_again(
    command: Command, sandbox: Running, faults: Faults
) -> None:
    """A lost reply to a call that was applied is read back, and no run is sent twice."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(World.of(PAIRS), faults) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.left == set()
    assert max(Counter(api.seen).values()) == 1
    counts = command.summary()["counts"]
    assert counts["gone"] > 0
    assert counts["deleted"] + counts["gone"] == len(PAIRS)


def test_a_doubt_of_before_is_read_back(command: Command, sandbox: Running) -> None:
    """What one execution left in doubt the next reads back: gone, or sent if it is still there."""
    write_csv(command.home / "runs.csv", PAIRS)
    faults = Faults(reset_after=0.3, reset_before=0.3)
    with sandbox(World.of(PAIRS), faults, seed=3) as api:
        words = ("--max-failures", "100%", "--base-url", api.url)
        held = command.run("run", "runs.csv", "--yes", "--settle", "hold", *words)
        assert held.returncode == 1
        unknown = {Pair(int(row[0]), int(row[1])) for row in listed(command, "unknown.csv")}
        applied = unknown - api.left
        assert set() < applied < unknown
        calls = len(api.calls)
        done = command.run("resume", "runs", "--base-url", api.url)
        assert done.returncode == 0, done.stdout + done.stderr
    assert api.left == set()
    assert applied.isdisjoint(
        Pair(call.result_id, run) for call in api.calls[calls:] for run in call.run_ids
    )
    assert events_of(command)["batch.reopened"] > 0


def test_held_doubt_stays_unknown(command: Command, sandbox: Running) -> None:
    """With --settle hold a lost reply is never followed by a call; resume holds it as well."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(World.of(PAIRS), Faults(reset_after=0.4), seed=2) as api:
        words = ("--settle", "hold", "--max-failures", "100%", "--base-url", api.url)
        first = command.run("run", "runs.csv", "--yes", *words)
        before = listed(command, "unknown.csv")
        calls = len(api.calls)
        second = command.run("resume", "runs", *words)
        assert (first.returncode, second.returncode) == (1, 1)
        assert len(api.calls) == calls
        assert [row[:3] for row in listed(command, "unknown.csv")] == [row[:3] for row in before]
        assert {row[3] for row in listed(command, "unknown.csv")} == {"held"}
        third = command.run("resume", "runs", "--base-url", api.url)
    assert third.returncode == 0, third.stdout + third.stderr
    assert len(api.calls) == calls
    assert command.summary()["counts"]["gone"] == len(before)


def test_an_hour_is_not_begun_anew_by_a_restart(command: Command, sandbox: Running) -> None:
    """Calls of an execution before count against the hour: the second start waits at once."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(World.of(PAIRS)) as api:
        words = ("--yes", "--rate", "1000/s,20/h", "--base-url", api.url)
        for _ in range(2):
            running = command.start("run", "runs.csv", *words, BULK_DELETE_LOG_INTERVAL="200ms")
            assert running.stderr is not None
            for line in running.stderr:
                if "held_s" in line:
                    break
            running.terminate()
            running.communicate(timeout=20)
            assert running.returncode == 143
            assert len(api.calls) == 20


def test_a_throttled_job_lowers_its_rate(command: Command, sandbox: Running) -> None:
    """A 429 makes the rate give way, and each change is a line of the journal."""
    pairs = [Pair(result, result * 10) for result in range(1, 121)]
    write_csv(command.home / "runs.csv", pairs)
    with sandbox(World.of(pairs), Faults(rate=40)) as api:
        done = command.run("run", "runs.csv", "--yes", "--rate", "500/s", "--base-url", api.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.left == set()
    changes = [line for line in command.journal() if line["event"] == "rate.changed"]
    assert changes
    assert changes[0]["reason"] == "throttled"
    assert (changes[0]["before"], changes[0]["ceiling"]) == (500.0, 500.0)
    assert changes[0]["rate"] < 100
    rates: list[tuple[float, float]] = [(line["before"], line["rate"]) for line in changes]
    assert all(before >= rate for (_, rate), (before, _) in pairwise(rates))


def test_an_api_that_is_away_is_waited_for(command: Command, sandbox: Running) -> None:
    """Nothing but failures holds the job; it ends with 5 after its patience, and goes on later."""
    write_csv(command.home / "runs.csv", PAIRS)
    environ: dict[str, Any] = {"BULK_DELETE_LIMITS_HOLD_AFTER": "300ms"}
    with sandbox(World.of(PAIRS), Faults(error_before=1.0)) as api:
        done = command.run(
            "run", "runs.csv", "--yes", "--give-up-after", "2s", "--base-url", api.url, **environ
        )
        assert done.returncode == 5, done.stdout + done.stderr
        held = [line for line in command.journal() if line["event"] == "job.paused"]
        assert [line["reason"] for line in held] == ["outage"]
        assert held[0]["seconds"] >= 0.0
        assert (
            "stayed away" in json.loads((command.folder() / "summary.json").read_text())["reason"]
        )
        times = [call.t for call in api.calls]
    assert times[-1] - times[-2] > 0.4
