"""The live figures of a running job, event by event."""

import dataclasses

import pytest

from bulk_delete import events
from bulk_delete.model import Batch, State
from bulk_delete.runner.standings import Standings

BATCH = Batch(1, 7, (71, 72, 73))
HALF = dataclasses.replace(BATCH, doubted=frozenset({72}))
LOST = dataclasses.replace(BATCH, doubted=frozenset(BATCH.run_ids))
SENT = events.BatchSent(1, 1, 7, "r", (71, 72, 73))
AGAIN = events.BatchSent(1, 2, 7, "r")
DELETED = events.BatchDeleted(1, 1, 204, 5)
DOUBT = events.BatchRetry(1, 1, in_doubt=True, wait_s=0.0, error="lost")
BACK = events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=429)
SPLIT = events.BatchSplit(1, (2, 3))
FAILED = events.BatchFailed(1, 400, "bad request", "no")
FAILED_ONE = events.BatchFailed(1, 400, "bad request", "no", (71,))
GONE_ONE = events.BatchGone(1, None, "read back", "", (71,))
UNKNOWN = events.BatchUnknown(1, 500, "server error", "no")
UNKNOWN_ONE = events.BatchUnknown(1, 500, "server error", "no", (72,))

Story = list[tuple[Batch, events.OfBatch]]


@pytest.mark.parametrize(
    ("doubted", "told", "expected"),
    [
        (0, [], {State.UNSENT: 10}),
        (0, [(BATCH, SENT)], {State.UNSENT: 7, State.IN_DOUBT: 3}),
        (0, [(BATCH, SENT), (BATCH, DELETED)], {State.UNSENT: 7, State.DELETED: 3}),
        (0, [(BATCH, SENT), (BATCH, BACK)], {State.UNSENT: 10}),
        (0, [(BATCH, SENT), (LOST, DOUBT)], {State.UNSENT: 7, State.IN_DOUBT: 3}),
        (
            0,
            [(BATCH, SENT), (LOST, DOUBT), (LOST, AGAIN), (LOST, BACK)],
            {State.UNSENT: 7, State.IN_DOUBT: 3},
        ),
        (
            0,
            [(BATCH, SENT), (LOST, DOUBT), (LOST, AGAIN), (LOST, DELETED)],
            {State.UNSENT: 7, State.DELETED: 3},
        ),
        (0, [(BATCH, SENT), (BATCH, SPLIT)], {State.UNSENT: 10}),
        (0, [(BATCH, SENT), (BATCH, FAILED)], {State.UNSENT: 7, State.FAILED: 3}),
        (0, [(BATCH, SENT), (LOST, UNKNOWN)], {State.UNSENT: 7, State.UNKNOWN: 3}),
        (1, [(HALF, SENT)], {State.UNSENT: 7, State.IN_DOUBT: 3}),
        (1, [(HALF, SENT), (HALF, BACK)], {State.UNSENT: 9, State.IN_DOUBT: 1}),
        (1, [(HALF, SENT), (LOST, DOUBT)], {State.UNSENT: 7, State.IN_DOUBT: 3}),
        (1, [(HALF, SENT), (HALF, DELETED)], {State.UNSENT: 7, State.DELETED: 3}),
        (
            1,
            [(HALF, SENT), (HALF, FAILED_ONE), (HALF, UNKNOWN_ONE)],
            {State.UNSENT: 8, State.FAILED: 1, State.UNKNOWN: 1},
        ),
        (
            0,
            [(BATCH, SENT), (LOST, DOUBT), (LOST, GONE_ONE), (LOST, SPLIT)],
            {State.UNSENT: 7, State.GONE: 1, State.IN_DOUBT: 2},
        ),
        (1, [(HALF, UNKNOWN_ONE)], {State.UNSENT: 9, State.UNKNOWN: 1}),
    ],
)
def test_runs_are_counted_where_they_stand(
    doubted: int, told: Story, expected: dict[State, int]
) -> None:
    """Of ten runs those of a batch move with its events, and what was in doubt stays so."""
    standings = Standings(10, doubted)
    for batch, event in told:
        standings.take(batch, event)
    assert {state: count for state, count in standings.runs.items() if count} == expected
    assert standings.runs.total() == 10


def test_runs_outside_batches_are_counted() -> None:
    """Withheld runs were unsent; runs that are found still there were in doubt, and go on."""
    standings = Standings(10, 0)
    standings.take_pairs(events.BatchWithheld(7, (74, 75)))
    standings.take(BATCH, SENT)
    standings.take(LOST, DOUBT)
    standings.take_pairs(events.BatchReopened(7, (71,)))
    standings.take(dataclasses.replace(BATCH, doubted=frozenset({72, 73})), AGAIN)
    standings.take(LOST, DOUBT)
    assert +standings.runs == {State.UNSENT: 5, State.IN_DOUBT: 3, State.WITHHELD: 2}


def test_what_was_taken_for_deleted_is_taken_back() -> None:
    """Runs that a canary finds still there are unsent again."""
    standings = Standings(10, 0)
    standings.take(BATCH, SENT)
    standings.take(BATCH, DELETED)
    deleted = standings.runs[State.DELETED]
    standings.take_back(2)
    assert +standings.runs == {State.DELETED: deleted - 2, State.UNSENT: 12 - deleted}


def test_calls_are_counted() -> None:
    """Each attempt is a call; one that settled nothing is a retry."""
    standings = Standings(3, 0)
    for batch, event in ((BATCH, SENT), (BATCH, BACK), (BATCH, AGAIN), (BATCH, DELETED)):
        standings.take(batch, event)
    assert (standings.calls, standings.retries) == (2, 1)
