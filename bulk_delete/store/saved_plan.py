"""Plans that were saved, opened again: from a file of their own, or from bytes kept elsewhere."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bulk_delete.plan import Figures
from bulk_delete.store.plan_file import HEADER, VERSION, Header, Plan, SpoiltPlanError, size_of
from bulk_delete.store.scratch import Scratch


def open_plan(path: Path, scratch: Scratch) -> Plan:
    """Open a saved plan; `scratch` is for what is made of it.

    Raises OSError, and SpoiltPlanError for what is no whole plan; `check` looks at its pairs.
    """
    file = path.open("rb", buffering=0)
    try:
        return Plan(file, _figures(file.fileno()), scratch)
    except BaseException:
        file.close()
        raise


def copied_plan(parts: Iterable[bytes], figures: Figures, scratch: Scratch) -> Plan:
    """Make a plan again of the bytes that another one's `raw` yielded. Raises ScratchError."""
    file = scratch.file()
    try:
        offset = 0
        for data in parts:
            file.put_at(offset, data)
            offset += len(data)
    except BaseException:
        file.close()
        raise
    return Plan(file, figures, scratch)


def open_sound_plan(path: Path, scratch: Scratch) -> Plan:
    """Open a saved plan and read all of it. Raises OSError and SpoiltPlanError."""
    plan = open_plan(path, scratch)
    try:
        plan.check()
    except BaseException:
        plan.close()
        raise
    return plan


def _figures(handle: int) -> Figures:
    try:
        found = msgspec.json.decode(os.pread(handle, HEADER, 0), type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SpoiltPlanError("it has no header of a plan") from None
    if found.v != VERSION:
        raise SpoiltPlanError(f"it is of version {found.v}; this program reads {VERSION}")
    if os.fstat(handle).st_size != size_of(found.figures):
        raise SpoiltPlanError("it is not as long as its header says")
    return found.figures
