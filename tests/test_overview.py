"""How jobs stand, as their folders tell: real files, and processes that are or are no more."""

import fcntl
import json
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bulk_delete.config import Settings
from bulk_delete.control import Ask, End, Live, Refusal, change, write_live, write_refusal
from bulk_delete.errors import GaveUp, Incomplete, Interrupted, JournalFailed, Stopped
from bulk_delete.folder import JobFolder
from bulk_delete.journal.ending import MOST_BYTES, last_lines
from bulk_delete.lock import Holder, newcomer
from bulk_delete.report import JobStatus
from bulk_delete.runner.overview import overview, status_of
from bulk_delete.runner.presence import calling_with, jobs_in, running
from tests.test_control import LIVE

LAST = "22222222-2222-4222-8222-222222222222"
SUMMARY = {
    "execution": LAST,
    "outcome": "incomplete",
    "exit_code": 1,
    "reason": "ended, but 1 failed",
    "counts": {"rows": 5, "planned": 5, "deleted": 4, "failed": 1},
    "calls": 3,
    "retries": 0,
    "fingerprint": "f",
    "base_url": "http://127.0.0.1",
    "next": "look at failed.csv",
}


def stamp(ago_s: float = 0.0) -> str:
    then = datetime.now(UTC) - timedelta(seconds=ago_s)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Made:
    """A job's folder, made by hand."""

    def __init__(self, state: Path, job: str = "job") -> None:
        self.folder = JobFolder(state, job)
        self.folder.make()
        self.lines: list[dict[str, Any]] = []
        self.journal("job.started", ago_s=60)

    def journal(self, event: str, *, ago_s: float = 0.0, **fields: object) -> None:
        line = {"v": 1, "n": len(self.lines) + 1, "ts": stamp(ago_s), "event": event, **fields}
        self.lines.append(line)
        self.folder.journal.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def live(self, **fields: Any) -> Live:
        told = {"execution": LAST, "job": self.folder.job, "began": stamp(30), "at": stamp(1)}
        live = msgspec.structs.replace(LIVE, **{**told, **fields})
        write_live(self.folder.live, live)
        return live

    def held(self, **fields: Any) -> Holder:
        holder = replace(newcomer(LAST, "run"), **fields)
        self.folder.lock.write_text(json.dumps(asdict(holder)))
        return holder

    def summary(self, **fields: object) -> None:
        self.folder.summary.write_text(json.dumps({**SUMMARY, **fields}))

    @property
    def status(self) -> JobStatus:
        status = status_of(self.folder, Settings())
        assert status
        return status


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.mark.parametrize("state", ["starting", "running", "paused", "held", "stopping", "closing"])
def test_a_running_job_tells_how_it_stands(made: Made, state: str) -> None:
    """While its process is there, a job stands as it shows itself, with its figures."""
    holder = made.held()
    made.live(state=state, trouble="oops", eta_s=12.5)
    status = made.status
    assert (status.state, status.pid, status.since) == (state, os.getpid(), holder.since)
    assert (status.planned, status.counts, status.eta_s) == (5, {"deleted": 2}, 12.5)
    assert status.last_error == "oops"
    assert status.age_s == pytest.approx(1, abs=5)
    assert not status.is_over


def test_a_job_that_plans_shows_no_figures_of_before(made: Made) -> None:
    """A job that is held by a new execution is starting, and what the old one told is left out."""
    made.held(execution="another")
    made.live(end=End("done", 0, "all"))
    assert (made.status.state, made.status.planned, made.status.counts) == ("starting", None, {})


@pytest.mark.parametrize(("doing", "state"), [("verify", "verifying"), ("repair", "repairing")])
def test_a_job_that_is_looked_at_keeps_its_figures(made: Made, doing: str, state: str) -> None:
    """While a job is verified or repaired, its figures are those of the execution before."""
    made.held(execution="another", doing=doing)
    made.live(state="over", end=End("incomplete", 1, "1 failed"))
    made.summary()
    status = made.status
    assert (status.state, status.exit_code, status.counts["deleted"]) == (state, 1, 4)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (End("done", 0, "why"), "done"),
        (End(Incomplete.outcome, 1, "why"), "failed"),
        (End(GaveUp.outcome, 5, "why"), "failed"),
        (End(JournalFailed.outcome, 74, "why"), "failed"),
        (End(Stopped.outcome, 3, "why"), "interrupted"),
        (End(Interrupted.outcome, 130, "why"), "interrupted"),
        (End(Interrupted.outcome, 143, "why"), "interrupted"),
    ],
)
def test_a_job_that_has_ended_tells_how(made: Made, end: End, state: str) -> None:
    """After its end a job stands as its ending says, with the books of its summary."""
    code = end.exit_code
    made.live(state="over", end=end, in_flight=2, eta_s=5.0)
    made.summary(exit_code=code)
    status = made.status
    assert (status.state, status.exit_code, status.reason) == (state, code, "why")
    assert status.counts == {"deleted": 4, "failed": 1}
    assert (status.in_flight, status.eta_s) == (None, None)
    assert status.next == "look at failed.csv"
    assert status.is_over


def test_a_start_that_was_refused_is_not_proposed_again(made: Made) -> None:
    """A refusal is the job's end from then on, beside the figures; the summary's command is not."""
    made.live(state="over", end=End(Stopped.outcome, 3, "why"))
    made.summary(exit_code=3, outcome=Stopped.outcome)
    write_refusal(made.folder.refused, Refusal(stamp(), "refused", 4, "too many"))
    status = made.status
    assert (status.state, status.exit_code, status.reason) == ("failed", 4, "too many")
    assert status.counts == {"deleted": 4, "failed": 1}
    assert status.next is None


def test_an_older_refusal_tells_nothing(made: Made) -> None:
    """What was refused before the last execution is over with."""
    made.live(state="over", end=End(Stopped.outcome, 3, "why"))
    write_refusal(made.folder.refused, Refusal(stamp(100), "refused", 4, "too many"))
    assert (made.status.exit_code, made.status.refused) == (3, None)


def test_the_summary_tells_where_the_live_file_was_not_finished(made: Made) -> None:
    """A process that ended before it could say so has its summary to tell."""
    made.live(state="closing")
    made.summary(exit_code=3, outcome="stopped")
    assert (made.status.state, made.status.outcome) == ("interrupted", "stopped")


def test_the_journal_tells_where_there_is_no_summary(made: Made) -> None:
    """Without a summary of it, the journal's last lines tell how an execution ended."""
    made.live(state="closing")
    made.summary(execution="one before")
    end: dict[str, Any] = {
        "outcome": "gave_up",
        "exit_code": 5,
        "reason": "away",
        "counts": {},
        "seconds": 1,
    }
    made.journal("job.finished", **end)
    made.journal("verify.started")
    assert (made.status.state, made.status.exit_code) == ("failed", 5)
    assert made.status.journal
    assert (made.status.journal["lines"], made.status.journal["event"]) == (3, "verify.started")


@pytest.mark.parametrize("buried", [True, False])
def test_a_killed_job_is_dead(made: Made, *, buried: bool) -> None:
    """Without an end on record, and without its process, a job is dead, with its last figures."""
    end: dict[str, Any] = {
        "outcome": "done",
        "exit_code": 0,
        "reason": "all",
        "counts": {},
        "seconds": 1,
    }
    made.journal("job.finished", ago_s=50, **end)
    if not buried:
        made.journal("job.started", ago_s=30)
        made.journal("batch.sent", ago_s=20)
    made.held(born=1)
    made.live(at=stamp(20), trouble="oops")
    made.summary(execution="one before")
    status = made.status
    assert status.state == "dead"
    assert (status.counts, status.last_error) == ({"deleted": 2}, "oops")
    assert status.age_s == pytest.approx(20, abs=5)
    assert status.next == "bulk-delete resume job --base-url http://127.0.0.1"


def test_a_job_that_was_killed_while_it_planned_is_dead(made: Made) -> None:
    """A process that was gone before its first call is told, not the end of the one before."""
    made.held(execution="another", born=1, pid=4711)
    made.live(state="over", end=End("done", 0, "all"))
    made.summary()
    assert made.status.state == "dead"
    assert "pid 4711" in (made.status.reason or "")
    assert made.status.counts == {}


@pytest.mark.parametrize(("ago_s", "state"), [(2, "running"), (60, "dead")])
def test_a_job_on_another_host_lives_by_its_figures(made: Made, ago_s: float, state: str) -> None:
    """Where the process cannot be seen, fresh figures show that it is there."""
    made.held(host="elsewhere")
    made.live(at=stamp(ago_s))
    assert made.status.state == state


@pytest.mark.parametrize(("ago_s", "state"), [(60, "starting"), (7200, "dead")])
def test_a_job_on_another_host_may_plan_for_long(made: Made, ago_s: float, state: str) -> None:
    """Where nothing but the lock tells of a process, it is believed to plan for an hour."""
    made.held(host="elsewhere", execution="another", since=stamp(ago_s))
    assert made.status.state == state


def test_a_job_of_an_older_version(made: Made) -> None:
    """Without a live file summary and journal tell; without a summary the job is dead."""
    assert made.status.state == "dead"
    made.summary()
    status = made.status
    assert (status.state, status.exit_code, status.planned) == ("failed", 1, 5)
    assert status.age_s is not None


def test_a_pause_is_told_of_a_job_at_rest(made: Made) -> None:
    """A pause that waits for the next start shows, and what to type."""
    ask = Ask("alice", stamp(), "incident")
    change(made.folder.control, lambda control: msgspec.structs.replace(control, pause=ask))
    made.live(end=End("interrupted", 143, "SIGTERM"))
    status = made.status
    assert status.paused
    assert (status.paused["by"], status.paused["reason"]) == ("alice", "incident")
    assert status.next == "bulk-delete continue job"


def test_a_control_file_that_is_spoilt_shows(made: Made) -> None:
    """Where nobody can tell whether a job is paused, the status says so."""
    made.live(end=End("done", 0, "all"))
    made.folder.control.write_text("spoilt")
    assert "control.json" in (made.status.last_error or "")


def test_files_to_look_at_are_named(made: Made) -> None:
    """The lists that lie in the folder are told."""
    for path in (made.folder.failed, made.folder.still_there):
        path.write_text("")
    assert made.status.files == ("failed.csv", "still-there.csv")


def test_all_jobs_are_told_and_nothing_else(tmp_path: Path) -> None:
    """Every folder that was started is a job; others, files and odd names are none."""
    for name in ("b", "a"):
        Made(tmp_path, name)
    JobFolder(tmp_path, "only-rejects").make()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file").write_text("")
    assert [status.job for status in overview(tmp_path, Settings())] == ["a", "b"]
    assert list(jobs_in(tmp_path / "nowhere")) == []


def test_to_look_changes_nothing(made: Made) -> None:
    """A look leaves every file as it was."""
    made.held(born=1)
    made.live()

    def state() -> dict[str, tuple[int, bytes]]:
        entries = sorted(made.folder.path.iterdir())
        return {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in entries}

    before = state()
    assert made.status.state == "dead"
    assert state() == before


def test_jobs_that_call_with_the_same_key(tmp_path: Path) -> None:
    """Others that run with the same key and API are found; those that are over are not."""
    mine = Made(tmp_path, "mine")
    live = mine.live()
    mine.held()
    fields: dict[str, dict[str, Any]] = {
        "same": {},
        "other-key": {"key_id": "o"},
        "other-api": {"base_url": "http://localhost"},
        "over": {"end": End("done", 0, "all")},
        "planning": {"execution": "one before"},
    }
    for name, told in fields.items():
        other = Made(tmp_path, name)
        other.held()
        other.live(**told)
    dead = Made(tmp_path, "dead")
    dead.held(born=1)
    dead.live()
    assert [other.job for other in calling_with(live, tmp_path)] == ["same"]
    assert running(dead.folder) is None


def test_to_look_takes_no_lock(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status never locks anything, so that no start meets it."""
    made.held()
    made.live()
    change(made.folder.control, lambda control: control)

    def locks(*_: object) -> None:
        raise AssertionError("it takes a lock")

    monkeypatch.setattr(fcntl, "flock", locks)
    monkeypatch.setattr(fcntl, "lockf", locks)
    assert overview(made.folder.path.parent, Settings())[0].state == "running"


# The last lines of a journal


def test_the_last_lines_are_read_from_the_end(tmp_path: Path) -> None:
    """Of a long journal the last whole lines are read; what is torn or spoilt is left out."""
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps({"n": number, "pad": "x" * 100}) for number in range(5000)]
    path.write_text("\n".join([*lines, "spoilt", "[1]", '{"n":5000}', '{"n": 50']))
    found = [line["n"] for line in last_lines(path)]
    assert found == list(range(found[0], 5001))
    assert 300 < len(found) < MOST_BYTES / 100


def test_a_short_journal_is_read_whole(tmp_path: Path) -> None:
    """The first line of a short journal counts; an empty journal has none."""
    path = tmp_path / "journal.jsonl"
    path.write_text('{"n":1}\n{"n":2}\n')
    assert [line["n"] for line in last_lines(path)] == [1, 2]
    path.write_text("")
    assert last_lines(path) == []
