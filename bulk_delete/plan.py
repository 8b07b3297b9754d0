"""What is to be sent: pairs, deduplicated, grouped by result, cut into batches. Pure."""

import hashlib
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from bulk_delete.model import MAX_BATCH, Pair

_HASHED_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one result, ascending and without duplicates (64-bit array)."""

    result_id: int
    run_ids: "array[int]"

    @property
    def calls(self) -> int:
        return -(-len(self.run_ids) // MAX_BATCH)

    def batches(self) -> Iterator[tuple[int, ...]]:
        for start in range(0, len(self.run_ids), MAX_BATCH):
            yield tuple(self.run_ids[start : start + MAX_BATCH])


@dataclass(frozen=True)
class Plan:
    """Groups by result id, ascending. `rows` is the number of pairs read, duplicates included."""

    groups: Mapping[int, Group]
    rows: int

    @cached_property
    def runs(self) -> int:
        return sum(len(group.run_ids) for group in self.groups.values())

    @cached_property
    def calls(self) -> int:
        return sum(group.calls for group in self.groups.values())

    @property
    def results(self) -> int:
        return len(self.groups)

    @property
    def duplicates(self) -> int:
        return self.rows - self.runs

    def pairs(self) -> Iterator[Pair]:
        """Yield every pair once, ascending by result, then by run."""
        for group in self.groups.values():
            for run_id in group.run_ids:
                yield Pair(group.result_id, run_id)

    def lanes(self) -> Iterator[Group]:
        """Yield the groups with the most batches first, so that none becomes the tail."""
        yield from sorted(self.groups.values(), key=lambda group: (-group.calls, group.result_id))

    def biggest(self, count: int = 10) -> list[Group]:
        groups = self.groups.values()
        return sorted(groups, key=lambda group: (-len(group.run_ids), group.result_id))[:count]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the sorted pairs, each as two big-endian 64-bit integers."""
        digest = hashlib.sha256()
        pairs = self.pairs()
        while chunk := list(islice(pairs, _HASHED_AT_ONCE)):
            numbers = [number for pair in chunk for number in pair]
            digest.update(struct.pack(f">{len(numbers)}Q", *numbers))
        return digest.hexdigest()

    def keep(self, wanted: Callable[[int, int], bool]) -> "Plan":
        """Return the plan of the pairs for which `wanted(result_id, run_id)` holds."""
        groups = {}
        for result_id, group in self.groups.items():
            run_ids = array("q", (run for run in group.run_ids if wanted(result_id, run)))
            if run_ids:
                groups[result_id] = Group(result_id, run_ids)
        return Plan(groups, rows=sum(len(group.run_ids) for group in groups.values()))

    def __contains__(self, pair: Pair) -> bool:
        group = self.groups.get(pair.result_id)
        if group is None:
            return False
        at = bisect_left(group.run_ids, pair.run_id)
        return at < len(group.run_ids) and group.run_ids[at] == pair.run_id


def build(pairs: Iterable[Pair]) -> Plan:
    """Deduplicate and group. Takes the pairs one at a time and keeps 8 bytes for each."""
    found: dict[int, array[int]] = {}
    rows = 0
    for result_id, run_id in pairs:
        rows += 1
        runs = found.get(result_id)
        if runs is None:
            runs = found[result_id] = array("q")
        runs.append(run_id)
    groups = {
        result_id: Group(result_id, array("q", sorted(set(found[result_id]))))
        for result_id in sorted(found)
    }
    return Plan(groups, rows)
