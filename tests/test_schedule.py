"""The schedule against a slow reference: a clock that is read minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import Begun, DayTime, Schedule, Seconds, Window, ZoneName, clock_of
from bulk_delete.config.times import parse_day_time, parse_windows
from bulk_delete.schedule import Open, Over, Shut, Timetable, next_change, next_strike

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "America/Sao_Paulo",  # at midnight, once
    "Africa/Casablanca",  # back for Ramadan
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out 30 December 2011
    "UTC",
]
SET_FORWARD = datetime(2026, 3, 29, 1, tzinfo=UTC)
"""When the clocks of Berlin go from 02:00 to 03:00."""

SET_BACK = datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When they go from 03:00 to 02:00."""

MINUTE = 60
DAY = 24 * 60 * MINUTE


def moment(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> float:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return local.timestamp()


def wall(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).replace(tzinfo=None)


def plainly_inside(windows: list[Window], at: float) -> bool:
    """Read the clock of each window as a person does."""
    for window in windows:
        now = wall(at, str(window.zone))
        minute = now.hour * 60 + now.minute
        over_midnight = window.opens > window.closes
        after, before = minute >= window.opens, minute < window.closes
        if (after or before) if over_midnight else (after and before):
            return True
    return False


def plainly_struck(time: DayTime, at: float) -> float:
    """Wait, minute by minute, until the clock shows a time or has skipped it."""
    zone = str(time.zone)
    before = wall(at, zone)
    for minutes in range(1, 4 * 24 * 60):
        later = (at // MINUTE + minutes) * MINUTE
        now = wall(later, zone)
        midnight = datetime.combine(now.date(), datetime.min.time())
        today = midnight + timedelta(minutes=time.minute)
        days = range((now.date() - before.date()).days + 1)
        if now == today or any(before < today - timedelta(days=day) <= now for day in days):
            return later
        before = now
    raise AssertionError("it never came")


zones = st.sampled_from(ZONES).map(ZoneName)
minutes = st.integers(0, 24 * 60 - 1) | st.sampled_from([0, 30, 60, 90, 120, 150, 180])
windows = st.builds(Window, minutes, minutes | st.just(24 * 60), zones).filter(
    lambda window: window.opens != window.closes
)
at_a_change = st.sampled_from([SET_FORWARD, SET_BACK, datetime(2011, 12, 30, 10, tzinfo=UTC)])
moments = st.datetimes(datetime(2005, 1, 1), datetime(2037, 1, 1)).map(  # noqa: DTZ001 - one zone
    lambda at: at.replace(tzinfo=UTC).timestamp() // 1
) | st.builds(lambda at, off: at.timestamp() + off, at_a_change, st.integers(-2 * DAY, DAY))


@effort(max_examples=60, deadline=None)
@given(st.lists(windows, min_size=1, max_size=3), moments)
@example([Window(135, 165, ZoneName("Europe/Berlin"))], SET_FORWARD.timestamp() - DAY)
@example([Window(60, 150, ZoneName("Europe/Berlin"))], SET_FORWARD.timestamp() - 60)
@example([Window(150, 300, ZoneName("Europe/Berlin"))], SET_FORWARD.timestamp() - 60)
@example([Window(135, 165, ZoneName("Europe/Berlin"))], SET_BACK.timestamp() - 3600)
@example([Window(150, 300, ZoneName("Europe/Berlin"))], SET_BACK.timestamp() - 60)
@example([Window(0, 24 * 60, ZoneName("UTC"))], 0.0)
def test_windows_open_and_close_as_the_clock_shows(some: list[Window], at: float) -> None:
    """The next border is the first minute that a reader of the clocks finds on the other side."""
    timed = [(window, clock_of(window.zone)) for window in some]
    found, now = next_change(timed, at), plainly_inside(some, at)
    last = min(found, at + 3 * DAY)
    for minute in range(int(at // MINUTE) + 1, int(last // MINUTE)):
        assert plainly_inside(some, minute * MINUTE) == now
    if found != float("inf"):
        assert found > at
        assert plainly_inside(some, found) != now
        assert plainly_inside(some, found - 1) == now or found - 1 < at
    table = Timetable(Schedule(windows=tuple(some)), Begun(at, 0))
    assert isinstance(table.at(at, 0, 0), Open) == now


@effort(max_examples=60, deadline=None)
@given(st.builds(DayTime, minutes, zones), moments)
@example(DayTime(120, ZoneName("Europe/Berlin")), SET_FORWARD.timestamp() - 60)
@example(DayTime(150, ZoneName("Europe/Berlin")), SET_FORWARD.timestamp() - 60)
@example(DayTime(180, ZoneName("Europe/Berlin")), SET_FORWARD.timestamp() - 60)
@example(DayTime(150, ZoneName("Europe/Berlin")), SET_BACK.timestamp() - 60)
@example(DayTime(120, ZoneName("Europe/Berlin")), SET_BACK.timestamp() - 60)
def test_a_time_comes_when_the_clock_shows_or_skips_it(time: DayTime, at: float) -> None:
    """The next time of day is the first minute that shows it, or the one that has skipped it."""
    assert next_strike(time, clock_of(time.zone), at) == plainly_struck(time, at)


NIGHT = parse_windows("22:00-06:00 Europe/Berlin")


def test_a_window_over_midnight() -> None:
    """A job starts at ten in the evening, and at six in the morning it is held until ten."""
    table = Timetable(Schedule(windows=NIGHT), Begun(0, 0))
    evening, morning = moment("2026-07-26T22:00"), moment("2026-07-27T06:00")
    told = "outside the window 22:00-06:00 Europe/Berlin, until "
    assert table.at(evening - 1, 0, 5) == Shut(evening, told + "2026-07-26T22:00+02:00")
    assert table.at(evening, 0, 5) == Open()
    assert table.at(morning - 5.1, 0, 5) == Open()
    shut = Shut(evening + DAY, told + "2026-07-27T22:00+02:00")
    assert table.at(morning - 5, 0, 5) == shut
    assert table.at(morning, 0, 5) == shut


def test_windows_that_meet_are_one() -> None:
    """Nothing is drained where another window takes over."""
    table = Timetable(Schedule(windows=parse_windows("22:00-02:00, 02:00-06:00")), Begun(0, 0))
    for minute in range(8 * 60 - 1):
        start = datetime(2026, 7, 26, 22).astimezone().timestamp()
        assert table.at(start + minute * MINUTE, 0, 60) == Open()


def test_a_job_may_end_outside() -> None:
    """With `outside = "end"` there is no waiting for a window."""
    table = Timetable(Schedule(windows=NIGHT, outside="end"), Begun(0, 0))
    found = table.at(moment("2026-07-26T21:59"), 0, 5)
    assert isinstance(found, Over)
    assert found.limit == "window"
    assert found.why.startswith("outside the window 22:00-06:00 Europe/Berlin, until ")


def test_the_longest_time_goes_by_the_clock_that_nobody_sets() -> None:
    """The time is up by the steady clock, a lead before it, wherever the other is set to."""
    table = Timetable(Schedule(max_time=Seconds(7200)), Begun(10_000, 500))
    assert table.at(99_000, 500 + 7200 - 5.1, 5) == Open()
    over = Over("max_time", "the time is up: 2 h 0 min at the most")
    assert table.at(10_001, 500 + 7200 - 5, 5) == over


def test_until_goes_by_the_clock_on_the_wall() -> None:
    """The time of day is the next one after the start, not after each look at the clock."""
    table = Timetable(
        Schedule(until=parse_day_time("05:00"), timezone=ZoneName("Europe/Berlin")),
        Begun(moment("2026-07-26T04:59"), 0),
    )
    border = moment("2026-07-26T05:00")
    assert table.at(border - 5.1, 0, 5) == Open()
    assert table.at(border - 5, 0, 5) == Over("until", "the time is up: until 05:00")
    assert table.at(border + 3600, 0, 5) == Over("until", "the time is up: until 05:00")
    later = Timetable(Schedule(until=parse_day_time("05:00 Europe/Berlin")), Begun(border, 0))
    assert later.at(border, 0, 5) == Open()


@pytest.mark.parametrize("schedule", [{"max_time": 3600}, {"until": "21:30 Europe/Berlin"}])
def test_no_window_is_waited_for_that_opens_too_late(schedule: dict[str, object]) -> None:
    """A job that would be held until its time is up ends at once."""
    start = moment("2026-07-26T20:00")
    limits = Schedule(windows=NIGHT, max_time=Seconds(3600))
    if "until" in schedule:
        limits = Schedule(windows=NIGHT, until=parse_day_time(schedule["until"]))
    found = Timetable(limits, Begun(start, 0)).at(start, 0, 5)
    assert isinstance(found, Over)
    assert found.limit == "window"


def test_a_clock_that_is_set_back_opens_again() -> None:
    """The window follows the clock on the wall, whichever way it is set."""
    table = Timetable(Schedule(windows=NIGHT), Begun(0, 0))
    morning = moment("2026-07-27T06:00")
    assert isinstance(table.at(morning + 60, 0, 5), Shut)
    assert table.at(morning - 600, 0, 5) == Open()
    assert isinstance(table.at(morning + DAY, 0, 5), Shut)
    assert table.at(morning + DAY + 17 * 3600, 0, 5) == Open()
