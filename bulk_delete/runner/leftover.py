"""What earlier plans still had to do and this one does not ask for: listed, and never forgotten."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import JobFolder
from bulk_delete.journal.reader import History
from bulk_delete.ledger import DOUBTED, Ledger
from bulk_delete.model import Pair, State
from bulk_delete.plan import Plan, build
from bulk_delete.sources import Source

_IN_DOUBT = frozenset({State.IN_DOUBT})
_OPEN = frozenset({State.IN_DOUBT, State.UNKNOWN, State.FAILED})


@dataclass(frozen=True, slots=True)
class Leftover:
    """The pairs that belong in `leftover.csv`.

    `plan` are those that this execution does not ask for; `before` are these and what the file
    lists today, so that nothing is dropped before this execution is on the record. `replaced`
    counts, by state, those of the unfinished plan that this one replaces, None where none is;
    `lost` is the place of a replaced plan that is not there any more.
    """

    plan: Plan
    before: Plan
    replaced: Mapping[str, int] | None
    lost: Path | None

    def doubts(self, ledger: Ledger) -> int:
        """Count the pairs outside the plan of which nobody knows whether they are deleted.

        Those that the journal leaves in doubt count until they are settled; those that were given
        up on count once more when their plan is replaced.
        """
        states = DOUBTED if self.replaced else _IN_DOUBT
        return sum(ledger.state(*pair) in states for pair in self.plan.pairs())


def find_leftover(folder: JobFolder, plan: Plan, history: History) -> Leftover:
    """Gather the rest of the plan before, of `leftover.csv`, and what the journal left open.

    Raises InvalidInput when one of the files was spoilt.
    """
    ledger = history.ledger

    def is_left(pair: Pair) -> bool:
        return pair not in plan and not ledger.is_done(*pair)

    replaced, lost = _replaced(folder, plan, history)
    rest = [pair for pair in replaced.pairs() if is_left(pair)] if replaced else []
    listed = list(_pairs(folder.leftover)) if folder.leftover.exists() else []
    still_open = ledger.pairs_in(_OPEN)
    left = build(pair for part in (rest, listed, still_open) for pair in part if is_left(pair))
    counts = ledger.count(rest)
    told = {state.value: counts[state] for state in State if counts.get(state)}
    before = build([*listed, *left.pairs()])
    return Leftover(left, before, told if replaced else None, lost)


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
    for row in Source((str(path),), settings).rows():
        if not isinstance(row, Pair):
            raise InvalidInput(
                f"{path}, line {row.line}: {row.reason}; this file is ours: mend it or move it away"
            )
        yield row
