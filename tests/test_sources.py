"""Input files to pairs and rejects: what is read, what is refused, and where the blame is put."""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.model import MAX_ID, InputFile, Pair, Reject
from bulk_delete.sources import STDIN, WHOLE_RESULT, Source, stem
from bulk_delete.sources.files import MAX_LINE
from bulk_delete.sources.ids import parse_id
from tests.reference import (
    ARABIC_3,
    BOM,
    PLAIN,
    WIDE_123,
    Case,
    Reading,
    Refusal,
    beside,
    edited,
    json_lines,
    reading,
    tables,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEADER = "result_id,run_id\n"
TWO = [Pair(1, 2), Pair(3, 4)]
"""What every well-formed sample below holds."""

GZIP, ZSTD = "gz", "zst"
PACKED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
CHECKSUM: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}


def put(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


class Sizes(NamedTuple):
    """How much is worked on together; small sizes put borders everywhere."""

    block: int = 256 * 1024
    """Bytes that are read and scanned together."""
    few: int = 1000
    """Rows between two stray quotes for which CSV is scanned again."""
    piece: int = 256
    """JSON lines that are decoded together."""
    most_odd: float = 0.05
    """Share of JSON lines that may be unlike the first."""


USUAL = Sizes()
SMALL = Sizes(16, 1, 1, 9.0), Sizes(61, 2, 3)


@contextlib.contextmanager
def sized(sizes: Sizes) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bulk_delete.sources.files._BLOCK", sizes.block)
        patch.setattr("bulk_delete.sources.opening._READ_AHEAD", sizes.block)
        patch.setattr("bulk_delete.sources.csv_rows._FEW", sizes.few)
        patch.setattr("bulk_delete.sources.jsonl_rows._PIECE", sizes.piece)
        patch.setattr("bulk_delete.sources.jsonl_rows._MOST_ODD", sizes.most_odd)
        yield


def outcome(
    *paths: str, options: Input = PLAIN, whole_results: bool = False, sizes: Sizes = USUAL
) -> Reading | str:
    """Read inputs; return the pairs, sorted, and the rejects, or why they are refused."""
    found = Reading()
    with sized(sizes):
        try:
            for rows in Source(paths, options, whole_results=whole_results).rows():
                found.pairs += rows.columns.pairs()
                found.rejects += rows.rejects
        except InvalidInput as error:
            return error.reason
    return Reading(sorted(found.pairs), found.rejects)


def settled(*paths: str, options: Input = PLAIN, whole_results: bool = False) -> Reading | str:
    """Read inputs; those that are not long, in small blocks, too, which must change nothing."""
    found = outcome(*paths, options=options, whole_results=whole_results)
    if all(Path(path).is_file() and 0 < Path(path).stat().st_size < 3000 for path in paths):
        for sizes in SMALL:
            again = outcome(*paths, options=options, whole_results=whole_results, sizes=sizes)
            assert again == found
    return found


def read(*paths: str, options: Input = PLAIN, whole_results: bool = False) -> Reading:
    found = settled(*paths, options=options, whole_results=whole_results)
    assert isinstance(found, Reading)
    return found


def pairs_of(*paths: str, options: Input = PLAIN, whole_results: bool = False) -> list[Pair]:
    found = read(*paths, options=options, whole_results=whole_results)
    assert found.rejects == []
    return found.pairs


def refusal(*paths: str, options: Input = PLAIN, whole_results: bool = False) -> str:
    found = settled(*paths, options=options, whole_results=whole_results)
    assert isinstance(found, str)
    return found


def only_reject(path: str, options: Input = PLAIN) -> Reject:
    found = read(path, options=options)
    assert found.pairs == []
    (reject,) = found.rejects
    return reject


def packed(data: bytes, how: str) -> bytes:
    return gzip.compress(data, mtime=0) if how == GZIP else zstd.compress(data, options=CHECKSUM)


# Ids

NOT_IDS = {
    "underscore": ("1_000", "'1_000' is not a whole decimal number"),
    "plus": ("+5", "'+5' is not a whole decimal number"),
    "minus": ("-5", "'-5' is not a whole decimal number"),
    "arabic digit": (ARABIC_3, "is not a whole decimal number"),
    "wide digits": (WIDE_123, "is not a whole decimal number"),
    "superscript": ("\N{SUPERSCRIPT TWO}", "is not a whole decimal number"),
    "exponent": ("1e3", "'1e3' is not a whole decimal number"),
    "point": ("1.0", "'1.0' is not a whole decimal number"),
    "fraction": ("1.5", "'1.5' is not a whole decimal number"),
    "hexadecimal": ("0x10", "'0x10' is not a whole decimal number"),
    "true": ("true", "'true' is not a whole decimal number"),
    "thousands": ("1 000", "'1 000' is not a whole decimal number"),
    "no-break space": ("\N{NO-BREAK SPACE}5", "is not a whole decimal number"),
    "form feed": ("5\f", "is not a whole decimal number"),
    "empty": ("", "is empty"),
    "blank": (" \t ", "is empty"),
    "zero": ("0", "is 0; ids start at 1"),
    "zeros": ("000", "is 0; ids start at 1"),
    "2^63": (str(2**63), f"{2**63} is above 2^63-1"),
    "5000 digits": ("9" * 5000, "9 is above 2^63-1"),
}
not_ids = pytest.mark.parametrize(("text", "reason"), NOT_IDS.values(), ids=NOT_IDS.keys())


@not_ids
def test_what_is_no_id_is_refused_with_its_reason(text: str, reason: str) -> None:
    """A text that is no id is refused, and the reason stays short however long the text is."""
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        parse_id(text)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (str(MAX_ID), MAX_ID),
        (" 7\t", 7),
        ("7\r\n", 7),
        (f"{' ' * 40}7{' ' * 40}", 7),
        ("007", 7),
        ("0" * 5000 + "7", 7),
        *((str(2**53 + more), 2**53 + more) for more in (-1, 0, 1)),  # a float would lose the last
    ],
)
def test_an_id_is_read_exactly(tmp_path: Path, text: str, value: int) -> None:
    """An id from 1 to 2^63-1 is read to the last digit, with blanks and zeros before it."""
    assert parse_id(text) == value
    both = [Pair(7, value), Pair(value, 7)]
    both.sort()
    rows = HEADER, f'"{text}",7\n', f'7,"{text}"\n'
    assert pairs_of(put(tmp_path, "a.csv", "".join(rows))) == both
    plain = text.strip("\r\n")
    assert pairs_of(put(tmp_path, "a.csv", f"{HEADER}{plain},7\n7,{plain}\n")) == both
    texts = [{"result_id": text, "run_id": "7"}, {"result_id": 7, "run_ids": [text]}]
    assert pairs_of(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, texts)))) == both
    alike = [{"result_id": pair[0], "run_id": pair[1]} for pair in both]
    assert pairs_of(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, alike)))) == both
    mixed = [{"result_id": 7, "run_ids": [value]}, {"result_id": value, "run_id": 7}]
    assert pairs_of(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, mixed)))) == both


def reference_id(text: str) -> int | None:
    """Read an id by another way than the code does."""
    match = re.fullmatch(r"[ \t\r\n]*([0-9]+)[ \t\r\n]*", text)
    return int(match[1]) if match and 1 <= int(match[1]) <= MAX_ID else None


def parsed(text: str) -> int | None:
    try:
        return parse_id(text)
    except ValueError:
        return None


odd_texts = st.text(
    st.sampled_from("0123456789 \t\r\n+-_.eExX\x0b\x0c\x1f\xa0" + WIDE_123), max_size=24
)
near_ids = st.one_of(
    st.integers(1, MAX_ID).map(str),
    st.integers(MAX_ID - 3, MAX_ID + 3).map(str),
    st.integers(-3, 10**21).map(str),
    st.integers(1, 99).map(lambda number: f" {number:025d}\t"),
)


@effort(max_examples=200, deadline=None)
@given(st.one_of(odd_texts, near_ids, st.text(max_size=12)))
def test_exactly_the_ids_are_ids(text: str) -> None:
    """A text is an id if it is ASCII digits worth 1 to 2^63-1, blanks around; else it is none."""
    assert parsed(text) == reference_id(text)


@not_ids
@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
@pytest.mark.parametrize("column", ["result id", "run id"])
def test_a_csv_cell_that_is_no_id_rejects_its_row(
    tmp_path: Path, text: str, reason: str, column: str, quote: str
) -> None:
    """A bad id in a CSV row rejects that row alone, and the reason names the column."""
    cell = quote + text + quote
    row = f"{cell},2" if column == "result id" else f"1,{cell}"
    path = put(tmp_path, "runs.csv", f"{HEADER}1,2\n{row}\n3,4\n")
    found = read(path)
    (bad,) = found.rejects
    assert found.pairs == TWO
    assert (bad.file, bad.line, bad.pairs, bad.text) == (path, 3, 1, row[:200])
    assert bad.reason.startswith(column)
    assert reason in bad.reason


@not_ids
def test_a_json_text_that_is_no_id_rejects_its_row(tmp_path: Path, text: str, reason: str) -> None:
    """The rule for ids is the same for a JSON string as for a CSV cell."""
    row = {"result_id": 1, "run_id": text}
    bad = only_reject(put(tmp_path, "runs.jsonl", json.dumps(row)))
    assert bad.reason.startswith("run id")
    assert reason in bad.reason


NO_JSON_NUMBERS = [
    "1.0",
    "1.5",
    "1e3",
    "1E400",
    "-1e400",
    "0.1",
    "-0",
    "-5",
    "0",
    str(2**63),
    "9" * 5000,
]


@pytest.mark.parametrize(
    "value",
    [*NO_JSON_NUMBERS, "true", "false", "null", "[]", "[2]", "{}", '{"id": 2}', '""'],
)
@pytest.mark.parametrize("column", ["result_id", "run_id"])
def test_a_json_value_that_is_no_id_rejects_its_row(
    tmp_path: Path, value: str, column: str
) -> None:
    """A number with a point or an exponent, a truth value or a container is never made an id."""
    other = "run_id" if column == "result_id" else "result_id"
    text = f'{{"{other}": 7, "{column}": {value}}}'
    bad = only_reject(put(tmp_path, "runs.jsonl", f"{text}\n"))
    assert bad.reason.startswith(column.replace("_", " "))
    assert (bad.line, bad.pairs) == (1, 1)
    assert len(bad.reason) < 120
    assert bad.text == text[:200]


# CSV that is fine

CSV_FORMS = {
    "plain": b"result_id,run_id\n1,2\n3,4\n",
    "no last newline": b"result_id,run_id\n1,2\n3,4",
    "CRLF": b"result_id,run_id\r\n1,2\r\n3,4\r\n",
    "BOM": BOM + b"result_id,run_id\n1,2\n3,4\n",
    "BOM, CRLF and quotes": BOM + b'"result_id","run_id"\r\n"1","2"\r\n"3","4"\r\n',
    "semicolon": b"result_id;run_id\n1;2\n3;4\n",
    "tab": b"result_id\trun_id\n1\t2\n3\t4\n",
    "pipe": b"result_id|run_id\n1|2\n3|4\n",
    "semicolon, commas elsewhere": b"a,b;result_id;run_id\nx,y;1;2\n,;3;4\n",
    "tab, other delimiters elsewhere": b'note\tresult_id\trun_id\n"a;b,c|d"\t1\t2\n;\t3\t4\n',
    "blanks": b" result_id , run_id \n 1 ,\t2\n3, 4 \n",
    "other columns": b"when,run_id,why,result_id\n2026-01-01,2,,1\n,4,\xc3\xa9,3\n",
    "nameless columns": b"result_id,run_id,,\n1,2,,\n3,4,x,y\n",
    "empty lines": b'\n \nresult_id,run_id\n\n1,2\n\n \t\n""\n3,4\n\n \n',
    "quoted newline elsewhere": b'result_id,note,run_id\n1,"a\nb\r\n\nc",2\n3,"""",4\n',
    "quotes inside fields": b'result_id,n,run_id\n1,x"y,2\n3,"",4\n',
    "quotes inside fields of two rows": b'result_id,n,run_id\n1,x",2\n3,y" z,4\n',
    "quotes behind blanks": b'result_id,n,run_id\n1, "x,2\n3,\t"y",4\n',
    "rows inside quotes": b'result_id,n,run_id\n1,"\n5,,6\n7,"",8\n",2\n3,,4\n',
    "CR twice": b"result_id,run_id\r\n1,2\r\r\n3,4\r\r\n",
    "quoted newline in the header": b'"a\nb",result_id,run_id\nx,1,2\ny,3,4\n',
    "odd line separators": b"result_id,n,run_id\n1,\xe2\x80\xa8\xc2\x85\x0b,2\n3,\x1c,4\n",
}


@pytest.mark.parametrize("data", CSV_FORMS.values(), ids=CSV_FORMS.keys())
def test_csv_is_read_in_every_common_form(tmp_path: Path, data: bytes) -> None:
    """The delimiter, quotes, line ends, a BOM, blanks and other columns change no pair."""
    assert pairs_of(put(tmp_path, "runs.csv", data)) == TWO


def test_a_header_alone_is_an_input_without_rows(tmp_path: Path) -> None:
    """A CSV file of nothing but its header is fine and holds nothing."""
    assert pairs_of(put(tmp_path, "runs.csv", HEADER)) == []


def test_csv_columns_can_have_other_names(tmp_path: Path) -> None:
    """The columns that the settings name are read, and the usual names are then others."""
    options = Input(result_column="result", run_column="id")
    data = "id;run_id;result;result_id\n2;8;1;9\n4;8;3;9\n"
    assert pairs_of(put(tmp_path, "runs.csv", data), options=options) == TWO


def test_another_csv_column_may_be_long(tmp_path: Path) -> None:
    """A column that is not read, as a transcript, may be as long as it likes."""
    data = f"result_id,transcript,run_id\n1,{'word ' * 40_000},2\n3,,4\n"
    assert pairs_of(put(tmp_path, "runs.csv", data)) == TWO


def test_physical_line_numbers_are_told(tmp_path: Path) -> None:
    """A bad row is told by the line on which it starts, whatever quoted newlines come before."""
    data = (
        'note,result_id,run_id\n"two\nlines",1,2\n\n,0,5\n"three\n\nlines",0,6\n'
        '"x\r\ny",3,4\r\n,0,7'
    )
    rejects = read(put(tmp_path, "runs.csv", data)).rejects
    assert [row.line for row in rejects] == [5, 6, 11]
    assert [row.text for row in rejects] == [",0,5", '"three\n\nlines",0,6', ",0,7"]


def test_a_reject_says_it_all(tmp_path: Path) -> None:
    """A reject holds file, line, reason, the row's text and the number of pairs it asked for."""
    path = put(tmp_path, "runs.csv", "result_id;run_id\n1;x y\n")
    reason = "run id 'x y' is not a whole decimal number"
    assert read(path) == Reading([], [Reject(path, 2, reason, "1;x y", pairs=1)])
    path = put(tmp_path, "runs.csv", 'n,result_id,run_id\n6",1,2\n6",0,5\n"\n",0,7\n,3,4\n')
    reason = "result id is 0; ids start at 1"
    texts = [(3, '6",0,5'), (4, '"\n",0,7')]
    assert read(path) == Reading(TWO, [Reject(path, line, reason, text) for line, text in texts])


@pytest.mark.parametrize(
    ("row", "fields"), [("1", 1), ("1,2,3", 3), ("1,2,", 3), ("1;2", 1), ("1,2,3,4,5", 5)]
)
def test_a_row_of_another_width_is_rejected(tmp_path: Path, row: str, fields: int) -> None:
    """A row with too few or too many fields is rejected, since its columns may have moved."""
    bad = only_reject(put(tmp_path, "runs.csv", f"{HEADER}{row}\n"))
    assert bad.line == 2
    assert f"has {fields} field" in bad.reason
    assert "the header has 2" in bad.reason


def test_the_shown_text_of_a_reject_is_cut(tmp_path: Path) -> None:
    """A long bad row is shown by its start alone."""
    long = "\N{SNOWMAN}" * 5000
    csv_row = only_reject(put(tmp_path, "a.csv", f"{HEADER}1,{long}\n"))
    json_row = only_reject(put(tmp_path, "a.jsonl", f'{{"result_id": "{long}"\n'))
    assert csv_row.text == f"1,{long}"[:200]
    assert json_row.text == f'{{"result_id": "{long}'[:200]


cells = st.one_of(
    near_ids,
    odd_texts.map(lambda text: text.replace("\r", "")),
    st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8),
)


@effort(max_examples=50, deadline=None)
@given(
    table=st.lists(st.tuples(cells, cells, cells), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    quote_all=st.booleans(),
)
def test_csv_rows_agree_with_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    delimiter: str,
    ending: str,
    *,
    quote_all: bool,
) -> None:
    """Whatever the cells, a row is its two ids if both are ids, and else a reject at its line."""
    text = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(("run_id", "note", "result_id"))
    pairs, bad_lines = [], []
    for run, note, result in table:
        line = text.getvalue().count("\n") + 1
        writer.writerow((run, note, result))
        result_id, run_id = reference_id(result), reference_id(run)
        if result_id and run_id:
            pairs.append(Pair(result_id, run_id))
        else:
            bad_lines.append(line)
    found = read(put(tmp_path_factory.getbasetemp(), "reference.csv", text.getvalue()))
    assert (found.pairs, [row.line for row in found.rejects]) == (sorted(pairs), bad_lines)


# CSV that is refused as a whole

REFUSED_CSV = {
    "empty": (b"", ["is empty", "result_id,run_id"]),
    "blank": (b"\n  \n\n", ["is empty", "result_id,run_id"]),
    "BOM alone": (BOM, ["is empty", "result_id,run_id"]),
    "no header": (b"1,2\n3,4\n", ["line 1", "no column 'result_id'", "'1'", "--result-column"]),
    "no run column": (b"result_id,run\n1,2\n", ["line 1", "no column 'run_id'", "--run-column"]),
    "Excel's line": (b"sep=;\nresult_id;run_id\n1;2\n", ["line 1", "delete this line"]),
    "JSON Lines": (b'{"result_id": 1, "run_id": 2}\n', ["line 1", "JSON Lines", "--format jsonl"]),
    "header in capitals": (b"RESULT_ID,RUN_ID\n1,2\n", ["line 1", "no column 'result_id'"]),
    "two delimiters": (b"result_id;x,run_id\n1;0,2\n", ["line 1", "no column 'result_id'"]),
    "header after blank lines": (b"\n\nresult,run_id\n", ["line 3", "no column 'result_id'"]),
    "double result column": (
        b"result_id,run_id,result_id\n1,2,3\n",
        ["line 1", "'result_id' twice", "rename"],
    ),
    "double run column": (b"run_id,result_id, run_id\n2,1,3\n", ["line 1", "'run_id' twice"]),
    "double other column": (b"result_id,run_id,x,x\n1,2,3,4\n", ["line 1", "'x' twice"]),
    "unclosed quote": (
        b'result_id,run_id,note\n1,2,"x\n3,4,y\n5,6,z\n',
        ["line 2", "not well-formed CSV", "a quote that is not closed"],
    ),
    "unclosed quote in the header": (
        b'result_id,run_id,"note\n1,2,x\n',
        ["line 1", "not well-formed CSV", "a quote that is not closed"],
    ),
    "text after a quote": (
        b'result_id,run_id,note\n1,2,x\n3,4,"y"z\n',
        ["line 3", "not well-formed CSV"],
    ),
    "blank after a quote": (
        b'result_id,run_id,note\n1,2,"y" \n3,4,x\n',
        ["line 2", "not well-formed CSV"],
    ),
    "unclosed quote in the last row": (
        b'result_id,run_id,note\n1,2,x\n\n3,4,"y',
        ["line 4", "not well-formed CSV"],
    ),
    "unclosed quote after quotes": (
        b'result_id,run_id,note\n1,2,"x\n"\n3,4,"y""\n5,6,z\n',
        ["line 4", "not well-formed CSV"],
    ),
    "CR inside a field": (b"result_id,n,run_id\n1,x,2\n3,y\rz,4\n", ["line 3", "carriage return"]),
    "CR as the line end": (b"result_id,run_id\r1,2\r", ["line 1", "not well-formed CSV"]),
    "NUL": (b"result_id,run_id\n1,2\n3,\x004\n", ["line 3", "NUL byte", "UTF-16"]),
    "not UTF-8": (b"result_id,n,run_id\n1,\xe9,2\n", ["line 2", "byte 3", "not UTF-8", "iconv"]),
    "half a character": (b"result_id,run_id\n1,2\n\xc3", ["line 3", "not UTF-8"]),
    "a surrogate": (b"result_id,run_id\n1,2\n\xed\xa0\x80", ["line 3", "not UTF-8"]),
}


@pytest.mark.parametrize(("data", "words"), REFUSED_CSV.values(), ids=REFUSED_CSV.keys())
def test_csv_that_cannot_be_trusted_is_refused_as_a_whole(
    tmp_path: Path, data: bytes, words: list[str]
) -> None:
    """A spoilt header, quote or encoding ends the reading, and the text names place and cure."""
    path = put(tmp_path, "runs.csv", data)
    told = refusal(path)
    assert told.startswith(path)
    for word in words:
        assert word in told


@pytest.mark.parametrize("name", ["runs.csv", "runs.jsonl"])
def test_one_column_cannot_be_both_ids(tmp_path: Path, name: str) -> None:
    """A single column named for both ids is refused, or run 5 of result 5 would be deleted."""
    data = "id\n5\n" if name == "runs.csv" else '{"id": 5}\n'
    options = Input(result_column="id", run_column="id")
    told = refusal(put(tmp_path, name, data), options=options)
    assert "--result-column" in told
    assert "--run-column" in told


def test_the_missing_column_is_told_by_its_chosen_name(tmp_path: Path) -> None:
    """The refusal of a header names the columns that the settings ask for and those it has."""
    options = Input(result_column="result", run_column="id")
    told = refusal(put(tmp_path, "runs.csv", HEADER + "1,2\n"), options=options)
    assert "no column 'result'" in told
    assert "'result_id', 'run_id'" in told
    assert "result,id" in told


def test_a_long_row_is_read_over_many_blocks(tmp_path: Path) -> None:
    """A row, or a header behind a BOM, may be longer than what is read at once."""
    long = "x" * 600_000
    table = put(
        tmp_path, "a.csv", BOM + f'"{long}\n",result_id,run_id\n{long},1,2\n,3,4\n'.encode()
    )
    assert pairs_of(table) == TWO
    numbers = list(range(10**6, 10**6 + 90_000))
    group = BOM + json.dumps({"result_id": 1, "run_ids": numbers}).encode()
    assert pairs_of(put(tmp_path, "a.jsonl", group)) == [Pair(1, number) for number in numbers]


# JSON Lines

JSONL_FORMS = {
    "one run a line": '{"result_id": 1, "run_id": 2}\n{"result_id": 3, "run_id": 4}\n',
    "no last newline": '{"result_id": 1, "run_id": 2}\n{"result_id": 3, "run_id": 4}',
    "grouped": '{"result_id": 1, "run_ids": [2]}\n{"run_ids":[4],"result_id":3}\n',
    "mixed": '{"result_id": 1, "run_id": 2}\n{"result_id": 3, "run_ids": [4]}\n',
    "CRLF": '{"result_id":1,"run_id":2}\r\n{"result_id":3,"run_id":4}\r\n',
    "BOM": '\ufeff{"result_id":1,"run_id":2}\n{"result_id":3,"run_id":4}\n',
    "empty lines": '\n \n{"result_id":1,"run_id":2}\n\n{"result_id":3,"run_id":4}\n\n',
    "texts": '{"result_id":"1","run_id":" 2 "}\n{"result_id":" 3","run_ids":["4"]}\n',
    "other keys": '{"result_id":1,"run_id":2,"x":{"a":1.5,"a":null}}\n'
    '{"y":[{}],"result_id":3,"run_id":4}\n',
    "other keys twice": '{"x":1,"result_id":1,"x":2,"run_id":2}\n{"result_id":3,"run_ids":[4]}\n',
    "other keys twice, texts": '{"x":1,"result_id":"1","x":2,"run_id":2}\n'
    '{"result_id":3,"x":[],"run_ids":["4"],"x":"\\u005f"}\n',
    "keys as values": '{"x":"run_id","result_id":1,"run_id":2}\n'
    '{"x":"run_ids","y":"result_id","result_id":3,"run_id":4}\n',
    "keys within": '{"x":{"run_id":9,"result_id":9},"result_id":1,"run_id":2}\n'
    '{"result_id":3,"run_ids":[4],"x":[{"run_ids":[9]}]}\n',
    "keys written with escapes": '{"result\\u005fid":1,"run_id":2}\n'
    '{"result_id":3,"\\u0072un_ids":[4]}\n',
}


@pytest.mark.parametrize("text", JSONL_FORMS.values(), ids=JSONL_FORMS.keys())
def test_jsonl_is_read_in_every_common_form(tmp_path: Path, text: str) -> None:
    """Single and grouped rows, line ends, a BOM, blanks and other keys give the same pairs."""
    assert pairs_of(put(tmp_path, "runs.jsonl", text)) == TWO


def test_a_grouped_row_is_all_its_pairs(tmp_path: Path) -> None:
    """A grouped row gives a pair for every id, doubles and all; of no ids, it gives none."""
    text = '{"result_id": 1, "run_ids": [3, 2, 3]}\n{"result_id": 2, "run_ids": []}\n'
    assert pairs_of(put(tmp_path, "runs.jsonl", text)) == [Pair(1, 2), Pair(1, 3), Pair(1, 3)]


def test_jsonl_keys_can_have_other_names(tmp_path: Path) -> None:
    """The settings name the keys of JSON rows, too."""
    options = Input(result_column="result", run_column="id")
    text = '{"result": 1, "id": 2, "result_id": 9, "run_id": 9}\n{"result": 3, "run_ids": [4]}\n'
    assert pairs_of(put(tmp_path, "runs.jsonl", text), options=options) == TWO


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("result_id", "result\\u005fid"),
        ("result_id", "result\\u005Fid"),
        ("a/b", "a\\/b"),
        ("\N{GREEK CAPITAL LETTER OMEGA}", "\\u03a9"),
        ("\N{GRINNING FACE}", "\\ud83d\\ude00"),
        ("a\tb", "a\\u0009b"),
        ('"', "\\u0022"),
    ],
)
def test_a_key_is_known_however_it_is_written(tmp_path: Path, key: str, other: str) -> None:
    """A key that is escaped in another way is the same key, and two of it make the row bad."""
    options = Input(result_column=key)
    once = f'{{"{other}": 1, "run_id": 2}}\n{{"run_ids": [4], "{other}": 3}}\n'
    assert pairs_of(put(tmp_path, "once.jsonl", once), options=options) == TWO
    twice = f'{{{json.dumps(key, ensure_ascii=False)}: 1, "run_id": 2, "{other}": 3}}\n'
    found = read(put(tmp_path, "twice.jsonl", twice * 2), options=options)
    assert found.pairs == []
    assert [row.reason for row in found.rejects] == ["has a key twice"] * 2


BAD_ROWS = {
    "not JSON": ("result_id=1", "is not JSON", 1),
    "cut off": ('{"result_id": 1, "run_id":', "is not JSON", 1),
    "single quotes": ("{'result_id': 1, 'run_id': 2}", "is not JSON", 1),
    "two on a line": ('{"result_id":1,"run_id":2} {"result_id":1,"run_id":3}', "is not JSON", 1),
    "leading zero": ('{"result_id": 1, "run_id": 02}', "is not JSON", 1),
    "plus": ('{"result_id": 1, "run_id": +2}', "is not JSON", 1),
    "underscore": ('{"result_id": 1, "run_id": 1_000}', "is not JSON", 1),
    "hexadecimal": ('{"result_id": 1, "run_id": 0x10}', "is not JSON", 1),
    "arabic digit": (f'{{"result_id": 1, "run_id": {ARABIC_3}}}', "is not JSON", 1),
    "wide digits": (f'{{"result_id": {WIDE_123}, "run_id": 2}}', "is not JSON", 1),
    "a comma": (",", "is not JSON", 1),
    "comma at the end": ('{"result_id": 1, "run_id": 2},', "is not JSON", 1),
    "over two lines": ('{"result_id": 1, "run_id": 2, "x":', "is not JSON", 1),
    "form feed": ('\f{"result_id": 1, "run_id": 2}', "is not JSON", 1),
    "control character": ('{"result_id": 1, "run_id": 2, "x": "\x01"}', "is not JSON", 1),
    "a list": ("[1, 2]", "is not a JSON object", 1),
    "a number": ("12", "is not a JSON object", 1),
    "a text": ('"1,2"', "is not a JSON object", 1),
    "null": ("null", "is not a JSON object", 1),
    "BOM in the middle": ('\ufeff{"result_id": 1, "run_id": 2}', "is not JSON", 1),
    "double result": ('{"result_id": 1, "result_id": 2, "run_id": 2}', "has a key twice", 1),
    "equal results": ('{"result_id": 1, "result_id": 1, "run_id": 2}', "has a key twice", 1),
    "double runs": (
        '{"run_ids": [2, 3], "result_id": 1, "run_ids": [2]}',
        "has a key twice",
        3,
    ),
    "double run": ('{"result_id": 1, "run_id": 2, "run_id": 3}', "has a key twice", 1),
    "double by escape": ('{"result_id": 1, "run_id": 2, "run\\u005fid": 3}', "key twice", 1),
    "NaN as id": ('{"result_id": NaN, "run_id": 2}', "is not JSON: NaN", 1),
    "NaN elsewhere": ('{"result_id": 1, "run_id": 2, "x": NaN}', "is not JSON: NaN", 1),
    "Infinity": ('{"result_id": 1, "run_id": -Infinity}', "is not JSON: -Infinity", 1),
    "nested too deep": (
        '{"result_id": 1, "run_id": 2, "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "is nested too deep",
        1,
    ),
    "empty": ("{}", "has no 'result_id'", 1),
    "no result": ('{"run_id": 2}', "has no 'result_id'", 1),
    "no run": ('{"result_id": 1}', "needs either 'run_id' or 'run_ids'", 1),
    "run and runs": (
        '{"result_id": 1, "run_id": 2, "run_ids": [2, 3, 4]}',
        "needs either 'run_id' or 'run_ids'",
        3,
    ),
    "runs no list": ('{"result_id": 1, "run_ids": 2}', "'run_ids' is not a list", 1),
    "runs a text": ('{"result_id": 1, "run_ids": "234"}', "'run_ids' is not a list", 1),
    "runs an object": ('{"result_id":1,"run_ids":{"a":1,"b":2}}', "'run_ids' is not a list", 1),
    "list of lists": ('{"result_id": 1, "run_ids": [[2], [3]]}', "run id (a list)", 2),
    "grouped, no result": ('{"run_ids": [2, 3]}', "has no 'result_id'", 2),
    "grouped, bad result": ('{"result_id": 0, "run_ids": [2, 3]}', "result id is 0", 2),
    "grouped, first bad": ('{"result_id": 1, "run_ids": [1.0, 3, 4]}', "run id 1.0", 3),
    "grouped, last bad": ('{"result_id": 1, "run_ids": [2, 3, true]}', "run id true", 3),
    "grouped, none, bad result": ('{"result_id": 0, "run_ids": []}', "result id is 0", 1),
    "grouped, double result": (
        '{"result_id": 1, "result_id": 2, "run_ids": [2, 3, 4]}',
        "has a key twice",
        3,
    ),
}


@pytest.mark.parametrize(("text", "reason", "pairs"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_jsonl_row_is_rejected_whole(
    tmp_path: Path, text: str, reason: str, pairs: int
) -> None:
    """A bad row is rejected whole at its line, counts as each of its ids, and spoils no other."""
    good = '{"result_id": 1, "run_id": 2}\n', '{"result_id": 3, "run_id": 4}\n'
    for before, after in ((1, 1), (12, 12)):  # the one odd line of many is found in another way
        path = put(tmp_path, "runs.jsonl", f"{good[0] * before}\n{text}\n{good[1] * after}")
        found = read(path)
        (bad,) = found.rejects
        assert found.pairs == [TWO[0]] * before + [TWO[1]] * after
        assert (bad.file, bad.line, bad.pairs) == (path, before + 2, pairs)
        assert bad.text == text[:200].strip()
        assert reason in bad.reason


def test_a_json_array_is_refused_with_the_cure(tmp_path: Path) -> None:
    """One JSON array is no JSON Lines, by whatever name it comes."""
    for name in ("runs.jsonl", "runs.json", "runs"):
        told = refusal(put(tmp_path, name, ' \n[{"result_id": 1, "run_id": 2}]\n'))
        assert told.startswith(str(tmp_path / name))
        assert "one JSON array" in told
        assert "jq -c" in told


def test_jsonl_that_is_no_text_is_refused_as_a_whole(tmp_path: Path) -> None:
    """A NUL byte or a wrong encoding ends the reading, and the text names the line."""
    good = b'{"result_id": 1, "run_id": 2}\n'
    for bad, word in ((b"\0", "NUL byte"), (b"\xe9", "byte 6 is not UTF-8")):
        path = put(tmp_path, "runs.jsonl", good + b'{"x":' + bad + b"}\n" + good)
        told = refusal(path)
        assert told.startswith(f"{path}, line 2: ")
        assert word in told


def test_an_empty_jsonl_file_holds_no_rows(tmp_path: Path) -> None:
    """JSON Lines need no header, so that a file without lines is an input without rows."""
    assert pairs_of(put(tmp_path, "runs.jsonl", "")) == []


json_ids = st.one_of(
    st.integers(1, MAX_ID),
    st.integers(-2, 2),
    st.just(2**63),
    st.integers(1, 99).map(str),
    st.sampled_from([True, None, 1.0, 2.5, "", "x", [1]]),
)


def json_id(value: object) -> int | None:
    if isinstance(value, str):
        return reference_id(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return reference_id(str(value)) if is_whole else None


@effort(max_examples=50, deadline=None)
@given(st.lists(st.tuples(json_ids, st.lists(json_ids, max_size=5)), max_size=6))
def test_jsonl_groups_are_taken_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, groups: list[tuple[object, list[object]]]
) -> None:
    """A group is all of its pairs when every id is one; else a single reject for all of them."""
    pairs, bad = [], []
    for line, (result, runs) in enumerate(groups, start=1):
        result_id, run_ids = json_id(result), [json_id(run) for run in runs]
        if result_id is None or None in run_ids:
            bad.append((line, max(1, len(runs))))
        else:
            pairs += [Pair(result_id, run) for run in run_ids if run is not None]
    lines = (json.dumps({"result_id": result, "run_ids": runs}) for result, runs in groups)
    found = read(put(tmp_path_factory.getbasetemp(), "groups.jsonl", "\n".join(lines)))
    assert found.pairs == sorted(pairs)
    assert [(row.line, row.pairs) for row in found.rejects] == bad


# Whole results

WHOLE_RESULTS = {
    "CSV without runs": ("a.csv", "note;result_id\n;1\n;3\n", [(1, 0), (3, 0)]),
    "CSV of one column": ("a.csv", "result_id\n1\n\n 3 \n", [(1, 0), (3, 0)]),
    "CSV with runs": ("a.csv", "run_id,result_id\n2,1\n4,3\n", [(1, 2), (3, 4)]),
    "JSONL": ("a.jsonl", '{"result_id": 1}\n{"x": 9, "result_id": "3"}\n', [(1, 0), (3, 0)]),
    "JSONL, mixed": (
        "a.jsonl",
        '{"result_id": 1}\n{"result_id": 3, "run_id": 4}\n{"result_id": 5, "run_ids": []}\n',
        [(1, 0), (3, 4)],
    ),
}


@pytest.mark.parametrize(
    ("name", "text", "expected"), WHOLE_RESULTS.values(), ids=WHOLE_RESULTS.keys()
)
def test_rows_without_a_run_may_stand_for_whole_results(
    tmp_path: Path, name: str, text: str, expected: list[tuple[int, int]]
) -> None:
    """Where whole results may be named, a missing run is WHOLE_RESULT, and given runs are read."""
    path = put(tmp_path, name, text)
    assert pairs_of(path, whole_results=True) == expected
    if (1, WHOLE_RESULT) in expected:
        bad = settled(path)
        assert "no column" in bad if isinstance(bad, str) else bad.rejects


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "result_id,run_id\n1,\n"),
        ("a.csv", "result_id,run_id\n1\n"),
        ("a.csv", "result_id,run_id\n1,0\n"),
        ("a.csv", "result_id\n0\n"),
        ("a.csv", "result_id\n1,2\n"),
        ("a.jsonl", '{"result_id": 1, "run_id": null}\n'),
        ("a.jsonl", '{"result_id": 1, "run_id": 0}\n'),
        ("a.jsonl", '{"result_id": 1, "run_ids": [0]}\n'),
        ("a.jsonl", '{"result_id": 1, "run_id": 2, "run_ids": [2]}\n'),
        ("a.jsonl", '{"run_id": 2}\n'),
    ],
)
def test_a_run_that_is_no_id_never_stands_for_a_whole_result(
    tmp_path: Path, name: str, text: str
) -> None:
    """A row whose run is there and bad is a bad row, also where whole results may be named."""
    found = read(put(tmp_path, name, text), whole_results=True)
    assert (found.pairs, len(found.rejects)) == ([], 1)


def test_a_list_of_whole_results_needs_its_column(tmp_path: Path) -> None:
    """A table that may name whole results needs the result column and is told that alone."""
    told = refusal(put(tmp_path, "a.csv", "run_id\n1\n"), whole_results=True)
    assert "no column 'result_id'" in told
    assert told.endswith("the first line must be result_id")


# What kind of file it is

WRONG_FILES = {
    "Excel": (b"PK\x03\x04\x14\x00\x06\x00", ["Excel", "save it as CSV"]),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", ["old Excel", "save it as CSV"]),
    "Parquet": (b"PAR1\x15\x04\x15\x10", ["Parquet", "export it as CSV"]),
    "UTF-16, little-endian": (HEADER.encode("utf-16"), ["UTF-16", "iconv -f UTF-16 -t UTF-8"]),
    "UTF-32": (b"\xff\xfe\0\0" + HEADER.encode("utf-32-le"), ["UTF-32", "iconv -f UTF-32"]),
    "UTF-16, big-endian": (b"\xfe\xff" + HEADER.encode("utf-16-be"), ["UTF-16", "iconv"]),
    "UTF-16 without a BOM": (HEADER.encode("utf-16-le"), ["line 1", "NUL", "UTF-16"]),
    "bzip2": (b"BZh91AY&SY", ["bzip2", "gzip or zstd"]),
    "xz": (b"\xfd7zXZ\x00", ["xz", "gzip or zstd"]),
}


@pytest.mark.parametrize("how", ["", GZIP, ZSTD])
@pytest.mark.parametrize("name", ["runs.csv", "runs.jsonl", "runs"])
@pytest.mark.parametrize(("data", "words"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_another_kind_of_file_is_refused_by_its_name(
    tmp_path: Path, data: bytes, words: list[str], name: str, how: str
) -> None:
    """Another kind of file is refused with what it is and what to do, packed or not."""
    path = put(tmp_path, name, packed(data, how) if how else data)
    told = refusal(path)
    assert told.startswith(path)
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.tsv", "csv"),
        ("a.CSV", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("2026.01.jsonl", "jsonl"),
    ],
)
def test_the_name_tells_the_format(tmp_path: Path, name: str, kind: str) -> None:
    """A known ending decides on the format, so that a file of the other one is not guessed at."""
    by_kind = {"csv": HEADER + "1,2\n", "jsonl": '{"result_id": 1, "run_id": 2}\n'}
    right, wrong = by_kind[kind], by_kind["csv" if kind == "jsonl" else "jsonl"]
    assert pairs_of(put(tmp_path, name, right)) == [Pair(1, 2)]
    path = put(tmp_path, name, wrong)
    if kind == "csv":
        assert "no column" in refusal(path)
    else:
        found = read(path)
        assert (found.pairs, len(found.rejects)) == ([], 2)


@pytest.mark.parametrize("name", ["runs", "runs.txt", "runs.2026"])
def test_the_first_character_tells_the_format_else(tmp_path: Path, name: str) -> None:
    """Without a known ending, JSON Lines are known by their brace."""
    assert pairs_of(put(tmp_path, name, ' \n{"result_id": 1, "run_id": 2}\n')) == [Pair(1, 2)]
    assert pairs_of(put(tmp_path, name, HEADER + "1,2\n")) == [Pair(1, 2)]


def test_the_format_can_be_given(tmp_path: Path) -> None:
    """A given format overrules name and content."""
    jsonl = put(tmp_path, "a.csv", '{"result_id": 1, "run_id": 2}\n')
    assert pairs_of(jsonl, options=Input(format="jsonl")) == [Pair(1, 2)]
    table = put(tmp_path, "a.jsonl", HEADER + "1,2\n")
    assert pairs_of(table, options=Input(format="csv")) == [Pair(1, 2)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs.csv", "runs"),
        ("in/runs.csv.gz", "runs"),
        ("/in/runs.jsonl.zst", "runs"),
        ("runs.2026-01.csv", "runs.2026-01"),
        ("runs.txt", "runs.txt"),
        ("runs.gz", "runs"),
        ("runs", "runs"),
        (".csv", ".csv"),
    ],
)
def test_a_stem_is_the_name_without_known_endings(path: str, name: str) -> None:
    """The endings of format and packing go, every other part of the name stays."""
    assert stem(path) == name


# Packed files

SAMPLES = {
    "csv": b"result_id,run_id\n1,2\n3,4\n",
    "jsonl": b'{"result_id": 1, "run_id": 2}\n{"result_id": 3, "run_id": 4}\n',
}
both_packings = pytest.mark.parametrize("how", [GZIP, ZSTD])
both_formats = pytest.mark.parametrize("form", SAMPLES)


def random_lines(form: str, count: int) -> list[bytes]:
    """Make rows that take some room when they are packed, too."""
    ids = [hashlib.sha256(bytes([number % 256, number // 256])) for number in range(2 * count)]
    numbers = [int.from_bytes(digest.digest()[:7], "big") + 1 for digest in ids]
    line = "{},{}\n" if form == "csv" else '{{"result_id": {}, "run_id": {}}}\n'
    return [line.format(*two).encode() for two in zip(numbers[::2], numbers[1::2], strict=True)]


@both_packings
@both_formats
def test_packed_input_is_read_as_what_is_in_it(tmp_path: Path, form: str, how: str) -> None:
    """Packed input is known by its content: with the ending, without it, and BOM inside."""
    data = SAMPLES[form]
    assert pairs_of(put(tmp_path, f"a.{form}.{how}", packed(data, how))) == TWO
    assert pairs_of(put(tmp_path, f"a.{form}", packed(data, how))) == TWO
    assert pairs_of(put(tmp_path, "a", packed(BOM + data, how))) == TWO


@both_packings
def test_packed_parts_are_one_file(tmp_path: Path, how: str) -> None:
    """Several packed parts behind each other, as `cat` makes them, are read to the last."""
    data = packed(HEADER.encode() + b"1,2\n", how) + packed(b"3,4\n", how)
    assert pairs_of(put(tmp_path, f"a.csv.{how}", data)) == TWO


@both_packings
@both_formats
def test_a_packed_file_cut_anywhere_is_refused(tmp_path: Path, form: str, how: str) -> None:
    """A packed file that lacks its last bytes is refused, wherever it was cut."""
    whole = packed(SAMPLES[form], how)
    for cut in range(4, len(whole)):
        told = refusal(put(tmp_path, f"a.{form}.{how}", whole[:cut]))
        assert told.startswith(str(tmp_path / f"a.{form}.{how}"))
        assert "ends early or is damaged" in told
        assert "make the file anew" in told


@both_packings
@both_formats
@pytest.mark.parametrize("cut", range(4))
def test_a_packed_file_cut_at_its_start_is_refused(
    tmp_path: Path, form: str, how: str, cut: int
) -> None:
    """A file named as packed, with not even the mark of its packing left, is no empty input."""
    path = put(tmp_path, f"a.{form}.{how}", packed(SAMPLES[form], how)[:cut])
    assert refusal(path).startswith(path)


@both_packings
def test_a_packed_file_with_wrong_content_is_refused(tmp_path: Path, how: str) -> None:
    """A checksum that does not fit, or rubbish behind the end, is damage."""
    whole = packed(SAMPLES["csv"], how)
    at = len(whole) - (8 if how == GZIP else 4)  # the first byte of the checksum
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    assert "damaged" in refusal(put(tmp_path, "a.csv", flipped))
    assert "damaged" in refusal(put(tmp_path, "a.csv", whole + b"rubbish"))


def test_a_cut_in_a_long_packed_file_is_told_by_its_line(tmp_path: Path) -> None:
    """Damage far into a file is told by the last line that could be read."""
    numbers = range(1, 20_001)
    whole = packed((HEADER + "".join(f"{n},{n}\n" for n in numbers)).encode(), GZIP)
    told = refusal(put(tmp_path, "a.csv.gz", whole[: len(whole) // 2]))
    after = re.search(r"after line (\d+)", told)
    assert after
    assert 5_000 < int(after[1]) < 15_000


def test_an_endless_line_is_refused(tmp_path: Path) -> None:
    """A line over the limit ends the reading, so that a packed bomb does not fill the memory."""
    with gzip.open(tmp_path / "a.csv.gz", "wb", compresslevel=1) as file:
        file.write(HEADER.encode())
        for _ in range((MAX_LINE >> 20) + 1):
            file.write(b"1" * (1 << 20))
    told = refusal(str(tmp_path / "a.csv.gz"))
    assert "line 2" in told
    assert "longer than 64 MiB" in told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", HEADER + "1,2\n3," + "4" * 9000, "line 3: is longer than"),
        ("a.csv", HEADER + '1,2\n3,"' + "4\n" * 4500, "line 3: the row that begins here is longer"),
        ("a.csv", '"' + HEADER * 500, "line 1: the row that begins here is longer"),
        ("a.jsonl", '{}\n{"x": "' + "y" * 9000, "line 2: is longer than"),
    ],
)
def test_a_row_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, told: str
) -> None:
    """A row that goes on over the limit ends the reading and is told by its first line."""
    monkeypatch.setattr("bulk_delete.sources.files.MAX_LINE", 4096)
    found = outcome(put(tmp_path, name, text), sizes=Sizes(64))
    assert isinstance(found, str)
    assert f"{name}, {told}" in found


# Files and sources


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """What is missing, a folder or out of reach is refused by name, with the reason."""
    missing = str(tmp_path / "nothing.csv")
    assert refusal(missing) == f"{missing}: cannot be opened: No such file or directory"
    assert refusal(str(tmp_path)) == f"{tmp_path}: is a folder; name the files in it"
    assert "cannot be opened" in refusal("")
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    assert refusal(str(loop)).startswith(f"{loop}: cannot be opened: ")
    assert "cannot be opened" in refusal(put(tmp_path, "a.csv", HEADER) + "/b.csv")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails to read")
def test_a_failing_disk_is_told_as_such() -> None:
    """A file that opens and then cannot be read is refused by name, not taken for a bug."""
    told = refusal("/proc/self/mem")
    assert told.startswith("/proc/self/mem")
    assert "cannot be read" in told


def add_a_row(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"5,6\n")


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))  # the system's clock may be too coarse to show it


@pytest.mark.parametrize("how", ["", GZIP, ZSTD])
@pytest.mark.parametrize("change", [add_a_row, cut_in_half, rewrite])
@both_formats
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, form: str, change: Callable[[Path], None], how: str
) -> None:
    """A file that is written to before its end has been read is refused, and not told as read."""
    data = SAMPLES[form] + b"".join(random_lines(form, 50))
    path = put(tmp_path, f"a.{form}", packed(data, how) if how else data)
    source = Source((path,), PLAIN)
    with sized(Sizes(64)):
        rows = source.rows()
        assert next(rows).columns.rows > 0
        change(Path(path))
        with pytest.raises(InvalidInput, match=f"^{path}.*(was changed|ends early)"):
            list(rows)
    assert source.read == []


@both_formats
def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(
    tmp_path: Path, form: str
) -> None:
    """A new file that is renamed over the one that is being read does not disturb the reading."""
    data = SAMPLES[form] * (1 if form == "csv" else 100)
    path = put(tmp_path, f"a.{form}", data)
    source = Source((path,), PLAIN)
    with sized(Sizes(16)):
        rows = source.rows()
        found = next(rows).columns.rows
        Path(put(tmp_path, "new", b"else")).rename(path)
        found += sum(block.columns.rows for block in rows)
    assert found == len(data.splitlines()) - (form == "csv")
    assert source.read == [InputFile(path, hashlib.sha256(data).hexdigest(), len(data))]


def test_several_inputs_are_read_one_after_the_other(tmp_path: Path) -> None:
    """Files of any format follow each other, each with its own header and line numbers."""
    first = put(tmp_path, "a.csv", BOM + b"result_id,run_id\n1,2\n0,1\n")
    second = put(tmp_path, "b.jsonl", '{"result_id": 3, "run_id": 4}\n{}\n')
    third = put(tmp_path, "c.csv", "run_id;result_id\n6;5\n")
    found = read(first, second, third)
    assert found.pairs == [*TWO, Pair(5, 6)]
    assert [(row.file, row.line) for row in found.rejects] == [(first, 3), (second, 2)]


def test_a_source_tells_what_it_has_read(tmp_path: Path) -> None:
    """Every file read to its end is told with path, size and digest of its bytes as they lie."""
    datas = [SAMPLES["csv"], packed(SAMPLES["csv"], GZIP), packed(SAMPLES["jsonl"] * 999, ZSTD)]
    paths = [put(tmp_path, f"file{number}", data) for number, data in enumerate(datas)]
    source = Source(tuple(paths), PLAIN)
    rows = source.rows()
    assert (next(rows).columns.pairs(), source.read) == (TWO, [])
    assert sum(block.columns.rows for block in rows) == 2 * 1000
    assert source.read == [
        InputFile(path, hashlib.sha256(data).hexdigest(), len(data))
        for path, data in zip(paths, datas, strict=True)
    ]


def test_standard_input_can_be_named_once() -> None:
    """Standard input named twice is refused before anything is read."""
    with pytest.raises(InvalidInput, match=r"standard input \(-\) is named twice"):
        Source((STDIN, "a.csv", STDIN), PLAIN)


READ_STDIN = """
from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.sources import Source
try:
    print([tuple(pair) for rows in Source(("-",), Input()).rows() for pair in rows.columns.pairs()])
except InvalidInput as error:
    print(error)
"""


@pytest.mark.parametrize(
    "data",
    [SAMPLES["csv"], SAMPLES["jsonl"], packed(SAMPLES["jsonl"], GZIP)],
    ids=["csv", "jsonl", "jsonl.gz"],
)
def test_standard_input_is_an_input(data: bytes) -> None:
    """Rows come through a pipe as from a file, the format known by the content."""
    done = subprocess.run(
        [sys.executable, "-c", READ_STDIN], input=data, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.decode().strip() == str([tuple(pair) for pair in TWO])


def test_bad_standard_input_is_told_by_that_name() -> None:
    """Blame for what came through a pipe, or for a closed one, names standard input."""
    empty = [sys.executable, "-c", READ_STDIN]
    closed = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, READ_STDIN]
    for words, reason in ((empty, "is empty"), (closed, "is closed")):
        done = subprocess.run(words, input=b"", stdout=subprocess.PIPE, check=True)
        assert done.stdout.decode().startswith(f"standard input: {reason}")


# Whatever comes

any_bytes = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=60).map(lambda data: HEADER.encode() + data),
    st.binary(max_size=60).map(lambda data: HEADER.encode() + b"1,2\n" + data + b"\n3,4\n"),
    st.text(st.sampled_from('{}[]":,\n 0123abrun_idsresult\\e-.'), max_size=80).map(str.encode),
    st.text(st.sampled_from('result_id,run\n";\t|\r 12'), max_size=80).map(str.encode),
    st.binary(max_size=60).map(lambda data: b"\x1f\x8b\x08" + data),
    st.binary(max_size=60).map(lambda data: b"\x28\xb5\x2f\xfd" + data),
    st.binary(max_size=60).map(lambda data: packed(data, GZIP)),
    st.binary(max_size=60).map(lambda data: packed(HEADER.encode() + data, ZSTD)),
    st.text(max_size=40).map(lambda text: text.encode("utf-16", "replace")),
)


@effort(max_examples=80, deadline=None)
@given(data=any_bytes, name=st.sampled_from(["any.csv", "any.jsonl", "any", "any.jsonl.gz"]))
@example(data=b'result_id,run_id\n"', name="any.csv")
@example(data=b'{"result_id": "\\ud800", "run_id": 1}', name="any.jsonl")
def test_no_bytes_lead_to_anything_but_rows_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    """Any bytes at all are valid pairs, rejects of that file, or one refusal that names it."""
    path = put(tmp_path_factory.getbasetemp(), name, data)
    found = outcome(path)
    if isinstance(found, str):
        assert found.startswith(path)
        return
    for pair in found.pairs:
        assert all(type(number) is int and 1 <= number <= MAX_ID for number in pair)
    for row in found.rejects:
        assert (row.file, row.reason != "") == (path, True)
        assert row.line >= 1
        assert row.pairs >= 1


# Agreement with the plain reading

some_sizes = st.builds(
    Sizes,
    block=st.integers(16, 80),
    few=st.sampled_from([1, USUAL.few]),
    piece=st.sampled_from([1, 3, USUAL.piece]),
    most_odd=st.sampled_from([USUAL.most_odd, 9.0]),
)


def is_told(refusal: Refusal, path: str, told: str) -> bool:
    place = f"{path}, line {refusal.line}: " if refusal.line else f"{path}: "
    return told.startswith(place) and refusal.word in told


def check_agreement(case: Case, path: str, sizes: Sizes, how: str = "") -> None:
    """Check that the product reads a file as the plain reading does, to the last reject."""
    Path(path).write_bytes(packed(case.data, how) if how else case.data)
    for each in (sizes, USUAL):
        expected = reading(case, path, head=min(each.block, 4096))
        found = outcome(path, options=case.options, whole_results=case.whole_results, sizes=each)
        if isinstance(expected, Refusal):
            assert isinstance(found, str)
            assert any(
                is_told(refusal, path, found) for refusal in (expected, *beside(expected, case))
            )
        else:
            assert found == Reading(sorted(expected.pairs), expected.rejects)


@effort(max_examples=60, deadline=None)
@given(case=st.one_of(tables(), edited(tables())), sizes=some_sizes)
def test_csv_is_read_as_the_plain_reading_does(
    tmp_path_factory: pytest.TempPathFactory, case: Case, sizes: Sizes
) -> None:
    """Whatever a table holds and wherever blocks end, pairs, rejects or refusal are the same."""
    check_agreement(case, str(tmp_path_factory.getbasetemp() / "agree.csv"), sizes)


@effort(max_examples=60, deadline=None)
@given(case=st.one_of(json_lines(), edited(json_lines())), sizes=some_sizes)
def test_jsonl_is_read_as_the_plain_reading_does(
    tmp_path_factory: pytest.TempPathFactory, case: Case, sizes: Sizes
) -> None:
    """Whatever the lines hold and wherever blocks end, pairs, rejects or refusal are the same."""
    check_agreement(case, str(tmp_path_factory.getbasetemp() / "agree.jsonl"), sizes)


@effort(max_examples=60, deadline=None)
@given(
    data=any_bytes.filter(lambda data: not data.startswith(PACKED)),
    name=st.sampled_from(["same.csv", "same.jsonl", "same"]),
    whole_results=st.booleans(),
    sizes=some_sizes,
)
def test_any_bytes_are_read_as_the_plain_reading_does(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    name: str,
    sizes: Sizes,
    *,
    whole_results: bool,
) -> None:
    """Any bytes at all, by any name, are taken and refused as by the plain reading."""
    case = Case(data, PLAIN, whole_results)
    check_agreement(case, str(tmp_path_factory.getbasetemp() / name), sizes)


@both_packings
@both_formats
@effort(max_examples=12, deadline=None)
@given(st.data())
def test_what_is_packed_is_read_as_the_plain_reading_does(
    tmp_path_factory: pytest.TempPathFactory, form: str, how: str, data: st.DataObject
) -> None:
    """Packing, whatever pieces it unpacks to, changes nothing in what is read."""
    case = data.draw(tables() if form == "csv" else json_lines())
    path = str(tmp_path_factory.getbasetemp() / f"packed.{form}")
    check_agreement(case, path, data.draw(some_sizes), how)
