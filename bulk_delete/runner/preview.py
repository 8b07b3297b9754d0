"""A plan to look at and to keep: nothing is sent, and no job is touched."""

from pathlib import Path

from bulk_delete import report
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.folder import JobFolder, write_whole
from bulk_delete.journal.opening import inspect
from bulk_delete.journal.reader import History
from bulk_delete.plan import Plan
from bulk_delete.runner.intake import (
    Intake,
    Order,
    check_guards,
    check_order,
    check_target,
    job_name,
    subtract,
    take_in,
)
from bulk_delete.runner.job import view_of


def preview(order: Order, state: Path) -> tuple[Intake, report.PlanView]:
    """Plan without touching a job; a new one's bad rows are listed in its `rejects.csv`.

    Raises InvalidInput and Refused.
    """
    check_order(order)
    name = job_name(order)
    folder = JobFolder(state, name) if name is not None else None
    fresh = folder is not None and not folder.journal.exists()
    intake = take_in(order, folder if fresh else None)
    history = inspect(folder.journal, folder.mark) if folder else History()
    todo = subtract(intake, history.ledger, skip_failed=order.skip_failed)
    if name is not None:
        check_target(history, order.settings.api.base_url, name)
    check_guards(order, intake, todo)
    return intake, view_of(order, name, intake, todo)


def save_plan(plan: Plan, path: Path, inputs: tuple[str, ...]) -> None:
    """Write a plan as an input of its own. Raises InvalidInput for a place that would spoil one."""
    if path.name == "-" or (path.exists() and not path.is_file()):
        raise InvalidInput(f"--save {path}: is no file; give the name of one")
    if path.suffix not in {".jsonl", ".ndjson"}:
        raise InvalidInput(f"--save {path}: a plan is JSON Lines; give a name that ends in .jsonl")
    if any(path.exists() and Path(source).exists() and path.samefile(source) for source in inputs):
        raise InvalidInput(f"--save {path}: is an input; give another name")
    try:
        write_whole(path.resolve(), report.plan_rows(plan), even_empty=True)
    except JournalFailed as failure:
        raise InvalidInput(f"--save: {failure.reason}") from None
