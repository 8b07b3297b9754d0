"""A checkpoint beside the journal: what it told up to a position, so that a start reads the rest.

It is believed only while the journal is, byte for byte, what was read; without it, or with one of
another plan, all of the journal is read.
"""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from bulk_delete import __version__
from bulk_delete.folder import JobFolder, write_whole
from bulk_delete.journal.reader import Position, Reader, reaches
from bulk_delete.ledger import Sink
from bulk_delete.store import (
    Plan,
    Scratch,
    States,
    StatesWriter,
    open_kept,
    states_of,
    states_told,
)

Found = TypeVar("Found")

EVERY_LINES = 20_000
"""New lines that are worth a new checkpoint: they take about a quarter of a second to read."""

BYTES_PER_LINE = 1000
"""A large checkpoint waits for more lines: it is not to write more than the journal does."""


class _Told(msgspec.Struct):
    """What a checkpoint tells of the journal besides the states, and the program that read it."""

    program: str
    sha256: str
    position: Position


def load_checkpoint(
    folder: JobFolder, plan: Plan, scratch: Scratch
) -> tuple[StatesWriter, Position] | None:
    """Return what a checkpoint tells of a plan's states; None where there is none to believe.

    Raises ScratchError.
    """
    kept = open_kept(folder.checkpoint)
    if kept is None:
        return None
    with contextlib.closing(kept):
        parts = kept.head.parts
        if not parts or parts[0].figures.fingerprint != plan.figures.fingerprint:
            return None
        try:
            told = msgspec.json.decode(kept.head.told, type=_Told)
        except msgspec.DecodeError:
            return None
        end = told.position.history.end
        if told.program != __version__ or not reaches(folder.journal, end, told.sha256):
            return None
        writer = StatesWriter(scratch)
        try:
            writer.restore(kept, plan)
        except OSError:
            writer.close()
            return None
        except BaseException:
            writer.close()
            raise
        return writer, told.position


def states_since(
    tell: Callable[[Sink, Position | None], Found],
    folder: JobFolder,
    plan: Plan | None,
    scratch: Scratch,
) -> tuple[Found, States]:
    """Have a journal told, from its start or its checkpoint on; return what that gives.

    Raises what the teller raises, and ScratchError.
    """
    if plan and (loaded := load_checkpoint(folder, plan, scratch)):
        writer, start = loaded
        return states_of(lambda sink: tell(sink, start), writer)
    return states_told(lambda sink: tell(sink, None), scratch, plan)


def keep_checkpoint(folder: JobFolder, writer: StatesWriter, reader: Reader) -> None:
    """Write a checkpoint of what was read, where it would be of use.

    Raises JournalFailed where it cannot be written; ScratchError and OSError where the states or
    the journal cannot be read any more.
    """
    told = _Told(__version__, reader.sha256(), reader.position())
    if (parts := writer.kept(msgspec.json.encode(told))) is not None:
        write_whole(folder.checkpoint, parts)


def is_worth_it(folder: JobFolder, lines: int) -> bool:
    """Tell whether so many lines since the last checkpoint are worth a new one."""
    try:
        size = folder.checkpoint.stat().st_size
    except OSError:
        size = 0
    return lines >= max(EVERY_LINES, size // BYTES_PER_LINE)
