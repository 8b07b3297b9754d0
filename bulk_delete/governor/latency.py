"""Whether replies take longer than they used to."""

_LEAST_S = 1.0
_LEAST_CALLS = 10
_FIRST_CALLS = 5
"""Calls that make the first baseline: early ones, before a queue of our own can build up."""

_FACTOR = 2.0
_DEVIATIONS = 2.5
_MARGIN_S = 0.05
"""A window is raised when its mean is above all three: twice the baseline, 2.5 deviations above
it, 50 ms above it."""

_WEIGHT = 0.2
_CREEP = 1.01
"""How the baseline follows: by a fifth of the way, but by 1 % a window to one that is raised."""

_FALLING = 0.95
"""A mean of at most this share of the one before shows a queue that is draining by itself."""


class Latency:
    """The mean of each window of at least a second and ten calls, against a baseline.

    All in seconds. Baseline and mean deviation are exponentially weighted.
    """

    def __init__(self) -> None:
        self.raised = False
        self._baseline = 0.0
        self._deviation = 0.0
        self._calls = 0
        self._sum = 0.0
        self._off = 0.0
        self._started_at: float | None = None
        self._before = float("inf")

    def add(self, now: float, seconds: float) -> bool:
        """Count a reply; tell whether it closes a window that asks for a lower rate."""
        self._calls += 1
        self._sum += seconds
        self._off += abs(seconds - self._baseline)
        if self._calls < _LEAST_CALLS:
            if self._started_at is None and self._calls == _FIRST_CALLS:
                self._start(now)
            return False
        if self._started_at is None or now - self._started_at < _LEAST_S:
            return False
        return self._close(now)

    def _start(self, now: float) -> None:
        self._baseline = self._sum / self._calls
        self._started_at = now
        self._calls, self._sum, self._off = 0, 0.0, 0.0

    def _close(self, now: float) -> bool:
        mean, off = self._sum / self._calls, self._off / self._calls
        self._calls, self._sum, self._off = 0, 0.0, 0.0
        self._started_at = now
        before, self._before = self._before, mean
        self.raised = mean > max(
            _FACTOR * self._baseline,
            self._baseline + _DEVIATIONS * self._deviation,
            self._baseline + _MARGIN_S,
        )
        if self.raised:
            self._baseline *= _CREEP
            return mean > _FALLING * before or before == float("inf")
        self._baseline += _WEIGHT * (mean - self._baseline)
        self._deviation += _WEIGHT * (off - self._deviation)
        return False
