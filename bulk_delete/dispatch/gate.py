"""Lets calls out while the API answers; while it does not, one at a time, to see whether it does.

While the job is paused, it lets none out. The waits of a probe for its turn count as being on the
way: nobody else probes meanwhile.
"""

from collections.abc import Callable

import anyio

from bulk_delete import events
from bulk_delete.circuit import Circuit
from bulk_delete.config import Limits
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.errors import GaveUp
from bulk_delete.model import Reading
from bulk_delete.report import duration


class Gate:
    def __init__(
        self,
        limits: Limits,
        brake: Brake,
        outcomes: Outcomes,
        clock: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self.circuit = Circuit(limits.hold_after, limits.give_up_after)
        self._brake = brake
        self._outcomes = outcomes
        self._clock = clock
        self._dice = dice
        self._opened_at: float | None = None
        self.is_paused = False
        self._changed = anyio.Event()

    @property
    def is_open(self) -> bool:
        """Tell whether calls are held as nobody answers."""
        return self.circuit.is_open

    def pause(self) -> None:
        """Let no call out until `go_on`; what is out already finishes."""
        self.is_paused = True

    def go_on(self) -> None:
        self.is_paused = False
        self._wake()

    def note(self, fact: Reading, now: float) -> None:
        """Take in what came of a call."""
        self.circuit.note(fact, now)
        if self.circuit.opened_at != self._opened_at:
            self._turn_over(now)

    def wear_out(self) -> None:
        """Count a batch that used up its attempts."""
        now = self._clock()
        self.circuit.wear_out(now)
        if self.circuit.opened_at != self._opened_at:
            self._turn_over(now)

    async def through(self) -> bool:
        """Wait until a call may leave; return whether it is a probe, which `end_probe` must end.

        Raises LeaveOffError when the job stops first.
        """
        circuit = self.circuit
        while self.is_paused or circuit.is_open:
            if self.is_paused:
                await self._wait(None)
                continue
            now = self._clock()
            if now >= circuit.give_up_at and not circuit.is_probing:
                self.give_up(f"nothing but failures for {duration(circuit.failing_s(now))}")
                raise LeaveOffError
            if circuit.may_probe(now):
                circuit.begin_probe()
                return True
            times = [float("inf")] if circuit.is_probing else [circuit.give_up_at, circuit.probe_at]
            await self._wait(min(times) - now)
        return False

    async def back_off(self, seconds: float) -> None:
        """Wait, but not beyond the moment when calls are held: then the probes' distances count."""
        with self._brake.wait(), anyio.move_on_after(seconds):
            while not self.is_open:
                await self._changed.wait()

    def end_probe(self, *, could_read: bool = False) -> None:
        self.circuit.end_probe(self._clock(), self._dice(), could_read=could_read)
        self._wake()

    def give_up(self, what: str) -> None:
        if not self._brake.pulled:
            last = self._outcomes.trouble
            self._brake.pull(GaveUp(f"the API stayed away: {what} (last: {last})"))

    async def _wait(self, seconds: float | None) -> None:
        """Wait for a change, or until so much time has passed."""
        with self._brake.wait(), anyio.move_on_after(seconds):
            await self._changed.wait()
        if self._brake.pulled:
            raise LeaveOffError

    def _turn_over(self, now: float) -> None:
        """Write that calls are held from now on, or are not any more."""
        before, self._opened_at = self._opened_at, self.circuit.opened_at
        if before is None:
            failing_s = round(self.circuit.failing_s(now), 3)
            self._outcomes.job(events.JobPaused("outage", self._outcomes.trouble, failing_s))
        else:
            self._outcomes.job(events.JobContinued("answered", round(now - before, 3)))
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
