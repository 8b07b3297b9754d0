"""The signals that ask for an end. A signal asks; it does not kill work."""

import signal
from collections.abc import Callable

import anyio
import anyio.abc


def ignore_signals() -> None:
    """Let no signal contradict the end that is already on the record."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


async def watch(
    asked: Callable[[signal.Signals, int], None],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Call `asked(signal, how many so far)` for each SIGINT, SIGTERM and SIGHUP.

    A SIGHUP that is ignored on start stays ignored: that is what nohup asks for.
    """
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*wanted) as received:
        task_status.started()
        count = 0
        async for signum in received:
            count += 1
            asked(signum, count)
