"""What to do after an attempt: a table from the reply and the batch's standing to a decision. Pure.

================  =====================================================================
reply             decision
================  =====================================================================
204               done
400               read back, where that is allowed and was not done yet; else split, so
                  that the bad runs stand alone; one that does is refused
404               likewise, asking for the result first; where reading is not allowed the
                  result has ended, if nothing of it was ever accepted and nothing of the
                  batch is in doubt; else as 400
403               the result has ended, on the same terms; else the batch is refused
401               the job stops
429               again after its Retry-After, and everything waits; not applied
5xx               again after a pause, now in doubt; a 503's Retry-After as with 429;
                  502, 503 and 504 in an outage without counting
never connected   again after a pause; not applied; in an outage without counting
lost, late, odd   again after a pause, now in doubt
any other         refused
================  =====================================================================

What is in doubt is read back before it is sent again (`settle = "read-back"`), sent again as it
is ("resend"), or left alone as unknown ("hold").

The pause is drawn from 0 … min(cap, base · 2^(n-1)) after attempt n ("full jitter", M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A throttled attempt does not count
against the number of attempts but has a bound of its own; and while the API, or a gateway in its
place, answers nobody at all, a batch goes on trying. All are bounded by the total time.
"""

from dataclasses import dataclass, replace
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

MOST_ASKED_S = 900.0
"""Longest pause that a Retry-After gets; then one call asks again."""

_GATEWAY_STATUSES = frozenset({502, 503, 504})
"""A gateway's words for an API that is not there, as while it is being restarted."""

UNTOLD_THROTTLE_S = 1.0
"""Least pause after a 429 that does not say how long to wait."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a batch when a reply comes.

    `attempt` counts from 1, `throttled` those answered with 429, `outages` those that fell into an
    outage, all with this one; `elapsed_s` runs from when the first left. `accepted`: its result
    has seen a 204. `outage`: nobody is answered at all. `readable`: runs may be read back.
    `looked`: a refusal of them was, and nothing can have changed since.
    """

    attempt: int
    throttled: int
    elapsed_s: float
    doubted: bool
    accepted: bool
    outages: int = 0
    outage: bool = False
    readable: bool = False
    looked: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Again:
    """Send again after `wait_s`; `all_wait` holds every worker, not this one alone.

    `look`: read back first. `asked_s`: the wait that the reply asked for, where it was cut.
    """

    wait_s: float
    in_doubt: bool
    all_wait: bool = False
    look: bool = False
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Read back what the API refuses; `result_first`: it may be the result that is not there."""

    reason: str
    result_first: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Settle the batch as failed (its doubted runs as unknown). `worn_out`: attempts used up.

    `look`: read back first what is in doubt.
    """

    reason: str
    in_doubt: bool = False
    worn_out: bool = False
    look: bool = False


@dataclass(frozen=True, slots=True)
class EndResult:
    """Refuse this batch and all that is left of its result, unsent."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """The API does not accept the key."""

    detail: str


Decision = Done | Again | Look | Split | Refuse | EndResult | StopJob


def is_absence(fact: object) -> bool:
    """Tell whether nobody was there to answer: no connection, or a gateway that says so."""
    return isinstance(fact, NotSent) or (
        isinstance(fact, ServerError) and fact.status in _GATEWAY_STATUSES
    )


def decide(  # noqa: C901, PLR0911, PLR0912 - one branch per row of the table
    fact: Fact, standing: Standing, policy: Retry, dice: float
) -> Decision:
    """Choose what to do; `dice` is a random number, 0 ≤ dice < 1."""
    untouched = not standing.accepted and not standing.doubted
    match fact:
        case Deleted():
            return Done()
        case BadRequest():
            return _refused(standing, "bad request")
        case ResultNotFound():
            if standing.readable and not standing.looked:
                return Look("result not found", result_first=True)
            if untouched and not standing.readable:
                return EndResult("result not found")
            return _refused(standing, "not found")
        case Forbidden():
            return EndResult("forbidden") if untouched else Refuse("forbidden")
        case KeyRejected():
            return StopJob(fact.detail)
        case Throttled():
            return _throttled(fact, standing, policy, dice)
        case ServerError() if fact.delay_s:
            wait = min(fact.delay_s, MOST_ASKED_S)
            again = _again(wait, standing, policy, "server error", fact)
            if isinstance(again, Again):
                return replace(again, all_wait=True, asked_s=_cut(fact.delay_s))
            return again
        case ServerError():
            wait = _pause(standing, policy, dice)
            return _again(wait, standing, policy, "server error", fact)
        case NotSent():
            wait = _pause(standing, policy, dice)
            return _again(wait, standing, policy, "could not connect", fact)
        case InDoubt():
            wait = _pause(standing, policy, dice)
            return _again(wait, standing, policy, "reply lost", fact)
        case Rejected():
            return Refuse("refused")
        case _:
            assert_never(fact)


def pause_of(
    fact: Throttled | ServerError | NotSent | InDoubt, attempt: int, policy: Retry, dice: float
) -> float:
    """Return how long to wait before a call that changes nothing is made again, in seconds."""
    pause = _pause_after(attempt, policy, dice)
    if isinstance(fact, Throttled | ServerError) and fact.delay_s:
        return min(fact.delay_s, MOST_ASKED_S)
    return max(UNTOLD_THROTTLE_S, pause) if isinstance(fact, Throttled) else pause


def _refused(standing: Standing, reason: str) -> Decision:
    if standing.readable and not standing.looked:
        return Look(reason)
    return Split(reason)


def _throttled(fact: Throttled, standing: Standing, policy: Retry, dice: float) -> Decision:
    wait = pause_of(fact, standing.attempt, policy, dice)
    if standing.throttled > MOST_THROTTLED or standing.elapsed_s + wait > policy.max_time:
        return Refuse("throttled", worn_out=True, look=standing.doubted and standing.readable)
    return Again(wait, in_doubt=False, all_wait=True, asked_s=_cut(fact.delay_s))


def _again(
    wait_s: float,
    standing: Standing,
    policy: Retry,
    reason: str,
    fact: ServerError | NotSent | InDoubt,
) -> Decision:
    in_doubt = not isinstance(fact, NotSent)
    look = standing.readable and (in_doubt or standing.doubted)
    if in_doubt and policy.settle == "hold":
        return Refuse(reason, in_doubt=True)
    used = standing.attempt - standing.throttled - standing.outages
    worn_out = used >= policy.attempts and not standing.outage
    if worn_out or standing.elapsed_s + wait_s > policy.max_time:
        return Refuse(reason, in_doubt=in_doubt, worn_out=True, look=look)
    return Again(wait_s, in_doubt=in_doubt, look=look and in_doubt)


def _cut(asked_s: float | None) -> float | None:
    """Return what was asked for, where that is more than it gets."""
    return asked_s if asked_s and asked_s > MOST_ASKED_S else None


def _pause(standing: Standing, policy: Retry, dice: float) -> float:
    return _pause_after(standing.attempt, policy, dice)


def _pause_after(attempt: int, policy: Retry, dice: float) -> float:
    doublings: int = min(attempt - 1, 32)
    return dice * min(float(policy.cap), policy.base * 2.0**doublings)


class Budget:
    """Tokens for retries, job-wide, so that an outage is not multiplied.

    The figures are those of the AWS SDKs' standard retry mode: 500 tokens, 5 for a retry, 10 after
    a reply that was lost; a retry that succeeds gives back what it took, any other success 1.
    """

    CAPACITY = 500

    def __init__(self) -> None:
        self.tokens = self.CAPACITY

    def take(self, after: Fact) -> int:
        """Take what a retry costs; 0 where there is not enough."""
        cost = 10 if isinstance(after, InDoubt) else 5
        if self.tokens < cost:
            return 0
        self.tokens -= cost
        return cost

    def give_back(self, taken: int) -> None:
        """Note a success, of a call for which so much was taken."""
        self.tokens = min(self.CAPACITY, self.tokens + max(1, taken))
