"""How a running job is looked at: figures for a screen, and log events for an operator."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bulk_delete import events
from bulk_delete.dispatch import Engine
from bulk_delete.journal.writer import Journal
from bulk_delete.metrics import NO_TALLY, Tally
from bulk_delete.model import Batch, State
from bulk_delete.plan import Figures
from bulk_delete.runner.holding import Holds
from bulk_delete.runner.metering import Meter
from bulk_delete.runner.standings import Standings
from bulk_delete.schedule import Shut
from bulk_delete.throttle import Throttle

_RATE_OVER_S = 10.0
_OPEN = (State.UNSENT, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a running job.

    `runs` counts the planned ones by state; `eta_s` is None when nothing moves; `held_s` is how
    much longer every call is held; `lowered_to` is the rate in calls per second where it has given
    way; `trouble` is the last refusal or failure. `outage`: calls are held as nobody answers.
    `paused`: an operator holds them; `shut`: they are outside their windows. `lines` is how far
    the journal had come. `pace` and `limit` are calls per second, `throttled_s` is for how long
    the API has held every call; `tally` is kept where it is asked for.
    """

    planned: int
    runs: Mapping[State, int]
    calls: int
    retries: int
    in_flight: int
    calls_per_s: float
    eta_s: float | None
    held_s: float
    lowered_to: float | None
    stopping: str | None
    trouble: str
    paused: bool = False
    outage: bool = False
    shut: Shut | None = None
    lines: int | None = None
    pace: float = 0.0
    limit: float = 0.0
    throttled_s: float = 0.0
    tally: Tally = NO_TALLY

    @property
    def finished(self) -> int:
        return self.planned - sum(self.runs.get(state, 0) for state in _OPEN)


class Watcher(Protocol):
    """A screen and a log. It must not raise: a lost terminal does not end a job."""

    interval_s: float

    def show(self, progress: Progress) -> None: ...

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


_LEVELS: dict[type[events.Event], str] = {
    events.BatchRetry: "info",
    events.BatchSplit: "info",
    events.BatchFailed: "warning",
    events.BatchGone: "info",
    events.BatchUnknown: "warning",
}


_JOB_LEVELS: dict[type[events.Event], str] = {
    events.RateChanged: "info",
    events.JobPaused: "warning",
    events.JobContinued: "warning",
    events.JobStopping: "warning",
    events.CanaryStarted: "info",
    events.CanaryFinished: "info",
    events.ApiRead: "info",
}


class Recording:
    """Takes the engine's events to the journal, to the live figures and to the log."""

    def __init__(self, journal: Journal, standings: Standings, watcher: Watcher) -> None:
        self._journal = journal
        self._standings = standings
        self._watcher = watcher

    def record_sent(self, batch: Batch, event: events.BatchSent, ids: bytes) -> None:
        self._journal.write(event, ids)
        self._standings.take(batch, event)

    def record_job(self, event: events.OfJob) -> None:
        self._journal.write(event)
        routine = isinstance(event, events.ApiRead) and event.batch is None
        if not routine and (level := _JOB_LEVELS.get(type(event))):
            fields = msgspec.to_builtins(event)
            self._watcher.log(level, fields.pop("event"), fields)

    def record(self, batch: Batch, event: events.OfBatch) -> None:
        self._journal.write(event)
        self._standings.take(batch, event)
        if level := _LEVELS.get(type(event)):
            fields = msgspec.to_builtins(event)
            runs = fields.pop("run_ids", None) or batch.run_ids
            fields |= {"result_id": batch.result_id, "runs": len(runs)}
            self._watcher.log(level, fields.pop("event"), fields)

    def record_back(self, event: events.BatchReopened) -> None:
        """Take back that runs are deleted."""
        self._journal.write(event)
        self._standings.take_back(len(event.run_ids))
        self._tell(event)

    def record_pairs(self, event: events.OfPairs) -> None:
        self._journal.write(event)
        self._standings.take_pairs(event)
        self._tell(event)

    def _tell(self, event: events.OfPairs) -> None:
        fields = msgspec.to_builtins(event)
        fields["runs"] = len(fields.pop("run_ids"))
        self._watcher.log("warning", fields.pop("event"), fields)

    async def durable(self) -> None:
        await self._journal.durable()


class Gauge:
    """Reads the figures of a running job."""

    def __init__(
        self,
        engine: Engine,
        holds: Holds,
        throttle: Throttle,
        standings: Standings,
        journal: Journal,
        plan: Figures,
        clock: Callable[[], float],
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._engine = engine
        self._holds = holds
        self._throttle = throttle
        self._standings = standings
        self._journal = journal
        self._clock = clock
        self._planned = plan.runs
        self._batches = plan.calls
        self._seen = deque([(clock(), 0, 0)], maxlen=1000)
        """Time, calls, and calls that need not be made again."""

    def read(self) -> Progress:
        runs, sent, retries = (
            self._standings.runs,
            self._standings.calls,
            self._standings.retries,
        )
        left = sum(runs[state] for state in _OPEN)
        now, useful = self._clock(), sent - retries
        self._seen.append((now, sent, useful))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RATE_OVER_S:  # noqa: PLR2004 - two make a span
            self._seen.popleft()
        since, calls, done = self._seen[0]
        span = max(now - since, 1e-9)
        pace = (useful - done) / span
        rate, still = self._throttle.per_second, self._engine.is_paused
        ending = self._engine.endings[0] if self._engine.endings else None
        return Progress(
            planned=self._planned,
            runs=runs,
            calls=sent,
            retries=retries,
            in_flight=self._engine.in_flight,
            calls_per_s=(sent - calls) / span,
            eta_s=max(self._batches - useful, left > 0) / pace if pace > 0 and not still else None,
            held_s=self._throttle.held_s,
            lowered_to=rate if rate < self._throttle.limit.per_second else None,
            stopping=ending.reason if ending else None,
            trouble=self._engine.trouble,
            paused=self._holds.asked,
            outage=self._engine.is_held,
            shut=self._holds.shut,
            lines=self._journal.end.lines,
            pace=rate,
            limit=self._throttle.limit.per_second,
            throttled_s=self._throttle.paused_s,
            tally=self._meter.tally if self._meter else NO_TALLY,
        )
