"""Calls that had their turns, and leave together because something held them up since then."""

LEEWAY_S = 0.03
"""How much too early a call may leave, so that the waits of a healthy disk cost nothing.

It lets 3 % more through in a second, and one call: less than the 5 % that a second may have.
"""


class Spacing:
    """Places calls 1/rate apart: the generic cell rate algorithm (ITU-T I.371).

    Times are seconds on one clock.
    """

    def __init__(self) -> None:
        self._next = float("-inf")

    def wait_s(self, now: float, per_second: float) -> float:
        """Place a call that is ready now; return for how long it must wait."""
        leaves_at = max(now, self._next - LEEWAY_S)
        self._next = max(self._next, leaves_at) + 1 / per_second
        return leaves_at - now

    def change(self, now: float, per_second: float) -> None:
        """Let the next call wait no longer than one does at another rate."""
        self._next = min(self._next, now + 1 / per_second)
