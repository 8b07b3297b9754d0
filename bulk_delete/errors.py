"""Every way in which the command ends, one class per exit code.

::

    Ending
    ├── Incomplete         1   ended, but some pairs failed, are unknown, withheld or rejected
    ├── InvalidInput       2   usage, configuration or input; nothing was sent
    ├── Stopped            3   stopped on purpose before the end
    ├── Refused            4   refused by a guard, or not confirmed; nothing was sent
    ├── GaveUp             5   too many failures, the API stayed away, a canary met with a surprise,
    │                          or memory ran out
    ├── KeyRejected        6   the API does not accept the key
    ├── JobBusy            7   another process holds this job; nothing was sent
    ├── Bug               70   a bug, or books that do not balance
    ├── JournalFailed     74   the journal cannot be written
    └── Interrupted  128 + n   ended by signal n after draining

The text of an ending names the place and the cure. `outcome` is the word for it in the
journal's last line and in the summary.
"""

import errno
import signal
from collections.abc import Iterable
from typing import ClassVar


class Ending(Exception):  # noqa: N818 - not every end is an error
    """`listing` are lines that belong to the reason, which is one line."""

    exit_code: int = 0
    outcome: ClassVar[str] = "done"
    rank: ClassVar[int] = 0

    def __init__(self, reason: str = "", listing: str = "") -> None:
        super().__init__(reason)
        self.listing = listing

    @property
    def reason(self) -> str:
        return str(self)


class Incomplete(Ending):
    exit_code = 1
    outcome = "incomplete"
    rank = 1


class Stopped(Ending):
    exit_code = 3
    outcome = "stopped"
    rank = 3


class Interrupted(Ending):
    outcome = "interrupted"
    rank = 4

    def __init__(self, signum: int) -> None:
        self.signum = signal.Signals(signum)
        self.exit_code = 128 + signum
        super().__init__(f"interrupted by {self.signum.name}")


class GaveUp(Ending):
    exit_code = 5
    outcome = "gave_up"
    rank = 5


class KeyRejected(Ending):
    exit_code = 6
    outcome = "key_rejected"
    rank = 6


class JournalFailed(Ending):
    exit_code = 74
    outcome = "journal_failed"
    rank = 7


class Bug(Ending):
    exit_code = 70
    outcome = "bug"
    rank = 8


class InvalidInput(Ending):
    exit_code = 2
    outcome = "invalid_input"
    rank = 9


class Refused(Ending):
    exit_code = 4
    outcome = "refused"
    rank = 9


class JobBusy(Ending):
    exit_code = 7
    outcome = "busy"
    rank = 9


def gravest(endings: Iterable[Ending]) -> Ending | None:
    """Return the ending that rules when several apply, the earliest of equals; None if none."""
    return max(endings, key=lambda ending: ending.rank, default=None)


def cause_of(error: BaseException) -> BaseException:
    """Return the error at the bottom of a group, the first of several."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def out_of_memory(error: BaseException) -> GaveUp | None:
    """Return how to end where memory has run out; None for any other error."""
    cause = cause_of(error)
    match cause:
        case MemoryError() | OSError(errno=errno.ENOMEM):
            short = True
        case RuntimeError() | ImportError():  # told by their words alone
            short = any(words in str(cause) for words in _OUT_OF_MEMORY)
        case _:
            short = False
    if not short:
        return None
    return GaveUp(
        "memory ran out. What was sent is in the job's journal; give the process more, then go on "
        "with the same command"
    )


_OUT_OF_MEMORY = ("can't start new thread", "failed to map segment")
