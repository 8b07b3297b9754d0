"""What is said on stdout and stderr."""

import pytest

from bulk_delete.cli.printing import complain, emit, tell


def test_nothing_that_is_said_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes are shown on both streams; line ends are ours."""
    emit("data\x1b]0;x\x07\n\u202e\n")
    tell("words\x9b1m\nmore\r\n")
    assert tuple(capsys.readouterr()) == (
        "data\\x1b]0;x\\x07\n\\u202e\n",
        "words\\x9b1m\nmore\\r\n",
    )


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A name in it forges no second line; what it is about stands below, where there is any."""
    complain("a\nbulk-delete: all is well: cannot be opened")
    complain("2 rows are bad", "  a.csv, line 1: x\n  a.csv, line 2: y")
    assert capsys.readouterr().err == (
        "bulk-delete: a\\nbulk-delete: all is well: cannot be opened\n"
        "bulk-delete: 2 rows are bad:\n  a.csv, line 1: x\n  a.csv, line 2: y\n"
    )
