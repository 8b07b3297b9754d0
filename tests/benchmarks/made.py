"""Makes one input file of the benchmarks, and prints what a plan of it has to count, as JSON.

It is run as `made.py SHAPE ROWS FILE`, in a process of its own: a child's peak memory is never
below what its parent had when it forked, so the process that measures has to stay small.

Nothing is drawn and kept: the rows of a file have numbers, the numbers come shuffled, and both ids
follow from the number. So a piece of a file takes the same memory however long the file is.

The shapes for sending have no row twice. Beside their file stands FILE.calls, which has the fewest
calls that delete its runs: on each line a result, a tab, and the body of a call.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]  # (n,); the runs of grouped lines are (n, 100)
Text = NDArray[np.uint8]  # (n, width): one text a row, with zeros where it has no character

SEED = 20_260_801
PIECE = 100_000  # rows made at once
RESULTS = 200_000  # at most; a file of few rows has one for 50 of them
IDS_A_LINE = 100  # in the grouped shape
FIRST_RESULT, FIRST_RUN = np.uint64(1_001), np.uint64(500_001)
FIRST_BIG = np.uint64(2**62)  # and the last is 2^63-1
ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # multipliers of splitmix64

PLAIN = "result_id,run_id\n", "<result>,<run>\n"
SHAPES = {  # header and row; what stands in <> is an id, or comes from COLUMNS
    "csv": PLAIN,
    "gz": PLAIN,
    "bad": PLAIN,
    "big": PLAIN,
    "crlf": ("result_id,run_id\r\n", "<result>,<run>\r\n"),
    "wide": (
        "when,agent,status,result_id,run_id,score,scenario,note\n",
        "<when>,<agent>,completed,<result>,<run>,<score>,<scenario>,ok\n",
    ),
    "quoted": ('"result_id","run_id"\n', '"<result>","<run>"\n'),
    "jsonl": ("", '{"result_id": <result>, "run_id": <run>}\n'),
}
COLUMNS = {
    "when": [f"2026-08-{day:02d}T10:00:00Z" for day in range(1, 29)],
    "agent": [f"{agent}" for agent in range(97)],
    "score": [f"{score / 1000:.3f}" for score in range(1000)],
    "scenario": [f"scenario {scenario}" for scenario in range(500)],
}
RUNS_A_CALL = 100
ZIPF_LARGEST, ZIPF_EXPONENT = 100_000, 1.42  # runs of result k: largest / k^exponent, down to 1
SENT = ("ones", "hundreds", "zipf")  # the shapes for sending
BAD_ROWS = ["1041,n/a\n", "1041\n", "x1041,7\n", "1041,12x4\n"]  # DuckDB takes none of them either


def results_of(rows: int) -> int:
    return min(RESULTS, max(1, rows // 50))


def mixed(numbers: Numbers, bits: int) -> Numbers:
    """Scatter the numbers below 2^bits, one to one."""
    mask = np.uint64((1 << bits) - 1)
    numbers = numbers ^ (np.uint64(SEED) & mask)
    for odd in ODD:
        numbers = (numbers * np.uint64(odd)) & mask
        numbers ^= numbers >> np.uint64(bits // 2)
    return numbers


def shuffled(numbers: Numbers, size: int) -> Numbers:
    """Scatter the numbers below size, one to one: what lands outside is scattered again."""
    bits = max(2, (size - 1).bit_length())
    numbers = mixed(numbers, bits)
    while (outside := numbers >= size).any():
        numbers[outside] = mixed(numbers[outside], bits)
    return numbers


def pieces(size: int, step: int) -> Iterator[Numbers]:
    """Yield the numbers below size, shuffled, a step at a time."""
    for start in range(0, size, step):
        yield shuffled(np.arange(start, min(start + step, size), dtype=np.uint64), size)


def digits(numbers: Numbers) -> Text:
    # A division of whole columns is ten times as fast as the text of one number after the other.
    width = len(str(numbers.max()))
    columns = np.zeros((width, len(numbers)), np.uint8)
    for column in reversed(columns):
        tens = numbers // np.uint64(10)
        column[:] = (numbers - tens * np.uint64(10) + np.uint64(ord("0"))) * (numbers > 0)
        numbers = tens
    return columns.T


def texts(values: list[str], width: int = 0) -> Text:
    cells = np.array(values, f"S{width or max(map(len, values))}")
    return cells.view(np.uint8).reshape(len(values), -1)


def filled(row: str, results: Numbers, runs: Numbers) -> Text:
    """Write one row for each pair."""
    ids = {"result": results, "run": runs}
    blocks: list[Text] = []
    for place, part in enumerate(re.split(r"<(\w+)>", row)):
        if place % 2 == 0:  # what stands between the fields
            blocks.append(np.repeat(texts([part]), len(runs), axis=0))
        elif part in ids:
            blocks.append(digits(ids[part]))
        else:
            blocks.append(texts(COLUMNS[part])[runs % np.uint64(len(COLUMNS[part]))])
    return np.hstack(blocks)


def write_rows(shape: str, rows: int, file: BufferedIOBase) -> dict[str, int]:
    """Write one run a row. One row in 100 repeats another."""
    bad = rows // 1000 if shape == "bad" else 0
    repeats = (rows - bad) // 100
    distinct = rows - bad - repeats
    header, row = SHAPES[shape]
    file.write(header.encode())
    for numbers in pieces(rows, PIECE):
        pair = np.where(numbers < distinct, numbers, numbers - np.uint64(distinct))
        result = mixed(pair, 64) % np.uint64(results_of(rows))
        if shape == "big":
            result, run = mixed(result, 62) + FIRST_BIG, mixed(pair, 62) + FIRST_BIG
        else:
            result, run = result + FIRST_RESULT, pair + FIRST_RUN
        lines = filled(row, result, run)
        is_bad = numbers >= rows - bad
        if is_bad.any():
            choice = numbers[is_bad] % np.uint64(len(BAD_ROWS))
            lines[is_bad] = texts(BAD_ROWS, lines.shape[1])[choice]
        file.write(lines[lines != 0].tobytes())
    return {"rows": rows, "rejected": bad, "duplicates": repeats, "planned": distinct}


def write_groups(rows: int, file: BufferedIOBase) -> dict[str, int]:
    """Write 100 runs a line. One line in 100 repeats another."""
    size = max(1, rows // IDS_A_LINE)
    distinct = size - size // 100
    for numbers in pieces(size, PIECE // IDS_A_LINE):
        line = np.where(numbers < distinct, numbers, numbers - np.uint64(distinct))
        runs = np.add.outer(line * np.uint64(IDS_A_LINE), np.arange(IDS_A_LINE, dtype=np.uint64))
        runs = shuffled(runs, distinct * IDS_A_LINE) + FIRST_RUN
        result = mixed(line, 64) % np.uint64(results_of(rows)) + FIRST_RESULT
        groups = zip(result.tolist(), runs.tolist(), strict=True)
        file.writelines(b'{"result_id": %d, "run_ids": %a}\n' % group for group in groups)
    counts = {"rows": size, "rejected": 0, "duplicates": size - distinct, "planned": distinct}
    return {name: count * IDS_A_LINE for name, count in counts.items()}


def sizes_of(shape: str, rows: int) -> Numbers:
    """Return how many runs each result has. ROWS does not count for zipf, which is as it is."""
    if shape != "zipf":
        size = RUNS_A_CALL if shape == "hundreds" else 1
        return np.full(rows // size, size, np.uint64)
    ranks = np.arange(1, ZIPF_LARGEST, dtype=np.float64)
    sizes = (ZIPF_LARGEST / ranks**ZIPF_EXPONENT).astype(np.uint64)
    return sizes[sizes > 0]


def calls_of(sizes: Numbers) -> Numbers:
    return (sizes + np.uint64(RUNS_A_CALL - 1)) // np.uint64(RUNS_A_CALL)


def write_sent(shape: str, rows: int, path: Path) -> dict[str, int]:
    """Write one run a row, and the calls. The runs of a result have numbers in a row.

    `digest` is the sum of result times run, modulo 2^64.
    """
    sizes = sizes_of(shape, rows)
    ends = np.cumsum(sizes)
    planned, digest = int(ends[-1]), 0
    with path.open("wb") as file:
        file.write(PLAIN[0].encode())
        for numbers in pieces(planned, PIECE):
            results = np.searchsorted(ends, numbers, side="right").astype(np.uint64) + FIRST_RESULT
            runs = numbers + FIRST_RUN
            digest += int((results * runs).sum())
            lines = filled(PLAIN[1], results, runs)
            file.write(lines[lines != 0].tobytes())
    with path.with_name(f"{path.name}.calls").open("wb") as file:
        for result, (size, end) in enumerate(zip(sizes.tolist(), ends.tolist(), strict=True)):
            for start in range(end - size, end, RUNS_A_CALL):
                runs_of_call = range(start, min(start + RUNS_A_CALL, end))
                ids = ", ".join(str(run + int(FIRST_RUN)) for run in runs_of_call)
                file.write(f'{result + int(FIRST_RESULT)}\t{{"run_ids": [{ids}]}}\n'.encode())
    calls = calls_of(sizes)
    counts = {"rows": planned, "rejected": 0, "duplicates": 0, "planned": planned}
    lanes = {"calls": int(calls.sum()), "longest": int(calls.max())}
    return counts | lanes | {"results": len(sizes), "digest": digest % 2**64}


def make(shape: str, rows: int, path: Path) -> dict[str, int]:
    if shape in SENT:
        return write_sent(shape, rows, path)
    # 6 is the level of the gzip command; Python's own is 9, which only takes longer to make.
    with gzip.open(path, "wb", 6) if path.suffix == ".gz" else path.open("wb") as file:
        return write_groups(rows, file) if shape == "grouped" else write_rows(shape, rows, file)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(make(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
