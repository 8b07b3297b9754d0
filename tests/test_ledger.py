"""The fold from events to the state of each pair."""

import pytest

from bulk_delete import events
from bulk_delete.ledger import Ledger
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
    states = ledger.count([Pair(7, 71), Pair(7, 72), Pair(7, 75)])
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
