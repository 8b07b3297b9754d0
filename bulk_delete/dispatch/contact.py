"""Whether the API is there: what was last heard of it, and how often it was tried in vain."""

from bulk_delete.model import (
    BadRequest,
    Deleted,
    Fact,
    Forbidden,
    InDoubt,
    Rejected,
    ResultNotFound,
)
from bulk_delete.retry import Connection, is_absence

MOST_WORN_OUT = 3
"""Batches in a row that use up their attempts, with no good answer between, before giving up."""

_GOOD = Deleted | BadRequest | ResultNotFound | Forbidden | Rejected
"""Facts that speak of the call, not of the state of the API."""


class Contact:
    """Times are the engine's clock, in seconds."""

    def __init__(self, give_up_after_s: float) -> None:
        self._give_up_after_s = give_up_after_s
        self._heard_at: float | None = None
        self._worn_out = 0

    def note(self, fact: Fact, now: float) -> None:
        """Take in what came of a call."""
        lost = isinstance(fact, InDoubt) and fact.status is None
        if not (lost or is_absence(fact)):
            self._heard_at = now
        if isinstance(fact, _GOOD):
            self._worn_out = 0

    def pause_until(self, then: float) -> None:
        """Know of a pause that the API asked for: being silent meanwhile means nothing."""
        if self._heard_at is not None:
            self._heard_at = max(self._heard_at, then)

    def is_lost(self, since: float) -> bool:
        """Tell whether nothing was heard since then, by anybody."""
        return self._heard_at is None or self._heard_at < since

    def connection(self, since: float, now: float) -> Connection:
        """Tell how it stands with an API of which a call at `since` may have heard nothing."""
        if self._heard_at is None or self._heard_at >= since:
            return Connection.NORMAL
        patient = now - self._heard_at < self._give_up_after_s
        return Connection.OUTAGE if patient else Connection.GONE

    def wear_out(self) -> int:
        """Count a batch that used up its attempts; return how many did so in a row."""
        self._worn_out += 1
        return self._worn_out
