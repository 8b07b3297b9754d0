"""A plan to look at and to keep: nothing is sent, and no job is touched."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bulk_delete import report
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.folder import JobFolder, write_whole
from bulk_delete.journal.opening import inspect
from bulk_delete.journal.replay import History
from bulk_delete.runner.checkpoint import states_since
from bulk_delete.runner.intake import (
    Intake,
    check_guards,
    check_target,
    job_name,
    subtract,
    take_in,
)
from bulk_delete.runner.job import view_of
from bulk_delete.runner.order import Order, check_order
from bulk_delete.runner.record import has_started
from bulk_delete.store import Plan, Scratch, ScratchError, States, states_told


@contextlib.contextmanager
def preview(order: Order, state: Path) -> Iterator[tuple[Intake, report.PlanView]]:
    """Plan without touching a job; a new one's bad rows are listed in its `rejects.csv`.

    Raises InvalidInput and Refused.
    """
    check_order(order)
    name = job_name(order)
    folder = JobFolder(state, name) if name is not None else None
    fresh = folder is not None and not has_started(folder)
    scratch = Scratch()
    try:
        with ExitStack() as stack:
            intake, _ = take_in(order, folder if fresh else None, scratch, stack, must_list=False)
            history, states = _told(folder, intake.plan, scratch)
            stack.callback(states.close)
            todo = subtract(intake, states, None, skip_failed=order.skip_failed, stack=stack)
            if name is not None:
                check_target(history, order.settings.api.base_url, name)
            check_guards(order, intake, todo, history)
            yield intake, view_of(order, name, intake, todo)
    except (ScratchError, JournalFailed) as error:
        raise InvalidInput(str(error)) from None


def _told(folder: JobFolder | None, plan: Plan, scratch: Scratch) -> tuple[History, States]:
    if folder is None:
        return states_told(lambda _: History(), scratch, plan)
    journal, mark = folder.journal, folder.mark
    return states_since(
        lambda sink, start: inspect(journal, mark, sink, start), folder, plan, scratch
    )


def save_plan(intake: Intake, path: Path, order: Order) -> None:
    """Write a plan as an input of its own. Raises InvalidInput for a place that would spoil one."""
    read = [*map(Path, intake.paths), *filter(None, [order.settings.guards.protect])]
    try:
        there = path.exists()
    except OSError as error:
        raise InvalidInput(f"--save {path}: cannot be written: {error.strerror}") from None
    if path.name == "-" or (there and not path.is_file()):
        raise InvalidInput(f"--save {path}: is no file; give the name of one")
    if path.suffix not in {".jsonl", ".ndjson"}:
        raise InvalidInput(f"--save {path}: a plan is JSON Lines; give a name that ends in .jsonl")
    if any(there and source.exists() and path.samefile(source) for source in read):
        raise InvalidInput(f"--save {path}: is an input, or what is protected; give another name")
    if any((path.resolve().parent / name).exists() for name in ("journal.jsonl", "journal.mark")):
        raise InvalidInput(f"--save {path}: lies in a job's folder; give a place of your own")
    try:
        write_whole(path.resolve(), report.plan_rows(intake.plan.groups()), even_empty=True)
    except JournalFailed as failure:
        raise InvalidInput(f"--save: {failure.reason}") from None
