"""From inputs to what is to be sent: read, reject, deduplicate, protect, subtract, guard."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from bulk_delete import report
from bulk_delete.columns import Columns, Mask
from bulk_delete.errors import InvalidInput, JournalFailed, Refused
from bulk_delete.folder import JobFolder, whole_file
from bulk_delete.journal.replay import History
from bulk_delete.ledger import DONE, DOUBTED, among
from bulk_delete.model import Counts, InputFile, Reject, State
from bulk_delete.runner.inputs import find_inputs
from bulk_delete.runner.order import Order
from bulk_delete.runner.protection import Protection
from bulk_delete.sources import STDIN, Rows, Source, stem
from bulk_delete.store import Builder, Plan, Scratch, States

_SHOWN_REJECTS = 20
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Intake:
    """All rows of the inputs, and the plan of those that may be sent.

    `paths` are the inputs that were read. `rejected`, `duplicates` and `protected` count pairs,
    `bad_rows` the rows that were rejected.
    """

    paths: tuple[str, ...]
    plan: Plan
    rejected: int
    bad_rows: int
    duplicates: int
    protected: int
    first_rejects: tuple[Reject, ...]
    inputs: tuple[InputFile, ...]

    @property
    def rows(self) -> int:
        return self.rejected + self.duplicates + self.protected + self.plan.figures.runs


@dataclass(frozen=True, slots=True)
class Todo:
    """What is left to do of an intake, given what the journal says.

    `doubted` counts those of its runs that may be deleted already.
    """

    plan: Plan
    counts: Counts
    doubted: int


def job_name(order: Order) -> str | None:
    """Return the given name, or the one input's; None where neither tells."""
    if order.job is not None:
        return order.job
    if len(order.inputs) == 1 and order.inputs[0] != STDIN:
        return stem(order.inputs[0]) or None
    return None


def take_in(
    order: Order,
    folder: JobFolder | None,
    scratch: Scratch,
    stack: ExitStack,
    *,
    must_list: bool,
) -> tuple[Intake, Protection | None]:
    """Read and check every row. Bad ones go to the job's `rejects.csv`; `stack` closes the rest.

    Unless they `must_list`, a folder that cannot be written keeps nobody from seeing the first.

    Raises InvalidInput, naming file, line and cure, for damage that spoils a file and, unless bad
    rows are skipped, for any bad row; Refused for a protected one where that is asked for;
    ScratchError.
    """
    protection = protection_of(order, scratch, stack)
    paths = find_inputs(order)
    source = Source(paths, order.settings.input)
    rejects = _Rejects(folder, must_list=must_list)
    with Builder(scratch) as builder:
        if folder is None:
            _read(source, builder, rejects, lambda _: None)
        else:
            with whole_file(folder.rejects) as file:
                _read(source, builder, rejects, file.write)
        if rejects.rows and order.settings.input.on_bad_row == "fail":
            raise _bad_rows(rejects)
        unique = builder.plan()
        stack.callback(unique.close)
        rows = builder.rows
    plan = without_protected(unique, protection, order)
    stack.callback(plan.close)
    intake = Intake(
        paths=paths,
        plan=plan,
        rejected=rejects.pairs,
        bad_rows=rejects.rows,
        duplicates=rows - unique.figures.runs,
        protected=unique.figures.runs - plan.figures.runs,
        first_rejects=tuple(rejects.first),
        inputs=tuple(source.read),
    )
    return intake, protection


class _Rejects:
    """Counts bad rows, keeps the first of them, and lists all in the job's folder."""

    def __init__(self, folder: JobFolder | None, *, must_list: bool) -> None:
        self.folder = folder
        self._must_list = must_list
        self.rows = self.pairs = 0
        self.first: list[Reject] = []

    def take(self, rows: Rows, keep: Callable[[str], None]) -> None:
        if rows.rejects and self.rows == 0 and self.folder:
            self._begin(self.folder, keep)
        if self.folder:
            for row in rows.rejects:
                keep(report.reject_row(row))
        self.rows += len(rows.rejects)
        self.pairs += sum(row.pairs for row in rows.rejects)
        self.first += rows.rejects[: _SHOWN_REJECTS - len(self.first)]

    def _begin(self, folder: JobFolder, keep: Callable[[str], None]) -> None:
        try:
            folder.make()
            keep(report.REJECTS_HEADER)
        except (JournalFailed, OSError):
            if self._must_list:
                raise
            self.folder = None


def _read(source: Source, builder: Builder, rejects: _Rejects, keep: Callable[[str], None]) -> None:
    for rows in source.rows():
        builder.add(rows.columns)
        rejects.take(rows, keep)


def protection_of(order: Order, scratch: Scratch, stack: ExitStack) -> Protection | None:
    """Read what is protected, if anything is. Raises InvalidInput."""
    path = order.settings.guards.protect
    if path is None:
        return None
    protection = Protection(path, scratch)
    stack.callback(protection.close)
    return protection


def without_protected(plan: Plan, protection: Protection | None, order: Order) -> Plan:
    """Take out what is protected. Raises Refused where that is asked for, and ScratchError."""
    if protection is None:
        return plan
    left = plan.keep(lambda columns: ~protection.covers(columns))
    try:
        check_protected(order, plan.figures.runs - left.figures.runs)
    except Refused:
        left.close()
        raise
    return left


def check_protected(order: Order, count: int) -> None:
    """Refuse a plan that has protected runs, where that is asked for. Raises Refused."""
    guards = order.settings.guards
    if count and guards.protect_action == "refuse":
        raise Refused(
            f"{count:,} of the runs are protected by {guards.protect}; take them out of the input, "
            "or have them left out with --protect-action remove"
        )


def subtract(
    intake: Intake,
    states: States,
    protection: Protection | None,
    *,
    skip_failed: bool,
    stack: ExitStack,
) -> Todo:
    """Take out what is done, pair by pair, and count where every row went. Raises ScratchError.

    `protection` is for a plan that was approved before it was read. What is protected and may have
    been deleted stays in: it is not sent, but its doubt is told.
    """
    already = protected = skipped = doubted = 0
    codes_of = states.codes_along(intake.plan)

    def wanted(columns: Columns) -> Mask:
        nonlocal already, protected, skipped, doubted
        codes = codes_of(columns)
        doubted += int(among(codes, DOUBTED).sum())
        out = among(codes, DONE)
        already += int(out.sum())
        if protection:
            covered = protection.covers(columns) & ~out & ~among(codes, DOUBTED)
            protected += int(covered.sum())
            out |= covered
        if skip_failed:
            failed = among(codes, {State.FAILED}) & ~out
            skipped += int(failed.sum())
            out |= failed
        return ~out

    left = intake.plan
    if protection or not states.is_empty:
        left = intake.plan.keep(wanted)
        stack.callback(left.close)
    counts = Counts(
        rows=intake.rows,
        rejected=intake.rejected,
        duplicates=intake.duplicates,
        protected=intake.protected + protected,
        already_done=already,
        skipped=skipped,
        planned=left.figures.runs,
        results=left.figures.results,
        batches=left.figures.calls,
    )
    return Todo(left, counts, doubted)


def check_guards(order: Order, intake: Intake, todo: Todo, history: History) -> None:
    """Refuse what was not reviewed, and what is larger than allowed. Raises Refused."""
    guards, planned = order.settings.guards, todo.plan.figures
    fingerprint = intake.plan.figures.fingerprint
    if order.expect is not None and order.expect.lower() != fingerprint:
        raise Refused(
            f"--expect {order.expect}: the input's fingerprint is {fingerprint}, so "
            "these are other pairs than the reviewed ones. Review the plan again"
        )
    if guards.max_runs is not None and planned.runs > guards.max_runs:
        raise Refused(
            f"the plan has {planned.runs:,} runs, more than --max-runs {guards.max_runs:,}. "
            "If that is right, give a higher --max-runs this once"
        )
    if guards.max_results is not None and planned.results > guards.max_results:
        raise Refused(
            f"the plan touches {planned.results:,} results, more than --max-results "
            f"{guards.max_results:,}. If that is right, give a higher --max-results this once"
        )
    usual = usual_runs(history.planned)
    if guards.max_growth and usual and planned.runs > guards.max_growth * usual:
        raise Refused(
            f"the plan has {planned.runs:,} runs, more than {guards.max_growth:g} times the "
            f"{usual:,.12g} that this job usually has. If that is right, give it a higher "
            "--max-growth this once"
        )


def usual_runs(planned: Iterable[int]) -> float | None:
    """Return the median of what executions planned; None where they are too few to tell."""
    sizes = sorted(planned)
    if len(sizes) < _ENOUGH:
        return None
    half = len(sizes) // 2
    return (sizes[half] + sizes[-half - 1]) / 2


def check_target(history: History, base_url: str, job: str) -> None:
    """Hold a journal to its one base URL. Raises Refused for another."""
    if history.started and history.started.base_url != base_url:
        raise Refused(
            f"job {job!r} belongs to {history.started.base_url}, not to {base_url}; "
            "take another --name for the other API"
        )


def _bad_rows(rejects: _Rejects) -> InvalidInput:
    folder = rejects.folder
    where = f"all are listed in {folder.rejects}" if folder else "the first of them follow"
    return InvalidInput(
        f"{report.bad_rows(rejects.rows)}; nothing was sent ({where})",
        f"{report.rejects_text(rejects.first, rejects.rows)}\n"
        "Mend them, or leave them out with --on-bad-row skip",
    )
