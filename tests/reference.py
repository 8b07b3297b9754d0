"""A plain reading of inputs, to hold the product's against: whole files, row after row."""

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import Any, NamedTuple

from hypothesis import strategies as st

from bulk_delete.config import Input
from bulk_delete.model import MAX_ID, Pair, Reject

BOM = b"\xef\xbb\xbf"
OTHER_KINDS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1", b"\xff\xfe", b"\xfe\xff")
OTHER_PACKINGS = (b"BZh", b"\xfd7zXZ")
FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
PLAIN = Input()
SHOWN = 200
ILL_FORMED = "not well-formed CSV"


class Refusal(NamedTuple):
    """A file is not accepted as a whole: the line to blame, if one is, and a word of the reason."""

    line: int | None
    word: str


class RefusedError(Exception):
    def __init__(self, line: int | None, word: str) -> None:
        super().__init__(line, word)
        self.refusal = Refusal(line, word)


@dataclass
class Reading:
    """What a file holds, in the order of its lines."""

    pairs: list[Pair] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


class Case(NamedTuple):
    """A file that is not packed, and how it is to be read."""

    data: bytes
    options: Input = PLAIN
    whole_results: bool = False


def reading(case: Case, path: str, *, head: int = 4096) -> Reading | Refusal:
    """Read a file by this path; its first bytes, as many as `head`, tell what it is."""
    data, options = case.data, case.options
    try:
        if data.startswith((*OTHER_KINDS, *OTHER_PACKINGS)):
            raise RefusedError(None, "is ")  # noqa: TRY301 - as all the others
        first = data[:head].removeprefix(BOM).lstrip()[:1]
        by_name = FORMATS.get(PurePath(path).suffix, "jsonl" if first in {b"{", b"["} else "csv")
        if (by_name if options.format == "auto" else options.format) == "csv":
            return table(case, path)
        if first == b"[":
            raise RefusedError(None, "one JSON array")  # noqa: TRY301 - likewise
        return objects(case, path)
    except RefusedError as error:
        return error.refusal


def lines_of(data: bytes) -> Iterator[str]:
    """Yield the lines, with their ends, up to the first that is no text. Raises RefusedError."""
    for number, line in enumerate(io.BytesIO(data.removeprefix(BOM)), start=1):
        if b"\0" in line:
            raise RefusedError(number, "NUL")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise RefusedError(number, "not UTF-8") from None


def beside(refusal: Refusal, case: Case) -> list[Refusal]:
    """Find what may be told as well: an ill-formed row can reach into a line that is no text."""
    try:
        list(lines_of(case.data))
    except RefusedError as error:
        return [error.refusal] if refusal.word == ILL_FORMED else []
    return []


def id_of(text: str, name: str) -> int:
    """Read an id. Raises ValueError with what a reject says."""
    digits = text.strip(" \t\r\n")
    if not digits:
        raise ValueError(f"{name} is empty")
    if not re.fullmatch("[0-9]+", digits):
        raise ValueError(f"{name} {digits[:40]!r} is not a whole decimal number")
    digits = digits.lstrip("0")
    if not digits:
        raise ValueError(f"{name} is 0; ids start at 1")
    if len(digits) > 19 or int(digits) > MAX_ID:
        raise ValueError(f"{name} {digits[:40]} is above 2^63-1")
    return int(digits)


# CSV


def table(case: Case, path: str) -> Reading:
    data, options = case.data, case.options
    csv.field_size_limit(1 << 27)
    wanted = {options.result_column, options.run_column}
    needed = {options.result_column} if case.whole_results else wanted
    before = lines_before_header(data)
    reader, names = header(data, before, needed)
    named = [name for name in names if name]
    if len(named) != len(set(named)):
        raise RefusedError(before + 1, "twice")
    if not needed <= set(names):
        raise RefusedError(before + 1, "has no column")
    found = Reading()
    raw = list(io.BytesIO(data.removeprefix(BOM)))
    while True:
        start = before + reader.line_num
        try:
            row = next(reader, None)
        except csv.Error:
            raise RefusedError(start + 1, ILL_FORMED) from None
        if row is None:
            return found
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        try:
            found.pairs.append(pair_of(row, names, options))
        except ValueError as error:
            text = b"".join(raw[start : before + reader.line_num]).decode()
            shown = text.rstrip("\r\n")[:SHOWN]
            found.rejects.append(Reject(path, start + 1, str(error), shown))


def lines_before_header(data: bytes) -> int:
    for number, line in enumerate(lines_of(data)):
        if line.strip():
            return number
    raise RefusedError(None, "is empty")


def header(data: bytes, before: int, needed: set[str]) -> tuple[Any, list[str]]:
    """Return the names by the first delimiter that gives the needed ones, else by a comma."""
    for delimiter in ",;\t|":
        reader = csv.reader(islice(lines_of(data), before, None), delimiter=delimiter, strict=True)
        with contextlib.suppress(csv.Error):
            names = [name.strip() for name in next(reader)]
            if needed <= set(names):
                return reader, names
    reader = csv.reader(islice(lines_of(data), before, None), strict=True)
    try:
        return reader, [name.strip() for name in next(reader)]
    except csv.Error:
        raise RefusedError(before + 1, ILL_FORMED) from None


def pair_of(row: list[str], names: list[str], options: Input) -> Pair:
    if len(row) != len(names):
        raise ValueError(f"has {len(row)} fields, the header has {len(names)}")
    cells = dict(zip(names, row, strict=True))
    result_id = id_of(cells[options.result_column], "result id")
    run = cells.get(options.run_column)
    return Pair(result_id, 0 if run is None else id_of(run, "run id"))


# JSON Lines


class Members(list[tuple[str, Any]]):
    """An object as it stands, its double keys included."""


def no_constant(name: str) -> None:
    raise ValueError(f"is not JSON: {name}")


DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=str, parse_constant=no_constant)


def objects(case: Case, path: str) -> Reading:
    found = Reading()
    for number, line in enumerate(lines_of(case.data), start=1):
        if not line.strip():
            continue
        asked_for = 1
        try:
            row = decoded(line)
            groups = [runs for key, runs in row if key == "run_ids" and type(runs) is list]
            asked_for = max(1, sum(map(len, groups)))
            found.pairs += group_of(row, case)
        except ValueError as error:
            shown = line.strip()[:SHOWN]
            found.rejects.append(Reject(path, number, str(error), shown, asked_for))
    return found


def decoded(line: str) -> Members:
    try:
        row = DECODER.decode(line.strip(" \t\r\n"))
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(row, Members):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - what a bad row raises
    return row


def group_of(row: Members, case: Case) -> list[Pair]:
    result_key, run_key = case.options.result_column, case.options.run_column
    keys = [key for key, _ in row]
    if any(keys.count(key) > 1 for key in (result_key, run_key, "run_ids")):
        raise ValueError("has a key twice")
    values = dict(row)
    if result_key not in keys:
        raise ValueError(f"has no {result_key!r}")
    result_id = json_id(values[result_key], "result id")
    if case.whole_results and run_key not in keys and "run_ids" not in keys:
        return [Pair(result_id, 0)]
    if (run_key in keys) == ("run_ids" in keys):
        raise ValueError(f"needs either {run_key!r} or 'run_ids'")
    if run_key in keys:
        return [Pair(result_id, json_id(values[run_key], "run id"))]
    if type(values["run_ids"]) is not list:
        raise ValueError("'run_ids' is not a list")
    return [Pair(result_id, json_id(run, "run id")) for run in values["run_ids"]]


def json_id(value: object, name: str) -> int:
    if isinstance(value, str):  # a text, or the digits of a whole number
        return id_of(value, name)
    if isinstance(value, Members):
        shown = "(an object)"
    else:
        shown = "(a list)" if isinstance(value, list) else json.dumps(value)[:40]
    raise ValueError(f"{name} {shown} is not a whole decimal number")


# Files that are nearly well-formed

ARABIC_3 = "\N{ARABIC-INDIC DIGIT THREE}"
WIDE_123 = "\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}\N{FULLWIDTH DIGIT THREE}"

GOOD_IDS = ["1", "7", "42", "99999999", "100000000", "1234567890123456", "12345678901234567"]
GOOD_IDS += map(str, [2**53 - 1, 2**53, 2**53 + 1, 10**18, MAX_ID - 1, MAX_ID])
BAD_IDS = ["0", "-0", "-1", "+5", "1.0", "1.5", "1e3", "1_000", "0x10", "true", "NaN", "x", "1 2"]
BAD_IDS += map(str, [2**63, 10**19 - 1, 10**19, 2**64 + 1, 10**20, 10**40])
BAD_IDS += [ARABIC_3, WIDE_123, "/", ":", "1/", ":1", "1\f", "1\N{NO-BREAK SPACE}", "\x1f1", "9/9"]
AROUND = [("", ""), (" ", "\t "), (" " * 17, ""), ('"', '"'), ('"\n ', '\r\n"')]

CSV_IDS = [
    before + zeros + text + after
    for text in GOOD_IDS
    for zeros in ("", "00", "0" * 30)
    for before, after in AROUND
]
ODD_CSV_IDS = ["", " ", '""', '" "', "000", '"1""2"', ' "1"', "1\r", '"1\r"', '"1"\r', "1,2"]
ODD_CSV_IDS += [*BAD_IDS, *(f'"{text}"' for text in BAD_IDS)]
NOTES = ["", "x", "7", '"a,b"', '"a\nb"', '"\r\n\n"', '""', '""""', '"x""y"', '"1\r2"', "\xe9"]
NOTES += ['"\U0001f600;\n|\t"', "\u2028\x0b\x1c\x85", '"\n1,2,3\n4,5,6\n"', '"\n1,2\n"', "x" * 70]
STRAY_NOTES = ['x"y', 'x"', 'x""', ' "q"', 'x"y"', '"y"z', '"y" ', '"', "a\rb", "\r", '"a"\r"b"']
ENDS = ["\n"] * 8 + ["\r\n", "\r\n", "\n\n", "\r\r\n", " \n", "\n \t\n", '\n""\n', "\n\x0b\n"]


@st.composite
def tables(draw: st.DrawFn) -> Case:
    """Make CSV of all that CSV may hold; some ids may be bad, and some quotes astray."""
    options = draw(st.sampled_from([PLAIN, PLAIN, Input(result_column="r", run_column="n\xe9")]))
    ids = [options.result_column, options.run_column]
    others = draw(
        st.sampled_from([[], ["note"], ["", "note"], ["a", "", ""], ['"a\n"']] * 4 + [ids[:1]])
    )
    whole_results = draw(st.sampled_from([False, False, True]))
    names = draw(st.permutations(ids + others))
    if whole_results and draw(st.booleans()):
        names.remove(options.run_column)
    delimiter = draw(st.sampled_from(",,;\t|"))
    id_cells = st.sampled_from(CSV_IDS) | st.integers(1, MAX_ID).map(str)
    notes = st.sampled_from(NOTES)
    if draw(st.booleans()):
        id_cells |= st.sampled_from(ODD_CSV_IDS)
    if draw(st.integers(0, 3)) == 3:
        notes |= st.sampled_from(STRAY_NOTES)
    ends = st.sampled_from([*ENDS, f"{delimiter}\n"])
    row = st.tuples(*(id_cells if name in ids else notes for name in names), ends)
    rows = draw(st.lists(row, max_size=draw(st.sampled_from([3, 12, 30]))))
    quote = draw(st.sampled_from(["", "", '"', " "]))
    head = draw(st.sampled_from(["", "", "\ufeff", "\n \n", "\ufeff\r\n"]))
    head += delimiter.join(f"{quote}{name}{quote}" for name in names) + draw(ends)
    body = "".join(delimiter.join(cells) + end for *cells, end in rows)
    return Case((head + body).encode(), options, whole_results)


JSON_IDS = [*GOOD_IDS, *GOOD_IDS, '"7"', '" 42 "', '"007"', f'"{MAX_ID}"', '"\\u0031"']
ODD_JSON_IDS = [*BAD_IDS, "null", "[1]", "{}", "01", "00", "1E400", "-", '""', '"x"', '"\\ud800"']
SINGLE = [
    '{"result_id": R, "run_id": A}',
    '{"run_id":A,"result_id":R}',
    '\t{ "result_id" :\tR ,"run_id": A } \r',
]
GROUPED = [
    '{"result_id": R, "run_ids": [A, B, R]}',
    '{"run_ids":[A],"result_id":R}',
    '{"result_id":R,"run_ids":[ ]}',
]
LIKELY = [
    '{"result_id":R,"run_id":A,"x":"y"}',
    '{"x":[1, {"a": null}],"result_id":R,"run_id":A,"x":-1.5e3}',
    '{"x":"run_id","result_id":R,"run_id":A}',
    '{"x":"run_ids","result_id":R,"run_id":A}',
    '{"result_id":R,"run_id":A,"y":{"run_id":1,"run_ids":[2],"result_id":3}}',
    '{"x":"result_id","y":"\xe9\u2028\x7f","result_id":R,"run_ids":[A,B]}',
    '{"x":"}\\"{","result_id":R,"run_id":A}',
    '{"result\\u005fid":R,"run_id":A}',
    '{"result_id":R,"run_id":A,"RUN_ID":B,"Result_id":B}',
    '{"x":1,"result_id":R,"x":{"x":2,"x":3},"run_id":A}',
    '{"result_id":R}',
    "",
    " \t",
]
UNLIKELY = [
    '{"result_id":R,"result_id":R,"run_id":A}',
    '{"result_id":R,"run_id":A,"run_id":B}',
    '{"result_id":R,"run_id":A,"run\\u005fid":B}',
    '{"result_id":R,"run_ids":[A],"run_ids":[B,A]}',
    '{"result_id":R,"run_id":A,"run_ids":[A,B]}',
    '{"result_id":R,"run_ids":A}',
    '{"result_id":R,"run_id":[A,B]}',
    '{"result_id":R,"run_ids":[[A],B]}',
    '{"result_id":R,"run_ids":[A,]}',
    '{"result_id":R,"run_ids":null}',
    '{"result_id":R,"run_id":null}',
    '{"run_id":A,"x":"result_id"}',
    '{"result_id":R,"x":"run_id"}',
    '{"result_id":R,"x":{"run_id":A}}',
    '{"result_id":R,"run_id":A}{"result_id":R,"run_id":B}',
    '{"result_id":R,"run_id":A} {}',
    '{"result_id":R,"run_id":A},',
    '{"result_id":R,"run_id":A,}',
    '{"result_id":R,\n"run_id":A}',
    '{"result_id":R\n,"run_id":A}{"result_id":R,"run_id":B}\n',
    '{"result_id":R,\n{"result_id":R,"run_id":A},"run_id":B}',
    '{"result_id":R "run_id":A}',
    "{'result_id':R,'run_id':A}",
    '\x0c{"result_id":R,"run_id":A}',
    '\ufeff{"result_id":R,"run_id":A}',
    '\xa0{"result_id":R,"run_id":A}',
    ",",
    "[R,A]",
    "R",
    "null",
    '"A"',
    "\x85",
]
UNLIKELY += [
    f'{{"result_id":R,"x":{value},"run_id":A}}'
    for value in ("NaN", "-Infinity", "01", "1.", ".5", "-", "+1", "1e", "tru", "'y'", "{1:2}")
]
UNLIKELY += [
    f'{{"result_id":R,"run_id":A,"x":{value}}}'
    for value in ('"\x01"', '"\t"', '"\\q"', '"\\u00"', '"y', "[1,]", "[", "{,}", '"":1', "nul", "")
]

ODD_NAMES = ["r", "x", "", ",", ":", "a/b", 'q"', "\\", "n\xe9", "run_ids", "\x7f", "{", "[]", "\n"]


@st.composite
def json_lines(draw: st.DrawFn) -> Case:
    """Make JSON Lines, most of them alike; some ids and lines may be bad."""
    whole_results = draw(st.sampled_from([False, False, True]))
    usual = st.just(draw(st.sampled_from([*SINGLE, *SINGLE, *GROUPED, *LIKELY])))
    lines = usual | st.sampled_from([*SINGLE, *GROUPED]) if draw(st.booleans()) else usual
    if draw(st.booleans()):
        lines = usual | lines | st.sampled_from(LIKELY)
    if draw(st.booleans()):
        lines = usual | lines | st.sampled_from(UNLIKELY)
    ids = st.sampled_from(GOOD_IDS) | st.integers(1, MAX_ID).map(str)
    if draw(st.booleans()):
        ids |= st.sampled_from(JSON_IDS)
    if draw(st.booleans()):
        ids |= st.sampled_from(ODD_JSON_IDS)
    rows = draw(
        st.lists(st.tuples(lines, ids, ids, ids), max_size=draw(st.sampled_from([3, 12, 40])))
    )
    text = "\n".join(filled(*row) for row in rows)
    head = draw(st.sampled_from(["", "", "\ufeff", "\n \n"]))
    end = draw(st.sampled_from(["", "\n", "\r\n"]))
    options = PLAIN
    if draw(st.integers(0, 4)) == 4:
        options = Input(result_column=draw(st.sampled_from(ODD_NAMES)), run_column="run_id")
        text = text.replace('"result_id"', json.dumps(options.result_column))
    return Case(f"{head}{text}{end}".encode(), options, whole_results)


def filled(form: str, result: str, run: str, other_run: str) -> str:
    ids = {"R": result, "A": run, "B": other_run}
    return re.sub(r"\b[RAB]\b", lambda found: ids[found[0]], form)


PIECES = [bytes([byte]) for byte in b'",;\n\r 10{}[]:-.e\\\0\xff\xc3\x0b\x0c']
PIECES += [b"", b'""', b"\r\n", b"\xc2\xa0", BOM]


@st.composite
def edited(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> Case:
    """Change a file in a few places."""
    case = draw(cases)
    data = case.data
    edits = st.tuples(st.integers(0, len(data)), st.integers(0, 2), st.sampled_from(PIECES))
    for at, cut, piece in draw(st.lists(edits, min_size=1, max_size=3)):
        data = data[:at] + piece + data[at + cut :]
    return case._replace(data=data)
