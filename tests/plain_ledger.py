"""What becomes of each pair, in plain Python: what the bytes on the disk are held against."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from bulk_delete import events
from bulk_delete.columns import Columns
from bulk_delete.ledger import DOUBTED
from bulk_delete.model import Batch, Before, Pair, State, Verdict

_SETTLED = {
    events.BatchFailed: State.FAILED,
    events.BatchGone: State.GONE,
    events.BatchUnknown: State.UNKNOWN,
}


class PlainLedger:
    """Takes in each event at once, with the batch it is of; pairs that none named are unsent."""

    def __init__(self) -> None:
        self.told: dict[Pair, State] = {}
        self._verdicts: dict[Pair, Verdict] = {}
        self._clear: set[Pair] = set()
        """Those that are in doubt only because a call is out."""

        self._left: dict[int, tuple[int, ...]] = {}
        """Of each open batch, the runs that are not settled."""

    def state(self, result_id: int, run_id: int) -> State:
        return self.told.get(Pair(result_id, run_id), State.UNSENT)

    def is_doubted(self, result_id: int, run_id: int) -> bool:
        return self.state(result_id, run_id) in DOUBTED

    def verdict(self, pair: Pair) -> Verdict:
        """Return the state of a pair, with the reason where one was given."""
        state = self.state(*pair)
        verdict = self._verdicts.get(pair)
        return verdict if verdict and verdict.state is state else Verdict(state, "", None, "")

    def before(self, result_id: int, run_ids: tuple[int, ...]) -> Before | None:
        pairs = {run: Pair(result_id, run) for run in run_ids}
        if all(self.state(*pair) is State.UNSENT for pair in pairs.values()):
            return None
        return Before(
            frozenset(run for run, pair in pairs.items() if self.is_doubted(*pair)),
            frozenset(run for run, pair in pairs.items() if self.state(*pair) is State.FAILED),
        )

    def was_accepted(self, result_id: int) -> bool:
        return any(
            pair.result_id == result_id and state is State.DELETED
            for pair, state in self.told.items()
        )

    def count(self, chunks: Iterable[Columns]) -> Mapping[State, int]:
        return Counter(self.state(*pair) for columns in chunks for pair in columns.pairs())

    def pairs_in(self, states: frozenset[State]) -> Iterator[Pair]:
        return (pair for pair, state in self.told.items() if state in states)

    def apply(self, batch: Batch, event: events.OfBatch) -> None:
        """Take in an event of a batch, with the runs of that batch."""
        left = self._left.get(batch.number, batch.run_ids)
        pairs = [Pair(batch.result_id, run) for run in left]
        match event:
            case events.BatchSent():
                if event.attempt == 1:
                    self._left[batch.number] = batch.run_ids
                for pair in pairs if event.attempt > 1 else _pairs(batch):
                    self._send(pair)
            case events.BatchDeleted():
                self._set(pairs, State.DELETED)
                self._left.pop(batch.number, None)
            case events.BatchRetry():
                self._answer(pairs, in_doubt=event.in_doubt)
            case events.BatchSplit():
                self._answer(pairs, in_doubt=False)
                self._left.pop(batch.number, None)
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown():
                runs = left if event.run_ids is None else event.run_ids
                self._settle([Pair(batch.result_id, run) for run in runs], event)
                if batch.number in self._left:
                    self._left[batch.number] = tuple(run for run in left if run not in runs)

    def apply_pairs(self, event: events.OfPairs) -> None:
        """Take in an event that speaks of pairs outside any batch."""
        withheld = isinstance(event, events.BatchWithheld)
        state = State.WITHHELD if withheld else State.UNSENT
        self._set([Pair(event.result_id, run) for run in event.run_ids], state)

    def start(self) -> None:
        """Take in a start: what is open is not heard of again."""
        self._left.clear()

    def _send(self, pair: Pair) -> None:
        if self.is_doubted(*pair):
            self._clear.discard(pair)
        else:
            self._clear.add(pair)
        self.told[pair] = State.IN_DOUBT

    def _answer(self, pairs: list[Pair], *, in_doubt: bool) -> None:
        if in_doubt:
            self._set(pairs, State.IN_DOUBT)
        else:
            self._set([pair for pair in pairs if pair in self._clear], State.UNSENT)

    def _settle(self, pairs: list[Pair], event: events.Settling) -> None:
        state = _SETTLED[type(event)]
        self._set(pairs, state)
        verdict = Verdict(state, event.reason, event.status, event.detail)
        self._verdicts |= dict.fromkeys(pairs, verdict)

    def _set(self, pairs: Iterable[Pair], state: State) -> None:
        for pair in pairs:
            self.told[pair] = state
            self._clear.discard(pair)


def _pairs(batch: Batch) -> list[Pair]:
    return [Pair(batch.result_id, run) for run in batch.run_ids]
