"""How far clocks are apart."""

from datetime import UTC, datetime, timedelta

import pytest

from bulk_delete.runner.check.hearing import ahead_s

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "ahead"),
    [
        (0, 0.1, 0),  # it is any time up to a second after noon there
        (0.9, 1.0, 0),
        (1.0, 1.2, 0),
        (4.0, 4.1, 3.0),
        (-3.0, -2.5, -2.5),
        (-3.0, 0.5, 0),  # a reply that took long proves little
        (-30.0, 40.0, 0),
    ],
)
def test_only_what_is_certain_is_a_skew(before: float, after: float, ahead: float) -> None:
    """The clocks are apart by the least that the reply's second and its way allow."""
    ours = [NOON + timedelta(seconds=seconds) for seconds in (before, after)]
    assert ahead_s(NOON, ours[0], ours[1]) == ahead
