"""What earlier plans still had to do and this one does not ask for: listed, and never forgotten."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.columns import Columns, Mask
from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import JobFolder
from bulk_delete.journal.replay import History
from bulk_delete.ledger import DONE, DOUBTED, among
from bulk_delete.model import State
from bulk_delete.runner.protection import Protection
from bulk_delete.sources import Source
from bulk_delete.store import Builder, Plan, Scratch, SpoiltPlanError, States, open_sound_plan

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

    def doubts(self, states: States, protection: Protection | None = None) -> int:
        """Count the pairs outside the plan of which nobody knows whether they are deleted.

        With a protection, those that it lets through.

        Those that the journal leaves in doubt count until they are settled; those that were given
        up on count once more when their plan is replaced.
        """
        doubted = DOUBTED if self.replaced else _IN_DOUBT
        chunks = self.plan.chunks()
        if protection:
            chunks = (columns.part(~protection.covers(columns)) for columns in chunks)
        counts = states.count(chunks)
        return sum(counts.get(state, 0) for state in doubted)


def find_leftover(
    folder: JobFolder,
    plan: Plan,
    history: History,
    states: States,
    scratch: Scratch,
    stack: ExitStack,
) -> Leftover:
    """Gather the rest of the plan before, of `leftover.csv`, and what the journal left open.

    Raises InvalidInput when one of the files was spoilt, and ScratchError.
    """

    def is_left(columns: Columns) -> Mask:
        return ~(plan.holds(columns) | among(states.codes(columns), DONE))

    replaced, lost = _replaced(folder, plan, history, scratch, stack)
    rest = replaced.keep(is_left) if replaced else None
    with Builder(scratch) as all_left, Builder(scratch) as all_listed:
        if rest:
            stack.callback(rest.close)
            _take(all_left, rest)
        if folder.leftover.exists():
            for columns in listed(folder.leftover):
                all_left.add(columns)
                all_listed.add(columns)
        for columns in states.pairs_in(_OPEN):
            all_left.add(columns)
        everything = all_left.plan()
        stack.callback(everything.close)
        left = everything.keep(is_left)
        stack.callback(left.close)
        _take(all_listed, left)
        before = all_listed.plan()
        stack.callback(before.close)
    told = None
    if rest:
        counts = states.count(rest.chunks())
        told = {state.value: counts[state] for state in State if counts.get(state)}
    return Leftover(left, before, told, lost)


def _take(builder: Builder, plan: Plan) -> None:
    for columns in plan.chunks():
        builder.add(columns)


def _replaced(
    folder: JobFolder, plan: Plan, history: History, scratch: Scratch, stack: ExitStack
) -> tuple[Plan | None, Path | None]:
    """Find the plan before, if it is another and unfinished; or its place, if it is lost."""
    started, finished = history.started, history.finished
    went_through = finished is not None and finished.exit_code in {0, 1}
    same = started is not None and started.fingerprint == plan.figures.fingerprint
    if started is None or went_through or same:
        return None, None
    saved = folder.plan(started.fingerprint)
    if not saved.exists():
        return None, saved
    try:
        before = open_sound_plan(saved, scratch)
    except (OSError, SpoiltPlanError) as error:
        raise InvalidInput(f"{saved}: {error}; this file is ours: move it away") from None
    stack.callback(before.close)
    return before, None


def listed(path: Path) -> Iterator[Columns]:
    """Read one of our own lists. Raises InvalidInput when it was spoilt."""
    for rows in Source((str(path),), Input(format="csv")).rows():
        for row in rows.rejects:
            raise InvalidInput(
                f"{path}, line {row.line}: {row.reason}; this file is ours: mend it or move it away"
            )
        yield rows.columns
