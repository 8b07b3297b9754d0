"""What is protected is never sent: named at the start or in mid-job, or not known any more."""

import json
import select
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bulk_delete.columns import joined
from bulk_delete.model import Pair, State
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import Command, Sandbox, write_csv, write_jsonl
from tests.made_plans import reference_fingerprint
from tests.replays import replay

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=20, runs=400, seed=13).pairs()
LARGE = max({pair.result_id for pair in PAIRS}, key=[pair.result_id for pair in PAIRS].count)
OTHERS = [pair for pair in PAIRS if pair.result_id != LARGE]
SOME = OTHERS[::3]
"""Runs of results that are not protected as a whole."""

ONE_BY_ONE = ("--concurrency", "1")


def world() -> World:
    return World.of(PAIRS)


def results_csv(path: Path, result_ids: list[int]) -> Path:
    path.write_text("".join(f"{word}\n" for word in ["result_id", *result_ids]))
    return path


def mixed_jsonl(path: Path) -> None:
    write_jsonl(path, SOME[5:])
    grouped = [{"result_id": result, "run_ids": [run]} for result, run in SOME[:5]]
    rows = [{"result_id": LARGE, "why": "kept for the audit"}, *grouped]
    with path.open("a") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)


LISTS: dict[str, tuple[Callable[[Path], object], set[Pair]]] = {
    "results.csv": (lambda path: results_csv(path, [LARGE, 5]), set(PAIRS) - set(OTHERS)),
    "pairs.csv": (lambda path: write_csv(path, [*SOME, Pair(5, 5)]), set(SOME)),
    "mixed.jsonl": (mixed_jsonl, {*SOME, *PAIRS} - (set(OTHERS) - set(SOME))),
}


@pytest.mark.parametrize("name", LISTS)
def test_protected_runs_are_taken_out_and_counted(
    command: Command, sandbox: Running, name: str
) -> None:
    """Results, runs, or both: they stay, the plan is of the others, and the books balance."""
    write, protected = LISTS[name]
    write(command.home / name)
    left = set(PAIRS) - protected
    write_csv(command.home / "runs.csv", [*PAIRS, *PAIRS[:9]])
    with sandbox(world()) as api:
        line = ("runs.csv", "--protect", name, "--base-url", api.url)
        plan = json.loads(command.run("plan", *line, "--json").stdout)
        assert plan["fingerprint"] == reference_fingerprint(left)
        assert f" --protect {name}" in plan["command"]
        done = command.run("run", *line, "--expect", plan["fingerprint"], "--yes")
    assert done.returncode == 0, done.stderr
    assert api.left == protected
    assert sorted(api.seen) == sorted(left)
    assert f"protected {len(protected)} runs to delete {len(left)} " in " ".join(
        done.stderr.split()
    )
    assert f"protected {len(protected)} planned {len(left)} " in " ".join(done.stdout.split())
    counts = command.summary()["counts"]
    assert counts["rows"] == counts["duplicates"] + counts["protected"] + counts["planned"] == 409
    assert counts["protected"] == len(protected)
    assert counts["planned"] == counts["deleted"] == len(left)
    assert counts["already_done"] == counts["withheld"] == 0


def test_an_input_with_protected_runs_may_be_refused(command: Command, sandbox: Running) -> None:
    """With --protect-action refuse `plan` and `run` of them end with 4; others are sent."""
    write_csv(command.home / "runs.csv", PAIRS)
    write_csv(command.home / "keep.csv", [*SOME, Pair(5, 5)])
    flags = ("--protect", "keep.csv", "--protect-action", "refuse", "--base-url")
    with sandbox(world()) as api:
        refused = [
            command.run("plan", "runs.csv", *flags, api.url),
            command.run("run", "runs.csv", "--yes", *flags, api.url),
        ]
        assert [done.returncode for done in refused] == [4, 4]
        assert f"{len(SOME)} of the runs are protected by keep.csv" in refused[0].stderr
        assert refused[0].stderr == refused[1].stderr
        assert api.calls == []
        assert not (command.folder() / "journal.jsonl").exists()
        write_csv(command.home / "runs.csv", sorted(set(PAIRS) - set(SOME)))
        done = command.run("run", "runs.csv", "--yes", *flags, api.url)
    assert done.returncode == 0, done.stderr
    assert api.left == set(SOME)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, ["cannot be opened"]),
        ("result_id,run_id\n1,2\n1,\n", ["1 row is bad", "line 3: run id is empty", "mend"]),
        ("result_id\n1041\nall\n", ["1 row is bad", "line 3: result id 'all'"]),
        ("run_id\n1\n", ["line 1: the header has no column 'result_id'"]),
        ("", ["is empty"]),
    ],
    ids=["missing", "no run", "no id", "other column", "empty"],
)
def test_a_list_that_cannot_be_taken_is_refused(
    command: Command, sandbox: Running, content: str | None, told: list[str]
) -> None:
    """When it is not known what is protected the command ends with 2, whatever bad rows may do."""
    write_csv(command.home / "runs.csv", PAIRS)
    if content is not None:
        (command.home / "keep.csv").write_text(content)
    with sandbox(world()) as api:
        line = ("runs.csv", "--protect", "keep.csv", "--on-bad-row", "skip", "--base-url", api.url)
        done = command.run("run", *line, "--yes")
    assert done.returncode == 2
    assert done.stderr.startswith("bulk-delete: --protect keep.csv")
    for words in told:
        assert words in done.stderr
    assert api.calls == []
    assert not (command.folder() / "journal.jsonl").exists()


@pytest.mark.parametrize("target", ["-", "", "folder"])
def test_protect_wants_a_file(command: Command, target: str) -> None:
    """Standard input, nothing and a folder cannot be looked at again: they end with 2."""
    write_csv(command.home / "runs.csv", PAIRS)
    (command.home / "folder").mkdir()
    done = command.run("plan", "runs.csv", "--protect", target, stdin="result_id\n1\n")
    assert done.returncode == 2
    assert "--protect" in done.stderr


def test_protection_by_configuration(command: Command, sandbox: Running) -> None:
    """The setting protects as the flag does, from the file and from the environment."""
    write_csv(command.home / "runs.csv", PAIRS)
    write_csv(command.home / "keep.csv", SOME)
    (command.home / "config.toml").write_text(
        '[guards]\nprotect = "keep.csv"\nprotect_action = "refuse"\n'
    )
    with sandbox(world()) as api:
        line = ("run", "runs.csv", "--yes", "--base-url", api.url, "--config", "config.toml")
        refused = command.run(*line)
        assert (refused.returncode, api.calls) == (4, [])
        done = command.run(*line, BULK_DELETE_GUARDS_PROTECT_ACTION="remove")
    assert done.returncode == 0, done.stderr
    assert api.left == set(SOME)
    assert command.summary()["counts"]["protected"] == len(SOME)


def test_what_becomes_protected_is_withheld(command: Command, sandbox: Running) -> None:
    """A list that is replaced in mid-job holds for every later call, down to the single run."""
    write_csv(command.home / "runs.csv", PAIRS)
    keep = results_csv(command.home / "keep", [5])
    later = sorted({pair.result_id for pair in OTHERS})[-3:]
    whole = [pair for pair in PAIRS if pair.result_id in later[1:]]
    part = [pair for pair in PAIRS if pair.result_id == later[0]][:1]
    held = {*whole, *part}

    new = command.home / "new.jsonl"
    rows = [{"result_id": result} for result in later[1:]]
    rows += [{"result_id": result, "run_id": run} for result, run in part]
    new.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def replace(_: Call) -> None:
        if new.exists():
            new.replace(keep)

    with sandbox(world(), on_call=replace) as api:
        line = ("--protect", keep, "--base-url", api.url)
        done = command.run("run", "runs.csv", "--yes", *ONE_BY_ONE, *line)
        assert done.returncode == 1, done.stderr
        assert api.left == held
        assert "protect.renewed" in done.stderr
        for event, pairs in (("batch.withheld", held), ("batch.sent", set(PAIRS) - held)):
            lines = [line for line in command.journal() if line["event"] == event]
            named = [Pair(line["result_id"], run) for line in lines for run in line["run_ids"]]
            assert sorted(named) == sorted(pairs)
        summary = command.summary()
        assert summary["counts"]["withheld"] == len(held)
        assert summary["counts"]["deleted"] == len(PAIRS) - len(held)
        assert f"{len(held)} withheld" in summary["reason"]
        assert f"Next: look at {keep}" in done.stdout
        again = command.run("resume", "runs", *line)
        assert again.returncode == 0, again.stdout + again.stderr
        counts = command.summary()["counts"]
        assert (counts["protected"], counts["planned"]) == (len(held), 0)
        assert api.left == held
        keep.write_text("result_id\n5\n")
        assert command.run("resume", "runs", *line).returncode == 0
    assert api.left == set()
    assert sorted(api.seen) == PAIRS


def test_a_retry_is_held_back_too(command: Command, sandbox: Running) -> None:
    """Runs that get protected between two attempts stay; those in doubt are unknown."""
    pairs = [pair for pair in PAIRS if pair.result_id == LARGE][:10]
    write_csv(command.home / "runs.csv", pairs)
    keep = results_csv(command.home / "keep.csv", [5])

    def protect(_: Call) -> None:
        write_csv(command.home / "new.csv", pairs[:4]).rename(keep)

    with sandbox(World.of(pairs), Faults(error_before=1.0), on_call=protect) as api:
        words = ("--attempts", "2", "--settle", "resend", "--protect", keep)
        done = command.run("run", "runs.csv", "--yes", *words, "--base-url", api.url)
    assert done.returncode == 1, done.stdout
    assert [len(call.run_ids) for call in api.calls][:2] == [10, 6]
    assert command.summary()["counts"]["unknown"] == 10
    listed = (command.folder() / "unknown.csv").read_text().splitlines()[1:]
    assert [row.split(",")[3] for row in listed] == ["protected"] * 4 + ["server error"] * 6


def test_protection_does_not_settle_a_doubt(command: Command, sandbox: Running) -> None:
    """Runs that may be deleted already are not sent once protected, and end as unknown, code 1."""
    write_csv(command.home / "runs.csv", PAIRS)
    keep = results_csv(command.home / "keep.csv", [5])
    line = ("--protect", keep, "--settle", "resend", "--base-url")
    with sandbox(world(), Faults(latency_s=0.3)) as api:
        child = command.start("run", "runs.csv", "--yes", *line, api.url)
        poller = select.poll()
        while len(api.calls) < 4:
            poller.poll(5)
        child.kill()
        child.communicate()
        states = replay(command.folder() / "journal.jsonl").states
        doubted = joined(list(states.pairs_in(frozenset({State.IN_DOUBT})))).pairs()
        results_csv(keep, sorted({pair.result_id for pair in doubted}))
        seen = len(api.seen)
        done = [command.run("resume", "runs", *line, api.url) for _ in range(2)]
    assert [one.returncode for one in done] == [1, 1], done[0].stdout
    assert sorted(api.seen[seen:]) == sorted(set(PAIRS) - set(doubted))
    assert command.summary()["counts"]["unknown"] == len(doubted) > 0
    rows = (command.folder() / "unknown.csv").read_text().splitlines()[1:]
    assert {row.split(",")[3] for row in rows} == {"protected"}


@pytest.mark.parametrize("how", ["removed", "spoilt"])
def test_an_unreadable_list_stops_the_job(command: Command, sandbox: Running, how: str) -> None:
    """When it is no longer known what is protected the job ends with 5, and resume goes on."""
    write_csv(command.home / "runs.csv", PAIRS)
    keep = results_csv(command.home / "keep these.csv", [LARGE])
    text = keep.read_text()

    spoilt = "" if how == "removed" else f"{text}all\n"

    def spoil(_: Call) -> None:
        if not api.calls:
            keep.unlink()
            if spoilt:
                keep.write_text(spoilt)

    with sandbox(world(), on_call=spoil) as api:
        line = ("--protect", keep.name, "--base-url", api.url)
        done = command.run("run", "runs.csv", "--yes", *ONE_BY_ONE, *line)
        assert done.returncode == 5, done.stdout
        assert len(api.calls) == 1
        summary = command.summary()
        assert "--protect keep these.csv" in summary["reason"]
        assert "nothing is sent while it is not known what is protected" in summary["reason"]
        counts = summary["counts"]
        assert counts["deleted"] + counts["unsent"] == counts["planned"] == len(OTHERS)
        assert counts["in_doubt"] == 0
        again = shlex.split(summary["next"])
        assert again[:3] == ["bulk-delete", "resume", "runs"]
        assert again[again.index("--protect") + 1] == keep.name
        assert command.run(*again[1:]).returncode == 2
        assert len(api.calls) == 1
        keep.write_text(text)
        done = command.run(*again[1:])
    assert done.returncode == 0, done.stderr
    assert api.left == set(PAIRS) - set(OTHERS)


def test_a_plan_is_never_saved_over_what_it_must_not_touch(command: Command) -> None:
    """Not over the list of what is protected, by whatever name, and not into a job's folder: 2."""
    write_csv(command.home / "runs.csv", PAIRS)
    write_jsonl(command.home / "keep.jsonl", SOME)
    (command.home / "link.jsonl").hardlink_to(command.home / "keep.jsonl")
    (command.home / "job").mkdir()
    (command.home / "job" / "journal.jsonl").write_text("the record\n")
    before = (command.home / "keep.jsonl").read_bytes()
    for target in ("keep.jsonl", "link.jsonl", "job/journal.jsonl", "job/other.jsonl"):
        done = command.run("plan", "runs.csv", "--protect", "keep.jsonl", "--save", target)
        assert done.returncode == 2, target
        assert done.stderr.startswith(f"bulk-delete: --save {target}: ")
    assert (command.home / "keep.jsonl").read_bytes() == before
    assert [path.name for path in (command.home / "job").iterdir()] == ["journal.jsonl"]


def test_a_second_list_is_not_dropped(command: Command) -> None:
    """A flag that is given twice is refused: the last would win, and the first protect nothing."""
    write_csv(command.home / "runs.csv", PAIRS)
    results_csv(command.home / "keep.csv", [LARGE])
    done = command.run("plan", "runs.csv", "--protect", "keep.csv", "--protect", "keep.csv")
    assert done.returncode == 2
    assert done.stderr == "bulk-delete: --protect is given 2 times; give it once\n"


def test_bad_rows_are_told_where_they_cannot_be_listed(command: Command) -> None:
    """Where the state folder cannot be made, `plan` tells of bad rows all the same."""
    (command.home / "runs.csv").write_text("result_id,run_id\n1,x\n")
    done = command.run("plan", "runs.csv", "--state-dir", "/proc/nowhere")
    assert done.returncode == 2
    assert "runs.csv, line 2: run id 'x' is not a whole decimal number" in done.stderr
