"""Opening a journal to go on with it: what a crash left is mended, other damage is refused."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bulk_delete import events
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.journal.chain import START
from bulk_delete.journal.mark import read_mark
from bulk_delete.journal.reader import Position, read
from bulk_delete.journal.replay import History
from bulk_delete.ledger import Sink

_CURE = (
    "Nothing was sent. Bring the journal back from a copy; or look at it with `bulk-delete audit`, "
    "whose --repair cuts it there and puts in doubt what may have been lost"
)

_STARTED = b'"event":"job.started"'
_HEAD = 100
"""Bytes of a line within which its event is named."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was moved away from the journal's end; `torn`: a last line without an end, no more."""

    line: int
    bytes: int
    to: Path
    reason: str
    torn: bool


def inspect(path: Path, mark_path: Path, sink: Sink, start: Position | None = None) -> History:
    """Replay a journal into a sink, on from a position where one is given, touching nothing.

    Damage before the mark, or lines missing there, raise InvalidInput. Without a mark, which is
    made before the first line, only a torn last line is taken for what a crash leaves.
    """
    found = read_mark(mark_path)
    mark = found or START
    history = read(path, sink, mark, start=start)
    if not history.mark_met or history.end.lines < mark.lines:
        line = history.damage.line if history.damage else history.end.lines + 1
        why = history.damage.reason if history.damage else "lines that were written are missing"
        raise InvalidInput(
            f"{path}, line {line}: {why}. The first {mark.lines:,} lines were known to be on the "
            f"disk, so this is no crash of ours. {_CURE}"
        )
    if history.damage and found is None and not history.damage.torn:
        raise InvalidInput(
            f"{path}, line {history.damage.line}: {history.damage.reason}; and {mark_path} is "
            f"gone, so nobody knows whether a crash did this. {_CURE}"
        )
    return history


def recover(
    path: Path, mark_path: Path, broken: Path, sink: Sink, start: Position | None = None
) -> tuple[History, Mended | None]:
    """Replay a journal into a sink and make its end sound: damage there is moved to `broken`.

    Raises what `inspect` raises; for a failing disk JournalFailed.
    """
    history = inspect(path, mark_path, sink, start)
    if history.damage is None:
        return history, None
    try:
        moved = move_tail(path, history.end.offset, broken)
    except OSError as error:
        raise JournalFailed(f"{path}: its torn end cannot be moved: {error.strerror}") from None
    damage = history.damage
    return history, Mended(damage.line, moved, broken, damage.reason, damage.torn)


def last_started(path: Path) -> str | None:
    """Return the fingerprint of the plan that was started last, unchecked: a good guess."""
    last = b""
    with contextlib.suppress(OSError), path.open("rb", buffering=1 << 20) as journal:
        for line in journal:
            if line.find(_STARTED, 0, _HEAD) > 0:
                last = line
    try:
        return msgspec.json.decode(last, type=events.JobStarted).fingerprint
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def move_tail(path: Path, offset: int, broken: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    whole = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(whole, "r+b") as journal:  # noqa: PTH123 - from a descriptor
        journal.seek(offset)
        with open(os.open(broken, flags, 0o600), "ab") as kept:  # noqa: PTH123 - from a descriptor
            moved = 0
            while chunk := journal.read(1 << 20):
                kept.write(chunk)
                moved += len(chunk)
            kept.flush()
            os.fsync(kept.fileno())
        journal.truncate(offset)
        os.fsync(journal.fileno())
    return moved
