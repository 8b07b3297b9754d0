"""Plans for tests, made of pairs as the program makes them, and what they should say."""

import contextlib
import hashlib
import itertools
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from bulk_delete.columns import columns_of
from bulk_delete.model import MAX_BATCH
from bulk_delete.plan import Biggest, Figures
from bulk_delete.store import (
    Builder,
    Plan,
    Scratch,
    build,
    coded,
    locating,
    plan_file,
    scratch,
    strays,
)

SCRATCH = Scratch()


def plan_of(pairs: Iterable[tuple[int, int]], where: Scratch = SCRATCH) -> Plan:
    """Build a plan that closes itself."""
    with Builder(where) as builder:
        builder.add(columns_of(pairs))
        return self_closing(builder.plan())


def self_closing(plan: Plan) -> Plan:
    """Have the file of a plan closed as soon as nobody holds the plan any more."""
    weakref.finalize(plan, plan._file.close)
    return plan


def reference_fingerprint(pairs: Iterable[tuple[int, int]]) -> str:
    """Follow the contract's words: sorted, deduplicated, two big-endian 64-bit integers each."""
    numbers = itertools.chain.from_iterable(sorted(set(pairs)))
    return hashlib.sha256(b"".join(number.to_bytes(8, "big") for number in numbers)).hexdigest()


def reference_figures(pairs: Iterable[tuple[int, int]]) -> Figures:
    """Count in plain Python what a plan of these pairs should tell."""
    unique = set(pairs)
    sizes = Counter(result_id for result_id, _ in unique)
    calls = {result_id: -(-runs // MAX_BATCH) for result_id, runs in sizes.items()}
    most = sorted(sizes, key=lambda result_id: (-sizes[result_id], result_id))[:10]
    run_ids = {run_id for _, run_id in unique}
    return Figures(
        runs=len(unique),
        results=len(sizes),
        calls=sum(calls.values()),
        result_ids=(min(sizes), max(sizes)) if unique else None,
        run_ids=(min(run_ids), max(run_ids)) if unique else None,
        biggest=tuple(Biggest(result_id, sizes[result_id], calls[result_id]) for result_id in most),
        fingerprint=reference_fingerprint(unique),
    )


@contextlib.contextmanager
def small(at_once: int, index_at_once: int = 2, few: int = 1) -> Iterator[None]:
    """Make all pieces small, so that a few pairs spill, are merged and lie on every border."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "AT_ONCE", at_once)
        patch.setattr(plan_file, "AT_ONCE", at_once)
        patch.setattr(plan_file, "_INDEX_AT_ONCE", index_at_once)
        patch.setattr(plan_file, "_GROUPS_AT_ONCE", index_at_once)
        patch.setattr(plan_file, "_FEW", few)
        patch.setattr(plan_file, "_RAW_AT_ONCE", 1000)
        patch.setattr(locating, "_PAGE", 2)
        patch.setattr(locating, "_PAGES", 2)
        patch.setattr(scratch, "_PAGE", 7)
        patch.setattr(scratch, "_PAGES", 2)
        patch.setattr(coded, "AT_ONCE", at_once)
        patch.setattr(locating, "AT_ONCE", at_once)
        patch.setattr(locating, "_BLOCK", index_at_once)
        patch.setattr(locating, "_BLOCKS", 2)
        patch.setattr(locating, "_LANES", 2)
        patch.setattr(locating, "_WINDOW", few)
        patch.setattr(strays, "_WORDS_AT_ONCE", at_once)
        yield
