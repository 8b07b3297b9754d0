"""When the next call may leave."""

import asyncio
from collections.abc import Iterable

import anyio

from bulk_delete.config import Rate
from bulk_delete.events import RateChanged
from bulk_delete.governor import Governor
from bulk_delete.model import (
    Deleted,
    Fact,
    Found,
    InDoubt,
    NotSent,
    ServerError,
    Throttled,
    Visible,
)
from bulk_delete.throttle.line import Line
from bulk_delete.throttle.pace import Pace
from bulk_delete.throttle.slowest import Slowest
from bulk_delete.throttle.spacing import Spacing
from bulk_delete.throttle.window import Tally, Window

_HANDFUL = 1000
"""From this rate on turns are taken by the millisecond's worth: one at a time costs 3 µs each."""


class Throttle:
    """The rate, its longer limits and the pauses; made in the loop whose clock it goes by.

    `adaptive`: go slower than the rate where the server wants it. `used`: calls of earlier
    executions as age in seconds and number, which the longer limits count, too.
    """

    def __init__(
        self, rate: Rate, *, adaptive: bool = False, used: Iterable[tuple[float, int]] = ()
    ) -> None:
        self._now = asyncio.get_running_loop().time  # anyio's takes 1.5 µs, and each call asks
        self.limit = rate
        self._pace = Pace(rate.per_second)
        before = sorted(used, reverse=True)
        self._windows = self._windows_of(rate, before)
        self._tally = Tally()
        for age, calls in before:
            self._tally.add(self._now() - age, calls)
        self._governor = Governor(rate.per_second) if adaptive else None
        self._spacing = Spacing()
        self._slowest = Slowest()
        self._line = Line(self._turn, self._give_back)
        self._turns = 0
        self._handful = self._most_in_hand()
        self._held_until = float("-inf")
        self._sleeping: anyio.CancelScope | None = None
        self._paused_s = 0.0

    @property
    def per_second(self) -> float:
        """Return the rate at present, in calls per second."""
        return self._pace.per_second

    @property
    def held_s(self) -> float:
        """Return for how many seconds more every call is held, by a pause or a full period."""
        now = self._now()
        full = max((window.wait_s(now) for window in self._windows), default=0.0)
        return max(0.0, self._held_until - now, full)

    @property
    def slowest_s(self) -> float:
        """Return how long the slowest call of the last minutes took."""
        return self._slowest.lately(self._now())

    @property
    def paused_s(self) -> float:
        """Return for how many seconds pauses have held every call so far."""
        return self._paused_s - max(0.0, self._held_until - self._now())

    def pause(self, seconds: float) -> None:
        """Hold every call for so long from now; a longer pause that is under way stays."""
        now = self._now()
        self._paused_s += max(0.0, now + seconds - max(now, self._held_until))
        self._held_until = max(self._held_until, now + seconds)

    async def change(self, rate: Rate) -> RateChanged:
        """Keep to another limit from now on; who waits is reckoned anew. Return what changed.

        Longer limits count what was called before. A rate that has given way stays below the new
        limit, if it was so.
        """
        now, before = self._now(), self._pace.per_second
        per_second = rate.per_second
        if self._governor:
            self._governor.limit(now, per_second)
            per_second = self._governor.rate
        self.limit = rate
        self._windows = self._windows_of(rate, self._tally.ages(now))
        self._spacing.change(now, per_second)
        self._turns = 0
        await self._pace.renew(per_second, single=per_second < rate.per_second)
        self._handful = self._most_in_hand()
        if self._sleeping:
            self._sleeping.cancel()
        return RateChanged(
            "asked", round(per_second, 3), round(before, 3), round(rate.per_second, 3)
        )

    def take(self) -> bool:
        """Take a turn that is in hand; return whether there was one."""
        if not self._turns or self._line or self._is_held():
            return False
        self._taken()
        return True

    async def ready(self, urgency: int = 0) -> None:
        """Wait for the turn of one call; of those who wait, the most urgent goes first.

        Who need not wait goes on without a switch to other tasks.
        """
        if self._line or self._is_held() or not (self._turns or self._pace.free(self._handful)):
            await self._line.wait(urgency)
        else:
            await self._turn()

    def leave_s(self) -> float:
        """Return for how long a call that had its turn must wait, as others were held up, too.

        Each call asks once, at the moment when it could leave.
        """
        return self._spacing.wait_s(self._now(), self._pace.per_second)

    def note(self, fact: Fact | Found | Visible, seconds: float) -> RateChanged | None:
        """Learn from a call's reply and the seconds that it took; return what changed, if told.

        A rate that is not adaptive never changes by it.
        """
        self._slowest.add(self._now(), seconds)
        if self._governor is None:
            return None
        match fact:
            case Deleted():
                change = self._governor.accepted(self._now(), seconds)
            case Throttled():
                change = self._governor.throttled(self._now(), seconds)
            case NotSent() | InDoubt() | ServerError():
                return None
            case _:
                change = self._governor.accepted(self._now())
        rate = self._governor.rate
        if rate != self._pace.per_second:
            self._turns = 0
            self._pace.change(rate, single=rate < self._governor.ceiling)
            self._handful = self._most_in_hand()
        return change

    def _windows_of(self, rate: Rate, used: Iterable[tuple[float, int]]) -> list[Window]:
        windows = [Window(limit) for limit in (rate, *rate.also) if limit.period > 1]
        before = list(used)
        for window in windows:
            window.used(self._now(), before)
        return windows

    def _most_in_hand(self) -> int:
        return 1 if self._windows else max(1, int(self._pace.per_second / _HANDFUL))

    def _is_held(self) -> bool:
        if self._windows:
            return self.held_s > 0
        return self._now() < self._held_until

    async def _turn(self) -> None:
        while True:
            while self._is_held():  # a pause may grow while one waits, or a limit go
                with anyio.CancelScope() as self._sleeping:
                    await anyio.sleep(self.held_s)
            if self._turns == 1 and self._pace.idle():
                self._turns = 0  # the bucket has that one, too
            if not self._turns:
                self._turns += await self._pace.take(self._handful)
            if not self._is_held():
                break
        self._taken()

    def _taken(self) -> None:
        self._turns -= 1
        now = self._now()
        self._tally.add(now)
        for window in self._windows:
            window.add(now)

    def _give_back(self) -> None:
        self._turns += 1
