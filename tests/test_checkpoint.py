"""Checkpoints of real journals: believed while nothing was changed, passed over for any other."""

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bulk_delete import events
from bulk_delete.columns import AT_ONCE
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import JobFolder
from bulk_delete.journal.chain import Link
from bulk_delete.journal.mark import write_mark
from bulk_delete.journal.opening import inspect
from bulk_delete.journal.reader import Reader, read
from bulk_delete.ledger import STATES
from bulk_delete.model import Pair, State
from bulk_delete.runner import checkpoint
from bulk_delete.runner.checkpoint import (
    is_worth_it,
    keep_checkpoint,
    load_checkpoint,
    states_since,
)
from bulk_delete.runner.following import Follower
from bulk_delete.store import Plan, states_told, states_writer
from tests.made_plans import SCRATCH, plan_of, small
from tests.replays import replay
from tests.test_journal import Place
from tests.test_soundness import STARTED

PAIRS = [Pair(7, 71), Pair(7, 72), Pair(8, 81), Pair(8, 82)]
LINES: list[events.AnyEvent] = [
    STARTED,
    events.BatchSent(1, 1, 7, "r1", (71, 72)),
    events.BatchFailed(1, 400, "bad request", "no", (71,)),
    events.BatchSent(2, 1, 8, "r2", (81, 82)),
    events.BatchDeleted(2, 1, 204, 5),
    events.BatchReopened(9, (91,)),
]


@pytest.fixture
def plan() -> Plan:
    return plan_of(PAIRS)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path.parent, tmp_path.name)


@pytest.fixture
def place(folder: JobFolder) -> Place:
    return Place(folder.path)


def keep(folder: JobFolder, plan: Plan, lines: int) -> None:
    """Keep a checkpoint of the first lines."""
    with (
        contextlib.closing(states_writer(SCRATCH, plan)) as writer,
        Reader(folder.journal, writer) as reader,
    ):
        reader.go_on(lines=lines)
        keep_checkpoint(folder, writer, reader)


async def write_and_keep(place: Place, folder: JobFolder, plan: Plan, lines: int) -> None:
    await place.write(*LINES)
    keep(folder, plan, lines)


def is_believed(folder: JobFolder, plan: Plan) -> bool:
    loaded = load_checkpoint(folder, plan, SCRATCH)
    if loaded:
        loaded[0].close()
    return loaded is not None


async def test_reading_on_is_reading_all(place: Place, folder: JobFolder, plan: Plan) -> None:
    """From a checkpoint at any line, with batches open or not, the rest makes the same states."""
    await place.write(*LINES)
    whole = replay(folder.journal, plan)
    for lines in range(1, len(LINES)):
        keep(folder, plan, lines)
        assert is_believed(folder, plan)
        history, states = states_since(
            lambda sink, start: read(folder.journal, sink, start=start), folder, plan, SCRATCH
        )
        with contextlib.closing(states):
            assert history == whole.history
            assert list(states.told(plan.chunks())) == list(whole.states.told(plan.chunks()))


async def test_what_is_kept_is_for_this_user_alone(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """A checkpoint has the mode of the journal."""
    await write_and_keep(place, folder, plan, 5)
    assert folder.checkpoint.stat().st_mode & 0o777 == 0o600


async def test_a_checkpoint_changed_anywhere_is_not_believed(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """Whatever byte is changed, lost or added, all of the journal is read."""
    await write_and_keep(place, folder, plan, 4)
    whole = folder.checkpoint.read_bytes()
    assert is_believed(folder, plan)
    for at in range(len(whole)):
        folder.checkpoint.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert not is_believed(folder, plan), at
        folder.checkpoint.write_bytes(whole[:at])
        assert not is_believed(folder, plan), at
    folder.checkpoint.write_bytes(whole + b"0")
    assert not is_believed(folder, plan)


async def test_a_journal_changed_before_the_checkpoint_is_read_whole(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """Whatever byte before it is changed, the checkpoint is passed over, and the damage found."""
    await write_and_keep(place, folder, plan, 4)
    whole = folder.journal.read_bytes()
    upto = sum(len(line) for line in whole.splitlines(keepends=True)[:4])
    for at in range(upto):
        folder.journal.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert not is_believed(folder, plan), at
        assert replay(folder.journal, plan).history.damage, at
    folder.journal.write_bytes(whole[: upto - 1])
    assert not is_believed(folder, plan)
    folder.journal.write_bytes(whole[:upto])
    assert is_believed(folder, plan)


async def test_a_checkpoint_of_other_pairs_is_not_believed(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """What was kept for one plan says nothing of another."""
    await write_and_keep(place, folder, plan, 4)
    assert not is_believed(folder, plan_of([*PAIRS, Pair(9, 91)]))


async def test_a_checkpoint_of_another_version_is_not_believed(
    place: Place, folder: JobFolder, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version of the program took from the lines, this one takes from them itself."""
    await write_and_keep(place, folder, plan, 4)
    monkeypatch.setattr(checkpoint, "__version__", "0.0.1")
    assert not is_believed(folder, plan)


def planted(folder: JobFolder) -> None:
    kept = folder.checkpoint.rename(folder.path / "elsewhere")
    folder.checkpoint.symlink_to(kept)


def emptied(folder: JobFolder) -> None:
    folder.checkpoint.write_bytes(b"")


def made_a_folder(folder: JobFolder) -> None:
    folder.checkpoint.unlink()
    folder.checkpoint.mkdir()


@pytest.mark.parametrize("deed", [planted, emptied, made_a_folder])
async def test_what_is_no_checkpoint_of_ours_is_passed_over(
    place: Place, folder: JobFolder, plan: Plan, deed: Callable[[JobFolder], None]
) -> None:
    """A link, an empty file and a folder in its place do no harm."""
    await write_and_keep(place, folder, plan, 4)
    deed(folder)
    assert not is_believed(folder, plan)


async def test_a_mark_before_the_checkpoint_is_looked_up(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """A mark that says other than the journal is refused, also where nothing is read there."""
    await write_and_keep(place, folder, plan, 5)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    offset = sum(map(len, lines[:2]))
    chain = json.loads(lines[1])["chain"]

    def start() -> None:
        assert is_believed(folder, plan)
        _, states = states_since(
            lambda sink, start: inspect(folder.journal, folder.mark, sink, start),
            folder,
            plan,
            SCRATCH,
        )
        states.close()

    write_mark(folder.mark, Link(2, chain, offset))
    start()
    write_mark(folder.mark, Link(2, "0" * 32, offset))
    with pytest.raises(InvalidInput, match="known to be on the disk"):
        start()


async def test_a_follower_tells_what_a_reading_tells(
    place: Place, folder: JobFolder, plan: Plan
) -> None:
    """The books that were read while the lines came are those that the whole journal gives."""
    async with place.writing() as journal:
        journal.write(STARTED)
        await journal.durable()
        history, states = states_told(lambda sink: read(folder.journal, sink), SCRATCH, plan)
        with contextlib.closing(states):
            async with Follower(folder, journal, history, states, SCRATCH) as follower:
                for line in LINES[1:]:
                    journal.write(line)
                assert follower.books() is None  # not all is on the disk
                await journal.durable()
                books = follower.books()
                assert books
            with contextlib.closing(books[1]):
                whole = replay(folder.journal, plan)
                assert books[0] == whole.history
                assert books[1].count_plan(plan) == whole.states.count_plan(plan)
            codes = states.codes(next(plan.chunks()))
            assert [STATES[code] for code in codes] == [State.UNSENT] * 4


async def test_a_follower_believes_no_damage(place: Place, folder: JobFolder, plan: Plan) -> None:
    """Where somebody changes the journal under way, the books are not made of what was followed."""
    async with place.writing() as journal:
        history, states = states_told(lambda sink: read(folder.journal, sink), SCRATCH, plan)
        with contextlib.closing(states):
            async with Follower(folder, journal, history, states, SCRATCH) as follower:
                for line in LINES:
                    journal.write(line)
                await journal.durable()
                whole = folder.journal.read_bytes()
                with folder.journal.open("r+b") as file:
                    file.write(whole.replace(b"71", b"73"))
                assert follower.books() is None


@pytest.mark.parametrize("lines", [LINES[:5], [STARTED, *LINES[3:5]]], ids=["taking", "keeping"])
async def test_a_follower_that_cannot_keep_its_states_ends_no_job(
    place: Place,
    folder: JobFolder,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[events.AnyEvent],
) -> None:
    """Where the disk for the states fails, the books are left to a reading of the whole journal."""
    monkeypatch.setattr(checkpoint, "EVERY_LINES", 1)
    plan = plan_of([*PAIRS, *(Pair(9, run) for run in range(30))])
    with small(AT_ONCE):
        async with place.writing() as journal:
            history, states = states_told(lambda sink: read(folder.journal, sink), SCRATCH, plan)
            with contextlib.closing(states):
                async with Follower(folder, journal, history, states, SCRATCH) as follower:
                    for line in lines:
                        journal.write(line)
                    await journal.durable()
                    with monkeypatch.context() as full:
                        full.setattr(os, "pwrite", no_space)
                        assert follower.books() is None
                    assert not folder.checkpoint.exists()
                    assert follower.books() is None  # nor is it relied on later


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_checkpoint_waits_for_lines_that_are_worth_it(folder: JobFolder) -> None:
    """A small one is written every 20,000 lines, a large one every so many as take its place."""
    assert [is_worth_it(folder, lines) for lines in (19_999, 20_000)] == [False, True]
    folder.checkpoint.touch()
    os.truncate(folder.checkpoint, 50_000_000)
    assert [is_worth_it(folder, lines) for lines in (49_999, 50_000)] == [False, True]
