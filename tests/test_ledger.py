"""The fold from events to the state of each pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete import events
from bulk_delete.columns import columns_of
from bulk_delete.ledger import DONE, STATES, Ledger, among
from bulk_delete.model import Batch, Pair, State, Verdict

BATCH = Batch(1, 7, (71, 72))
SENT = events.BatchSent(1, 1, 7, "r", (71, 72))
AGAIN = events.BatchSent(1, 2, 7, "r")
DELETED = events.BatchDeleted(1, 1, 204, 5)
LOST = events.BatchRetry(1, 1, in_doubt=True, wait_s=0.0, error="lost")
THROTTLED = events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=429)
SPLIT = events.BatchSplit(1, (2, 3))
FAILED = events.BatchFailed(1, 400, "bad request", "no")
UNKNOWN = events.BatchUnknown(1, 500, "server error", "no")
GONE = events.BatchGone(1, None, "read back", "")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ([], State.UNSENT),
        ([SENT], State.IN_DOUBT),
        ([SENT, DELETED], State.DELETED),
        ([SENT, THROTTLED], State.UNSENT),
        ([SENT, LOST], State.IN_DOUBT),
        ([SENT, LOST, AGAIN, THROTTLED], State.IN_DOUBT),
        ([SENT, LOST, AGAIN, DELETED], State.DELETED),
        ([SENT, SPLIT], State.UNSENT),
        ([SENT, LOST, AGAIN, SPLIT], State.IN_DOUBT),
        ([SENT, FAILED], State.FAILED),
        ([SENT, UNKNOWN], State.UNKNOWN),
        ([SENT, GONE], State.GONE),
    ],
)
def test_a_batch_takes_its_pairs_along(told: list[events.OfBatch], state: State) -> None:
    """Each event moves all pairs of its batch to the state that the contract names."""
    ledger = Ledger()
    for event in told:
        ledger.apply(BATCH, event)
    assert [ledger.state(7, run) for run in (71, 72, 73)] == [state, state, State.UNSENT]


def test_doubt_outlives_a_crash_and_a_new_batch() -> None:
    """Runs in doubt that go on in a new batch stay in doubt when that one is throttled."""
    ledger = Ledger()
    ledger.apply(BATCH, SENT)
    new = Batch(2, 7, (70, 71))
    ledger.apply(new, events.BatchSent(2, 1, 7, "r", (70, 71)))
    ledger.apply(new, events.BatchRetry(2, 1, in_doubt=False, wait_s=0.0, status=429))
    assert ledger.state(7, 70) is State.UNSENT
    assert ledger.state(7, 71) is State.IN_DOUBT


def test_an_event_that_names_runs_speaks_of_those_alone() -> None:
    """A failure of some runs of a batch leaves the others as they are, with the reason kept."""
    ledger = Ledger()
    ledger.apply(BATCH, SENT)
    ledger.apply(BATCH, events.BatchFailed(1, 403, "forbidden", "no", (72,)))
    assert ledger.told(Pair(7, 71)) == Verdict(State.IN_DOUBT, "", None, "")
    assert ledger.told(Pair(7, 72)) == Verdict(State.FAILED, "forbidden", 403, "no")


def test_a_reason_goes_with_its_state() -> None:
    """A run that failed and is deleted later carries no reason any more."""
    ledger = Ledger()
    for event in (SENT, FAILED, SENT, DELETED):
        ledger.apply(BATCH, event)
    assert ledger.told(Pair(7, 71)) == Verdict(State.DELETED, "", None, "")


def test_pairs_outside_batches() -> None:
    """Withheld and reopened pairs change their state without a call."""
    ledger = Ledger()
    ledger.apply(BATCH, SENT)
    ledger.apply(BATCH, DELETED)
    ledger.apply_pairs(events.BatchReopened(7, (71,)))
    ledger.apply_pairs(events.BatchWithheld(7, (75,)))
    states = ledger.count([columns_of([(7, 71), (7, 72)]), columns_of([(7, 75)])])
    assert states == {State.UNSENT: 1, State.DELETED: 1, State.WITHHELD: 1}


def test_moves_are_the_change_of_the_counts() -> None:
    """The running sums tell what a full count would, for a screen that asks often."""
    ledger = Ledger()
    for event in (SENT, LOST, AGAIN, DELETED):
        ledger.apply(BATCH, event)
    moves = {state: moved for state, moved in ledger.moves.items() if moved}
    assert moves == {State.UNSENT: -2, State.DELETED: 2}
    assert (ledger.calls, ledger.retries) == (2, 1)


def test_what_was_accepted_is_remembered_by_result() -> None:
    """A 204 proves that the result can be reached, for good."""
    ledger = Ledger()
    ledger.apply(BATCH, SENT)
    assert not ledger.was_accepted(7)
    ledger.apply(BATCH, DELETED)
    assert ledger.was_accepted(7)
    assert not ledger.was_accepted(8)


states = st.sampled_from([State.UNSENT, State.WITHHELD, State.FAILED, State.GONE, State.UNKNOWN])
ids = st.one_of(st.integers(1, 4), st.integers(2**63 - 3, 2**63 - 1))
pairs = st.builds(Pair, ids, ids)


def settled(ledger: Ledger, pair: Pair, state: State) -> None:
    """Bring a pair to a state that no call is needed for."""
    result_id, run_ids = pair.result_id, (pair.run_id,)
    batch = Batch(1, result_id, run_ids)
    match state:
        case State.UNSENT:
            ledger.apply_pairs(events.BatchReopened(result_id, run_ids))
        case State.WITHHELD:
            ledger.apply_pairs(events.BatchWithheld(result_id, run_ids))
        case State.FAILED:
            ledger.apply(batch, events.BatchFailed(1, 404, "not found", ""))
        case State.GONE:
            ledger.apply(batch, events.BatchGone(1, None, "read back", ""))
        case _:
            ledger.apply(batch, events.BatchUnknown(1, None, "protected", ""))


@effort(max_examples=60, deadline=None)
@given(
    st.dictionaries(pairs, states, max_size=12), st.lists(st.lists(pairs, max_size=8), max_size=4)
)
def test_columns_are_told_as_single_pairs_are(
    told: dict[Pair, State], asked: list[list[Pair]]
) -> None:
    """Codes, counts and lists over chunks say of each pair what the ledger says of it alone.

    No event named some of the pairs that are asked for, and some results not at all.
    """
    ledger = Ledger()
    for pair, state in told.items():
        settled(ledger, pair, state)
    chunks = [columns_of(chunk) for chunk in asked]
    every = [pair for chunk in asked for pair in chunk]
    right = [told.get(pair, State.UNSENT) for pair in every]
    codes = [code for chunk in chunks for code in ledger.codes(chunk).tolist()]
    assert [STATES[code] for code in codes] == right == [ledger.state(*pair) for pair in every]
    assert among(np.array(codes, np.uint8), DONE).tolist() == [state in DONE for state in right]
    assert ledger.count(chunks) == {state: right.count(state) for state in set(right)}
    for state in State:
        mine = [pair for pair, its in zip(every, right, strict=True) if its is state]
        assert list(ledger.in_state(chunks, state)) == mine
        listed = sorted(pair for pair, its in told.items() if its is state)
        assert sorted(ledger.pairs_in(frozenset({state}))) == listed
    assert ledger.is_empty == (not told)
