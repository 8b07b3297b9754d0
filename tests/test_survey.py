"""What an audit finds: in every place where a journal can be damaged, and against every rule."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bulk_delete import events
from bulk_delete.journal.mark import read_mark
from bulk_delete.journal.rules import Rules
from bulk_delete.journal.survey import Finding, Survey
from bulk_delete.ledger import Step
from bulk_delete.model import State, Verdict
from tests.test_journal import Place
from tests.test_soundness import STARTED

COUNTS = dict.fromkeys(
    ("rejected", "duplicates", "protected", "already_done", "skipped"), 0
) | dict.fromkeys((state.value for state in State), 0)
FINISHED = events.JobFinished(
    "done", 0, "every run is deleted", COUNTS | {"rows": 4, "planned": 4, "deleted": 4}, 1.0
)
SENT = events.BatchSent(1, 1, 7, "r1", (71, 72))
DELETED = events.BatchDeleted(1, 1, 204, 5)
WHOLE: list[events.AnyEvent] = [
    STARTED,
    SENT,
    DELETED,
    events.BatchSent(2, 1, 8, "r2", (81, 82)),
    events.BatchRetry(2, 1, in_doubt=True, wait_s=0.1, error="reset"),
    events.BatchSent(2, 2, 8, "r3"),
    events.BatchDeleted(2, 2, 204, 5),
    FINISHED,
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Nobody:
    """An auditor who has no complaints."""

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: Verdict | None = None
    ) -> None: ...

    def complaints(self) -> list[str]:
        return []

    def ended(self, _: events.JobStarted, __: events.JobFinished) -> Iterator[str]:
        return iter(())


def survey_of(place: Place) -> tuple[list[Finding], Survey]:
    survey = Survey(place.journal, read_mark(place.mark), Nobody())
    return list(survey.findings()), survey


async def test_a_whole_journal_has_no_findings(place: Place) -> None:
    """What was written is sound to its end."""
    await place.write(*WHOLE)
    found, survey = survey_of(place)
    assert found == []
    assert survey.sound
    assert (survey.line, survey.executions, survey.lost) == (len(WHOLE), 1, 0)
    assert survey.sound_to == read_mark(place.mark)


async def test_every_flipped_byte_is_found_at_its_line(place: Place) -> None:
    """Whatever byte of a journal is changed, its line is named, and the lines before it are sound.

    A changed newline joins two lines, so the one after may be named instead of it.
    """
    await place.write(*WHOLE)
    whole = place.journal.read_bytes()
    for at in range(len(whole)):
        place.journal.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found, survey = survey_of(place)
        line = 1 + whole[:at].count(b"\n")
        assert found[0].line == line
        assert survey.sound_to.lines == line - 1
        assert not survey.sound


@pytest.mark.parametrize("byte", [0x00, 0x80, 0xC3, 0xFF])
async def test_bytes_that_are_no_text_are_damage_like_any(place: Place, byte: int) -> None:
    """A byte that cannot stand in UTF-8 is told at its line, wherever it is."""
    await place.write(STARTED, SENT)
    whole = place.journal.read_bytes()
    for at in range(len(whole)):
        place.journal.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
        found, _ = survey_of(place)
        assert found[0].line == 1 + whole[:at].count(b"\n")


async def test_every_lost_line_is_found(place: Place) -> None:
    """Any lines that are taken out, in the middle or at the end, are counted as lost."""
    await place.write(*WHOLE)
    lines = place.journal.read_bytes().splitlines(keepends=True)
    for first, last in itertools.combinations(range(len(lines) + 1), 2):
        place.journal.write_bytes(b"".join(lines[:first] + lines[last:]))
        found, survey = survey_of(place)
        assert survey.lost == last - first
        assert survey.sound_to.lines == first
        assert found[0].line == first + 1


async def test_every_swap_and_every_copy_is_found(place: Place) -> None:
    """Lines in another order, and lines that stand twice, are named."""
    await place.write(*WHOLE)
    lines = place.journal.read_bytes().splitlines(keepends=True)
    for first, second in itertools.combinations(range(len(lines)), 2):
        swapped = list(lines)
        swapped[first], swapped[second] = lines[second], lines[first]
        place.journal.write_bytes(b"".join(swapped))
        found, survey = survey_of(place)
        assert found[0].line == first + 1
        assert not survey.sound
        place.journal.write_bytes(b"".join([*lines[:second], lines[first], *lines[second:]]))
        found, _ = survey_of(place)
        assert found[0].line == second + 1


async def test_each_damage_shows_by_itself(place: Place) -> None:
    """Two changed lines far from each other are two findings, not all lines from the first on."""
    await place.write(*WHOLE)
    lines = place.journal.read_bytes().splitlines(keepends=True)
    for number in (2, 6):
        lines[number] = lines[number].replace(b'"ms":5', b'"ms":6')
    place.journal.write_bytes(b"".join(lines))
    found, survey = survey_of(place)
    assert [finding.line for finding in found] == [3, 7]
    assert survey.lost == 0


async def test_a_journal_that_was_written_anew_is_found(place: Place) -> None:
    """A sound journal that is not the one the mark was made for is none."""
    await place.write(*WHOLE)
    mark = place.mark.read_bytes()
    place.journal.unlink()
    place.mark.unlink()
    await place.write(STARTED, *WHOLE[:-1])
    place.mark.write_bytes(mark)
    found, survey = survey_of(place)
    assert [finding.line for finding in found] == [len(WHOLE)]
    assert "journal.mark" in found[0].what
    assert not survey.sound


async def test_a_missing_mark_is_told(place: Place) -> None:
    """Without its mark a journal may have lost its end, which is said, but nothing is damaged."""
    await place.write(*WHOLE)
    place.mark.unlink()
    found, survey = survey_of(place)
    assert [finding.line for finding in found] == [len(WHOLE) + 1]
    assert survey.sound


def broken_by(*told: events.AnyEvent) -> list[str]:
    rules = Rules()
    return [what for event in told for what in rules.look(event)]


SPLIT = events.BatchSplit(1, (2, 3))
HALF = events.BatchSent(2, 1, 7, "r2", (71,), parent=1)
RULES: dict[str, tuple[list[events.AnyEvent], str]] = {
    "before any start": ([SENT], "outside any execution"),
    "after the end": ([STARTED, FINISHED, SENT], "outside any execution"),
    "a number twice": ([STARTED, SENT, DELETED, SENT], "number 1 was used"),
    "no runs": ([STARTED, events.BatchSent(1, 1, 7, "r")], "names no runs"),
    "too many runs": (
        [STARTED, events.BatchSent(1, 1, 7, "r", tuple(range(1, 102)))],
        "has 101 runs",
    ),
    "a run twice": ([STARTED, events.BatchSent(1, 1, 7, "r", (71, 71))], "names a run twice"),
    "two calls at once": (
        [STARTED, SENT, events.BatchSent(2, 1, 7, "r", (73,))],
        "result 7 has a call without outcome already, batch 1",
    ),
    "an attempt out of turn": (
        [
            STARTED,
            SENT,
            events.BatchRetry(1, 1, in_doubt=False, wait_s=0, status=429),
            events.BatchSent(1, 3, 7, "r"),
        ],
        "is attempt 3, the one before was 1",
    ),
    "another result": (
        [
            STARTED,
            SENT,
            events.BatchRetry(1, 1, in_doubt=False, wait_s=0, status=429),
            events.BatchSent(1, 2, 8, "r"),
        ],
        "is for result 8",
    ),
    "an attempt of nothing": ([STARTED, events.BatchSent(1, 2, 7, "r")], "which is not open"),
    "an outcome of nothing": ([STARTED, DELETED], "batch 1 is not open"),
    "an outcome of another attempt": (
        [STARTED, SENT, events.BatchDeleted(1, 2, 204, 5)],
        "attempt 2 of batch 1 is not waiting",
    ),
    "two outcomes": (
        [
            STARTED,
            SENT,
            events.BatchRetry(1, 1, in_doubt=False, wait_s=0, status=429),
            DELETED,
        ],
        "attempt 1 of batch 1 is not waiting",
    ),
    "no proof": ([STARTED, SENT, events.BatchDeleted(1, 1, 200, 5)], "status 200, which proves"),
    "a half of nothing": ([STARTED, HALF], "batch 1 was not split into it"),
    "a half of others": (
        [STARTED, SENT, SPLIT, events.BatchSent(2, 1, 7, "r2", (79,), parent=1)],
        "runs that batch 1 did not have",
    ),
    "halves that were sent": (
        [STARTED, SENT, events.BatchSplit(1, (1, 2))],
        "number 1 was used",
    ),
    "a split of nothing": ([STARTED, SPLIT], "batch 1 is not open"),
    "runs of others": (
        [STARTED, SENT, events.BatchFailed(1, 400, "bad", "", run_ids=(79,))],
        "does not have",
    ),
    "a failure of nothing": ([STARTED, events.BatchFailed(1, 400, "bad", "")], "is not open"),
    "another API": (
        [STARTED, FINISHED, msgspec.structs.replace(STARTED, base_url="http://other")],
        "is for http://other",
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_a_broken_rule_is_told(case: str) -> None:
    """What cannot follow is named in words, once."""
    told, words = RULES[case]
    (what,) = broken_by(*told)
    assert words in what


def test_books_that_do_not_balance_are_told() -> None:
    """Each sum of the books is held against its parts."""
    counts = COUNTS | {"rows": 4, "planned": 4, "deleted": 4}
    for name in counts:
        if name != "rows":
            wrong = events.JobFinished("done", 0, "", counts | {name: counts[name] + 1}, 1.0)
            assert broken_by(STARTED, wrong) != []
        lacking = {key: count for key, count in counts.items() if key != name}
        (what,) = broken_by(STARTED, events.JobFinished("done", 0, "", lacking, 1.0))
        assert f"lacks the counts {name}" in what
    assert broken_by(STARTED, FINISHED) == []
