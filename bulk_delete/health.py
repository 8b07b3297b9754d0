"""When a job does more harm than good and must stop. Pure: it counts what it is told.

Runs are counted, not calls, and only when their planned batch is finished with all that it was
split into: a batch with one bad run in a hundred is one per cent of a failure.
"""

from bulk_delete.config import Limits

FIRST_BATCHES = 10
"""When this many batches have got a 400 and nothing else was ever heard, it is not the runs."""


class Health:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._batches = 0
        self._runs = 0
        self._failed = 0
        self._bad_requests = 0
        self._proven = False

    @property
    def proven(self) -> bool:
        """Tell whether any batch came to something else than a 400."""
        return self._proven

    def bad_request(self) -> None:
        """Count a planned batch whose first reply is a 400."""
        self._bad_requests += 1

    def prove(self) -> None:
        """Note a reply that shows that the API and this client understand each other."""
        self._proven = True

    def finished(self, runs: int, failed: int) -> None:
        """Count a planned batch, of which `failed` runs are failed or unknown."""
        self._batches += 1
        self._runs += runs
        self._failed += failed

    def complaint(self) -> str | None:
        """Return why the job must stop, or None."""
        if not self._proven and self._bad_requests >= FIRST_BATCHES:
            return (
                f"the first {self._bad_requests} batches were all answered with 400: "
                "this is not about single runs; look at the API's message"
            )
        limit = self._limits.max_failures
        if limit.count is not None:
            over = self._failed > limit.count
        else:
            enough = self._batches >= self._limits.max_failures_after
            allowed = round((limit.share or 0.0) * self._runs, 6)  # 0.29 * 100 is 28.99…
            over = enough and self._failed > allowed
        if not over:
            return None
        return (
            f"{self._failed:,} of {self._runs:,} finished runs failed or are unknown, "
            f"over the limit of {limit}"
        )
