"""Makes a system call go wrong, at a named point, in a process that loads this.

`INJECTED_FAULT` is JSON. `call`: write, fdatasync, time, getaddrinfo, which then never returns,
checkpoint, of which one is then kept every few lines, or thread: once a call has left, each new
thread dies of a want of memory before it begins; `nth`: which one, from 1, of those that
concern the journal and, for a write, have `having` in them; `act`: kill_before, kill_after,
short, the name of an errno, or how many seconds the clock jumps. The moment of the first failure is
written to the file `told`.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _strike(
    act: str, told: Path, real: Callable[..., Any], handle: int, rest: tuple[Any, ...]
) -> Any:
    if act == "short":
        return real(handle, rest[0][: (len(rest[0]) + 1) // 2])
    if act == "kill_after":
        real(handle, *rest)
    if act.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    with contextlib.suppress(FileExistsError), told.open("x", encoding="ascii") as file:
        file.write(str(time.time()))
    number = getattr(errno, act)
    raise OSError(number, os.strerror(number))


def _inject(fault: dict[str, Any]) -> None:
    real, seen = getattr(os, fault["call"]), 0
    having = fault["having"].encode()

    def call(handle: int, *rest: Any) -> Any:
        nonlocal seen
        is_journal = Path(f"/proc/self/fd/{handle}").readlink().name == "journal.jsonl"
        if is_journal and (not rest or having in bytes(rest[0])):
            seen += 1
            if seen >= fault["nth"]:
                return _strike(fault["act"], Path(fault["told"]), real, handle, rest)
        return real(handle, *rest)

    setattr(os, fault["call"], call)


def _jump(fault: dict[str, Any]) -> None:
    real, seen = time.time, 0

    def now() -> float:
        nonlocal seen
        seen += 1
        return real() + (fault["act"] if seen >= fault["nth"] else 0)

    time.time = now


def _hang(_: dict[str, Any]) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        threading.Event().wait()

    socket.getaddrinfo = look_up


def _keep(_: dict[str, Any]) -> None:
    from bulk_delete.runner import checkpoint, following  # noqa: PLC0415 - only where it is asked for

    checkpoint.EVERY_LINES = checkpoint.BYTES_PER_LINE = 5
    following._LOOK_EVERY_S = 0.02


def _stifle(_: dict[str, Any]) -> None:
    bootstrap, write = vars(threading.Thread)["_bootstrap"], os.write
    struck: list[bool] = []

    def begin(thread: threading.Thread) -> None:
        if struck:
            raise MemoryError
        bootstrap(thread)

    def note(handle: int, data: Any) -> int:
        if b'"batch.sent"' in bytes(data):
            struck.append(True)
        return write(handle, data)

    setattr(threading.Thread, "_bootstrap", begin)  # noqa: B010 - it is not public
    os.write = note


_MAKERS = {"time": _jump, "getaddrinfo": _hang, "checkpoint": _keep, "thread": _stifle}

if told := os.environ.get("INJECTED_FAULT"):
    found = json.loads(told)
    _MAKERS.get(found["call"], _inject)(found)
