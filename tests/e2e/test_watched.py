"""A job as it is seen from outside: its metrics held against its journal, and who is told."""

import json
import resource
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import KEY, NO_BYTECODE, Command, Sandbox, write_csv
from tests.e2e.test_interruption import finish, wait_for_calls, wait_until
from tests.hooks import Hooks, listening
from tests.test_metrics import samples
from tests.torture.trial import INJECT

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=30, runs=700, seed=3).pairs()
EXIT_CODE = "bulk_delete_last_exit_code"
SUCCESS = "bulk_delete_last_success_timestamp_seconds"
HELD = "bulk_delete_held{by=operator}"


def world() -> World:
    return World.of(PAIRS)


def metrics(command: Command) -> dict[str, float]:
    return samples(command.home / "runs.prom")


def start(command: Command, api: Sandbox, *more: object, **environ: str) -> Any:
    words = ("run", "runs.csv", "--yes", "--base-url", api.url, "--metrics-file", "{job}.prom")
    return command.run(*words, *more, **environ)


def last_execution(command: Command) -> list[dict[str, Any]]:
    lines = command.journal()
    first = max(n for n, line in enumerate(lines) if line["event"] == "job.started")
    return lines[first:]


def agree(command: Command) -> dict[str, float]:
    """Hold the metrics against the last execution in the journal; return them."""
    found, lines = metrics(command), last_execution(command)
    end = lines[-1]
    events = Counter(line["event"] for line in lines)
    counts = end["counts"]
    states = ("unsent", "in_doubt", "deleted", "gone", "failed", "unknown", "withheld")
    parts = ("rejected", "duplicates", "protected", "already_done", "skipped", "planned")
    for state in states:
        assert found[f"bulk_delete_runs{{state={state}}}"] == counts[state]
    for part in parts:
        assert found[f"bulk_delete_input_rows{{part={part}}}"] == counts[part]
    calls = {name: value for name, value in found.items() if "calls_total" in name}
    assert (
        sum(value for name, value in calls.items() if "kind=delete" in name) == events["batch.sent"]
    )
    assert sum(value for name, value in calls.items() if "kind=read" in name) == events["api.read"]
    done = calls.get("bulk_delete_calls_total{kind=delete,status=204}", 0)
    assert done == events["batch.deleted"]
    throttled = calls.get("bulk_delete_calls_total{kind=delete,status=429}", 0)
    told = (line.get("status") for line in lines if line["event"] == "batch.retry")
    assert throttled == Counter(told)[429]
    assert found["bulk_delete_retries_total"] == events["batch.retry"]
    assert found["bulk_delete_call_duration_seconds_count"] == sum(calls.values())
    assert found["bulk_delete_duration_seconds"] == end["seconds"]
    assert found[EXIT_CODE] == end["exit_code"]
    assert (found["bulk_delete_running"], found["bulk_delete_calls_in_flight"]) == (0, 0)
    return found


def test_all_deleted(command: Command, sandbox: Running) -> None:
    """After a success the metrics and the journal agree, and the success has its time."""
    write_csv(command.home / "runs.csv", [*PAIRS, *PAIRS[:5]])
    with sandbox(world()) as api:
        done = start(command, api)
    assert done.returncode == 0, done.stderr
    found = agree(command)
    assert found[SUCCESS] == found["bulk_delete_last_end_timestamp_seconds"]
    assert found[SUCCESS] >= found["bulk_delete_start_timestamp_seconds"] > 1.7e9
    assert found["bulk_delete_throttled_seconds_total"] == 0


def test_throttled_and_troubled(command: Command, sandbox: Running) -> None:
    """429s, 500s and resets are counted by status, as the journal has them."""
    write_csv(command.home / "runs.csv", PAIRS)
    faults = Faults(rate=25, error_before=0.1, reset_after=0.1)
    with sandbox(world(), faults) as api:
        done = start(command, api)
    assert done.returncode == 0, done.stderr
    found = agree(command)
    assert found["bulk_delete_calls_total{kind=delete,status=429}"] > 0
    assert found["bulk_delete_calls_total{kind=delete,status=500}"] > 0
    assert found["bulk_delete_calls_total{kind=delete,status=no_reply}"] > 0
    assert 0 < found["bulk_delete_throttled_seconds_total"] < found["bulk_delete_duration_seconds"]


def test_failures_and_the_success_before(command: Command, sandbox: Running) -> None:
    """A start that ends with 1, is refused or reads nothing shows so; the last success stays."""
    write_csv(command.home / "runs.csv", PAIRS[:300])
    with sandbox(world()) as api:
        start(command, api)
        success = metrics(command)[SUCCESS]
        write_csv(command.home / "runs.csv", [*PAIRS, Pair(999_999, 1)])
        assert start(command, api, "--max-runs", 5).returncode == 4
        refused = metrics(command)
        assert start(command, api).returncode == 1
        agree(command)
        (command.home / "runs.csv").unlink()
        assert start(command, api).returncode == 2
    assert refused[EXIT_CODE] == 4
    assert refused["bulk_delete_runs{state=deleted}"] == 300
    assert metrics(command)[EXIT_CODE] == 2
    assert metrics(command)[SUCCESS] == refused[SUCCESS] == success > 0


def test_while_it_runs_and_when_it_is_interrupted(command: Command, sandbox: Running) -> None:
    """A running job shows its progress; a second start its 7; after a signal all agrees."""
    write_csv(command.home / "runs.csv", PAIRS)
    often = {"BULK_DELETE_METRICS_INTERVAL": "20ms"}
    words = ("run", "runs.csv", "--yes", "--metrics-file", "{job}.prom", "--rate", "2/s")
    with sandbox(world()) as api:
        child = command.start(*words, "--base-url", api.url, **often)
        wait_for_calls(api, 3)
        wait_until(lambda: metrics(command).get("bulk_delete_runs{state=deleted}", 0) > 0)
        running = metrics(command)
        assert start(command, api).returncode == 7
        assert command.run("pause", "runs").returncode == 0
        wait_until(lambda: metrics(command)[HELD] == 1)
        assert command.run("continue", "runs").returncode == 0
        wait_until(lambda: metrics(command)[HELD] == 0)
        wait_for_calls(api, len(api.calls) + 2)
        overlapped = metrics(command)
        child.send_signal(signal.SIGTERM)
        code, out, err = finish(child)
        assert code == 143, err
        assert "--metrics-file '{job}.prom'" in out.split("Next: ")[1]
        interrupted = agree(command)
        assert start(command, api).returncode == 0
    assert (running["bulk_delete_running"], running.get(EXIT_CODE)) == (1, None)
    assert (overlapped["bulk_delete_running"], overlapped[EXIT_CODE]) == (1, 7)
    assert interrupted["bulk_delete_runs{state=unsent}"] > 0
    assert interrupted[SUCCESS] == 0
    resumed = agree(command)
    assert resumed["bulk_delete_runs{state=deleted}"] < len(PAIRS)


def test_a_full_disk(command: Command, sandbox: Running) -> None:
    """A job that ends with 74 shows so, and the calls that were cut off count as well."""
    write_csv(command.home / "runs.csv", PAIRS)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))

    with sandbox(world()) as api:
        words = ("run", "runs.csv", "--yes", "--metrics-file", "runs.prom", "--rate", "300/s")
        done = subprocess.run(
            command.line(*words, "--base-url", api.url),
            env=command.environ | NO_BYTECODE,
            cwd=command.home,
            capture_output=True,
            text=True,
            preexec_fn=small_files,
            timeout=40,
            check=False,
        )
    assert done.returncode == 74, done.stderr
    found = metrics(command)
    assert (found[EXIT_CODE], found["bulk_delete_running"], found[SUCCESS]) == (74, 0, 0)
    left = sum(value for name, value in found.items() if "kind=delete" in name)
    accepted = found["bulk_delete_calls_total{kind=delete,status=204}"]
    assert 0 < accepted <= len(api.calls) <= left


def test_no_memory_for_another_thread(command: Command, sandbox: Running) -> None:
    """Where threads die before they begin, once it sends, the job ends as ever, and all is told."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api, listening() as hooks:
        environ = notifying(hooks, success="/error")
        environ |= {"INJECTED_FAULT": '{"call": "thread"}', "PYTHONPATH": str(INJECT)}
        done = start(command, api, **environ)
    assert done.returncode == 0, done.stderr
    agree(command)
    finished, failed = done.stderr.splitlines()[-2:]
    assert "[info] job.finished" in finished
    assert "[error] notify.failed" in failed


def test_metrics_that_cannot_be_written(command: Command, sandbox: Running) -> None:
    """The job is done all the same, and one line says so, also under --quiet."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        words = ("run", "runs.csv", "--yes", "--quiet", "--base-url", api.url)
        done = command.run(*words, "--metrics-file", "missing/runs.prom")
    assert (done.returncode, api.left) == (0, set())
    (line,) = done.stderr.splitlines()
    assert "[error] metrics.unwritable" in line
    assert "No such file or directory" in line


STILL = """
import threading
from bulk_delete.metrics import textfile

textfile.write = lambda *_: threading.Event().wait()
"""


def test_a_disk_that_stands_still(command: Command, sandbox: Running) -> None:
    """Where the metrics are never written the job begins, goes on and ends as ever."""
    (command.home / "sitecustomize.py").write_text(STILL)
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = start(command, api, PYTHONPATH=str(command.home))
    assert (done.returncode, api.left) == (0, set()), done.stderr
    assert "job.finished" in done.stderr


BROKEN = """
from bulk_delete.metrics import textfile
from bulk_delete.notify import messenger

def broken(*_, **__):
    raise MemoryError("s3cr3t")

textfile.write = messenger.subprocess.Popen = broken
"""


def test_whatever_goes_wrong_outside_is_told(command: Command, sandbox: Running) -> None:
    """An unforeseen error in metrics and notifications changes no job; its kind is told."""
    (command.home / "sitecustomize.py").write_text(BROKEN)
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api, listening() as hooks:
        environ = notifying(hooks, start="/ok/start", success="/ok/done")
        done = start(command, api, "--quiet", PYTHONPATH=str(command.home), **environ)
    assert (done.returncode, api.left) == (0, set()), done.stderr
    told = sorted(line.split("[error] ")[1] for line in done.stderr.splitlines())
    assert told == [
        "metrics.unwritable file=runs.prom reason=MemoryError",
        "notify.failed reason=MemoryError to=notify.start",
        "notify.failed reason=MemoryError to=notify.success",
    ]


def test_a_metrics_file_must_be_one(command: Command) -> None:
    """A name that node_exporter would not read is refused, as --metrics-file runs.csv might be."""
    write_csv(command.home / "runs.csv", PAIRS)
    done = command.run("run", "runs.csv", "--yes", "--metrics-file", "runs.csv")
    assert done.returncode == 2
    assert ".prom" in done.stderr


def notifying(hooks: Hooks, **paths: str) -> dict[str, str]:
    return {
        f"BULK_DELETE_NOTIFY_{occasion.upper()}": f"{hooks.url}{path}"
        for occasion, path in paths.items()
    }


def test_who_is_told_of_a_success(command: Command, sandbox: Running) -> None:
    """Start and success are told, in this order, with the summary; the key goes nowhere."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api, listening() as hooks:
        environ = notifying(hooks, start="/ok/start", success="/ok/done", failure="/ok/fail")
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, **environ)
    assert done.returncode == 0, done.stderr
    assert hooks.paths == ["/ok/start", "/ok/done"]
    begun, ended = (json.loads(call.body) for call in hooks.called)
    assert (begun["event"], begun["job"], begun["reason"]) == ("start", "runs", "started")
    summary = command.summary()
    assert ended == {**summary, "event": "success", "host": ended["host"]}
    assert KEY not in str(hooks.called)


@pytest.mark.parametrize(
    ("words", "code", "outcome"),
    [
        (("--max-runs", "5"), 4, "refused"),
        (("--format", "jsonl"), 2, "invalid_input"),
        (("--state-dir", "/dev/null/x"), 74, "journal_failed"),
        ((), 1, "incomplete"),
    ],
)
def test_who_is_told_of_a_failure(
    command: Command, sandbox: Running, words: tuple[str, ...], code: int, outcome: str
) -> None:
    """Whatever ends a start whose job is known is told with its code and its reason."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(999_999, 1)])
    with sandbox(world()) as api, listening() as hooks:
        environ = notifying(hooks, success="/ok/done", failure="/ok/fail")
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url, *words, **environ)
    assert done.returncode == code, done.stderr
    (call,) = hooks.called
    told = json.loads(call.body)
    assert (call.path, told["event"]) == ("/ok/fail", "failure")
    assert (told["job"], told["exit_code"], told["outcome"]) == ("runs", code, outcome)
    assert told["reason"][:40] in done.stderr + done.stdout
    assert KEY not in str(hooks.called)


def test_no_key(command: Command) -> None:
    """A job without a key is told of, too: its job is known."""
    write_csv(command.home / "runs.csv", PAIRS)
    with listening() as hooks:
        environ = notifying(hooks, failure="/ok/fail")
        words = ("run", "runs.csv", "--yes", "--metrics-file", "runs.prom")
        done = command.run(*words, CEKURA_API_KEY="", **environ)
    assert done.returncode == 2
    assert json.loads(hooks.called[0].body)["reason"].startswith("no API key")
    assert metrics(command)[EXIT_CODE] == 2


def test_quiet_codes_tell_nobody(command: Command) -> None:
    """An exit code that is named so is told to nobody."""
    write_csv(command.home / "runs.csv", PAIRS)
    with listening() as hooks:
        environ = notifying(hooks, failure="/ok/fail")
        quiet = {"BULK_DELETE_NOTIFY_QUIET_CODES": "3, 4"}
        words = ("run", "runs.csv", "--yes", "--max-runs", "5")
        assert command.run(*words, **environ, **quiet).returncode == 4
    assert hooks.called == []


def test_a_hook_that_fails_fails_no_job(command: Command, sandbox: Running) -> None:
    """The job ends with 0; a line names the hook by its host, not by its secret path."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api, listening() as hooks:
        environ = notifying(hooks, success="/error/s3cr3t")
        words = ("run", "runs.csv", "--yes", "--quiet", "--log-format", "json")
        done = command.run(*words, "--base-url", api.url, **environ)
    assert (done.returncode, done.stdout) == (0, "")
    line = json.loads(done.stderr)
    assert (line["level"], line["event"]) == ("error", "notify.failed")
    assert (line["to"], line["reason"]) == ("notify.success (127.0.0.1)", "answered 500")


def test_a_read_back_that_ends_badly(command: Command, sandbox: Running) -> None:
    """With --verify the code of the whole command is told, and is no success."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(read_back="forbidden")) as api, listening() as hooks:
        environ = notifying(hooks, success="/ok/done", failure="/ok/fail")
        done = start(command, api, "--verify", **environ)
    assert done.returncode == 5
    assert hooks.paths == ["/ok/fail"]
    assert json.loads(hooks.called[0].body)["exit_code"] == 5
    assert (metrics(command)[EXIT_CODE], metrics(command)[SUCCESS]) == (5, 0)


def test_apprise_is_told_with_the_summary(command: Command, sandbox: Running) -> None:
    """Apprise's URLs come from a file; they get the summary as text, and stand in no log."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api, listening() as hooks:
        secret = f"{hooks.url.replace('http', 'json')}/ok/s3cr3t"
        (command.home / "apprise").write_text(f"# chat\n{secret}\n")
        environ = {
            "BULK_DELETE_NOTIFY_APPRISE_FILE": str(command.home / "apprise"),
            "BULK_DELETE_NOTIFY_APPRISE_AT": "start,success",
        }
        words = ("run", "runs.csv", "--yes", "--base-url", api.url)
        done = command.run(*words, **environ)
    assert done.returncode == 0, done.stderr
    begun, ended = (json.loads(call.body) for call in hooks.called)
    assert begun["title"].startswith("bulk-delete runs on ")
    assert begun["message"] == "Job runs: started"
    assert ended["message"].splitlines()[0] == "Job runs: every run is deleted"
    assert "exit code                  0   done" in ended["message"]
    kept = (path.read_bytes() for path in command.folder().iterdir() if path.is_file())
    assert not any(b"s3cr3t" in text for text in kept)
    assert "s3cr3t" not in done.stdout + done.stderr
    assert KEY not in str(hooks.called)


def test_apprise_that_is_missing(command: Command, tmp_path: Path) -> None:
    """Without Apprise nothing is sent; the command to install it is told, and no address."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['apprise'] = None\n")
    write_csv(command.home / "runs.csv", PAIRS)
    environ = {"PYTHONPATH": str(tmp_path), "BULK_DELETE_NOTIFY_APPRISE": "mailto://me:pw@home"}
    done = command.run("run", "runs.csv", "--yes", **environ)
    assert done.returncode == 2
    assert "pip install apprise" in done.stderr
    assert "pw" not in done.stderr


def test_the_log_of_a_job(command: Command, sandbox: Running) -> None:
    """As JSON each line is one event with time, level and name, from the start to the end."""
    write_csv(command.home / "runs.csv", [*PAIRS, Pair(999_999, 1)])
    with sandbox(world(), Faults(rate=25)) as api:
        words = ("run", "runs.csv", "--yes", "--log-format", "json", "--base-url", api.url)
        done = command.run(*words)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(line.keys() >= {"timestamp", "level", "event"} for line in lines)
    assert (lines[0]["event"], lines[0]["counts"]["planned"]) == ("plan", 701)
    assert (lines[1]["event"], lines[1]["runs"]) == ("job.started", 701)
    assert "batch.retry" in {line["event"] for line in lines}
    end = lines[-1]
    assert (end["event"], end["level"], end["exit_code"]) == ("job.finished", "error", 1)
    assert (end["deleted"], end["failed"]) == (700, 1)


def said(command: Command, *words: object, **environ: str) -> list[dict[str, Any]]:
    """Run a command that logs as JSON; return what it says on stderr, without the times."""
    done = command.run(*words, BULK_DELETE_LOG_FORMAT="json", **environ)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(line.pop("timestamp") for line in lines)
    return lines


def test_what_else_is_said_as_json(command: Command) -> None:
    """Plans, warnings and errors of every kind are one object a line, also with bad settings."""
    write_csv(command.home / "runs.csv", PAIRS[:3])
    with (command.home / "runs.csv").open("a") as file:
        file.write("x\x1b,1\n")
    bad = {"file": "runs.csv", "line": 5, "text": "x\x1b,1", "pairs": 1}
    bad["reason"] = "result id 'x\\x1b' is not a whole decimal number"
    left_out = {"level": "warning", "event": "rows.left_out", "rows": 1, "first": [bad]}
    assert said(command, "plan", "runs.csv", "--on-bad-row", "skip") == [left_out]

    (command.home / "key").write_text(KEY)
    (command.home / "key").chmod(0o644)
    keyed = {"CEKURA_API_KEY": "", "BULK_DELETE_API_KEY_FILE": "key"}
    warning, plan, error = said(command, "run", "runs.csv", "--on-bad-row", "skip", **keyed)
    assert (warning.pop("level"), warning.pop("event")) == ("warning", "warning")
    assert (list(warning), "chmod" in warning["reason"]) == (["reason"], True)
    assert (plan["level"], plan["event"], plan["counts"]["planned"]) == ("info", "plan", 3)
    why = "there is no terminal to ask on; look at the plan, then add --yes"
    assert error == {"level": "error", "event": "error", "exit_code": 4, "reason": why}

    (listed,) = said(command, "plan", "runs.csv")
    assert (listed["exit_code"], listed["listing"][0]) == (
        2,
        f"  runs.csv, line 5: {bad['reason']}",
    )
    for words in (("plan", "--nope"), ("run", "runs.csv", "--rate", "fast"), ("resume", "none")):
        (error,) = said(command, *words)
        assert (error["level"], error["event"], error["exit_code"]) == ("error", "error", 2)
    asked = command.run("run", "runs.csv", "--rate", "fast", "--log-format", "json")
    assert json.loads(asked.stderr)["event"] == "error"


def test_a_log_that_is_no_terminal_has_no_escapes(command: Command, sandbox: Running) -> None:
    """As text, into a file or to journald, each event is a line without colours."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    assert "\x1b" not in done.stderr
    assert "[info] job.finished calls=33 deleted=700 exit_code=0 job=runs" in done.stderr
