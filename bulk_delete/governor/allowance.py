"""What the server accepted of late."""

from collections import deque

_SLOTS = 50


class Allowance:
    """Accepted calls over the last `window_s` seconds, and since the server last refused."""

    def __init__(self) -> None:
        self.window_s = 1.0
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=2 * _SLOTS)
        self._marked_at = float("-inf")
        self._resumed_at = float("-inf")
        self._refused: tuple[float, int] | None = None

    def add(self, now: float) -> None:
        if now - self._marked_at >= self.window_s / _SLOTS:
            if now - self._marked_at > self.window_s / 2:
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

    def refused(self, now: float) -> float | None:
        """Note a refusal; return the calls accepted per second since the one before it.

        A bucket on the server was empty then as it is now, so this is what it lets through.
        """
        before, self._refused = self._refused, (now, self.total)
        if before is None or now <= before[0]:
            return None
        return (self.total - before[1]) / (now - before[0])
