"""Output that survives what it is piped into, and steers no terminal."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bulk_delete.plain import plain, printable

if TYPE_CHECKING:
    from bulk_delete.config import Log  # so that an interrupt while loading is told as one


def prepare_streams() -> None:
    """Make the three streams usable, whatever the caller left of them."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Closed by the caller: else the journal might get its number, and the words with it.
            with contextlib.suppress(OSError):
                os.fstat(descriptor)
                continue
            os.open(os.devnull, os.O_RDWR)
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - lives on
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")  # an ASCII terminal must not end a job


def emit(text: str) -> bool:
    """Write data to stdout; return whether it could be. A reader that has gone away is fine."""
    try:
        sys.stdout.write(plain(text))
        sys.stdout.flush()
    except OSError as error:
        _silence(1)
        if error.errno != errno.EPIPE:
            complain(f"standard output cannot be written: {error.strerror}")
            return False
    return True


def offer(text: str) -> bool:
    """Write data to stdout; return whether there is anybody who takes it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _silence(1)
        return False
    return True


def tell(text: str) -> None:
    """Write a word to the operator, on stderr."""
    with to_stderr():
        sys.stderr.write(plain(text))


@contextlib.contextmanager
def to_stderr() -> Iterator[None]:
    """Inside, write to stderr: what it does not take is dropped."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        _silence(2)


def complain(
    reason: str, listing: str = "", *, code: int | None = None, log: "Log | None" = None
) -> None:
    """Say what is wrong in one line, whatever stands in it, and below it what it is about.

    `code` is how the command ends with it; without one it is a warning.
    """
    fields: dict[str, Any] = {} if code is None else {"exit_code": code}
    fields["reason"] = reason
    if listing:
        fields["listing"] = listing.splitlines()
    words = f"bulk-delete: {printable(reason)}" + (f":\n{listing}\n" if listing else "\n")
    kind = "warning" if code is None else "error"
    say(kind, kind, fields, words, log)


def say(
    level: str, event: str, fields: Mapping[str, Any], words: str, log: "Log | None" = None
) -> None:
    """Tell the operator a fact: in words, or where the log is JSON as a line of it."""
    if log is None:
        from bulk_delete.cli.found import log_in_force  # noqa: PLC0415 - loads click

        log = log_in_force()
    if log.format == "json":
        from bulk_delete.cli.screen import make_logger, write_line  # noqa: PLC0415 - loads Rich

        getattr(make_logger(log, "info", write_line, colors=False), level)(event, **fields)
    else:
        tell(words)


def _silence(descriptor: int) -> None:
    # Python would try to flush the broken stream once more on its way out.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
