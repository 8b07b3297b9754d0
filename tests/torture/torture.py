"""Tries every fault many times, and prints a table. Run it as `python -m tests.torture.torture`.

The code is 1 when any law was broken.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.torture.faults import FAULTS
from tests.torture.trial import Tally

_LAWS = ("lost", "again", "wrong", "late")
_WORDS = """\
struck: the fault came before the job was done
lost: runs that were asked for and are not deleted in the end, or not known to be
again: runs that were sent twice, and calls that were made, with no line that says so
wrong: runs that were deleted and not asked for
late: calls beyond one a worker that left after the journal had failed, or before a start ended
other: tries in which the job did not come to an end, its books were wrong after any start,
       its audit found something, or the key was printed or written"""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def tried(name: str, seed: int, folder: Path) -> Tally:
    """Try a fault once; what went wrong so that nothing can be said is told as words."""
    home = folder / f"{list(FAULTS).index(name)}-{seed}"
    try:
        tally = FAULTS[name].tried(home, seed)
    except Exception as error:  # noqa: BLE001 - a trial that cannot be held is a finding, too
        tally = Tally(words=[f"{type(error).__name__}: {error}"])
    if tally.clean:
        shutil.rmtree(home, ignore_errors=True)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="tries of each fault")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--only", nargs="+", default=list(FAULTS), metavar="FAULT")
    given = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # so that the jobs hear it under nohup, too
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    began = time.monotonic()
    seeds = range(given.seed, given.seed + given.rounds)
    lacking = {name: lack for name in given.only if (lack := FAULTS[name].lacking())}
    tallies: dict[str, list[Tally]] = {name: [] for name in given.only if name not in lacking}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        tries = {
            pool.submit(tried, name, seed, folder): (name, seed)
            for seed in seeds
            for name in tallies
        }
        for done in as_completed(tries):
            name, seed = tries[done]
            tallies[name].append(done.result())
            for words in done.result().words[:3]:
                sys.stderr.write(f"{name}, seed {seed}: {words}\n")
    return table(tallies, lacking, time.monotonic() - began, folder)


def table(
    tallies: dict[str, list[Tally]], lacking: dict[str, str], seconds: float, folder: Path
) -> int:
    """Print what broke a law, by fault; return the exit code."""
    heads = "".join(f"{law:>7}" for law in (*_LAWS, "other"))
    say(f"{'fault':40}{'tries':>7}{'struck':>8}{heads}")
    for name, found in tallies.items():
        broken = [sum(getattr(tally, law) for tally in found) for law in _LAWS]
        broken.append(sum(bool(tally.words) for tally in found))
        struck = sum(tally.struck for tally in found)
        say(f"{name:40}{len(found):7}{struck:8}" + "".join(f"{count:7}" for count in broken))
    for name, lack in lacking.items():
        say(f"{name:40}{0:7}  skipped: {lack}")
    tries = [tally for found in tallies.values() for tally in found]
    bad = sum(not tally.clean for tally in tries)
    say(f"{len(tries)} tries in {seconds:.0f} s.\n{_WORDS}")
    if bad:
        say(f"{bad} of them broke a law; what they left is in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
