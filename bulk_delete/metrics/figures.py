"""The figures behind the metrics. They do nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds: from a server on this machine (2 ms) to the longest time of a call."""


class Call(NamedTuple):
    """What a call was for, and its reply's status or, in a word, why there is none."""

    kind: Literal["delete", "read"]
    status: str


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took: how many in each bucket, the last being beyond all, and in all."""

    counts: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    calls: Mapping[Call, int]
    latency: Latency


NO_TALLY = Tally({}, Latency((0,) * (len(BUCKETS) + 1), 0.0))


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution at a moment, or at its end. Moments are seconds since 1970.

    `rows` tells where each row of the input went, `runs` counts the planned ones by state; `pace`
    and `limit` are calls per second; `throttled_s` is for how long the API held all calls. `held`
    tells by word what may hold them, and whether it does.
    """

    job: str
    running: bool
    began: float
    at: float
    seconds: float
    rows: Mapping[str, int]
    runs: Mapping[str, int]
    retries: int
    in_flight: int
    pace: float
    limit: float
    throttled_s: float
    held: Mapping[str, bool]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the last start of a job ended, whether it came to send anything or not."""

    job: str
    exit_code: int
    at: float
