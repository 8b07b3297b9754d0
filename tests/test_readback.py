"""What a read-back proves, over all that may come back."""

from hypothesis import given
from hypothesis import strategies as st

from bulk_delete.readback import conclude, shows_result

RUNS = st.lists(st.integers(1, 30), min_size=1, max_size=20, unique=True).map(tuple)


@given(RUNS, st.dictionaries(st.integers(1, 30), st.integers(1, 3)), st.booleans())
def test_each_run_is_in_one_place(
    run_ids: tuple[int, ...],
    found: dict[int, int],
    visible: bool,  # noqa: FBT001 - drawn
) -> None:
    """Every run that was asked for is in exactly one part, by what came back of it."""
    sight = conclude(1, run_ids, found, visible=visible)
    parts = [*sight.present, *sight.absent, *sight.elsewhere, *sight.unproven]
    assert sorted(parts) == sorted(run_ids)
    assert all(found[run] == 1 for run in sight.present)
    assert all(found[run] == home != 1 for run, home in sight.elsewhere.items())
    assert all(run not in found for run in (*sight.absent, *sight.unproven))
    assert sight.settles == bool(sight.absent or sight.elsewhere)


@given(RUNS, st.dictionaries(st.integers(1, 30), st.integers(1, 3)))
def test_absence_needs_a_result_that_is_seen(
    run_ids: tuple[int, ...], found: dict[int, int]
) -> None:
    """Where the key is not shown to see the result, no run is absent."""
    assert conclude(1, run_ids, found, visible=False).absent == ()
    assert conclude(1, run_ids, found, visible=True).unproven == ()


def test_a_run_of_the_result_shows_it() -> None:
    """One run of it that came back is enough; runs of others are not."""
    assert shows_result(7, {1: 8, 2: 7})
    assert not shows_result(7, {1: 8})
    assert not shows_result(7, {})
