"""The fast readers: what they take is what the plain reading takes; they may leave rows."""

import io
import json
import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.columns import Positions
from bulk_delete.model import MAX_ID, Pair
from bulk_delete.scan.digits import PAD, Bytes, read_ids
from bulk_delete.scan.objects import Objects
from bulk_delete.scan.table import Layout, scan_table
from bulk_delete.scan.template import scan_lines, template_of
from tests.reference import (
    BOM,
    SINGLE,
    Case,
    Reading,
    Refusal,
    RefusedError,
    edited,
    filled,
    header,
    json_lines,
    lines_before_header,
    reading,
    tables,
)


def buffer(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)


# Digits


def plain_id(text: bytes) -> int | None:
    """Read an id that the fast reader must take: of 19 digits and 16 blanks on a side at most."""
    match = re.fullmatch(rb"[ \t\r\n]{0,16}([0-9]{1,19})[ \t\r\n]{0,16}", text)
    return int(match[1]) if match and 1 <= int(match[1]) <= MAX_ID else None


def fast_ids(fields: list[bytes], between: bytes = b",") -> list[int | None]:
    """Read fields that stand one behind the other, with digits before the first."""
    lengths = np.array([len(field) for field in fields], np.intp)
    ends: Positions = np.cumsum(lengths + len(between)) - len(between) + PAD
    data = b"9" * PAD + between.join(fields) + b" "
    values, good = read_ids(buffer(data), ends - lengths, ends)
    return [
        value if fine else None for value, fine in zip(values.tolist(), good.tolist(), strict=True)
    ]


some_fields = st.one_of(
    st.integers(0, 2**65).map(lambda number: b"%d" % number),
    st.from_regex(rb"[ \t\r\n]{0,18}[0-9]{0,21}[ \t\r\n]{0,18}", fullmatch=True),
    st.text(st.sampled_from("0123456789 /:\xb2\t\r\n-+.e"), max_size=24).map(str.encode),
    st.binary(max_size=20),
)


@effort(max_examples=60, deadline=None)
@given(st.lists(some_fields, min_size=1), st.sampled_from([b",", b"", b" ", b"0", b'"']))
def test_ids_are_read_as_plainly(fields: list[bytes], between: bytes) -> None:
    """Fields are ids exactly when they are so by the plain rule, whatever stands between them."""
    assert fast_ids(fields, between) == [plain_id(field) for field in fields]


def test_no_other_byte_is_a_digit() -> None:
    """Any byte at any place of a field of any length is taken for what it is."""
    fields = [
        (b"1" * before + bytes([byte])).ljust(length, b"1")
        for length in range(1, 21)
        for before in range(length)
        for byte in range(256)
    ]
    assert fast_ids(fields) == [plain_id(field) for field in fields]


def test_ids_are_exact_at_every_border() -> None:
    """Numbers next to a power of two or ten are read to the last digit, or refused."""
    borders = [2**power for power in range(70)] + [10**power for power in range(22)]
    fields = [b"%d" % (border + more) for border in borders for more in (-1, 0, 1)]
    assert fast_ids(fields) == [plain_id(field) for field in fields]


def test_no_fields_are_no_ids() -> None:
    """Nothing to read is nothing read."""
    assert fast_ids([]) == []


# CSV


class Body(NamedTuple):
    """A table's rows, apart from its header."""

    header: bytes
    rows: bytes
    layout: Layout
    case: Case

    def read(self, rows: bytes) -> Reading | Refusal:
        return reading(self.case._replace(data=self.header + rows), "a.csv")


def as_text(case: Case) -> Case:
    """Make UTF-8 without NUL of a file, as the fast readers are given, with a last line end."""
    text = case.data.removeprefix(BOM).decode("utf-8", "replace").replace("\0", "?")
    return case._replace(data=f"{text}\n".encode())


def body_of(case: Case) -> Body | None:
    """Split a table behind its header; None if its header is not accepted."""
    case = as_text(case)
    result, run = case.options.result_column, case.options.run_column
    try:
        before = lines_before_header(case.data)
        reader, names = header(case.data, before, {result} if case.whole_results else {result, run})
    except RefusedError:
        return None
    if isinstance(found := reading(case, "a.csv"), Refusal) and found.line == before + 1:
        return None
    lines = list(io.BytesIO(case.data))
    at = before + reader.line_num
    run_at = names.index(run) if run in names else None
    layout = Layout(reader.dialect.delimiter, len(names), names.index(result), run_at)
    return Body(b"".join(lines[:at]), b"".join(lines[at:]), layout, case)


def pairs_of(found: Reading | Refusal) -> list[Pair]:
    return found.pairs if isinstance(found, Reading) else []


@effort(max_examples=60, deadline=None)
@given(
    st.one_of(tables(), edited(tables())), st.sampled_from([b"", b'"', b'1,2\n3,"', b"\r", b"9"])
)
def test_a_table_is_scanned_as_it_is_read_plainly(case: Case, before: bytes) -> None:
    """Up to the end, each row is taken as it is read plainly, or left; none is lost or made up."""
    body = body_of(case)
    assume(body is not None)
    assert body is not None
    start = PAD + len(before)
    data = b"9" * PAD + before + body.rows
    found = scan_table(buffer(data), start, len(data), body.layout)
    spans = [start, *(place for span in found.odd for place in span), found.end]
    assert spans == sorted(spans)
    odd = body.read(b"".join(data[slice(*span)] for span in found.odd))
    whole = body.read(data[start : found.end])
    assert isinstance(odd, Refusal) == isinstance(whole, Refusal)
    if isinstance(whole, Reading):
        taken = found.columns.pairs()
        assert sorted(taken + pairs_of(odd)) == sorted(pairs_of(whole))
    if not found.stuck and found.end < len(data):
        assert isinstance(body.read(data[found.end :]), Refusal)


PLAIN_TABLES = {
    "plain": b"1,x,2\n3,,4\n",
    "CRLF": b"1,x,2\r\n3,,4\r\n",
    "quoted": b'"1","x","2"\n"3","","4"\r\n',
    "blanks": b" 1 ,x,\t2\n3\t,,4 \n",
    "quotes in another column": b'1,"a,""b""\n\rc\r\n",2\n3,"""",4\n',
    "19 digits": b"0000000000000000001,,2\n3,,0000000000000000004\n",
}


@pytest.mark.parametrize("rows", PLAIN_TABLES.values(), ids=PLAIN_TABLES.keys())
def test_plain_rows_are_all_taken(rows: bytes) -> None:
    """Rows as they are commonly written are taken at once, and none is left to be read again."""
    data = b" " * PAD + rows
    found = scan_table(buffer(data), PAD, len(data), Layout(",", 3, 0, 2))
    assert found.columns.pairs() == [Pair(1, 2), Pair(3, 4)]
    assert (found.odd, found.end, found.stuck) == ([], len(data), False)


# JSON Lines


def json_pairs(case: Case, lines: bytes) -> list[Pair]:
    found = reading(case._replace(data=b"{}\n" + lines), "a.jsonl")
    return pairs_of(found)


def objects_for(case: Case) -> Objects:
    return Objects(case.options.result_column, case.options.run_column)


some_lines = st.one_of(json_lines(), edited(json_lines())).map(as_text)


@effort(max_examples=60, deadline=None)
@given(some_lines, st.sampled_from(SINGLE), st.sampled_from([b"", b'{"', b"\n,", b"9"]))
def test_lines_that_are_alike_are_read_as_plainly(case: Case, form: str, before: bytes) -> None:
    """Each line is taken as it is read plainly, or left; none is lost or made up."""
    first = filled(form, "3", "4", "").replace(
        '"result_id"', json.dumps(case.options.result_column)
    )
    template = objects_for(case).template(first.encode())
    assume(template is not None)
    assert template is not None
    lines = first.encode() + b"\n" + case.data
    start = PAD + len(before)
    data = b"9" * PAD + before + lines
    found = scan_lines(buffer(data), start, len(data), template)
    odd = b"".join(data[begin : end + 1] for begin, end in found.odd)
    assert odd.count(b"\n") == len(found.odd)
    assert found.columns.rows + len(found.odd) == lines.count(b"\n")
    assert sorted(found.columns.pairs() + json_pairs(case, odd)) == sorted(json_pairs(case, lines))


@effort(max_examples=60, deadline=None)
@given(some_lines, st.integers(1, 5))
def test_objects_are_read_as_plainly(case: Case, together: int) -> None:
    """What is taken of lines, together or one by one, is what the plain reading makes of them."""
    objects = objects_for(case)
    lines = case.data.split(b"\n")[:-1]
    for line in lines:
        group = objects.line(line)
        if group is not None:
            result_id, run_ids = group
            assert [Pair(result_id, run_id) for run_id in run_ids] == json_pairs(case, line)
    for at in range(0, len(lines), together):
        some = lines[at : at + together]
        columns = objects.block(b"\n".join(some), len(some))
        if columns is not None:
            assert columns.pairs() == json_pairs(case, b"\n".join(some))


COMMON_ROWS = {
    "single": [{"result_id": 1, "run_id": 2}, {"result_id": MAX_ID, "run_id": 2**53 + 1}],
    "run first": [{"run_id": 2, "result_id": 1}, {"run_id": 4, "result_id": 3}],
    "grouped": [{"result_id": 1, "run_ids": [2, 3]}, {"result_id": 4, "run_ids": []}],
    "mixed": [{"result_id": 1, "run_id": 2}, {"run_ids": [4, 5], "result_id": 3}],
    "other keys": [
        {"result_id": 1, "run_id": 2, "why": "x"},
        {"n": 1, "result_id": 3, "run_id": 4},
    ],
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
@pytest.mark.parametrize("rows", COMMON_ROWS.values(), ids=COMMON_ROWS.keys())
def test_common_objects_are_all_taken(
    rows: list[dict[str, object]], separators: tuple[str, str], ending: str
) -> None:
    """Rows as they are commonly written are taken together, and none is left to be read again."""
    lines = [json.dumps(row, separators=separators) + ending.rstrip("\n") for row in rows]
    text = "\n".join(lines).encode()
    columns = Objects("result_id", "run_id").block(text, 2)
    assert columns is not None
    assert columns.pairs() == json_pairs(Case(b""), text)


def test_a_line_that_may_be_nested_deeply_is_left() -> None:
    """A line of hundreds of brackets is left to the reader that knows how deep it may go."""
    objects = Objects("result_id", "run_id")
    line = b'{"result_id": 1, "run_id": 2, "x": [%b]}'
    deep, flat = line % (b"[" * 200 + b"]" * 200), line % b"[], []"
    assert objects.line(deep) is None
    assert objects.block(deep + b"\n" + flat, 2) is None
    assert objects.line(flat) == (1, [2])
    many = objects.block(b"\n".join([flat] * 200), 200)
    assert many is not None
    assert many.pairs() == [Pair(1, 2)] * 200


@pytest.mark.parametrize(
    "form", [*SINGLE, '{"result_id": R, "run_id": A}\r', '{"run_id" :A ,"result_id" :R}']
)
def test_lines_that_are_alike_are_all_taken(form: str) -> None:
    """Lines that differ in nothing but their ids, and in blanks beside them, are all taken."""
    pairs = [Pair(1, 2), Pair(MAX_ID, 2**53 + 1), Pair(2**63 - 2, 10**18)]
    lines = [filled(form, str(pair.result_id), f"{pair.run_id} ", "") for pair in pairs]
    data = b" " * PAD + "\n".join([*lines, ""]).encode()
    template = Objects("result_id", "run_id").template(filled(form, "7", "8", "").encode())
    assert template is not None
    found = scan_lines(buffer(data), PAD, len(data), template)
    assert (found.columns.pairs(), found.odd) == (pairs, [])


@pytest.mark.parametrize(
    "line",
    [
        b'\x0c{"result_id": 1, "run_id": 2}',
        b'{"result_id":\x0b1, "run_id": 2}',
        b'{"result_id": 1, "run_id": 2}\xc2\xa0',
        b'{"result_id": 01, "run_id": 2}',
        b'{"result_id": 1, "run_id": 2, "run_id": 3}',
        b'{"result_id": 1, "result_id": 2}',
        b'{"run_id": 1, "run_id": 2}',
        b'{"result_id": 1 "run_id": 2}',
        b'{"result_id": 1,, "run_id": 2}',
        b'{"result_id": "1", "run_id": 2}',
        b'{"result_id": 1, "run_id": 2} {}',
        b"",
    ],
)
def test_what_is_no_plain_row_is_no_template(line: bytes) -> None:
    """Nothing but a row of its two ids can be what other lines are compared to."""
    assert template_of(line, b'"result_id"', b'"run_id"') is None


NOT_ALIKE = {
    "leading zero": b'{"result_id": 1, "run_id": 02}',
    "zero": b'{"result_id": 0, "run_id": 2}',
    "one byte": b'{"result_id": 1, "run-id": 2}',
    "one byte at the end": b'{"result_id": 1, "run_id": 2]',
    "blank": b'{"result_id": 1, "run_id" : 2}',
    "vertical tab": b'{"result_id": 1, "run_id": 2\x0b}',
    "other key": b'{"result_id": 1, "run_id": 2, "x": 3}',
    "a comma": b",",
    "nothing": b"",
    "too much": b'{"result_id": 1, "run_id": 9223372036854775808}',
    "no id": b'{"result_id": 1, "run_id": }',
}


@pytest.mark.parametrize("line", NOT_ALIKE.values(), ids=NOT_ALIKE.keys())
def test_a_line_that_is_not_alike_is_left(line: bytes) -> None:
    """A line that differs from the template in anything but its ids is left to the slow reader."""
    good = b'{"result_id": 1, "run_id": 2}'
    template = template_of(good, b'"result_id"', b'"run_id"')
    assert template is not None
    data = b" " * PAD + good + b"\n" + line + b"\n" + good + b"\n"
    found = scan_lines(buffer(data), PAD, len(data), template)
    at = PAD + len(good) + 1
    assert found.columns.pairs() == [Pair(1, 2)] * 2
    assert found.odd == [(at, at + len(line))]
