"""The settings, as frozen sections with their defaults, and the text form of each kind of value."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType

from bulk_delete.config.times import DayTime, Window, ZoneName
from bulk_delete.config.watch import (
    AT_ENDS,
    BUSY,
    Addresses,
    ExitCodes,
    HookUrl,
    Occasions,
)

Seconds = NewType("Seconds", float)
Factor = NewType("Factor", float)

_PERIODS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*(s|m|h)\s*")
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|)\s*")
_FACTOR = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*")
_SHARE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` calls per `period` seconds, evenly; `also` bound longer periods as a whole."""

    count: float
    period: int = 1
    also: tuple["Rate", ...] = ()

    @property
    def per_second(self) -> float:
        return self.count / self.period

    def changed_to(self, other: "Rate") -> "Rate":
        """Return the other rate, with those longer limits of this one that it does not name."""
        named = {other.period, *(limit.period for limit in other.also)}
        kept = (limit for limit in self.also if limit.period > other.period)
        also = [*other.also, *(limit for limit in kept if limit.period not in named)]
        return dataclasses.replace(other, also=tuple(sorted(also, key=lambda limit: limit.period)))

    def seconds_for(self, calls: int) -> float:
        """Return how long so many calls take at the least."""
        times = [calls / self.per_second]
        for longer in self.also:
            full = max(0, calls - 1) // max(1, int(longer.count))
            rest = calls - full * longer.count
            times.append(full * longer.period + rest / self.per_second)
        return max(times)

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _PERIODS.items() if seconds == self.period)
        count = int(self.count) if self.count == int(self.count) else self.count
        return ", ".join([f"{count}/{unit}", *map(str, self.also)])


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """How many runs may fail or stay unknown: a share (0 … 1) of the finished ones, or a count."""

    share: float | None = None
    count: int | None = None

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share is not None else str(self.count)


def parse_rate(value: object) -> Rate:
    """Read `10/s`, `600/m`, `5000/h`, or several with commas between. Raises ValueError."""
    limits = [_one_rate(part) for part in value.split(",")] if isinstance(value, str) else [None]
    found = sorted((limit for limit in limits if limit), key=lambda limit: limit.period)
    if len(found) < len(limits):
        raise ValueError(
            "give calls per second, minute or hour, as 10/s, 600/m or 5000/h, "
            "or several with commas between"
        )
    if len({limit.period for limit in found}) < len(found):
        raise ValueError("give one limit for each of second, minute and hour")
    return dataclasses.replace(found[0], also=tuple(found[1:]))


def _one_rate(text: str) -> Rate | None:
    match = _RATE.fullmatch(text)
    if match is None or not 0 < float(match[1]) / _PERIODS[match[2]] <= 1_000_000:  # noqa: PLR2004 - no API allows more
        return None
    return Rate(float(match[1]), _PERIODS[match[2]])


def parse_seconds(value: object) -> Seconds:
    """Read `250ms`, `20s`, `15m`, `2h` or a number of seconds. Raises ValueError."""
    match = _DURATION.fullmatch(f"{value}") if isinstance(value, str | int | float) else None
    seconds = float(match[1]) * {"ms": 0.001, "": 1, **_PERIODS}[match[2]] if match else 0
    if not 0 < seconds <= 10**7:
        raise ValueError("give a time above zero, as 20s, 15m, 2h or a number of seconds")
    return Seconds(seconds)


def parse_max_failures(value: object) -> MaxFailures:
    """Read `20%` or a count. Raises ValueError."""
    text = str(value)
    share = _SHARE.fullmatch(text)
    if share and float(share[1]) <= 100:  # noqa: PLR2004 - per cent
        return MaxFailures(share=float(share[1]) / 100)
    if text.strip().isascii() and text.strip().isdigit():
        return MaxFailures(count=int(text))
    raise ValueError("give a share of the runs, as 20%, or a number of runs")


def parse_switch(value: object) -> bool:
    """Read true or false. Raises ValueError."""
    words = {"true": True, "false": False}
    found = words.get(str(value).strip().lower())
    if found is None:
        raise ValueError("give true or false")
    return found


def parse_factor(value: object) -> Factor:
    """Read how many times as much, from 1 up. Raises ValueError."""
    match = _FACTOR.fullmatch(f"{value}") if isinstance(value, str | int | float) else None
    if match is None or not 1 <= float(match[1]) <= 10**6:
        raise ValueError("give how many times as many, from 1 up, as 3 or 2.5")
    return Factor(float(match[1]))


def parse_count(value: object) -> int:
    """Read a whole number from 1 up. Raises ValueError."""
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 2**63:
        raise ValueError("give a whole number from 1 up")
    return int(text)


@dataclass(frozen=True, slots=True)
class Api:
    base_url: str = "https://api.cekura.ai"
    key_file: Path | None = None
    key_command: str | None = None
    ca_file: Path | None = None
    timeout: Seconds = Seconds(60.0)


@dataclass(frozen=True, slots=True)
class Limits:
    rate: Rate = Rate(10.0)
    concurrency: int = 8
    grace: Seconds = Seconds(20.0)
    max_failures: MaxFailures = MaxFailures(share=0.2)
    max_failures_after: int = 20
    give_up_after: Seconds = Seconds(60.0)
    adaptive: bool = True
    hold_after: Seconds = Seconds(10.0)
    split_calls: int = 1000
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int = 5
    base: Seconds = Seconds(1.0)
    cap: Seconds = Seconds(60.0)
    max_time: Seconds = Seconds(3600.0)
    settle: Literal["read-back", "resend", "hold"] = "read-back"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When calls may leave. `timezone` is that of times without one; None: this machine's."""

    max_time: Seconds | None = None
    until: DayTime | None = None
    windows: tuple[Window, ...] = ()
    outside: Literal["hold", "end"] = "hold"
    timezone: ZoneName | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    max_runs: int | None = None
    max_results: int | None = None
    max_growth: Factor | None = None
    protect: Path | None = None
    protect_action: Literal["remove", "refuse"] = "remove"
    canary: int | None = None
    canary_wait: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    require: Literal["file", "rows", "nothing"] = "file"
    on_bad_row: Literal["fail", "skip"] = "fail"
    result_column: str = "result_id"
    run_column: str = "run_id"
    format: Literal["auto", "csv", "jsonl"] = "auto"


@dataclass(frozen=True, slots=True)
class Log:
    format: Literal["text", "json"] = "text"
    interval: Seconds = Seconds(5.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    file: Path | None = None
    interval: Seconds = Seconds(15.0)


@dataclass(frozen=True, slots=True)
class Notify:
    start: HookUrl | None = None
    success: HookUrl | None = None
    failure: HookUrl | None = None
    method: Literal["POST", "GET"] = "POST"
    apprise: Addresses | None = None
    apprise_file: Path | None = None
    apprise_at: Occasions = AT_ENDS
    quiet_codes: ExitCodes = BUSY


@dataclass(frozen=True, slots=True)
class StateFolder:
    dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    api: Api = field(default_factory=Api)
    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)
    schedule: Schedule = field(default_factory=Schedule)
    guards: Guards = field(default_factory=Guards)
    input: Input = field(default_factory=Input)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    notify: Notify = field(default_factory=Notify)
    state: StateFolder = field(default_factory=StateFolder)
