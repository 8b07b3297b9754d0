"""A job from its inputs to the moment before its first call, under its lock."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bulk_delete import report
from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput, Refused
from bulk_delete.folder import JobFolder
from bulk_delete.journal.opening import Mended, recover
from bulk_delete.journal.reader import History
from bulk_delete.runner.intake import (
    Intake,
    Order,
    Todo,
    check_guards,
    check_order,
    check_target,
    job_name,
    subtract,
    take_in,
)
from bulk_delete.runner.leftover import Leftover, find_leftover

BYTES_PER_RUN = 24
BYTES_PER_CALL = 1200
"""What a planned run and a call take in the journal, with room for retries."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that is known before the first call."""

    name: str
    folder: JobFolder
    order: Order
    intake: Intake
    todo: Todo
    history: History
    mended: Mended | None
    leftover: Leftover
    view: report.PlanView
    calls_before: int
    retries_before: int


@contextlib.contextmanager
def open_job(order: Order, state: Path) -> Iterator[Job]:
    """Hold the job, read its inputs and open its journal. Raises what ends before a call."""
    check_order(order)
    name = job_name(order)
    if name is None:
        raise InvalidInput("give --name: neither standard input nor several inputs name a job")
    folder = JobFolder(state, name)
    with folder.locked():
        intake = take_in(order, folder)
        history, mended = recover(folder.journal, folder.mark, folder.broken)
        yield _ready(order, name, folder, intake, history, mended)


@contextlib.contextmanager
def open_saved_job(order: Order, state: Path) -> Iterator[Job]:
    """Open a job by its saved plan. Raises InvalidInput when there is none."""
    name = order.job or ""
    folder = JobFolder(state, name)
    if not (folder.journal.exists() or folder.mark.exists()):
        raise InvalidInput(f"there is no job {name!r} in {state}{_others(state)}")
    with folder.locked():
        history, mended = recover(folder.journal, folder.mark, folder.broken)
        if history.started is None:
            raise InvalidInput(f"job {name!r} never started; use run with its input")
        fingerprint = history.started.fingerprint
        saved = folder.plan(fingerprint)
        if not saved.exists():
            raise InvalidInput(
                f"job {name!r}: its saved plan {saved} is not there; use run with its input"
            )
        settings = replace(order.settings, input=Input(format="jsonl"))
        order = replace(order, inputs=(str(saved),), settings=settings)
        rejected = history.started.counts["rejected"]
        intake = replace(take_in(order, None), rejected=rejected)
        if intake.plan.fingerprint != fingerprint:
            raise Refused(
                f"{saved} is not the plan that was approved (fingerprint "
                f"{intake.plan.fingerprint}, approved {fingerprint}); use run with the input"
            )
        yield _ready(order, name, folder, intake, history, mended)


def _ready(
    order: Order,
    name: str,
    folder: JobFolder,
    intake: Intake,
    history: History,
    mended: Mended | None,
) -> Job:
    check_target(history, order.settings.api.base_url, name)
    todo = subtract(intake, history.ledger, skip_failed=order.skip_failed)
    check_guards(order, intake, todo)
    folder.room_for(todo.plan.runs * BYTES_PER_RUN + todo.plan.calls * BYTES_PER_CALL)
    return Job(
        name=name,
        folder=folder,
        order=order,
        intake=intake,
        todo=todo,
        history=history,
        mended=mended,
        leftover=find_leftover(folder, intake.plan, history),
        view=view_of(order, name, intake, todo),
        calls_before=history.ledger.calls,
        retries_before=history.ledger.retries,
    )


def view_of(order: Order, name: str | None, intake: Intake, todo: Todo) -> report.PlanView:
    limits = order.settings.limits
    return report.PlanView(
        job=name,
        base_url=order.settings.api.base_url,
        inputs=intake.inputs,
        fingerprint=intake.plan.fingerprint,
        counts=todo.counts,
        biggest=report.biggest(todo.plan),
        ids=report.id_ranges(todo.plan),
        rate=str(limits.rate),
        seconds=todo.plan.calls / limits.rate.per_second,
        command=report.command(
            "run",
            order.inputs,
            order.settings,
            name=order.job if name else f"plan-{intake.plan.fingerprint[:8]}",
            expect=intake.plan.fingerprint,
            skip_failed=order.skip_failed,
        ),
    )


def _others(state: Path) -> str:
    jobs = sorted(path.parent.name for path in state.glob("*/journal.jsonl"))
    more = f" and {len(jobs) - 10} more" if len(jobs) > 10 else ""  # noqa: PLR2004 - a line's worth
    return f"; there are: {', '.join(jobs[:10])}{more}" if jobs else "; there is none at all"
