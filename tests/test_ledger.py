"""The steps from state to state of one pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_delete import events
from bulk_delete.ledger import DONE, STATES, STAY, UNTOLD, after, among, shown, step_of, verdict_of
from bulk_delete.model import Batch, State, Verdict
from tests.plain_ledger import PlainLedger

SENT = events.BatchSent(1, 1, 7, "r", (71, 72))
AGAIN = events.BatchSent(1, 2, 7, "r")
DELETED = events.BatchDeleted(1, 1, 204, 5)
LOST = events.BatchRetry(1, 1, in_doubt=True, wait_s=0.0, error="lost")
THROTTLED = events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=429)
SPLIT = events.BatchSplit(1, (2, 3))
FAILED = events.BatchFailed(1, 400, "bad request", "no")
WITHHELD = events.BatchWithheld(7, (71, 72))
REOPENED = events.BatchReopened(7, (71, 72))
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
        ([SENT, LOST, AGAIN, GONE], State.GONE),
        ([SENT, UNKNOWN, SENT, THROTTLED], State.IN_DOUBT),
        ([SENT, FAILED, SENT, THROTTLED], State.UNSENT),
        ([SENT, SENT, THROTTLED], State.IN_DOUBT),
        ([SENT, LOST, REOPENED, AGAIN, THROTTLED], State.UNSENT),
        ([WITHHELD], State.WITHHELD),
    ],
)
def test_each_event_moves_a_pair_as_the_contract_says(
    told: list[events.OfBatch | events.OfPairs], state: State
) -> None:
    """A pair is in the state that the contract names, and doubt sticks, even over a crash."""
    assert at_the_end(told) is state


def at_the_end(told: list[events.OfBatch | events.OfPairs]) -> State:
    """Take a pair of which nothing was told through some steps."""
    code = bytes([UNTOLD])
    for event in told:
        code = code.translate(step_of(event))
    return STATES[int(shown(code)[0])]


EVENTS = [SENT, AGAIN, DELETED, LOST, THROTTLED, SPLIT, FAILED, GONE, UNKNOWN, WITHHELD, REOPENED]


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_steps_taken_together_are_the_steps_one_by_one(
    told: list[events.OfBatch | events.OfPairs],
) -> None:
    """Many steps joined in one leave a pair where they do one after the other, in any order."""
    whole = STAY
    for event in told:
        whole = after(whole, step_of(event))
    assert STATES[shown(bytes([UNTOLD]).translate(whole))[0]] is at_the_end(told)


@given(st.lists(st.sampled_from([SENT, LOST, THROTTLED, FAILED, GONE, UNKNOWN, REOPENED])))
def test_a_pair_goes_where_the_plain_ledger_has_it(
    told: list[events.OfBatch | events.OfPairs],
) -> None:
    """Whatever comes after what, byte and plain reference agree."""
    plain = PlainLedger()
    for number, event in enumerate(told, start=1):
        if isinstance(event, events.OfPairs):
            plain.apply_pairs(event)
        else:
            plain.apply(Batch(number, 7, (71, 72)), event)
    assert at_the_end(told) is plain.state(7, 71)


def test_a_settling_event_is_a_verdict() -> None:
    """Reason, status and detail go with the state that the event names."""
    assert verdict_of(FAILED) == Verdict(State.FAILED, "bad request", 400, "no")
    assert verdict_of(UNKNOWN) == Verdict(State.UNKNOWN, "server error", 500, "no")
    assert verdict_of(GONE) == Verdict(State.GONE, "read back", None, "")


def test_codes_are_told_apart_by_their_states() -> None:
    """Of all states, two are done."""
    codes = shown(bytes(range(len(STATES))))
    assert among(codes, DONE).tolist() == [state in DONE for state in STATES]
