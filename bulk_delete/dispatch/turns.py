"""Whose turn it is: the pace, the gate and the budget for retries, for all kinds of calls."""

from typing import NamedTuple

import anyio

from bulk_delete.dispatch.ends import Pace
from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.model import Deleted, Fact, Found, Reading, Throttled, Visible
from bulk_delete.retry import Budget


class Ticket(NamedTuple):
    """Leave for one call: as a probe, as the one retry beyond the budget, or paid out of it."""

    probe: bool = False
    alone: bool = False
    paid: int = 0


_PLAIN = Ticket()


class Turns:
    def __init__(self, pace: Pace, gate: Gate, brake: Brake) -> None:
        self._pace = pace
        self._gate = gate
        self._brake = brake
        self._budget = Budget()
        self._beyond_budget = anyio.Lock()

    async def take(self, urgency: int, after: Fact | None) -> Ticket:
        """Wait for the turn of a call; `after`: what makes it a retry. `give_back` the ticket.

        Raises LeaveOffError when the job stops first.
        """
        gate = self._gate
        if after is None and not gate.is_open and not gate.is_paused and self._pace.take():
            if self._brake.pulled:
                raise LeaveOffError
            return _PLAIN
        ticket = await self._paid(after)
        try:
            return ticket._replace(probe=await self._turn(urgency))
        except BaseException:
            self.give_back(ticket, None)
            raise

    async def spaced(self) -> None:
        """Wait until a call that is ready may leave. Raises LeaveOffError when the job stops."""
        if wait_s := self._pace.leave_s():
            with self._brake.wait():
                await anyio.sleep(wait_s)
        if self._brake.pulled:
            raise LeaveOffError

    def give_back(self, ticket: Ticket, reading: Reading | None) -> None:
        """Hand a ticket in, with what came of its call."""
        if ticket.probe:
            self._gate.end_probe(could_read=isinstance(reading, Found | Visible))
        if ticket.alone:
            self._beyond_budget.release()
        if isinstance(reading, Deleted | Found | Visible):
            self._budget.give_back(ticket.paid)

    async def _paid(self, after: Fact | None) -> Ticket:
        """Pay for a retry; where the budget is used up, wait to be the only one."""
        if after is None or isinstance(after, Throttled) or self._gate.is_open:
            return _PLAIN  # what is throttled or held has waits of its own
        if paid := self._budget.take(after):
            return Ticket(paid=paid)
        alone = False
        with self._brake.wait():
            await self._beyond_budget.acquire()
            alone = True
        if alone and self._brake.pulled:
            self._beyond_budget.release()
        if self._brake.pulled:
            raise LeaveOffError
        return Ticket(alone=True)

    async def _turn(self, urgency: int) -> bool:
        """Wait until the gate and the pace let a call out; return whether it is a probe."""
        gate = self._gate
        while True:
            probe = (gate.is_open or gate.is_paused) and await gate.through()
            try:
                await self._paced(urgency)
            except BaseException:
                if probe:
                    gate.end_probe()
                raise
            if not gate.is_paused and (probe or not gate.is_open):
                return probe
            if probe:
                gate.end_probe()

    async def _paced(self, urgency: int) -> None:
        if not self._pace.take():
            with self._brake.wait():
                await self._pace.ready(urgency)
        if self._brake.pulled:
            raise LeaveOffError
