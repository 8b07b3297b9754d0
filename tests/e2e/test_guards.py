"""Guards for jobs that nobody watches, through the real command against the real sandbox."""

import gzip
import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bulk_delete.sandbox import World
from tests.conftest import KEY, Command, Sandbox, write_csv

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=30, runs=900, seed=5).pairs()
HEADER = "result_id,run_id\n"


def world() -> World:
    return World.of(PAIRS)


class Nights:
    """A job that is given some new runs each night."""

    def __init__(self, command: Command, url: str) -> None:
        self._command = command
        self._words = ("--name", "night", "--base-url", url)
        self._used = 0

    def run(self, runs: int, *words: str, verb: str = "run") -> tuple[int, str]:
        new = PAIRS[self._used : self._used + runs]
        write_csv(self._command.home / "runs.csv", new)
        yes = ["--yes"] if verb == "run" else []
        done = self._command.run(verb, "runs.csv", *self._words, *yes, *words)
        if verb == "run" and done.returncode == 0:
            self._used += runs
        return done.returncode, done.stderr


def test_a_plan_much_larger_than_usual(command: Command, sandbox: Running) -> None:
    """From the third night on, more than N times the usual number of runs is refused."""
    with sandbox(world()) as api:
        nights = Nights(command, api.url)
        growth = ("--max-growth", "2.5")
        assert [nights.run(runs, *growth)[0] for runs in (1, 30, 12)] == [0, 0, 0]
        calls = len(api.calls)
        code, told = nights.run(31, *growth)
        assert code == 4
        assert "the plan has 31 runs, more than 2.5 times the 12 that this job usually has" in told
        assert "--max-growth" in told
        assert nights.run(31, *growth, verb="plan")[0] == 4
        assert len(api.calls) == calls
        assert nights.run(30, *growth)[0] == 0
        assert nights.run(53, *growth)[0] == 4  # usual is now (12 + 30) / 2
        assert nights.run(53, "--max-growth", "3")[0] == 0
        assert nights.run(60)[0] == 0


def test_usual_are_the_last_ten_that_had_anything_to_do(command: Command, sandbox: Running) -> None:
    """Nights with nothing to do, and those before the last ten, do not count."""
    with sandbox(world()) as api:
        nights = Nights(command, api.url)
        for runs in (50, 50, 50, 50, 50, 0, 0, 0):
            assert nights.run(runs)[0] == 0
        for runs in (2, 2, 2, 2, 2):
            assert nights.run(runs, "--max-growth", "1")[0] == 0
        code, told = nights.run(27, "--max-growth", "1")
        assert code == 4
        assert "the 26 that" in told
        assert nights.run(26, "--max-growth", "1")[0] == 0
        assert "the 14 that" in nights.run(20, "--max-growth", "1")[1]


def test_a_rest_is_held_to_the_guard_as_well(command: Command, sandbox: Running) -> None:
    """`resume` heeds the setting as `run` does, and the command that `plan` prints repeats it."""
    with sandbox(world(), key=KEY) as api:
        nights = Nights(command, api.url)
        for runs in (1, 1, 1):
            assert nights.run(runs)[0] == 0
        write_csv(command.home / "runs.csv", PAIRS[100:140])
        words = ("runs.csv", "--name", "night", "--base-url", api.url)
        plan = command.run("plan", *words, "--max-growth", "50.5", "--json")
        assert json.loads(plan.stdout)["command"].endswith(" --max-growth 50.5")
        settings = {"BULK_DELETE_GUARDS_MAX_GROWTH": "2"}
        assert command.run("run", *words, "--yes", **settings).returncode == 4
        stopped = command.run("run", *words, "--yes", CEKURA_API_KEY="wrong")
        assert stopped.returncode == 6
        resume = ("resume", "night", "--base-url", api.url)
        assert command.run(*resume, **settings).returncode == 4
        assert command.run(*resume, "--max-growth", "40", **settings).returncode == 0


@pytest.mark.parametrize("value", ["0.5", "many", "", "-1"])
def test_a_growth_of_the_wrong_form(command: Command, value: str) -> None:
    """What is no number from 1 up is refused as usage."""
    write_csv(command.home / "runs.csv", PAIRS[:1])
    done = command.run("plan", "runs.csv", "--max-growth", value)
    assert done.returncode == 2
    assert "--max-growth" in done.stderr


# What an input must have


EMPTY = {
    "missing.csv": None,
    "empty.csv": b"",
    "blank.csv": b"\xef\xbb\xbf \n\n",
    "header.csv": HEADER.encode(),
    "empty.jsonl": b"",
    "header.csv.gz": gzip.compress(HEADER.encode()),
    "nothing.csv.gz": gzip.compress(b""),
}
CODES = {
    "file": {"header.csv": 0, "empty.jsonl": 0, "header.csv.gz": 0},
    "rows": {},
    "nothing": dict.fromkeys(EMPTY, 0),
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("require", CODES)
def test_what_an_input_must_have(command: Command, name: str, require: str) -> None:
    """Missing, empty and without rows: refused, or a quiet success with nothing sent, as chosen."""
    data = EMPTY[name]
    if data is not None:
        (command.home / name).write_bytes(data)
    done = command.run("run", name, "--yes", "--quiet", "--require", require, "--name", "night")
    code = CODES[require].get(name, 2)
    assert done.returncode == code, done.stderr
    assert (done.stdout, done.stderr == "") == ("", code == 0)
    if code == 0:
        assert command.summary("night")["reason"] == "nothing to do"
    elif data is None:
        assert f"{name}: cannot be opened: No such file" in done.stderr
    else:
        assert f"{name}: " in done.stderr
        assert command.run("plan", name, "--require", require).returncode == 2


def test_each_input_must_have_rows(command: Command) -> None:
    """With `rows`, one input without a row is refused, whatever the others have."""
    write_csv(command.home / "full.csv", PAIRS)
    write_csv(command.home / "none.csv", [])
    done = command.run("plan", "full.csv", "none.csv", "--require", "rows")
    assert done.returncode == 2
    assert "none.csv: has no rows" in done.stderr
    (command.home / "none.csv").write_text(HEADER + "x,y\n")
    bad = command.run("plan", "full.csv", "none.csv", "--require", "rows", "--on-bad-row", "skip")
    assert bad.returncode == 0, bad.stderr


def test_an_input_that_may_be_missing(command: Command, sandbox: Running) -> None:
    """With `nothing`, what is there is sent; damage and unreadable places are errors as ever."""
    write_csv(command.home / "a.csv", PAIRS[:10])
    (command.home / "loop.csv").symlink_to("loop.csv")
    (command.home / "torn.csv.gz").write_bytes(b"")
    words = ("--require", "nothing", "--yes", "--name", "night")
    with sandbox(world()) as api:
        for broken in ("loop.csv", "torn.csv.gz"):
            done = command.run("run", "a.csv", broken, *words, "--base-url", api.url)
            assert done.returncode == 2
            assert broken in done.stderr
        done = command.run("run", "a.csv", "b.csv", *words, "--base-url", api.url)
    assert done.returncode == 0, done.stderr
    assert sorted(api.seen) == PAIRS[:10]
    nothing = command.run("plan", "b.csv", "--require", "nothing")
    assert nothing.returncode == 0
    assert "  input           none\n" in nothing.stdout


def test_standard_input_may_be_empty(command: Command) -> None:
    """Nothing on standard input is a quiet success where nothing is required."""
    words = ("run", "-", "--yes", "--name", "night", "--quiet")
    assert command.run(*words, stdin="").returncode == 2
    done = command.run(*words, "--require", "nothing", stdin="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Who approved


def fingerprint(command: Command) -> str:
    plan = command.run("plan", "runs.csv", "--json")
    return str(json.loads(plan.stdout)["fingerprint"])


def test_who_approved_is_in_the_journal(command: Command, sandbox: Running) -> None:
    """--approved-by with --expect is recorded in `job.started`; it does not stand for --yes."""
    write_csv(command.home / "runs.csv", PAIRS[:10])
    words = ["runs.csv", "--expect", fingerprint(command), "--approved-by", "Ada L. <ada@x>"]
    with sandbox(world()) as api:
        unsure = command.run("run", *words, "--base-url", api.url)
        assert (unsure.returncode, api.calls) == (4, [])
        done = command.run("run", *words, "--yes", "--base-url", api.url)
        again = command.run("run", *words, "--yes", "--base-url", api.url)
    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    by = [line["approved_by"] for line in command.journal() if line["event"] == "job.started"]
    assert by == ["Ada L. <ada@x>", "nothing to approve"]


@pytest.mark.parametrize("name", ["", " ", " ada", "--yes", "a\nb", "a\x1b[0mb", "x" * 300])
def test_an_approval_by_nobody(command: Command, name: str) -> None:
    """A name that is empty, a flag or not printable is refused before anything is read."""
    done = command.run("run", "runs.csv", "--expect", "0" * 64, "--approved-by", name, "--yes")
    assert done.returncode == 2
    assert "names nobody" in done.stderr


def test_an_approval_of_nothing(command: Command) -> None:
    """An approval without the fingerprint of what was approved is refused."""
    write_csv(command.home / "runs.csv", PAIRS[:1])
    done = command.run("run", "runs.csv", "--approved-by", "ada", "--yes")
    assert done.returncode == 2
    assert "--expect" in done.stderr
    assert not command.folder().joinpath("journal.jsonl").exists()
