"""What the engine stands on, as it sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bulk_delete import events
from bulk_delete.model import Batch, Before, Fact, Reading


class Transport(Protocol):
    """One call each, told by a fact. `body` is the JSON of the call."""

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact: ...

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading: ...

    async def read_result(self, result_id: int, request_id: str) -> Reading: ...


class Pace(Protocol):
    """`take` takes a turn that is free now; `ready` waits for one, the most urgent first.

    `leave_s` is asked when the call could leave: how long it must wait so that none come together.
    """

    def take(self) -> bool: ...

    async def ready(self, urgency: int) -> None: ...

    def leave_s(self) -> float: ...

    def pause(self, seconds: float) -> None: ...

    def note(self, fact: Reading, seconds: float) -> events.RateChanged | None: ...


class Recorder(Protocol):
    """Takes every event together with the runs that it speaks of.

    `record_sent` takes the JSON array of a first attempt's run ids as well.
    """

    def record_sent(self, batch: Batch, event: events.BatchSent, ids: bytes) -> None: ...

    def record(self, batch: Batch, event: events.OfBatch) -> None: ...

    def record_pairs(self, event: events.OfPairs) -> None: ...

    def record_job(self, event: events.OfJob) -> None: ...

    async def durable(self) -> None: ...


class Shield(Protocol):
    """Knows what must not be sent. Raises GaveUp when it does not know any more."""

    async def held_back(self, result_id: int, run_ids: tuple[int, ...]) -> frozenset[int]: ...


class Past(Protocol):
    """What earlier executions did; `before` is None where they did nothing to these runs."""

    def before(self, result_id: int, run_ids: tuple[int, ...]) -> Before | None: ...

    def was_accepted(self, result_id: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ends:
    """Where calls go, what paces, records and holds them back, what was before; clock and chance.

    `clock` gives seconds, `dice` a number 0 ≤ x < 1, `new_id` a fresh request id. Without a shield
    nothing is protected.
    """

    transport: Transport
    pace: Pace
    recorder: Recorder
    past: Past
    shield: Shield | None
    clock: Callable[[], float]
    dice: Callable[[], float]
    new_id: Callable[[], str]
