"""What can be made to go wrong, and how the server answers what the contract leaves open."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal

Answer = Literal["204", "400", "404"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are 0 … 1 of the delete calls. `rate` is calls per second; None: no limit.

    `deleted_run` and `unknown_run` say how a call is answered that names a run already deleted,
    or one that is not in the result; 204 passes over them.
    """

    latency_s: float = 0.0
    rate: float | None = None
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    error_before: float = 0.0
    error_after: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    deleted_run: Answer = "204"
    unknown_run: Answer = "400"


Fate = Literal["error_before", "error_after", "reset_before", "reset_after"]
_FATES: tuple[Fate, ...] = ("error_before", "error_after", "reset_before", "reset_after")


class Dice:
    """Draws what happens to each call; the same seed draws the same."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._shares = [getattr(faults, fate) for fate in _FATES]
        self._rng = random.Random(seed)  # noqa: S311 - a rehearsal must be repeatable

    def draw(self) -> Fate | None:
        drawn = self._rng.random()
        for fate, share in zip(_FATES, self._shares, strict=True):
            if drawn < share:
                return fate
            drawn -= share
        return None


class RateLimit:
    """At most `rate` calls in any one second."""

    def __init__(
        self, faults: Faults, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._faults = faults
        self._clock = clock
        self._wall = wall
        self._taken: deque[float] = deque()

    def refusal(self) -> dict[str, str] | None:
        """Count a call; return the headers of a 429 when it is one too many."""
        rate = self._faults.rate
        if rate is None:
            return None
        now = self._clock()
        span = max(1.0, 1.0 / rate)
        while self._taken and now - self._taken[0] >= span:
            self._taken.popleft()
        if len(self._taken) < max(1, int(rate)):
            self._taken.append(now)
            return None
        match self._faults.retry_after:
            case "seconds":
                return {"Retry-After": str(max(1, round(span)))}
            case "date":
                return {"Retry-After": formatdate(self._wall() + max(1, round(span)), usegmt=True)}
            case "none":
                return {}
