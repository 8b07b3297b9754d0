"""How much the server takes: what it refuses, what it lets wait, and when it is away."""

import math
from collections import deque
from collections.abc import Callable
from email.utils import formatdate

from bulk_delete.sandbox.faults import Faults, Outage

ABSURD_S = 365 * 86_400
"""What a 429 asks for when it is told to ask for too much, in seconds."""


class SlidingLog:
    """At most `rate` calls in any one second."""

    def __init__(self, rate: float) -> None:
        self._most = max(1, int(rate))
        self._span = max(1.0, 1.0 / rate)
        self._taken: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Take a call, and return 0; or return for how many seconds to stay away."""
        while self._taken and now - self._taken[0] >= self._span:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return self._span
        self._taken.append(now)
        return 0.0


class TokenBucket:
    """A bucket of `burst` tokens, full at first, to which `rate` are added in a second."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = 0.0

    def wait(self, now: float) -> float:
        """Take a call, and return 0; or return for how many seconds to stay away."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class RateLimit:
    """Refuses the calls above the rate, and tells when to come back."""

    def __init__(
        self, faults: Faults, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._how = faults.retry_after
        self._clock = clock
        self._wall = wall
        self._limit: SlidingLog | TokenBucket | None = None
        if faults.rate is not None:
            burst = faults.burst
            self._limit = TokenBucket(faults.rate, burst) if burst else SlidingLog(faults.rate)

    def refusal(self) -> dict[str, str] | None:
        """Count a call; return the headers of a 429 when it is one too many."""
        wait = self._limit.wait(self._clock()) if self._limit else 0.0
        if not wait:
            return None
        seconds = max(1, math.ceil(wait))
        match self._how:
            case "seconds":
                return {"Retry-After": str(seconds)}
            case "date":
                return {"Retry-After": formatdate(self._wall() + seconds, usegmt=True)}
            case "absurd":
                return {"Retry-After": str(ABSURD_S)}
            case "none":
                return {}


class Queue:
    """Serves `capacity` calls in a second, one after the other; None: any number at once."""

    def __init__(self, capacity: float | None, clock: Callable[[], float]) -> None:
        self._each = 1 / capacity if capacity else 0.0
        self._clock = clock
        self._free_at = 0.0

    def wait(self) -> float:
        """Queue a call; return in how many seconds it is served."""
        now = self._clock()
        begins = max(now, self._free_at)
        self._free_at = begins + self._each
        return begins - now


class Presence:
    """Whether the server is there: not during the outage, which counts from the first deletion."""

    def __init__(self, outage: Outage | None, clock: Callable[[], float]) -> None:
        self._outage = outage
        self._clock = clock
        self._first: float | None = None

    def is_out(self, *, deletes: bool) -> bool:
        """Note a call; tell whether it is to be answered with 503."""
        if self._outage is None:
            return False
        now = self._clock()
        if self._first is None and deletes:
            self._first = now
        if self._first is None:
            return False
        return 0 <= now - self._first - self._outage.start_s < self._outage.length_s
