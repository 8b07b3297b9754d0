"""Opening a journal to go on with it: what a crash left is mended, other damage is refused."""

import os
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.journal.mark import read_mark
from bulk_delete.journal.reader import History, read


@dataclass(frozen=True, slots=True)
class Mended:
    """What was moved away from the journal's end."""

    line: int
    bytes: int
    to: Path
    reason: str


def recover(path: Path, mark_path: Path, broken: Path) -> tuple[History, Mended | None]:
    """Replay a journal and make its end sound.

    Damage after the mark: the valid lines before it stay, the rest is moved to `broken`. Damage
    before the mark, or lines missing there, raise InvalidInput; a failing disk JournalFailed.
    """
    mark = read_mark(mark_path)
    history = read(path, mark)
    if not history.mark_met or history.end.lines < mark.lines:
        line = history.damage.line if history.damage else history.end.lines + 1
        why = history.damage.reason if history.damage else "lines that were written are missing"
        raise InvalidInput(
            f"{path}, line {line}: {why}. The first {mark.lines:,} lines were known to be on the "
            "disk, so this is no crash of ours. Nothing was sent. Bring the journal back from a "
            "copy; or start over under another --name, which forgets what is already done"
        )
    if history.damage is None:
        return history, None
    try:
        moved = _move_tail(path, history.end.offset, broken)
    except OSError as error:
        raise JournalFailed(f"{path}: its torn end cannot be moved: {error.strerror}") from None
    return history, Mended(history.damage.line, moved, broken, history.damage.reason)


def _move_tail(path: Path, offset: int, broken: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with path.open("r+b") as journal:
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
