"""What the engine writes down: each decision as the journal's events, with its runs."""

from bulk_delete import events
from bulk_delete.dispatch.ends import Recorder
from bulk_delete.model import Batch, Deleted, Fact, InDoubt, NotSent


class Outcomes:
    """Writes events to a recorder. `trouble` is the last refusal or failure, in the API's words."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.trouble = ""

    async def durable(self) -> None:
        await self._recorder.durable()

    def sent(self, batch: Batch, attempt: int, request_id: str) -> None:
        """Write the intent; only the first one of a batch names its runs."""
        first = attempt == 1
        sent = events.BatchSent(
            batch=batch.number,
            attempt=attempt,
            result_id=batch.result_id,
            request_id=request_id,
            run_ids=batch.run_ids if first else None,
            parent=batch.parent if first else None,
        )
        self._recorder.record(batch, sent)

    def deleted(self, batch: Batch, attempt: int, fact: Deleted) -> None:
        deleted = events.BatchDeleted(batch.number, attempt, fact.status, fact.ms)
        self._recorder.record(batch, deleted)

    def open_still(
        self, batch: Batch, attempt: int, fact: Fact, *, in_doubt: bool = False, wait_s: float = 0.0
    ) -> None:
        """Write that an attempt has settled nothing: the batch goes on, now or at a resume."""
        status, words = _told(fact)
        self.trouble = words
        retry = events.BatchRetry(
            batch=batch.number,
            attempt=attempt,
            in_doubt=in_doubt,
            wait_s=round(wait_s, 3),
            status=status,
            error=words if status is None else None,
        )
        self._recorder.record(batch, retry)

    def split(self, batch: Batch, into: tuple[int, ...]) -> None:
        self._recorder.record(batch, events.BatchSplit(batch.number, into))

    def held_back(self, batch: Batch, run_ids: frozenset[int]) -> None:
        """Settle runs that are protected: what may have been deleted is unknown."""
        clear = tuple(run for run in batch.run_ids if run in run_ids and run not in batch.doubted)
        doubted = tuple(run for run in batch.run_ids if run in run_ids and run in batch.doubted)
        if clear:
            self._recorder.record_pairs(events.BatchWithheld(batch.result_id, clear))
        if doubted:
            unknown = events.BatchUnknown(
                batch=batch.number,
                status=None,
                reason="protected",
                detail="may have been deleted before it was protected",
                run_ids=doubted,
                result_id=batch.result_id,
            )
            self._recorder.record(batch, unknown)

    def refused(self, batch: Batch, fact: Fact, reason: str, *, unsent: bool = False) -> None:
        """Settle a batch: what may have been deleted is unknown, the rest has failed."""
        status, detail = _told(fact)
        self.trouble = detail or reason
        doubted = tuple(run for run in batch.run_ids if run in batch.doubted)
        clear = tuple(run for run in batch.run_ids if run not in batch.doubted)
        for event, named in ((events.BatchFailed, clear), (events.BatchUnknown, doubted)):
            if named:
                whole = len(named) == len(batch.run_ids) and not unsent
                settled = event(
                    batch=batch.number,
                    status=status,
                    reason=reason,
                    detail=detail,
                    run_ids=None if whole else named,
                    result_id=batch.result_id if unsent else None,
                )
                self._recorder.record(batch, settled)


def _told(fact: Fact) -> tuple[int | None, str]:
    """Return a fact's status and words."""
    match fact:
        case Deleted():
            return fact.status, ""
        case NotSent():
            return None, fact.error
        case InDoubt():
            return fact.status, fact.error
        case _:
            return fact.status, fact.detail
