"""The pace, on a loop whose time is faked: nothing here sleeps."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bulk_delete.config import Rate
from bulk_delete.events import RateChanged
from bulk_delete.throttle import Throttle
from bulk_delete.throttle.pace import Pace

SLOW = [Rate(10), Rate(600, 60), Rate(3), Rate(1), Rate(30, 60), Rate(5000, 3600)]
FAST = [Rate(20), Rate(50), Rate(100), Rate(1000), Rate(6000, 60)]


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Run every test on the loop whose clock jumps."""
    return warped


async def calls(throttle: Throttle, seconds: float, workers: int = 8) -> list[float]:
    """Make calls as fast as the throttle lets so many workers; return when each one left."""
    times: list[float] = []
    end = anyio.current_time() + seconds

    async def work() -> None:
        while anyio.current_time() < end:
            await throttle.ready()
            times.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
    return times


def busiest(times: list[float]) -> int:
    """Return the most calls in any one second."""
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_allowed(rate: Rate) -> float:
    slow = rate.per_second <= 10
    return rate.per_second + 1 if slow else 1.05 * rate.per_second + 1


@pytest.mark.parametrize("workers", [1, 64])
@pytest.mark.parametrize("rate", SLOW + FAST, ids=str)
async def test_no_second_sees_more_than_the_rate(rate: Rate, workers: int) -> None:
    """From the first call on, no second has more calls than the rate and a small margin."""
    times = await calls(Throttle(rate), 20, workers)
    assert busiest(times) <= most_allowed(rate)


@pytest.mark.parametrize("workers", [1, 64])
@pytest.mark.parametrize("rate", SLOW + FAST, ids=str)
async def test_the_rate_is_reached(rate: Rate, workers: int) -> None:
    """Over a long run the calls come at the rate that was set, less at most 2 %."""
    seconds = max(30.0, 100 / rate.per_second)
    start = anyio.current_time()
    times = await calls(Throttle(rate), seconds, workers)
    made = sum(1 for time in times if time - start <= seconds)
    assert made >= 0.98 * rate.per_second * seconds


@pytest.mark.parametrize("rate", SLOW + FAST, ids=str)
async def test_the_first_call_leaves_at_once(rate: Rate) -> None:
    """Nobody waits for the first call, however slow the rate."""
    start = anyio.current_time()
    await Throttle(rate).ready()
    assert anyio.current_time() == start


@pytest.mark.parametrize("idle_s", [0.5, 1, 60, 86_400])
@pytest.mark.parametrize("rate", SLOW + FAST, ids=str)
async def test_no_burst_follows_an_idle_spell(rate: Rate, idle_s: float) -> None:
    """What was not used while idle is not made up for afterwards."""
    throttle = Throttle(rate)
    times = await calls(throttle, 3)
    await anyio.sleep(idle_s)
    times += await calls(throttle, 3)
    assert busiest(times) <= most_allowed(rate)


@pytest.mark.parametrize("pause_s", [0.05, 0.7, 5, 60])
@pytest.mark.parametrize("rate", SLOW + FAST, ids=str)
async def test_a_pause_holds_everyone_and_no_burst_follows(rate: Rate, pause_s: float) -> None:
    """No call leaves during a pause, nor do the held ones leave together when it is over."""
    throttle = Throttle(rate)
    paused_at = anyio.current_time() + 3.0001
    times: list[float] = []

    async def pause() -> None:
        await anyio.sleep_until(paused_at)
        throttle.pause(pause_s)

    async with anyio.create_task_group() as group:
        group.start_soon(pause)
        times += await calls(throttle, 8 + pause_s, workers=32)
    over = paused_at + pause_s
    assert [time for time in times if paused_at < time < over] == []
    assert any(time < paused_at for time in times)
    assert any(time >= over for time in times)
    assert busiest(times) <= most_allowed(rate)


@pytest.mark.parametrize(
    ("pauses", "held_s"),
    [((5,), 5), ((2, 9), 9), ((9, 2), 9), ((3, 0), 3), ((0,), 0), ((), 0)],
)
async def test_the_longest_pause_counts(pauses: tuple[float, ...], held_s: float) -> None:
    """Of several pauses the one that ends last holds; a shorter one does not cut it."""
    throttle = Throttle(Rate(1000))
    start = anyio.current_time()
    for seconds in pauses:
        throttle.pause(seconds)
    assert throttle.held_s == pytest.approx(held_s)
    await throttle.ready()
    assert anyio.current_time() - start == pytest.approx(held_s, abs=0.01)


async def test_a_pause_runs_from_when_it_was_asked_for() -> None:
    """What is left of a pause shrinks as time goes by, down to nothing."""
    throttle = Throttle(Rate(10))
    throttle.pause(10)
    await anyio.sleep(4)
    assert throttle.held_s == pytest.approx(6)
    throttle.pause(1)
    assert throttle.held_s == pytest.approx(6)
    await anyio.sleep(60)
    assert throttle.held_s == 0


async def test_a_pause_that_grows_holds_those_who_wait_already() -> None:
    """Workers that wait for the end of one pause wait for a longer one that is set meanwhile."""
    throttle = Throttle(Rate(1000))
    start = anyio.current_time()
    throttle.pause(2)

    async def lengthen() -> None:
        await anyio.sleep(1)
        throttle.pause(10)

    async with anyio.create_task_group() as group:
        group.start_soon(lengthen)
        times = await calls(throttle, 3)
    assert min(times) - start >= 11


async def test_repeated_pauses_leave_room_between_them() -> None:
    """With a pause again and again, calls still come at the rate in the time between."""
    throttle = Throttle(Rate(100))

    async def pause_often() -> None:
        for _ in range(10):
            await anyio.sleep(2)
            throttle.pause(1)

    async with anyio.create_task_group() as group:
        group.start_soon(pause_often)
        times = await calls(throttle, 20)
    assert busiest(times) <= most_allowed(Rate(100))
    assert len(times) >= 0.9 * 100 * 10


@pytest.mark.parametrize("rate", [Rate(10), Rate(100), Rate(1000)], ids=str)
async def test_a_cancelled_worker_takes_no_turn(rate: Rate) -> None:
    """Workers that are cancelled while they wait leave their turns to the others."""
    throttle = Throttle(rate)
    start = anyio.current_time()
    times: list[float] = []

    async def work(scope: anyio.CancelScope) -> None:
        with scope:
            await throttle.ready()
            times.append(anyio.current_time())

    scopes = [anyio.CancelScope() for _ in range(200)]
    async with anyio.create_task_group() as group:
        for scope in scopes:
            group.start_soon(work, scope)
        await anyio.sleep(2.5 / rate.per_second)
        for scope in scopes[::2]:
            scope.cancel()
    assert 100 <= len(times) <= 100 + max(3, rate.per_second / 50 + 3)
    assert times[-1] - start <= len(times) / rate.per_second * 1.02
    assert busiest(times) <= most_allowed(rate)


async def test_a_worker_cancelled_in_a_pause_leaves_the_pause_standing() -> None:
    """Cancelling a worker in a pause ends its wait only; the others are held as before."""
    throttle = Throttle(Rate(10))
    start = anyio.current_time()
    throttle.pause(10)
    with anyio.move_on_after(3) as scope:
        await throttle.ready()
    assert scope.cancelled_caught
    assert anyio.current_time() - start == pytest.approx(3)
    await throttle.ready()
    assert anyio.current_time() - start == pytest.approx(10)


async def test_cancelling_everyone_leaves_the_throttle_usable() -> None:
    """After all waiting workers were cancelled the next call gets its turn, at the rate."""
    throttle = Throttle(Rate(10))
    with anyio.move_on_after(1.05):
        await calls(throttle, 60, workers=50)
    times = await calls(throttle, 5)
    assert len(times) >= 0.98 * 10 * 5
    assert busiest(times) <= most_allowed(Rate(10))


async def test_a_rate_may_fall_while_calls_wait_for_a_handful_of_turns() -> None:
    """Who waits for several turns gets one of them when the bucket has become too small for all."""
    pace = Pace(5000)
    while pace.free(5):
        await pace.take(5)
    taken: list[int] = []

    async def wait() -> None:
        taken.append(await pace.take(5))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        pace.change(10, single=True)
    assert taken == [1]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("after", [Rate(5), Rate(20), Rate(200), Rate(600, 60)], ids=str)
@pytest.mark.parametrize("before", [Rate(1, 3600), Rate(0.1), Rate(10), Rate(100)], ids=str)
async def test_another_rate_holds_at_once(before: Rate, after: Rate, *, adaptive: bool) -> None:
    """From a change on calls come at the new rate, also to those who waited for an older turn."""
    throttle = Throttle(before, adaptive=adaptive)
    start = anyio.current_time()

    async def change() -> None:
        await anyio.sleep(5)
        changed = await throttle.change(after)
        assert changed == RateChanged(
            "asked",
            round(after.per_second, 3),
            round(before.per_second, 3),
            round(after.per_second, 3),
        )

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        times = await calls(throttle, 15, workers=32)
    later = [time for time in times if start + 5 < time <= start + 15]
    assert later[0] - start - 5 <= 1 / after.per_second + 0.01
    assert 0.98 * 10 <= len(later) / after.per_second <= 1.05 * 10 + 1
    assert busiest(later) <= most_allowed(after)
    assert throttle.limit == after


async def test_a_lower_rate_is_not_paid_for_beforehand() -> None:
    """A rate that falls to a crawl lets the next call out as soon as the old one did."""
    throttle = Throttle(Rate(10))
    await throttle.ready()
    await throttle.change(Rate(0.001))
    with anyio.fail_after(0.2):
        await throttle.ready()


async def test_a_new_limit_knows_the_calls_of_before() -> None:
    """An hour's limit that comes later on counts what the last hour has seen."""
    throttle = Throttle(Rate(100), used=[(1800, 300), (4000, 1000)])
    start = anyio.current_time()
    times = await calls(throttle, 2)
    await throttle.change(Rate(100, also=(Rate(550, 3600),)))
    times += await calls(throttle, 1900)
    early = [time for time in times if time - start < 1790]
    assert 545 <= 300 + len(early) <= 550
    assert len(times) > len(early)


async def test_a_limit_that_goes_wakes_who_waits_for_it() -> None:
    """Whoever waits for the end of a full hour goes on at once when that limit is raised."""
    throttle = Throttle(Rate(10, also=(Rate(5, 3600),)))
    start = anyio.current_time()

    async def change() -> None:
        await anyio.sleep(10)
        await throttle.change(Rate(10))

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        times = await calls(throttle, 12)
    assert sum(time - start < 10 for time in times) == 5
    assert sum(time - start < 11.01 for time in times) >= 15


async def test_calls_that_leave_late_forget_a_slower_rate() -> None:
    """A call that had its turn is not spaced by a rate that is no more."""
    throttle = Throttle(Rate(1, 3600))
    await throttle.ready()
    assert throttle.leave_s() == 0
    await throttle.change(Rate(10))
    await throttle.ready()
    assert throttle.leave_s() <= 0.1


async def test_how_long_pauses_have_held() -> None:
    """Pauses that overlap count once, and what is still to come of them not at all."""
    throttle = Throttle(Rate(10))
    throttle.pause(4)
    await anyio.sleep(1)
    throttle.pause(2)
    assert throttle.paused_s == pytest.approx(1, abs=0.01)
    throttle.pause(5)
    await anyio.sleep(20)
    throttle.pause(1)
    await anyio.sleep(2)
    assert throttle.paused_s == pytest.approx(7, abs=0.01)
