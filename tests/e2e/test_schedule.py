"""Jobs that keep to times, through the real command, under clocks that are close to a border."""

import json
import shlex
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest

from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import check_laws, finish
from tests.e2e.test_steering import of, wait_for_state

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=120, runs=1500, seed=5).pairs()


def world() -> World:
    return World.of(PAIRS)


def clock_at(hour: int, border_in_s: float) -> dict[str, str]:
    """Give a time zone whose clocks show the full hour in so many seconds from now."""
    at = datetime.now(UTC) + timedelta(seconds=border_in_s)
    west = (at.hour - hour) % 24 * 3600 + at.minute * 60 + at.second
    sign = "" if west <= 12 * 3600 else "-"
    west = west if not sign else 24 * 3600 - west
    return {"TZ": f"XXX{sign}{west // 3600}:{west // 60 % 60:02}:{west % 60:02}"}


def from_now(hours: int) -> str:
    return f"{(datetime.now(UTC) + timedelta(hours=hours)):%H:%M}"


class Times:
    """When the server saw each call."""

    def __init__(self) -> None:
        self.all: list[float] = []

    def __call__(self, _: Call) -> None:
        self.all.append(time.time())


def test_a_job_ends_when_its_time_is_up(command: Command, sandbox: Running) -> None:
    """It ends with 3, nothing in doubt, and names the command that goes on and deletes the rest."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.1)) as api:
        words = ["runs.csv", "--yes", "--base-url", api.url, "--rate", "20/s", "--max-time", "4s"]
        done = command.run("run", *words)
        assert done.returncode == 3, done.stderr
        assert "the time is up: 4.0 s at the most" in done.stdout
        last = command.journal()[-1]
        assert (last["event"], last["outcome"], last["exit_code"]) == ("job.finished", "stopped", 3)
        assert last["seconds"] < 4
        assert last["counts"]["in_doubt"] == 0
        assert last["counts"]["deleted"] + last["counts"]["unsent"] == len(PAIRS)
        (stopping,) = of(command, "job.stopping")
        assert (stopping["reason"], stopping["by"]) == ("schedule", "max_time")
        assert of(command, "job.started")[0]["limits"]["max_time_s"] == 4
        next_words = shlex.split(command.summary()["next"])
        assert next_words[:3] == ["bulk-delete", "resume", "runs"]
        assert next_words[-2:] == ["--max-time", "4s"]
        again = command.run(*next_words[1:-4])  # without the rate, too
        assert again.returncode == 0, again.stderr
    assert api.left == set()
    check_laws(command, api, PAIRS)


@pytest.mark.parametrize(
    ("hour", "words"),
    [
        (5, ("--until", "5:00")),
        (6, ("--window", "22:00-06:00", "--window", "12:00-13:00", "--outside", "end")),
    ],
)
def test_a_job_ends_before_the_border(
    command: Command, sandbox: Running, hour: int, words: tuple[str, ...]
) -> None:
    """No call comes after a time of the day, or after its window, and none is in doubt then."""
    write_csv(command.home / "runs.csv", PAIRS)
    times = Times()
    with sandbox(world(), Faults(latency_s=0.2), on_call=times) as api:
        border = time.time() + 5
        given = ["--yes", "--base-url", api.url, "--rate", "20/s", *words]
        done = command.run("run", "runs.csv", *given, **clock_at(hour, 5))
        assert done.returncode == 3, done.stderr
        assert all(at < border for at in times.all)
        assert command.summary()["counts"]["in_doubt"] == 0
        assert of(command, "job.stopping")[0]["reason"] == "schedule"
        again = command.run("resume", "runs", "--base-url", api.url)
        assert again.returncode == 0, again.stderr
    assert api.left == set()
    check_laws(command, api, PAIRS)


def test_a_job_waits_for_its_window(command: Command, sandbox: Running) -> None:
    """Nothing is sent before the window opens; then the job goes on and ends by itself."""
    write_csv(command.home / "runs.csv", PAIRS)
    times = Times()
    with sandbox(world(), on_call=times) as api:
        opens = time.time() + 4
        given = ["--yes", "--base-url", api.url, "--window", "22:00-06:00"]
        done = command.run("run", "runs.csv", *given, **clock_at(22, 5))
    assert done.returncode == 0, done.stderr
    assert api.left == set()
    assert all(at > opens for at in times.all)
    pauses, ends = of(command, "job.paused"), of(command, "job.continued")
    assert len(pauses) == len(ends)
    for pause in pauses:  # none, where the machine was so slow that the window was open by then
        assert pause["detail"].startswith("outside the window 22:00-06:00, until 20")
    assert of(command, "job.started")[0]["limits"]["windows"] == "22:00-06:00"
    check_laws(command, api, PAIRS)


def test_a_job_that_waits_can_be_watched_and_steered(command: Command, sandbox: Running) -> None:
    """`status` tells until when it is held and why; a pause comes on top, and a signal ends it."""
    write_csv(command.home / "runs.csv", PAIRS)
    window = f"{from_now(2)}-{from_now(3)} UTC"
    with sandbox(world()) as api:
        environ = {"BULK_DELETE_SCHEDULE_WINDOWS": window}
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url, **environ)
        wait_for_state(command, "held", child.pid)
        (told,) = json.loads(command.run("status", "runs", "--json").stdout)["jobs"]
        opens = datetime.fromisoformat(told["held_until"])
        assert timedelta(hours=1) < opens - datetime.now(UTC) <= timedelta(hours=2)
        assert told["held_by"].startswith(f"outside the window {window}, until ")
        assert f"held until {told['held_until']}" in command.run("status", "runs").stdout
        assert command.run("pause", "runs").returncode == 0
        wait_for_state(command, "paused", child.pid)
        assert command.run("continue", "runs").returncode == 0
        wait_for_state(command, "held", child.pid)
        child.send_signal(signal.SIGTERM)
        code, _, err = finish(child)
    assert code == 143, err
    assert api.calls == []
    reasons = [line["reason"] for line in of(command, "job.paused", "job.continued")]
    assert reasons == ["schedule", "asked", "asked"]


def test_a_job_in_its_window_takes_no_notice_of_it(command: Command, sandbox: Running) -> None:
    """In the midst of a window a job runs as ever."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        window = f"{from_now(-2)}-{from_now(2)} UTC"
        words = ["--yes", "--base-url", api.url, "--window", window, "--max-time", "1h"]
        done = command.run("run", "runs.csv", *words)
    assert done.returncode == 0, done.stderr
    assert api.left == set()
    assert of(command, "job.paused", "job.stopping") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--window", "22:00-22:00"], "opens when it closes; write a whole day as 00:00-24:00"),
        (["--window", "22:00-06:00 Berlin"], "did you mean Europe/Berlin?"),
        (["--until", "25:00"], "there is no time 25:00"),
        (["--until", "5:00", "--until", "6:00"], "--until is given 2 times"),
        (["--max-time", "soon"], "give a time above zero"),
        (["--outside", "sleep"], "give one of hold, end"),
        (["--timezone", "CEST!"], "there is no time zone"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(
    command: Command, sandbox: Running, words: list[str], told: str
) -> None:
    """What no clock shows is refused with the reason, and nothing is sent."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert api.calls == []
