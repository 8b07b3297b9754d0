"""What a read-back proves. Pure.

Absence alone proves nothing: a key that cannot see the result finds none of its runs. It counts
only where another run of that result came back, or the result itself can be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """What became of some runs; each is in one of these.

    `elsewhere` gives the result that each of its runs belongs to. `unproven`: neither came back
    nor is proven absent.
    """

    present: tuple[int, ...]
    absent: tuple[int, ...]
    elsewhere: Mapping[int, int]
    unproven: tuple[int, ...] = ()

    @property
    def settles(self) -> bool:
        return bool(self.absent or self.elsewhere)


@dataclass(frozen=True, slots=True)
class NoResult:
    """The result cannot be found by this key."""

    detail: str


@dataclass(frozen=True, slots=True)
class Blind:
    """Nothing could be read; `forbidden`: nor will anything be."""

    forbidden: bool


Conclusion = Sight | NoResult | Blind


def shows_result(result_id: int, found: Mapping[int, int]) -> bool:
    """Tell whether some run of the result came back."""
    return result_id in found.values()


def conclude(
    result_id: int, run_ids: tuple[int, ...], found: Mapping[int, int], *, visible: bool
) -> Sight:
    """Sort runs by what came back of them; `visible`: this key can see the result."""
    missing = tuple(run for run in run_ids if run not in found)
    return Sight(
        present=tuple(run for run in run_ids if found.get(run) == result_id),
        absent=missing if visible else (),
        elsewhere={run: found[run] for run in run_ids if found.get(run, result_id) != result_id},
        unproven=() if visible else missing,
    )
