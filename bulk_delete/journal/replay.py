"""What the lines of a journal tell, one after the other: each pair taken through its steps.

Memory holds the batches that are open at the time, and no pair of any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

import msgspec

from bulk_delete import events
from bulk_delete.journal.chain import START, Link
from bulk_delete.journal.lines import UnknownLineError, bare
from bulk_delete.ledger import DELETED, SENT, STAY, Sink, Step, after, step_of, verdict_of

CALLS_OVER_S = 3600
"""For how long a call counts, in the limits that the API may have."""

LAST = 10
"""Executions whose size is remembered."""

_ENDS_OF_VERIFY = {"done", "incomplete"}
"""Outcomes of a `verify` that has read all back."""


@dataclass(frozen=True, slots=True)
class Damage:
    """The first line (from 1) that is not as written, and why; `torn`: it has no end."""

    line: int
    reason: str
    torn: bool


@dataclass(slots=True)
class History:
    """What a journal says, up to its end or its first damage."""

    end: Link = START
    damage: Damage | None = None
    mark_met: bool = True
    last_batch: int = 0
    started: events.JobStarted | None = None
    finished: events.JobFinished | None = None
    """The end of the last execution; None while it runs or when it crashed."""

    calls: int = 0
    """How many calls were sent that delete; `retries` of them settled nothing."""

    retries: int = 0
    planned: list[int] = field(default_factory=list)
    """How many runs the last executions had to do that ended and had any to do."""

    verified_upto: tuple[int, int] | None = None
    """How far a `verify` has come that was interrupted; None where none was."""

    verifying: bool = False
    """The last that was begun is a `verify`, and its end is not there."""

    calls_at: dict[int, int] = field(default_factory=dict)
    """Calls of any kind by second (Unix time), of the last hour in which there were any."""


class OpenBatch(msgspec.Struct, gc=False):
    """A batch that may go on: its runs that are not settled, and the steps they are to take."""

    result_id: int
    run_ids: tuple[int, ...]
    step: Step = STAY


class Replay:
    """Takes events line by line, and the pairs that they speak of through their steps."""

    def __init__(
        self, history: History, sink: Sink, still_open: dict[int, OpenBatch] | None = None
    ) -> None:
        self._history = history
        self._sink = sink
        self._open = still_open or {}
        self._last_call = max(history.calls_at, default=0)

    @property
    def open(self) -> Mapping[int, OpenBatch]:
        """Return the batches that are open now, by number."""
        return self._open

    def take(self, event: events.AnyEvent | None, at: datetime) -> None:
        """Take in the event of the next line. Raises UnknownLineError."""
        match event:
            case events.BatchSent():
                self._history.calls += 1
                self._count_call(at)
                self._sent(event)
            case events.BatchDeleted():
                batch = self._batch(event)
                del self._open[event.batch]
                self._sink.apply(batch.result_id, batch.run_ids, DELETED)
            case events.BatchRetry() | events.BatchSplit():
                self._go_on(event)
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown():
                self._settle(event)
            case events.BatchWithheld() | events.BatchReopened():
                self._catch_up(event.result_id)
                self._sink.apply(event.result_id, event.run_ids, step_of(event))
            case events.ApiRead():
                self._count_call(at)
            case None:
                pass
            case _:
                self._take_job(event)

    def _take_job(self, event: events.OfJob) -> None:
        history = self._history
        match event:
            case events.JobStarted():
                history.started = bare(event, events.JobStarted)
                history.finished = history.verified_upto = None
                history.verifying = False
                self._end_batches()
            case events.JobFinished():
                history.finished = bare(event, events.JobFinished)
                if planned := event.counts.get("planned", 0):
                    history.planned = [*history.planned, planned][-LAST:]
                self._end_batches()
            case events.VerifyStarted():
                history.verifying = True
                history.verified_upto = event.after
            case events.VerifyProgress():
                history.verified_upto = event.upto
            case events.VerifyFinished():
                history.verifying = False
                if event.outcome in _ENDS_OF_VERIFY:
                    history.verified_upto = None
            case (
                events.PlanReplaced()
                | events.JournalRepaired()
                | events.RateChanged()
                | events.JobPaused()
                | events.JobContinued()
                | events.JobStopping()
                | events.CanaryStarted()
                | events.CanaryFinished()
                | events.ApiRead()
            ):
                pass
            case _:
                assert_never(event)

    def end(self) -> None:
        """Take what is open as it stands."""
        self._end_batches()
        self._forget_calls()

    def _sent(self, event: events.BatchSent) -> None:
        if event.attempt == 1 and event.run_ids is not None:
            self._note(event.batch)
            self._open[event.batch] = OpenBatch(event.result_id, event.run_ids, SENT)
        else:
            batch = self._batch(event)
            batch.step = after(batch.step, SENT)

    def _go_on(self, event: events.BatchRetry | events.BatchSplit) -> None:
        batch = self._batch(event)
        batch.step = after(batch.step, step_of(event))
        match event:
            case events.BatchRetry():
                self._history.retries += 1
                return
            case events.BatchSplit():
                self._note(event.batch, *event.into)
        self._close(event.batch)

    def _settle(self, event: events.Settling) -> None:
        """Settle runs for good; without a result id they are those of an open batch."""
        if event.result_id is None:
            batch = self._batch(event)
            result_id = batch.result_id
            run_ids = batch.run_ids if event.run_ids is None else event.run_ids
        else:
            self._note(event.batch)
            self._catch_up(event.result_id)
            result_id, run_ids = event.result_id, event.run_ids or ()
        self._sink.apply(result_id, run_ids, step_of(event), verdict_of(event))
        if still_open := self._open.get(event.batch):
            settled = set(run_ids)
            left = tuple(run for run in still_open.run_ids if run not in settled)
            still_open.run_ids = left
            if not left:
                del self._open[event.batch]

    def _batch(self, event: events.OfBatch) -> OpenBatch:
        batch = self._open.get(event.batch)
        if batch is None:
            raise UnknownLineError(f"speaks of batch {event.batch}, which is not open")
        return batch

    def _note(self, *numbers: int) -> None:
        for number in numbers:
            self._history.last_batch = max(self._history.last_batch, number)

    def _close(self, number: int) -> None:
        batch = self._open.pop(number)
        self._sink.apply(batch.result_id, batch.run_ids, batch.step)

    def _catch_up(self, result_id: int) -> None:
        """Take the steps so far of the result's open batches: others speak of their runs now."""
        for batch in self._open.values():
            if batch.result_id == result_id:
                self._sink.apply(batch.result_id, batch.run_ids, batch.step)
                batch.step = STAY

    def _end_batches(self) -> None:
        for number in list(self._open):
            self._close(number)

    def _count_call(self, at: datetime) -> None:
        self._last_call = int(at.timestamp())
        calls_at = self._history.calls_at
        calls_at[self._last_call] = calls_at.get(self._last_call, 0) + 1
        if len(calls_at) > 2 * CALLS_OVER_S:
            self._forget_calls()

    def _forget_calls(self) -> None:
        since = self._last_call - CALLS_OVER_S
        calls_at = self._history.calls_at
        self._history.calls_at = {at: calls for at, calls in calls_at.items() if at > since}
