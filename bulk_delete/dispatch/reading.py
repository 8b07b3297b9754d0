"""Reading back what became of runs: calls without side effects, under the same pace as all."""

from bulk_delete import events
from bulk_delete.config import Retry
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.outcomes import Outcomes, told
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.dispatch.turns import Turns
from bulk_delete.model import (
    Fact,
    Forbidden,
    Found,
    InDoubt,
    KeyRejected,
    NotSent,
    Reading,
    Rejected,
    ResultNotFound,
    ServerError,
    Throttled,
    Visible,
)
from bulk_delete.readback import Blind, Conclusion, NoResult, conclude, shows_result
from bulk_delete.retry import pause_of

_AWAY = ServerError | NotSent | InDoubt

_PASSING = Throttled | _AWAY
"""Facts that another try may turn into an answer."""

_FORBIDS = Forbidden | KeyRejected | ResultNotFound | Rejected
"""Facts that mean, where runs were asked for, that this key may not read them."""


class Reader:
    """`allowed`: runs may be read back, for all that is known.

    `alone`: nothing is done but reading, so that reads tell whether the API is there. Beside
    deletions they do not: that it can be read tells nothing of what deletes.
    """

    def __init__(
        self,
        ends: Ends,
        retry: Retry,
        outcomes: Outcomes,
        gate: Gate,
        turns: Turns,
        brake: Brake,
        *,
        alone: bool = False,
    ) -> None:
        self._ends = ends
        self._retry = retry
        self._outcomes = outcomes
        self._gate = gate
        self._turns = turns
        self._brake = brake
        self._alone = alone
        self.allowed = retry.settle == "read-back"

    async def look(
        self,
        number: int | None,
        result_id: int,
        run_ids: tuple[int, ...],
        urgency: int,
        *,
        result_first: bool = False,
    ) -> Conclusion:
        """Find out what became of runs of one result; `number` is the batch that asks, if one does.

        Raises LeaveOffError when the job stops first.
        """
        visible = False
        if result_first:
            seen = await self._read(number, result_id, None, urgency)
            if isinstance(seen, ResultNotFound):
                return NoResult(seen.detail)
            visible = isinstance(seen, Visible)
        found = await self._read(number, result_id, run_ids, urgency)
        if not isinstance(found, Found):
            return self._blind(found)
        if shows_result(result_id, found.runs):
            visible = True
        elif len(found.runs) < len(run_ids) and not result_first:
            seen = await self._read(number, result_id, None, urgency)
            visible = isinstance(seen, Visible)
        return conclude(result_id, run_ids, found.runs, visible=visible)

    def _blind(self, fact: Reading) -> Blind:
        if isinstance(fact, _FORBIDS) and self.allowed:
            self.allowed = False
            self._outcomes.no_reading(fact)
        return Blind(forbidden=not self.allowed)

    async def _read(
        self, number: int | None, result_id: int, run_ids: tuple[int, ...] | None, urgency: int
    ) -> Reading:
        """Read runs, or the result where none are given, as often as the attempts allow."""
        after: Fact | None = None
        attempt = outages = 0
        since = self._ends.clock()
        while True:
            attempt += 1
            before, since = since, self._ends.clock()
            reading = await self._call(number, result_id, run_ids, urgency, after)
            outages += self._alone and self._gate.circuit.is_outage(reading, before)
            if not isinstance(reading, _PASSING):
                return reading
            if attempt - outages >= self._retry.attempts:
                if self._alone:
                    self._gate.wear_out()
                return reading
            after = reading
            wait_s = pause_of(reading, attempt, self._retry, self._ends.dice())
            if isinstance(reading, Throttled):
                self._ends.pace.pause(wait_s)
            else:
                await self._gate.back_off(wait_s)

    async def _call(
        self,
        number: int | None,
        result_id: int,
        run_ids: tuple[int, ...] | None,
        urgency: int,
        after: Fact | None,
    ) -> Reading:
        ends = self._ends
        ticket = await self._turns.take(urgency, after)
        reading: Reading | None = None
        request_id = ends.new_id()
        try:
            await self._turns.spaced()
            left_at = ends.clock()
            if run_ids is None:
                reading = await ends.transport.read_result(result_id, request_id)
            else:
                reading = await ends.transport.read_runs(run_ids, request_id)
        finally:
            self._turns.give_back(ticket, reading)
        now = ends.clock()
        status, words = told(reading)
        read = events.ApiRead(
            read="result" if run_ids is None else "runs",
            batch=number,
            result_id=result_id,
            request_id=request_id,
            asked=None if run_ids is None else len(run_ids),
            found=len(reading.runs) if isinstance(reading, Found) else None,
            status=status,
            error=words if status is None or isinstance(reading, InDoubt) else None,
        )
        self._outcomes.job(read)
        if isinstance(reading, _PASSING):
            self._outcomes.note_trouble(reading)
        if self._alone or isinstance(reading, _AWAY):
            self._gate.note(reading, now)
        if change := ends.pace.note(reading, now - left_at):
            self._outcomes.job(change)
        if self._brake.pulled and not isinstance(reading, Found | Visible | ResultNotFound):
            raise LeaveOffError
        return reading
