"""Inputs by name and by pattern."""

from pathlib import Path

import pytest

from bulk_delete.errors import InvalidInput
from bulk_delete.sources import find, is_missing

FILES = ["a.csv", "b.csv", "b.jsonl", ".c.csv", "x/a.csv", "x/y/a.csv", "z/a.csv", "n[1].csv"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make some files in a folder whose own name looks like a pattern."""
    folder = tmp_path / "data[ab]*"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.csv", ["a.csv"]),
        ("missing.csv", ["missing.csv"]),
        ("*.csv", ["a.csv", "b.csv", "n[1].csv"]),
        (".*.csv", [".c.csv"]),
        ("[a-b].*", ["a.csv", "b.csv", "b.jsonl"]),
        ("?.jsonl", ["b.jsonl"]),
        ("*/a.csv", ["x/a.csv", "z/a.csv"]),
        ("*/*/*.csv", ["x/y/a.csv"]),
        ("x/../[a].csv", ["x/../a.csv"]),
        ("n[[]1].csv", ["n[1].csv"]),
        ("*/b.csv", []),
        ("a.csv/*", []),
        ("missing/*.csv", []),
        ("*.parquet", []),
    ],
)
def test_names_and_patterns(folder: Path, name: str, found: list[str]) -> None:
    """A pattern means the files that match, in order; a plain name itself, be it there or not."""
    assert find(folder, name) == [str(folder / path) for path in found]


def test_names_that_start_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute name and one with ~ are not seen from the folder."""
    monkeypatch.setenv("HOME", str(folder))
    assert find(Path("elsewhere"), "~/a.csv") == [str(folder / "a.csv")]
    assert find(folder, "/elsewhere/a.csv") == ["/elsewhere/a.csv"]
    assert find(folder, str(folder.parent / "*" / "b.jsonl")) == [str(folder / "b.jsonl")]


def test_a_closed_folder_is_not_an_empty_one(folder: Path) -> None:
    """A folder that cannot be looked into is an error, and a file in it is not called missing."""
    (folder / "loop").symlink_to("loop")
    with pytest.raises(InvalidInput, match="loop: cannot be looked into: Too many levels"):
        find(folder, "loop/*.csv")
    assert not is_missing(str(folder / "loop" / "none.csv"))


def test_what_is_missing(folder: Path) -> None:
    """A file that is not there, one below a file, and a link to nothing are missing."""
    (folder / "link").symlink_to("nowhere")
    missing = ["none.csv", "a.csv/none", "link"]
    assert [name for name in [*missing, "a.csv", "x"] if is_missing(str(folder / name))] == missing
