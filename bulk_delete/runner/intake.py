"""From inputs to what is to be sent: read, reject, deduplicate, subtract, guard."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bulk_delete import report
from bulk_delete.config import Settings
from bulk_delete.errors import InvalidInput, Refused
from bulk_delete.folder import JobFolder, whole_file
from bulk_delete.journal.reader import History
from bulk_delete.ledger import Ledger
from bulk_delete.model import Counts, InputFile, Pair, Reject
from bulk_delete.plan import Plan, build
from bulk_delete.sources import STDIN, Source, stem

_SHOWN_REJECTS = 20
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: the inputs, the job's name (None: from the input) and the guards."""

    inputs: tuple[str, ...]
    settings: Settings
    job: str | None = None
    expect: str | None = None
    skip_failed: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """All rows of the inputs. `rejected` counts pairs, `bad_rows` the rows that held them."""

    plan: Plan
    rejected: int
    bad_rows: int
    first_rejects: tuple[Reject, ...]
    inputs: tuple[InputFile, ...]


@dataclass(frozen=True, slots=True)
class Todo:
    """What is left to do of an intake, given what the journal says."""

    plan: Plan
    counts: Counts


def check_order(order: Order) -> None:
    """Refuse what cannot be meant, before anything is read. Raises InvalidInput."""
    if order.expect is not None and not _FINGERPRINT.fullmatch(order.expect):
        raise InvalidInput(
            f"--expect {order.expect!r} is no fingerprint: give the 64 hex digits that plan prints"
        )


def job_name(order: Order) -> str | None:
    """Return the given name, or the one input's; None where neither tells."""
    if order.job is not None:
        return order.job
    if len(order.inputs) == 1 and order.inputs[0] != STDIN:
        return stem(order.inputs[0])
    return None


def take_in(order: Order, folder: JobFolder | None) -> Intake:
    """Read and check every row. Bad ones go to the job's `rejects.csv`.

    Raises InvalidInput, naming file, line and cure, for damage that spoils a file and, unless bad
    rows are skipped, for any bad row.
    """
    source = Source(order.inputs, order.settings.input)
    first: list[Reject] = []
    rejected = bad_rows = 0

    def good(keep: Callable[[str], None]) -> Iterator[Pair]:
        nonlocal rejected, bad_rows
        for row in source.rows():
            if isinstance(row, Pair):
                yield row
                continue
            if bad_rows == 0:
                if folder:
                    folder.make()
                keep(report.REJECTS_HEADER)
            keep(report.reject_row(row))
            rejected += row.pairs
            bad_rows += 1
            if len(first) < _SHOWN_REJECTS:
                first.append(row)

    if folder is None:
        plan = build(good(lambda _: None))
    else:
        with whole_file(folder.rejects) as file:
            plan = build(good(file.write))
    if bad_rows and order.settings.input.on_bad_row == "fail":
        raise _bad_rows(first, bad_rows, folder)
    return Intake(plan, rejected, bad_rows, tuple(first), tuple(source.read))


def subtract(intake: Intake, ledger: Ledger, *, skip_failed: bool) -> Todo:
    """Take out what is done, pair by pair, and count where every row went."""
    already = skipped = 0

    def wanted(result_id: int, run_id: int) -> bool:
        nonlocal already, skipped
        if ledger.is_done(result_id, run_id):
            already += 1
            return False
        if skip_failed and ledger.is_failed(result_id, run_id):
            skipped += 1
            return False
        return True

    left = intake.plan.keep(wanted)
    counts = Counts(
        rows=intake.plan.rows + intake.rejected,
        rejected=intake.rejected,
        duplicates=intake.plan.duplicates,
        protected=0,
        already_done=already,
        skipped=skipped,
        planned=left.runs,
        results=left.results,
        batches=left.calls,
    )
    return Todo(left, counts)


def check_guards(order: Order, intake: Intake, todo: Todo) -> None:
    """Refuse what was not reviewed, and what is larger than allowed. Raises Refused."""
    guards = order.settings.guards
    if order.expect is not None and order.expect.lower() != intake.plan.fingerprint:
        raise Refused(
            f"--expect {order.expect}: the input's fingerprint is {intake.plan.fingerprint}, so "
            "these are other pairs than the reviewed ones. Review the plan again"
        )
    if guards.max_runs is not None and todo.plan.runs > guards.max_runs:
        raise Refused(
            f"the plan has {todo.plan.runs:,} runs, more than --max-runs {guards.max_runs:,}"
        )
    if guards.max_results is not None and todo.plan.results > guards.max_results:
        raise Refused(
            f"the plan touches {todo.plan.results:,} results, more than --max-results "
            f"{guards.max_results:,}"
        )


def check_target(history: History, base_url: str, job: str) -> None:
    """Hold a journal to its one base URL. Raises Refused for another."""
    if history.started and history.started.base_url != base_url:
        raise Refused(
            f"job {job!r} belongs to {history.started.base_url}, not to {base_url}; "
            "take another --name for the other API"
        )


def _bad_rows(first: list[Reject], count: int, folder: JobFolder | None) -> InvalidInput:
    where = f"all are listed in {folder.rejects}" if folder else "a new --name has all listed"
    rows = "1 row is bad" if count == 1 else f"{count:,} rows are bad"
    return InvalidInput(
        f"{rows}; nothing was sent ({where}):\n"
        f"{report.rejects_text(first, count)}\n"
        "Mend them, or leave them out with --on-bad-row skip"
    )
