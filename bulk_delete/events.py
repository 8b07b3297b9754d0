"""The journal's vocabulary: one frozen type per event, its fields as they stand on the line.

Fields that are None are left off the line. Only `batch.sent` carries the run ids of a batch; the
other `batch.*` events speak of all of them unless `run_ids` names some.
"""

from typing import Literal

import msgspec

from bulk_delete.model import InputFile


class Event(msgspec.Struct, frozen=True, tag_field="event", omit_defaults=True):
    pass


class JobStarted(Event, frozen=True, tag="job.started"):
    job: str
    execution: str
    version: str
    host: str
    pid: int
    base_url: str
    key_id: str
    inputs: tuple[InputFile, ...]
    fingerprint: str
    counts: dict[str, int]
    limits: dict[str, bool | int | float | str]
    approved_by: str


class PlanReplaced(Event, frozen=True, tag="plan.replaced"):
    """`counts`: the left-over pairs by state."""

    counts: dict[str, int]


class JobFinished(Event, frozen=True, tag="job.finished"):
    outcome: str
    exit_code: int
    reason: str
    counts: dict[str, int]
    seconds: float


class JournalRepaired(Event, frozen=True, tag="journal.repaired"):
    """A journal was cut at `line`, by `audit --repair` or, behind its mark, by the next start.

    `lines` and `bytes` were moved to `journal.broken`; `lost` lines are nowhere.
    """

    line: int
    lines: int
    bytes: int
    lost: int
    reason: str


class VerifyStarted(Event, frozen=True, tag="verify.started"):
    """`runs` are to be read back, of `of` that are deleted or gone; `sample`: chosen by chance.

    `after`: the result and run up to which an earlier `verify` has come.
    """

    execution: str
    version: str
    host: str
    pid: int
    base_url: str
    key_id: str
    runs: int
    of: int
    sample: bool
    after: tuple[int, int] | None = None


class VerifyProgress(Event, frozen=True, tag="verify.progress"):
    """`upto`: the result and run up to which all were read back."""

    upto: tuple[int, int]


class VerifyFinished(Event, frozen=True, tag="verify.finished"):
    """`counts`: runs by what became of them."""

    outcome: str
    exit_code: int
    reason: str
    counts: dict[str, int]
    seconds: float


class RateChanged(Event, frozen=True, tag="rate.changed"):
    """`rate`, `before` and `ceiling` (what was configured) are calls per second.

    Where an operator asked: the new `limit` as it was written, `by` whom, and why (`detail`).
    """

    reason: Literal["throttled", "latency", "recovered", "asked"]
    rate: float
    before: float
    ceiling: float
    limit: str | None = None
    by: str | None = None
    detail: str | None = None


class JobPaused(Event, frozen=True, tag="job.paused"):
    """`outage`: `seconds` of nothing but failures. `asked`: `by` whom, and why (`detail`).

    `schedule`: outside the windows; `detail` says which, and until when.
    """

    reason: str
    detail: str
    seconds: float
    by: str | None = None


class JobContinued(Event, frozen=True, tag="job.continued"):
    """`seconds`: how long the pause lasted. `by` whom and why, where an operator asked for it."""

    reason: str
    seconds: float
    by: str | None = None
    detail: str | None = None


class JobStopping(Event, frozen=True, tag="job.stopping"):
    """From here on nothing more is sent: `by` whom it was asked for, and why (`detail`).

    `schedule`: `by` one of its limits.
    """

    reason: str
    by: str
    detail: str | None = None


class CanaryStarted(Event, frozen=True, tag="canary.started"):
    """These go first, and are read back before anything else is sent."""

    batches: int
    results: int
    runs: int


class CanaryFinished(Event, frozen=True, tag="canary.finished"):
    """`counts`: runs by what became of them; with a `surprise` nothing more is sent."""

    outcome: Literal["passed", "surprise"]
    counts: dict[str, int]


class ApiRead(Event, frozen=True, tag="api.read"):
    """A call that changes nothing: of `asked` runs, `found` came back; or whether a result is seen.

    `batch` is the one to be settled; `verify` asks for none.
    """

    read: Literal["runs", "result"]
    batch: int | None
    result_id: int
    request_id: str
    asked: int | None = None
    found: int | None = None
    status: int | None = None
    error: str | None = None


class BatchSent(Event, frozen=True, tag="batch.sent"):
    batch: int
    attempt: int
    result_id: int
    request_id: str
    run_ids: tuple[int, ...] | None = None
    parent: int | None = None

    def with_encoded(self, run_ids: bytes) -> "EncodedBatchSent":
        """Return the same event with run ids that are JSON already."""
        return EncodedBatchSent(
            self.batch,
            self.attempt,
            self.result_id,
            self.request_id,
            msgspec.Raw(run_ids),
            msgspec.UNSET if self.parent is None else self.parent,
        )


class EncodedBatchSent(msgspec.Struct, frozen=True, tag_field="event", tag="batch.sent"):
    """A `batch.sent` on its way to the journal; no reader makes it."""

    batch: int
    attempt: int
    result_id: int
    request_id: str
    run_ids: msgspec.Raw
    parent: int | msgspec.UnsetType = msgspec.UNSET


class BatchDeleted(Event, frozen=True, tag="batch.deleted"):
    batch: int
    attempt: int
    status: int
    ms: int


class BatchRetry(Event, frozen=True, tag="batch.retry"):
    """An attempt that settled nothing; the batch stays open.

    `asked_s`: the wait that the reply asked for, where it was cut to `wait_s`.
    """

    batch: int
    attempt: int
    in_doubt: bool
    wait_s: float
    status: int | None = None
    error: str | None = None
    asked_s: float | None = None


class BatchSplit(Event, frozen=True, tag="batch.split"):
    batch: int
    into: tuple[int, ...]


class BatchFailed(Event, frozen=True, tag="batch.failed"):
    """`result_id` stands where the batch was never sent, as its result had ended."""

    batch: int
    status: int | None
    reason: str
    detail: str
    run_ids: tuple[int, ...] | None = None
    result_id: int | None = None


class BatchGone(Event, frozen=True, tag="batch.gone"):
    batch: int
    status: int | None
    reason: str
    detail: str
    run_ids: tuple[int, ...] | None = None
    result_id: int | None = None


class BatchUnknown(Event, frozen=True, tag="batch.unknown"):
    batch: int
    status: int | None
    reason: str
    detail: str
    run_ids: tuple[int, ...] | None = None
    result_id: int | None = None


class BatchWithheld(Event, frozen=True, tag="batch.withheld"):
    result_id: int
    run_ids: tuple[int, ...]


class BatchReopened(Event, frozen=True, tag="batch.reopened"):
    result_id: int
    run_ids: tuple[int, ...]


Settling = BatchFailed | BatchGone | BatchUnknown
OfBatch = BatchSent | BatchDeleted | BatchRetry | BatchSplit | Settling
OfPairs = BatchWithheld | BatchReopened
Steering = (
    RateChanged | JobPaused | JobContinued | JobStopping | ApiRead | CanaryStarted | CanaryFinished
)
Verifying = VerifyStarted | VerifyProgress | VerifyFinished
OfJob = JobStarted | PlanReplaced | JobFinished | JournalRepaired | Verifying | Steering
AnyEvent = OfBatch | OfPairs | OfJob
