"""What stands between a batch and its call: runs that are protected by then are held back."""

from collections.abc import Callable

import anyio
import anyio.to_thread
import numpy as np

from bulk_delete.columns import Columns
from bulk_delete.errors import GaveUp, InvalidInput
from bulk_delete.runner.protection import Protection

_TRIES = 4
_PAUSE_S = 0.5
"""For a file that is just being replaced."""


class Shield:
    """Asked right before each call which of its runs must not be sent."""

    def __init__(self, protection: Protection, renewed: Callable[[], None]) -> None:
        self._protection = protection
        self._renewed = renewed
        self._reading = anyio.Lock()
        self._given_up: GaveUp | None = None

    async def held_back(self, result_id: int, run_ids: tuple[int, ...]) -> frozenset[int]:
        """Return those of a batch's runs that are protected now. Raises GaveUp."""
        protection = self._protection
        if protection.changed:
            async with self._reading:
                if self._given_up:
                    raise self._given_up
                if protection.changed:
                    await self._renew(protection)
        runs = np.array(run_ids, np.uint64)
        covered = protection.covers(Columns(np.full(runs.size, result_id, np.uint64), runs))
        return frozenset(runs[covered].tolist())

    async def _renew(self, protection: Protection) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                read = await anyio.to_thread.run_sync(protection.read)
            except InvalidInput as error:
                if tries == _TRIES:
                    why = "; ".join([error.reason, *map(str.strip, error.listing.splitlines())])
                    self._given_up = GaveUp(
                        f"{why}; nothing is sent while it is not known what is protected"
                    )
                    raise self._given_up from None
                await anyio.sleep(_PAUSE_S)
            else:
                protection.take(read)
                self._renewed()
                return
