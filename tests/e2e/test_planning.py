"""From inputs to an approved plan, through the real command: forms, damage, bad rows, disks."""

import csv
import gzip
import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bulk_delete.model import MAX_ID, Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import NO_BYTECODE, Command, Sandbox, write_csv, write_jsonl
from tests.made_plans import reference_figures, reference_fingerprint

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=40, runs=800, seed=11).pairs()
ROWS = 600_000
"""More than are held in memory at once."""


def world() -> World:
    return World.of(PAIRS)


def as_csv(pairs: list[Pair], delimiter: str = ",", end: str = "\n") -> str:
    return "".join(
        f"{first}{delimiter}{second}{end}" for first, second in [("result_id", "run_id"), *pairs]
    )


def planned(command: Command, *words: object, stdin: str | None = None) -> dict[str, Any]:
    """Plan, and take what is printed as JSON."""
    done = command.run("plan", *words, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def limited(command: Command, kilobytes: int, *words: object, **environ: str) -> tuple[int, str]:
    """Run where no file can grow beyond a size; return the exit code and what stderr says."""
    done = subprocess.run(
        command.line(*words),
        env={**command.environ, **NO_BYTECODE, **environ},
        cwd=command.home,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10,) * 2),
        timeout=50,
        check=False,
    )
    return done.returncode, done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, but for what tells of a start alone."""
    told = {"lock", "refused.json"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in told}


# Forms


def test_every_form_in_one_call_is_one_plan(command: Command) -> None:
    """Inputs of every form, overlapping, with standard input among them, are one set of pairs."""
    parts = [PAIRS[at : at + 110] for at in range(0, len(PAIRS), 100)]
    for part in parts:
        random.Random(len(part)).shuffle(part)
    quoted = "".join(f'"a;""b\nc";"{run}"; {result}\n' for result, run in parts[0])
    grouped = "".join(
        f'{{"run_ids": [{run}], "result_id": {result}}}\n' for result, run in parts[4]
    )
    files = {
        "semicolons.csv": f"note;run_id;result_id\n{quoted}".encode(),
        "excel.csv": b"\xef\xbb\xbf" + as_csv(parts[1], end="\r\n").encode(),
        "tabs.tsv": as_csv(parts[2], "\t").encode().rstrip(),
        "grouped.ndjson": grouped.encode(),
        "packed.csv.gz": gzip.compress(as_csv(parts[5]).encode()),
        "packed.jsonl.zst": zstd.compress(write_jsonl(command.home / "x", parts[6]).read_bytes()),
    }
    for name, data in files.items():
        (command.home / name).write_bytes(data)
    write_jsonl(command.home / "rows.jsonl", parts[3])
    names = (*files, "rows.jsonl", "-")
    plan = planned(command, *names, stdin=as_csv(parts[7], "|"))
    assert plan["fingerprint"] == reference_fingerprint(PAIRS)
    assert [file["path"] for file in plan["inputs"]] == list(names)
    assert plan["counts"] | {"results": 0, "batches": 0} == {
        "rows": 870,
        "rejected": 0,
        "duplicates": 70,
        "protected": 0,
        "already_done": 0,
        "skipped": 0,
        "planned": 800,
        "results": 0,
        "batches": 0,
    }
    assert (
        planned(command, write_csv(command.home / "all.csv", PAIRS))["fingerprint"]
        == (plan["fingerprint"])
    )


@pytest.mark.parametrize(("name", "form"), [("rows.csv.gz", "jsonl"), ("rows.jsonl", "csv")])
def test_a_name_that_misleads_is_overruled(command: Command, name: str, form: str) -> None:
    """--format reads a file as what it is, whatever its name says; without it, it is refused."""
    path = (write_jsonl if form == "jsonl" else write_csv)(command.home / name, PAIRS)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert command.run("plan", name).returncode == 2
    plan = planned(command, name, "--format", form)
    assert plan["fingerprint"] == reference_fingerprint(PAIRS)
    assert f" --format {form}" in plan["command"]


def test_the_first_character_tells_where_the_name_does_not(command: Command) -> None:
    """A file whose name tells nothing is JSON Lines if it begins with a brace, else CSV."""
    path = write_jsonl(command.home / "2026-01-31.export", PAIRS)
    path.write_text(f"\n {path.read_text()}")
    lines = planned(command, path)
    table = planned(command, write_csv(path, PAIRS))
    assert lines["fingerprint"] == table["fingerprint"] == reference_fingerprint(PAIRS)


def test_renamed_columns(command: Command, sandbox: Running) -> None:
    """Other column names hold for CSV and JSON Lines alike, and stand in the line to type."""
    text = "".join(f"{run},x,{result}\n" for result, run in PAIRS[:400])
    (command.home / "a.csv").write_text(f"run,run_id,the result\n{text}")
    lines = [{"the result": result, "run": run} for result, run in PAIRS[400:]]
    (command.home / "b.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    flags = ("--result-column", "the result", "--run-column", "run")
    with sandbox(world()) as api:
        plan = planned(command, "a.csv", "b.jsonl", *flags, "--base-url", api.url)
        assert plan["fingerprint"] == reference_fingerprint(PAIRS)
        assert "--result-column 'the result' --run-column run" in plan["command"]
        done = typed(command, plan["command"])
    assert done.returncode == 0, done.stderr
    assert api.left == set()


def typed(command: Command, line: str) -> subprocess.CompletedProcess[str]:
    """Have a shell run a printed line, and say yes."""
    path = f"{Path(sys.executable).parent}:{command.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", f"{line} --yes"],
        env={**command.environ, "PATH": path},
        cwd=command.home,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_ids_go_through_unchanged(command: Command, sandbox: Running) -> None:
    """Ids beyond what a float can hold reach the API to the last digit, from CSV and from JSON."""
    ids = (2**53 + 1, 2**60 + 7, MAX_ID - 1, MAX_ID)
    pairs = [Pair(result, run) for result in (2**53 - 1, *ids) for run in ids]
    asked = [Pair(ids[place % 4], run) for place, run in enumerate(ids)]
    write_csv(command.home / "runs.csv", asked[:2])
    write_jsonl(command.home / "runs.jsonl", asked[2:])
    with sandbox(World.of([*asked, *pairs])) as api:
        line = ("runs.csv", "runs.jsonl", "--name", "big", "--base-url", api.url)
        assert planned(command, *line)["ids"] == {
            "result_id": [ids[0], MAX_ID],
            "run_id": [ids[0], MAX_ID],
        }
        done = command.run("run", *line, "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(api.seen) == sorted(asked)
    sent = [line for line in command.journal("big") if line["event"] == "batch.sent"]
    assert sorted((line["result_id"], *line["run_ids"]) for line in sent) == sorted(asked)


# Damage

GOOD = as_csv(PAIRS).encode()

DAMAGE = {
    "excel.xlsx": (b"PK\x03\x04\x14\0\x06\0", ["Excel", "save it as CSV (UTF-8)"]),
    "table.parquet": (b"PAR1\x15\0", ["Parquet", "export it as CSV"]),
    "notepad.csv": (GOOD.decode().encode("utf-16"), ["UTF-16", "iconv -f UTF-16 -t UTF-8"]),
    "nul.csv": (GOOD + b"1,\x002\n", ["line 802: ", "NUL"]),
    "latin.csv": (GOOD + b"1,2\n1,caf\xe9\n", ["line 803: byte 6 ", "iconv"]),
    "quote.csv": (GOOD + b'1,"2\n3,4\n', ["line 802: ", "a quote that is not closed"]),
    "headless.csv": (b"1041,500112\n1041,500113\n", ["line 1: ", "'1041'", "--result-column"]),
    "doubled.csv": (
        b"\n\nrun_id,result_id,run_id\n1,2,3\n",
        ["line 3: ", "'run_id' twice", "rename"],
    ),
    "array.json": (b'[{"result_id": 1, "run_id": 2}]', ["JSON array", "jq -c '.[]'"]),
    "torn.csv.gz": (gzip.compress(GOOD)[:-9], ["line 801", "make the file anew"]),
    "torn.csv.zst": (zstd.compress(GOOD)[:-9], ["ends early", "make the file anew"]),
    "plain.csv.gz": (GOOD, ["is not packed", "may have been cut"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_refused_as_a_whole(
    command: Command, sandbox: Running, name: str
) -> None:
    """What spoils a file ends with 2, names file, place and cure, and nothing is sent or kept."""
    data, told = DAMAGE[name]
    (command.home / name).write_bytes(data)
    write_csv(command.home / "good.csv", PAIRS)
    with sandbox(world()) as api:
        line = ("good.csv", name, "--name", "job", "--on-bad-row", "skip", "--base-url", api.url)
        done = command.run("run", *line, "--yes")
    assert done.returncode == 2
    assert done.stderr.startswith(f"bulk-delete: {name}")
    assert done.stderr.count("\n") == 1
    for word in told:
        assert word in done.stderr
    assert api.calls == []
    assert contents(command.folder("job")) == {}


@pytest.mark.parametrize(("name", "told"), [("folder.csv", "is a folder"), ("gone.csv", "No such")])
def test_what_is_no_file_is_refused(
    command: Command, sandbox: Running, name: str, told: str
) -> None:
    """A folder and a missing file end with 2, by their name, and nothing is sent."""
    (command.home / "folder.csv").mkdir()
    with sandbox(world()) as api:
        done = command.run("run", name, "--yes", "--base-url", api.url)
        planning = command.run("plan", name, "--base-url", api.url)
    assert (done.returncode, planning.returncode) == (2, 2)
    assert done.stderr == planning.stderr
    assert f"bulk-delete: {name}: " in done.stderr
    assert told in done.stderr
    assert api.calls == []


def test_a_file_that_changes_while_it_is_read_is_refused(
    command: Command, sandbox: Running
) -> None:
    """A file that grows before it was read to its end ends with 2, and nothing is sent."""
    bad = "".join(f"{'x' * 150},{run}\n" for run in range(4000))
    path = command.home / "runs.csv"
    path.write_text(as_csv(PAIRS) + bad)
    # The list of bad rows is a pipe that holds less than all of them, so the reading cannot end.
    command.folder().mkdir(parents=True)
    listed = f"{command.folder()}/.rejects.csv.$$.new"
    with sandbox(world()) as api:
        line = " ".join(command.line("run", "runs.csv", "--yes", "--base-url", api.url))
        child = subprocess.Popen(
            ["/bin/sh", "-c", f"mkfifo {listed}; echo {listed}; exec {line}"],
            env=command.environ,
            cwd=command.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout
        with Path(child.stdout.readline().strip()).open("rb") as pipe:
            with path.open("a") as file:
                file.write("1,2\n")
            pipe.read()
        _, err = child.communicate(timeout=40)
    assert child.returncode == 2
    assert err.startswith("bulk-delete: runs.csv: was changed while it was read; wait until")
    assert api.calls == []
    assert contents(command.folder()) == {}


# Bad rows


def test_bad_rows_are_listed_as_they_stand(command: Command, sandbox: Running) -> None:
    """rejects.csv has file, physical line, reason and text, and no cell that a sheet would run."""
    formulas = ["=cmd|' /C calc'!A0", "@SUM(1)", "+5", "-5", "\tx"]
    rows = "".join(f"{formula},1\n" for formula in formulas)
    (command.home / "=a.csv").write_text(f'result_id,run_id\n"1",1\n\n"1","\n2"\n{rows}7,7')
    (command.home / "b.jsonl").write_text(
        '{"result_id": 1, "run_id": 3}\n'
        '{"result_id": 1, "run_ids": [4, "x", 6]}\n'
        '{"result_id": 1.5, "run_id": 1}\n'
        "not JSON\n"
    )
    pairs = [Pair(1, 1), Pair(1, 2), Pair(1, 3), Pair(7, 7)]
    with sandbox(World.of([*pairs, Pair(1, 4)])) as api:
        line = ("run", "=a.csv", "b.jsonl", "--name", "job", "--yes", "--base-url", api.url)
        failed = command.run(*line)
        assert failed.returncode == 2
        assert "8 rows are bad" in failed.stderr
        assert "=a.csv, line 7: result id '@SUM(1)' is not" in failed.stderr
        assert api.calls == []
        text = (command.folder("job") / "rejects.csv").read_text()
        done = command.run(*line, "--on-bad-row", "skip")
    assert done.returncode == 1
    assert sorted(api.seen) == pairs
    assert (command.folder("job") / "rejects.csv").read_text() == text
    table = list(csv.reader(text.splitlines(keepends=True)))
    assert table[0] == ["file", "line", "reason", "text"]
    assert [row[:2] for row in table[1:]] == [
        *(["'=a.csv", str(line)] for line in range(6, 11)),
        *(["b.jsonl", str(line)] for line in range(2, 5)),
    ]
    shown = [*(f"'{formula},1" for formula in formulas[:4]), r"\tx,1"]
    assert [row[3] for row in table[1:6]] == shown
    assert "run id 'x'" in table[6][2]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in table for cell in row)
    counts = command.summary("job")["counts"]
    assert (counts["rejected"], counts["rows"]) == (10, 14)  # the grouped row asks for three


def test_many_bad_rows_are_told_in_short(command: Command) -> None:
    """A plan names the first bad rows and the number of all of them; the list has each."""
    (command.home / "runs.csv").write_text(as_csv(PAIRS[:3]) + "x,1\n" * 5000)
    refused = command.run("plan", "runs.csv")
    assert refused.returncode == 2
    assert refused.stderr.count("runs.csv, line ") == 20
    assert "… and 4,980 more" in refused.stderr
    assert len((command.folder() / "rejects.csv").read_text().splitlines()) == 5001
    plan = planned(command, "runs.csv", "--on-bad-row", "skip")
    assert (plan["bad_rows"], len(plan["rejects"])) == (5000, 20)
    assert plan["rejects"][0] == {
        "file": "runs.csv",
        "line": 5,
        "reason": "result id 'x' is not a whole decimal number",
        "text": "x,1",
        "pairs": 1,
    }
    text = command.run("plan", "runs.csv", "--on-bad-row", "skip")
    assert text.returncode == 0
    assert "Left out:\n  runs.csv, line 5: result id 'x'" in text.stderr
    assert "… and 4,980 more" in text.stderr


# What a plan says


def test_a_saved_plan_is_canonical(command: Command) -> None:
    """--save writes sorted lines of at most 100 ids, the same bytes for the same set of pairs."""
    pairs = [Pair(result, run) for result in (9, 10, 2**60) for run in range(1, 251)]
    saved = []
    for seed in (1, 2):
        rows = [*pairs, *random.Random(seed).sample(pairs, 90)]
        random.Random(seed).shuffle(rows)
        write_csv(command.home / "rows.csv", rows)
        name = f"plan-{seed}.jsonl"
        plan = planned(command, "rows.csv", "--save", name)
        assert planned(command, name)["fingerprint"] == plan["fingerprint"]
        saved.append((command.home / name).read_text())
    assert plan["fingerprint"] == reference_fingerprint(pairs)
    assert saved[0] == saved[1]
    lines = [json.loads(line) for line in saved[0].splitlines()]
    assert [len(line["run_ids"]) for line in lines] == [100, 100, 50] * 3
    listed = [Pair(line["result_id"], run) for line in lines for run in line["run_ids"]]
    assert listed == pairs


def test_what_a_reviewer_reads(command: Command, sandbox: Running) -> None:
    """Text and JSON say where each row goes, and the line to type sends this and nothing else."""
    source, kept = command.home / "Ann's list; $(x).csv", command.home / "keep these.csv"
    kept_id = PAIRS[-1].result_id
    rest = [pair for pair in PAIRS[1::2] if pair.result_id != kept_id]
    protected = sum(pair.result_id == kept_id for pair in PAIRS)
    already = [pair for pair in PAIRS[::2] if pair.result_id != kept_id]
    kept.write_text(f"result_id\n{kept_id}\n")
    with sandbox(world()) as api:
        write_csv(source, already)
        line = (source.name, "--name", "night", "--base-url", api.url)
        command.run("run", *line, "--yes")
        source.write_text(as_csv([*PAIRS, *PAIRS[:33]]) + "x,y\n" * 7)
        before = len(api.seen)
        flags = ("--rate", "600/m", "--protect", kept, "--on-bad-row", "skip")
        plan = planned(command, *line, *flags)
        shown = command.run("plan", *line, *flags)
        assert len(api.seen) == before == len(already)
        figures = reference_figures(rest)
        assert plan["counts"] == {
            "rows": 840,
            "rejected": 7,
            "duplicates": 33,
            "protected": protected,
            "already_done": len(already),
            "skipped": 0,
            "planned": len(rest),
            "results": figures.results,
            "batches": figures.calls,
        }
        assert plan["seconds"] == pytest.approx(figures.calls / 10)
        assert figures.result_ids
        assert figures.run_ids
        assert len(plan["biggest"]) == 10
        assert [tuple(big.values()) for big in plan["biggest"]] == [
            (big.result_id, big.runs, big.calls) for big in figures.biggest
        ]
        assert plan["ids"] == {
            "result_id": list(figures.result_ids),
            "run_id": list(figures.run_ids),
        }
        for words in (
            f"rejected 7 duplicates 33 protected {protected} already done {len(already)} runs to",
            f"runs to delete {len(rest)} in {figures.results} results",
            f"calls {figures.calls} each re-evaluates its result; about ",
            f"about {plan['seconds']} s at 600/m result_id {figures.result_ids[0]} … ",
            f"run_id {figures.run_ids[0]} … {figures.run_ids[1]} biggest",
            f"biggest results {figures.biggest[0].result_id} {figures.biggest[0].runs} runs",
            f"fingerprint {plan['fingerprint']} To send this and nothing else: {plan['command']}",
        ):
            assert words in " ".join(shown.stdout.split())
        source.write_text(as_csv([*PAIRS, Pair(1, 1)]))
        other = typed(command, plan["command"])
        assert (other.returncode, len(api.seen)) == (4, before)
        source.write_text(as_csv(PAIRS[::-1]))
        done = typed(command, plan["command"])
    assert done.returncode == 0, done.stderr
    assert sorted(api.seen[before:]) == rest


def test_the_largest_results_go_first(command: Command, sandbox: Running) -> None:
    """Results are sent by their number of calls, the most first, and those of one call by id."""
    sizes = {1: 100, 2: 250, 3: 7, 4: 101, 5: 350, 6: 250}
    pairs = [
        Pair(result, 1000 * result + run) for result, size in sizes.items() for run in range(size)
    ]
    write_csv(command.home / "runs.csv", pairs)
    with sandbox(World.of(pairs)) as api:
        done = command.run("run", "runs.csv", "--yes", "--concurrency", "1", "--base-url", api.url)
    assert done.returncode == 0
    assert [call.result_id for call in api.calls] == [5] * 4 + [2] * 3 + [6] * 3 + [4] * 2 + [1, 3]
    assert [len(call.run_ids) for call in api.calls[:4]] == [100, 100, 100, 50]
    assert [pair for pair in api.seen if pair.result_id == 5] == [
        pair for pair in pairs if pair.result_id == 5
    ]


# Size


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pair]]:
    """Make a file with more rows than are held in memory, in no order, some twice."""
    pairs = [Pair(1 + at * 7919 % 40_009, 1 + at * 1_000_003 % ROWS) for at in range(ROWS)]
    return write_csv(tmp_path_factory.mktemp("large") / "runs.csv", pairs + pairs[:777]), pairs


def test_a_plan_larger_than_memory_holds_at_once(
    command: Command, large: tuple[Path, list[Pair]]
) -> None:
    """A plan that is sorted on the disk has the figures of its pairs, and leaves nothing there."""
    path, pairs = large
    (command.home / "tmp").mkdir()
    environ = {"TMPDIR": str(command.home / "tmp")}
    done = command.run("plan", path, "--save", "plan.jsonl", "--json", **environ)
    plan = json.loads(done.stdout)
    assert plan["fingerprint"] == reference_fingerprint(pairs)
    assert plan["counts"]["planned"] == ROWS
    assert plan["counts"]["results"] == len({pair.result_id for pair in pairs})
    assert plan["counts"]["duplicates"] == 777
    assert planned(command, "plan.jsonl")["fingerprint"] == plan["fingerprint"]
    assert contents(command.home / "tmp") == {}


def test_a_plan_takes_little_memory(command: Command) -> None:
    """A plan of 1.5 million rows takes less than 150 MB."""
    rows = (
        f"{1 + at * 7919 % 40_009},{1 + at * 1_000_003 % 1_500_000}\n" for at in range(1_500_000)
    )
    with (command.home / "runs.csv").open("w") as file:
        file.write("result_id,run_id\n")
        file.writelines(rows)
    # A process of its own starts the command: else the size of this one would count, too.
    measure = (
        "import os, sys\n"
        "child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n"
        "_, status, usage = os.wait4(child, 0)\n"
        "print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, *command.line("plan", "runs.csv", "--json")],
        env=command.environ,
        cwd=command.home,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    *told, last = done.stdout.splitlines()
    assert json.loads("".join(told))["counts"]["planned"] == 1_500_000
    code, kilobytes = map(int, last.split())
    assert code == 0
    assert kilobytes < 150 << 10


def test_a_full_temporary_disk_ends_a_plan(
    command: Command, large: tuple[Path, list[Pair]]
) -> None:
    """Where temporary files cannot grow `plan` ends with 2, names the place, and leaves nothing."""
    temporary = command.home / "tmp"
    temporary.mkdir()
    code, err = limited(command, 1000, "plan", large[0], TMPDIR=str(temporary))
    assert code == 2
    assert err.startswith(f"bulk-delete: {temporary}: temporary files cannot be written: ")
    assert "set TMPDIR to a disk with room" in err
    assert contents(temporary) == {}
    assert not command.state.exists()


def test_a_full_disk_ends_a_run_before_its_first_call(
    command: Command, sandbox: Running, large: tuple[Path, list[Pair]]
) -> None:
    """Where the job's disk is full `run` ends with 74, sends nothing and leaves all as it was."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(unknown_run="204")) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        calls, before = len(api.calls), contents(command.folder())
        code, err = limited(command, 1000, "run", large[0], "--yes", "--base-url", api.url)
    assert code == 74
    assert err.startswith(f"bulk-delete: {command.folder()}: temporary files cannot be written: ")
    assert "--state-dir" in err
    assert len(api.calls) == calls
    assert contents(command.folder()) == before


def test_a_temporary_folder_that_is_not_there(command: Command) -> None:
    """When TMPDIR names nothing, a plan is made in the system's folder."""
    write_csv(command.home / "runs.csv", PAIRS)
    done = command.run("plan", "runs.csv", TMPDIR=str(command.home / "nowhere"))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in command.home.iterdir()] == ["runs.csv"]


def test_nowhere_for_temporary_files(command: Command) -> None:
    """Where no folder takes temporary files a plan ends with 2 and the cure."""
    write_csv(command.home / "runs.csv", PAIRS)
    code, err = limited(command, 0, "plan", "runs.csv")
    assert code == 2
    assert "TMPDIR" in err
