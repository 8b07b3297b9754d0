"""Moments as these files have them: RFC 3339, in UTC, to the millisecond."""

from datetime import UTC, datetime


def stamp() -> str:
    """Return now."""
    return stamp_of(datetime.now(UTC))


def stamp_of(moment: datetime) -> str:
    """Write a moment in UTC."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def age_s(stamp: str) -> float:
    """Return how many seconds ago that was; infinity, where it is no time."""
    return seconds_between(stamp, stamp_of(datetime.now(UTC)), float("inf"))


def seconds_between(first: str, last: str, otherwise: float = 0.0) -> float:
    """Return the seconds from one to the other, never less than 0; `otherwise` for no times."""
    try:
        gone_by = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    except (ValueError, TypeError):
        return otherwise
    return max(0.0, gone_by.total_seconds())
