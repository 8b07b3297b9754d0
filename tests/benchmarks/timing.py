"""Runs a command as a whole process, and takes its time and the peak of its memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one of ru_maxrss


class CommandError(Exception):
    """A command failed, or did not count what was made, or did not do what was asked."""


@dataclass(frozen=True)
class Timed:
    """`seconds` of wall time; `mb`, in 10^6 bytes, of the largest process of its tree."""

    seconds: float
    mb: float
    out: str
    code: int


def timed(
    words: Sequence[str],
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    core: int | None = None,
    codes: Collection[int] = (0,),
) -> Timed:
    """Run a command in the folder. Its `mb` is never below what this process itself takes.

    It is held to one core if one is named. Raises CommandError if it ends with none of the codes.
    """
    # Into files, since nobody would read pipes while wait4 waits.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        with subprocess.Popen(
            words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        ) as process:
            pin(process.pid, core)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in codes:
            tail = err.read().decode(errors="replace")[-2000:]
            raise CommandError(f"exit code {process.returncode} of {' '.join(words)}\n{tail}")
        mb = usage.ru_maxrss * RSS_UNIT / 1e6
        return Timed(seconds, mb, out.read().decode(), process.returncode)


def cores() -> list[int]:
    """Return the cores that this process may use; none where processes cannot be held to one."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})
