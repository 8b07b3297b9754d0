"""What must never be sent: read from real files, and looked at again when they change."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.columns import columns_of
from bulk_delete.errors import GaveUp, InvalidInput
from bulk_delete.model import MAX_ID, Pair
from bulk_delete.runner.protection import Protection
from bulk_delete.runner.shield import Shield
from bulk_delete.store import Scratch
from tests.made_plans import SCRATCH, small

EMPTY = (
    "is empty, as a file is that is being written; where nothing is to be protected, leave "
    "--protect out"
)
UNSURE = "so it is not known what to protect; mend the file\n"
LINE = "  {path}, line"
WRONG = "result id 'x' is not a whole decimal number"
ASKED = [Pair(1, 1), Pair(1, 2), Pair(2, 1), Pair(2, 2), Pair(3, 1), Pair(MAX_ID, MAX_ID)]

Protect = Callable[..., Protection]


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


@pytest.fixture
def protect() -> Iterator[Protect]:
    """Make protections that are closed in the end."""
    made: list[Protection] = []

    def make(path: Path, kind: type[Protection] = Protection) -> Protection:
        made.append(kind(path, SCRATCH))
        return made[-1]

    yield make
    for protection in made:
        protection.close()


def covered(protection: Protection) -> list[Pair]:
    """Return those of the pairs asked for that are protected, asked together and one by one."""
    told = protection.covers(columns_of(ASKED)).tolist()
    assert told == [protection.covers(columns_of([pair])).tolist()[0] for pair in ASKED]
    return [pair for pair, yes in zip(ASKED, told, strict=True) if yes]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "result_id\n1\n3\n", [(1, 1), (1, 2), (3, 1)]),
        ("a.csv", "result_id;owner\n1;me\n", [(1, 1), (1, 2)]),
        ("a.csv", "result_id,run_id\n1,2\n2,1\n2,7\n", [(1, 2), (2, 1)]),
        ("a.csv", f"run_id,result_id\n{MAX_ID},{MAX_ID}\n", [(MAX_ID, MAX_ID)]),
        ("a.csv", "result_id,run_id\n", []),
        ("a.txt", '{"result_id": 2, "run_id": 2}\n', [(2, 2)]),
        ("a.jsonl", '{"result_id": 1, "run_ids": [2, 9]}\n', [(1, 2)]),
        ("a.jsonl", '{"result_id": 2}\n{"result_id": 9, "why": "x"}\n', [(2, 1), (2, 2)]),
        (
            "a.jsonl",
            '{"result_id": 1, "run_id": 1}\n{"result_id": 2}\n{"result_id": 3, "run_ids": [1]}\n',
            [(1, 1), (2, 1), (2, 2), (3, 1)],
        ),
    ],
)
def test_a_file_protects_what_it_names(
    tmp_path: Path, protect: Protect, name: str, text: str, expected: list[tuple[int, int]]
) -> None:
    """Results, runs, grouped runs, or all of these, protect just these, whatever the form."""
    path = tmp_path / name
    path.write_text(text)
    assert covered(protect(path)) == expected
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert covered(protect(packed)) == expected


ids = st.integers(1, 5)


@effort(max_examples=60, deadline=None)
@given(st.sets(ids), st.sets(st.tuples(ids, ids)), st.sets(st.tuples(ids, ids), min_size=1))
def test_any_mixture_protects_its_results_and_its_runs(
    tmp_path_factory: pytest.TempPathFactory,
    results: set[int],
    runs: set[tuple[int, int]],
    asked: set[tuple[int, int]],
) -> None:
    """A run is protected if its result is, or if it is itself; however the file is cut up."""
    path = tmp_path_factory.getbasetemp() / "keep.jsonl"
    rows = [{"result_id": result} for result in results]
    rows += [{"result_id": result, "run_id": run} for result, run in runs]
    path.write_text("\n" + "".join(f"{json.dumps(row)}\n" for row in rows))
    with small(5):
        protection = Protection(path, SCRATCH)
        told = protection.covers(columns_of(sorted(asked))).tolist()
        protection.close()
    assert told == [pair[0] in results or pair in runs for pair in sorted(asked)]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (
            "a.csv",
            b"result_id,run_id\n1,\nx,2\n",
            f"2 rows are bad, {UNSURE}{LINE} 2: run id is empty\n{LINE} 3: {WRONG}",
        ),
        (
            "a.jsonl",
            b'{"run_id": 1}\n',
            f"1 row is bad, {UNSURE}{LINE} 1: has no 'result_id'",
        ),
        ("a.csv", b"\n", "is empty; it needs the header result_id"),
        ("a.jsonl", b"", EMPTY),
        ("a.csv.gz", b"result_id\n1\n", "is named .gz but is not packed so; it may have been cut"),
    ],
)
def test_a_file_that_is_not_sure_is_refused(
    tmp_path: Path, protect: Protect, name: str, data: bytes, told: str
) -> None:
    """A bad row, no content and damage are refused, with the flag, the file and what to do."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as refused:
        protect(path)
    found = "\n".join(filter(None, [refused.value.reason, refused.value.listing]))
    assert found == f"--protect {path}: {told.format(path=path)}"


def test_a_header_without_results_is_refused(tmp_path: Path, protect: Protect) -> None:
    """A table of which no column holds results is refused, with the line and what it should be."""
    path = tmp_path / "keep.csv"
    path.write_text("result,run\n1,2\n")
    with pytest.raises(InvalidInput) as refused:
        protect(path)
    assert refused.value.reason == (
        f"--protect {path}, line 1: the header has no column 'result_id', only 'result', 'run'; "
        "the first line must be result_id"
    )


def test_only_the_first_bad_rows_are_named(tmp_path: Path, protect: Protect) -> None:
    """Of many bad rows, twenty are named, and how many there are beyond them."""
    path = tmp_path / "keep.csv"
    path.write_text("result_id\n" + "x\n" * 1234)
    with pytest.raises(InvalidInput, match=r": 1,234 rows are bad, ") as refused:
        protect(path)
    lines = refused.value.listing.splitlines()
    assert len(lines) == 20 + 1
    assert lines[-1] == "  … and 1,214 more"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, protect: Protect) -> None:
    """No file is no protection: it is refused with its name, and so is a folder."""
    with pytest.raises(InvalidInput) as refused:
        protect(tmp_path / "no.csv")
    assert refused.value.reason == (
        f"--protect {tmp_path / 'no.csv'}: cannot be opened: No such file or directory"
    )
    with pytest.raises(InvalidInput, match=f"--protect {tmp_path}: is a folder"):
        protect(tmp_path)


def test_standard_input_is_refused(protect: Protect) -> None:
    """What can be read only once cannot be looked at again."""
    with pytest.raises(InvalidInput) as refused:
        protect(Path("-"))
    assert refused.value.reason == "--protect: standard input cannot be read again; name a file"


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    """Where the temporary files cannot be made, the text says so, and of which file they are."""
    path = tmp_path / "keep.csv"
    path.write_text("result_id\n1\n")
    told = f"--protect {path}: {tmp_path / 'no'}: temporary files cannot be written: No such file"
    with pytest.raises(InvalidInput, match=told):
        Protection(path, Scratch(tmp_path / "no"))


def replace(path: Path, text: str | None) -> None:
    """Put a new file in the place of one in one step, as an operator should, or none."""
    if text is None:
        path.unlink()
        return
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    path = tmp_path / "keep.csv"
    path.write_text("result_id\n1\n")
    return path


def test_a_change_is_seen_and_taken_over_when_told(keep: Path, protect: Protect) -> None:
    """A file that is replaced, written to, touched or removed has changed; what was read holds.

    What is read anew holds once it is taken, and then nothing has changed any more.
    """
    protection = protect(keep)
    assert not protection.changed
    replace(keep, "result_id\n2\n")
    assert protection.changed
    assert covered(protection) == [(1, 1), (1, 2)]
    protection.take(protection.read())
    assert not protection.changed
    assert covered(protection) == [(2, 1), (2, 2)]
    with keep.open("a") as file:
        file.write("3\n")
    assert protection.changed
    protection.take(protection.read())
    assert covered(protection) == [(2, 1), (2, 2), (3, 1)]
    os.utime(keep, ns=(1, 1))
    assert protection.changed
    protection.take(protection.read())
    keep.unlink()
    assert protection.changed


def test_a_failed_look_changes_nothing(keep: Path, protect: Protect) -> None:
    """What was protected stays so where the new file cannot be read, and it still has changed."""
    protection = protect(keep)
    replace(keep, "result_id\nx\n")
    with pytest.raises(InvalidInput):
        protection.read()
    assert protection.changed
    assert covered(protection) == [(1, 1), (1, 2)]


# The shield


class Told:
    """Counts how often a file was told to be renewed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_just_the_protected_runs_are_held_back(tmp_path: Path, protect: Protect) -> None:
    """Of a batch its protected runs are held back: all, some or none, and of no other result."""
    path = tmp_path / "keep.jsonl"
    path.write_text('{"result_id": 1}\n{"result_id": 2, "run_ids": [5, 7, 8]}\n')
    told = Told()
    shield = Shield(protect(path), told)
    assert await shield.held_back(1, (1, 2)) == {1, 2}
    assert await shield.held_back(2, (4, 5, 6, 7)) == {5, 7}
    assert await shield.held_back(2, (4, 6, 9)) == frozenset()
    assert await shield.held_back(3, (5,)) == frozenset()
    assert told.times == 0


async def test_a_new_file_holds_from_the_next_question_on(keep: Path, protect: Protect) -> None:
    """A replaced file is read before the next answer, once for all that ask at the time."""
    told = Told()
    shield = Shield(protect(keep), told)
    answers: dict[int, frozenset[int]] = {}

    async def ask(result_id: int) -> None:
        answers[result_id] = await shield.held_back(result_id, (10, 11))

    async def ask_all() -> None:
        async with anyio.create_task_group() as group:
            for result_id in range(1, 6):
                group.start_soon(ask, result_id)

    await ask_all()
    assert answers == {1: {10, 11}, 2: set(), 3: set(), 4: set(), 5: set()}
    replace(keep, "result_id,run_id\n2,10\n5,11\n")
    await ask_all()
    assert answers == {1: set(), 2: {10}, 3: set(), 4: set(), 5: {11}}
    assert told.times == 1
    replace(keep, "result_id\n4\n")
    await ask_all()
    assert answers == {1: set(), 2: set(), 3: set(), 4: {10, 11}, 5: set()}
    assert told.times == 2


class Late(Protection):
    """Its file is whole again only when it is read for the fourth time after the first."""

    reads = 0

    def read(self) -> Any:
        self.reads += 1
        if self.reads == 5:
            replace(self._path, "result_id\n3\n")
        return super().read()


@pytest.mark.parametrize("text", [None, "", "result_id\n1,\n", "result\n1\n"])
async def test_a_file_that_is_being_written_is_waited_for(
    keep: Path, protect: Protect, text: str | None
) -> None:
    """A file that is missing or not whole for a moment delays the answer by that moment."""
    told = Told()
    shield = Shield(protect(keep, Late), told)
    replace(keep, text)
    began = anyio.current_time()
    assert await shield.held_back(1, (1,)) == frozenset()
    assert await shield.held_back(3, (1,)) == {1}
    assert anyio.current_time() - began == pytest.approx(1.5, abs=0.1)
    assert told.times == 1


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path, protect: Protect) -> None:
    """A list that is overwritten in place, and given its old time again, has changed."""
    keep = tmp_path / "keep.csv"
    keep.write_text("result_id\n999999\n")
    protection = protect(keep)
    before = keep.stat()
    keep.write_text("result_id\n001010\n")
    os.utime(keep, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert keep.stat().st_size == before.st_size
    assert protection.changed


def test_what_cannot_be_read_again_is_refused(tmp_path: Path, protect: Protect) -> None:
    """A pipe is no list: the file is looked at again before each call."""
    keep = tmp_path / "keep.csv"
    os.mkfifo(keep)
    with pytest.raises(InvalidInput) as refused:
        protect(keep)
    assert refused.value.reason == f"--protect {keep}: cannot be read again; name a file"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be opened: No such file or directory"),
        ("", EMPTY),
        (
            "result_id\n1\nx\n",
            f"1 row is bad, {UNSURE.rstrip()}; {LINE.strip()} 3: {WRONG}",
        ),
    ],
)
async def test_a_file_that_stays_unreadable_ends_the_job(
    keep: Path, protect: Protect, text: str | None, why: str
) -> None:
    """After four looks within two seconds the shield gives up, with the file, reason and effect."""
    told = Told()
    shield = Shield(protect(keep), told)
    replace(keep, text)
    began = anyio.current_time()
    with pytest.raises(GaveUp) as ended:
        await shield.held_back(9, (1,))
    assert ended.value.reason == (
        f"--protect {keep}: {why.format(path=keep)}; nothing is sent while it is not known what is "
        "protected"
    )
    assert anyio.current_time() - began == pytest.approx(1.5, abs=0.1)
    assert told.times == 0
