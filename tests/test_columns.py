"""Pairs as columns of numbers: the same as sorting, searching and counting pair by pair."""

from bisect import bisect_right
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.columns import (
    AT_ONCE,
    NO_PAIRS,
    Columns,
    Numbers,
    ascending,
    big_endian,
    columns_of,
    grouped,
    is_in,
    joined,
    rows_up_to,
)
from bulk_delete.model import MAX_ID, Pair

small = st.integers(0, 5)
wide = st.integers(0, MAX_ID)
ends = st.sampled_from([0, 1, 2**20, 2**32, 2**43, 2**44, 2**62, MAX_ID - 1, MAX_ID])
alike = st.builds(
    lambda high, low: high + low,
    st.sampled_from([0, 2**40, 2**62, 2**62 + 2**40]),
    st.one_of(small, st.integers(0, 2**39)),
)
"""Far apart or next to each other, and then alike in all their leading bits."""

Pairs = list[Pair]
kinds = [small, wide, ends, alike]
pairs: st.SearchStrategy[Pairs] = st.one_of(
    [st.lists(st.builds(Pair, *chosen), max_size=80) for chosen in product(kinds, kinds)]
)


@effort(max_examples=300, deadline=None)
@given(pairs)
@example([Pair(0, 0), Pair(MAX_ID, MAX_ID), Pair(0, MAX_ID), Pair(MAX_ID, 0), Pair(0, 0)])
@example([Pair(5, 2**63 - 1), Pair(5, 0), Pair(5, 2**63 - 1)])
@example([Pair(1, MAX_ID), Pair(0, MAX_ID), Pair(1, 0), Pair(0, 0), Pair(1, 0)])
@example([Pair(2**62 + 3, 2), Pair(2**62 + 3, 1), Pair(2**62 + 2, 9), Pair(1, 2)])
def test_ascending_is_sorted_without_doubles(given_pairs: Pairs) -> None:
    """Whatever the ids, pairs come sorted and once each, and what was given stays as it was."""
    columns = columns_of(given_pairs)
    assert ascending(columns).pairs() == sorted(set(given_pairs))
    assert columns.pairs() == given_pairs


@pytest.mark.parametrize("shared_bits", [0, 30, 50])
@pytest.mark.parametrize(
    ("results", "runs"),
    [
        (10_000, 50),
        (2**31, 2**32),
        (2**31, 2**40),
        (2**63, 2**63),
        (2**63, 2),
        (3, 2**63),
    ],
)
def test_many_pairs_are_sorted(results: int, runs: int, shared_bits: int) -> None:
    """Tens of thousands of pairs, a part of them twice, and some alike in their leading bits."""
    rng = np.random.default_rng(1)

    def drawn(below: int) -> Numbers:
        ids = rng.integers(0, below, 20_000, np.uint64)
        few = ids[:16] >> np.uint64(shared_bits) << np.uint64(shared_bits)
        near = few[rng.integers(0, 16, 10_000)] + ids[:10_000] % np.uint64(2**shared_bits)
        return np.concatenate([ids[10_000:], near])

    unique = Columns(drawn(results), drawn(runs))
    columns = joined([unique, unique.part(slice(0, 15_000))])
    assert ascending(columns).pairs() == sorted(set(columns.pairs()))


def test_as_many_pairs_as_ever_are_sorted_together() -> None:
    """Twice AT_ONCE rows, the most there may be, come out in order even in the widest case."""
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 2**63, (2, AT_ONCE), np.uint64)
    ids[0] >>= 43
    ids[0] <<= 43  # a million results at most, so that many runs share one
    columns = Columns(*ids)
    order = np.lexsort((columns.run_ids, columns.result_ids))
    found = ascending(joined([columns.part(slice(None, None, -1)), columns]))
    assert [np.array_equal(*both) for both in zip(found, columns.part(order), strict=True)] == [
        True,
        True,
    ]


@effort(max_examples=100, deadline=None)
@given(pairs, pairs)
def test_rows_up_to_a_pair(given_pairs: Pairs, others: Pairs) -> None:
    """As many rows are counted as are not above the pair, be it among them or not."""
    ordered = sorted(set(given_pairs))
    columns = columns_of(ordered)
    for pair in (*given_pairs, *others, Pair(0, 0), Pair(MAX_ID, MAX_ID)):
        assert rows_up_to(columns, pair) == bisect_right(ordered, pair)


@effort(max_examples=100, deadline=None)
@given(pairs, pairs)
@example([Pair(1, 256), Pair(256, 1)], [Pair(1, 1), Pair(1, 256)])
@example([Pair(0, 0)], [Pair(0, 1)])
def test_what_is_in_is_in(asked: Pairs, others: Pairs) -> None:
    """Each row is told to be among the others or not, in the order asked, near ones included."""
    near = [Pair(result, run ^ 1) for result, run in others]
    swapped = [Pair(run, result) for result, run in others]
    rows = [*asked, *others, *near, *swapped]
    among = is_in(columns_of(rows), columns_of(sorted(set(others))))
    assert among.tolist() == [row in set(others) for row in rows]


@effort(max_examples=100, deadline=None)
@given(pairs)
def test_groups_are_results_and_their_sizes(given_pairs: Pairs) -> None:
    """Every result comes once, ascending, with the number of its rows."""
    columns = columns_of(sorted(set(given_pairs)))
    groups = grouped(columns)
    told = list(zip(groups.result_ids.tolist(), groups.counts.tolist(), strict=True))
    assert told == sorted(Counter(pair.result_id for pair in columns.pairs()).items())


@effort(max_examples=50, deadline=None)
@given(st.lists(pairs, max_size=4))
def test_columns_are_their_pairs(parts: list[Pairs]) -> None:
    """Columns put together are the pairs one after the other, and their bytes are big-endian."""
    columns = joined([columns_of(part) for part in parts])
    all_pairs = [pair for part in parts for pair in part]
    assert columns.rows == len(all_pairs)
    assert columns.pairs() == [columns.pair(row) for row in range(columns.rows)] == all_pairs
    numbers = b"".join(number.to_bytes(8, "big") for pair in all_pairs for number in pair)
    assert bytes(big_endian(columns)) == numbers


def test_nothing_is_nothing() -> None:
    """No pairs sort, search, count and write to no pairs."""
    assert ascending(NO_PAIRS).pairs() == joined([]).pairs() == []
    assert rows_up_to(NO_PAIRS, Pair(1, 1)) == 0
    assert is_in(NO_PAIRS, columns_of([(1, 1)])).tolist() == []
    assert is_in(columns_of([(1, 1)]), NO_PAIRS).tolist() == [False]
    assert [column.tolist() for column in grouped(NO_PAIRS)] == [[], []]
