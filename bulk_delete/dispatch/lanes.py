"""Which result comes next. A lane is a result and what is left to do of it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bulk_delete.model import Batch, Fact
from bulk_delete.plan import Group


@dataclass(slots=True)
class Case:
    """A batch on its way, and what was tried so far.

    `attempt`, `throttled` and `outages` count as in `retry.Standing`; `left_at` is when the last
    attempt left, `first_at` the first; `after`: why it is tried again. `looked`: a refusal of it
    was looked into. `lost`: some call with its runs may yet be applied, whatever was read since.
    """

    batch: Batch
    looked: bool = False
    lost: bool = False
    attempt: int = 0
    throttled: int = 0
    outages: int = 0
    first_at: float | None = None
    left_at: float = 0.0
    after: Fact | None = None


@dataclass(slots=True)
class Lane:
    """`left` is how many planned batches are still to come, the one at hand included."""

    result_id: int
    batches: Iterator[tuple[int, ...]]
    left: int
    was_accepted: Callable[[int], bool]
    has_accepted: bool = False
    put_aside: "deque[Work]" = field(default_factory=deque)
    """Answered with 400; to be split once it is clear that not everything gets a 400."""

    waited: bool = False
    """It has let the other results go first with that."""

    @property
    def accepted(self) -> bool:
        """Tell whether any call on the result was ever answered with 204."""
        return self.has_accepted or self.was_accepted(self.result_id)


@dataclass(slots=True)
class Work:
    """A planned batch, or what it was split into: `todo` is a stack, `runs` counts all of them.

    `failed_before` are those of which an earlier execution told: that they fail again is no news.
    """

    lane: Lane
    failed_before: frozenset[int]
    runs: int
    todo: list[Case] = field(default_factory=list)
    failed: int = 0
    put_aside: bool = False
    told_bad: bool = False
    """A 400 was counted that no read-back explains."""

    @property
    def is_news(self) -> bool:
        """Tell whether any of it has not failed before."""
        return len(self.failed_before) < self.runs

    def fail(self, run_ids: Iterable[int]) -> None:
        """Count runs that failed, or are unknown."""
        self.failed += sum(run not in self.failed_before for run in run_ids)

    def hold_back(self, run_ids: frozenset[int]) -> None:
        """Take out runs that are protected: they tell nothing of the API."""
        self.runs -= len(run_ids)
        self.failed_before -= run_ids


class Lanes:
    """A bounded stream: the groups are drawn one at a time, when a worker is free."""

    def __init__(self, groups: Iterable[Group], was_accepted: Callable[[int], bool]) -> None:
        self._fresh = (
            Lane(group.result_id, group.batches(), group.calls, was_accepted) for group in groups
        )
        self._parked: deque[Lane] = deque()

    def park(self, lane: Lane) -> None:
        """Let the others go first."""
        lane.waited = True
        self._parked.append(lane)

    def next(self, *, parked_first: bool) -> Lane | None:
        if parked_first and self._parked:
            return self._parked.popleft()
        if lane := next(self._fresh, None):
            return lane
        return self._parked.popleft() if self._parked else None
