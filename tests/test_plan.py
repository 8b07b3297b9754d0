"""The plan: what is sent, in which batches, and the fingerprint that a review approves."""

import gzip
import hashlib
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.columns import Columns, Mask, Numbers, columns_of
from bulk_delete.config import Input
from bulk_delete.model import MAX_BATCH, MAX_ID, Pair
from bulk_delete.plan import Group, Tally
from bulk_delete.sources import Source
from bulk_delete.store import Builder, Plan
from tests.made_plans import (
    SCRATCH,
    plan_of,
    reference_figures,
    reference_fingerprint,
    self_closing,
)

ids = st.one_of(st.integers(1, 5), st.integers(1, MAX_ID), st.integers(MAX_ID - 2, MAX_ID))
some_pairs = st.lists(st.builds(Pair, ids, ids), max_size=60)


def print_of(pairs: list[Pair]) -> str:
    return plan_of(pairs).figures.fingerprint


def test_an_empty_plan_is_nothing() -> None:
    """Of no pairs, the plan is no result, no run and no call, and its fingerprint is of nothing."""
    plan = plan_of([])
    assert (list(plan.chunks()), list(plan.groups()), list(plan.lanes())) == ([], [], [])
    assert plan.figures == reference_figures([])
    assert plan.figures.fingerprint == hashlib.sha256(b"").hexdigest()


@effort(max_examples=100, deadline=None)
@given(some_pairs)
def test_a_plan_is_exactly_the_pairs_that_were_given(pairs: list[Pair]) -> None:
    """A plan yields every given pair once, sorted, and its figures are those of the pairs."""
    plan = plan_of(pairs)
    assert list(plan.pairs()) == sorted(set(pairs))
    assert plan.figures == reference_figures(pairs)


@effort(max_examples=100, deadline=None)
@given(some_pairs, st.randoms(use_true_random=False))
def test_the_fingerprint_is_of_the_set_of_pairs(pairs: list[Pair], rng: Random) -> None:
    """Order and doubles do not change the fingerprint, which is what the contract says it is."""
    shuffled = [*pairs, *pairs[: len(pairs) // 2]]
    rng.shuffle(shuffled)
    assert print_of(shuffled) == print_of(pairs) == reference_fingerprint(pairs)


@effort(max_examples=100, deadline=None)
@given(some_pairs, some_pairs)
def test_other_pairs_have_another_fingerprint(some: list[Pair], others: list[Pair]) -> None:
    """Two plans have one fingerprint only if they are the same set of pairs."""
    assert (print_of(some) == print_of(others)) == (set(some) == set(others))


def test_a_fingerprint_tells_near_plans_apart() -> None:
    """Ids swapped, shifted between result and run, or one left out give other fingerprints."""
    near = [
        [Pair(1, 2)],
        [Pair(2, 1)],
        [Pair(1, 3)],
        [Pair(1, 2), Pair(1, 3)],
        [Pair(1, 2), Pair(2, 3)],
        [Pair(258, 1)],
        [Pair(1, 258)],
    ]
    assert len({print_of(pairs) for pairs in near}) == len(near)


@effort(max_examples=60, deadline=None)
@given(some_pairs, st.integers(1, 5))
def test_figures_do_not_depend_on_the_pieces(pairs: list[Pair], size: int) -> None:
    """However the pairs pass by, in pieces that cut results or are empty, the figures are theirs.

    Each result is told of once, when it is complete.
    """
    ordered = sorted(set(pairs))
    tally = Tally()
    told: list[tuple[int, int]] = []
    for at in range(0, len(ordered), size):
        for piece in (ordered[at : at + size], []):
            told += zip(*map(np.ndarray.tolist, tally.add(columns_of(piece))), strict=True)
    told += zip(*map(np.ndarray.tolist, tally.end()), strict=True)
    assert tally.figures() == reference_figures(pairs)
    runs = [pair.result_id for pair in ordered]
    assert told == [(result_id, runs.count(result_id)) for result_id in sorted(set(runs))]


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_the_biggest_are_found_wherever_they_stand(size: int) -> None:
    """Of results of many sizes, some of them equal, the ten biggest are named, piece by piece."""
    sizes = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 6, 7]
    pairs = [(result, run) for result, runs in enumerate(sizes) for run in range(runs)]
    tally = Tally()
    for at in range(0, len(pairs), size):
        tally.add(columns_of(pairs[at : at + size]))
    tally.end()
    assert tally.figures() == reference_figures(pairs)


def test_the_fingerprint_does_not_depend_on_the_file(tmp_path: Path) -> None:
    """The same pairs as CSV, as JSON Lines, grouped, packed or in two files are one plan."""
    pairs = [Pair(result, run) for result in (9, 2, MAX_ID) for run in (5, 1, MAX_ID)]
    table = "".join(f"{run};{result}\r\n" for result, run in reversed(pairs))
    (tmp_path / "a.csv").write_text("run_id;result_id\n" + table)
    rows = "".join(json.dumps(pair._asdict()) + "\n" for pair in pairs + pairs[:4])
    (tmp_path / "b.jsonl").write_text(rows)
    groups = "".join(
        json.dumps({"result_id": result, "run_ids": [1, 5, MAX_ID]}) + "\n"
        for result in (2, MAX_ID, 9)
    )
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(groups.encode()))
    found = []
    for names in (("a.csv",), ("b.jsonl",), ("c.jsonl.gz",), ("c.jsonl.gz", "a.csv")):
        with Builder(SCRATCH) as builder:
            for taken in Source(tuple(str(tmp_path / name) for name in names), Input()).rows():
                builder.add(taken.columns)
            plan = self_closing(builder.plan())
        found.append((builder.rows - plan.figures.runs, plan.figures.fingerprint))
    right = reference_fingerprint(pairs)
    assert found == [(0, right), (4, right), (0, right), (9, right)]


def assert_batches(plan: Plan) -> None:
    """Check the contract on batches: at most 100, exactly as many as needed, each run once."""
    calls = 0
    for group in plan.groups():
        batches = list(group.batches())
        runs = [run for batch in batches for run in batch]
        assert all(1 <= len(batch) <= 100 for batch in batches)
        assert len(batches) == group.calls == (len(runs) + 99) // 100
        assert runs == sorted(set(runs)) == group.read(0, group.runs).tolist()
        calls += len(batches)
    assert plan.figures.calls == calls


@pytest.mark.parametrize(
    ("runs", "calls"), [(1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3), (1000, 10)]
)
def test_a_result_takes_the_fewest_calls(runs: int, calls: int) -> None:
    """N runs of a result go in ceil(N/100) calls, doubles not counted."""
    plan = plan_of((7, run) for _ in range(2) for run in range(runs, 0, -1))
    assert (plan.figures.calls, plan.figures.runs) == (calls, runs)
    assert_batches(plan)


@effort(max_examples=50, deadline=None)
@given(st.dictionaries(ids, st.integers(1, 350), max_size=6), st.randoms(use_true_random=False))
def test_every_group_is_cut_into_full_batches(sizes: dict[int, int], rng: Random) -> None:
    """Whatever the sizes and the order, batches hold one result, each run once, and are full."""
    pairs = [Pair(result, run) for result, size in sizes.items() for run in range(1, size + 1)]
    rng.shuffle(pairs)
    plan = plan_of(pairs)
    assert_batches(plan)
    assert plan.figures.calls == sum((size + 99) // 100 for size in sizes.values())
    assert [(group.result_id, group.runs) for group in plan.groups()] == sorted(sizes.items())


def test_batches_are_read_as_they_are_taken() -> None:
    """Of a result of ten million runs, no more than some thousand are read for the first batch."""
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> Numbers:
        asked.append((start, stop))
        return np.arange(start, stop, dtype=np.uint64)

    batches = Group(7, 10_000_000, read).batches()
    assert next(batches) == tuple(range(100))
    assert asked == [(0, 6400)]
    taken = [next(batches) for _ in range(64)]
    assert [run for batch in taken for run in batch] == list(range(100, 6500))
    assert asked == [(0, 6400), (6400, 12_800)]


def test_the_limit_of_a_call_is_the_contracts() -> None:
    """A call takes at most 100 ids, as the endpoint's document says."""
    assert MAX_BATCH == 100


@effort(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(1, 40), st.integers(1, 320), max_size=14))
def test_the_most_calls_start_first(sizes: dict[int, int]) -> None:
    """Lanes are all results, most calls first; the biggest are the ten with the most runs."""
    pairs = [Pair(result, run) for result, size in sizes.items() for run in range(1, size + 1)]
    plan = plan_of(pairs)
    lanes = [(-((size + 99) // 100), result) for result, size in sizes.items()]
    assert [group.result_id for group in plan.lanes()] == [result for _, result in sorted(lanes)]
    biggest = sorted((-size, result) for result, size in sizes.items())[:10]
    assert [(-big.runs, big.result_id) for big in plan.figures.biggest] == biggest


@effort(max_examples=100, deadline=None)
@given(some_pairs, st.integers(1, 6))
def test_keep_takes_out_by_pair(pairs: list[Pair], modulus: int) -> None:
    """What is kept are exactly the wanted pairs, without empty results, and the old plan stays."""
    plan = plan_of(pairs)
    kept = self_closing(plan.keep(lambda some: (some.result_ids + some.run_ids) % modulus == 0))
    wanted = sorted({pair for pair in pairs if sum(pair) % modulus == 0})
    assert list(kept.pairs()) == wanted
    assert kept.figures == reference_figures(wanted)
    assert {group.result_id for group in kept.groups()} == {pair.result_id for pair in wanted}
    assert_batches(kept)
    assert plan_of(plan.pairs()).figures == plan.figures == reference_figures(pairs)


def test_keep_asks_once_for_each_pair() -> None:
    """The caller may count in its answer: every pair is asked for once, doubles or not."""
    asked: list[Pair] = []

    def wanted(columns: Columns) -> Mask:
        asked.extend(columns.pairs())
        return np.zeros(columns.rows, np.bool_)

    kept = self_closing(plan_of([(2, 1), (1, 2), (2, 1), (1, 1)]).keep(wanted))
    assert asked == [(1, 1), (1, 2), (2, 1)]
    assert kept.figures == reference_figures([])


@effort(max_examples=100, deadline=None)
@given(some_pairs, some_pairs)
def test_a_plan_holds_its_pairs_and_no_other(pairs: list[Pair], others: list[Pair]) -> None:
    """A plan says yes to its own pairs, and no to every other, however near, alone or together."""
    plan = plan_of(pairs)
    near = [Pair(result, run + step) for result, run in pairs for step in (-1, 1)]
    swapped = [Pair(run, result) for result, run in pairs]
    asked = sorted({*pairs, *near, *swapped, *others})
    own = [pair in set(pairs) for pair in asked]
    assert plan.holds(columns_of(asked)).tolist() == own
    assert [plan.holds(columns_of([pair])).tolist() for pair in asked] == [[yes] for yes in own]
