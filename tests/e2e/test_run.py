"""The main job through the real command against the real sandbox."""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import KEY, Command, Sandbox, write_csv, write_jsonl

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=30, runs=700, seed=3).pairs()
CALLS = 33


def world() -> World:
    return World.of(PAIRS)


def test_every_run_is_deleted_with_the_fewest_calls(command: Command, sandbox: Running) -> None:
    """A run over a CSV with duplicates deletes each run once, in ⌈n/100⌉ calls per result."""
    rows = [*PAIRS, *PAIRS[:50]]
    random.Random(1).shuffle(rows)
    write_csv(command.home / "runs.csv", rows)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 0, done.stderr
    assert api.left == set()
    assert sorted(api.seen) == PAIRS
    sizes = [sum(1 for pair in PAIRS if pair.result_id == result) for result in api.world.live]
    assert len(api.calls) == sum(-(-size // 100) for size in sizes) == CALLS
    assert "every run is deleted" in done.stdout
    assert command.summary()["counts"] | {"rows": 0} == {
        "rows": 0,
        "rejected": 0,
        "duplicates": 50,
        "protected": 0,
        "already_done": 0,
        "skipped": 0,
        "planned": 700,
        "results": 30,
        "batches": CALLS,
        "unsent": 0,
        "in_doubt": 0,
        "deleted": 700,
        "gone": 0,
        "failed": 0,
        "unknown": 0,
        "withheld": 0,
    }


def test_the_intent_is_in_the_file_before_the_call(command: Command, sandbox: Running) -> None:
    """When the server sees a call, the journal file has its intent, splits and retries too."""
    path = write_csv(command.home / "runs.csv", [*PAIRS, Pair(PAIRS[0].result_id, 1)])
    journal = command.folder() / "journal.jsonl"
    unannounced: list[Call] = []

    def look(call: Call) -> None:
        if call.request_id not in journal.read_text():
            unannounced.append(call)

    with sandbox(world(), Faults(error_before=0.1), on_call=look) as api:
        command.run("run", path, "--yes", "--base-url", api.url)
    assert len(api.calls) > CALLS
    assert unannounced == []


def test_the_ends_agree(command: Command, sandbox: Running) -> None:
    """Exit code, last journal line, summary file and printed JSON say the same."""
    write_jsonl(command.home / "runs.jsonl", [*PAIRS[:10], Pair(999_999, 1)])
    with sandbox(world()) as api:
        done = command.run("run", "runs.jsonl", "--yes", "--json", "--base-url", api.url)
    assert done.returncode == 1
    printed, last = json.loads(done.stdout), command.journal()[-1]
    assert printed == command.summary()
    assert last["event"] == "job.finished"
    for key in ("outcome", "exit_code", "reason", "counts"):
        assert printed[key] == last[key]
    assert printed["exit_code"] == 1
    assert printed["reason"] == "ended, but not every run is deleted: 1 failed"
    assert (command.folder() / "failed.csv").read_text() == (
        "result_id,run_id,state,reason,status,detail\n"
        "999999,1,failed,result not found,404,No Result matches the given query.\n"
    )


def test_the_first_line_of_an_execution(command: Command, sandbox: Running) -> None:
    """`job.started` names job, inputs, target, limits and approval, and the key only by its id."""
    path = write_csv(command.home / "runs.csv", PAIRS[:2])
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--rate", "100/s")
    first = command.journal()[0]
    for key in ("n", "ts", "chain", "execution", "host", "pid", "key_id", "fingerprint", "version"):
        assert first.pop(key)
    assert first == {
        "v": 1,
        "event": "job.started",
        "job": "runs",
        "base_url": api.url,
        "inputs": [
            {
                "path": "runs.csv",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "bytes": path.stat().st_size,
            }
        ],
        "counts": {
            "rows": 2,
            "rejected": 0,
            "duplicates": 0,
            "protected": 0,
            "already_done": 0,
            "skipped": 0,
            "planned": 2,
            "results": 1,
            "batches": 1,
        },
        "limits": {
            "rate": "100/s",
            "adaptive": True,
            "concurrency": 8,
            "timeout_s": 60.0,
            "attempts": 5,
            "settle": "read-back",
            "max_failures": "20%",
        },
        "approved_by": "--yes",
    }


def test_all_forms_of_one_input_are_one_plan(command: Command) -> None:
    """CSV, JSONL, grouped JSONL, packed and from stdin, in any order, have one fingerprint."""
    shuffled = random.Random(2).sample(PAIRS, len(PAIRS))
    csv = write_csv(command.home / "a.csv", shuffled)
    write_jsonl(command.home / "b.jsonl", [*PAIRS, *PAIRS[:9]])
    (command.home / "c.csv.gz").write_bytes(gzip.compress(csv.read_bytes()))
    saved = command.run("plan", "a.csv", "--save", "d.jsonl", "--json")
    prints = {
        json.loads(command.run("plan", name, "--json").stdout)["fingerprint"]
        for name in ("b.jsonl", "c.csv.gz", "d.jsonl")
    }
    piped = command.run("plan", "-", "--json", stdin=csv.read_bytes())
    assert prints == {json.loads(saved.stdout)["fingerprint"]}
    assert prints == {json.loads(piped.stdout)["fingerprint"]}
    lines = (command.home / "d.jsonl").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: json.loads(line)["result_id"])
    assert not command.state.exists()


def test_plan_sends_nothing_and_says_what_to_type(command: Command, sandbox: Running) -> None:
    """`plan` and `run --dry-run` make no call; the line they print runs just this plan."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        planned = command.run("plan", "runs.csv", "--base-url", api.url)
        dry = command.run("run", "runs.csv", "--dry-run", "--base-url", api.url)
        assert (planned.returncode, dry.returncode) == (0, 0)
        assert planned.stdout == dry.stdout
        assert api.calls == []
        typed = planned.stdout.splitlines()[-1].split()
        assert typed[:3] == ["bulk-delete", "run", "runs.csv"]
        done = command.run(*typed[1:], "--yes")
    assert done.returncode == 0, done.stderr
    assert api.left == set()


def test_a_second_run_sends_nothing(command: Command, sandbox: Running) -> None:
    """What is deleted is never sent again; an empty rest is a success without a question."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        calls = len(api.calls)
        again = command.run("run", "runs.csv", "--base-url", api.url)
    assert again.returncode == 0
    assert len(api.calls) == calls
    assert "nothing to do" in again.stdout


def test_new_rows_are_sent_alone(command: Command, sandbox: Running) -> None:
    """A job whose finished input has grown sends only what is new."""
    write_csv(command.home / "runs.csv", PAIRS[:100])
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        write_csv(command.home / "runs.csv", PAIRS[50:150])
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert sorted(api.seen) == PAIRS[:150]
    assert command.summary()["counts"]["already_done"] == 50


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("result_id,run_id\n1,1_000\n", "runs.csv, line 2: run id '1_000' is not a whole"),
        ("result_id,run_id\n1,2\n\n1,1e3\n", "runs.csv, line 4: run id '1e3'"),
        ("result_id,run_id\n0,5\n", "line 2: result id is 0"),
        ("result_id,run_id\n1\n", "line 2: has 1 fields, the header has 2"),
        ("1,2\n3,4\n", "line 1: the header has no column 'result_id'"),
        ("result_id,run_id,run_id\n1,2,3\n", "line 1: the header names 'run_id' twice"),
        ('result_id,run_id\n1,"2\n3,4\n', "look for a quote that is not closed"),
        ("", "runs.csv: is empty"),
    ],
)
def test_a_bad_row_stops_all(command: Command, sandbox: Running, text: str, told: str) -> None:
    """Input that is not all good ends with code 2, names the place, and sends nothing."""
    (command.home / "runs.csv").write_text(text)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 2
    assert told in done.stderr
    assert api.calls == []
    assert not (command.folder() / "journal.jsonl").exists()


def test_rejects_are_listed_and_may_be_skipped(command: Command, sandbox: Running) -> None:
    """Bad rows stand in rejects.csv, safe for spreadsheets; skipped, the rest goes, code 1."""
    rows = "".join(f"{pair.result_id},{pair.run_id}\n" for pair in PAIRS[:5])
    (command.home / "runs.csv").write_text(f"result_id,run_id\n=1+1,2\n{rows}3,x\n")
    with sandbox(world()) as api:
        failed = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert failed.returncode == 2
        assert (command.folder() / "rejects.csv").read_text() == (
            "file,line,reason,text\n"
            "runs.csv,2,result id '=1+1' is not a whole decimal number,\"'=1+1,2\"\n"
            "runs.csv,8,run id 'x' is not a whole decimal number,\"3,x\"\n"
        )
        done = command.run(
            "run", "runs.csv", "--yes", "--on-bad-row", "skip", "--base-url", api.url
        )
    assert done.returncode == 1
    assert sorted(api.seen) == PAIRS[:5]
    assert command.summary()["reason"].endswith("2 rejected")
    assert "rejects.csv" in command.summary()["files"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--expect", "0" * 64], "other pairs than the reviewed ones"),
        (["--max-runs", "699"], "700 runs, more than --max-runs 699"),
        (["--max-results", "29"], "30 results, more than --max-results 29"),
    ],
)
def test_guards_refuse_before_the_first_call(
    command: Command, sandbox: Running, flags: list[str], told: str
) -> None:
    """A guard that does not hold ends with code 4 and sends nothing."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, *flags)
    assert done.returncode == 4
    assert told in done.stderr
    assert api.calls == []


def test_without_a_terminal_it_wants_yes(command: Command, sandbox: Running) -> None:
    """Started by cron without --yes it refuses with code 4."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--base-url", api.url)
    assert done.returncode == 4
    assert "--yes" in done.stderr
    assert api.calls == []


@pytest.mark.parametrize(("typed", "code"), [("3\n", 0), ("4\n", 4), ("y\n", 4)])
def test_the_number_of_runs_is_typed(
    command: Command, sandbox: Running, typed: str, code: int
) -> None:
    """On a terminal the job goes on only when the number of runs is typed."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    with sandbox(world()) as api:
        shown, found = command.on_terminal(typed, "run", "runs.csv", "--base-url", api.url)
    assert found == code
    assert "Type their number (3)" in shown
    assert len(api.calls) == (1 if code == 0 else 0)


def test_a_rejected_key_ends_with_6(command: Command, sandbox: Running) -> None:
    """A 401 ends the job at once; the right key goes on with it."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), key="another") as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert done.returncode == 6
        assert "does not accept the key" in done.stdout
        assert {call.status for call in api.calls} == {401}
        assert len(api.calls) <= 8
        again = command.run("resume", "runs", "--base-url", api.url, CEKURA_API_KEY="another")
    assert again.returncode == 0, again.stderr
    assert api.left == set()


def test_an_api_that_is_away_ends_with_5(command: Command, sandbox: Running) -> None:
    """When nothing listens the job gives up, all unsent, and `resume` goes on later."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        url = api.url
    done = command.run("run", "runs.csv", "--yes", "--base-url", url)
    assert done.returncode == 5
    assert "the API stayed away" in done.stdout
    assert f"Next: bulk-delete resume runs --base-url {url}" in done.stdout
    assert command.summary()["counts"]["unsent"] == 700


def test_resume_needs_no_input(command: Command, sandbox: Running) -> None:
    """`resume` goes on with the saved plan when the input is gone, and skips failures on demand."""
    path = write_csv(command.home / "runs.csv", [*PAIRS, Pair(1, 1)])
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert done.returncode == 1
        path.unlink()
        before = len(api.calls)
        again = command.run("resume", "runs", "--base-url", api.url)
        assert again.returncode == 1
        assert [call.run_ids for call in api.calls[before:]] == [(1,)]
        skipping = command.run("resume", "runs", "--skip-failed", "--base-url", api.url)
    assert skipping.returncode == 1
    assert len(api.calls) == before + 1
    assert command.summary()["counts"]["skipped"] == 1


@pytest.mark.parametrize("change", ["another run", "other figures", "cut", "another plan"])
def test_resume_of_a_changed_plan_is_refused(
    command: Command, sandbox: Running, change: str
) -> None:
    """A saved plan that was edited is not what was approved: code 4, nothing sent."""
    write_csv(command.home / "runs.csv", [*PAIRS[:5], Pair(PAIRS[0].result_id, 1)])
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        (plan,) = command.folder().glob("plan.*.bin")
        whole = plan.read_bytes()
        match change:
            case "another run":
                one, two = (number.to_bytes(8, "little") for number in (1, 2))
                assert whole.count(one, 2048) == 1
                changed = whole[:2048] + whole[2048:].replace(one, two)
            case "other figures":
                changed = whole.replace(b'"runs":6', b'"runs":5', 1)
            case "cut":
                changed = whole[:-8]
            case _:
                write_csv(command.home / "other.csv", PAIRS[5:9])
                command.run("run", "other.csv", "--yes", "--base-url", api.url)
                (other,) = command.folder("other").glob("plan.*.bin")
                changed = other.read_bytes()
        assert changed != whole
        plan.write_bytes(changed)
        before = len(api.calls)
        done = command.run("resume", "runs", "--base-url", api.url)
    assert done.returncode == 4
    assert f"{plan} is not the plan that was approved" in done.stderr
    assert len(api.calls) == before


def test_resume_of_nothing(command: Command) -> None:
    """An unknown job ends with code 2 and names those there are."""
    done = command.run("resume", "nope")
    assert done.returncode == 2
    assert "there is no job 'nope'" in done.stderr


def test_a_job_belongs_to_one_api(command: Command, sandbox: Running) -> None:
    """The journal of one base URL is not used against another: code 4."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    with sandbox(world()) as api, sandbox(world()) as other:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        done = command.run("run", "runs.csv", "--yes", "--base-url", other.url)
    assert done.returncode == 4
    assert f"belongs to {api.url}" in done.stderr
    assert other.calls == []


def test_bad_runs_stand_alone(command: Command, sandbox: Running) -> None:
    """Where nothing is read back, runs that the API does not know are split off and listed."""
    result = PAIRS[0].result_id
    bad = [Pair(result, run) for run in (1, 2, 9_999_999)]
    write_csv(command.home / "runs.csv", [*PAIRS, *bad])
    with sandbox(world()) as api:
        words = ("--yes", "--settle", "resend", "--base-url", api.url)
        done = command.run("run", "runs.csv", *words)
    assert done.returncode == 1
    assert api.left == set()
    listed = (command.folder() / "failed.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:4] for line in listed] == [
        [str(pair.result_id), str(pair.run_id), "failed", "bad request"] for pair in bad
    ]
    again = command.run("plan", command.folder() / "failed.csv", "--json")
    assert json.loads(again.stdout)["counts"]["planned"] == 3


@pytest.mark.parametrize(
    "faults",
    [
        Faults(reset_after=0.1, reset_before=0.1),
        Faults(error_after=0.1, error_before=0.1),
        Faults(rate=60, retry_after="seconds"),
        Faults(rate=60, retry_after="date"),
        Faults(rate=60, retry_after="none"),
    ],
    ids=["resets", "errors", "throttle", "throttle-date", "throttle-untold"],
)
def test_faults_are_outlived(command: Command, sandbox: Running, faults: Faults) -> None:
    """Resets, 5xx and throttling with every Retry-After end in all runs deleted, code 0."""
    write_csv(command.home / "runs.csv", PAIRS * 2)
    with sandbox(World.made(results=70, runs=700, seed=3), faults) as api:
        pairs = api.world.pairs()
        write_csv(command.home / "runs.csv", pairs)
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.left == set()
    assert set(api.seen) == set(pairs)
    assert set(api.server.log.most_at_once.values()) == {1}


def test_the_key_is_nowhere(command: Command, sandbox: Running) -> None:
    """The key is in no output and no file, whatever goes wrong."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(reset_after=0.3, error_before=0.2)) as api:
        outputs = [
            command.run("run", "runs.csv", "--yes", "--base-url", api.url),
            command.run("run", "runs.csv", "--yes", "--base-url", api.url, "--log-format", "json"),
            command.run("resume", "runs", "--json", "--base-url", api.url),
            command.run("verify", "runs", "--base-url", api.url),
            command.run("audit", "runs"),
            command.run(
                "run", "runs.csv", "--yes", "--name", "b", "--base-url", "https://127.0.0.1:1"
            ),
            command.run("run", "runs.csv", "--yes", CEKURA_API_URL="ftp://nowhere"),
            command.run("run", "runs.csv", "--yes", CEKURA_API_KEY=f"{KEY} {KEY}"),
        ]
    assert all(KEY not in done.stdout + done.stderr for done in outputs)
    files = [path for path in command.state.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert all(KEY.encode() not in path.read_bytes() for path in files)


def test_a_key_that_everybody_may_read_is_told(command: Command, sandbox: Running) -> None:
    """A key file that is open to all works, with a warning; one for its owner alone needs none."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    path = command.home / "key"
    path.write_text(KEY)
    with sandbox(world(), key=KEY) as api:
        line = ("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
        for mode, warned in ((0o644, True), (0o640, False), (0o600, False)):
            path.chmod(mode)
            done = command.run(
                *line, "--name", f"j{mode}", CEKURA_API_KEY="", BULK_DELETE_API_KEY_FILE=str(path)
            )
            assert done.returncode == 0, done.stderr
            assert ("everybody may read it: chmod 600" in done.stderr) == warned
            assert KEY not in done.stderr


def test_private_files(command: Command, sandbox: Running) -> None:
    """Folders are 0700 and files 0600."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(1, 1)])
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    modes = {path.name: path.stat().st_mode & 0o777 for path in command.folder().iterdir()}
    assert len(modes) >= 6
    assert set(modes.values()) == {0o600}
    assert command.folder().stat().st_mode & 0o777 == 0o700
    assert command.folder().parent.stat().st_mode & 0o777 == 0o700


def test_progress_without_a_terminal(command: Command, sandbox: Running) -> None:
    """Without a terminal a line every so often tells how far the job is, as text or as JSON."""
    write_csv(command.home / "runs.csv", PAIRS)
    flags = ("run", "runs.csv", "--yes", "--rate", "30/s", "--log-format", "json")
    with sandbox(world()) as api:
        done = command.run(*flags, "--base-url", api.url, BULK_DELETE_LOG_INTERVAL="200ms")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    progress = [line for line in lines if line["event"] == "progress"]
    assert len(progress) >= 2
    assert progress[0].keys() >= {"planned", "calls", "calls_per_s", "eta_s"}
    told = [line.get("deleted", 0) for line in progress]  # the first may come before any is
    assert told[-1] > 0
    assert told == sorted(told)


def test_quiet_is_quiet(command: Command, sandbox: Running) -> None:
    """With --quiet a job that goes well prints nothing, retries or not."""
    write_csv(command.home / "runs.csv", PAIRS[:50])
    with sandbox(world(), Faults(error_before=0.2)) as api:
        done = command.run("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_says_what_went_wrong(command: Command, sandbox: Running) -> None:
    """With --quiet a job that does not end well prints its summary."""
    write_csv(command.home / "runs.csv", [Pair(1, 1)])
    with sandbox(world()) as api:
        failed = command.run("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
    assert failed.returncode == 1
    assert "1 failed" in failed.stdout


def test_unknown_names_are_refused(command: Command) -> None:
    """A mistyped variable or key of the configuration ends with code 2 and the nearest name."""
    (command.home / "runs.csv").write_text("result_id,run_id\n1,2\n")
    variable = command.run("plan", "runs.csv", BULK_DELETE_LIMITS_RATES="1/s")
    assert variable.returncode == 2
    assert "did you mean BULK_DELETE_LIMITS_RATE?" in variable.stderr
    (command.home / "c.toml").write_text("[limits]\nrat = '1/s'\n")
    key = command.run("plan", "runs.csv", "--config", "c.toml")
    assert key.returncode == 2
    assert "did you mean rate?" in key.stderr


def test_help_and_version(command: Command) -> None:
    """Every command has help with examples, and there is a version."""
    for verb in ("plan", "run", "resume", "sandbox"):
        shown = command.run(verb, "--help").stdout
        assert "Example" in shown
        assert f"bulk-delete {verb}" in shown
    assert re.fullmatch(r"bulk-delete, version \d+\.\d+\.\d+\n", command.run("--version").stdout)


def test_a_reader_that_goes_away_changes_nothing(command: Command, sandbox: Running) -> None:
    """A closed pipe behind stdout does not change the exit code of the job."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    with sandbox(world()) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        child.stderr.read()
        child.stderr.close()
        assert child.wait(30) == 0
    assert len(api.calls) == 1
