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
from tests.torture.trial import Tally, trial

_WORDS = """\
struck: the fault came before the job was done
lost: runs that were asked for and are not deleted in the end, or not known to be
again: runs that were sent twice, and calls that were made, with no line that says so
wrong: runs that were deleted and not asked for
other: tries in which the job did not come to an end, its books were wrong after any start,
       its audit found something, or the key was printed or written"""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def tried(name: str, seed: int, folder: Path) -> Tally:
    """Try a fault once; what went wrong so that nothing can be said is told as words."""
    home = folder / f"{list(FAULTS).index(name)}-{seed}"
    fault = FAULTS[name]
    try:
        with trial(home, seed, fault.faults) as one:
            fault.deed(one)
            struck = one.codes[0] in fault.codes
            one.recover()
            tally = one.laws()
            tally.struck = struck
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
    tallies: dict[str, list[Tally]] = {name: [] for name in given.only}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        tries = {
            pool.submit(tried, name, seed, folder): (name, seed)
            for seed in seeds
            for name in given.only
        }
        for done in as_completed(tries):
            name, seed = tries[done]
            tallies[name].append(done.result())
            for words in done.result().words[:3]:
                sys.stderr.write(f"{name}, seed {seed}: {words}\n")
    return table(tallies, time.monotonic() - began, folder)


def table(tallies: dict[str, list[Tally]], seconds: float, folder: Path) -> int:
    """Print what broke a law, by fault; return the exit code."""
    say(f"{'fault':40}{'tries':>7}{'struck':>8}{'lost':>7}{'again':>7}{'wrong':>7}{'other':>7}")
    for name, found in tallies.items():
        lost, again, wrong = (
            sum(getattr(tally, law) for tally in found) for law in ("lost", "again", "wrong")
        )
        struck = sum(tally.struck for tally in found)
        other = sum(bool(tally.words) for tally in found)
        say(f"{name:40}{len(found):7}{struck:8}{lost:7}{again:7}{wrong:7}{other:7}")
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
