"""The states on the disk, held against a plain dictionary, whatever plan their pairs are in."""

import contextlib
import os
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete import events
from bulk_delete.columns import AT_ONCE, columns_of, joined
from bulk_delete.ledger import STATES, Sink, step_of, verdict_of
from bulk_delete.model import MAX_ID, Batch, Before, Pair, State, Verdict
from bulk_delete.store import Plan, States, states_told
from tests.made_plans import SCRATCH, plan_of, small
from tests.plain_ledger import PlainLedger

RUNS = st.one_of(st.integers(1, 12), st.sampled_from([500, 2**62, MAX_ID]))
RESULTS = st.one_of(st.integers(1, 4), st.just(MAX_ID))
PAIRS = st.lists(st.builds(Pair, RESULTS, RUNS), max_size=30)


@dataclass(frozen=True)
class Telling:
    """An event and the runs it speaks of."""

    result_id: int
    run_ids: tuple[int, ...]
    event: events.OfBatch | events.OfPairs

    def tell(self, sink: Sink) -> None:
        settles = isinstance(self.event, events.Settling)
        verdict = verdict_of(self.event) if settles else None  # type: ignore[arg-type]
        sink.apply(self.result_id, self.run_ids, step_of(self.event), verdict)

    def tell_plainly(self, ledger: PlainLedger, number: int) -> None:
        if isinstance(self.event, events.OfPairs):
            ledger.apply_pairs(type(self.event)(self.result_id, self.run_ids))
        else:
            ledger.apply(Batch(number, self.result_id, self.run_ids), self.event)


def telling(result_id: int, run_ids: list[int], kind: int) -> Telling:
    kinds: list[events.OfBatch | events.OfPairs] = [
        events.BatchSent(1, 1, 1, "r", ()),
        events.BatchDeleted(1, 1, 204, 5),
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.0),
        events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0),
        events.BatchFailed(1, 400, "bad request", "no"),
        events.BatchFailed(1, 403, "forbidden", "no" * 200),
        events.BatchUnknown(1, None, "lost", ""),
        events.BatchGone(1, None, "read back", ""),
        events.BatchWithheld(1, ()),
        events.BatchReopened(1, ()),
    ]
    return Telling(result_id, tuple(run_ids), kinds[kind])


tellings = st.lists(
    st.builds(
        telling,
        RESULTS,
        st.one_of(
            st.lists(RUNS, min_size=1, max_size=6, unique=True),
            st.integers(1, 9).map(lambda first: list(range(first, first + 4))),
        ),
        st.integers(0, 9),
    ),
    max_size=12,
)
sizes = st.builds(small, st.integers(8, 20), st.integers(1, 3), st.integers(1, 4))


def told_of(universe: Plan | None, told: list[Telling]) -> States:
    def tell(sink: Sink) -> None:
        for one in told:
            one.tell(sink)

    return states_told(tell, SCRATCH, universe)[1]


@effort(max_examples=150, deadline=None)
@given(st.one_of(st.none(), PAIRS), tellings, PAIRS, sizes)
def test_states_are_those_of_a_plain_dictionary(
    universe: list[Pair] | None,
    told: list[Telling],
    others: list[Pair],
    sizes: contextlib.AbstractContextManager[None],
) -> None:
    """States, verdicts, counts and lists are right for pairs in the plan and outside, in any cut.

    Runs are told of in any order, in stretches and scattered, many times over, or never.
    """
    plain = PlainLedger()
    for number, one in enumerate(told, start=1):
        one.tell_plainly(plain, number)
    known = {Pair(one.result_id, run) for one in told for run in one.run_ids}
    asked = sorted({*known, *others, *(universe or [])})
    with sizes:
        plan = None if universe is None else plan_of(universe)
        all_asked = plan_of(asked)
        with contextlib.closing(told_of(plan, told)) as states:
            columns = columns_of(asked)
            right = [plain.state(*pair) for pair in asked]
            assert [STATES[code] for code in states.codes(columns).tolist()] == right
            assert list(states.told([columns])) == [(pair, plain.verdict(pair)) for pair in asked]
            assert states.count([columns]) == {state: right.count(state) for state in set(right)}
            assert states.is_empty == (not told)
            for state in State:
                mine = [pair for pair, its in zip(asked, right, strict=True) if its is state]
                assert joined(list(states.in_state(all_asked, state))).pairs() == mine
                if state is not State.UNSENT:
                    found = joined(list(states.pairs_in(frozenset({state})))).pairs()
                    assert sorted(found) == mine
            for result_id in {pair.result_id for pair in asked}:
                runs = tuple(pair.run_id for pair in asked if pair.result_id == result_id)
                for some in (runs, runs[:2], runs[::3]):
                    assert states.before(result_id, some) == plain.before(result_id, some)
                assert states.was_accepted(result_id) == plain.was_accepted(result_id)
            if plan:
                own = [plain.state(*pair) for pair in plan.pairs()]
                assert states.count_plan(plan) == {state: own.count(state) for state in set(own)}
                for state in set(own):
                    mine = [
                        pair for pair, its in zip(plan.pairs(), own, strict=True) if its is state
                    ]
                    assert joined(list(states.in_state(plan, state))).pairs() == mine


def test_a_job_that_was_never_told_of_knows_nothing_before() -> None:
    """Where no event named any run, none was left in any way."""
    with contextlib.closing(told_of(plan_of([Pair(1, 1)]), [])) as states:
        assert states.is_empty
        assert states.before(1, (1,)) is None
        assert not states.was_accepted(1)


def test_before_names_the_doubted_and_the_failed() -> None:
    """Of runs in one call each is told apart, and one of which nothing was told is left out."""
    told = [telling(1, [2], 0), telling(1, [3], 4), telling(1, [4], 6), telling(1, [5], 1)]
    with contextlib.closing(told_of(plan_of((1, run) for run in range(9)), told)) as states:
        assert states.before(1, (1, 2, 3, 4, 5)) == Before(frozenset({2, 4}), frozenset({3}))


@pytest.mark.parametrize("known", [True, False])
def test_verdicts_of_many_texts_are_kept_apart(*, known: bool) -> None:
    """More texts than are kept in memory come back with their runs, the long ones whole."""
    told = [
        Telling(1, (run,), events.BatchFailed(1, 400, f"reason {run}", "é" * (run % 50)))
        for run in range(1, 3000)
    ]
    plan = plan_of((1, run) for run in range(1, 3000)) if known else None
    with contextlib.closing(told_of(plan, told)) as states:
        chunks = [columns_of([(1, run) for run in range(1, 3000)])]
        assert list(states.told(chunks)) == [
            (Pair(1, run), Verdict(State.FAILED, f"reason {run}", 400, "é" * (run % 50)))
            for run in range(1, 3000)
        ]


def test_looking_at_states_writes_nothing() -> None:
    """States that are only looked at take no room on the disk, however many they are."""
    with contextlib.closing(SCRATCH.zeros(20_000_000)) as file:
        assert not any(any(file.read(at, 100)) for at in range(0, file.size - 100, 3000))
        assert os.fstat(file._handle).st_blocks == 0


def test_a_result_larger_than_any_window_is_told_right() -> None:
    """Runs at both ends of a huge result, and a full batch in its middle, are found there."""
    plan = plan_of((7, 3 * run) for run in range(AT_ONCE + 10))
    last = 3 * (AT_ONCE + 9)
    middle = [3 * run for run in range(200_000, 200_100)]
    told = [telling(7, [0, last, last + 3], 1), telling(7, middle, 4), telling(7, [1], 8)]
    with contextlib.closing(told_of(plan, told)) as states:
        assert states.count_plan(plan) == {
            State.DELETED: 2,
            State.FAILED: 100,
            State.UNSENT: AT_ONCE + 10 - 102,
        }
        codes = states.codes(
            columns_of([(7, 0), (7, 1), (7, middle[50]), (7, last), (7, last + 3)])
        )
        assert [STATES[code] for code in codes.tolist()] == [
            State.DELETED,
            State.WITHHELD,
            State.FAILED,
            State.DELETED,
            State.DELETED,
        ]
        assert states.was_accepted(7)
