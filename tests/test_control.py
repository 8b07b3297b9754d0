"""What is asked of a job, and how it shows itself: two small files on a real disk."""

import fcntl
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from bulk_delete.control import (
    Ask,
    Control,
    Ear,
    Live,
    UnreadableError,
    alone,
    change,
    read_control,
    read_live,
    whoever_asks,
    write_live,
)
from bulk_delete.control import requests as requests_module

ASK = Ask("alice@here, pid 7", "2026-01-02T03:04:05.678Z", "why not")
LIVE = Live(
    job="job",
    execution="x",
    pid=7,
    host="here",
    base_url="http://127.0.0.1",
    key_id="k",
    fingerprint="f",
    began="2026-01-02T03:04:05.678Z",
    at="2026-01-02T03:04:06.678Z",
    state="running",
    heard=3,
    limit="10/s",
    planned=5,
    runs={"deleted": 2},
)


def paused(control: Control) -> Control:
    return msgspec.structs.replace(control, pause=ASK)


def test_what_is_asked_is_read_back(tmp_path: Path) -> None:
    """A change is written whole, for this user alone, and leaves nothing else behind."""
    path = tmp_path / "control.json"
    assert read_control(path) == Control()
    written = change(path, paused)
    assert written.pause == ASK
    assert read_control(path) == written
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["control.json"]
    assert json.loads(path.read_bytes())["pause"]["reason"] == "why not"


def test_every_change_has_a_greater_number(tmp_path: Path) -> None:
    """The number grows with each change, also when the file was lost or comes from the future."""
    path = tmp_path / "control.json"
    numbers = [change(path, paused).n for _ in range(5)]
    path.unlink()
    numbers.append(change(path, paused).n)
    path.write_bytes(msgspec.json.encode(Control(v=1, n=10**16)))
    numbers.append(change(path, paused).n)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 10**16 + 1


def test_who_asks_at_once_asks_in_turn(tmp_path: Path) -> None:
    """Of many who change it at the same time, nobody's change is lost."""
    path = tmp_path / "control.json"

    def append(control: Control) -> Control:
        before = control.pause.reason if control.pause else ""
        return msgspec.structs.replace(control, pause=Ask("a", "b", before + "x"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: change(path, append), range(40)))
    assert read_control(path).pause == Ask("a", "b", "x" * 40)


def test_an_operators_lock_holds_nobody_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody keeps the folder locked, as cron lines with flock do, it goes on without."""
    monkeypatch.setattr(requests_module, "_PATIENCE_S", 0.1)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    change(tmp_path / "control.json", paused)
    os.close(handle)
    with alone(tmp_path / "not there"):
        pass
    assert read_control(tmp_path / "control.json").pause == ASK


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"v":2}', b'{"pause":{"by":1}}', b"\xff\xfe", b'"pause"']
)
def test_what_no_command_wrote_is_told(tmp_path: Path, data: bytes) -> None:
    """A file of another form is an error that names it, and the next change replaces it."""
    path = tmp_path / "control.json"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"control\.json"):
        read_control(path)
    change(path, paused)
    assert read_control(path).pause == ASK


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """A pipe or a link in its place is an error, and is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(UnreadableError, match=name):
            read_control(tmp_path / name)


def test_news_come_once(tmp_path: Path) -> None:
    """A change is heard once; a file that is not there, or gone, is no news."""
    path = tmp_path / "control.json"
    ear = Ear(path)
    assert ear.news() is None
    first = change(path, paused)
    assert [ear.news(), ear.news()] == [first, None]
    second = change(path, lambda control: msgspec.structs.replace(control, pause=None))
    assert [ear.news(), ear.news()] == [second, None]
    path.unlink()
    assert ear.news() is None


def test_news_that_cannot_be_read_are_told_once(tmp_path: Path) -> None:
    """A spoilt file is an error at its first look, not at each."""
    path = tmp_path / "control.json"
    path.write_text("spoilt")
    ear = Ear(path)
    with pytest.raises(UnreadableError):
        ear.news()
    assert ear.news() is None


def test_whoever_asks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """User, host and process are told; behind root the user who became it."""
    told = whoever_asks()
    assert f"@{os.uname().nodename}, pid {os.getpid()}" in told
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert whoever_asks().startswith("alice (as root)@")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert whoever_asks().startswith("4000000@")


def test_a_live_file_is_read_back(tmp_path: Path) -> None:
    """How a job stands is written whole, for this user alone, and read as it was."""
    path = tmp_path / "status.json"
    write_live(path, LIVE)
    assert read_live(path) == LIVE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.json"]


def test_a_live_file_that_cannot_be_written_keeps_the_old_one(tmp_path: Path) -> None:
    """A disk that takes nothing ends no job: the figures before stay."""
    path = tmp_path / "status.json"
    write_live(path, LIVE)
    (tmp_path / f".status.json.{os.getpid()}.new").mkdir()
    write_live(path, msgspec.structs.replace(LIVE, planned=6))
    assert read_live(path) == LIVE


@pytest.mark.parametrize("data", [b"", b"{}", b'{"job":', b"\xff"])
def test_a_spoilt_live_file_tells_nothing(tmp_path: Path, data: bytes) -> None:
    """What is torn, or of another version, is as good as none."""
    path = tmp_path / "status.json"
    path.write_bytes(data)
    assert read_live(path) is None


def test_a_file_without_a_version_is_spoilt(tmp_path: Path) -> None:
    """What no command has written asks for nothing, least of all to go on."""
    path = tmp_path / "control.json"
    path.write_text("{}")
    with pytest.raises(UnreadableError, match="is of version 0"):
        read_control(path)
    assert change(path, paused).v == 1
    assert read_control(path).pause == ASK
