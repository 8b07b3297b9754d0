"""Times `bulk-delete plan` against DuckDB's scan of the same file, both as whole processes.

Ratios of the medians of the rounds.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.timing import CommandError, Timed, timed

Figures = dict[str, float]  # median, low and high in seconds, mb: the most of all rounds
MAKER = Path(__file__).with_name("made.py")
MB_TARGET = 150

DUCKDB = """\
import sys, duckdb
base = duckdb.connect()
base.execute("set threads=2")
base.execute("set enable_progress_bar=false")
print(*base.execute(sys.argv[1], sys.argv[2:]).fetchone())
"""
PAIRS = "select count(result_id), max(result_id), max(run_id) from "
TYPES = "columns={result_id: 'BIGINT', run_id: 'BIGINT'}"
CSV = f"{PAIRS} read_csv(?, header=true)"
BAD_CSV = f"{PAIRS} read_csv(?, header=true, ignore_errors=true, {TYPES})"
JSON = f"{PAIRS} read_json(?, format='newline_delimited', {TYPES})"
GROUPS = """\
select sum(len(run_ids)), max(result_id), max(list_max(run_ids)) from read_json(
    ?, format='newline_delimited', columns={result_id: 'BIGINT', run_ids: 'BIGINT[]'})
"""
HEAD = (
    f"{'case':42}{'ours s':>10}{'min-max':>11}{'duckdb s':>13}{'min-max':>11}"
    f"{'ratio':>12}  to      target   MB, target {MB_TARGET}"
)
YARDSTICKS = {f"python -c '{code}'": ["-c", code] for code in ("pass", "import numpy")}


@dataclass(frozen=True)
class Case:
    """`target` is a factor of the time of `against`: "duckdb" or the case "csv"; else seconds."""

    name: str
    title: str
    target: float | None
    against: str = "duckdb"
    ending: str = "csv"
    scan: str = CSV
    options: tuple[str, ...] = ()


SMALL = Case("small", "1,000 rows", 0.15, "seconds")
CASES = [
    Case("csv", "two columns", 3.5),
    Case("crlf", "two columns, CRLF", 3.5),
    Case("wide", "eight columns, ids in the middle", 6),
    Case("quoted", "every field quoted", 12),
    Case("jsonl", "JSON Lines, one run a line", 5.5, ending="jsonl", scan=JSON),
    Case("grouped", "JSON Lines, 100 runs a line", None, ending="jsonl", scan=GROUPS),
    Case("gz", "two columns, .gz", 2.2, ending="csv.gz"),
    Case("bad", "0.1 % bad rows", 2, "csv", scan=BAD_CSV, options=("--on-bad-row", "skip")),
    Case("big", "ids of 63 bits", 2, "csv"),
    SMALL,
]


@dataclass(frozen=True)
class Bench:
    folder: Path
    rows: int
    rounds: int

    def file(self, case: Case) -> tuple[Path, dict[str, int]]:
        """Make the file of a case, unless it is there; with it, what a plan of it has to count."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shape, rows = ("csv", 1_000) if case is SMALL else (case.name, self.rows)
        path = self.folder / f"{shape}-{rows}.{case.ending}"
        counts = path.with_name(f"{path.name}.counts.json")  # written last: the file is whole
        if not counts.exists() or counts.stat().st_mtime < MAKER.stat().st_mtime:
            made = self.python(str(MAKER), shape, str(rows), str(path))
            counts.write_text(made.out)
        with path.open("rb") as file:  # so that no round pays for a cold page cache
            while file.read(1 << 20):
                pass
        return path, json.loads(counts.read_text())

    def python(self, *words: str) -> Timed:
        return timed([sys.executable, *words], self.folder)

    def plan(self, path: Path, *options: str) -> Timed:
        with tempfile.TemporaryDirectory(dir=self.folder) as state:
            words = ["-m", "bulk_delete", "plan", str(path), "--json", "--state-dir", state]
            return self.python(*words, *options)

    def measure(self, case: Case) -> dict[str, Figures]:
        """Return the figures of "ours" and "duckdb", and of the yardsticks of the small case."""
        path, made = self.file(case)
        yardsticks = YARDSTICKS if case is SMALL else {}
        taken: dict[str, list[Timed]] = {}
        # A short process varies more, and more rounds of it cost nothing.
        for _ in range(self.rounds * 5 if case is SMALL else self.rounds):
            one = self.plan(path, *case.options)
            taken.setdefault("ours", []).append(one)
            counts = json.loads(one.out)["counts"]
            if (found := {name: counts[name] for name in made}) != made:
                raise CommandError(f"{case.name}: bulk-delete counts {found}, made were {made}")
            one = self.python("-c", DUCKDB, case.scan, str(path))
            taken.setdefault("duckdb", []).append(one)
            if int(one.out.split()[0]) != made["rows"] - made["rejected"]:
                raise CommandError(f"{case.name}: DuckDB counts {one.out}, made were {made}")
            for name, words in yardsticks.items():
                taken.setdefault(name, []).append(self.python(*words))
        return {name: figures(rounds) for name, rounds in taken.items()}


def figures(rounds: list[Timed]) -> Figures:
    seconds = sorted(one.seconds for one in rounds)
    most = max(one.mb for one in rounds)
    return {"median": median(seconds), "low": seconds[0], "high": seconds[-1], "mb": most}


def say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip(' ')}\n")
    sys.stdout.flush()


def spread(of: Figures | None) -> str:
    return f"{of['median']:10.3f} {of['low']:6.2f}-{of['high']:<6.2f}" if of else " " * 24


def line(record: dict[str, Any]) -> str:
    ratio, target, against = record["ratio"], record["target"], record["against"]
    ours, unit = record["figures"]["ours"], " s" if against == "seconds" else " x"
    mark = "!" if None not in {ratio, target} and ratio > target else " "
    return (
        f"{record['name']:8} {record['title']:33}"
        f"{spread(ours)}{spread(record['figures'].get('duckdb'))}"
        f"{f'{ratio:.2f}{unit}' if ratio else '':>9}{mark} "
        f"{'' if against == 'seconds' else against:7} {f'{target:g}{unit}' if target else '':8}"
        f"{ours['mb']:5.0f}{'!' if ours['mb'] > MB_TARGET else ''}"
    )


def run(bench: Bench, case: Case, bases: dict[str, float]) -> dict[str, Any]:
    """Measure and print one case. `bases` are the seconds that a case may be held against."""
    taken = bench.measure(case)
    bases |= {name: of["median"] for name, of in taken.items()}
    bases[case.name] = bases["ours"]
    base = bases.get(case.against)  # none where the case csv failed
    record = {
        "name": case.name,
        "title": case.title,
        "against": case.against,
        "target": case.target,
        "ratio": bases["ours"] / base if base else None,
        "figures": taken,
    }
    say(line(record))
    for name in YARDSTICKS:
        if name in taken:
            say(f"{'':9}{name:33}{spread(taken[name])}{'':51}{taken[name]['mb']:5.0f}")
    return record


def measure(
    rows: int, rounds: int, wanted: set[str], folder: Path | None
) -> tuple[list[dict[str, Any]], bool]:
    """Measure and print the wanted cases; return them, and whether any failed."""
    wanted |= {case.against for case in CASES if case.name in wanted}  # the case csv goes with them
    with tempfile.TemporaryDirectory() as scratch:  # so that all code is compiled and cached
        Bench(Path(scratch), rows, rounds=1).measure(SMALL)
    say(HEAD)
    bases, records, failed = {"seconds": 1.0}, [], False
    for case in (case for case in CASES if case.name in wanted):
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:  # gone after each case
            bench = Bench((folder or Path(scratch)).resolve(), rows, rounds)
            try:
                records.append(run(bench, case, bases))
            except CommandError as error:
                sys.stderr.write(f"{error}\n")
                failed = True
    return records, failed
