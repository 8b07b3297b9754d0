"""The values that all rooms speak of: pairs, batches, replies, states. They do nothing."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

MAX_ID = 2**63 - 1
MAX_BATCH = 100
"""Most run ids in one call (the endpoint's own limit)."""

JOB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
NAMES = "letters, digits, '.', '_' and '-'"
"""What a job's name is made of, as it is and in words."""


class Pair(NamedTuple):
    """One run in one result; both ids are 1 … 2^63-1."""

    result_id: int
    run_id: int


class Reject(NamedTuple):
    """An input row that cannot be used. `pairs` is the number of pairs it asked for."""

    file: str
    line: int
    reason: str
    text: str
    pairs: int = 1


@dataclass(frozen=True, slots=True)
class InputFile:
    """What was read: the path as given, SHA-256 (hex) and size of its raw bytes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The runs of one call.

    `number` is unique in the journal. `doubted` are the runs that an earlier attempt may have
    deleted already; `parent` is the batch that was split into this one.
    """

    number: int
    result_id: int
    run_ids: tuple[int, ...]
    doubted: frozenset[int] = frozenset()
    parent: int | None = None


class Before(NamedTuple):
    """Of the runs of a batch, those that earlier executions left in doubt, and the failed ones."""

    doubted: frozenset[int]
    failed: frozenset[int]


class State(enum.Enum):
    """What is known of a pair. Every pair is in exactly one of these."""

    UNSENT = "unsent"
    IN_DOUBT = "in_doubt"
    DELETED = "deleted"
    GONE = "gone"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a pair failed or is unknown; `status` is None where no reply came."""

    state: State
    reason: str
    status: int | None
    detail: str


class Counts(NamedTuple):
    """One execution's books, in pairs. `results` and `batches` speak of the planned ones."""

    rows: int
    rejected: int
    duplicates: int
    protected: int
    already_done: int
    skipped: int
    planned: int
    results: int
    batches: int


@dataclass(frozen=True, slots=True)
class Books:
    """The intake of one execution and where each planned pair ended."""

    intake: Counts
    states: Mapping[State, int]

    @property
    def balanced(self) -> bool:
        left = self.intake
        parts = (left.rejected, left.duplicates, left.protected, left.already_done, left.skipped)
        return left.rows == sum(parts) + left.planned and left.planned == sum(self.states.values())

    def as_dict(self) -> dict[str, int]:
        return {
            **self.intake._asdict(),
            **{state.value: self.states.get(state, 0) for state in State},
        }


# What one attempt came to. The client makes these; `retry.decide` reads them.


@dataclass(frozen=True, slots=True)
class Deleted:
    """204."""

    status: int
    ms: int


@dataclass(frozen=True, slots=True)
class BadRequest:
    """400: this batch, or some run in it, is not acceptable."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ResultNotFound:
    """404: there is no such result for this key, or the call's runs are not in it."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """403."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class KeyRejected:
    """401."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: not applied. `delay_s` is the reply's Retry-After in seconds."""

    status: int
    delay_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class ServerError:
    """5xx: may have been applied. `delay_s` is the Retry-After of a 503."""

    status: int
    delay_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection was made: not applied."""

    error: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The reply was lost, late, or no reply of this contract: may have been applied."""

    error: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Any other status (3xx save 303, other 4xx): refused for good."""

    status: int
    detail: str


# What one read came to, where it came to something; else one of the facts above.


@dataclass(frozen=True, slots=True)
class Found:
    """200: the runs that came back of those that were asked for, each with its result's id."""

    status: int
    ms: int
    runs: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Visible:
    """200: this key can see the result."""

    status: int
    ms: int


Fact = (
    Deleted
    | BadRequest
    | ResultNotFound
    | Forbidden
    | KeyRejected
    | Throttled
    | ServerError
    | NotSent
    | InDoubt
    | Rejected
)

Reading = Found | Visible | Fact
