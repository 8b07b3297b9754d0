"""Which batches go first, and what is left for the others."""

from collections import Counter

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.model import Pair
from bulk_delete.runner.canary import Canary, smallest
from tests.made_plans import small
from tests.test_dispatch import runs_of

sizes = st.dictionaries(
    st.integers(1, 50), st.integers(1, 5) | st.sampled_from([100, 101, 250]), max_size=12
)


@effort(max_examples=50, deadline=None)
@given(sizes, st.integers(1, 15))
def test_the_smallest_results_go_first(results: dict[int, int], batches: int) -> None:
    """They take as many calls as asked for, no result that stays is smaller, and none is lost."""
    plan = runs_of(results)
    with small(at_once=1000):
        chosen = smallest(plan, batches)
    assert sum(group.calls for group in chosen) == min(batches, plan.figures.calls)
    by_size = sorted(results, key=lambda result: (results[result], result))
    assert [group.result_id for group in chosen] == by_size[: len(chosen)]
    assert all(group.runs == results[group.result_id] for group in chosen[:-1])
    canary = Canary(plan, batches, None, None, None)  # type: ignore[arg-type]  # it does not fly
    sent = Counter(
        Pair(group.result_id, run)
        for group in (*chosen, *canary.rest())
        for run_ids in group.batches()
        for run in run_ids
    )
    assert set(sent) == set(plan.pairs())
    assert set(sent.values()) <= {1}
