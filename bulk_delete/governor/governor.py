"""The rate that a server wants, between a floor and the configured ceiling.

A refusal lowers the rate at once: to just under what the server was seen to accept, or, where that
is no less than the rate, by the less the longer that had held: calls that were held up on their way
and come together are refused at a rate that is right. Success raises it in steps, up to the rate
that was refused last and beyond it, after a hold that doubles with each try in vain. That is
additive increase and multiplicative decrease with a memory of the last maximum, as in TCP CUBIC
(RFC 9438) and in the adaptive retry mode of the AWS SDKs. Rising latency lowers the rate by a tenth
at a time, as Vector's Adaptive Request Concurrency does with its limit.
"""

from typing import Literal

from bulk_delete.events import RateChanged
from bulk_delete.governor.allowance import Allowance, Stretch
from bulk_delete.governor.latency import Latency

Reason = Literal["throttled", "latency", "recovered", "asked"]

_UNDER = 0.95
"""Share of what the server accepts that is asked of it: its limit is to be kept, not met."""

_GOOD = 0.98
"""The same of a rate that has held for a moment."""

_FELT = 0.8
"""When less than this share of the rate is accepted, that is the server's limit, as counted."""

_TELLING_S = 10.0
_KEPT = 0.97
"""What was accepted over so long is what the server lets through; this share of it is asked."""

_NEAR = 0.88
"""An average below this share of a rate that has held shows only that less was asked before."""

_CUTS = (20.0, 0.98), (10.0, 0.97), (5.0, 0.95), (0.0, 0.9)
"""For how many seconds a rate had held, and the share of it that is asked after a refusal."""

_DEEP_CUT = 0.7
_QUICK_S = 1.0
"""The share when refusals follow each other within so many seconds of calls (RFC 9438, 4.6)."""

_SLOWED = 0.9
_SLOWED_S = 5.0
"""The rate after a window of slow replies (Vector's decrease ratio), and seconds until it climbs.

It does not climb while replies are slow, so that a hiccup need not be paid for long.
"""

_STEP = 0.04
_SEARCH = 0.5
"""A climb's step, and the first one where the refused rate was far from what is accepted."""

_STEP_S = 1.0
_CLOSE = 0.9
_SMALL_STEP = 0.01
_SMALL_STEP_S = 10.0
"""Seconds between steps. From this share of the refused rate on, the steps up to it are small."""

_HOLD_S = 20.0
_MOST_HOLD_S = 240.0
"""Seconds before the first step after a refusal, doubled with each try in vain up to the last."""

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
        self._floor = _floor(ceiling)
        self._allowance = Allowance()
        self._latency = Latency()
        self._good: float | None = None
        self._base: float | None = None
        self._quick = self._close = False
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
        held_s = now - self._changed_at
        good = None if held_s > _QUIET_S else self._good
        recent, felt = self._allowance.recent(now), self._allowance.felt(now)
        stretch = self._allowance.refused(now)
        quick, self._quick = self._quick, stretch.seconds < _QUICK_S
        self._refused_at = now
        wait_s, step = self._hold_s, _STEP
        if good is not None:  # a climb was in vain
            rate, self._searching = self._below(good, stretch), False
            self._hold_s = min(2 * self._hold_s, _MOST_HOLD_S)
        elif self._searching and self._allowance.is_young(now):
            rate, wait_s, step = _UNDER * recent, _STEP_S, _SEARCH
        elif felt is not None and felt < _FELT * self.rate:
            rate = _UNDER * felt
        elif quick and self._quick:
            rate = _DEEP_CUT * self.rate
        else:
            rate = self.rate * next(share for least_s, share in _CUTS if held_s >= least_s)
            wait_s = _HOLD_S
        self._bad, self._step, self._cut_at = self.rate, step, now
        rate = max(self._floor, min(rate, _CUTS[0][1] * self.rate))
        self._close = rate >= _CLOSE * self._bad
        return self._change(now, rate, "throttled", wait_s)

    def limit(self, now: float, ceiling: float) -> None:
        """Take another ceiling. A rate that had not given way goes along, up or down."""
        free, self.ceiling = self.rate >= self.ceiling, ceiling
        self._floor = _floor(ceiling)
        rate = ceiling if free else min(self.rate, ceiling)
        self._change(now, rate, "asked", self._wait_s)

    def _below(self, good: float, stretch: Stretch) -> float:
        """Choose a rate after a climb from one that was good, for a moment at least."""
        rate = _GOOD * good
        if stretch.seconds >= _TELLING_S and stretch.rate > _NEAR * good:
            # What held for a moment may be a bucket's, and the average what was asked: between.
            rate = min(rate, (2 * rate + _KEPT * stretch.rate) / 3)
        return rate if self._base is None else max(rate, self._base)

    def _slow_down(self, now: float) -> RateChanged | None:
        lowest = max(self._floor, _LEAST_SHARE_BY_LATENCY * self.ceiling)
        rate = max(_SLOWED * self.rate, lowest)
        if rate >= self.rate:
            return None
        self._bad, self._step, self._close = self.rate, _STEP, False
        return self._change(now, rate, "latency", _SLOWED_S)

    def _climb(self, now: float) -> RateChanged | None:
        used = self._allowance.total - self._total_then
        if (
            now - self._changed_at < self._wait_s
            or used < max(1, self.rate * _STEP_S / 2)
            or self._latency.raised
        ):
            return None
        held_s, wait_s = now - self._changed_at, _STEP_S
        if self.rate < self._bad and not self._close:
            rate = min(self.rate * (1 + self._step), max(self._bad, self.rate * (1 + _STEP)))
        elif self.rate < self._bad:
            rate, wait_s = self.rate * (1 + _SMALL_STEP), _SMALL_STEP_S
        else:
            rate = self.rate * (1 + self._step)
            self._step = min(1.0, 2 * self._step)
        if held_s >= _SMALL_STEP_S:
            self._base = self.rate
        elif self._good is None:
            self._base = None
        self._good = self.rate
        return self._change(now, min(rate, self.ceiling), "recovered", wait_s)

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


def _floor(ceiling: float) -> float:
    return min(ceiling, max(_LEAST_SHARE * ceiling, _LEAST_RATE))
