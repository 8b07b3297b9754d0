"""When a job must stop of itself: the failure threshold, and an API that takes nothing."""

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import Limits, MaxFailures
from bulk_delete.health import FIRST_BATCHES, Health


def share(per_cent: float, after: int = 1) -> Limits:
    return Limits(max_failures=MaxFailures(share=per_cent / 100), max_failures_after=after)


def count(runs: int) -> Limits:
    return Limits(max_failures=MaxFailures(count=runs))


def proven(limits: Limits) -> Health:
    health = Health(limits)
    health.prove()
    return health


def test_a_new_job_is_healthy() -> None:
    """Where nothing was heard, there is nothing to complain of and nothing proven."""
    for limits in (Limits(), share(0), count(0)):
        health = Health(limits)
        assert health.complaint() is None
        assert not health.proven


def test_the_share_is_not_looked_at_too_soon() -> None:
    """By default, nothing is said of 19 failed batches, and the twentieth stops the job."""
    health = proven(Limits())
    for _ in range(19):
        health.finished(runs=100, failed=100)
        assert health.complaint() is None
    health.finished(runs=100, failed=100)
    complaint = health.complaint()
    assert complaint is not None
    assert "2,000 of 2,000 finished runs failed or are unknown" in complaint
    assert "over the limit of 20%" in complaint


def test_runs_are_counted_not_batches() -> None:
    """One bad run in each of many batches is a small share, one bad batch may be a large one."""
    many = proven(share(20, after=20))
    for _ in range(500):
        many.finished(runs=100, failed=1)
    assert many.complaint() is None
    one = proven(share(20, after=20))
    for _ in range(19):
        one.finished(runs=1, failed=0)
    one.finished(runs=100, failed=100)
    assert one.complaint() is not None


@pytest.mark.parametrize("per_cent", range(101))
def test_the_limit_itself_is_allowed(per_cent: int) -> None:
    """A share of exactly the limit is within it, one run more is over."""
    exact = proven(share(per_cent))
    exact.finished(runs=100, failed=per_cent)
    assert exact.complaint() is None
    if per_cent < 100:
        over = proven(share(per_cent))
        over.finished(runs=100, failed=per_cent + 1)
        assert over.complaint() is not None


def test_no_failure_can_be_allowed_at_all() -> None:
    """A limit of nothing, as a share or as a count, stops at the first failed run."""
    for limits in (share(0), count(0)):
        health = proven(limits)
        health.finished(runs=100, failed=0)
        assert health.complaint() is None
        health.finished(runs=100, failed=1)
        assert health.complaint() is not None


def test_a_count_holds_from_the_first_batch() -> None:
    """A limit given as a number of runs is not a share, and does not wait for many batches."""
    health = proven(count(5))
    health.finished(runs=5, failed=5)
    assert health.complaint() is None
    health.finished(runs=10_000, failed=1)
    complaint = health.complaint()
    assert complaint is not None
    assert "6 of 10,005" in complaint
    assert "limit of 5" in complaint


@effort(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 100).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))),
    st.integers(0, 4),
    st.integers(1, 30),
)
def test_the_threshold_is_what_it_says(
    batches: list[tuple[int, int]], quarters: int, after: int
) -> None:
    """A job must stop when enough batches are finished and more runs than the share failed."""
    health = proven(share(25 * quarters, after=after))
    runs = failed = 0
    for number, (size, bad) in enumerate(batches, start=1):
        health.finished(size, bad)
        runs, failed = runs + size, failed + bad
        must_stop = number >= after and 4 * failed > quarters * runs
        assert (health.complaint() is not None) == must_stop


def test_an_api_that_takes_nothing_stops_the_job() -> None:
    """When the first ten batches are all answered with 400, it is not about the runs."""
    health = Health(Limits())
    for _ in range(FIRST_BATCHES - 1):
        health.bad_request(planned=True)
        assert health.complaint() is None
    health.bad_request(planned=True)
    complaint = health.complaint()
    assert FIRST_BATCHES == 10
    assert complaint is not None
    assert "the first 10 calls were all answered with 400" in complaint


@pytest.mark.parametrize("before", [0, 5, 9])
def test_one_other_reply_clears_the_api(before: int) -> None:
    """After any other reply, a 400 speaks of its batch alone, however many there are."""
    health = Health(Limits())
    for _ in range(before):
        health.bad_request(planned=True)
    health.prove()
    assert health.proven
    for _ in range(100):
        health.bad_request(planned=True)
    assert health.complaint() is None


def test_parts_of_few_batches_count_as_well() -> None:
    """Two hundred 400s to parts of batches, and nothing else ever, stop the job, too."""
    health = Health(Limits())
    for _ in range(199):
        health.bad_request(planned=False)
    assert health.complaint() is None
    health.bad_request(planned=False)
    assert health.complaint() is not None


def test_runs_of_an_ended_result_count_against_a_number_alone() -> None:
    """Runs that failed unsent with their result pass a limit of runs, but not a share."""
    by_share = Health(Limits(max_failures=MaxFailures(share=0.2)))
    by_count = Health(Limits(max_failures=MaxFailures(count=500)))
    for health in (by_share, by_count):
        for _ in range(30):
            health.finished(100, 0)
        health.ended(501)
    assert by_share.complaint() is None
    assert by_count.complaint() is not None
