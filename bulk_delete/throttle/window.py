"""A limit on a longer period as a whole, of which no part may hold more calls than it says."""

from collections import deque
from collections.abc import Iterable, Iterator

from bulk_delete.config import Rate

_SLOTS = 1000
"""Slots per period: calls in one are counted together, as if all came at its end."""

_LONGEST_S = 3600
"""The longest period that a limit may have."""


class Window:
    """The calls of the last period, in at most about a thousand slots.

    Times are seconds on any one clock. A limit that is no whole number is that of the longer or
    shorter period in which it is one: 2.5 in 60 s are 2 in 48 s.
    """

    def __init__(self, limit: Rate) -> None:
        self._most = max(1, int(limit.count))
        period = self._most / limit.per_second
        self._width = period / _SLOTS
        self._slots: deque[tuple[int, int]] = deque()
        self._calls = 0

    def used(self, now: float, calls: Iterable[tuple[float, int]]) -> None:
        """Count calls of before, each as its age in seconds and a number, in any order."""
        for age, number in sorted(calls, reverse=True):
            self.add(now - max(0.0, age), number)

    def add(self, now: float, calls: int = 1) -> None:
        slot = int(now // self._width)
        self._calls += calls
        if self._slots and self._slots[-1][0] == slot:
            calls += self._slots.pop()[1]
        self._slots.append((slot, calls))

    def wait_s(self, now: float) -> float:
        """Return for how long the limit leaves no room for another call."""
        while self._slots and self._over(self._slots[0][0]) <= now:
            self._calls -= self._slots.popleft()[1]
        excess = self._calls - self._most
        if excess < 0:
            return 0.0
        for slot, calls in self._slots:
            excess -= calls
            if excess < 0:
                return self._over(slot) - now
        raise AssertionError("the slots add up to the calls")

    def _over(self, slot: int) -> float:
        return (slot + 1 + _SLOTS) * self._width


class Tally:
    """The calls of the last hour by second, for a limit that comes later on."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque(maxlen=_LONGEST_S + 1)

    def add(self, now: float, calls: int = 1) -> None:
        second = int(now)
        if self._seconds and self._seconds[-1][0] >= second:
            self._seconds[-1][1] += calls
        else:
            self._seconds.append([second, calls])

    def ages(self, now: float) -> Iterator[tuple[float, int]]:
        """Yield ages in seconds, and calls; those of a second as if all came at its end."""
        for second, calls in self._seconds:
            yield max(0.0, now - second - 1), calls
