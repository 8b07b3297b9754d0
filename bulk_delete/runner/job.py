"""A job from its inputs to the moment before its first call, under its lock."""

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bulk_delete import report
from bulk_delete.config import Input
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.folder import JobFolder
from bulk_delete.journal.opening import Mended
from bulk_delete.journal.replay import History
from bulk_delete.lock import Waiting, in_silence
from bulk_delete.model import InputFile
from bulk_delete.runner.intake import (
    Intake,
    Todo,
    check_guards,
    check_protected,
    check_target,
    job_name,
    protection_of,
    subtract,
    take_in,
)
from bulk_delete.runner.leftover import Leftover, find_leftover
from bulk_delete.runner.names import unknown_job
from bulk_delete.runner.order import Order, check_order
from bulk_delete.runner.protection import Protection
from bulk_delete.runner.record import Told, guessed_plan, has_started, read_journal, saved_plan
from bulk_delete.store import (
    Plan,
    Scratch,
    ScratchError,
    States,
)

BYTES_PER_RUN = 24
BYTES_PER_CALL = 1200
"""What a planned run and a call take in the journal, with room for retries."""

BYTES_PER_STATE = 4
"""What a run takes elsewhere: a byte for its state, as it was before and as it is now, and in two
checkpoints while one replaces the other."""

BYTES_PER_SAVED_RUN = 8
BYTES_PER_SAVED_RESULT = 16
"""What they take in the saved plan."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that is known before the first call."""

    name: str
    folder: JobFolder
    order: Order
    intake: Intake
    todo: Todo
    protection: Protection | None
    history: History
    states: States
    mended: Mended | None
    leftover: Leftover
    view: report.PlanView
    scratch: Scratch


def resume_command(job: Job) -> str:
    """Write the command that goes on, from the job file if it is the job's."""
    file, settings = job.order.job_file, job.order.settings
    if file and file.name == job.name:
        return report.command("resume", (str(file.path),), settings, known=file.settings)
    return report.command("resume", (job.name,), settings)


@contextlib.contextmanager
def open_job(order: Order, state: Path, waiting: Waiting = in_silence) -> Iterator[Job]:
    """Hold the job, read its inputs and open its journal. Raises what ends before a call.

    `waiting` is told for whom it waits.
    """
    check_order(order)
    name = job_name(order)
    if name is None:
        raise InvalidInput("give --name: neither standard input nor several inputs name a job")
    folder = JobFolder(state, name)
    with (
        folder.locked(wait_s=order.wait_s, waiting=waiting),
        _scratch(folder) as scratch,
        ExitStack() as stack,
    ):
        intake, protection = take_in(order, folder, scratch, stack, must_list=True)
        found = read_journal(folder, intake.plan, scratch, stack)
        todo = subtract(intake, found.states, None, skip_failed=order.skip_failed, stack=stack)
        yield _ready(_Opening(order, name, folder, intake, todo, protection, found), scratch, stack)


@contextlib.contextmanager
def open_saved_job(order: Order, state: Path, waiting: Waiting = in_silence) -> Iterator[Job]:
    """Open a job by its saved plan. Raises InvalidInput when there is none."""
    check_order(order)
    name = order.job or ""
    folder = JobFolder(state, name)
    if not has_started(folder):
        raise unknown_job(name, state)
    with (
        folder.locked(wait_s=order.wait_s, waiting=waiting),
        _scratch(folder) as scratch,
        ExitStack() as stack,
    ):
        guess = guessed_plan(folder, scratch, stack)
        found = read_journal(folder, guess, scratch, stack)
        history = found.history
        if history.started is None:
            raise InvalidInput(f"job {name!r} never started; use run with its input")
        saved = folder.plan(history.started.fingerprint)
        if not saved.exists():
            raise InvalidInput(
                f"job {name!r}: its saved plan {saved} is not there; use run with its input"
            )
        plan = guess
        if plan is None or plan.figures.fingerprint != history.started.fingerprint:
            plan = saved_plan(saved, history.started.fingerprint, scratch, stack)
        settings = replace(order.settings, input=Input())
        order = replace(order, inputs=(str(saved),), settings=settings)
        intake = Intake(
            paths=(str(saved),),
            plan=plan,
            rejected=history.started.counts["rejected"],
            bad_rows=0,
            duplicates=0,
            protected=0,
            first_rejects=(),
            inputs=(_as_input(saved),),
        )
        protection = protection_of(order, scratch, stack)
        todo = subtract(
            intake, found.states, protection, skip_failed=order.skip_failed, stack=stack
        )
        check_protected(order, todo.counts.protected)
        yield _ready(_Opening(order, name, folder, intake, todo, protection, found), scratch, stack)


@contextlib.contextmanager
def _scratch(folder: JobFolder) -> Iterator[Scratch]:
    """Keep temporary files in the job's folder, whose disk the job stands on anyway."""
    try:
        yield Scratch(folder.path)
    except ScratchError as error:
        raise JournalFailed(str(error)) from None


def _as_input(path: Path) -> InputFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return InputFile(str(path), digest.hexdigest(), file.tell())


@dataclass(frozen=True, slots=True)
class _Opening:
    """What is known of a job when its inputs and its journal have been read."""

    order: Order
    name: str
    folder: JobFolder
    intake: Intake
    todo: Todo
    protection: Protection | None
    found: Told


def _ready(opening: _Opening, scratch: Scratch, stack: ExitStack) -> Job:
    order, folder, intake, todo = opening.order, opening.folder, opening.intake, opening.todo
    history, states = opening.found.history, opening.found.states
    check_target(history, order.settings.api.base_url, opening.name)
    check_guards(order, intake, todo, history)
    folder.room_for(_room(intake.plan, todo.plan))
    return Job(
        name=opening.name,
        folder=folder,
        order=order,
        intake=intake,
        todo=todo,
        protection=opening.protection,
        history=history,
        states=states,
        mended=opening.found.mended,
        leftover=find_leftover(folder, intake.plan, history, states, scratch, stack),
        view=view_of(order, opening.name, intake, todo),
        scratch=scratch,
    )


def _room(plan: Plan, todo: Plan) -> int:
    runs = plan.figures.runs * (BYTES_PER_SAVED_RUN + BYTES_PER_STATE)
    saved = runs + plan.figures.results * BYTES_PER_SAVED_RESULT
    return saved + todo.figures.runs * BYTES_PER_RUN + todo.figures.calls * BYTES_PER_CALL


def view_of(order: Order, name: str | None, intake: Intake, todo: Todo) -> report.PlanView:
    limits = order.settings.limits
    fingerprint = intake.plan.figures.fingerprint
    file = order.job_file
    other_name = order.job if name else f"plan-{fingerprint[:8]}"
    return report.PlanView(
        job=name,
        base_url=order.settings.api.base_url,
        inputs=intake.inputs,
        fingerprint=fingerprint,
        counts=todo.counts,
        biggest=todo.plan.figures.biggest,
        ids=report.id_ranges(todo.plan.figures),
        rejects=intake.first_rejects,
        bad_rows=intake.bad_rows,
        rate=str(limits.rate),
        seconds=limits.rate.seconds_for(todo.plan.figures.calls),
        command=report.command(
            "run",
            [str(file.path)] if file else order.inputs,
            order.settings,
            name=None if file and file.name == name else other_name,
            expect=fingerprint,
            skip_failed=order.skip_failed and not (file and file.skip_failed),
            known=file.settings if file else None,
        ),
        description=file.description if file else None,
    )
