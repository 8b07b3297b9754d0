"""Texts from elsewhere, on their way to a terminal, a file or a parser."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_delete.plain import plain, plain_json, printable


def test_what_a_terminal_would_obey_is_escaped() -> None:
    """Escape sequences, bells, line ends and marks of direction are shown, not done."""
    assert printable("\x1b]0;x\x07\x9b\u202e\n\té") == r"\x1b]0;x\x07\x9b\u202e\n\té"


def test_line_ends_stay_where_they_are_ours() -> None:
    """A text of several lines keeps them, and nothing else that would not be seen."""
    assert plain("a\x1b[1m\n\r\u2028é\n") == "a\\x1b[1m\n\\r\\u2028é\n"


@given(st.text(max_size=40), st.sampled_from([None, 2]))
def test_json_says_the_same_when_it_is_plain(text: str, indent: int | None) -> None:
    """A JSON text whose odd characters are escaped can be seen, and is read as the same value."""
    shown = plain_json(json.dumps([text], indent=indent, ensure_ascii=False))
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == [text]


@pytest.mark.parametrize("text", ["\udcff", "\x7f", "\N{FACE WITH TEARS OF JOY}", "\U000e0001"])
def test_json_of_odd_planes_is_read_as_the_same(text: str) -> None:
    """Half a surrogate, a deletion, what is seen and what is not outside the first plane."""
    assert json.loads(plain_json(f'"{text}"')) == text
