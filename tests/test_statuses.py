"""How jobs stand and what they answer, in words."""

from typing import Any

import pytest

from bulk_delete.report import (
    Answer,
    AnsweredOrder,
    JobStatus,
    answer_text,
    status_line,
    status_text,
    statuses_text,
)

ASKED = {"by": "alice@web-1, pid 7", "at": "2026-01-02T03:04:05.678Z", "reason": "incident"}
RUNNING = JobStatus(
    job="nightly",
    state="running",
    folder="/state/nightly",
    pid=4711,
    host="web-1",
    since="2026-01-02T03:00:00+00:00",
    updated="2026-01-02T03:04:05.678Z",
    age_s=0.4,
    planned=50_000,
    counts={"unsent": 37_900, "in_doubt": 100, "deleted": 12_000, "failed": 0},
    calls=130,
    retries=2,
    in_flight=1,
    calls_per_s=9.87,
    limit="10/s, 5000/h",
    eta_s=200.0,
    journal={"lines": 262, "event": "batch.sent", "at": "2026-01-02T03:04:05.600Z"},
)


def other(**fields: Any) -> JobStatus:
    return JobStatus(**{**RUNNING.as_dict(), **fields})


def test_all_jobs_in_columns() -> None:
    """Every job has its line, the figures under their heads."""
    done = JobStatus(
        job="once", state="done", folder="/state/once", age_s=86_400, planned=5, counts={}
    )
    assert statuses_text([RUNNING, done]) == (
        "JOB      STATE    DELETED      OF   RATE  LEFT        SEEN            LAST ERROR\n"
        "nightly  running   12,000  50,000  9.9/s  3 min 20 s  0.4 s ago\n"
        "once     done           0       5                     24 h 0 min ago\n"
    )


def test_one_job_with_all_that_matters() -> None:
    """One job is told with its figures, its process, its files and the last journal line."""
    job = other(state="paused", paused=ASKED, files=("failed.csv",), last_error="oops", next="x y")
    assert status_text(job) == (
        "Job nightly\n"
        "  state        paused\n"
        "  runs         50,000 planned: 37,900 unsent, 100 in doubt, 12,000 deleted\n"
        "  calls        130, 2 retries, 1 in flight\n"
        "  rate         10/s, 5000/h\n"
        "  left         3 min 20 s\n"
        "  paused       by alice@web-1, pid 7 at 2026-01-02T03:04:05.678Z: incident\n"
        "  last error   oops\n"
        "  process      pid 4711 on web-1 since 2026-01-02T03:00:00+00:00\n"
        "  figures      of 2026-01-02T03:04:05.678Z, 0.4 s ago\n"
        "  journal      262 lines, the last batch.sent at 2026-01-02T03:04:05.600Z\n"
        "  folder       /state/nightly: failed.csv\n"
        "Next: x y\n"
    )


def test_a_dead_job_tells_what_its_figures_lack() -> None:
    """What a killed process wrote after it last showed its figures is counted in lines."""
    assert "s ago; the journal has 12 lines more\n" in status_text(other(state="dead", counted=250))
    for told in ({"state": "dead", "counted": 262}, {"state": "running", "counted": 250}):
        assert "more" not in status_text(other(**told))


def test_a_job_without_figures() -> None:
    """A job that only starts has a state and a folder, and nothing is made up."""
    assert status_text(JobStatus("j", "starting", "/j")) == (
        "Job j\n  state        starting\n  folder       /j\n"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "held", "held_until": "2026-01-02T04:00:00.000Z"}, "held until 2026-01-02T04"),
        ({"state": "held"}, "held: nobody answers"),
        ({"state": "dead"}, "dead: its process is gone"),
        ({"state": "interrupted", "exit_code": 3}, "interrupted (3)"),
        ({"state": "failed", "exit_code": 5}, "failed (5)"),
        ({"state": "done", "exit_code": 0, "paused": ASKED}, "done, to be paused"),
        ({"lowered_to": 3.14159}, "of 10/s, 5000/h, lowered to 3.14/s"),
    ],
)
def test_what_belongs_to_a_state_is_told(fields: dict[str, Any], words: str) -> None:
    """Until when a job is held, with which code it ended, and a pause to come are told."""
    assert words in status_line(other(**fields)) or words in status_text(other(**fields))


def test_a_line_for_a_job() -> None:
    """On one line a job tells its state, how far it is, its pace and what failed last."""
    job = other(counts={"deleted": 3, "failed": 2}, last_error="oops", eta_s=None)
    assert status_line(job) == (
        "nightly: running · 3/50,000 deleted · 2 failed · 9.9 calls/s of 10/s, 5000/h · "
        "last: oops\n"
    )


def test_a_line_changes_only_with_the_job() -> None:
    """How old the figures are does not make another line."""
    assert status_line(other(age_s=1.0)) == status_line(other(age_s=2.0))


def test_what_comes_from_files_obeys_nobody() -> None:
    """Control characters in any text are written as escapes, in every form."""
    evil = "\x1b[2J\r\N{RIGHT-TO-LEFT OVERRIDE}"
    job = other(last_error=evil, reason=evil, paused={**ASKED, "reason": evil}, job=evil, next=evil)
    for text in (statuses_text([job]), status_text(job), status_line(job)):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("order", "fields", "words"),
    [
        ("pause", {"state": "paused"}, "is paused by alice: nothing more leaves, 2 calls out"),
        ("pause", {"runs": False}, "does not run. Its next start will wait, until: GO_ON"),
        ("pause", {"state": "starting"}, "is still planning; its next call will wait"),
        ("pause", {}, "has not answered yet; its next call will wait. See LOOK"),
        ("pause", {"state": "closing"}, "writes its books; see LOOK. Its next start will wait"),
        ("pause", {"runs": False, "ended": True}, "has ended; see LOOK. Its next start will wait"),
        ("continue", {"state": "running"}, "goes on"),
        ("continue", {"runs": False}, "is not paused any more; to go on with it: RESUME"),
        ("stop", {"state": "stopping"}, "is stopping: nothing more leaves, 2 calls out"),
        ("stop", {"runs": False, "ended": True}, "has ended; see LOOK\n"),
        ("stop", {}, "it will send nothing more"),
        ("rate", {"state": "running"}, "keeps to 5/s now, until it ends\n"),
        ("rate", {"state": "held", "lowered_to": 2.5}, "have lowered it to 2.5/s\n"),
        ("rate", {"state": "stopping"}, "is stopping"),
    ],
)
def test_an_answer_says_what_came_of_it(
    order: AnsweredOrder, fields: dict[str, Any], words: str
) -> None:
    """After an order the operator is told how the job stands, and what to type next."""
    told = {"runs": True, "in_flight": 2, "limit": "5/s", "paused_by": "alice", **fields}
    text = answer_text(Answer("j", order, **told), "GO_ON", "RESUME", "LOOK")
    assert text.startswith("Job j ")
    assert words in text
    assert text.count("\n") == 1
