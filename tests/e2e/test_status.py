"""How jobs are looked at from another terminal, with the real command."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import finish, wait_for_calls
from tests.e2e.test_steering import PAIRS, hurry, started, wait_for_state, world

Running = Callable[..., AbstractContextManager[Sandbox]]

LOADED = """
import sys
from bulk_delete.cli import main_inner
code = main_inner(sys.argv[1:])
print(sorted({"numpy", "aiohttp", "structlog", "rich", "anyio"} & set(sys.modules)))
raise SystemExit(code)
"""


def told(command: Command, *words: str) -> list[dict[str, Any]]:
    done = command.run("status", *words, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["v"], document["state_dir"]) == (1, str(command.state / "bulk-delete"))
    jobs: list[dict[str, Any]] = document["jobs"]
    return jobs


def test_no_jobs_at_all(command: Command) -> None:
    """A state folder that is not there has no jobs, which is no error; to ask for one is."""
    done = command.run("status")
    assert (done.returncode, done.stdout.startswith("There are no jobs in ")) == (0, True)
    assert told(command) == []
    one = command.run("status", "runs")
    assert (one.returncode, one.stdout) == (2, "")
    assert "there is no job 'runs'" in one.stderr


def test_a_job_from_its_first_call_to_its_end(command: Command, sandbox: Running) -> None:
    """While it runs and after its end, a job's figures are those of its journal."""
    with sandbox(world()) as api:
        child = started(command, api)
        wait_for_state(command, "running", child.pid)
        (running,) = told(command)
        assert (running["state"], running["pid"]) == ("running", child.pid)
        assert running["planned"] == sum(running["counts"].values()) == 1500
        assert running["limit"] == "4/s"
        assert running["base_url"] == api.url
        assert running["execution"] == command.journal()[0]["execution"]
        text = command.run("status", "runs").stdout
        assert "state        running\n" in text
        assert f"pid {child.pid} on " in text
        hurry(command)
        assert finish(child)[0] == 0
        (done,) = told(command, "runs")
    assert (done["state"], done["outcome"], done["exit_code"]) == ("done", "done", 0)
    counts = command.journal()[-1]["counts"]
    assert done["counts"] == {name: counts[name] for name in done["counts"]}
    assert done["journal"]["lines"] == len(command.journal())
    assert done["journal"]["event"] == "job.finished"


def test_a_job_that_failed(command: Command, sandbox: Running) -> None:
    """A job that gave up has failed, and its status says why, and what to type next."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(error_before=1.0)) as api:
        limits = {"BULK_DELETE_LIMITS_HOLD_AFTER": "50ms", "BULK_DELETE_RETRY_CAP": "20ms"}
        words = ("run", "runs.csv", "--yes", "--give-up-after", "300ms", "--base-url", api.url)
        done = command.run(*words, **limits)
        assert done.returncode == 5, done.stdout
    (job,) = told(command)
    assert (job["state"], job["exit_code"]) == ("failed", 5)
    assert job["last_error"]
    assert job["next"].startswith("bulk-delete resume runs")
    assert "failed (5)" in command.run("status").stdout


def test_a_start_that_was_refused(command: Command, sandbox: Running) -> None:
    """A start that sends nothing shows, with its reason, until one does send; so does a first."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = ("run", "runs.csv", "--yes", "--base-url", api.url)
        assert command.run(*line, "--max-runs", "5").returncode == 4
        (first,) = told(command)
        assert command.run("pause", "runs").returncode == 0
        assert command.run("continue", "runs").returncode == 0
        assert command.run(*line).returncode == 0
        (done,) = told(command)
        write_csv(command.home / "runs.csv", [Pair(7, "x")])  # type: ignore[arg-type]  # a bad row
        assert command.run(*line).returncode == 2
        (refused,) = told(command)
        text = command.run("status", "runs").stdout
        (command.folder() / "failed.csv").symlink_to("/dev/null")
        assert command.run("resume", "runs").returncode == 2
        (linked,) = told(command)
        (command.folder() / "failed.csv").unlink()
        write_csv(command.home / "runs.csv", PAIRS[:5])
        assert command.run(*line).returncode == 0
        (again,) = told(command)
    assert (first["state"], first["outcome"], first["exit_code"]) == ("failed", "refused", 4)
    assert "more than --max-runs 5" in first["refused"]["reason"]
    assert (done["state"], done["refused"], done["exit_code"]) == ("done", None, 0)
    assert (refused["state"], refused["exit_code"], refused["next"]) == ("failed", 2, None)
    assert refused["counts"] == done["counts"]
    assert linked["state"] == "failed"
    assert "  state        failed (2)\n" in text
    assert "ended with 2 and sent nothing: 1 row is bad" in text
    assert (again["state"], again["refused"]) == ("done", None)


def test_a_job_that_was_killed(command: Command, sandbox: Running) -> None:
    """A killed job is dead, with the figures that it showed last, and resume goes on."""
    with sandbox(world(), Faults(latency_s=0.1)) as api:
        child = started(command, api)
        wait_for_state(command, "running", child.pid)
        child.kill()
        finish(child)
        (dead,) = told(command)
        assert (dead["state"], dead["outcome"]) == ("dead", None)
        assert dead["planned"] == 1500
        lines = command.journal()
        assert dead["journal"]["lines"] == len(lines)
        told_of = [line for line in lines[: dead["counted"]] if line["event"] == "batch.sent"]
        assert dead["calls"] == len(told_of)
        assert "--rate 4/s" in dead["next"]
        assert "dead: its process is gone" in command.run("status").stdout
        again = dead["next"].replace("4/s", "2000/s").split()[1:]
        assert command.run(*again).returncode == 0
        (done,) = told(command)
        assert done["state"] == "done"
    assert api.left == set()


def test_a_watch_without_a_terminal_ends_with_its_job(command: Command, sandbox: Running) -> None:
    """It prints a line for each change, in JSON where that is wanted, and ends by itself."""
    with sandbox(world()) as api:
        child = started(command, api)
        lines = command.start("status", "runs", "--watch")
        documents = command.start("status", "runs", "--watch", "--json")
        hurry(command)
        assert finish(child)[0] == 0
        code, out, err = finish(lines)
        assert code == 0, err
        assert finish(documents)[0] == 0
    assert out.splitlines()[-1].endswith("runs: done · 1,500/1,500 deleted")
    assert len(set(out.splitlines())) == len(out.splitlines())


def test_watched_documents(command: Command, sandbox: Running) -> None:
    """Each line of a watch in JSON is a job by itself; the last one tells its end."""
    with sandbox(world()) as api:
        child = started(command, api)
        command.run("pause", "runs")
        watch = command.start("status", "runs", "--watch", "--json")
        assert watch.stdout
        assert json.loads(watch.stdout.readline())["state"] == "paused"
        command.run("stop", "runs")
        assert finish(child)[0] == 3
        code, out, err = finish(watch)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["state"] == "interrupted"


def test_a_watch_on_a_terminal_draws_until_ctrl_c(command: Command, sandbox: Running) -> None:
    """On a terminal the screen is drawn anew; Ctrl-C ends it without a word."""
    write_csv(command.home / "runs.csv", PAIRS[:5])
    with sandbox(world()) as api:
        assert command.run("run", "runs.csv", "--yes", "--base-url", api.url).returncode == 0
    ours, theirs = pty.openpty()
    watch = subprocess.Popen(
        command.line("status", "--watch"),
        env={**command.environ, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    seen = b""
    while seen.count(b"\x1b[2J") < 2:
        seen += os.read(ours, 4096)
    watch.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):
        while os.read(ours, 4096):
            pass
    os.close(ours)
    assert (watch.wait(20), watch.communicate()[1]) == (0, b"")
    assert b"done" in seen


def test_a_watch_that_nobody_reads_ends(command: Command, sandbox: Running) -> None:
    """When its reader has gone away a watch ends by itself."""
    with sandbox(world()) as api:
        child = started(command, api)
        watch = command.start("status", "--watch")
        assert watch.stdout
        watch.stdout.readline()
        watch.stdout.close()
        assert watch.stderr
        assert watch.stderr.read() == ""
        watch.stderr.close()
        assert watch.wait(20) == 0
        command.run("stop", "runs")
        finish(child)


def test_a_look_loads_nothing_large(command: Command, sandbox: Running) -> None:
    """To look at jobs, and to steer one, needs no NumPy, no HTTP client and no screen."""
    write_csv(command.home / "runs.csv", PAIRS[:5])
    with sandbox(world()) as api:
        assert command.run("run", "runs.csv", "--yes", "--base-url", api.url).returncode == 0
    for words in (("status",), ("status", "runs", "--json"), ("pause", "runs"), ("--help",)):
        done = subprocess.run(
            [sys.executable, "-c", LOADED, *words],
            env=command.environ,
            capture_output=True,
            text=True,
            timeout=40,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]", words


def test_a_state_folder_that_cannot_be_read(command: Command) -> None:
    """A state folder that is a file ends with 2, by its name."""
    (command.home / "file").write_text("")
    done = command.run("status", "--state-dir", "file")
    assert (done.returncode, "file: cannot be looked into" in done.stderr) == (2, True)


def test_the_last_refusal_is_told_while_it_runs(command: Command, sandbox: Running) -> None:
    """What the API said last shows while the job goes on."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(error_before=0.5)) as api:
        child = command.start(
            "run", "runs.csv", "--yes", "--rate", "9/s", "--attempts", "50", "--base-url", api.url
        )
        wait_for_calls(api, 9)
        wait_for_state(command, "running", child.pid)
        command.run("pause", "runs")
        (job,) = told(command)
        assert job["last_error"]
        assert job["retries"] > 0
        command.run("stop", "runs")
        assert finish(child)[0] == 3
