"""Those who wait for a turn: the most urgent goes first, equals as they came."""

import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import anyio


@dataclass(order=True, slots=True)
class _Waiter:
    rank: int
    number: int
    woken: anyio.Event = field(default_factory=anyio.Event, compare=False)
    served: bool = field(default=False, compare=False)


class Line:
    """One of those who wait leads: it waits for the next turn on behalf of all.

    `turn` waits for a turn and takes it; `give_back` takes one that nobody wants any more.
    """

    def __init__(self, turn: Callable[[], Awaitable[None]], give_back: Callable[[], None]) -> None:
        self._turn = turn
        self._give_back = give_back
        self._waiters: list[_Waiter] = []
        self._numbers = count()
        self._led = False

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, urgency: int) -> None:
        waiter = _Waiter(-urgency, next(self._numbers))
        heapq.heappush(self._waiters, waiter)
        try:
            while not waiter.served:
                if self._led:
                    await waiter.woken.wait()
                    waiter.woken = anyio.Event()
                else:
                    await self._lead()
        except BaseException:  # cancelled, perhaps with a turn that it has not seen yet
            self._leave(waiter)
            raise
        finally:
            if self._waiters and not self._led:
                self._waiters[0].woken.set()

    async def _lead(self) -> None:
        self._led = True
        try:
            await self._turn()
        finally:
            self._led = False
        self._serve()

    def _serve(self) -> None:
        first = heapq.heappop(self._waiters)
        first.served = True
        first.woken.set()

    def _leave(self, waiter: _Waiter) -> None:
        if not waiter.served:
            self._waiters.remove(waiter)
            heapq.heapify(self._waiters)
        elif self._waiters:
            self._serve()
        else:
            self._give_back()
