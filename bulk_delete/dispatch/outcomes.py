"""What the engine writes down: each decision as the journal's events, with its runs."""

from bulk_delete import events
from bulk_delete.dispatch.ends import Recorder
from bulk_delete.model import Batch, Deleted, Fact, Found, InDoubt, NotSent, Reading, Visible
from bulk_delete.readback import Sight


class Outcomes:
    """Writes events to a recorder. `trouble` is the last refusal or failure, in the API's words."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.trouble = ""

    async def durable(self) -> None:
        await self._recorder.durable()

    def job(self, event: events.OfJob) -> None:
        """Write what is not about single runs."""
        self._recorder.record_job(event)

    def sent(self, batch: Batch, attempt: int, request_id: str, ids: bytes) -> None:
        """Write the intent; only the first one of a batch names its runs."""
        number, result_id = batch.number, batch.result_id
        if attempt == 1:
            sent = events.BatchSent(
                number, attempt, result_id, request_id, batch.run_ids, batch.parent
            )
            self._recorder.record_sent(batch, sent, ids)
        else:
            self._recorder.record(batch, events.BatchSent(number, attempt, result_id, request_id))

    def deleted(self, batch: Batch, attempt: int, fact: Deleted) -> None:
        deleted = events.BatchDeleted(batch.number, attempt, fact.status, fact.ms)
        self._recorder.record(batch, deleted)

    def kept_back(self, batch: Batch, attempt: int) -> None:
        """Write that an attempt did not leave, as the job is stopping: that is no trouble."""
        kept = events.BatchRetry(
            batch=batch.number,
            attempt=attempt,
            in_doubt=False,
            wait_s=0.0,
            error="the job is stopping",
        )
        self._recorder.record(batch, kept)

    def open_still(
        self,
        batch: Batch,
        attempt: int,
        fact: Fact,
        *,
        in_doubt: bool = False,
        wait_s: float = 0.0,
        asked_s: float | None = None,
    ) -> None:
        """Write that an attempt has settled nothing: the batch goes on, now or at a resume."""
        status, words = told(fact)
        self.note_trouble(fact)
        retry = events.BatchRetry(
            batch=batch.number,
            attempt=attempt,
            in_doubt=in_doubt,
            wait_s=round(wait_s, 3),
            status=status,
            error=words if status is None else None,
            asked_s=asked_s,
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

    def refused(
        self, batch: Batch, fact: Fact, reason: str, *, unsent: bool = False, part: bool = False
    ) -> None:
        """Settle a batch: what may have been deleted is unknown, the rest has failed.

        `unsent`: no call left with it. `part`: it is what is left of the batch of its number.
        """
        status, detail = told(fact)
        self.note_trouble(fact)
        doubted = tuple(run for run in batch.run_ids if run in batch.doubted)
        clear = tuple(run for run in batch.run_ids if run not in batch.doubted)
        for event, named in ((events.BatchFailed, clear), (events.BatchUnknown, doubted)):
            if named:
                whole = len(named) == len(batch.run_ids) and not unsent and not part
                settled = event(
                    batch=batch.number,
                    status=status,
                    reason=reason,
                    detail=detail,
                    run_ids=None if whole else named,
                    result_id=batch.result_id if unsent else None,
                )
                self._recorder.record(batch, settled)

    def read_back(self, batch: Batch, sight: Sight, fact: Fact | None) -> None:
        """Settle what a read-back proves; `fact`: why it was made, None: no call has left yet."""
        status = told(fact)[0] if fact else None
        result_id = None if fact else batch.result_id
        if sight.absent:
            whole = len(sight.absent) == len(batch.run_ids) and fact is not None
            gone = events.BatchGone(
                batch=batch.number,
                status=status,
                reason="absent",
                detail="read back: not there, in a result that is seen",
                run_ids=None if whole else sight.absent,
                result_id=result_id,
            )
            self._recorder.record(batch, gone)
        for other in sorted(set(sight.elsewhere.values())):
            runs = tuple(run for run, home in sight.elsewhere.items() if home == other)
            whole = len(runs) == len(batch.run_ids) and fact is not None
            failed = events.BatchFailed(
                batch=batch.number,
                status=status,
                reason="wrong result",
                detail=f"read back: belongs to result {other}",
                run_ids=None if whole else runs,
                result_id=result_id,
            )
            self.trouble = failed.detail
            self._recorder.record(batch, failed)
        if still_there := tuple(run for run in sight.present if run in batch.doubted):
            self.reopened(batch.result_id, still_there)

    def reopened(self, result_id: int, run_ids: tuple[int, ...]) -> None:
        """Write that runs are still there."""
        self._recorder.record_pairs(events.BatchReopened(result_id, run_ids))

    def held_in_doubt(self, batch: Batch) -> None:
        """Leave alone what an earlier execution left in doubt."""
        unknown = events.BatchUnknown(
            batch=batch.number,
            status=None,
            reason="held",
            detail="in doubt since an earlier execution, and what is in doubt is to be held",
            run_ids=tuple(run for run in batch.run_ids if run in batch.doubted),
            result_id=batch.result_id,
        )
        self._recorder.record(batch, unknown)

    def note_trouble(self, fact: Reading) -> None:
        """Keep the status and the words of a refusal or failure."""
        self.trouble = _trouble(fact)

    def no_reading(self, fact: Reading) -> None:
        """Note that this key may not read runs back."""
        self.trouble = f"runs cannot be read back: {_trouble(fact)}"


def _trouble(fact: Reading) -> str:
    status, words = told(fact)
    if status is None or isinstance(fact, InDoubt):  # whose words name it
        return words
    return f"status {status}: {words}" if words else f"status {status}"


def told(fact: Reading) -> tuple[int | None, str]:
    """Return a fact's status and words."""
    match fact:
        case Deleted() | Found() | Visible():
            return fact.status, ""
        case NotSent():
            return None, fact.error
        case InDoubt():
            return fact.status, fact.error
        case _:
            return fact.status, fact.detail
