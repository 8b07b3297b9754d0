"""What the engine stands on, as it sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bulk_delete import events
from bulk_delete.model import Batch, Before, Fact


class Transport(Protocol):
    async def delete_runs(
        self, result_id: int, run_ids: tuple[int, ...], request_id: str
    ) -> Fact: ...


class Pace(Protocol):
    async def ready(self) -> None: ...

    def pause(self, seconds: float) -> None: ...


class Recorder(Protocol):
    """Takes every event together with the runs that it speaks of."""

    def record(self, batch: Batch, event: events.OfBatch) -> None: ...

    def record_pairs(self, event: events.OfPairs) -> None: ...

    async def durable(self) -> None: ...


class Shield(Protocol):
    """Knows what must not be sent. Raises GaveUp when it does not know any more."""

    async def held_back(self, result_id: int, run_ids: tuple[int, ...]) -> frozenset[int]: ...


class Past(Protocol):
    """What earlier executions did."""

    def before(self, result_id: int, run_ids: tuple[int, ...]) -> Before | None:
        """Tell how some runs were left; None where nothing was ever told of any of them."""

    def was_accepted(self, result_id: int) -> bool:
        """Tell whether any run of a result is deleted."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where calls go, what paces, records and holds them back, what was before; clock and chance.

    `clock` gives seconds, `dice` a number 0 ≤ x < 1, `new_id` a fresh request id.
    """

    transport: Transport
    pace: Pace
    recorder: Recorder
    past: Past
    shield: Shield
    clock: Callable[[], float]
    dice: Callable[[], float]
    new_id: Callable[[], str]
