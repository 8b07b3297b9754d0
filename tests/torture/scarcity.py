"""Disks, memory and outputs that give out while a job runs, and system calls that fail."""

import contextlib
import functools
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bulk_delete.sandbox import Call
from tests.torture.trial import JOB, Deed, Trial

DISK = 2 << 20
"""Bytes of a small disk: room for the job, and little more."""

_PAGE = 4096


def _called(*words: str) -> str | None:
    """Run a command; return what it complains of, None when all went well."""
    if shutil.which(words[0]) is None:
        return f"{words[0]} is not installed"
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    return (done.stderr.strip() or f"{words[0]} does not work") if done.returncode else None


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """Have a disk of its own at a folder; what it held in the end is kept beside it."""
    place.mkdir(parents=True, exist_ok=True)
    if wrong := _called("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)):
        raise OSError(wrong)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            shutil.copytree(place, place.with_name(f"{place.name}.kept"))
        if wrong := _called("umount", "--lazy", str(place)):
            raise OSError(wrong)


@functools.cache
def no_mounts() -> str | None:
    """Say why no disk can be mounted here, if none can."""
    if os.geteuid() != 0:
        return "only the superuser mounts a disk"
    if shutil.which("umount") is None:
        return "umount is not installed"
    try:
        with tempfile.TemporaryDirectory() as home, _small_disk(Path(home) / "disk"):
            return None
    except OSError as error:
        return str(error)


@functools.cache
def no_strace() -> str | None:
    """Say why no system call can be made to fail here, if none can."""
    return _called("strace", *_failing("fsync", "error=EIO", 1), "-o", os.devnull, "true")


def _failing(calls: str, act: str, nth: int, path: Path | None = None) -> list[str]:
    """Tell strace to have the nth of such calls, of each thread, go wrong."""
    only = ["-P", str(path)] if path else []
    # The filter is quicker, but strace 6.1 forgets to send a signal with it, except at the first.
    quick = [] if act.startswith("signal") else ["--seccomp-bpf"]
    what = ["-e", f"trace={calls}", "-e", f"inject={calls}:{act}:when={nth}"]
    return ["-f", *quick, "-qq", "-ttt", *only, *what]


def traced(calls: str, act: str, *, most: int = 8, journal: bool = True) -> Deed:
    """Have one system call really go wrong, of those on the journal or of all.

    Those that follow go well again, which must not be taken for a cure.
    """

    def deed(trial: Trial) -> None:
        path = trial.journal.resolve() if journal else None
        failing = _failing(calls, act, trial.rng.randrange(1, most), path)
        log = trial.command.home / "trace"
        trial.end(trial.start(under=["strace", *failing, "-o", str(log)]))
        if failed := _FAILED.search(log.read_text()):
            trial.note_failure(float(failed[1]))

    return deed


_FAILED = re.compile(r"^\d+ +([\d.]+) .* = -1 .*\(INJECTED\)$", re.MULTILINE)
"""A line of strace's, with the time of the call."""


def full_disk(trial: Trial) -> None:
    """Fill the disk in the middle of the job; make room when it has failed there twice."""
    trial.stack.enter_context(_small_disk(trial.command.state))
    ballast, due = trial.command.state / "ballast", trial.rng.randrange(1, 40)

    def fill(_: Call) -> None:
        if len(trial.api.calls) + 1 == due:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                for _page in range(DISK // _PAGE):
                    file.write(bytes(_PAGE))

    trial.on_call = fill
    trial.end(trial.start())
    trial.end(trial.start())
    ballast.unlink()


def folder_removed(trial: Trial) -> None:
    """Remove the job's folder, for good."""
    removed_at: list[float] = []
    due = trial.rng.randrange(1, 40)

    def remove(_: Call) -> None:
        if len(trial.api.calls) + 1 == due:
            shutil.rmtree(trial.command.folder(JOB), ignore_errors=True)
            removed_at.append(time.time())

    trial.on_call = remove
    trial.end(trial.start())
    trial.note_failure(removed_at[0])


def full_output(trial: Trial) -> None:
    """Let stdout and stderr take nothing."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        trial.end(trial.start(output=full))


def memory_limit(trial: Trial) -> None:
    """Give it less memory than it needs, from the start on."""
    limit, least, most = trial.rng.choice(
        [(resource.RLIMIT_AS, 48, 512), (resource.RLIMIT_DATA, 24, 192)]
    )
    trial.end(trial.start(limits={limit: trial.rng.randrange(least << 20, most << 20)}))


def memory_used_up(trial: Trial) -> None:
    """Leave it in the middle of the job no more memory than it has, or less."""
    child, due = trial.start(), trial.rng.randrange(1, 40)
    less = trial.rng.randrange(20 << 20)

    def starve(_: Call) -> None:
        if len(trial.api.calls) + 1 == due:
            status = Path(f"/proc/{child.pid}/status").read_text()
            used = int(status.partition("VmData:")[2].split(maxsplit=1)[0]) << 10
            resource.prlimit(child.pid, resource.RLIMIT_DATA, (used - less, used - less))

    trial.on_call = starve
    trial.end(child)


def memory_used_up_watched(trial: Trial) -> None:
    """Do so to a job with a metrics file and with hooks, at which nobody is."""
    trial.command.environ |= {
        "BULK_DELETE_METRICS_FILE": str(trial.command.home / "runs.prom"),
        "BULK_DELETE_METRICS_INTERVAL": "20ms",
        "BULK_DELETE_NOTIFY_START": "http://127.0.0.1:9/",
        "BULK_DELETE_NOTIFY_FAILURE": "http://127.0.0.1:9/",
    }
    memory_used_up(trial)
