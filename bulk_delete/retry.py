"""What to do after an attempt: a table from the reply and the batch's standing to a decision. Pure.

================  =====================================================================
reply             decision
================  =====================================================================
204               done
400               split, so that the bad runs stand alone; a single run is refused
404               the result has ended, if nothing of it was ever accepted and nothing of
                  the batch is in doubt; else as 400
403               the result has ended, on the same terms; else the batch is refused
401               the job stops
429               again after its Retry-After, and everything waits; not applied
5xx               again after a pause, now in doubt; a 503's Retry-After as with 429;
                  502, 503 and 504 in an outage without counting
never connected   again after a pause; not applied; in an outage without counting
lost, late, odd   again after a pause, now in doubt
any other         refused
================  =====================================================================

The pause is drawn from 0 … min(cap, base · 2^(n-1)) after attempt n ("full jitter", M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A throttled attempt does not count
against the number of attempts but has a bound of its own; and while the API, or a gateway in its
place, answers nobody at all, a batch goes on trying. All are bounded by the total time.
"""

import enum
from dataclasses import dataclass
from typing import assert_never

from bulk_delete.config import Retry
from bulk_delete.model import (
    BadRequest,
    Deleted,
    Fact,
    Forbidden,
    InDoubt,
    KeyRejected,
    NotSent,
    Rejected,
    ResultNotFound,
    ServerError,
    Throttled,
)

MOST_THROTTLED = 50
"""Throttled attempts of one batch before it is refused."""

_GATEWAY_STATUSES = frozenset({502, 503, 504})
"""A gateway's words for an API that is not there, as while it is being restarted."""

UNTOLD_THROTTLE_S = 1.0
"""Least pause after a 429 that does not say how long to wait."""


class Connection(enum.Enum):
    """How it stands with the API as a whole, for a call that found nobody there."""

    NORMAL = enum.auto()
    """Others are answered, or nobody ever was."""

    OUTAGE = enum.auto()
    """It was there, answers nobody now, and may come back."""

    GONE = enum.auto()
    """It stayed away for as long as the job waits."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a batch when a reply comes.

    `attempt` counts from 1, `throttled` those answered with 429, `outages` those that found
    nobody there in an outage, all with this one; `elapsed_s` runs from when the first left.
    `accepted`: its result has seen a 204.
    """

    attempt: int
    throttled: int
    elapsed_s: float
    runs: int
    doubted: bool
    accepted: bool
    outages: int = 0
    connection: Connection = Connection.NORMAL


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Again:
    """Send again after `wait_s`; `all_wait` holds every worker, not this one alone."""

    wait_s: float
    in_doubt: bool
    all_wait: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    pass


@dataclass(frozen=True, slots=True)
class Refuse:
    """Settle the batch as failed (its doubted runs as unknown). `worn_out`: attempts used up."""

    reason: str
    in_doubt: bool = False
    worn_out: bool = False


@dataclass(frozen=True, slots=True)
class EndResult:
    """Refuse this batch and all that is left of its result, unsent."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """The API does not accept the key."""

    detail: str


Decision = Done | Again | Split | Refuse | EndResult | StopJob


def is_absence(fact: Fact) -> bool:
    """Tell whether nobody was there to answer: no connection, or a gateway that says so."""
    return isinstance(fact, NotSent) or (
        isinstance(fact, ServerError) and fact.status in _GATEWAY_STATUSES
    )


def decide(  # noqa: C901, PLR0911, PLR0912 - one branch per row of the table
    fact: Fact, standing: Standing, policy: Retry, dice: float
) -> Decision:
    """Choose what to do; `dice` is a random number, 0 ≤ dice < 1."""
    match fact:
        case Deleted():
            return Done()
        case BadRequest():
            return Split() if standing.runs > 1 else Refuse("bad request")
        case ResultNotFound():
            if not standing.accepted and not standing.doubted:
                return EndResult("result not found")
            return Split() if standing.runs > 1 else Refuse("not found")
        case Forbidden():
            if not standing.accepted and not standing.doubted:
                return EndResult("forbidden")
            return Refuse("forbidden")
        case KeyRejected():
            return StopJob(fact.detail)
        case Throttled():
            return _throttled(fact, standing, policy, dice)
        case ServerError():
            wait = fact.delay_s or _pause(standing, policy, dice)
            return _again(
                wait,
                standing,
                policy,
                "server error",
                in_doubt=True,
                all_wait=bool(fact.delay_s),
                absent=is_absence(fact),
            )
        case NotSent():
            wait = _pause(standing, policy, dice)
            return _again(wait, standing, policy, "could not connect", in_doubt=False, absent=True)
        case InDoubt():
            wait = _pause(standing, policy, dice)
            return _again(wait, standing, policy, "reply lost", in_doubt=True)
        case Rejected():
            return Refuse("refused")
        case _:
            assert_never(fact)


def _throttled(fact: Throttled, standing: Standing, policy: Retry, dice: float) -> Decision:
    wait = fact.delay_s or max(UNTOLD_THROTTLE_S, _pause(standing, policy, dice))
    if standing.throttled > MOST_THROTTLED or standing.elapsed_s + wait > policy.max_time:
        return Refuse("throttled", worn_out=True)
    return Again(wait, in_doubt=False, all_wait=True)


def _again(
    wait_s: float,
    standing: Standing,
    policy: Retry,
    reason: str,
    *,
    in_doubt: bool,
    all_wait: bool = False,
    absent: bool = False,
) -> Decision:
    used = standing.attempt - standing.throttled - standing.outages
    worn_out = used >= policy.attempts
    if absent and standing.connection is not Connection.NORMAL:
        worn_out = standing.connection is Connection.GONE
    if worn_out or standing.elapsed_s + wait_s > policy.max_time:
        return Refuse(reason, in_doubt=in_doubt, worn_out=True)
    return Again(wait_s, in_doubt=in_doubt, all_wait=all_wait)


def _pause(standing: Standing, policy: Retry, dice: float) -> float:
    doublings: int = min(standing.attempt - 1, 32)
    return dice * min(float(policy.cap), policy.base * 2.0**doublings)
