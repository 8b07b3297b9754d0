"""When a job does more harm than good and must stop. Pure: it counts what it is told.

Runs are counted, not calls, and only when their planned batch is finished with all that it was
split into: a batch with one bad run in a hundred is one per cent of a failure.
"""

from bulk_delete.config import Limits

FIRST_BATCHES = 10
"""When this many batches have got a 400 and nothing else was ever heard, it is not the runs."""

FIRST_REPLIES = 200
"""The same for the parts of fewer batches: one batch of bad runs alone takes 199 calls."""


class Health:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._batches = 0
        self._runs = 0
        self._failed = 0
        self._failed_unsent = 0
        self._bad_requests = 0
        self._bad_replies = 0
        self._proven = False

    @property
    def proven(self) -> bool:
        """Tell whether any batch came to something else than a 400."""
        return self._proven

    @property
    def is_marred(self) -> bool:
        """Tell whether there is anything to complain of at all."""
        return bool(self._failed or self._failed_unsent or self._bad_replies)

    def bad_request(self, *, planned: bool) -> None:
        """Count a 400, to a planned batch or to a part of one."""
        self._bad_replies += 1
        self._bad_requests += planned

    def prove(self) -> None:
        """Note a reply that shows that the API and this client understand each other."""
        self._proven = True

    def finished(self, runs: int, failed: int) -> None:
        """Count a planned batch, of which `failed` runs are failed or unknown."""
        self._batches += 1
        self._runs += runs
        self._failed += failed

    def ended(self, runs: int) -> None:
        """Count runs that failed unsent, with their result: against a number, not in the share.

        They tell of one result, and the biggest ones come first.
        """
        self._failed_unsent += runs

    def complaint(self) -> str | None:
        """Return why the job must stop, or None."""
        enough = self._bad_requests >= FIRST_BATCHES or self._bad_replies >= FIRST_REPLIES
        if not self._proven and enough:
            return (
                f"the first {self._bad_replies} calls were all answered with 400: "
                "this is not about single runs; look at the API's message"
            )
        limit = self._limits.max_failures
        if limit.count is not None:
            over = self._failed + self._failed_unsent > limit.count
        else:
            enough = self._batches >= self._limits.max_failures_after
            allowed = round((limit.share or 0.0) * self._runs, 6)  # 0.29 * 100 is 28.99…
            over = enough and self._failed > allowed
        if not over:
            return None
        return (
            f"{self._failed + self._failed_unsent:,} of {self._runs + self._failed_unsent:,} "
            "finished runs failed or are unknown, "
            f"over the limit of {limit}"
        )
