"""Reading back what is believed to be deleted: calls without effect, under the same pace as all."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import anyio

from bulk_delete.config import Limits, Retry
from bulk_delete.dispatch.ends import Ends
from bulk_delete.dispatch.gate import Gate
from bulk_delete.dispatch.outcomes import Outcomes
from bulk_delete.dispatch.reading import Reader
from bulk_delete.dispatch.stopping import Brake, LeaveOffError
from bulk_delete.dispatch.turns import Turns
from bulk_delete.errors import Ending, GaveUp, JournalFailed
from bulk_delete.model import Pair
from bulk_delete.plan import Group
from bulk_delete.readback import Sight


class _Check(NamedTuple):
    """Some runs of a result, and the place of this check among all."""

    number: int
    result_id: int
    run_ids: tuple[int, ...]


class Verifier:
    """Reads a plan back. `run` once; `stop` and `cut` may be called at any time.

    `found` is called with the runs that are still there. `checked`, `still_there` and `unseen`
    count runs; the latter neither came back nor are proven absent. All up to `upto` are checked,
    and were to be seen: what was not is asked for again by who goes on from there.
    """

    def __init__(
        self,
        ends: Ends,
        limits: Limits,
        retry: Retry,
        endings: list[Ending],
        found: Callable[[int, tuple[int, ...]], None],
    ) -> None:
        self._workers = limits.concurrency
        self._brake = Brake(endings)
        self._outcomes = Outcomes(ends.recorder)
        gate = Gate(limits, self._brake, self._outcomes, ends.clock, ends.dice)
        turns = Turns(ends.pace, gate, self._brake)
        asking = replace(retry, settle="read-back")
        self._reader = Reader(ends, asking, self._outcomes, gate, turns, self._brake, alone=True)
        self._found = found
        self._done: dict[int, Pair] = {}
        self._next = 0
        self.checked = self.still_there = self.unseen = 0
        self.upto: Pair | None = None

    async def run(self, groups: Iterable[Group]) -> None:
        """Work until all is read, or until stopped."""
        checks = _checks(groups)
        with self._brake.scope:
            async with anyio.create_task_group() as workers:
                for _ in range(self._workers):
                    workers.start_soon(self._worker, checks)

    def stop(self, ending: Ending) -> None:
        """Read nothing more; what is in flight finishes."""
        self._brake.pull(ending)

    def cut(self) -> None:
        """Leave off at once."""
        self._brake.cut()

    async def _worker(self, checks: Iterator[_Check]) -> None:
        try:
            with contextlib.suppress(LeaveOffError):
                for check in checks:
                    if self._brake.pulled:
                        return
                    await self._check(check)
        except JournalFailed as failure:
            self._brake.pull(failure)
            self._brake.cut()

    async def _check(self, check: _Check) -> None:
        conclusion = await self._reader.look(None, check.result_id, check.run_ids, 0)
        if not self._reader.allowed:
            if not self._brake.pulled:
                self._brake.pull(GaveUp(self._outcomes.trouble))
            raise LeaveOffError
        self.checked += len(check.run_ids)
        unseen = conclusion.unproven if isinstance(conclusion, Sight) else check.run_ids
        if isinstance(conclusion, Sight) and conclusion.present:
            self.still_there += len(conclusion.present)
            self._outcomes.reopened(check.result_id, conclusion.present)
            self._found(check.result_id, conclusion.present)
        self.unseen += len(unseen)
        if not unseen:
            self._advance(check)

    def _advance(self, check: _Check) -> None:
        """Note how far all is checked, whatever is done beyond that."""
        self._done[check.number] = Pair(check.result_id, check.run_ids[-1])
        while self._next in self._done:
            self.upto = self._done.pop(self._next)
            self._next += 1


def _checks(groups: Iterable[Group]) -> Iterator[_Check]:
    number = 0
    for group in groups:
        for run_ids in group.batches():
            yield _Check(number, group.result_id, run_ids)
            number += 1
