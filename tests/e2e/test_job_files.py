"""Jobs that are written down, through the real command against the real sandbox."""

import json
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import Command, Sandbox, write_csv, write_jsonl

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=30, runs=300, seed=5).pairs()


def world() -> World:
    return World.of(PAIRS)


def write_job(command: Command, text: str, name: str = "jobs/nightly.toml") -> Path:
    path = command.home / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def nightly(command: Command, inputs: str = '"../exports/*.csv"', more: str = "") -> Path:
    """Write a job that asks nobody."""
    return write_job(command, f"[job]\nconfirm = false\ninputs = [{inputs}]\n{more}\n")


def export(command: Command, name: str, pairs: list[Pair]) -> Path:
    (command.home / "exports").mkdir(exist_ok=True)
    return write_csv(command.home / "exports" / name, pairs)


def read(command: Command, job: str = "nightly") -> list[str]:
    """Return the paths that the last execution has read."""
    started = [line for line in command.journal(job) if line["event"] == "job.started"]
    return [file["path"] for file in started[-1]["inputs"]]


def test_a_job_file_is_run(command: Command, sandbox: Running) -> None:
    """All inputs are read in order, each once; settings hold; the journal names the file."""
    export(command, "b.csv", PAIRS[:10])
    export(command, "a.csv", PAIRS[10:20])
    (command.home / "exports" / "latest.csv").symlink_to("b.csv")
    write_jsonl(command.home / "jobs.jsonl", PAIRS[20:30])
    inputs = '"../exports/?.csv", "../jobs.jsonl", "../exports/*.csv", "-"'
    nightly(command, inputs, '[limits]\nrate = "99/s"\nconcurrency = 3\n')
    piped = "".join(f"{pair.result_id},{pair.run_id}\n" for pair in PAIRS[30:])
    with sandbox(world()) as api:
        words = ("run", "jobs/nightly.toml", "--rate", "77/s", "--base-url", api.url)
        done = command.run(*words, stdin="result_id,run_id\n" + piped)
    assert done.returncode == 0, done.stderr
    assert api.left == set()
    assert read(command) == [
        "-",
        "jobs/../exports/a.csv",
        "jobs/../exports/b.csv",
        "jobs/../jobs.jsonl",
    ]
    first = command.journal("nightly")[0]
    assert first["limits"]["job_file"] == "jobs/nightly.toml"
    assert (first["limits"]["rate"], first["limits"]["concurrency"]) == ("77/s", 3)
    assert first["approved_by"] == "confirm = false in jobs/nightly.toml"


def test_dates_of_this_host(command: Command, sandbox: Running) -> None:
    """A name with a date means the file of that day."""
    # Whichever side of midnight the command sees, one day's file is read and another's is not.
    now = datetime.now().astimezone()
    days = {
        f"{now + timedelta(days=ago):%Y-%m-%d}": PAIRS[10 * at :][:10]
        for at, ago in enumerate((-2, -1, 0, 1))
    }
    for day, pairs in days.items():
        export(command, f"runs-{day}.csv", pairs)
    nightly(command, '"../exports/runs-{yesterday:%Y-%m-%d}.csv"')
    with sandbox(world()) as api:
        done = command.run("run", "jobs/nightly.toml", "--base-url", api.url)
    assert done.returncode == 0, done.stderr
    (path,) = read(command)
    day = path.removeprefix("jobs/../exports/runs-").removesuffix(".csv")
    assert day in list(days)[1:3]
    assert sorted(api.seen) == days[day]


def test_a_job_file_is_planned(command: Command) -> None:
    """`plan` shows what the file is about, and the command that sends this and nothing else."""
    export(command, "a.csv", PAIRS)
    nightly(command, more='description = "What the tests leave"\n[limits]\nrate = "5/s"\n')
    done = command.run("plan", "jobs/nightly.toml")
    assert done.returncode == 0, done.stderr
    assert "job nightly\n  about           What the tests leave\n" in done.stdout
    plan = json.loads(command.run("plan", "jobs/nightly.toml", "--json").stdout)
    assert plan["rate"] == "5/s"
    assert plan["description"] == "What the tests leave"
    shown = f"bulk-delete run jobs/nightly.toml --expect {plan['fingerprint']}"
    assert plan["command"] == shown
    other = command.run("plan", "jobs/nightly.toml", "--json", "--rate", "6/s", "--name", "once")
    words = shlex.split(json.loads(other.stdout)["command"])
    assert words[3:] == ["--name", "once", "--rate", "6/s", "--expect", plan["fingerprint"]]
    assert not command.state.exists()


def test_the_command_that_plan_shows(command: Command, sandbox: Running) -> None:
    """What `plan` says to type does send what was planned, and refuses anything else."""
    export(command, "a.csv", PAIRS[:10])
    with sandbox(world()) as api:
        nightly(command, more=f'[api]\nbase_url = "{api.url}"\n')
        plan = json.loads(command.run("plan", "jobs/nightly.toml", "--json").stdout)
        words = shlex.split(plan["command"])[1:]
        export(command, "b.csv", PAIRS[10:20])
        refused = command.run(*words)
        (command.home / "exports" / "b.csv").unlink()
        done = command.run(*words)
    assert (refused.returncode, done.returncode) == (4, 0)
    assert sorted(api.seen) == PAIRS[:10]


def test_it_asks_unless_the_file_says_not_to(command: Command, sandbox: Running) -> None:
    """Without `confirm = false` a job file needs --yes, where there is no terminal."""
    export(command, "a.csv", PAIRS)
    write_job(command, '[job]\ninputs = ["../exports/*.csv"]\n')
    with sandbox(world()) as api:
        refused = command.run("run", "jobs/nightly.toml", "--base-url", api.url)
        assert api.calls == []
        done = command.run("run", "jobs/nightly.toml", "--yes", "--base-url", api.url)
    assert (refused.returncode, done.returncode) == (4, 0)
    assert "--yes" in refused.stderr
    assert command.journal("nightly")[0]["approved_by"] == "--yes"


def test_what_the_file_says_of_the_job(command: Command, sandbox: Running) -> None:
    """`name`, `expect`, `verify` and `skip_failed` do what the flags do; a flag rules over them."""
    export(command, "a.csv", PAIRS[:10])
    plan = json.loads(command.run("plan", "exports/a.csv", "--json").stdout)
    said = f'name = "tidy"\nverify = true\nskip_failed = true\nexpect = "{plan["fingerprint"]}"\n'
    nightly(command, more=said)
    with sandbox(world()) as api:
        words = ("run", "jobs/nightly.toml", "--base-url", api.url)
        done = command.run(*words)
        export(command, "b.csv", PAIRS[10:20])
        refused = command.run(*words)
        other = command.run("plan", "exports/a.csv", "exports/b.csv", "--json")
        fingerprint = json.loads(other.stdout)["fingerprint"]
        again = command.run(*words, "--expect", fingerprint, "--name", "tidy-2")
    assert (done.returncode, refused.returncode, again.returncode) == (0, 4, 0), done.stderr
    assert [line["event"] for line in command.journal("tidy")].count("verify.finished") == 1
    assert len(command.journal("tidy-2")) > 1


def test_what_failed_is_skipped_by_a_resume_too(command: Command, sandbox: Running) -> None:
    """`skip_failed = true` holds when the job goes on by its file, and not when by its name."""
    export(command, "a.csv", [*PAIRS[:10], Pair(999_999, 1)])
    nightly(command, more="skip_failed = true\n")
    with sandbox(world()) as api:
        url = ("--base-url", api.url)
        assert command.run("run", "jobs/nightly.toml", *url).returncode == 1
        assert command.run("resume", "jobs/nightly.toml", *url).returncode == 1
        assert command.summary("nightly")["counts"]["skipped"] == 1
        assert command.run("resume", "nightly", *url).returncode == 1
    assert command.summary("nightly")["counts"]["failed"] == 1


def test_a_job_file_stands_alone(command: Command) -> None:
    """Beside other inputs, or two of a kind, a job file is refused before anything is read."""
    nightly(command)
    for words in (("jobs/nightly.toml", "a.csv"), ("a.csv", "jobs/nightly.toml")):
        for verb in ("plan", "run"):
            done = command.run(verb, *words)
            assert done.returncode == 2
            assert "jobs/nightly.toml is a job file" in done.stderr
            assert "give it alone" in done.stderr
    assert command.run("plan", "jobs/missing.toml").returncode == 2
    assert not command.state.exists()


def test_a_bad_job_file_sends_nothing(command: Command, sandbox: Running) -> None:
    """A mistake in a job file ends with 2, and nothing is read, made or sent."""
    export(command, "a.csv", PAIRS)
    nightly(command, more="[guards]\nmax_run = 5\n")
    with sandbox(world()) as api:
        done = command.run("run", "jobs/nightly.toml", "--base-url", api.url)
    assert done.returncode == 2
    assert "jobs/nightly.toml, line 5: [guards] has no key 'max_run'; did you" in done.stderr
    assert api.calls == []
    assert not command.state.exists()


def test_a_command_in_a_job_file_is_not_run(command: Command) -> None:
    """A key command in a job file is refused, by `plan` and `run` alike, and never run."""
    export(command, "a.csv", PAIRS)
    nightly(command, more='[api]\nkey_command = "touch ran"\n')
    for verb in ("plan", "run"):
        done = command.run(verb, "jobs/nightly.toml", CEKURA_API_KEY="")
        assert done.returncode == 2
        assert "line 5: [api] key_command has no place in a job file" in done.stderr
    assert not (command.home / "ran").exists()


def test_a_pattern_without_a_file(command: Command, sandbox: Running) -> None:
    """A pattern that matches nothing is a missing input: refused, unless none is required."""
    nightly(command)
    with sandbox(world()) as api:
        words = ("run", "jobs/nightly.toml", "--base-url", api.url)
        refused = command.run(*words)
        assert refused.returncode == 2
        assert "jobs/nightly.toml: no file matches the input '../exports/*.csv'" in refused.stderr
        assert 'require = "nothing"' in refused.stderr
        nightly(command, more='[input]\nrequire = "nothing"\n')
        done = command.run(*words, "--quiet")
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr, api.calls) == ("", "", [])
    assert read(command) == []
    assert command.summary("nightly")["reason"] == "nothing to do"


def test_a_job_of_a_job_file_goes_on(command: Command, sandbox: Running) -> None:
    """Stopped half-way it goes on by name or, under the settings of its file, by its file."""
    source = export(command, "a.csv", PAIRS)
    keep = command.home / "jobs" / "keep.csv"
    settings = '[guards]\nprotect = "keep.csv"\n[limits]\nrate = "50/s"\nconcurrency = 2\n'
    nightly(command, more=settings + '[retry]\nattempts = 1\nsettle = "hold"\n')
    write_csv(keep, PAIRS[-1:])
    with sandbox(world(), Faults(error_before=0.5)) as api:
        first = command.run("run", "jobs/nightly.toml", "--base-url", api.url)
        # The words for it are in the summary, and do not repeat what the file says.
        words = shlex.split(command.summary("nightly")["next"])
        assert words == ["bulk-delete", "resume", "jobs/nightly.toml", "--base-url", api.url]
        source.unlink()
        by_file = command.run(*words[1:], "--max-failures", "100%")
        started = [x for x in command.journal("nightly") if x["event"] == "job.started"][-1]
        by_name = command.run("resume", "nightly", "--attempts", "30", "--base-url", api.url)
    assert first.returncode in {1, 5}, first.stderr
    assert by_file.returncode in {1, 5}, by_file.stderr
    assert started["limits"] | {"max_failures": ""} == {
        "job_file": "jobs/nightly.toml",
        "protect": "jobs/keep.csv",
        "rate": "50/s",
        "adaptive": True,
        "concurrency": 2,
        "timeout_s": 60.0,
        "attempts": 1,
        "settle": "hold",
        "max_failures": "",
    }
    assert "job_file.missing" not in by_file.stderr
    assert by_name.returncode == 0, by_name.stderr
    assert "job_file.missing" in by_name.stderr
    assert api.left == set(PAIRS[-1:])


def test_orders_tell_how_to_go_on_under_the_file(command: Command, sandbox: Running) -> None:
    """The commands to type next name the job file, or where its state is, so that they work."""
    export(command, "a.csv", PAIRS[:10])
    nightly(command, more=f'[state]\ndir = "{command.home}/elsewhere"\n')
    word = "jobs/nightly.toml"
    with sandbox(world()) as api:
        assert command.run("run", word, "--base-url", api.url).returncode == 0
        assert command.run("pause", word).returncode == 0
        paused = command.run("run", word, "--base-url", api.url, "--max-time", "3s")
        went_on = command.run("continue", word)
        slowed = command.run("rate", word, "5/s")
        again = command.run("continue", word)
    assert f"bulk-delete continue nightly --state-dir {command.home}/elsewhere" in paused.stderr
    assert f"bulk-delete resume {word}" in went_on.stdout
    assert f"bulk-delete resume {word} --rate 5/s" in slowed.stderr
    assert f"bulk-delete status {word}" in again.stderr
