"""A job that is paused from outside, against an API in memory, with time faked."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from bulk_delete.config import Limits, Rate, Retry, Seconds
from bulk_delete.dispatch.pausing import Stopwatch
from bulk_delete.errors import GaveUp, Stopped
from bulk_delete.model import Deleted, Fact, InDoubt, ServerError, State
from tests.test_dispatch import FakeApi, Rig, runs_of


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


async def steered(rig: Rig, steer: Callable[[], Coroutine[Any, Any, None]]) -> dict[State, int]:
    """Run an engine while somebody steers it."""
    async with anyio.create_task_group() as group:
        group.start_soon(steer)
        states = await rig.run()
    return dict(states)


def test_a_stopwatch_leaves_out_the_time_in_which_it_stands() -> None:
    """It goes with its clock, but for the time between a stop and what follows it."""
    now = 100.0
    watch = Stopwatch(lambda: now)
    assert watch() == 100
    watch.stop()
    now = 160
    watch.stop()
    assert watch() == 100
    watch.go_on()
    now = 165
    watch.go_on()
    assert watch() == 105


@pytest.mark.parametrize("per_second", [1, 10, 5000])
async def test_in_a_pause_nothing_leaves(per_second: float) -> None:
    """What is in flight finishes, nothing else leaves until it goes on, and then all is done."""
    api = FakeApi(latency_s=0.5)
    rig = Rig(runs_of(dict.fromkeys(range(1, 41), 150)), api, Limits(Rate(per_second)))
    start = anyio.current_time()
    out: list[int] = []

    async def steer() -> None:
        await anyio.sleep(2.75)
        rig.engine.pause()
        out.append(len(api.calls))
        await anyio.sleep(1)
        assert rig.engine.in_flight == 0
        await anyio.sleep(5000)
        rig.engine.go_on()

    assert await steered(rig, steer) == {State.DELETED: 40 * 150}
    assert out[0] > 0
    later = [at - start for at, _, _ in api.calls[out[0] :]]
    assert 5003.75 <= later[0] <= 5003.75 + 1 / per_second
    assert rig.engine.endings == []


async def test_a_job_that_starts_paused_waits() -> None:
    """Paused before it runs, an engine makes its first call when it goes on."""
    rig = Rig(runs_of({1: 150, 2: 5}))
    start = anyio.current_time()

    async def steer() -> None:
        rig.engine.pause()
        await anyio.sleep(100)
        rig.engine.go_on()

    assert await steered(rig, steer) == {State.DELETED: 155}
    assert rig.api.calls[0][0] - start == pytest.approx(100, abs=0.01)


async def test_a_pause_is_no_outage() -> None:
    """The time that an API may stay away does not pass in a pause, nor does a probe leave."""
    down_until = float("inf")

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        fails = 1002 < anyio.current_time() < down_until
        return ServerError(503, None, "away") if fails else Deleted(204, 1)

    rig = Rig(
        runs_of(dict.fromkeys(range(1, 99), 1)),
        FakeApi(script),
        Limits(Rate(10), give_up_after=Seconds(60)),
    )

    async def steer() -> None:
        nonlocal down_until
        await anyio.sleep(40)
        assert rig.engine.is_held
        rig.engine.pause()
        await anyio.sleep(1000)
        rig.engine.go_on()
        down_until = anyio.current_time() + 5

    states = await steered(rig, steer)
    assert states[State.DELETED] >= 90
    assert rig.engine.endings == []
    assert [at for at, _, _ in rig.api.calls if 1041 < at < 2040] == []


async def test_patience_goes_on_after_a_pause() -> None:
    """An outage from before a pause is not forgotten by it."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 99), 1)),
        FakeApi(lambda *_: InDoubt("reset")),
        Limits(Rate(10), give_up_after=Seconds(60)),
    )
    start = anyio.current_time()

    async def steer() -> None:
        await anyio.sleep(40)
        rig.engine.pause()
        await anyio.sleep(1000)
        rig.engine.go_on()

    await steered(rig, steer)
    (ending,) = rig.engine.endings
    assert isinstance(ending, GaveUp)
    assert anyio.current_time() - start == pytest.approx(1060, abs=2)


async def test_a_pause_uses_up_no_time_of_a_batch() -> None:
    """A batch that is to be sent again within its time may be so after a long pause."""
    facts: list[Fact] = [InDoubt("lost"), InDoubt("lost")]
    rig = Rig(
        runs_of({1: 1}),
        FakeApi(lambda *_: facts.pop() if facts else Deleted(204, 1)),
        retry=Retry(max_time=Seconds(300), settle="resend", base=Seconds(10)),
    )

    async def steer() -> None:
        await anyio.sleep(1)
        rig.engine.pause()
        await anyio.sleep(10_000)
        rig.engine.go_on()

    assert await steered(rig, steer) == {State.DELETED: 1}
    assert len(rig.api.calls) == 3


async def test_a_stop_ends_a_paused_job() -> None:
    """A paused job that is stopped ends at once, its runs unsent."""
    rig = Rig(runs_of(dict.fromkeys(range(1, 99), 1)), limits=Limits(Rate(10)))
    start = anyio.current_time()

    async def steer() -> None:
        rig.engine.pause()
        await anyio.sleep(7)
        rig.engine.stop(Stopped("enough"))

    assert await steered(rig, steer) == {State.UNSENT: 98}
    assert anyio.current_time() - start == pytest.approx(7, abs=0.01)
    assert [ending.exit_code for ending in rig.engine.endings] == [3]
