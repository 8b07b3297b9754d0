"""Who holds a job: real locks, real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bulk_delete.errors import JobBusy
from bulk_delete.folder import JobFolder
from bulk_delete.lock import Holder, holder_of, newcomer

HOLDING = """
import sys
from pathlib import Path
from bulk_delete.folder import JobFolder
with JobFolder(Path(sys.argv[1]), "job").locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the job, until its standard input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def held_by(path: Path) -> Holder:
    found = holder_of(path)
    assert found
    return found


def test_a_holder_is_told_without_taking_the_lock(tmp_path: Path) -> None:
    """The lock's file tells process, host and time, and that the process is there."""
    with holding(tmp_path) as child:
        found = held_by(tmp_path / "job" / "lock")
        assert (found.pid, found.host) == (child.pid, os.uname().nodename)
        assert found.is_there
        assert str(found) == f"pid {child.pid} on {found.host} since {found.since}"


def test_who_lets_go_is_no_holder(tmp_path: Path) -> None:
    """When a job is let go of, its lock names nobody, though the process goes on."""
    folder = JobFolder(tmp_path, "job")
    with folder.locked():
        assert held_by(folder.lock).execution == folder.execution
    assert holder_of(folder.lock) is None


def test_a_killed_holder_is_gone(tmp_path: Path) -> None:
    """A process that was killed is named still, and known to be gone, even before it is buried."""
    with holding(tmp_path) as child:
        found = held_by(tmp_path / "job" / "lock")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert found.is_there is False
        child.communicate()
        assert found.is_there is False


def test_another_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    """A number that was given to a new process is not taken for the holder."""
    with JobFolder(tmp_path, "job").locked():
        found = held_by(tmp_path / "job" / "lock")
        assert replace(found, born=found.born - 1).is_there is False


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"place": "another boot"}])
def test_what_is_not_to_be_seen_from_here_is_unknown(elsewhere: dict[str, Any]) -> None:
    """Of a process on another host, or in another container, nobody can tell."""
    assert replace(newcomer("x", "run"), **elsewhere).is_there is None


def test_without_proc_the_number_alone_counts() -> None:
    """Where the system tells no birth of a process, it is there if its number is."""
    mine = replace(newcomer("x", "run"), born=0)
    assert mine.is_there
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert replace(mine, pid=gone.pid).is_there is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        '{"pid": "1", "host": "h", "since": "s"}',
        '{"pid": 1, "host": "\\u001b[2J", "since": "s"}',
        "\xff",
    ],
)
def test_a_spoilt_lock_names_nobody(tmp_path: Path, text: str) -> None:
    """A lock's file that is empty, torn or of another form is no holder, and no error."""
    path = tmp_path / "lock"
    path.write_bytes(text.encode("latin-1"))
    assert holder_of(path) is None


def test_the_lock_of_an_older_version_is_read(tmp_path: Path) -> None:
    """What earlier versions wrote names its holder; what it does is unknown."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 7, "host": "h", "since": "s"}))
    assert held_by(path) == Holder(7, "h", "s")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe in the place of a lock names nobody."""
    os.mkfifo(tmp_path / "lock")
    assert holder_of(tmp_path / "lock") is None


def test_a_job_is_waited_for(tmp_path: Path) -> None:
    """With time to wait a second holder is told of the first, and follows it."""
    told: list[Holder | None] = []
    with holding(tmp_path) as child:

        def waiting(holder: Holder | None) -> None:
            told.append(holder)
            child.kill()

        folder = JobFolder(tmp_path, "job")
        with folder.locked(wait_s=30, waiting=waiting):
            assert held_by(folder.lock).pid == os.getpid()
    assert [holder and holder.pid for holder in told] == [child.pid]


def test_waiting_ends(tmp_path: Path) -> None:
    """When the time to wait is over the job is busy, and its holder named; it stays the holder."""
    folder = JobFolder(tmp_path, "job")
    with holding(tmp_path) as child:
        before = held_by(folder.lock)
        with pytest.raises(JobBusy, match=rf"pid {child.pid} on .*waited"):  # noqa: SIM117 - two steps
            with folder.locked(wait_s=0.05):
                pass
        assert asdict(held_by(folder.lock)) == asdict(before)
