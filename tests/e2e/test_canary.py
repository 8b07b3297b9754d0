"""A few batches that go first, through the real command."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import check_laws, finish
from tests.e2e.test_steering import of, wait_for_another_look, wait_for_state

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=60, runs=900, seed=5).pairs()
SIZES = Counter(pair.result_id for pair in PAIRS)
SMALLEST = sorted(SIZES, key=lambda result: (SIZES[result], result))


def world() -> World:
    return World.of(PAIRS)


class Stubborn(World):
    """Says that it deletes, and keeps what it has."""

    def delete(self, result_id: int, run_ids: Iterable[int]) -> list[int]:
        return sorted(self.live[result_id].intersection(run_ids))


def before_and_after(command: Command) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines up to the end of the canary, and those after it."""
    lines = command.journal()
    (at,) = [at for at, line in enumerate(lines) if line["event"] == "canary.finished"]
    return lines[: at + 1], lines[at + 1 :]


def test_small_batches_go_first_and_are_read_back(command: Command, sandbox: Running) -> None:
    """Nothing else leaves before they are proven absent; then the rest goes by itself."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.01)) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--canary", 6)
        assert done.returncode == 0, done.stderr
        assert {call.result_id for call in api.calls[:6]} == set(SMALLEST[:6])
    assert api.left == set()
    runs = sum(SIZES[result] for result in SMALLEST[:6])
    first, rest = before_and_after(command)
    events = Counter(line["event"] for line in first)
    assert (events["batch.sent"], events["batch.deleted"]) == (6, 6)
    assert events["api.read"] >= 6
    (began,) = of(command, "canary.started")
    assert (began["batches"], began["results"], began["runs"]) == (6, 6, runs)
    assert of(command, "job.started")[0]["limits"]["canary"] == 6
    assert (first[-1]["outcome"], first[-1]["counts"]) == ("passed", {"deleted": runs})
    assert Counter(line["event"] for line in rest)["batch.sent"] == len(api.calls) - 6
    check_laws(command, api, PAIRS)


def test_a_retry_is_no_surprise(command: Command, sandbox: Running) -> None:
    """Calls that fail before or after their effect, and go well in the end, let the rest leave."""
    write_csv(command.home / "runs.csv", PAIRS)
    faults = Faults(error_before=0.3, error_after=0.3, reset_after=0.1)
    with sandbox(world(), faults) as api:
        words = ["--yes", "--base-url", api.url, "--canary", "12", "--attempts", "30"]
        done = command.run("run", "runs.csv", *words)
        assert done.returncode == 0, done.stderr
    assert api.left == set()
    first, _ = before_and_after(command)
    assert first[-1]["outcome"] == "passed"
    assert any(line["event"] == "batch.retry" for line in first)
    check_laws(command, api, PAIRS)


def test_a_run_that_is_refused_is_a_surprise(command: Command, sandbox: Running) -> None:
    """Where a batch of the canary fails the job ends with 5, and nothing else was sent."""
    deleted = SIZES[SMALLEST[0]] + SIZES[SMALLEST[1]]
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(1, 1)])
    with sandbox(world()) as api:
        words = ["--yes", "--base-url", api.url, "--canary", "3"]
        done = command.run("run", "runs.csv", *words)
        assert done.returncode == 5, done.stderr
        assert f"the canary met with a surprise, of {deleted + 1} runs: 1 failed" in done.stdout
        assert len(api.left) == len(PAIRS) - deleted
        (end,) = of(command, "canary.finished")
        assert (end["outcome"], end["counts"]) == ("surprise", {"deleted": deleted, "failed": 1})
        assert command.summary()["next"].endswith("--canary 3")
        again = command.run("resume", "runs", "--skip-failed", "--base-url", api.url)
        assert again.returncode == 1, again.stderr
    assert api.left == set()


def test_a_run_that_was_not_there_is_a_surprise(command: Command, sandbox: Running) -> None:
    """A run that was gone before any call tells that the input is not what it should be."""
    gone = Pair(SMALLEST[0], 999_999_999)
    write_csv(command.home / "runs.csv", [*PAIRS, gone])
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--canary", 60)
        assert done.returncode == 5, done.stderr
    (end,) = of(command, "canary.finished")
    assert end["counts"]["gone"] == 1


def test_a_run_that_is_still_there_is_a_surprise(command: Command, sandbox: Running) -> None:
    """A deletion that is not true ends the job with 5; what is there counts as unsent again."""
    write_csv(command.home / "runs.csv", PAIRS)
    stubborn = Stubborn(**{name: getattr(world(), name) for name in ("live", "deleted", "owner")})
    runs = sum(SIZES[result] for result in SMALLEST[:4])
    with sandbox(stubborn) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--canary", 4)
        assert done.returncode == 5, done.stderr
        assert f"{runs:,} still there" in done.stdout
        assert len(api.calls) == 4
    (end,) = of(command, "canary.finished")
    assert end["counts"] == {"deleted": runs, "still there": runs}
    counts = command.summary()["counts"]
    assert (counts["deleted"], counts["unsent"]) == (0, len(PAIRS))
    assert command.run("audit", "runs").returncode == 0


def test_a_canary_that_cannot_be_read_back_is_a_surprise(
    command: Command, sandbox: Running
) -> None:
    """Where the API forbids reading nothing is proven, and the rest stays."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(read_back="forbidden")) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--canary", 4)
    assert done.returncode == 5, done.stderr
    assert " unseen" in done.stdout
    assert len(api.calls) == 4


def test_a_canary_may_wait_for_somebody(command: Command, sandbox: Running) -> None:
    """With --canary-wait the rest leaves only after `continue`, also where the job was killed."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        words = ["--yes", "--base-url", api.url, "--canary", "4", "--canary-wait"]
        child = command.start("run", "runs.csv", *words)
        wait_for_state(command, "paused", child.pid)
        wait_for_another_look(command)
        assert len(api.calls) == 4
        (told,) = json.loads(command.run("status", "runs", "--json").stdout)["jobs"]
        assert told["paused"]["by"] == "the canary"
        assert "bulk-delete continue runs" in told["paused"]["reason"]
        child.kill()
        finish(child)
        child = command.start("resume", "runs", "--base-url", api.url)
        wait_for_state(command, "paused", child.pid)
        assert len(api.calls) == 4
        assert command.run("continue", "runs", "--reason", "looks good").returncode == 0
        code, _, err = finish(child)
    assert code == 0, err
    assert api.left == set()
    pause = of(command, "job.paused")[0]
    assert (pause["reason"], pause["by"]) == ("asked", "the canary")
    check_laws(command, api, PAIRS)


def test_a_plan_smaller_than_its_canary(command: Command, sandbox: Running) -> None:
    """Where all goes with the canary, all is read back, and the job is done."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        words = ["--yes", "--base-url", api.url, "--canary", "500"]
        assert command.run("run", "runs.csv", *words).returncode == 0
        assert api.left == set()
        assert command.run("run", "runs.csv", *words).returncode == 0
    assert len(of(command, "canary.started")) == 1
    check_laws(command, api, PAIRS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--canary-wait"], "give --canary N, too"),
        (["--canary", "0"], "give a whole number from 1 up"),
        (["--canary", "1001"], "give at most 1000 batches"),
    ],
)
def test_a_canary_that_cannot_be_meant_is_refused(
    command: Command, words: list[str], told: str
) -> None:
    """What makes no sense is refused before anything is read."""
    write_csv(command.home / "runs.csv", PAIRS)
    done = command.run("run", "runs.csv", "--yes", *words)
    assert done.returncode == 2
    assert told in done.stderr
