"""What may follow what in a journal: each event is looked at once, and what is wrong is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from bulk_delete import events
from bulk_delete.model import MAX_BATCH

_OF_INTAKE = ("rejected", "duplicates", "protected", "already_done", "skipped", "planned")
_OF_PLANNED = ("deleted", "gone", "failed", "unknown", "withheld", "in_doubt", "unsent")
NO_CONTENT = 204


@dataclass(slots=True)
class _Sent:
    """A batch that may go on. `out`: its last attempt has no outcome yet."""

    result_id: int
    run_ids: tuple[int, ...]
    attempt: int = 1
    out: bool = True


@dataclass(slots=True)
class Rules:
    """Feed it the events of a journal in order. Memory holds numbers of batches, and open ones."""

    _running: bool = False
    _base_url: str | None = None
    _used: set[int] = field(default_factory=set)
    """Numbers of batches that were sent."""

    _open: dict[int, _Sent] = field(default_factory=dict)
    _out: dict[int, int] = field(default_factory=dict)
    """For each result the batch whose call has no outcome yet."""

    _halves: dict[int, tuple[int, frozenset[int]]] = field(default_factory=dict)
    """For each batch that another was split into: that one, and its runs."""

    def look(self, event: events.AnyEvent) -> Iterator[str]:  # noqa: C901 - a branch per event
        """Yield what is wrong with the next event."""
        begins = isinstance(
            event, events.JobStarted | events.JournalRepaired | events.VerifyStarted
        )
        if not self._running and not begins:
            yield "stands outside any execution: no job.started is before it"
        match event:
            case events.BatchSent():
                yield from self._sent(event)
            case events.BatchDeleted():
                yield from self._deleted(event)
            case events.BatchRetry():
                yield from self._retry(event)
            case events.BatchSplit():
                yield from self._split(event)
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown():
                yield from self._settling(event)
            case events.JobStarted():
                yield from self._started(event)
            case events.JobFinished():
                yield from self._finished(event)
            case events.JournalRepaired() | events.VerifyStarted():  # what follows is their own
                self._running = True
                self._begin()
            case events.VerifyFinished():
                self._running = False
            case (
                events.BatchWithheld()
                | events.BatchReopened()
                | events.PlanReplaced()
                | events.RateChanged()
                | events.JobPaused()
                | events.JobContinued()
                | events.JobStopping()
                | events.CanaryStarted()
                | events.CanaryFinished()
                | events.ApiRead()
                | events.VerifyProgress()
            ):
                pass
            case _:
                assert_never(event)

    def _started(self, event: events.JobStarted) -> Iterator[str]:
        if self._base_url not in {None, event.base_url}:
            yield f"is for {event.base_url}, but the journal is of {self._base_url}"
        self._base_url = event.base_url
        self._running = True
        self._begin()

    def _finished(self, event: events.JobFinished) -> Iterator[str]:
        counts = event.counts
        missing = {"rows", *_OF_INTAKE, *_OF_PLANNED} - counts.keys()
        if missing:
            yield f"lacks the counts {', '.join(sorted(missing))}"
        elif counts["rows"] != sum(counts[name] for name in _OF_INTAKE):
            yield "its books do not balance: rows are not the sum of what became of them"
        elif counts["planned"] != sum(counts[name] for name in _OF_PLANNED):
            yield "its books do not balance: planned is not the sum of the states"
        self._running = False
        self._begin()

    def _begin(self) -> None:
        """Forget what was open: a later execution takes the runs up in batches of its own."""
        self._open.clear()
        self._out.clear()
        self._halves.clear()

    def _sent(self, event: events.BatchSent) -> Iterator[str]:
        other = self._out.get(event.result_id)
        if other is not None:
            yield f"result {event.result_id} has a call without outcome already, batch {other}"
        if event.attempt == 1:
            yield from self._first(event)
        else:
            yield from self._again(event)
        self._out[event.result_id] = event.batch

    def _first(self, event: events.BatchSent) -> Iterator[str]:
        run_ids = event.run_ids or ()
        if event.batch in self._used:
            yield f"the number {event.batch} was used for another batch"
        if not run_ids:
            yield "names no runs"
        if len(run_ids) > MAX_BATCH:
            yield f"has {len(run_ids)} runs, more than a call may have"
        if len(set(run_ids)) < len(run_ids):
            yield "names a run twice"
        if event.parent is not None:
            parent, its_runs = self._halves.pop(event.batch, (None, frozenset[int]()))
            if parent != event.parent:
                yield f"batch {event.parent} was not split into it"
            elif not its_runs.issuperset(run_ids):
                yield f"has runs that batch {event.parent} did not have"
        self._used.add(event.batch)
        self._open[event.batch] = _Sent(event.result_id, run_ids)

    def _again(self, event: events.BatchSent) -> Iterator[str]:
        batch = self._open.get(event.batch)
        if batch is None:
            yield f"is attempt {event.attempt} of batch {event.batch}, which is not open"
            return
        if event.attempt != batch.attempt + 1:
            yield f"is attempt {event.attempt}, the one before was {batch.attempt}"
        if event.result_id != batch.result_id:
            yield f"is for result {event.result_id}, its first attempt was for {batch.result_id}"
        batch.attempt, batch.out = event.attempt, True

    def _deleted(self, event: events.BatchDeleted) -> Iterator[str]:
        if event.status != NO_CONTENT:
            yield f"has the status {event.status}, which proves nothing"
        batch = self._open.pop(event.batch, None)
        if batch is None:
            yield f"batch {event.batch} is not open"
        else:
            yield from self._answered(event, batch)

    def _retry(self, event: events.BatchRetry) -> Iterator[str]:
        batch = self._open.get(event.batch)
        if batch is None:
            yield f"batch {event.batch} is not open"
        else:
            yield from self._answered(event, batch)

    def _answered(
        self, event: events.BatchDeleted | events.BatchRetry, batch: _Sent
    ) -> Iterator[str]:
        if event.attempt != batch.attempt or not batch.out:
            yield f"attempt {event.attempt} of batch {event.batch} is not waiting for an outcome"
        self._come_back(event.batch, batch)

    def _split(self, event: events.BatchSplit) -> Iterator[str]:
        batch = self._open.pop(event.batch, None)
        if batch is None:
            yield f"batch {event.batch} is not open"
            return
        runs = frozenset(batch.run_ids)
        for number in event.into:
            if number in self._used or number in self._halves:
                yield f"the number {number} was used for another batch"
            self._halves[number] = event.batch, runs
        self._come_back(event.batch, batch)

    def _settling(self, event: events.Settling) -> Iterator[str]:
        if event.result_id is not None:
            if not event.run_ids:
                yield "names no runs"
            return
        batch = self._open.get(event.batch)
        if batch is None:
            yield f"batch {event.batch} is not open"
            return
        named = batch.run_ids if event.run_ids is None else event.run_ids
        if not set(batch.run_ids).issuperset(named):
            yield f"names runs that batch {event.batch} does not have, or that are settled"
        batch.run_ids = tuple(run for run in batch.run_ids if run not in set(named))
        if not batch.run_ids:
            del self._open[event.batch]
        self._come_back(event.batch, batch)

    def _come_back(self, number: int, batch: _Sent) -> None:
        batch.out = False
        if self._out.get(batch.result_id) == number:
            del self._out[batch.result_id]
