"""What people and scripts read: tables that are inputs again, texts that leave nothing out."""

import csv
import io
import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete import report
from bulk_delete.cli.app import app
from bulk_delete.config import Api, Input, Schedule, Seconds, Settings, ZoneName, parse_seconds
from bulk_delete.config.settings import Guards, StateFolder
from bulk_delete.config.times import parse_day_time, parse_windows
from bulk_delete.model import MAX_ID, Books, Counts, InputFile, Pair, Reject, State, Verdict
from bulk_delete.plain import printable
from bulk_delete.plan import Biggest
from bulk_delete.sources import Source
from tests.made_plans import plan_of, reference_fingerprint

FORMULA_STARTS = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH COMMERCIAL AT}"
FINGERPRINT = reference_fingerprint([(1, 2)])


def cells_of(line: str) -> list[str]:
    """Read a line back as any reader of CSV does."""
    (cells,) = csv.reader(io.StringIO(line, newline=""), strict=True)
    return cells


def read_back(folder: Path, name: str, text: str) -> tuple[list[Pair], list[Reject]]:
    """Read a text as an input; return its pairs and its bad rows."""
    path = folder / name
    path.write_text(text, newline="")
    blocks = list(Source((str(path),), Input()).rows())
    return (
        [pair for rows in blocks for pair in rows.columns.pairs()],
        [reject for rows in blocks for reject in rows.rejects],
    )


# Tables


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_is_a_formula(start: str) -> None:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    cell = f"{start}cmd|' /C calc'!A0"
    assert cells_of(report.csv_line(("a", cell))) == ["a", f"'{cell}"]


def test_a_harmless_cell_is_left_as_it_is() -> None:
    """Numbers, and texts with a sign further on, are written as they are; None is empty."""
    cells = ("a=b", "1-2", 5, -5, "", None, "\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert report.csv_line(cells) == "a=b,1-2,5,-5,,,\N{LATIN SMALL LETTER E WITH ACUTE}\n"


@effort(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(st.sampled_from("=+-@\t\r\n\"',; a1"), max_size=6),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
        ),
        min_size=2,
        max_size=4,
    )
)
@example(cells=["", "a\r=1"])
def test_a_line_is_one_row_of_the_same_cells(cells: list[str]) -> None:
    """Whatever is in the cells, a line reads back as one row of them, escaped and guarded."""
    found = cells_of(report.csv_line(cells))
    shown = [printable(cell) for cell in cells]
    assert [cell.replace("'", "") for cell in found] == [cell.replace("'", "") for cell in shown]
    assert all(cell.isprintable() for cell in found)


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("sign", "=+-@")
def test_no_delimiter_makes_a_formula(delimiter: str, sign: str) -> None:
    """In whatever way a spreadsheet cuts the text of a bad row up, no cell is a formula."""
    text = f'1{delimiter}{sign}cmd(){delimiter}"{sign}x"{delimiter} {sign}y'
    line = report.csv_line(["a.csv", 2, "bad", text])
    for cut in ",;\t|":
        assert not any(
            cell.lstrip("\"' ").startswith(sign) and "'" not in cell[: cell.index(sign)]
            for cell in line.rstrip("\n").split(cut)
        )


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        (
            "a.csv",
            'result_id,run_id,n\n0,1,"x\r=cmd()\n=cmd()"\n',
            r'0,1,"x\r=cmd()\n=cmd()"',
        ),
        ("a.jsonl", "{}\nx\r=cmd()\n", r"x\r=cmd()"),
        ("b.jsonl", "{}\n=cmd()\n", "'=cmd()"),
    ],
)
def test_a_reject_from_a_file_is_one_row(tmp_path: Path, name: str, data: str, text: str) -> None:
    """A bad row, whatever is in it, is one row of the rejects' table, under its header."""
    reject = read_back(tmp_path, name, data)[1][-1]
    assert cells_of(report.REJECTS_HEADER) == ["file", "line", "reason", "text"]
    assert cells_of(report.reject_row(reject)) == [
        str(tmp_path / name),
        "2",
        reject.reason,
        text,
    ]


def test_verdicts_tell_state_and_reason() -> None:
    """A table of verdicts has a header, and on each row the pair, its state and all the words."""
    rows = report.verdict_rows(
        [
            (Pair(1, 2), Verdict(State.FAILED, "bad request", 400, "run_ids: no, never")),
            (Pair(3, 4), Verdict(State.UNKNOWN, "reply lost", None, "=1")),
        ]
    )
    assert list(rows) == [
        "result_id,run_id,state,reason,status,detail\n",
        '1,2,failed,bad request,400,"run_ids: no, never"\n',
        "3,4,unknown,reply lost,,'=1\n",
    ]


def test_no_verdicts_are_no_table() -> None:
    """Where nothing failed, there is not even a header, so that no file appears."""
    assert list(report.verdict_rows([])) == []


ids = st.one_of(st.integers(1, 9), st.integers(1, MAX_ID))
verdicts = st.tuples(
    st.builds(Pair, ids, ids),
    st.builds(
        Verdict,
        st.sampled_from([State.FAILED, State.UNKNOWN]),
        st.sampled_from(["bad request", "reply lost"]),
        st.one_of(st.none(), st.integers(100, 599)),
        st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=30),
    ),
)


@effort(max_examples=60, deadline=None)
@given(st.lists(verdicts, min_size=1, max_size=8))
def test_verdicts_are_an_input(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[Pair, Verdict]]
) -> None:
    """The table of what failed reads back as exactly its pairs, whatever the API's words were."""
    text = "".join(report.verdict_rows(told))
    read = read_back(tmp_path_factory.getbasetemp(), "failed.csv", text)
    assert read == ([pair for pair, _ in told], [])


@effort(max_examples=60, deadline=None)
@given(st.lists(st.builds(Pair, ids, ids), max_size=20), st.integers(0, 250))
def test_a_saved_plan_is_an_input(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair], more: int
) -> None:
    """A plan that was written reads back as the same plan, a line for each call."""
    plan = plan_of([*pairs, *(Pair(7, 1000 + run) for run in range(more))])
    lines = list(report.plan_rows(plan.groups()))
    assert len(lines) == plan.figures.calls
    assert all(1 <= len(json.loads(line)["run_ids"]) <= 100 for line in lines)
    read = read_back(tmp_path_factory.getbasetemp(), "plan.jsonl", "".join(lines))
    assert read == (list(plan.pairs()), [])


def test_a_saved_plan_is_the_same_text_each_time() -> None:
    """A plan is written sorted, so that two reviews of it can be compared line by line."""
    pairs = [Pair(2, 5), Pair(1, 9), Pair(2, 4), Pair(1, 9)]
    assert list(report.plan_rows(plan_of(pairs).groups())) == [
        '{"result_id": 1, "run_ids": [9]}\n',
        '{"result_id": 2, "run_ids": [4, 5]}\n',
    ]


# The plan for a reviewer

VIEW = report.PlanView(
    job="nightly",
    base_url="https://api.cekura.ai",
    inputs=(InputFile("in/runs.csv", "ab" * 32, 123),),
    fingerprint=FINGERPRINT,
    counts=Counts(
        rows=12_345,
        rejected=11,
        duplicates=22,
        protected=33,
        already_done=44,
        skipped=55,
        planned=12_180,
        results=66,
        batches=177,
    ),
    biggest=(Biggest(1001, 5_432, 55), Biggest(MAX_ID, 1, 1)),
    ids={"result_id": (1001, MAX_ID), "run_id": (5, 98_765)},
    rejects=(Reject("in/runs.csv", 7, "run id is empty", "1001,"),),
    bad_rows=11,
    rate="10/s",
    seconds=200.0,
    command="bulk-delete run in/runs.csv",
)


def figures(text: str, name: str) -> str:
    """Return what stands behind a name in a text of lines."""
    (line,) = (line for line in text.splitlines() if line.strip().startswith(f"{name}  "))
    return " ".join(line.split()).removeprefix(name).strip()


def test_a_plan_tells_all_that_a_review_needs() -> None:
    """The plan's text has target, job, every count, the ids' range, the biggest and the time."""
    text = report.plan_text(VIEW)
    assert text.splitlines()[0] == "Plan for https://api.cekura.ai, job nightly"
    assert figures(text, "input") == "in/runs.csv"
    assert figures(text, "rows read") == "12,345"
    assert figures(text, "rejected") == "11"
    assert figures(text, "duplicates") == "22"
    assert figures(text, "protected") == "33"
    assert figures(text, "already done") == "44"
    assert figures(text, "skipped") == "55"
    assert figures(text, "runs to delete") == "12,180 in 66 results"
    assert figures(text, "calls").startswith("177 ")
    assert "about 3 min 20 s at 10/s" in figures(text, "calls")
    assert figures(text, "result_id") == f"1001 … {MAX_ID}"
    assert figures(text, "run_id") == "5 … 98765"
    assert figures(text, "1001") == "5,432 runs"
    assert figures(text, str(MAX_ID)) == "1 run"
    assert figures(text, "fingerprint") == FINGERPRINT
    assert text.endswith("\n")


def test_a_plan_leaves_out_what_is_none() -> None:
    """Of counts that are zero, only rows, runs and calls are told, and no job without a name."""
    empty = replace(VIEW, job=None, counts=Counts(*[0] * 9), biggest=(), ids={}, seconds=0.0)
    text = report.plan_text(empty)
    assert text.splitlines()[0] == "Plan for https://api.cekura.ai"
    assert figures(text, "rows read") == "0"
    assert figures(text, "runs to delete") == "0 in 0 results"
    for name in ("rejected", "duplicates", "protected", "already done", "skipped", "biggest"):
        assert name not in text


def test_a_plan_for_scripts_has_every_field() -> None:
    """The plan as JSON has the counts by name, the inputs with their digests, and the ranges."""
    found = json.loads(report.as_json(VIEW.as_dict()))
    assert found["counts"] == VIEW.counts._asdict()
    assert found["inputs"] == [{"path": "in/runs.csv", "sha256": "ab" * 32, "bytes": 123}]
    assert found["ids"] == {"result_id": [1001, MAX_ID], "run_id": [5, 98_765]}
    assert found["biggest"][0] == {"result_id": 1001, "runs": 5432, "calls": 55}
    assert found["rejects"] == [
        {
            "file": "in/runs.csv",
            "line": 7,
            "reason": "run id is empty",
            "text": "1001,",
            "pairs": 1,
        }
    ]
    for name in ("job", "base_url", "fingerprint", "bad_rows", "rate", "seconds", "command"):
        assert found[name] == getattr(VIEW, name)


def test_ranges_are_the_plans() -> None:
    """The ranges span all ids of the plan; of nothing, they are nothing."""
    plan = plan_of([*(Pair(7, run) for run in range(100, 250)), Pair(3, 5), Pair(9, 900)])
    assert report.id_ranges(plan.figures) == {"result_id": (3, 9), "run_id": (5, 900)}
    assert report.id_ranges(plan_of([]).figures) == {}


# The end of an execution

INTAKE = Counts(
    rows=1_000,
    rejected=10,
    duplicates=20,
    protected=30,
    already_done=40,
    skipped=50,
    planned=850,
    results=5,
    batches=12,
)
STATES = {
    State.UNSENT: 1,
    State.IN_DOUBT: 2,
    State.DELETED: 806,
    State.GONE: 4,
    State.FAILED: 5,
    State.UNKNOWN: 6,
    State.WITHHELD: 26,
}
SUMMARY = report.Summary(
    job="nightly",
    execution="6f1c",
    outcome="incomplete",
    exit_code=1,
    reason="ended, but not every run is deleted: 5 failed",
    counts=Books(INTAKE, STATES).as_dict(),
    calls=1_012,
    retries=3,
    seconds=75.0,
    fingerprint=FINGERPRINT,
    base_url="https://api.cekura.ai",
    folder="/state/nightly",
    files=("journal.jsonl", "failed.csv"),
    next="bulk-delete resume nightly",
)


def test_a_summary_tells_how_it_ended() -> None:
    """The summary has the reason, every count, calls, exit code, files and the next step."""
    text = report.summary_text(SUMMARY)
    assert text.splitlines()[0] == "Job nightly: ended, but not every run is deleted: 5 failed"
    assert figures(text, "rows") == "1,000"
    assert figures(text, "rejected") == "10"
    assert figures(text, "duplicates") == "20"
    assert figures(text, "protected") == "30"
    assert figures(text, "already done") == "40"
    assert figures(text, "skipped") == "50"
    assert figures(text, "planned") == "850"
    assert figures(text, "calls") == "1,012 in 1 min 15 s, 3 retries"
    assert figures(text, "exit code") == "1 incomplete"
    assert "in /state/nightly: journal.jsonl, failed.csv\n" in text
    assert text.endswith("Next: bulk-delete resume nightly\n")


def test_no_word_of_a_summary_forges_a_line() -> None:
    """Whatever is in a reason, a folder's name or a command, each takes one line."""
    odd = "a\nExit code 0: all is well\x1b[1m"
    told = replace(SUMMARY, reason=odd, folder=odd, next=odd)
    lines = report.summary_text(told).splitlines()
    assert len(lines) == len(report.summary_text(SUMMARY).splitlines())
    assert sum(r"a\nExit code 0: all is well\x1b[1m" in line for line in lines) == 3


@pytest.mark.parametrize("state", State)
def test_a_summary_tells_every_state(state: State) -> None:
    """No state that a pair can end in is kept back."""
    text = report.summary_text(SUMMARY)
    assert figures(text, state.value.replace("_", " ")) == str(STATES[state])


def test_a_summary_leaves_out_what_is_none() -> None:
    """When all went well, the summary is about what was planned and what was deleted."""
    intake = Counts(2, 0, 0, 0, 0, 0, 2, 1, 1)
    done = replace(
        SUMMARY,
        counts=Books(intake, {State.DELETED: 2}).as_dict(),
        outcome="done",
        exit_code=0,
        retries=0,
        next=None,
    )
    text = report.summary_text(done)
    assert figures(text, "planned") == "2"
    assert figures(text, "deleted") == "2"
    assert figures(text, "exit code") == "0 done"
    for name in ("rejected", "failed ", "unknown", "in doubt", "unsent", "gone", "retr", "Next"):
        assert name not in text


def test_nothing_deleted_is_told() -> None:
    """That no run is deleted is told as a zero, not by silence."""
    intake = Counts(2, 0, 0, 0, 0, 0, 2, 1, 1)
    text = report.summary_text(replace(SUMMARY, counts=Books(intake, {State.UNSENT: 2}).as_dict()))
    assert figures(text, "deleted") == "0"
    assert figures(text, "unsent") == "2"


def test_a_summary_for_scripts_has_every_field() -> None:
    """The summary as JSON says the same as the text, with the counts by name."""
    found = json.loads(report.as_json(SUMMARY.as_dict()))
    assert found["counts"] == dict(SUMMARY.counts)
    assert found["files"] == ["journal.jsonl", "failed.csv"]
    for name in ("job", "outcome", "exit_code", "reason", "calls", "retries", "seconds", "next"):
        assert found[name] == getattr(SUMMARY, name)
    assert report.as_json({"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"}).count("\\u") == 0


def test_bad_rows_are_told_by_file_line_and_reason() -> None:
    """The first bad rows are told one a line, and how many there are beyond them."""
    shown = [
        Reject("a.csv", 3, "run id is empty", "1,"),
        Reject("b.csv", 12, "has a key twice", ""),
    ]
    assert report.rejects_text(shown, 2).splitlines() == [
        "  a.csv, line 3: run id is empty",
        "  b.csv, line 12: has a key twice",
    ]
    assert report.rejects_text(shown, 1_236).splitlines()[2:] == ["  … and 1,234 more"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_time_is_told_as_people_do(seconds: float, words: str) -> None:
    """A time is told in the two units that matter, and 60 of one is never told."""
    assert report.duration(seconds) == words


# Commands to type


def typed(command: str) -> dict[str, object]:
    """Have the real command line read a command, without running it; return what it took."""
    program, verb, *words = shlex.split(command)
    assert program == "bulk-delete"
    with app.make_context("bulk-delete", [verb, *words]) as parent:
        return app.commands[verb].make_context(verb, words, parent=parent).params


NAMES = ["runs.csv", "my runs.csv", "it's.csv", "$(id).csv", "a;b.csv", "*.csv", "-", "-runs.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_can_be_typed(name: str) -> None:
    """Whatever the input is called, the printed command names that input and no other."""
    command = report.command("run", (name, "b.csv"), Settings(), expect=FINGERPRINT)
    taken = typed(command)
    assert isinstance(taken["inputs"], tuple)
    assert tuple(map(os.path.normpath, taken["inputs"])) == (name, "b.csv")
    assert taken["expect"] == FINGERPRINT


@pytest.mark.parametrize("name", ["a\x1b]0;x\x07'b\\.csv", "a\n1.csv", "\u202eé.csv", "\udcff7"])
def test_a_name_that_would_steer_the_terminal_can_be_typed(name: str) -> None:
    """What would not be seen is written as $'…' has it, which a shell takes for the same name."""
    command = report.command("run", (name,), Settings())
    assert command.isprintable()
    line = ["/bin/bash", "-c", f"printf '%s\\0' {command}"]
    told = subprocess.run(line, capture_output=True, check=True)
    assert told.stdout.split(b"\0")[2] == os.fsencode(name)


def test_a_printed_command_holds_what_must_be_the_same() -> None:
    """Settings that decide on what is read and where it goes are in the command, quoted."""
    settings = Settings(
        api=Api(base_url="http://127.0.0.1:8080"),
        input=Input(on_bad_row="skip", result_column="the result", run_column="r", format="csv"),
        state=StateFolder(Path("/my state")),
    )
    taken = typed(report.command("run", ("a.csv",), settings, name="night"))
    expected = {
        "inputs": ("a.csv",),
        "name": "night",
        "api_base_url": "http://127.0.0.1:8080",
        "state_dir": "/my state",
        "input_on_bad_row": "skip",
        "input_result_column": "the result",
        "input_run_column": "r",
        "input_format": "csv",
    }
    assert {name: taken[name] for name in expected} == expected


@pytest.mark.parametrize("verb", ["run", "resume"])
def test_a_printed_command_protects_what_this_one_does(verb: str) -> None:
    """What must never be sent stays protected when the printed command is typed, run or resume."""
    guards = Guards(protect=Path("/my lists/keep.csv"), protect_action="refuse")
    taken = typed(report.command(verb, ("a",), Settings(guards=guards)))
    assert taken["guards_protect"] == "/my lists/keep.csv"
    assert taken["guards_protect_action"] == "refuse"


def test_a_printed_command_keeps_to_the_schedule() -> None:
    """Windows and ends are in the command as they can be given."""
    schedule = Schedule(
        max_time=Seconds(7200),
        until=parse_day_time("05:00 UTC"),
        windows=parse_windows("22:00-06:00 Europe/Berlin, 12:00-13:00"),
        outside="end",
        timezone=ZoneName("Asia/Tokyo"),
    )
    taken = typed(report.command("resume", ("night",), Settings(schedule=schedule)))
    assert parse_seconds(taken["schedule_max_time"]) == schedule.max_time
    assert parse_day_time(taken["schedule_until"]) == schedule.until
    assert parse_windows(taken["schedule_windows"]) == schedule.windows
    assert (taken["schedule_outside"], taken["schedule_timezone"]) == ("end", "Asia/Tokyo")


def test_a_resume_reads_no_input() -> None:
    """A printed `resume` names the job and its place, and has no flag about inputs."""
    settings = Settings(
        api=Api(base_url="http://127.0.0.1:8080"),
        input=Input(on_bad_row="skip", format="csv"),
        state=StateFolder(Path("/my state")),
    )
    command = report.command("resume", ("night",), settings)
    assert typed(command)["job_name"] == "night"
    assert shlex.split(command) == [
        *("bulk-delete", "resume", "night"),
        *("--state-dir", "/my state"),
        *("--base-url", "http://127.0.0.1:8080"),
    ]


def test_a_plain_command_is_short() -> None:
    """What has its default is not repeated."""
    assert report.command("run", ("a.csv",), Settings()) == "bulk-delete run a.csv"


def notice(reason: str, code: int) -> report.Notice:
    return report.Notice("failure", "nightly", "host", reason, "gave_up", code, SUMMARY)


def test_a_notice_is_the_summary_and_what_rules_over_it() -> None:
    """The command's own end stands above the summary's, as JSON and as text."""
    told = json.loads(report.notice_json(notice("reading is forbidden", 5)))
    assert told == {
        **SUMMARY.as_dict(),
        "files": list(SUMMARY.files),
        "event": "failure",
        "host": "host",
        "outcome": "gave_up",
        "exit_code": 5,
        "reason": "reading is forbidden",
    }
    text = report.notice_text(notice("reading is forbidden", 5))
    assert text.splitlines()[0] == "Job nightly: reading is forbidden"
    assert "  exit code                  5   gave_up" in text
    assert "Next: bulk-delete resume nightly" in text
    assert report.notice_title(notice("", 5)) == "bulk-delete nightly on host: exit code 5"


def test_a_notice_is_short() -> None:
    """A reason of any length is cut, as hooks and chats take little."""
    assert len(report.notice_json(notice("x" * 100_000, 5))) < 10_000
    assert len(report.notice_text(notice("x" * 100_000, 5))) < 2_000
