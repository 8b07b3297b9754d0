"""The job folder on a real disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bulk_delete.errors import InvalidInput, JobBusy, JournalFailed
from bulk_delete.folder import JobFolder, state_dir, whole_file, write_whole


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", ".hidden", "a b", "\N{LATIN SMALL LETTER E WITH ACUTE}", "x" * 101],
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """A job's name is one plain word, so that its folder lies in the state folder."""
    with pytest.raises(InvalidInput, match="--name"):
        JobFolder(tmp_path, name)


def test_a_held_job_is_held(tmp_path: Path) -> None:
    """A second holder is refused while there is a first, and accepted after it."""
    folder = JobFolder(tmp_path / "state", "job")
    with folder.locked(), pytest.raises(JobBusy, match=r"pid \d+ on "), folder.locked():
        pass
    with folder.locked():
        assert (folder.path / "lock").exists()


def test_a_folder_that_cannot_be_closed_to_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's folder, which one may write but not close, is no place for a job."""
    folder = JobFolder(tmp_path, "job")
    folder.make()
    folder.path.chmod(0o770)

    def forbidden(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", forbidden)
    with pytest.raises(JournalFailed, match="give --state-dir a folder of your own"):
        folder.make()


def test_what_a_killed_process_was_writing_is_swept(tmp_path: Path) -> None:
    """Who holds the job removes unfinished files of processes that are gone, and nothing else."""
    folder = JobFolder(tmp_path, "job")
    folder.make()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f".summary.json.{gone.pid}.new", f".failed.csv.{os.getpid()}.new", ".x.new", "a.new"]
    for name in names:
        (folder.path / name).write_text("half")
    with folder.locked():
        left = {entry.name for entry in folder.path.iterdir()}
    assert left == {"lock", *names[1:]}


def test_too_little_room_is_told_with_figures(tmp_path: Path) -> None:
    """A disk without room for the journal is refused before the start."""
    folder = JobFolder(tmp_path, "job")
    folder.make()
    folder.room_for(1)
    with pytest.raises(JournalFailed, match=r"MB free, .* needs about 1,000,000,000,000\.0 MB"):
        folder.room_for(10**18)


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    """What was there stays until all of the new is there, and nothing else is left behind."""
    path = tmp_path / "list.csv"
    write_whole(path, ["old\n"])

    def break_off() -> None:
        with whole_file(path) as file:
            file.write("half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.csv"]


def test_a_file_of_bytes_and_texts_is_for_this_user_alone(tmp_path: Path) -> None:
    """Texts are written as UTF-8, bytes as they are, with mode 0600."""
    path = tmp_path / "list.csv"
    write_whole(path, ["\N{LATIN SMALL LETTER E WITH ACUTE}\r\n", b"\xff\0"])
    assert path.read_bytes() == b"\xc3\xa9\r\n\xff\0"
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_rows_no_file(tmp_path: Path) -> None:
    """A list without rows removes the one before, unless an empty file is asked for."""
    path = tmp_path / "list.csv"
    write_whole(path, ["old\n"])
    write_whole(path, [])
    assert not path.exists()
    write_whole(path, [], even_empty=True)
    assert path.read_text() == ""


def test_what_told_of_the_execution_before_goes(tmp_path: Path) -> None:
    """Other plans, also of earlier versions, and the old summary go; all else stays."""
    folder = JobFolder(tmp_path, "job")
    folder.make()
    older = folder.path / f"plan.{'a' * 16}.jsonl"
    for path in (
        folder.plan("a" * 64),
        folder.plan("b" * 64),
        older,
        folder.summary,
        folder.failed,
    ):
        path.write_text("")
    folder.forget_before("a" * 64)
    assert {entry.name for entry in folder.path.iterdir()} == {
        "plan.aaaaaaaaaaaaaaaa.bin",
        "failed.csv",
    }


def test_where_the_jobs_are(tmp_path: Path) -> None:
    """The chosen folder, else that of XDG, which counts only with a whole path, else the home's."""
    chosen = tmp_path / "chosen"
    assert state_dir(chosen, {"XDG_STATE_HOME": "/x"}, tmp_path) == chosen
    assert state_dir(None, {"XDG_STATE_HOME": "/x"}, tmp_path) == Path("/x/bulk-delete")
    own = tmp_path / ".local" / "state" / "bulk-delete"
    assert state_dir(None, {"XDG_STATE_HOME": "x"}, tmp_path) == own
    assert state_dir(None, {}, tmp_path) == own
