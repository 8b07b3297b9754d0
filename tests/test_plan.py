"""The plan: what is sent, in which batches, and the fingerprint that a review approves."""

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import Input
from bulk_delete.model import MAX_BATCH, MAX_ID, Pair
from bulk_delete.plan import Plan, build
from bulk_delete.sources import Source

ids = st.one_of(st.integers(1, 5), st.integers(1, MAX_ID), st.integers(MAX_ID - 2, MAX_ID))
some_pairs = st.lists(st.builds(Pair, ids, ids), max_size=60)


def reference_fingerprint(pairs: Iterable[Pair]) -> str:
    """Follow the contract's words: sorted, deduplicated, two big-endian 64-bit integers each."""
    numbers = itertools.chain.from_iterable(sorted(set(pairs)))
    return hashlib.sha256(b"".join(number.to_bytes(8, "big") for number in numbers)).hexdigest()


def test_an_empty_plan_is_nothing() -> None:
    """Of no pairs, the plan is no result, no run and no call, and its fingerprint is of nothing."""
    plan = build([])
    assert (plan.rows, plan.duplicates, plan.results, plan.runs, plan.calls) == (0, 0, 0, 0, 0)
    assert (list(plan.pairs()), list(plan.lanes()), plan.biggest()) == ([], [], [])
    assert plan.fingerprint == hashlib.sha256(b"").hexdigest()


@effort(max_examples=100, deadline=None)
@given(some_pairs)
def test_a_plan_is_exactly_the_pairs_that_were_given(pairs: list[Pair]) -> None:
    """A plan yields every given pair once, sorted, and counts rows, doubles, results and runs."""
    plan = build(iter(pairs))
    assert list(plan.pairs()) == sorted(set(pairs))
    assert plan.rows == len(pairs)
    assert plan.runs == len(set(pairs))
    assert plan.duplicates == len(pairs) - len(set(pairs))
    assert plan.results == len({pair.result_id for pair in pairs})


@effort(max_examples=100, deadline=None)
@given(some_pairs, st.randoms(use_true_random=False))
def test_the_fingerprint_is_of_the_set_of_pairs(pairs: list[Pair], rng: Random) -> None:
    """Order and doubles do not change the fingerprint, which is what the contract says it is."""
    shuffled = [*pairs, *pairs[: len(pairs) // 2]]
    rng.shuffle(shuffled)
    assert build(shuffled).fingerprint == build(pairs).fingerprint == reference_fingerprint(pairs)


@effort(max_examples=100, deadline=None)
@given(some_pairs, some_pairs)
def test_other_pairs_have_another_fingerprint(some: list[Pair], others: list[Pair]) -> None:
    """Two plans have one fingerprint only if they are the same set of pairs."""
    same = build(some).fingerprint == build(others).fingerprint
    assert same == (set(some) == set(others))


def test_a_fingerprint_tells_near_plans_apart() -> None:
    """Ids swapped, shifted between result and run, or one left out give other fingerprints."""
    near = [
        [(1, 2)],
        [(2, 1)],
        [(1, 3)],
        [(1, 2), (1, 3)],
        [(1, 2), (2, 3)],
        [(258, 1)],
        [(1, 258)],
    ]
    prints = {build(Pair(*pair) for pair in pairs).fingerprint for pairs in near}
    assert len(prints) == len(near)


def test_a_long_fingerprint_is_the_same_digest() -> None:
    """A plan that is hashed in several pieces has the fingerprint of the whole."""
    pairs = [Pair(result, run) for result in range(1, 8) for run in range(1, 1500)]
    assert build(pairs).fingerprint == reference_fingerprint(pairs)


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
    inputs = [("a.csv",), ("b.jsonl",), ("c.jsonl.gz",), ("c.jsonl.gz", "a.csv")]
    plans = [
        build(
            row
            for row in Source(tuple(str(tmp_path / name) for name in names), Input()).rows()
            if isinstance(row, Pair)
        )
        for names in inputs
    ]
    assert {plan.fingerprint for plan in plans} == {reference_fingerprint(pairs)}
    assert [plan.duplicates for plan in plans] == [0, 4, 0, 9]


def assert_batches(plan: Plan) -> None:
    """Check the contract on batches: at most 100, exactly as many as needed, each run once."""
    for result_id, group in plan.groups.items():
        batches = list(group.batches())
        runs = [run for batch in batches for run in batch]
        assert group.result_id == result_id
        assert all(1 <= len(batch) <= 100 for batch in batches)
        assert len(batches) == group.calls == (len(runs) + 99) // 100
        assert runs == sorted(set(runs)) == list(group.run_ids)
    assert plan.calls == sum(1 for group in plan.groups.values() for _ in group.batches())


@pytest.mark.parametrize(
    ("runs", "calls"), [(1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3), (1000, 10)]
)
def test_a_result_takes_the_fewest_calls(runs: int, calls: int) -> None:
    """N runs of a result go in ceil(N/100) calls, doubles not counted."""
    plan = build(Pair(7, run) for _ in range(2) for run in range(runs, 0, -1))
    assert plan.calls == calls
    assert plan.runs == runs
    assert_batches(plan)


@effort(max_examples=50, deadline=None)
@given(st.dictionaries(ids, st.integers(1, 350), max_size=6), st.randoms(use_true_random=False))
def test_every_group_is_cut_into_full_batches(sizes: dict[int, int], rng: Random) -> None:
    """Whatever the sizes and the order, batches hold one result, each run once, and are full."""
    pairs = [Pair(result, run) for result, size in sizes.items() for run in range(1, size + 1)]
    rng.shuffle(pairs)
    plan = build(pairs)
    assert_batches(plan)
    assert plan.calls == sum((size + 99) // 100 for size in sizes.values())
    assert [group.result_id for group in plan.groups.values()] == sorted(sizes)


def test_the_limit_of_a_call_is_the_contracts() -> None:
    """A call takes at most 100 ids, as the endpoint's document says."""
    assert MAX_BATCH == 100


@effort(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(1, 40), st.integers(1, 320), max_size=8), st.integers(0, 5))
def test_the_most_calls_start_first(sizes: dict[int, int], count: int) -> None:
    """Lanes are all results, most calls first, and the biggest are those with the most runs."""
    plan = build(Pair(result, run) for result, size in sizes.items() for run in range(1, size + 1))
    lanes = [(-((size + 99) // 100), result) for result, size in sizes.items()]
    assert [group.result_id for group in plan.lanes()] == [result for _, result in sorted(lanes)]
    biggest = sorted((-size, result) for result, size in sizes.items())[:count]
    assert [(-len(group.run_ids), group.result_id) for group in plan.biggest(count)] == biggest


@effort(max_examples=100, deadline=None)
@given(some_pairs, st.integers(1, 6))
def test_keep_takes_out_by_pair(pairs: list[Pair], modulus: int) -> None:
    """What is kept are exactly the wanted pairs, without empty results, and the old plan stays."""
    plan = build(pairs)
    before = plan.fingerprint
    kept = plan.keep(lambda result, run: (result + run) % modulus == 0)
    wanted = sorted({pair for pair in pairs if sum(pair) % modulus == 0})
    assert list(kept.pairs()) == wanted
    assert kept.fingerprint == reference_fingerprint(wanted)
    assert (kept.rows, kept.duplicates, kept.runs) == (len(wanted), 0, len(wanted))
    assert set(kept.groups) == {pair.result_id for pair in wanted}
    assert_batches(kept)
    assert build(plan.pairs()).fingerprint == before


def test_keep_asks_once_for_each_pair() -> None:
    """The caller may count in its answer: every pair is asked for once, doubles or not."""
    asked: list[tuple[int, int]] = []

    def wanted(result_id: int, run_id: int) -> bool:
        asked.append((result_id, run_id))
        return False

    kept = build([Pair(2, 1), Pair(1, 2), Pair(2, 1), Pair(1, 1)]).keep(wanted)
    assert asked == [(1, 1), (1, 2), (2, 1)]
    assert kept.results == 0


@effort(max_examples=100, deadline=None)
@given(some_pairs, some_pairs)
def test_a_plan_holds_its_pairs_and_no_other(pairs: list[Pair], others: list[Pair]) -> None:
    """`in` says yes to the plan's pairs, and no to every other, however near."""
    plan = build(pairs)
    near = [Pair(result, run + step) for result, run in pairs for step in (-1, 1)]
    swapped = [Pair(run, result) for result, run in pairs]
    for pair in (*pairs, *near, *swapped, *others):
        assert (pair in plan) == (pair in set(pairs))
