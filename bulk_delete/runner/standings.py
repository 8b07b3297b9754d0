"""How many runs of a running job stand where: sums only, kept from event to event."""

from collections import Counter
from dataclasses import dataclass

from bulk_delete import events
from bulk_delete.ledger import CODES, STATES
from bulk_delete.model import Batch, State

_UNSENT, _IN_DOUBT = CODES[State.UNSENT], CODES[State.IN_DOUBT]
_DELETED, _FAILED, _GONE = CODES[State.DELETED], CODES[State.FAILED], CODES[State.GONE]
_UNKNOWN, _WITHHELD = CODES[State.UNKNOWN], CODES[State.WITHHELD]


@dataclass(slots=True)
class _Open:
    """A batch that was sent: how many clear runs are out with a call, and its runs in doubt."""

    out: int
    doubted: frozenset[int]
    left: int


class Standings:
    """Figures of the planned runs by state, and of the calls.

    Those that failed in an earlier execution count as unsent, those that it gave up on as in
    doubt: they are to be sent again. The books are not made of these, but of the journal.
    """

    def __init__(self, planned: int, doubted: int) -> None:
        self._runs = [0] * len(STATES)  # by place: the hash of a State costs each call
        self._runs[_UNSENT], self._runs[_IN_DOUBT] = planned - doubted, doubted
        self.calls = 0
        self.retries = 0
        self._open: dict[int, _Open] = {}

    @property
    def runs(self) -> Counter[State]:
        return Counter(dict(zip(STATES, self._runs, strict=True)))

    def take(self, batch: Batch, event: events.OfBatch) -> None:
        """Count an event of a batch, which has in `doubted` what is in doubt after it."""
        if isinstance(event, events.BatchSent):
            self._sent(batch)
            return
        self._answered(batch)
        match event:
            case events.BatchRetry():
                self.retries += 1
            case events.BatchSplit():
                self._open.pop(batch.number, None)
            case events.BatchDeleted():
                self._settle(batch, _DELETED, None)
            case events.BatchFailed():
                self._settle(batch, _FAILED, event.run_ids)
            case events.BatchGone():
                self._settle(batch, _GONE, event.run_ids)
            case events.BatchUnknown():
                self._settle(batch, _UNKNOWN, event.run_ids)

    def take_pairs(self, event: events.OfPairs) -> None:
        """Count an event of runs outside any batch."""
        count = len(event.run_ids)
        match event:
            case events.BatchWithheld():
                self._move(count, _UNSENT, _WITHHELD)
            case events.BatchReopened():
                self._move(count, _IN_DOUBT, _UNSENT)

    def take_back(self, runs: int) -> None:
        """Count runs as unsent that were taken for deleted."""
        self._move(runs, _DELETED, _UNSENT)

    def _sent(self, batch: Batch) -> None:
        self.calls += 1
        clear = len(batch.run_ids) - len(batch.doubted)
        self._open[batch.number] = _Open(clear, batch.doubted, len(batch.run_ids))
        self._move(clear, _UNSENT, _IN_DOUBT)

    def _answered(self, batch: Batch) -> None:
        """Take back what was out, but for what has come into doubt by the call."""
        found = self._open.get(batch.number)
        if found:
            new = 0
            if batch.doubted is not found.doubted:
                new = len(batch.doubted - found.doubted)
                found.doubted |= batch.doubted
            self._move(found.out - new, _IN_DOUBT, _UNSENT)
            found.out = 0

    def _settle(self, batch: Batch, state: int, named: tuple[int, ...] | None) -> None:
        """Settle some runs of a batch, or all of them."""
        if named is None:
            count, doubted = len(batch.run_ids), len(batch.doubted)
        else:
            count, doubted = len(named), sum(run in batch.doubted for run in named)
        self._move(doubted, _IN_DOUBT, state)
        self._move(count - doubted, _UNSENT, state)
        if found := self._open.get(batch.number):
            found.left -= count
            if found.left <= 0:
                del self._open[batch.number]

    def _move(self, count: int, before: int, after: int) -> None:
        self._runs[before] -= count
        self._runs[after] += count
