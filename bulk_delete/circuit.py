"""A circuit breaker: whether the API is there, and who may try when it seems not to be. Pure.

Closed, all calls go. After `hold_after` seconds of nothing but failures, or several batches in a
row that used up their attempts, it opens: one call at a time probes, at growing distances. Any
answer closes it; `give_up_after` seconds of failures end the job. Times are one clock's, in
seconds.
"""

from bulk_delete.model import (
    BadRequest,
    Deleted,
    Forbidden,
    Found,
    KeyRejected,
    Reading,
    Rejected,
    ResultNotFound,
    Throttled,
    Visible,
)
from bulk_delete.retry import is_absence

LEAST_FAILURES = 3
"""Failures that open it; fewer tell nothing, however much time is between them."""

MOST_WORN_OUT = 3
"""Batches in a row that use up their attempts, with no good answer between."""

FIRST_PROBE_S = 1.0
LAST_PROBE_S = 15.0
"""Distances of the probes: doubled from the first to the last."""

_GOOD = Deleted | Found | Visible | BadRequest | ResultNotFound | Forbidden | Rejected
"""Facts that speak of the call, not of the state of the API."""

_ANSWER = _GOOD | Throttled | KeyRejected


class Circuit:
    def __init__(self, hold_after_s: float, give_up_after_s: float) -> None:
        self._hold_after_s = hold_after_s
        self._give_up_after_s = give_up_after_s
        self._heard_at: float | None = None
        self._failing_since: float | None = None
        self._failures = 0
        self._worn_out = 0
        self._distance_s = FIRST_PROBE_S
        self.is_probing = False
        self.opened_at: float | None = None
        self.probe_at = 0.0
        """When the next probe may leave, while it is open."""

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    @property
    def give_up_at(self) -> float:
        """Return when patience ends, if nothing is heard until then."""
        since = self._failing_since
        return float("inf") if since is None else since + self._give_up_after_s

    def failing_s(self, now: float) -> float:
        """Return for how long there have been nothing but failures."""
        return 0.0 if self._failing_since is None else max(0.0, now - self._failing_since)

    def note(self, fact: Reading, now: float) -> None:
        """Take in what came of a call; a failure may open it, an answer closes it."""
        if self._failing_since is None and isinstance(fact, Deleted | Found | Visible):
            self._heard_at, self._worn_out = now, 0
            return
        if isinstance(fact, _ANSWER):
            self._heard_at = now
            self._failing_since = None
            self._failures = 0
            self.opened_at = None
            self._distance_s = FIRST_PROBE_S
            if isinstance(fact, _GOOD):
                self._worn_out = 0
            return
        if self._failing_since is None:
            self._failing_since = now
        self._failures += 1
        started = self._heard_at is not None or not is_absence(fact)
        enough = self._failures >= LEAST_FAILURES
        if started and enough and self.failing_s(now) >= self._hold_after_s:
            self._open(now)

    def wear_out(self, now: float) -> None:
        """Count a batch that used up its attempts."""
        self._worn_out += 1
        if self._worn_out >= MOST_WORN_OUT and self._failing_since is not None:
            self._open(now)

    def pause_until(self, then: float) -> None:
        """Know of a pause that the API asked for: being silent meanwhile means nothing."""
        if self._failing_since is not None:
            self._failing_since = max(self._failing_since, then)

    def is_lost(self, since: float) -> bool:
        """Tell whether nothing was heard since then, by anybody."""
        return self._heard_at is None or self._heard_at < since

    def is_outage(self, fact: Reading, since: float) -> bool:
        """Tell whether a call that left at `since` failed because nobody is answered at all."""
        if self.is_open:
            return True
        return is_absence(fact) and self._heard_at is not None and self._heard_at < since

    def may_probe(self, now: float) -> bool:
        return not self.is_probing and now >= self.probe_at

    def begin_probe(self) -> None:
        self.is_probing = True

    def end_probe(self, now: float, dice: float, *, could_read: bool) -> None:
        """Let the next probe wait, longer each time; `dice`: 0 ≤ dice < 1.

        After a read that came to something the deletion that it was made for may follow at once.
        """
        self.is_probing = False
        if could_read:
            self.probe_at = now
            return
        self.probe_at = now + self._distance_s * (0.5 + dice / 2)
        self._distance_s = min(LAST_PROBE_S, self._distance_s * 2)

    def _open(self, now: float) -> None:
        if self.opened_at is None:
            self.opened_at = now
            self._distance_s = FIRST_PROBE_S
            self.probe_at = now + FIRST_PROBE_S
