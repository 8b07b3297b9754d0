"""Output that survives what it is piped into."""

import os
import sys


def emit(text: str) -> None:
    """Write data to stdout. A reader that has gone away changes nothing."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _silence(1)


def tell(text: str) -> None:
    """Write a word to the operator, on stderr."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _silence(2)


def complain(reason: str) -> None:
    tell(f"bulk-delete: {reason}\n")


def _silence(descriptor: int) -> None:
    # Python would try to flush the broken stream once more on its way out.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
