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
    put_aside: deque[Batch] = field(default_factory=deque)
    """Answered with 400; to be split once it is clear that not everything gets a 400."""

    waited: bool = False
    """It has let the other results go first with that."""


@dataclass(slots=True)
class Work:
    """A planned batch, or what it was split into: `todo` is a stack, `runs` counts all of them."""

    lane: Lane
    runs: int
    todo: list[Batch] = field(default_factory=list)
    failed: int = 0
    put_aside: bool = False


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
