"""A job that keeps to its schedule, against an API in memory, with time faked."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import anyio
import pytest

from bulk_delete import events
from bulk_delete.config import Begun, Limits, Rate, Schedule, Seconds
from bulk_delete.config.times import parse_day_time, parse_windows
from bulk_delete.errors import JournalFailed
from bulk_delete.model import State
from bulk_delete.runner.holding import Holds
from bulk_delete.runner.timekeeping import LEAST_LEAD_S, LOOK_EVERY_S, Clocks, TimeKeeper
from bulk_delete.schedule import Timetable
from bulk_delete.throttle.slowest import Slowest
from tests.test_dispatch import FakeApi, Rig, runs_of

NIGHT = Schedule(windows=parse_windows("22:00-06:00 Europe/Berlin"))
MORNING = datetime(2026, 7, 27, 6, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
EVENING = MORNING + 16 * 3600
CALL_TIMEOUT_S = 60.0


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


@dataclass
class Kept:
    """An engine that keeps to a schedule; `starts` is the time of the day when it does, in POSIX.

    `ahead` is how far the clock on the wall was set since.
    """

    schedule: Schedule
    starts: float
    rig: Rig
    ahead: float = 0.0
    holds: Holds = field(init=False)
    keeper: TimeKeeper = field(init=False)
    record: Callable[[events.OfJob], None] | None = None

    def wall(self) -> float:
        return self.starts + self.ahead + anyio.current_time() - 1000

    @property
    def calls(self) -> list[float]:
        """Tell when each call left, by a clock on the wall that nobody has set."""
        return [self.starts + at - 1000 for at, _, _ in self.rig.api.calls]

    async def run(self, steer: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Run it while somebody steers it."""
        assert anyio.current_time() < 1000.001

        async def keep() -> None:
            engine = self.rig.engine
            self.holds = Holds(engine)
            self.keeper = TimeKeeper(
                Timetable(self.schedule, Begun(self.wall(), anyio.current_time())),
                Clocks(self.wall, anyio.current_time),
                engine,
                self.holds,
                self.rig.throttle,
                CALL_TIMEOUT_S,
                self.record or self.rig.record.record_job,
            )
            self.keeper.begin()
            await self.keeper.serve()

        async with anyio.create_task_group() as group:
            group.start_soon(keep)
            if steer:
                group.start_soon(steer)
            self.states = await self.rig.run()
            group.cancel_scope.cancel()

    def jobs(self) -> list[events.OfJob]:
        return [event for event in self.rig.record.jobs if not isinstance(event, events.ApiRead)]


def rig_of(results: int, per_second: float = 1, latency_s: float = 0.5) -> Rig:
    return Rig(
        runs_of(dict.fromkeys(range(1, results + 1), 1)),
        FakeApi(latency_s=latency_s),
        Limits(Rate(per_second)),
    )


async def test_a_job_is_held_outside_its_window() -> None:
    """Before the border nothing more leaves, at the border nothing is out, and it goes on then."""
    kept = Kept(NIGHT, MORNING - 30, rig_of(60))
    await kept.run()
    assert kept.states == {State.DELETED: 60}
    before = [at for at in kept.calls if at < MORNING]
    after = [at for at in kept.calls if at >= MORNING]
    assert 25 <= len(before) <= 30
    assert before[-1] <= MORNING - LEAST_LEAD_S
    assert EVENING <= after[0] <= EVENING + LOOK_EVERY_S + 1.1
    pause, go_on = kept.jobs()
    why = "outside the window 22:00-06:00 Europe/Berlin, until 2026-07-27T22:00+02:00"
    assert pause == events.JobPaused("schedule", why, 0.0)
    assert isinstance(go_on, events.JobContinued)
    assert go_on.reason == "schedule"
    assert go_on.seconds == pytest.approx(16 * 3600 + 2, abs=0.5)


async def test_a_job_that_starts_outside_waits() -> None:
    """Nothing leaves before the window opens."""
    kept = Kept(NIGHT, EVENING - 5000, rig_of(5))
    await kept.run()
    assert kept.states == {State.DELETED: 5}
    assert EVENING <= kept.calls[0] <= EVENING + LOOK_EVERY_S + 0.01


@pytest.mark.parametrize("latency_s", [0.1, 3, 14, 25, 59])
async def test_slow_calls_are_back_at_the_border(latency_s: float) -> None:
    """However long calls take, the last one leaves so early that it is back at the border."""
    kept = Kept(NIGHT, MORNING - 250, rig_of(3000, per_second=10, latency_s=latency_s))

    async def watch() -> None:
        await anyio.sleep(250)
        assert kept.rig.engine.in_flight == 0
        kept.holds.ask(pause=False)
        kept.rig.engine.stop(JournalFailed("enough"))

    await kept.run(watch)
    assert kept.calls[-1] + latency_s <= MORNING
    lead_s = min(max(LEAST_LEAD_S, 2 * latency_s), CALL_TIMEOUT_S)
    assert kept.calls[-1] >= MORNING - lead_s - latency_s - 1
    assert State.IN_DOUBT not in kept.states


@pytest.mark.parametrize("outside", ["hold", "end"])
async def test_no_call_is_cut_at_a_border(outside: Literal["hold", "end"]) -> None:
    """A call that takes longer than any before is waited for."""
    kept = Kept(Schedule(windows=NIGHT.windows, outside=outside), MORNING - 30, rig_of(60))

    async def slow_down() -> None:
        await anyio.sleep(27)
        kept.rig.api.latency_s = 50
        await anyio.sleep(3)
        assert kept.rig.engine.in_flight > 0
        await anyio.sleep(50)
        assert kept.rig.engine.in_flight == 0
        kept.rig.api.latency_s = 1

    await kept.run(slow_down)
    assert State.IN_DOUBT not in kept.states
    assert kept.states[State.DELETED] == len(kept.calls)


async def test_a_job_ends_when_its_time_is_up() -> None:
    """The longest time ends a job with what is out finished, whatever the clock is set to."""
    kept = Kept(Schedule(max_time=Seconds(120)), MORNING, rig_of(500))

    async def set_the_clock() -> None:
        await anyio.sleep(30)
        kept.ahead = 90_000
        await anyio.sleep(30)
        kept.ahead = -90_000

    await kept.run(set_the_clock)
    assert 110 <= len(kept.calls) <= 120
    assert anyio.current_time() < 1120
    assert set(kept.states) == {State.DELETED, State.UNSENT}
    (ending,) = kept.rig.engine.endings
    assert (ending.exit_code, ending.reason) == (3, "the time is up: 2 min 0 s at the most")
    assert kept.jobs() == [events.JobStopping("schedule", "max_time", ending.reason)]


async def test_a_job_ends_at_a_time_of_the_day() -> None:
    """`until` follows the clock on the wall, also where it is set."""
    until = Schedule(until=parse_day_time("06:10 Europe/Berlin"))
    kept = Kept(until, MORNING, rig_of(900))

    async def set_the_clock() -> None:
        await anyio.sleep(60)
        kept.ahead = 300

    await kept.run(set_the_clock)
    assert anyio.current_time() == pytest.approx(1000 + 300 - LEAST_LEAD_S, abs=1)
    (ending,) = kept.rig.engine.endings
    assert (ending.exit_code, ending.reason) == (3, "the time is up: until 06:10 Europe/Berlin")


async def test_a_job_may_end_with_its_window() -> None:
    """With `outside = "end"` a job ends at the border, and one that starts outside at once."""
    ends = Schedule(windows=NIGHT.windows, outside="end")
    kept = Kept(ends, MORNING - 20, rig_of(100))
    await kept.run()
    assert anyio.current_time() <= 1020
    (ending,) = kept.rig.engine.endings
    assert ending.exit_code == 3
    assert ending.reason.startswith("outside the window 22:00-06:00 Europe/Berlin, until ")


async def test_the_window_follows_the_clock_on_the_wall() -> None:
    """A clock that is set out of the window holds the job; set back, it lets the job go on."""
    kept = Kept(NIGHT, MORNING - 3600, rig_of(100))

    async def set_the_clock() -> None:
        await anyio.sleep(30)
        kept.ahead = 7200
        await anyio.sleep(1000)
        kept.ahead = 0

    await kept.run(set_the_clock)
    assert kept.states == {State.DELETED: 100}
    gaps = [later - at for at, later in zip(kept.calls, kept.calls[1:], strict=False)]
    assert max(gaps) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("last", ["the operator", "the window"])
async def test_two_holds_must_both_be_over(last: str) -> None:
    """A job that an operator has paused and that is outside its window waits for both."""
    kept = Kept(NIGHT, EVENING - 100, rig_of(5))
    at_s = 150 if last == "the operator" else 50

    async def steer() -> None:
        await anyio.sleep(10)
        kept.holds.ask(pause=True)
        await anyio.sleep(at_s - 10)
        kept.holds.ask(pause=False)

    await kept.run(steer)
    assert kept.states == {State.DELETED: 5}
    expected = EVENING + 50 if last == "the operator" else EVENING
    assert kept.calls[0] == pytest.approx(expected, abs=LOOK_EVERY_S + 0.01)


async def test_a_journal_that_fails_ends_the_job() -> None:
    """Where a hold cannot be written down, nothing more is sent."""
    kept = Kept(NIGHT, MORNING - 30, rig_of(100))

    def full(_: events.OfJob) -> None:
        raise JournalFailed("disk full")

    kept.record = full
    await kept.run()
    assert [ending.exit_code for ending in kept.rig.engine.endings] == [74]
    assert kept.calls[-1] < MORNING


def test_the_slowest_call_is_forgotten() -> None:
    """A slow call counts for two minutes at least, and for four at most."""
    slowest = Slowest()
    assert slowest.lately(0) == 0
    slowest.add(10, 7)
    slowest.add(100, 3)
    assert slowest.lately(130) == 7
    slowest.add(249, 5)
    assert slowest.lately(249) == 7
    assert slowest.lately(251) == 5
    assert slowest.lately(800) == 0
