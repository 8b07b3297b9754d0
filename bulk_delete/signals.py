"""The signals that ask for an end. A signal asks; it does not kill work.

Plain handlers, not the event loop's: those fall back to the default, which kills, for a moment
before anything else can be put in their place.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

LAST_WORDS_S = 1.0
"""How long the last words may take before a signal cuts them short."""

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def obeyed(asked: Callable[[signal.Signals, int], None]) -> Iterator[None]:
    """Inside, call `asked(signal, how many so far)` in the event loop; after it, ignore them all.

    A SIGHUP that is ignored on start stays ignored: that is what nohup asks for.
    """
    loop = asyncio.get_running_loop()
    count = 0

    def heard(signum: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        loop.call_soon_threadsafe(asked, signal.Signals(signum), count)

    for signum in _ASKING:
        if signum is not signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, heard)
    try:
        yield
    finally:
        _ignore()


@contextlib.contextmanager
def ending(code: int) -> Iterator[None]:
    """Inside, end with `code` on any of them, once it has lasted; after it, ignore them all.

    For the last words, which a terminal that stands still may never take. The end is on the
    record by then, and no signal may say otherwise.
    """
    patient_until = time.monotonic() + LAST_WORDS_S

    def heard(_signum: int, _frame: FrameType | None) -> None:
        if time.monotonic() > patient_until:
            os._exit(code)

    for signum in _ASKING:
        signal.signal(signum, heard)
    try:
        yield
    finally:
        _ignore()  # the interpreter puts back the default for a handler, but not for this


def _ignore() -> None:
    for signum in _ASKING:
        signal.signal(signum, signal.SIG_IGN)
