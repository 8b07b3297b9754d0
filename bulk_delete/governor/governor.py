"""The rate that a server wants, between a floor and the configured ceiling.

A refusal lowers the rate at once to just under what the server was seen to accept, or by a factor
where that is not known; success raises it in steps, quickly up to the rate that was refused last
and slowly beyond it, after a hold that doubles with each try in vain. That is additive increase and
multiplicative decrease with a memory of the last maximum, as in TCP CUBIC (RFC 9438) and in the
adaptive retry mode of the AWS SDKs. Rising latency lowers the rate by a tenth at a time, as
Vector's Adaptive Request Concurrency does with its limit.
"""

from typing import Literal

from bulk_delete.events import RateChanged
from bulk_delete.governor.allowance import Allowance, Average
from bulk_delete.governor.latency import Latency

Reason = Literal["throttled", "latency", "recovered"]

_UNDER = 0.95
"""Share of what the server accepts that is asked of it: its limit is to be kept, not met."""

_GOOD = 0.98
"""The same of a rate that has held already."""

_FELT = 0.8
"""When less than this share of the rate is accepted, that is the server's limit, as counted."""

_TELLING_S = 10.0
_KEPT = 0.97
"""An average over so long tells what the server lets through; this share of it is asked."""

_NEAR = 0.88
"""An average below this share of a rate that has held shows only that less was asked before."""

_PLAUSIBLE = 0.6
_LESS = 0.93
"""Where a shorter one is at least this share of the rate, pauses may explain it: a small cut."""

_CUT = 0.7
"""The rate after a refusal when nothing is known (RFC 9438, 4.6)."""

_LEAST_CUT = 0.5
_SLOWED = 0.9
"""The rate after a window of slow replies (Vector's decrease ratio)."""

_STEP = 0.04
_SEARCH = 0.5
"""A climb's step, and the first one where the refused rate was far from what is accepted."""

_STEP_S = 1.0
_HOLD_S = 20.0
_MOST_HOLD_S = 240.0
"""Seconds between steps; before the first one after a refusal, doubled up to the last."""

_QUIET_S = 60.0
"""Without a refusal for so long, beyond twice the hold, it is forgotten that tries were in vain."""

_ECHO_S = 0.5
"""Calls that left so soon after a cut had their turn before it."""

_LEAST_SHARE = 0.01
_LEAST_RATE = 0.1
_LEAST_SHARE_BY_LATENCY = 0.1
_TOLD = 1.1
"""A climb is told of when it comes to a tenth."""


class Governor:
    """Rates are calls per second, times seconds on one clock; `rate` is that of now."""

    def __init__(self, ceiling: float) -> None:
        self.ceiling = ceiling
        self.rate = ceiling
        self._floor = min(ceiling, max(_LEAST_SHARE * ceiling, _LEAST_RATE))
        self._allowance = Allowance()
        self._latency = Latency()
        self._good: float | None = None
        self._bad = float("inf")
        self._step = _STEP
        self._searching = True
        self._hold_s = _HOLD_S
        self._wait_s = 0.0
        self._changed_at = self._cut_at = self._refused_at = float("-inf")
        self._total_then = 0
        self._told = ceiling

    def accepted(self, now: float, seconds: float | None = None) -> RateChanged | None:
        """Note a call that was not refused, and how long it took where that tells of the load."""
        self._allowance.add(now)
        if seconds is not None and self._latency.add(now, seconds):
            return self._slow_down(now)
        return self._climb(now) if self.rate < self.ceiling else None

    def throttled(self, now: float, seconds: float) -> RateChanged | None:
        """Note a refused call that took so many seconds."""
        if now - seconds < self._cut_at + _ECHO_S:
            return None
        if now - self._refused_at > _QUIET_S + 2 * self._hold_s:
            self._hold_s, self._searching = _HOLD_S, True
        held_long = now - self._changed_at > _QUIET_S
        good = None if held_long else self._good
        recent, average = self._allowance.recent(now), self._allowance.refused(now)
        self._refused_at = now
        wait_s, step = self._hold_s, _STEP
        if good is not None:  # a climb was in vain
            rate, self._searching = _GOOD * good, False
            if average and average.seconds >= _TELLING_S and average.most > _NEAR * good:
                # What held for a moment may be a bucket's, and the average what was asked: between.
                rate = min(rate, (2 * rate + _KEPT * average.most) / 3)
            self._hold_s = min(2 * self._hold_s, _MOST_HOLD_S)
        elif self._searching and self._allowance.is_young(now):
            rate, wait_s, step = _UNDER * recent, _STEP_S, _SEARCH
        elif recent < _FELT * self.rate:
            rate = _UNDER * recent
        elif average is not None:
            rate = self._by_average(average)
        else:
            rate = _CUT * self.rate
        self._bad, self._step, self._cut_at = self.rate, step, now
        return self._change(
            now, max(self._floor, min(rate, _UNDER * self.rate)), "throttled", wait_s
        )

    def _by_average(self, average: Average) -> float:
        """Choose a rate after a refusal that no climb explains."""
        if average.seconds >= _TELLING_S:
            return _KEPT * average.most
        if average.least >= _PLAUSIBLE * self.rate:
            return _LESS * self.rate
        return max(_UNDER * average.least, _LEAST_CUT * self.rate)

    def _slow_down(self, now: float) -> RateChanged | None:
        lowest = max(self._floor, _LEAST_SHARE_BY_LATENCY * self.ceiling)
        rate = max(_SLOWED * self.rate, lowest)
        if rate >= self.rate:
            return None
        self._bad, self._step = self.rate, _STEP
        return self._change(now, rate, "latency", self._hold_s)

    def _climb(self, now: float) -> RateChanged | None:
        used = self._allowance.total - self._total_then
        if (
            now - self._changed_at < self._wait_s
            or used < max(1, self.rate * _STEP_S / 2)
            or self._latency.raised
        ):
            return None
        rate = self.rate * (1 + self._step)
        if self.rate < self._bad:
            rate = min(rate, max(self._bad, self.rate * (1 + _STEP)))
        else:
            self._step = min(1.0, 2 * self._step)
        self._good = self.rate
        return self._change(now, min(rate, self.ceiling), "recovered", _STEP_S)

    def _change(self, now: float, rate: float, reason: Reason, wait_s: float) -> RateChanged | None:
        """Go on at another rate, for at least so long; a small climb is not told."""
        before, self.rate = self.rate, rate
        if reason != "recovered":
            self._good = None
        self._changed_at, self._total_then, self._wait_s = now, self._allowance.total, wait_s
        self._allowance.window_s = max(1.0, 10 / rate)
        if reason == "recovered" and rate < min(self.ceiling, _TOLD * self._told):
            return None
        told, self._told = (self._told if reason == "recovered" else before), rate
        return RateChanged(reason, round(rate, 3), round(told, 3), round(self.ceiling, 3))
