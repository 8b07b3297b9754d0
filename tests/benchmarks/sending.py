"""The cases of sending: `bulk-delete run` against limits that are taken in the same rounds.

Each case gives lines of what is measured, with a target where there is one.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.benchmarks.rig import Input, Rig, Sent

SDK_CALLS = 2_000
LATENCY_S = 0.05
ALLOWED = 50
SETTLED_S = 30


@dataclass(frozen=True)
class Line:
    """`value` is to be at least, or (`at_most`) at most, the target; None: just to be seen."""

    case: str
    title: str
    value: float
    target: float | None = None
    at_most: bool = False
    words: str = ""

    @property
    def misses(self) -> bool:
        if self.target is None:
            return False
        return self.value > self.target if self.at_most else self.value < self.target


@dataclass
class Bench:
    """Where it runs, how often, and all that was measured on the way."""

    rig: Rig
    rounds: int
    rows: int
    sent: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, case: str, who: str, sent: Sent) -> Sent:
        self.sent.append({"case": case, "who": who, **sent.as_dict()})
        return sent


def throughput(bench: Bench) -> Iterator[Line]:
    """Send 20,000 full batches, as fast as it goes."""
    made = bench.rig.input("hundreds", 2_000_000)
    limits, ours = [], []
    with bench.rig.server() as server:
        for _ in range(bench.rounds):
            limits.append(bench.keep("throughput", "bare", bench.rig.loop("bare", server, made)))
            ours.append(bench.keep("throughput", "ours", bench.rig.ours(server, made)))
    speed = median(sent.speed for sent in limits)
    words = f"{median(sent.speed for sent in ours):,.0f}/s of {speed:,.0f}/s"
    yield Line(
        "throughput", "calls/s ÷ bare loop", _of_rounds(ours, limits, _speed), 0.62, words=words
    )
    whole = _of_rounds(limits, ours, _send_time, _process_time)
    yield Line("throughput", "bare loop's time ÷ the whole process", whole)
    yield Line("throughput", "MB", max(sent.process.mb for sent in ours), 150, at_most=True)


def plan_and_send(bench: Bench) -> Iterator[Line]:
    """Plan and send all rows, in batches of a hundred, and close the books."""
    made = bench.rig.input("hundreds", bench.rows)
    limits, ours = [], []
    with bench.rig.server() as server:
        for _ in range(bench.rounds):
            limits.append(bench.keep("rows", "bare", bench.rig.loop("bare", server, made)))
            ours.append(bench.keep("rows", "ours", bench.rig.ours(server, made)))
    limit_s, ours_s = median(map(_send_time, limits)), median(map(_process_time, ours))
    words = f"{limit_s:.1f} s ÷ {ours_s:.1f} s, {bench.rows:,} rows"
    ratio = _of_rounds(limits, ours, _send_time, _process_time)
    yield Line("rows", "bare loop's time ÷ plan and send", ratio, 0.6, words=words)
    yield Line("rows", "MB", max(sent.process.mb for sent in ours), 150, at_most=True)


def sdk(bench: Bench) -> Iterator[Line]:
    """Hold it against the vendor's own client, at 50 in flight and at its best, 1."""
    made = bench.rig.input("hundreds", SDK_CALLS * 100)
    rig, many, one, ours = bench.rig, [], [], []
    with rig.server() as server:
        for _ in range(bench.rounds):
            ours.append(bench.keep("sdk", "ours", rig.ours(server, made)))
            many.append(bench.keep("sdk", "sdk 50", rig.loop("sdk", server, made)))
            one.append(bench.keep("sdk", "sdk 1", rig.loop("sdk", server, made, flight=1)))
    words = f"{median(map(_speed, many)):,.0f}/s"
    yield Line(
        "sdk",
        "calls/s ÷ vendor's SDK, 50 in flight",
        _of_rounds(ours, many, _speed),
        15,
        words=words,
    )
    words = f"{median(map(_speed, one)):,.0f}/s"
    yield Line(
        "sdk", "calls/s ÷ vendor's SDK, 1 in flight", _of_rounds(ours, one, _speed), 5, words=words
    )


def parallel(bench: Bench) -> Iterator[Line]:
    """Hold it against GNU parallel and curl, where they are installed."""
    if not (shutil.which("parallel") and shutil.which("curl")):
        yield Line("parallel", "not measured", math.nan, words="GNU parallel or curl is missing")
        return
    made = bench.rig.input("hundreds", SDK_CALLS * 100)
    with bench.rig.server() as server:
        ours = bench.keep("parallel", "ours", bench.rig.ours(server, made))
        theirs = bench.keep("parallel", "parallel", bench.rig.parallel(server, made))
    yield Line("parallel", "calls/s ÷ GNU parallel and curl", ours.speed / theirs.speed)


def pace(bench: Bench) -> Iterator[Line]:
    """See whether any second has more calls than the rate, and whether the rate is met."""
    for rate, seconds in ((10, 15), (100, 12), (1000, 10)):
        made = bench.rig.input("ones", rate * seconds)
        with bench.rig.server("--latency", 0.005) as server:
            sent = bench.keep("pace", f"{rate}/s", bench.rig.ours(server, made, rate=rate))
        most = sent.seen["busiest_second"]
        allowed = rate + 1 if rate <= 10 else 1.05 * rate + 1
        words = f"{most} calls"
        yield Line(
            "pace",
            f"{rate}/s: busiest second ÷ limit",
            most / rate,
            allowed / rate,
            at_most=True,
            words=words,
        )
        yield Line("pace", f"{rate}/s: mean rate ÷ limit", sent.speed / rate, 0.98)


def makespan(bench: Bench) -> Iterator[Line]:
    """Send results of Zipf's sizes at 50 ms a call, as fast as lanes, rate or slots allow."""
    made = bench.rig.input("zipf", 0)
    for rate, flight in ((1_000_000, 50), (100, 50)):
        with bench.rig.server("--latency", LATENCY_S) as server:
            sent = bench.rig.ours(server, made, rate=rate, flight=flight)
            bench.keep("makespan", f"{rate}/s", sent)
        calls, longest = made.made["calls"], made.made["longest"]
        bounds = (calls / rate, longest * LATENCY_S, calls * LATENCY_S / flight)
        took = sent.seen["replied_s"]
        shown = ", ".join(f"{bound:.1f}" for bound in bounds)
        words = f"{took:.1f} s; rate, longest lane, slots: {shown} s"
        title = f"{'no limit' if rate > calls else f'{rate}/s'}: time ÷ lower bound"
        yield Line("makespan", title, took / max(bounds), 1.05, at_most=True, words=words)


def adaptive(bench: Bench) -> Iterator[Line]:
    """Send at 500/s to a server that allows 50/s."""
    made = bench.rig.input("ones", ALLOWED * 60)
    with bench.rig.server("--latency", 0.005, "--limit", ALLOWED) as server:
        sent = bench.keep("adaptive", "ours", bench.rig.ours(server, made, rate=500))
    later = sent.seen["accepted_by_second"][SETTLED_S:-1]
    share = sent.seen["statuses"].get("429", 0) / sent.seen["calls"]
    used = sum(later) / len(later) / ALLOWED if later else 0.0
    yield Line("adaptive", "accepted ÷ allowed, after 30 s", used, 0.9)
    yield Line("adaptive", "share of 429", share, 0.03, at_most=True)


def bad_runs(bench: Bench) -> Iterator[Line]:
    """Send 200 batches, one in ten of which has a run that is not there."""
    made = bench.rig.input("hundreds", 20_000)
    bad = tuple(_pairs(made)[50::1000])
    words: list[object] = ["--world", made.path, "--bad", *(run for _, run in bad)]
    with bench.rig.server(*words) as server:
        sent = bench.keep("isolation", "ours", bench.rig.ours(server, made, bad=bad))
    extra = sent.seen["calls"] - made.made["calls"]
    yield Line(
        "bad", "extra calls ÷ bad runs", extra / len(bad), words=f"{sent.seen['reads']} reads"
    )


CASES: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "throughput": throughput,
    "rows": plan_and_send,
    "sdk": sdk,
    "parallel": parallel,
    "pace": pace,
    "makespan": makespan,
    "adaptive": adaptive,
    "isolation": bad_runs,
}


def _speed(sent: Sent) -> float:
    return sent.speed


def _send_time(sent: Sent) -> float:
    return float(sent.seen["replied_s"])


def _process_time(sent: Sent) -> float:
    return sent.process.seconds


def _of_rounds(
    ours: list[Sent],
    limits: list[Sent],
    figure: Callable[[Sent], float],
    other: Callable[[Sent], float] | None = None,
) -> float:
    """Return the median over the rounds of one figure through another."""
    return median(
        figure(mine) / (other or figure)(limit) for mine, limit in zip(ours, limits, strict=True)
    )


def _pairs(made: Input) -> list[tuple[int, int]]:
    rows = made.path.read_text().splitlines()[1:]
    pairs = (row.split(",") for row in rows)
    return sorted((int(result), int(run)) for result, run in pairs)
