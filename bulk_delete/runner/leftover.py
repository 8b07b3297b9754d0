"""What earlier plans still had to do and this one does not ask for: listed, and never forgotten."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.config import Input
from bulk_delete.folder import JobFolder
from bulk_delete.journal.reader import History
from bulk_delete.ledger import DOUBTED, Ledger
from bulk_delete.model import Pair, State
from bulk_delete.plan import Plan, build
from bulk_delete.sources import Source

_IN_DOUBT = frozenset({State.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Leftover:
    """The pairs that belong in `leftover.csv`.

    `replaced` counts, by state, those of the unfinished plan that this one replaces; it is None
    where none is replaced. `lost` is the place of a replaced plan that is not there any more.
    """

    plan: Plan
    replaced: Mapping[str, int] | None
    lost: Path | None

    def doubts(self, ledger: Ledger) -> int:
        """Count the pairs outside the plan of which nobody knows whether they are deleted.

        Those that the journal leaves in doubt count until they are settled; those that were given
        up on count once, when their plan is replaced.
        """
        states = DOUBTED if self.replaced else _IN_DOUBT
        return sum(ledger.state(*pair) in states for pair in self.plan.pairs())


def find_leftover(folder: JobFolder, plan: Plan, history: History) -> Leftover:
    """Gather the rest of the plan before, of `leftover.csv`, and what the journal left in doubt."""
    ledger = history.ledger

    def is_left(pair: Pair) -> bool:
        return pair not in plan and not ledger.is_done(*pair)

    replaced, lost = _replaced(folder, plan, history)
    rest = [pair for pair in replaced.pairs() if is_left(pair)] if replaced else []
    listed = _pairs(folder.leftover) if folder.leftover.exists() else iter(())
    doubted = ledger.pairs_in(_IN_DOUBT)
    left = build(pair for part in (rest, listed, doubted) for pair in part if is_left(pair))
    counts = ledger.count(rest)
    told = {state.value: counts[state] for state in State if counts.get(state)}
    return Leftover(left, told if replaced else None, lost)


def _replaced(folder: JobFolder, plan: Plan, history: History) -> tuple[Plan | None, Path | None]:
    """Find the plan before, if it is another and unfinished; or its place, if it is lost."""
    started, finished = history.started, history.finished
    went_through = finished is not None and finished.exit_code in {0, 1}
    if started is None or went_through or started.fingerprint == plan.fingerprint:
        return None, None
    saved = folder.plan(started.fingerprint)
    if not saved.exists():
        return None, saved
    return build(_pairs(saved)), None


def _pairs(path: Path) -> Iterator[Pair]:
    settings = Input(format="csv" if path.suffix == ".csv" else "jsonl")
    return (row for row in Source((str(path),), settings).rows() if isinstance(row, Pair))
