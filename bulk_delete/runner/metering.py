"""Counts calls by what came of them, and how long they took, on their way through."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from bulk_delete.dispatch import Transport
from bulk_delete.metrics import BUCKETS, Call, Latency, Tally
from bulk_delete.model import Fact, NotSent, Reading

_R = TypeVar("_R", Fact, Reading)

NO_REPLY = "no_reply"
NOT_CONNECTED = "not_connected"


class Meter:
    """A transport that hands every call on to another, and keeps a tally."""

    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        self._calls: Counter[Call] = Counter()
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    @property
    def tally(self) -> Tally:
        return Tally(dict(self._calls), Latency(tuple(self._buckets), self._seconds))

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact:
        return await self._timed("delete", self._transport.delete_runs(result_id, body, request_id))

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading:
        return await self._timed("read", self._transport.read_runs(run_ids, request_id))

    async def read_result(self, result_id: int, request_id: str) -> Reading:
        return await self._timed("read", self._transport.read_result(result_id, request_id))

    async def _timed(self, kind: Literal["delete", "read"], call: Awaitable[_R]) -> _R:
        left_at, status = self._clock(), NO_REPLY
        try:
            reading = await call
            status = _status(reading)
        finally:  # a call that is cut off has left as well
            seconds = self._clock() - left_at
            self._calls[Call(kind, status)] += 1
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds
        return reading


def _status(reading: Reading) -> str:
    if isinstance(reading, NotSent):
        return NOT_CONNECTED
    return NO_REPLY if reading.status is None else str(reading.status)
