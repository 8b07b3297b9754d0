"""The adaptive rate against servers with limits of their own, with time faked."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import anyio
import pytest

from bulk_delete import events
from bulk_delete.config import Rate
from bulk_delete.model import Deleted, Fact, Throttled
from bulk_delete.throttle import Throttle

ALLOWED = 50.0
CONFIGURED = 500


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


class Limit(Protocol):
    def admits(self, now: float) -> bool: ...


@dataclass
class SlidingLog:
    """At most so many calls in any one second."""

    allowed: float = ALLOWED
    taken: deque[float] = field(default_factory=deque)

    def admits(self, now: float) -> bool:
        while self.taken and now - self.taken[0] >= 1:
            self.taken.popleft()
        if len(self.taken) >= self.allowed:
            return False
        self.taken.append(now)
        return True


@dataclass
class Bucket:
    """Tokens at a steady rate, of which at most `burst` are kept."""

    burst: float
    allowed: float = ALLOWED
    tokens: float = 0.0
    at: float = float("-inf")

    def admits(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.allowed)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class Night:
    """Calls as fast as the throttle lets them, against a server; and what came of them."""

    limit: Limit
    retry_after: float | None = 1.0
    latency_s: Callable[[], float] = lambda: 0.02
    workers: int = 8
    ceiling: float = CONFIGURED
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    changes: list[events.RateChanged] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        self.throttle = Throttle(Rate(self.ceiling), adaptive=True)
        self.start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(self.workers):
                group.start_soon(self._work, self.start + seconds)

    async def _work(self, end: float) -> None:
        while anyio.current_time() < end:
            await self.throttle.ready()
            left = anyio.current_time()
            await anyio.sleep(self.latency_s())
            fact: Fact = Deleted(204, 1)
            if self.limit.admits(anyio.current_time()):
                self.accepted.append(anyio.current_time() - self.start)
            else:
                fact = Throttled(429, self.retry_after, "")
                self.refused.append(anyio.current_time() - self.start)
            if change := self.throttle.note(fact, anyio.current_time() - left):
                self.changes.append(change)
            if isinstance(fact, Throttled):
                self.throttle.pause(fact.delay_s or 1.0)

    def used(self, since: float, until: float) -> float:
        """Return the calls accepted per second."""
        return sum(since <= at < until for at in self.accepted) / (until - since)

    @property
    def share_refused(self) -> float:
        return len(self.refused) / (len(self.refused) + len(self.accepted))


@dataclass
class Fixed:
    """At most so many calls in each second of the clock."""

    allowed: float = ALLOWED
    second: int = -1
    taken: int = 0

    def admits(self, now: float) -> bool:
        if int(now) != self.second:
            self.second, self.taken = int(now), 0
        self.taken += self.taken < self.allowed + 1
        return self.taken <= self.allowed


LIMITS: dict[str, Callable[[], Limit]] = {
    "log": SlidingLog,
    "fixed": Fixed,
    "bucket-1": lambda: Bucket(1),
    "bucket-10": lambda: Bucket(10),
    "bucket-50": lambda: Bucket(50),
    "bucket-100": lambda: Bucket(100),
}


@pytest.mark.parametrize(("retry_after", "workers"), [(1.0, 8), (2.0, 50)])
@pytest.mark.parametrize("limit", LIMITS)
async def test_a_lower_limit_is_found_and_kept(
    limit: str, retry_after: float | None, workers: int
) -> None:
    """Of an allowance a tenth of what is configured nine tenths are used, and few calls refused."""
    night = Night(LIMITS[limit](), retry_after, workers=workers)
    await night.run(80)
    assert night.used(30, 80) >= 0.9 * ALLOWED
    assert night.share_refused < 0.03


def held_up(seed: int) -> Callable[[], float]:
    """Give latencies of a way on which all calls are held up for up to 80 ms now and then."""
    rng = random.Random(seed)
    begins, ends = 0.0, 0.0

    def latency() -> float:
        nonlocal begins, ends
        now = anyio.current_time()
        while now + 0.02 >= ends:
            begins = max(ends, now) + rng.expovariate(1 / 3)
            ends = begins + rng.uniform(0.01, 0.08)
        return ends - now if now + 0.02 >= begins else 0.02

    return latency


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", ["log", "fixed", "bucket-10", "bucket-50"])
async def test_calls_that_come_together_by_chance_cost_little(limit: str, seed: int) -> None:
    """A refusal of calls that were held up on their way does not lower the rate for long."""
    night = Night(LIMITS[limit](), latency_s=held_up(seed))
    await night.run(90)
    assert night.used(30, 90) >= 0.85 * ALLOWED
    assert night.share_refused < 0.01


async def test_the_first_refusal_lowers_the_rate_at_once() -> None:
    """The first change is to just under what was accepted; none is below what was told before."""
    night = Night(SlidingLog())
    await night.run(60)
    first = night.changes[0]
    assert (first.reason, first.before, first.ceiling) == ("throttled", 500.0, 500.0)
    assert 0.8 * ALLOWED <= first.rate <= ALLOWED
    assert all(change.before >= before.rate for before, change in pairwise(night.changes))
    assert len(night.changes) < 60


async def test_an_allowance_that_grows_is_taken() -> None:
    """When the server allows all again, the rate climbs back to the ceiling, and says so."""
    limit = SlidingLog()
    night = Night(limit, workers=50)
    async with anyio.create_task_group() as group:

        async def open_up() -> None:
            await anyio.sleep(20)
            limit.allowed = 10_000

        group.start_soon(open_up)
        await night.run(75)
    assert night.throttle.per_second == CONFIGURED
    assert night.changes[-1].reason == "recovered"
    assert night.changes[-1].rate == CONFIGURED


async def test_one_refusal_costs_little() -> None:
    """A single 429 in a healthy job costs less than a tenth of a minute's calls."""

    @dataclass
    class Once:
        number: int = 0

        def admits(self, now: float) -> bool:
            assert now > 0
            self.number += 1
            return self.number != 3000

    night = Night(Once(), workers=50, ceiling=100)
    await night.run(120)
    assert night.used(30, 90) >= 90
    assert night.used(90, 120) >= 98


@pytest.mark.parametrize("base_s", [0.0001, 0.02])
async def test_noise_is_no_reason(base_s: float) -> None:
    """Latencies that vary, with a hiccup now and then, never lower the rate."""
    rng = random.Random(3)

    def latency() -> float:
        return 0.1 if rng.random() < 0.01 else base_s * rng.uniform(0.5, 3)

    night = Night(SlidingLog(10_000), latency_s=latency, workers=20, ceiling=200)
    await night.run(60)
    assert night.changes == []


async def test_a_queue_is_not_built_up() -> None:
    """Where replies take longer the more calls come, the rate settles near what is served."""
    capacity = 100.0
    free_at = 0.0

    def latency() -> float:
        nonlocal free_at
        now = anyio.current_time()
        free_at = max(free_at, now) + 1 / capacity
        return free_at - now + 0.005

    night = Night(SlidingLog(10_000), latency_s=latency, workers=50)
    await night.run(120)
    assert {change.reason for change in night.changes} <= {"latency", "recovered"}
    assert night.used(60, 120) >= 0.8 * capacity
    assert night.throttle.per_second < 2 * capacity


async def test_a_rate_that_is_fixed_stays() -> None:
    """Without leave to adapt nothing is learnt and nothing changes."""
    throttle = Throttle(Rate(10))
    assert throttle.note(Throttled(429, 1.0, ""), 0.1) is None
    assert throttle.per_second == 10


async def test_the_floor_is_one_call_in_ten_seconds() -> None:
    """However often the server refuses, some call is tried again in the end."""

    class Never:
        def admits(self, now: float) -> bool:
            return now < 0

    night = Night(Never(), retry_after=None, ceiling=5)
    await night.run(600)
    assert night.throttle.per_second == pytest.approx(0.1)


async def test_a_rate_that_gave_way_stays_low_under_another_limit() -> None:
    """Where the server has lowered the rate, a higher limit lets it climb, a lower one cuts it."""
    night = Night(Fixed(50), ceiling=200)
    await night.run(30)
    lowered = night.throttle.per_second
    assert lowered < 60
    await night.throttle.change(Rate(400))
    assert night.throttle.per_second == lowered
    await night.throttle.change(Rate(20))
    assert night.throttle.per_second == 20
    await night.throttle.change(Rate(40))
    assert night.throttle.per_second == 40
