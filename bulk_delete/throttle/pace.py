"""An even pace: one small bucket, whose rate may change while calls wait for it."""

import anyio
from aiolimiter import AsyncLimiter

_SLOW = 10.0
"""Calls per second up to which every call waits for its own slot."""

_PUNCTUAL = 100.0
"""The same where the server's own limit is felt: it may refuse two calls that come together."""

_SECOND = 1e9


def burst(per_second: float, *, single: bool = False) -> float:
    """Return how many calls may leave together after an idle spell.

    A bucket of one second's worth lets twice the rate through in the first second; a bucket of
    one undershoots at high rates. With R/50 the rate was met and exceeded by at most 2 % in any
    second, measured from 100/s up. `single`: one call, as long as timers are exact enough.
    """
    if per_second <= (_PUNCTUAL if single else _SLOW):
        return 1.0
    return max(min(2.0, 1 + per_second / 20), per_second / 50)


class Pace:
    """Turns at an even rate.

    The bucket holds time, not calls: it drains a nanosecond each nanosecond, and a call adds what
    it costs, 1/rate. So what was used stays used when the rate changes, and no burst comes of it.
    All that is added is a whole number, so that the limiter's sums are exact: where they are not,
    it may go round for ever at one point in time.
    """

    def __init__(self, per_second: float) -> None:
        size = _cost(burst(per_second), per_second)
        self._bucket = AsyncLimiter(size, size / _SECOND)
        self._waiting: anyio.CancelScope | None = None
        self.per_second = per_second

    def change(self, per_second: float, *, single: bool) -> None:
        """Go on at another rate; who waits is reckoned anew."""
        self.per_second = per_second
        self._bucket.max_rate = _cost(burst(per_second, single=single), per_second)
        if self._waiting:
            self._waiting.cancel()

    async def renew(self, per_second: float, *, single: bool) -> None:
        """Go on at another rate, with no wait left that belongs to a much slower one.

        The next call comes no sooner than one may at the new rate.
        """
        self.change(per_second, single=single)
        if not self._bucket.has_capacity(0):
            size = self._bucket.max_rate
            self._bucket = AsyncLimiter(size, size / _SECOND)
            await self._bucket.acquire(size)  # does not wait: it is empty

    def free(self, calls: int = 1) -> bool:
        """Tell whether so many calls need not wait."""
        return self._bucket.has_capacity(_cost(calls, self.per_second))

    def idle(self) -> bool:
        """Tell whether no call has left of late."""
        return self._bucket.has_capacity(self._bucket.max_rate)

    async def take(self, calls: int = 1) -> int:
        """Take so many turns at once, without a switch to other tasks when they are free.

        Returns how many were taken: one, where the rate has changed meanwhile. One task at a time
        may wait here.
        """
        while not self.free(calls):
            with anyio.CancelScope() as self._waiting:
                await self._bucket.acquire(_cost(calls, self.per_second))
                return calls
            calls = 1  # the bucket may be smaller now
        await self._bucket.acquire(_cost(calls, self.per_second))
        return calls


def _cost(calls: float, per_second: float) -> float:
    """Return the nanoseconds of so many calls, as a whole number."""
    return float(round(calls * _SECOND / per_second))
