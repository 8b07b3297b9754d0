"""What a job's folder tells of it: its journal, made sound, and its saved plan."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bulk_delete import events
from bulk_delete.errors import InvalidInput, Refused
from bulk_delete.folder import JobFolder
from bulk_delete.journal.opening import Mended, last_started, recover
from bulk_delete.journal.reader import Position
from bulk_delete.journal.replay import History
from bulk_delete.ledger import Sink
from bulk_delete.runner.checkpoint import states_since
from bulk_delete.runner.presence import has_begun
from bulk_delete.store import (
    Plan,
    Scratch,
    SpoiltPlanError,
    States,
    open_sound_plan,
    states_told,
)


def has_started(folder: JobFolder) -> bool:
    """Tell whether a job was ever started. Raises InvalidInput where that cannot be seen."""
    try:
        return has_begun(folder)
    except OSError as error:
        raise InvalidInput(f"{folder.path}: cannot be looked into: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Told:
    """What the journal tells."""

    history: History
    states: States
    mended: Mended | None


def read_journal(folder: JobFolder, plan: Plan | None, scratch: Scratch, stack: ExitStack) -> Told:
    """Read the journal and make its end sound; `plan` is the one it is about, if that is known.

    Lines that had to be moved away may have told of calls: what they may have named is put in
    doubt.
    """

    def tell(sink: Sink, start: Position | None) -> tuple[History, Mended | None]:
        return recover(folder.journal, folder.mark, folder.broken, sink, start)

    (history, mended), states = states_since(tell, folder, plan, scratch)
    stack.callback(states.close)
    if mended and not mended.torn and _doubt_rest(folder, plan, history, mended, scratch, stack):
        (history, _), states = states_told(lambda sink: tell(sink, None), scratch, plan)
        stack.callback(states.close)
    return Told(history, states, mended)


def _doubt_rest(
    folder: JobFolder,
    plan: Plan | None,
    history: History,
    mended: Mended,
    scratch: Scratch,
    stack: ExitStack,
) -> bool:
    """Put in doubt what the lines that were moved away may have named; return if that is any."""
    import anyio  # noqa: PLC0415 - hardly ever needed

    from bulk_delete.runner.doubts import Rest, doubts_of, record_doubts  # noqa: PLC0415 - likewise

    rest = Rest(mended.to, mended.to.stat().st_size - mended.bytes)
    doubts = doubts_of([rest], folder.journal, history.end, plan, scratch, stack)
    if not doubts.plan.figures.runs:
        return False
    with rest.path.open("rb") as file:
        file.seek(rest.offset)
        lines = sum(1 for _ in file)
    event = events.JournalRepaired(mended.line, lines, mended.bytes, 0, mended.reason)
    anyio.run(record_doubts, folder, history.end, event, doubts)
    return True


def guessed_plan(folder: JobFolder, scratch: Scratch, stack: ExitStack) -> Plan | None:
    """Open the plan that the journal seems to be about; what is wrong with it is told later."""
    fingerprint = last_started(folder.journal)
    if fingerprint is None:
        return None
    try:
        return saved_plan(folder.plan(fingerprint), fingerprint, scratch, stack)
    except Refused:
        return None


def saved_plan(path: Path, approved: str, scratch: Scratch, stack: ExitStack) -> Plan:
    """Open the plan that was approved. Raises Refused for any other."""
    try:
        plan = open_sound_plan(path, scratch)
    except (OSError, SpoiltPlanError) as error:
        raise Refused(
            f"{path} is not the plan that was approved: {error}; use run with the input"
        ) from None
    stack.callback(plan.close)
    fingerprint = plan.figures.fingerprint
    if fingerprint != approved:
        raise Refused(
            f"{path} is not the plan that was approved (fingerprint {fingerprint}, approved "
            f"{approved}); use run with the input"
        )
    return plan
