"""Keeping a running job to its schedule: held outside its windows, ended when the time is up."""

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from bulk_delete import events
from bulk_delete.dispatch import Engine
from bulk_delete.errors import JournalFailed, Stopped
from bulk_delete.runner.holding import Holds
from bulk_delete.schedule import Open, Over, Shut, Timetable
from bulk_delete.throttle import Throttle

LOOK_EVERY_S = 0.25

LEAST_LEAD_S = 2.0
_CAUTION = 2.0
"""The last call before a border leaves so much earlier: twice what the slowest one lately took."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """One that shows the time of the day and may be set, and one that only goes forward."""

    wall: Callable[[], float]
    steady: Callable[[], float]


class TimeKeeper:
    """`begin` before the first call, `serve` as long as there are any. It cuts no call."""

    def __init__(
        self,
        timetable: Timetable,
        clocks: Clocks,
        engine: Engine,
        holds: Holds,
        throttle: Throttle,
        longest_call_s: float,
        record: Callable[[events.OfJob], None],
    ) -> None:
        self._timetable = timetable
        self._clocks = clocks
        self._engine = engine
        self._holds = holds
        self._throttle = throttle
        self._longest_call_s = longest_call_s
        self._record = record
        self._shut_at = 0.0
        self._is_over = False

    def begin(self) -> None:
        self._look()

    async def serve(self) -> None:
        try:
            while not self._is_over:
                await anyio.sleep(LOOK_EVERY_S)
                self._look()
        except JournalFailed as failure:
            self._engine.stop(failure)
            self._engine.cut()

    def _look(self) -> None:
        now = self._clocks.steady()
        found = self._timetable.at(self._clocks.wall(), now, self._lead_s())
        match found:
            case Open():
                if self._holds.shut:
                    self._record(events.JobContinued("schedule", round(now - self._shut_at, 3)))
                    self._holds.close(None)
            case Shut():
                if not self._holds.shut:
                    self._shut_at = now
                    self._record(events.JobPaused("schedule", found.why, 0.0))
                self._holds.close(found)
            case Over():
                self._is_over = True
                self._record(events.JobStopping("schedule", found.limit, found.why))
                self._engine.stop(Stopped(found.why))

    def _lead_s(self) -> float:
        likely = min(_CAUTION * self._throttle.slowest_s, self._longest_call_s)
        return max(LEAST_LEAD_S, likely) + LOOK_EVERY_S  # until the next look calls may leave
