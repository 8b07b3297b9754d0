"""When calls may leave: in which windows, and until when at all. Pure: both clocks are given.

A window follows what the clocks of its zone show: an hour that they skip is in no window, and one
that they show twice is in it twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

from bulk_delete.config import Begun, Clock, DayTime, Schedule, Window, clock_of
from bulk_delete.report import duration

_DAY_S = 86_400
_HOUR_S = 3600
_AHEAD_S = 4 * _DAY_S
"""How far borders are looked for. A window opens within two days, but where a zone skips one."""


@dataclass(frozen=True, slots=True)
class Open:
    """Calls may leave."""


@dataclass(frozen=True, slots=True)
class Shut:
    """No call may leave before `until`, in POSIX seconds."""

    until: float
    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """No call may leave any more."""

    limit: Literal["max_time", "until", "window"]
    why: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """All of it is inside a window, or all outside."""

    begin: float
    end: float
    inside: bool


Timed = tuple[Window, Clock]


class Timetable:
    """The schedule of a job, from the moment when it was asked for."""

    def __init__(self, schedule: Schedule, begun: Begun) -> None:
        self._schedule = schedule
        self._begun = begun
        zone = schedule.timezone
        self._windows = [(window, clock_of(window.zone or zone)) for window in schedule.windows]
        self._until = float("inf")
        if schedule.until:
            clock = clock_of(schedule.until.zone or zone)
            self._until = next_strike(schedule.until, clock, begun.wall)
        self._stretch: _Stretch | None = None

    def at(self, wall: float, steady: float, lead_s: float) -> Open | Shut | Over:
        """Tell whether a call may leave that is back after `lead_s`, before the next border.

        A window that opens only when the time is up is not waited for.
        """
        longest = self._schedule.max_time
        left = float("inf") if longest is None else self._begun.steady + longest - steady
        if longest is not None and lead_s >= left:
            return Over("max_time", f"the time is up: {duration(longest)} at the most")
        if wall + lead_s >= self._until:
            return Over("until", f"the time is up: until {self._schedule.until}")
        if not self._windows:
            return Open()
        stretch = self._stretch = self._stretch_at(wall)
        if stretch.inside and wall + lead_s < stretch.end:
            return Open()
        opens = next_change(self._windows, stretch.end) if stretch.inside else stretch.end
        why = self._outside(opens)
        in_vain = opens + lead_s >= min(self._until, wall + left)
        return (
            Over("window", why) if in_vain or self._schedule.outside == "end" else Shut(opens, why)
        )

    def _stretch_at(self, wall: float) -> _Stretch:
        found = self._stretch
        if found and found.begin <= wall < found.end:
            return found
        return _Stretch(wall, next_change(self._windows, wall), is_inside(self._windows, wall))

    def _outside(self, opens: float) -> str:
        named = " and ".join(str(window) for window, _ in self._windows)
        many = "s" if len(self._windows) > 1 else ""
        ahead = timedelta(seconds=self._windows[0][1](opens))
        moment = datetime.fromtimestamp(opens, timezone(ahead)).isoformat(timespec="minutes")
        return f"outside the window{many} {named}, until {moment}"


def is_inside(windows: Iterable[Timed], wall: float) -> bool:
    """Tell whether a moment is in any of the windows."""
    return any(window.has((wall + clock(wall)) % _DAY_S / 60) for window, clock in windows)


def next_change(windows: list[Timed], wall: float) -> float:
    """Return when the windows open or close next; infinity if they do not."""
    now = is_inside(windows, wall)
    borders = {
        border
        for window, clock in windows
        for border in _borders(clock, (window.opens, window.closes), wall)
    }
    changes = (border for border in sorted(borders) if is_inside(windows, border) != now)
    return next(changes, float("inf"))


def next_strike(time: DayTime, clock: Clock, wall: float) -> float:
    """Return when a clock shows a time next, or skips it."""
    before = clock(wall)
    for begin, end, ahead in _pieces(clock, wall):
        for shown in _shown(begin + min(before, ahead), end + ahead, (time.minute,)):
            moment = max(begin, shown - ahead)  # what is skipped counts when the clock is set
            if moment > wall:
                return moment
        before = ahead
    return float("inf")


def _borders(clock: Clock, minutes: tuple[int, ...], wall: float) -> Iterator[float]:
    """Yield when a clock shows these minutes of the day, and when it is set."""
    for begin, end, ahead in _pieces(clock, wall):
        yield from (shown - ahead for shown in _shown(begin + ahead, end + ahead, minutes))
        yield end


def _shown(begin: float, end: float, minutes: tuple[int, ...]) -> Iterator[int]:
    """Yield, of each day, when a clock shows these minutes, from `begin` up to `end`."""
    for day in range(int(begin // _DAY_S), int(end // _DAY_S) + 1):
        for minute in minutes:
            if begin <= (shown := day * _DAY_S + minute * 60) < end:
                yield shown


def _pieces(clock: Clock, wall: float) -> Iterator[tuple[float, float, int]]:
    """Cut the time ahead where a clock is set: begin, end, and how far it is ahead of UTC."""
    begin, last = wall, wall + _AHEAD_S
    while begin < last:
        ahead = clock(begin)
        end = begin
        while end < last and clock(end) == ahead:
            end += _HOUR_S
        if clock(end) != ahead:
            end = _set_at(clock, end - _HOUR_S, end)
        yield begin, end, ahead
        begin = end


def _set_at(clock: Clock, low: float, high: float) -> float:
    """Return the second at which a clock is set, between two moments."""
    before, first, last = clock(low), int(low), int(-(-high // 1))
    while last - first > 1:
        middle = (first + last) // 2
        if clock(middle) == before:
            first = middle
        else:
            last = middle
    return last
