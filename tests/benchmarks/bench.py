"""Measures planning and sending against limits that are taken in the same run.

Run it as `python -m tests.benchmarks.bench`. A target is no gate: the exit code is 1 only when a
command fails, or did not do what was asked. An exclamation mark is beside what misses its target.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import planning, sending
from tests.benchmarks.planning import say
from tests.benchmarks.rig import Rig
from tests.benchmarks.timing import CommandError

PLANNING = [case.name for case in planning.CASES]
PACKAGES = ("bulk-delete", "aiohttp", "uvloop", "msgspec", "numpy", "cekura", "duckdb")


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
    }


def send(
    folder: Path, rows: int, rounds: int, wanted: set[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    """Measure and print the wanted cases; return their lines, all that was sent, any failure."""
    bench, lines, failed = sending.Bench(Rig(folder), rounds, rows), [], False
    say(f"\n{'case':11}{'measured':42}{'value':>9}   target")
    for name in (name for name in sending.CASES if name in wanted):
        try:
            for line in sending.CASES[name](bench):
                sign = "≤" if line.at_most else "≥"
                target = "" if line.target is None else f"{sign} {line.target:.3g}"
                mark = "!" if line.misses else " "
                say(f"{line.case:11}{line.title:42}{line.value:9.3f}{mark}  {target:9}{line.words}")
                lines.append(asdict(line) | {"misses": line.misses})
        except CommandError as error:
            sys.stderr.write(f"{error}\n")
            failed = True
    return lines, bench.sent, failed


def main() -> int:
    names = [*PLANNING, *sending.CASES]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--folder", type=Path, help="keep the files there, and use them again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    wanted = set(given.only or names)
    facts = machine() | {"rows": given.rows, "rounds": given.rounds}
    say(", ".join(f"{name} {number}" for name, number in facts["versions"].items()))
    say(f"{facts['cpu']}, {facts['cores']} cores; {given.rows:,} rows, {given.rounds} rounds\n")
    failed = False
    if plans := wanted.intersection(PLANNING):
        facts["planning"], failed = planning.measure(given.rows, given.rounds, plans, given.folder)
    if sends := wanted.intersection(sending.CASES):
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            folder = (given.folder or Path(scratch)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            lines, sent, wrong = send(folder, given.rows, given.rounds, sends)
        facts |= {"sending": lines, "sent": sent}
        failed = failed or wrong
    if given.json:
        given.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
