"""The mark beside a journal: up to where it was known to be on the disk.

Damage before the mark is no crash; damage after it may be one.
"""

import os
from pathlib import Path

import msgspec

from bulk_delete.errors import InvalidInput
from bulk_delete.journal.chain import Link

REPAIRING = "being repaired"
"""The chain of a mark that no journal meets, so that no start takes half a repair for a journal."""


def read_mark(path: Path) -> Link | None:
    """Read the mark; None where there is none. Raises InvalidInput."""
    try:
        link = msgspec.json.decode(path.read_bytes(), type=Link)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from None
    if link.lines < 0 or link.offset < 0:
        raise _unreadable(path, "it counts less than nothing")
    return link


def _unreadable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path}: cannot be read ({why}); remove the mark, and look at the journal beside it with "
        "`bulk-delete audit`"
    )


def write_mark(path: Path, link: Link) -> None:
    """Replace the mark in one step. Raises OSError."""
    new = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(new, flags, 0o600)
    try:
        os.write(handle, msgspec.json.encode(link))
        os.fsync(handle)
    finally:
        os.close(handle)
    new.replace(path)
