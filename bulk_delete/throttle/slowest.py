"""How long the slowest call took lately."""

_KEPT_S = 120.0
"""For at least so long a call is remembered, and for at most twice as long."""


class Slowest:
    """The longest time of the calls of two stretches: the present one, and the one before."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._now = self._before = 0.0

    def add(self, now: float, seconds: float) -> None:
        self._turn(now)
        self._now = max(self._now, seconds)

    def lately(self, now: float) -> float:
        """Return the longest time, in seconds; 0 where there was no call."""
        self._turn(now)
        return max(self._now, self._before)

    def _turn(self, now: float) -> None:
        gone = now - self._began
        if gone >= _KEPT_S:
            self._before = self._now if gone < 2 * _KEPT_S else 0.0
            self._now, self._began = 0.0, now
