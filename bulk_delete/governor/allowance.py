"""What the server accepted of late."""

from collections import deque
from typing import NamedTuple

_SLOTS = 50
_LEAST_S = 0.1


class Average(NamedTuple):
    """Calls per second over so many seconds, idle spells counted as such or left out."""

    seconds: float
    least: float
    most: float


class Allowance:
    """Accepted calls over the last `window_s` seconds, and since the server last refused."""

    def __init__(self) -> None:
        self.window_s = 1.0
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=2 * _SLOTS)
        self._marked_at = float("-inf")
        self._resumed_at = float("-inf")
        self._refused: tuple[float, int] | None = None
        self._idle_s = 0.0

    def add(self, now: float) -> None:
        if now - self._marked_at >= self.window_s / _SLOTS:
            if now - self._marked_at > self.window_s / 2:
                if self._marks:
                    self._idle_s += now - self._marked_at
                self._resumed_at = now
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

    def refused(self, now: float) -> Average | None:
        """Note a refusal; return what was accepted since the one before it.

        A bucket on the server was empty then as it is now, so this is what it lets through: no less
        than over all the time, and no more than over that in which calls came.
        """
        before, self._refused = self._refused, (now, self.total)
        idle_s, self._idle_s = self._idle_s, 0.0
        if before is None or now <= before[0]:
            return None
        calls, seconds = self.total - before[1], now - before[0]
        return Average(seconds, calls / seconds, calls / max(seconds - idle_s, _LEAST_S))
