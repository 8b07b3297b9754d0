"""What became of each pair: a fold over the journal's events. Pure.

Doubt sticks: once an attempt may have been applied, only a 204, a read-back or giving up takes the
pair out of doubt; a later refusal does not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, assert_never

import numpy as np

from bulk_delete import events
from bulk_delete.columns import Columns, Mask
from bulk_delete.model import Batch, Before, Pair, State, Verdict

DONE = frozenset({State.DELETED, State.GONE})
DOUBTED = frozenset({State.IN_DOUBT, State.UNKNOWN})
STATES = tuple(State)
Codes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
"""The places of states in STATES."""

_CODES = {state: code for code, state in enumerate(STATES)}
_UNSENT = _CODES[State.UNSENT]
_SETTLED = {
    events.BatchFailed: State.FAILED,
    events.BatchGone: State.GONE,
    events.BatchUnknown: State.UNKNOWN,
}


def among(codes: Codes, states: Iterable[State]) -> Mask:
    """Tell of each code whether it is that of one of the states."""
    return np.isin(codes, [_CODES[state] for state in states])


class Ledger:
    """The state of every pair that any event named; all others are unsent."""

    def __init__(self) -> None:
        self._states: dict[int, dict[int, State]] = {}
        self._verdicts: dict[Pair, Verdict] = {}
        self._doubted: dict[int, frozenset[int]] = {}
        self._accepted: set[int] = set()
        self.moves: Counter[State] = Counter()
        """How many pairs each state has won (or lost) since the start."""
        self.calls = 0
        self.retries = 0

    @property
    def is_empty(self) -> bool:
        return not self._states

    def state(self, result_id: int, run_id: int) -> State:
        runs = self._states.get(result_id)
        return State.UNSENT if runs is None else runs.get(run_id, State.UNSENT)

    def is_doubted(self, result_id: int, run_id: int) -> bool:
        return self.state(result_id, run_id) in DOUBTED

    def is_failed(self, result_id: int, run_id: int) -> bool:
        return self.state(result_id, run_id) is State.FAILED

    def before(self, result_id: int, run_ids: tuple[int, ...]) -> Before | None:
        if not self._states:
            return None
        return Before(
            frozenset(run for run in run_ids if self.is_doubted(result_id, run)),
            frozenset(run for run in run_ids if self.is_failed(result_id, run)),
        )

    def was_accepted(self, result_id: int) -> bool:
        """Tell whether any call on this result was ever answered with 204."""
        return result_id in self._accepted

    def told(self, pair: Pair) -> Verdict:
        """Return the state of a pair, with the reason where one was given."""
        state = self.state(*pair)
        verdict = self._verdicts.get(pair)
        return verdict if verdict and verdict.state is state else Verdict(state, "", None, "")

    def codes(self, columns: Columns) -> Codes:
        """Return the state of each pair, as its place in STATES."""
        codes = np.full(columns.rows, _UNSENT, np.uint8)
        if self._states:
            known = np.fromiter(self._states, np.uint64, len(self._states))
            rows = np.flatnonzero(np.isin(columns.result_ids, known))
            some = columns.part(rows)
            for row, result_id, run_id in zip(*map(np.ndarray.tolist, (rows, *some)), strict=True):
                codes[row] = _CODES[self._states[result_id].get(run_id, State.UNSENT)]
        return codes

    def count(self, chunks: Iterable[Columns]) -> Mapping[State, int]:
        """Count the pairs in each state."""
        total = np.zeros(len(STATES), np.int64)
        for columns in chunks:
            total += np.bincount(self.codes(columns), minlength=len(STATES))
        return {state: count for state, count in zip(STATES, total.tolist(), strict=True) if count}

    def pairs_in(self, states: frozenset[State]) -> Iterator[Pair]:
        """Yield every pair in one of the states, whatever plan it came from."""
        for result_id, runs in self._states.items():
            for run_id, state in runs.items():
                if state in states:
                    yield Pair(result_id, run_id)

    def in_state(self, chunks: Iterable[Columns], state: State) -> Iterator[Pair]:
        """Yield those of some pairs that are in a state."""
        for columns in chunks:
            yield from columns.part(among(self.codes(columns), {state})).pairs()

    def apply(self, batch: Batch, event: events.OfBatch) -> None:
        """Take in an event of a batch, with the runs of that batch."""
        match event:
            case events.BatchSent():
                self._sent(batch, event)
            case events.BatchDeleted():
                self._accepted.add(batch.result_id)
                self._set(batch.result_id, batch.run_ids, State.DELETED)
                self._doubted.pop(batch.number, None)
            case events.BatchRetry():
                self.retries += 1
                if event.in_doubt:
                    self._doubted[batch.number] = frozenset(batch.run_ids)
                self._back(batch)
            case events.BatchSplit():
                self._back(batch)
                self._doubted.pop(batch.number, None)
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown():
                self._settled(batch, event)
            case _:
                assert_never(event)

    def apply_pairs(self, event: events.OfPairs) -> None:
        """Take in an event that speaks of pairs outside any batch."""
        match event:
            case events.BatchWithheld():
                self._set(event.result_id, event.run_ids, State.WITHHELD)
            case events.BatchReopened():
                self._set(event.result_id, event.run_ids, State.UNSENT)
            case _:
                assert_never(event)

    def _sent(self, batch: Batch, event: events.BatchSent) -> None:
        self.calls += 1
        self._doubted[batch.number] = frozenset(
            run for run in batch.run_ids if self.is_doubted(batch.result_id, run)
        )
        self._set(batch.result_id, batch.run_ids, State.IN_DOUBT)

    def _back(self, batch: Batch) -> None:
        doubted = self._doubted.get(batch.number, frozenset())
        clear = [
            run
            for run in batch.run_ids
            if run not in doubted and self.state(batch.result_id, run) is State.IN_DOUBT
        ]
        self._set(batch.result_id, clear, State.UNSENT)

    def _settled(self, batch: Batch, event: events.Settling) -> None:
        runs = batch.run_ids if event.run_ids is None else event.run_ids
        state = _SETTLED[type(event)]
        self._set(batch.result_id, runs, state)
        verdict = Verdict(state, event.reason, event.status, event.detail)
        for run_id in runs:
            self._verdicts[Pair(batch.result_id, run_id)] = verdict

    def _set(self, result_id: int, run_ids: Iterable[int], state: State) -> None:
        runs = self._states.setdefault(result_id, {})
        for run_id in run_ids:
            self.moves[runs.get(run_id, State.UNSENT)] -= 1
            self.moves[state] += 1
            runs[run_id] = state
