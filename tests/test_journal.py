"""The journal on real files: written, read back, torn, damaged, full."""

import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_delete import events
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.journal.chain import START, Link
from bulk_delete.journal.mark import read_mark, write_mark
from bulk_delete.journal.opening import last_started, recover
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.model import State
from bulk_delete.store import states_told
from tests.made_plans import SCRATCH
from tests.replays import Replay, replay

SENT = events.BatchSent(1, 1, 7, "req-1", (71, 72))
DELETED = events.BatchDeleted(1, 1, 204, 5)
NOW = 1_790_000_000.25


@dataclass(frozen=True)
class Place:
    """A folder with a journal's files in it."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def mark(self) -> Path:
        return self.folder / "journal.mark"

    @property
    def broken(self) -> Path:
        return self.folder / "journal.broken"

    def recover(self) -> History:
        return self.recovered().history

    def recovered(self) -> Replay:
        (history, _), states = states_told(
            lambda sink: recover(self.journal, self.mark, self.broken, sink), SCRATCH, None
        )
        return Replay(history, states)

    @asynccontextmanager
    async def writing(
        self, end: Link = START, sync: Callable[[int], None] = os.fdatasync
    ) -> AsyncIterator[Journal]:
        journal = Journal(self.journal, self.mark, end, now=lambda: NOW, sync=sync)
        async with anyio.create_task_group() as group:
            group.start_soon(journal.serve)
            yield journal
            await journal.close()
            group.cancel_scope.cancel()
        journal.release()

    async def write(self, *lines: events.Event, end: Link = START) -> None:
        async with self.writing(end) as journal:
            for line in lines:
                journal.write(line)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_line_is_what_the_contract_says(place: Place) -> None:
    """A line holds version, number, time, event, its fields in order, and the chain last."""
    await place.write(SENT)
    (line,) = place.journal.read_text().splitlines()
    found = json.loads(line)
    chain = found.pop("chain")
    assert list(found.items()) == [
        ("v", 1),
        ("n", 1),
        ("ts", "2026-09-21T14:13:20.250Z"),
        ("event", "batch.sent"),
        ("batch", 1),
        ("attempt", 1),
        ("result_id", 7),
        ("request_id", "req-1"),
        ("run_ids", [71, 72]),
    ]
    without = line.removesuffix(f',"chain":"{chain}"}}') + "}"
    assert chain == hashlib.sha256(("0" * 32 + without).encode()).hexdigest()[:32]


async def test_each_line_is_chained_to_the_one_before(place: Place) -> None:
    """The second line's chain is made with the first one's."""
    await place.write(SENT, DELETED)
    first, second = (json.loads(line) for line in place.journal.read_text().splitlines())
    line = place.journal.read_text().splitlines()[1]
    without = line.removesuffix(f',"chain":"{second["chain"]}"}}') + "}"
    assert second["chain"] == hashlib.sha256((first["chain"] + without).encode()).hexdigest()[:32]


async def test_files_are_for_this_user_alone(place: Place) -> None:
    """Journal and mark are made with mode 0600."""
    await place.write(SENT)
    assert {path.stat().st_mode & 0o777 for path in (place.journal, place.mark)} == {0o600}


async def test_durable_means_synced(place: Place) -> None:
    """`durable` returns only when the line is in the file and a sync has followed."""
    synced: list[int] = []

    def sync(handle: int) -> None:
        os.fdatasync(handle)
        synced.append(place.journal.read_bytes().count(b"\n"))

    async with place.writing(sync=sync) as journal:
        journal.write(SENT)
        await journal.durable()
        assert synced == [1]


async def test_all_that_wait_share_a_sync(place: Place) -> None:
    """A hundred writers that wait at once are served by a few syncs, not a hundred."""
    syncs: list[int] = []

    def sync(handle: int) -> None:
        os.fdatasync(handle)
        syncs.append(handle)

    async with place.writing(sync=sync) as journal, anyio.create_task_group() as group:

        async def one(number: int) -> None:
            journal.write(events.BatchSent(number, 1, 7, "r", (number,)))
            await journal.durable()

        for number in range(1, 101):
            group.start_soon(one, number)
    assert len(syncs) <= 3
    assert replay(place.journal).history.end.lines == 100


async def test_the_first_failure_ends_the_journal(place: Place) -> None:
    """After a failed sync neither a line nor a wait succeeds, however well the disk does then."""
    failing = [True]

    def sync(_handle: int) -> None:
        if failing.pop():
            failing.append(False)
            raise OSError(5, "Input/output error")

    async with place.writing(sync=sync) as journal:
        journal.write(SENT)
        with pytest.raises(JournalFailed, match="Input/output error"):
            await journal.durable()
        with pytest.raises(JournalFailed):
            journal.write(DELETED)
        with pytest.raises(JournalFailed):
            await journal.durable()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread"), OSError(12, "No memory")]
)
async def test_memory_that_runs_out_ends_the_journal(place: Place, error: Exception) -> None:
    """Where a commit has no memory the journal has failed, as on a failing disk."""

    def sync(_handle: int) -> None:
        raise error

    async with place.writing(sync=sync) as journal:
        journal.write(SENT)
        with pytest.raises(JournalFailed, match="cannot be written"):
            await journal.durable()


async def test_a_line_that_cannot_be_made_ends_the_journal(place: Place) -> None:
    """Where memory runs out over a line no other follows it: its number would be missing."""
    short = False

    def now() -> float:
        if short:
            raise MemoryError
        return NOW

    journal = Journal(place.journal, place.mark, START, now=now)
    async with anyio.create_task_group() as group:
        group.start_soon(journal.serve)
        journal.write(SENT)
        await journal.durable()
        short = True
        with pytest.raises(JournalFailed, match="memory ran out"):
            journal.write(DELETED)
        short = False
        with pytest.raises(JournalFailed):
            journal.write(DELETED)
        await journal.close()
        group.cancel_scope.cancel()
    journal.release()
    history = place.recover()
    assert (history.end.lines, history.damage) == (1, None)


@pytest.mark.parametrize("loss", ["removed", "moved away", "replaced", "folder moved away"])
async def test_a_journal_that_is_gone_has_failed(tmp_path: Path, loss: str) -> None:
    """What is written to a file that no start will find is not on the disk."""
    place = Place(tmp_path / "job")
    place.folder.mkdir()
    async with place.writing() as journal:
        journal.write(SENT)
        await journal.durable()
        match loss:
            case "removed":
                place.journal.unlink()
            case "moved away":
                place.journal.rename(place.broken)
            case "replaced":
                place.broken.write_bytes(place.journal.read_bytes())
                place.broken.rename(place.journal)
            case _:
                place.folder.rename(tmp_path / "away")
        journal.write(DELETED)
        with pytest.raises(JournalFailed, match="removed or moved away"):
            await journal.durable()


def test_a_planted_link_is_not_followed(place: Place) -> None:
    """A symbolic link in the journal's place is refused."""
    place.journal.symlink_to("/dev/full")
    with pytest.raises(JournalFailed, match=r"Too many levels of symbolic links"):
        Journal(place.journal, place.mark, START)


async def test_history_tells_the_states(place: Place) -> None:
    """Reading back gives states, the next batch number and the last execution."""
    await place.write(SENT, DELETED, events.BatchSent(2, 1, 8, "r", (81,)))
    told = replay(place.journal)
    history = told.history
    assert history.damage is None
    assert history.last_batch == 2
    assert history.end.offset == place.journal.stat().st_size
    states = [told.state(*pair) for pair in ((7, 71), (7, 72), (8, 81), (9, 1))]
    assert states == [State.DELETED, State.DELETED, State.IN_DOUBT, State.UNSENT]


async def test_what_was_held_back_is_read_back(place: Place) -> None:
    """Runs that were protected are withheld, or unknown where their batch was in doubt.

    They speak of a batch that is closed, or was never sent; its number is not given again.
    """
    await place.write(
        SENT,
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchSplit(1, (2,)),
        events.BatchUnknown(1, None, "protected", "", (71,), 7),
        events.BatchSent(2, 1, 7, "req-2", (72,), parent=1),
        events.BatchRetry(2, 1, in_doubt=False, wait_s=0.5, status=429),
        events.BatchSplit(2, ()),
        events.BatchUnknown(2, None, "protected", "", (72,), 7),
        events.BatchWithheld(8, (81,)),
        events.BatchUnknown(5, None, "protected", "", (82,), 8),
    )
    told = place.recovered()
    assert (told.history.damage, told.history.last_batch) == (None, 5)
    asked = ((7, 71), (7, 72), (8, 81), (8, 82))
    assert [told.state(*pair) for pair in asked] == [
        State.UNKNOWN,
        State.UNKNOWN,
        State.WITHHELD,
        State.UNKNOWN,
    ]


async def test_going_on_continues_numbers_and_chain(place: Place) -> None:
    """A second execution writes on, and the whole is one sound journal."""
    await place.write(SENT)
    await place.write(DELETED, end=place.recover().end)
    history = place.recover()
    assert (history.end.lines, history.damage) == (2, None)
    assert read_mark(place.mark) == history.end


async def test_a_torn_tail_is_moved_away_at_every_offset(place: Place) -> None:
    """Wherever a crash cuts the last line, the lines before stay and the torn bytes are kept."""
    await place.write(SENT, DELETED)
    whole = place.journal.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first + 1, len(whole)):
        place.journal.write_bytes(whole[:cut])
        place.mark.unlink(missing_ok=True)
        place.broken.unlink(missing_ok=True)
        told = place.recovered()
        assert told.state(7, 71) is State.IN_DOUBT
        assert place.journal.read_bytes() == whole[:first]
        assert place.broken.read_bytes() == whole[first:cut]


async def test_any_flipped_byte_shows(place: Place) -> None:
    """A changed byte anywhere in a journal is damage at its line."""
    await place.write(SENT, DELETED)
    whole = place.journal.read_bytes()
    for at in range(len(whole)):
        place.journal.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        damage = replay(place.journal).history.damage
        assert damage is not None
        assert damage.line == 1 + whole[:at].count(b"\n")


async def test_damage_before_the_mark_is_refused(place: Place) -> None:
    """What was known to be on the disk and is not any more is no crash: nothing is touched."""
    await place.write(SENT, DELETED)
    whole = place.journal.read_bytes()
    for spoilt in (whole[:40] + b"X" + whole[41:], whole[: whole.index(b"\n") + 1], b""):
        place.journal.write_bytes(spoilt)
        with pytest.raises(InvalidInput, match=r"line [12]: .*Nothing was sent"):
            place.recover()
        assert place.journal.read_bytes() == spoilt
        assert not place.broken.exists()


async def test_damage_after_the_mark_keeps_the_lines_before(place: Place) -> None:
    """Damage that a crash may have left costs the lines from there on, and they are kept aside."""
    await place.write(SENT, DELETED, events.BatchSent(2, 1, 8, "r", (81,)))
    lines = place.journal.read_bytes().splitlines(keepends=True)
    link = json.loads(lines[0])
    write_mark(place.mark, Link(1, link["chain"], len(lines[0])))
    place.journal.write_bytes(lines[0] + lines[2])
    history = place.recover()
    assert history.end.lines == 1
    assert place.journal.read_bytes() == lines[0]
    assert place.broken.read_bytes() == lines[2]


async def test_a_mark_of_another_journal_is_refused(place: Place) -> None:
    """A journal that was replaced by another sound one does not match the mark."""
    await place.write(SENT, DELETED)
    write_mark(place.mark, Link(2, "f" * 32, 10))
    with pytest.raises(InvalidInput):
        place.recover()


def test_no_journal_is_an_empty_one(place: Place) -> None:
    """A job that never ran has no history and no damage."""
    history = place.recover()
    assert (history.end, history.started, history.last_batch) == (START, None, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"v": 2}, "version 2"),
        ({"event": "batch.teleported"}, "unknown event 'batch.teleported'"),
        ({"event": "batch.deleted", "batch": 99, "status": 204, "ms": 1}, "batch 99"),
    ],
)
async def test_what_is_not_understood_is_refused(
    place: Place, change: dict[str, Any], told: str
) -> None:
    """An unknown version, an unknown batch event or a stray batch stops before anything is sent."""
    await place.write(SENT)
    (line,) = place.journal.read_text().splitlines()
    rewrite(place.journal, [{**json.loads(line), **change}])
    with pytest.raises(InvalidInput, match=told):
        replay(place.journal)


async def test_unknown_job_events_are_passed_over(place: Place) -> None:
    """A later version's event about the job does not stop this one."""
    await place.write(SENT)
    (line,) = place.journal.read_text().splitlines()
    job_event = {"v": 1, "n": 2, "ts": "2026-01-01T00:00:00.000Z", "event": "job.sang"}
    rewrite(place.journal, [json.loads(line), job_event])
    assert replay(place.journal).history.end.lines == 2


def rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write lines with a chain that is right, as only another program would."""
    chain, text = "0" * 32, ""
    for line in lines:
        line.pop("chain", None)
        body = json.dumps(line, separators=(",", ":"))
        chain = hashlib.sha256((chain + body).encode()).hexdigest()[:32]
        text += body.removesuffix("}") + f',"chain":"{chain}"}}\n'
    path.write_text(text)


STATES: dict[type, State] = {
    events.BatchWithheld: State.WITHHELD,
    events.BatchReopened: State.UNSENT,
    events.BatchFailed: State.FAILED,
}

ids = st.integers(1, 2**63 - 1)
words = st.text(max_size=20)
runs = st.lists(ids, min_size=1, max_size=5, unique=True).map(tuple)


@given(
    st.lists(
        st.one_of(
            st.builds(events.BatchWithheld, ids, runs),
            st.builds(events.BatchReopened, ids, runs),
            st.builds(
                events.BatchFailed,
                st.just(1),
                st.sampled_from([None, 400]),
                words,
                words,
                runs,
                ids,
            ),
            st.builds(
                events.JobFinished,
                words,
                st.integers(0, 255),
                words,
                st.just({"rows": 1}),
                st.just(0.5),
            ),
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, told: list[Any]) -> None:
    """Any texts and ids come back as they were written, and leave the chain sound."""
    place = Place(tmp_path_factory.mktemp("journal"))
    anyio.run(place.write, *told)
    found = place.recovered()
    history = found.history
    assert (history.end.lines, history.damage) == (len(told), None)
    finished = [event for event in told if isinstance(event, events.JobFinished)]
    if finished:
        told_last = {
            name: getattr(history.finished, name) for name in finished[-1].__struct_fields__
        }
        assert told_last == msgspec.structs.asdict(finished[-1])
    else:
        assert history.finished is None
    expected = {
        (event.result_id, run): STATES[type(event)]
        for event in told
        if not isinstance(event, events.JobFinished)
        for run in event.run_ids
    }
    assert {pair: found.state(*pair) for pair in expected} == expected


async def test_a_start_that_is_no_text_is_no_guess(place: Place) -> None:
    """Where the last start cannot be read, which plan it was about is not known; nothing breaks."""
    for byte in (0x00, 0x80, 0xFF):
        place.journal.write_bytes(b'{"v":1,"n":1,"event":"job.started","job":"%c"}\n' % byte)
        assert last_started(place.journal) is None
        place.mark.write_bytes(b'[1,"%c",10]' % byte)
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_mark(place.mark)
