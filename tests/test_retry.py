"""The decision after each reply: the whole table, its limits and its pauses."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import Retry, Seconds
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
from bulk_delete.retry import (
    MOST_ASKED_S,
    MOST_THROTTLED,
    UNTOLD_THROTTLE_S,
    Again,
    Budget,
    Decision,
    Done,
    EndResult,
    Look,
    Refuse,
    Split,
    Standing,
    StopJob,
    decide,
    is_absence,
)

POLICY = Retry(attempts=5, base=Seconds(1), cap=Seconds(60), max_time=Seconds(3600))
FIRST = Standing(attempt=1, throttled=0, elapsed_s=0.1, doubted=False, accepted=False)
ACCEPTED = replace(FIRST, accepted=True)
DOUBTED = replace(FIRST, attempt=2, doubted=True)
THROTTLED_ONCE = replace(FIRST, throttled=1)

HALF = 0.5
"""The dice: half of the longest pause."""

TABLE: dict[str, tuple[Fact, Standing, Decision]] = {
    "204": (Deleted(204, 5), FIRST, Done()),
    "204 at last": (Deleted(204, 5), DOUBTED, Done()),
    "400": (BadRequest(400, "no"), FIRST, Split("bad request")),
    "400, in doubt": (BadRequest(400, "no"), DOUBTED, Split("bad request")),
    "404": (ResultNotFound(404, "no"), FIRST, EndResult("result not found")),
    "404, accepted before": (ResultNotFound(404, "no"), ACCEPTED, Split("not found")),
    "404, in doubt": (ResultNotFound(404, "no"), DOUBTED, Split("not found")),
    "403": (Forbidden(403, "no"), FIRST, EndResult("forbidden")),
    "403, accepted before": (Forbidden(403, "no"), ACCEPTED, Refuse("forbidden")),
    "403, in doubt": (Forbidden(403, "no"), DOUBTED, Refuse("forbidden")),
    "401": (KeyRejected(401, "who?"), FIRST, StopJob("who?")),
    "401, in doubt": (KeyRejected(401, "who?"), DOUBTED, StopJob("who?")),
    "429 with a time": (
        Throttled(429, 7.0, ""),
        THROTTLED_ONCE,
        Again(7.0, in_doubt=False, all_wait=True),
    ),
    "429 with no time": (
        Throttled(429, None, ""),
        THROTTLED_ONCE,
        Again(UNTOLD_THROTTLE_S, in_doubt=False, all_wait=True),
    ),
    "429 with no time, again": (
        Throttled(429, None, ""),
        replace(FIRST, attempt=5, throttled=5),
        Again(8.0, in_doubt=False, all_wait=True),
    ),
    "429, in doubt before": (
        Throttled(429, 7.0, ""),
        replace(DOUBTED, throttled=1),
        Again(7.0, in_doubt=False, all_wait=True),
    ),
    "500": (ServerError(500, None, ""), FIRST, Again(0.5, in_doubt=True)),
    "502 once more": (ServerError(502, None, ""), DOUBTED, Again(1.0, in_doubt=True)),
    "503 with a time": (
        ServerError(503, 7.0, ""),
        FIRST,
        Again(7.0, in_doubt=True, all_wait=True),
    ),
    "never connected": (NotSent("refused"), FIRST, Again(0.5, in_doubt=False)),
    "reply lost": (InDoubt("reset"), FIRST, Again(0.5, in_doubt=True)),
    "an odd 200": (InDoubt("status 200", 200), FIRST, Again(0.5, in_doubt=True)),
    "a redirect": (Rejected(302, ""), FIRST, Refuse("refused")),
    "another 4xx": (Rejected(413, ""), DOUBTED, Refuse("refused")),
}


@pytest.mark.parametrize(("fact", "standing", "decision"), TABLE.values(), ids=TABLE.keys())
def test_the_table(fact: Fact, standing: Standing, decision: Decision) -> None:
    """Each reply, in each standing that matters, leads to the decision of the table."""
    assert decide(fact, standing, POLICY, HALF) == decision


def test_the_table_has_every_reply() -> None:
    """No kind of reply is without a row."""
    assert {type(fact) for fact, _, _ in TABLE.values()} == set(get_args(Fact))


RETRIED: list[tuple[Fact, str, bool]] = [
    (ServerError(500, None, ""), "server error", True),
    (ServerError(503, 1.0, ""), "server error", True),
    (NotSent("refused"), "could not connect", False),
    (InDoubt("reset"), "reply lost", True),
]
retried = pytest.mark.parametrize(
    ("fact", "reason", "in_doubt"), RETRIED, ids=["5xx", "503", "never connected", "lost"]
)


@retried
@pytest.mark.parametrize("throttled", [0, 3])
def test_attempts_are_bounded(fact: Fact, reason: str, throttled: int, *, in_doubt: bool) -> None:
    """The last allowed attempt ends the batch, worn out; throttled ones are not among them."""
    last = replace(FIRST, attempt=POLICY.attempts + throttled, throttled=throttled)
    worn_out = Refuse(reason, in_doubt=in_doubt, worn_out=True)
    assert decide(fact, last, POLICY, HALF) == worn_out
    one_less = replace(last, attempt=last.attempt - 1)
    again = decide(fact, one_less, POLICY, HALF)
    assert isinstance(again, Again)
    assert again.in_doubt == in_doubt


@retried
def test_a_single_attempt_is_one_attempt(fact: Fact, reason: str, *, in_doubt: bool) -> None:
    """With one attempt allowed, nothing is sent twice."""
    once = replace(POLICY, attempts=1)
    assert decide(fact, FIRST, once, 0.0) == Refuse(reason, in_doubt=in_doubt, worn_out=True)


@retried
def test_the_total_time_is_bounded(fact: Fact, reason: str, *, in_doubt: bool) -> None:
    """A pause that would end after the total time is not begun."""
    pause = 1.0  # of dice 0.5 in the second attempt, and what the 503 asks for
    standing = replace(FIRST, attempt=2)
    within = replace(standing, elapsed_s=POLICY.max_time - pause)
    assert isinstance(decide(fact, within, POLICY, HALF), Again)
    over = replace(standing, elapsed_s=POLICY.max_time - pause + 0.01)
    assert decide(fact, over, POLICY, HALF) == Refuse(reason, in_doubt=in_doubt, worn_out=True)


@retried
def test_an_outage_uses_up_no_attempts(fact: Fact, reason: str, *, in_doubt: bool) -> None:
    """In an outage a batch goes on to the total time, whatever the number of its attempts."""
    many = replace(FIRST, attempt=99, outage=True)
    decision = decide(fact, many, POLICY, HALF)
    assert isinstance(decision, Again)
    assert decision.in_doubt == in_doubt
    late = replace(many, elapsed_s=float(POLICY.max_time))
    assert decide(fact, late, POLICY, HALF) == Refuse(reason, in_doubt=in_doubt, worn_out=True)


@pytest.mark.parametrize(
    ("fact", "absent"),
    [
        (NotSent("refused"), True),
        (ServerError(502, None, ""), True),
        (ServerError(504, None, ""), True),
        (ServerError(500, None, ""), False),
        (InDoubt("reset"), False),
        (Throttled(429, None, ""), False),
    ],
)
def test_absence(fact: Fact, *, absent: bool) -> None:
    """Nobody is there where no connection is made, or where a gateway says so."""
    assert is_absence(fact) is absent


def test_attempts_of_an_outage_are_not_counted_after_it() -> None:
    """A batch that could not connect for a while has all its attempts left when it can."""
    after = replace(FIRST, attempt=30, outages=28)
    assert isinstance(decide(ServerError(502, None, ""), after, POLICY, HALF), Again)


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_of_nothing_is_a_pause_all_the_same(status: int) -> None:
    """`Retry-After: 0` does not let the attempts run out within a moment."""
    fact = Throttled(429, 0.0, "") if status == 429 else ServerError(503, 0.0, "")
    decision = decide(fact, FIRST, POLICY, HALF)
    assert isinstance(decision, Again)
    assert decision.wait_s >= HALF * POLICY.base


@pytest.mark.parametrize("delay_s", [0.0, 7.0, None])
def test_throttling_has_a_bound_of_its_own(delay_s: float | None) -> None:
    """A batch is refused after so many throttled attempts, whatever the number of attempts is."""
    fact = Throttled(429, delay_s, "")
    policy = replace(POLICY, attempts=1)
    most = replace(FIRST, attempt=MOST_THROTTLED, throttled=MOST_THROTTLED)
    assert isinstance(decide(fact, most, policy, 0.0), Again)
    more = replace(most, attempt=most.attempt + 1, throttled=most.throttled + 1)
    assert decide(fact, more, policy, 0.0) == Refuse("throttled", worn_out=True)


@pytest.mark.parametrize(
    ("fact", "end"),
    [
        (Throttled(429, 60.0, ""), Refuse("throttled", worn_out=True)),
        (ServerError(503, 60.0, ""), Refuse("server error", in_doubt=True, worn_out=True)),
    ],
)
def test_a_wait_past_the_total_time_ends_the_batch(fact: Fact, end: Refuse) -> None:
    """When the API asks for a wait that ends after the total time, the batch ends at once."""
    standing = replace(FIRST, throttled=int(isinstance(fact, Throttled)))
    just = replace(standing, elapsed_s=POLICY.max_time - 60.0)
    late = replace(standing, elapsed_s=POLICY.max_time - 59.0)
    assert isinstance(decide(fact, just, POLICY, HALF), Again)
    assert decide(fact, late, POLICY, HALF) == end


@pytest.mark.parametrize("fact", [Throttled(429, 31_536_000.0, ""), ServerError(503, 1e6, "")])
def test_an_absurd_wait_is_cut_and_told(fact: Throttled | ServerError) -> None:
    """A Retry-After of more than a quarter of an hour gets that, and what was asked is kept."""
    again = decide(fact, replace(FIRST, throttled=1), POLICY, HALF)
    assert isinstance(again, Again)
    assert (again.wait_s, again.asked_s, again.all_wait) == (MOST_ASKED_S, fact.delay_s, True)


READABLE = replace(FIRST, readable=True)
READ: dict[str, tuple[Fact, Standing, Decision]] = {
    "400": (BadRequest(400, ""), READABLE, Look("bad request")),
    "400, looked": (BadRequest(400, ""), replace(READABLE, looked=True), Split("bad request")),
    "404": (ResultNotFound(404, ""), READABLE, Look("result not found", result_first=True)),
    "404, accepted": (
        ResultNotFound(404, ""),
        replace(READABLE, accepted=True),
        Look("result not found", result_first=True),
    ),
    "404, looked": (ResultNotFound(404, ""), replace(READABLE, looked=True), Split("not found")),
    "500": (ServerError(500, None, ""), READABLE, Again(0.5, in_doubt=True, look=True)),
    "503 with a time": (
        ServerError(503, 7.0, ""),
        READABLE,
        Again(7.0, in_doubt=True, all_wait=True, look=True),
    ),
    "lost": (InDoubt("reset"), READABLE, Again(0.5, in_doubt=True, look=True)),
    "lost, worn out": (
        InDoubt("reset"),
        replace(READABLE, attempt=5),
        Refuse("reply lost", in_doubt=True, worn_out=True, look=True),
    ),
    "never connected": (NotSent("refused"), READABLE, Again(0.5, in_doubt=False)),
    "never connected, worn out": (
        NotSent("refused"),
        replace(READABLE, attempt=5),
        Refuse("could not connect", worn_out=True),
    ),
    "never connected, in doubt, worn out": (
        NotSent("refused"),
        replace(READABLE, attempt=5, doubted=True),
        Refuse("could not connect", worn_out=True, look=True),
    ),
    "403": (Forbidden(403, ""), READABLE, EndResult("forbidden")),
}


@pytest.mark.parametrize(("fact", "standing", "decision"), READ.values(), ids=READ.keys())
def test_what_can_be_read_back_is(fact: Fact, standing: Standing, decision: Decision) -> None:
    """Where runs may be read, refusals and doubts are looked into first, once each."""
    assert decide(fact, standing, POLICY, HALF) == decision


@pytest.mark.parametrize("fact", [ServerError(500, None, ""), InDoubt("reset")])
def test_doubt_may_be_held(fact: Fact) -> None:
    """With `settle = "hold"` what is in doubt is left at once, and nothing is sent again."""
    decision = decide(fact, FIRST, replace(POLICY, settle="hold"), HALF)
    assert isinstance(decision, Refuse)
    assert (decision.in_doubt, decision.worn_out, decision.look) == (True, False, False)


def test_the_budget_runs_dry() -> None:
    """A hundred retries, or fifty after lost replies, are paid for when nothing succeeds."""
    for fact, most in ((ServerError(500, None, ""), 100), (InDoubt("reset"), 50)):
        budget = Budget()
        assert [bool(budget.take(fact)) for _ in range(most + 1)] == [True] * most + [False]


def test_success_pays_back() -> None:
    """A retry that succeeds gives back what it took, any other success one; never over the top."""
    budget = Budget()
    budget.give_back(0)
    assert budget.tokens == Budget.CAPACITY
    taken = budget.take(InDoubt("reset"))
    assert (taken, budget.tokens) == (10, Budget.CAPACITY - 10)
    budget.give_back(0)
    assert budget.tokens == Budget.CAPACITY - 9
    budget.give_back(taken)
    assert budget.tokens == Budget.CAPACITY


def test_a_throttled_pause_has_a_least_length() -> None:
    """After a 429 that names no time, everything waits for a second at least, whatever the dice."""
    again = decide(Throttled(429, None, ""), THROTTLED_ONCE, POLICY, 0.0)
    assert again == Again(UNTOLD_THROTTLE_S, in_doubt=False, all_wait=True)
    assert UNTOLD_THROTTLE_S >= 1.0


PAUSED: list[Fact] = [ServerError(500, None, ""), NotSent("refused"), InDoubt("reset")]
attempts = st.integers(1, 10_000)
dice = st.floats(0, 1, exclude_max=True)


@effort(max_examples=150, deadline=None)
@given(st.sampled_from(PAUSED), attempts, dice, st.floats(0.001, 100), st.floats(0.001, 1000))
def test_the_pause_is_drawn_below_a_doubling_bound(
    fact: Fact, attempt: int, drawn: float, base: float, cap: float
) -> None:
    """After attempt n the pause is the dice's share of base · 2^(n-1), and of the cap at most."""
    policy = Retry(
        attempts=attempt + 1, base=Seconds(base), cap=Seconds(cap), max_time=Seconds(10**7)
    )
    again = decide(fact, replace(FIRST, attempt=attempt), policy, drawn)
    bound = base
    for _ in range(attempt - 1):
        if bound > cap:
            break
        bound *= 2
    assert isinstance(again, Again)
    assert again.wait_s == pytest.approx(drawn * min(cap, bound))
    assert 0 <= again.wait_s <= cap
    assert not again.all_wait


@effort(max_examples=150, deadline=None)
@given(
    st.sampled_from([fact for fact, _, _ in TABLE.values()]),
    st.integers(1, 200),
    st.integers(0, 100),
    st.floats(0, 10_000),
    dice,
)
def test_no_batch_goes_on_for_ever(
    fact: Fact, attempt: int, throttled: int, elapsed_s: float, drawn: float
) -> None:
    """Sending again always stays within attempts, throttled attempts and the total time."""
    standing = replace(
        FIRST, attempt=attempt, throttled=min(throttled, attempt), elapsed_s=elapsed_s
    )
    decision = decide(fact, standing, POLICY, drawn)
    if isinstance(decision, Again):
        assert elapsed_s + decision.wait_s <= POLICY.max_time
        if isinstance(fact, Throttled):
            assert standing.throttled <= MOST_THROTTLED
        else:
            assert standing.attempt - standing.throttled < POLICY.attempts


@pytest.mark.parametrize("fact", [fact for fact, _, _ in TABLE.values()], ids=TABLE.keys())
def test_only_what_may_have_been_applied_is_in_doubt(fact: Fact) -> None:
    """A 5xx and a lost or odd reply put the batch in doubt; a refusal never does."""
    applied_perhaps = isinstance(fact, ServerError | InDoubt)
    for standing in (
        FIRST,
        DOUBTED,
        replace(FIRST, attempt=99),
        replace(FIRST, elapsed_s=1e9),
    ):
        decision = decide(fact, standing, POLICY, HALF)
        in_doubt = isinstance(decision, Again | Refuse) and decision.in_doubt
        assert in_doubt == applied_perhaps
