"""What can be made to go wrong, and how the server answers what the contract leaves open."""

import random
from dataclasses import dataclass
from typing import Literal

Answer = Literal["204", "400", "404"]


@dataclass(frozen=True, slots=True)
class Outage:
    """From `start_s` after the first delete call every call is answered with 503."""

    start_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are 0 … 1 of the delete calls; rates are calls per second of every kind.

    Above `rate` a call is a 429, in any one second, or, with a `burst`, as soon as a bucket of so
    many tokens is empty. Above `capacity` calls wait in a queue. `deleted_run` and `unknown_run`
    say how a call is answered that names a run already deleted, or one that is not in the result;
    204 passes over them. `run_bytes` is the least length of a run's transcript where it is read.
    """

    latency_s: float = 0.0
    capacity: float | None = None
    rate: float | None = None
    burst: int | None = None
    retry_after: Literal["seconds", "date", "absurd", "none"] = "seconds"
    outage: Outage | None = None
    error_before: float = 0.0
    error_after: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    deleted_run: Answer = "204"
    unknown_run: Answer = "400"
    read_back: Literal["allowed", "forbidden", "missing"] = "allowed"
    run_bytes: int = 0


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
