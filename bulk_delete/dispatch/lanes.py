"""Which result comes next. A lane is a result and what is left to do of it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bulk_delete.model import Batch
from bulk_delete.plan import Group


@dataclass(slots=True)
class Lane:
    result_id: int
    batches: Iterator[tuple[int, ...]]
    accepted: bool
    put_aside: "deque[Work]" = field(default_factory=deque)
    """Answered with 400; to be split once it is clear that not everything gets a 400."""

    waited: bool = False
    """It has let the other results go first with that."""


@dataclass(slots=True)
class Work:
    """A planned batch, or what it was split into: `todo` is a stack, `runs` counts all of them.

    `failed_before` are those of which an earlier execution told: that they fail again is no news.
    """

    lane: Lane
    failed_before: frozenset[int]
    runs: int
    todo: list[Batch] = field(default_factory=list)
    failed: int = 0
    put_aside: bool = False

    @property
    def is_news(self) -> bool:
        """Tell whether any of it has not failed before."""
        return len(self.failed_before) < self.runs

    def fail(self, batch: Batch) -> None:
        """Count the runs of a batch that failed, or are unknown."""
        self.failed += sum(run not in self.failed_before for run in batch.run_ids)

    def hold_back(self, run_ids: frozenset[int]) -> None:
        """Take out runs that are protected: they tell nothing of the API."""
        self.runs -= len(run_ids)
        self.failed_before -= run_ids


class Lanes:
    """A bounded stream: the groups are drawn one at a time, when a worker is free."""

    def __init__(self, groups: Iterable[Group], was_accepted: Callable[[int], bool]) -> None:
        self._fresh = (
            Lane(group.result_id, group.batches(), was_accepted(group.result_id))
            for group in groups
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
