"""What becomes of a pair, event by event: one byte and a few steps from byte to byte. Pure.

The bytes are the places of states in STATES, and one more that is shown as in doubt: a call is out
with a pair that was clear before. Doubt sticks: once an attempt may have been applied, only a 204,
a read-back or giving up takes the pair out of it; a later refusal does not.
"""

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias, assert_never

import numpy as np

from bulk_delete import events
from bulk_delete.columns import Mask
from bulk_delete.model import State, Verdict

DONE = frozenset({State.DELETED, State.GONE})
DOUBTED = frozenset({State.IN_DOUBT, State.UNKNOWN})
STATES = tuple(State)
Codes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
"""The places of states in STATES."""

Step: TypeAlias = bytes
"""For each byte the one that follows: a table for `bytes.translate`, which also joins two steps."""

CODES = {state: code for code, state in enumerate(STATES)}
UNTOLD = CODES[State.UNSENT]
"""Of most pairs nothing was ever told: zero, as the bytes of a file are that were never written."""

_DOUBT = CODES[State.IN_DOUBT]
_OUT = len(STATES)
_STICKS = {*(CODES[state] for state in DOUBTED), _OUT}


class Sink(Protocol):
    """Takes the steps of pairs, in the journal's order."""

    def apply(
        self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: Verdict | None = None
    ) -> None:
        """Take a step with some runs of a result; `verdict` is why they end there."""


def _always(state: State) -> Step:
    return bytes([CODES[state]]) * 256


DELETED: Step = _always(State.DELETED)
STAY: Step = bytes(range(256))
SENT: Step = bytes(_DOUBT if code in _STICKS else _OUT for code in STAY)
BACK: Step = bytes(UNTOLD if code == _OUT else code for code in STAY)
"""The call had no effect: clear again is what was clear before."""

_SHOWN: Step = bytes(_DOUBT if code == _OUT else code for code in STAY)
_ENDS = {state: _always(state) for state in State}
UNCALLED = frozenset({STAY, _ENDS[State.WITHHELD], _ENDS[State.UNSENT]})
"""Steps that no call takes."""


def step_of(event: events.OfBatch | events.OfPairs) -> Step:
    """Return what an event does to the pairs it speaks of."""
    match event:
        case events.BatchSent():
            return SENT
        case events.BatchRetry():
            return _ENDS[State.IN_DOUBT] if event.in_doubt else BACK
        case events.BatchSplit():
            return BACK
        case _:
            return _ENDS[_end_of(event)]


def _end_of(event: events.BatchDeleted | events.Settling | events.OfPairs) -> State:
    match event:
        case events.BatchDeleted():
            return State.DELETED
        case events.BatchFailed():
            return State.FAILED
        case events.BatchGone():
            return State.GONE
        case events.BatchUnknown():
            return State.UNKNOWN
        case events.BatchWithheld():
            return State.WITHHELD
        case events.BatchReopened():
            return State.UNSENT
        case _:
            assert_never(event)


def verdict_of(event: events.Settling) -> Verdict:
    """Return why the pairs of an event end where they do."""
    return Verdict(_end_of(event), event.reason, event.status, event.detail)


def after(first: Step, then: Step) -> Step:
    """Make one step of two."""
    return first.translate(then)


def shown(codes: bytes) -> Codes:
    """Return the states of pairs, given their bytes."""
    return np.frombuffer(codes.translate(_SHOWN), np.uint8)


def among(codes: Codes, states: Iterable[State]) -> Mask:
    """Tell of each code whether it is that of one of the states."""
    return np.isin(codes, [CODES[state] for state in states])
