"""Plans on a real disk: whatever is spilled, merged and cut, they are the pairs that were given."""

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.columns import AT_ONCE, Columns, columns_of, joined
from bulk_delete.model import MAX_ID, Pair
from bulk_delete.plan import Tally
from bulk_delete.store import (
    Builder,
    Plan,
    Scratch,
    ScratchError,
    SpoiltPlanError,
    open_plan,
    plan_file,
)
from tests.made_plans import SCRATCH, plan_of, reference_figures, self_closing, small

Pairs = list[Pair]
ids = st.one_of(st.integers(0, 6), st.integers(1, MAX_ID), st.integers(2**62, 2**62 + 3))
pairs = st.lists(st.builds(Pair, ids, ids), max_size=40)
large_results = st.dictionaries(st.integers(1, 9), st.integers(90, 220), max_size=3).map(
    lambda sizes: [Pair(result, run) for result in sizes for run in range(sizes[result], 0, -1)]
)


single = st.integers(1, 4)
cases = st.one_of(
    st.tuples(pairs, st.builds(small, st.integers(2, 12), single, single)),
    st.tuples(large_results, st.builds(small, st.integers(40, 150), single, single)),
)
"""Pairs, and sizes under which to handle them; each of these can be entered once."""

Case = tuple[Pairs, contextlib.AbstractContextManager[None]]


def built(given_pairs: Pairs, part_rows: int) -> Plan:
    """Build a plan of pairs that come in parts."""
    with Builder(SCRATCH) as builder:
        for at in range(0, len(given_pairs), part_rows):
            builder.add(columns_of(given_pairs[at : at + part_rows]))
        assert builder.rows == len(given_pairs)
        return self_closing(builder.plan())


def assert_is_plan_of(plan: Plan, wanted: Pairs) -> None:
    """Hold all that a plan tells against a computation in plain Python."""
    ordered = sorted(set(wanted))
    chunks = list(plan.chunks())
    assert all(1 <= chunk.rows <= vars(plan_file)["AT_ONCE"] for chunk in chunks)
    assert joined(chunks).pairs() == list(plan.pairs()) == ordered
    assert plan.figures == reference_figures(ordered)
    runs: dict[int, list[int]] = {}
    for result_id, run_id in ordered:
        runs.setdefault(result_id, []).append(run_id)
    groups = [(group.result_id, group.read(0, group.runs).tolist()) for group in plan.groups()]
    assert groups == list(runs.items())
    lanes = list(plan.lanes())
    order = sorted(runs, key=lambda result_id: (-((len(runs[result_id]) + 99) // 100), result_id))
    assert [lane.result_id for lane in lanes] == order
    for lane in lanes:
        assert [run for batch in lane.batches() for run in batch] == runs[lane.result_id]
    plan.check()


@effort(max_examples=100, deadline=None)
@given(cases, st.integers(1, 20))
def test_a_plan_is_what_was_added(case: Case, part_rows: int) -> None:
    """Pairs in any order, with doubles, in any parts, in memory or spilled, give the one plan."""
    given_pairs, sizes = case
    with sizes:
        assert_is_plan_of(built(given_pairs, part_rows), given_pairs)


@effort(max_examples=50, deadline=None)
@given(cases, st.integers(1, 4))
def test_keep_goes_over_every_border(case: Case, modulus: int) -> None:
    """Of a plan in many pieces, what is kept is a plan of the wanted pairs, and of these alone."""
    given_pairs, sizes = case
    with sizes:
        plan = built(given_pairs, 20)
        kept = self_closing(plan.keep(lambda some: some.run_ids % modulus == 0))
        assert_is_plan_of(kept, [pair for pair in given_pairs if pair.run_id % modulus == 0])
        assert_is_plan_of(plan, given_pairs)


@effort(max_examples=50, deadline=None)
@given(cases, pairs)
def test_a_plan_in_pieces_holds_its_pairs(case: Case, others: Pairs) -> None:
    """Membership is told right for all rows together, for each result's and for each alone."""
    given_pairs, sizes = case
    near = [Pair(result, run + 1) for result, run in given_pairs]
    asked = sorted({*given_pairs[::3], *near[::3], *others})
    own = [pair in set(given_pairs) for pair in asked]
    with sizes:
        plan = built(given_pairs, 20)
        assert plan.holds(columns_of(asked)).tolist() == own
        assert [plan.holds(columns_of([pair])).tolist() for pair in asked] == [[yes] for yes in own]
        for result_id in {pair.result_id for pair in asked}:
            mine = [pair for pair in asked if pair.result_id == result_id]
            assert plan.holds(columns_of(mine)).tolist() == [pair in given_pairs for pair in mine]


@effort(max_examples=40, deadline=None)
@given(cases)
def test_a_saved_plan_is_the_same_plan(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    """The bytes of a plan, saved and opened again, tell what the plan told."""
    path = tmp_path_factory.getbasetemp() / "plan.bin"
    given_pairs, sizes = case
    with sizes:
        plan = built(given_pairs, 20)
        path.write_bytes(b"".join(plan.raw()))
        saved = self_closing(open_plan(path, SCRATCH))
        assert saved.figures == plan.figures
        assert_is_plan_of(saved, given_pairs)


def test_a_plan_of_more_pairs_than_are_sorted_together() -> None:
    """Three times as many pairs as memory is given for, with doubles and a huge result."""
    rng = np.random.default_rng(3)
    runs = np.unique(rng.integers(0, 2**63, AT_ONCE, np.uint64))
    one = Columns(np.full(runs.size, 500, np.uint64), runs)
    many = Columns(rng.integers(1, 1000, AT_ONCE, np.uint64), np.arange(AT_ONCE, dtype=np.uint64))
    unique = joined([one, many.part(many.result_ids != 500)])
    order = np.lexsort((unique.run_ids, unique.result_ids))
    mixed = unique.part(rng.permutation(unique.rows))
    with Builder(SCRATCH) as builder:
        for part in (mixed, mixed.part(slice(0, AT_ONCE))):
            builder.add(part)
        plan = self_closing(builder.plan())
    tally = Tally()
    for at in range(0, unique.rows, AT_ONCE):
        tally.add(unique.part(order[at : at + AT_ONCE]))
    tally.end()
    assert plan.figures == tally.figures()
    plan.check()
    largest = next(plan.lanes())
    assert (largest.result_id, largest.runs) == (500, runs.size)
    taken = [run for batch in largest.batches() for run in batch]
    assert np.array_equal(np.array(taken, np.uint64), runs)


def test_a_result_may_be_larger_than_all_that_is_handled_at_once() -> None:
    """The runs of one result go through many chunks, and are one group, sorted, none twice."""
    given_pairs = [Pair(3, run) for run in range(500, 0, -1)] * 2
    with small(40):
        plan = built([*given_pairs, Pair(2, 1), Pair(4, 1)], 50)
        assert [chunk.rows for chunk in plan.chunks()] == [*[40] * 12, 21, 1]
        assert_is_plan_of(plan, [*given_pairs, Pair(2, 1), Pair(4, 1)])
        assert [(group.result_id, group.runs, group.calls) for group in plan.groups()] == [
            (2, 1, 1),
            (3, 500, 5),
            (4, 1, 1),
        ]


# A saved plan that was spoilt

SAVED = [Pair(1, 5), Pair(1, 6), Pair(3, 7), Pair(9, 1), Pair(9, 2), Pair(9, MAX_ID)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "plan.bin"
    path.write_bytes(b"".join(plan_of(SAVED).raw()))
    return path


@pytest.mark.parametrize("mask", [0x01, 0x80, 0x29])
def test_a_changed_byte_never_makes_other_pairs(saved: Path, mask: int) -> None:
    """A plan with any byte changed is refused, or it is a blank of its header, and all the same."""
    whole = saved.read_bytes()
    taken = 0
    with saved.open("r+b", buffering=0) as file:
        for at, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ mask]), at)
            with contextlib.suppress(SpoiltPlanError):
                plan = self_closing(open_plan(saved, SCRATCH))
                plan.check()
                assert chr(byte).isspace()
                assert plan.figures == reference_figures(SAVED)
                assert list(plan.pairs()) == SAVED
                taken += 1
            os.pwrite(file.fileno(), bytes([byte]), at)
    assert (taken > 0) == (mask == 0x29)  # makes a tab of a blank


def test_a_cut_or_lengthened_plan_is_refused(saved: Path) -> None:
    """A plan that lacks bytes, be it one, or that has more of them, is not opened."""
    size = saved.stat().st_size
    for wrong in (size + 8, size + 1, *range(size - 1, -1, -1)):
        os.truncate(saved, wrong)
        with pytest.raises(SpoiltPlanError):
            open_plan(saved, SCRATCH)


@pytest.mark.parametrize(
    ("numbers", "change"),
    [
        ((6, 7, 8), (9, 3, 1)),
        ((9, 10), (3, 2)),
        ((9, 10), (2, 2)),
        ((11,), (7,)),
        ((11,), (5,)),
        ((11,), (2**64 - 1,)),
        ((9, 10, 11), (2**63, 2**63 + 1, 2**63 + 6)),
    ],
)
def test_an_index_that_shares_the_runs_out_otherwise_is_refused(
    saved: Path, numbers: tuple[int, ...], change: tuple[int, ...]
) -> None:
    """Results in another order, and ends that go back, are equal or lead too far, are refused."""
    whole = np.frombuffer(saved.read_bytes()[2048:], "<u8").copy()
    assert whole.tolist() == [5, 6, 7, 1, 2, MAX_ID, 1, 3, 9, 2, 3, 6]
    whole[list(numbers)] = np.array(change, np.uint64)
    saved.write_bytes(saved.read_bytes()[:2048] + whole.tobytes())
    plan = self_closing(open_plan(saved, SCRATCH))
    with pytest.raises(SpoiltPlanError):
        plan.check()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b'{"v":2,"figures":', "it is of version 2; this program reads 1"),
        (b'{"result_id": 1, ', "it has no header of a plan"),
        (b'{"v":1,"figures":[', "it has no header of a plan"),
    ],
)
def test_what_is_no_plan_of_this_version_is_told(saved: Path, header: bytes, told: str) -> None:
    """A later version's plan and a file of another kind are refused in words."""
    saved.write_bytes(header + saved.read_bytes()[len(header) :])
    with pytest.raises(SpoiltPlanError) as refused:
        open_plan(saved, SCRATCH)
    assert str(refused.value) == told


def test_a_plan_shows_what_it_is(saved: Path) -> None:
    """`head -1` of a saved plan prints its figures: the header is a line of text."""
    line, _, rest = saved.read_bytes().partition(b"\n")
    assert len(line) == 2047
    assert line.startswith(b'{"v":1,"figures":{"runs":6,"results":3,"calls":3,')
    assert len(rest) == 8 * (6 + 2 * 3)


def test_the_longest_header_has_room(tmp_path: Path) -> None:
    """Ten results of the longest ids and as many runs as there may be still make one header."""
    given_pairs = [Pair(MAX_ID - number, MAX_ID) for number in range(12)]
    plan = plan_of(given_pairs)
    path = tmp_path / "plan.bin"
    path.write_bytes(b"".join(plan.raw()))
    assert len(path.read_bytes()[:2048].rstrip()) < 1200  # and 19 digits for each count fit, too
    assert_is_plan_of(self_closing(open_plan(path, SCRATCH)), given_pairs)


# The disk


def test_nothing_has_a_name(tmp_path: Path) -> None:
    """Neither while a plan is built, kept from and read, nor after it, does a file stand there."""
    scratch = Scratch(tmp_path)
    with small(4):
        with Builder(scratch) as builder:
            builder.add(columns_of([Pair(run % 5, run) for run in range(100)]))
            assert list(tmp_path.iterdir()) == []
            plan = builder.plan()
            kept = plan.keep(lambda some: some.run_ids > 50)
            assert kept.figures.runs == 49
            assert list(tmp_path.iterdir()) == []
        plan.close()
        kept.close()
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Have writes beyond a size fail, as on a full disk; the last that fits is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("rows", "at_once", "room"),
    [
        (1000, 10, 100),  # at the first sorted run
        (1000, 10, 5000),  # at a later one
        (1000, 999, 5000),  # at the last one
        (150, 10, 3000),  # at what is merged
        (150, 10, 2048 + 150 * 8),  # at the results behind it
        (150, 10, 2048 + 150 * 8 + 7 * 16 - 4),  # in the middle of the very last write
        (1000, 1000, 5000),  # without any sorted run
    ],
)
def test_a_full_disk_is_told_with_the_cure(
    tmp_path: Path, rows: int, at_once: int, room: int
) -> None:
    """Wherever it shows, a full disk ends in one error, with the place, the reason and the cure.

    Nothing is left behind, no thread goes on, and no file stays open.
    """
    before = threading.active_count()
    lots = columns_of([Pair(run % 7, run) for run in range(rows)])

    def work() -> None:
        with Builder(Scratch(tmp_path)) as builder:
            builder.add(lots)
            builder.plan()

    with small(at_once), no_file_longer_than(room), pytest.raises(ScratchError) as full:
        work()
    assert str(full.value) == (
        f"{tmp_path}: temporary files cannot be written: File too large; "
        "give --state-dir a disk with room for 40 bytes a row"
    )
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_a_disk_that_fills_up_later_is_told_too(tmp_path: Path) -> None:
    """A plan that can be read, but not made a smaller one of, ends in the same error and stays."""
    plan = plan_of(((run % 7, run) for run in range(1000)), Scratch(tmp_path))
    with no_file_longer_than(5000), pytest.raises(ScratchError, match="File too large"):
        plan.keep(lambda some: some.run_ids > 50)
    plan.check()


def test_a_folder_that_cannot_be_written_is_told_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no temporary file can be made, its folder is named, and what to set instead."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    with pytest.raises(ScratchError) as refused:
        plan_of([(1, 2)], Scratch())
    assert str(refused.value) == (
        f"{tmp_path / 'not there'}: temporary files cannot be written: No such file or directory; "
        "set TMPDIR to a disk with room for 40 bytes a row"
    )


def test_a_machine_without_any_temporary_folder_is_told_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even the system's folders can be written, the text names what TMPDIR says."""
    nowhere = str(tmp_path / "not there")
    monkeypatch.setenv("TMPDIR", nowhere)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [nowhere])
    with pytest.raises(ScratchError) as refused:
        plan_of([(1, 2)], Scratch())
    assert str(refused.value) == (
        f"{nowhere}: temporary files cannot be written: No usable temporary directory found in "
        f"{[nowhere]}; set TMPDIR to a disk with room for 40 bytes a row"
    )
