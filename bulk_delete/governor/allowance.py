"""What the server accepted of late."""

from collections import deque
from typing import NamedTuple

_SLOTS = 50
_LEAST_S = 0.1
_LEAST_SHARE = 0.3
"""Share of the window that tells something of a rate."""


class Stretch(NamedTuple):
    """Seconds between two refusals, without idle spells, and calls accepted per second in them."""

    seconds: float
    rate: float


class Allowance:
    """Accepted calls over the last `window_s` seconds, and since the server last refused."""

    def __init__(self) -> None:
        self.window_s = 1.0
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=2 * _SLOTS)
        self._marked_at = float("-inf")
        self._resumed_at = float("-inf")
        self._resumed_total = 0
        self._refused: tuple[float, int] | None = None
        self._idle_s = 0.0

    def add(self, now: float) -> None:
        if now - self._marked_at >= self.window_s / _SLOTS:
            if now - self._marked_at > self.window_s / 2:
                if self._marks:
                    self._idle_s += now - self._marked_at
                self._resumed_at, self._resumed_total = now, self.total
            if self._refused is None:
                self._refused = now, 0
            self._marks.append((now, self.total))
            self._marked_at = now
        self.total += 1

    def is_young(self, now: float) -> bool:
        """Tell whether calls have been coming for less than the window."""
        return now - self._resumed_at < self.window_s

    def recent(self, now: float) -> float:
        """Return the calls accepted per second over the window."""
        first = next((total for at, total in self._marks if at >= now - self.window_s), self.total)
        return (self.total - first) / self.window_s

    def felt(self, now: float) -> float | None:
        """Return the same over the time since the last idle spell; None where that is short."""
        seconds = now - self._resumed_at
        if seconds >= self.window_s:
            return self.recent(now)
        if seconds < _LEAST_SHARE * self.window_s:
            return None
        return (self.total - self._resumed_total) / seconds

    def refused(self, now: float) -> Stretch:
        """Note a refusal; return what was accepted since the one before it, or since the start.

        A bucket on the server was empty then as it is now, so this is about what it lets through.
        """
        before, self._refused = self._refused or (now, 0), (now, self.total)
        seconds = max(now - before[0] - self._idle_s, _LEAST_S)
        self._idle_s = 0.0
        return Stretch(seconds, (self.total - before[1]) / seconds)
