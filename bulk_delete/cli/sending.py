"""Show a plan, have it confirmed, send it, print how it ended."""

import sys
from pathlib import Path

from bulk_delete import report
from bulk_delete.cli.printing import emit, say, tell
from bulk_delete.config import ApiKey
from bulk_delete.errors import InvalidInput, Refused
from bulk_delete.lock import Holder, Waiting, in_silence
from bulk_delete.runner.beacon import Beacon
from bulk_delete.runner.job import Job
from bulk_delete.runner.order import Order
from bulk_delete.runner.preview import preview, save_plan
from bulk_delete.sources import STDIN


def show_plan(order: Order, state: Path, *, save: Path | None, as_json: bool) -> None:
    """Print the plan; write it to `save`. Raises what planning raises."""
    with preview(order, state) as (intake, view):
        if save:
            save_plan(intake, save, order)
    told = report.as_json(view.as_dict()) if as_json else report.plan_text(view)
    if not emit(told):
        raise InvalidInput("the plan could not be printed; nothing was sent")
    if as_json:
        return
    if view.rejects:
        listed = report.rejects_text(view.rejects, view.bad_rows)
        say("warning", "rows.left_out", view.left_out(), f"Left out:\n{listed}\n")
    emit(f"To send this and nothing else:\n  {view.command}\n")


def send(
    job: Job, key: ApiKey, approved_by: str, *, quiet: bool, beacon: Beacon | None = None
) -> report.Summary:
    """Send what is left to do, shown by a beacon if there is one; return how it ended."""
    from bulk_delete.cli.screen import watcher_for  # noqa: PLC0415 - plan needs no screen
    from bulk_delete.cli.watched import Beside  # noqa: PLC0415 - likewise
    from bulk_delete.runner.execution import execute  # noqa: PLC0415 - loads aiohttp

    screen = watcher = watcher_for(job.order.settings.log, quiet=quiet)
    summary = None
    try:
        if beacon and (other := beacon.started(job, screen.log)):
            watcher = Beside(screen, other)
        summary = execute(job, key, approved_by, watcher)
    finally:
        if beacon:
            beacon.finished(summary)
        watcher.close()
    return summary


def show_end(summary: report.Summary, *, quiet: bool, as_json: bool) -> int:
    """Print how a job ended; return the exit code. To be called when the job is let go of."""
    from bulk_delete.signals import ending  # noqa: PLC0415 - loads asyncio

    with ending(summary.exit_code):
        if as_json:
            emit(report.as_json(summary.as_dict()))
        elif summary.exit_code or not quiet:
            emit(report.summary_text(summary))
    return summary.exit_code


def waiting_for(*, quiet: bool) -> Waiting:
    """Return what tells for whom a start waits."""

    def tell_of(holder: Holder | None) -> None:
        who = f"it is running: {holder}" if holder else "it has just started, or is being audited"
        words = f"bulk-delete: waiting for the job ({who})\n"
        say("info", "job.waiting", {"holder": str(holder) if holder else None}, words)

    return in_silence if quiet else tell_of


def approved(job: Job, *, yes: bool, quiet: bool) -> str:
    """Show the plan and have it confirmed; return by whom. Raises Refused."""
    file, by = job.order.job_file, job.order.approved_by
    unasked = "--yes" if yes else ""
    if file and not file.confirm and not yes:
        unasked = f"confirm = false in {file.path}"
    if not quiet or not unasked:
        _show(job)
    runs = job.todo.plan.figures.runs
    if runs == 0:
        return "nothing to approve"
    if unasked:
        return by or unasked
    if STDIN in job.intake.paths or not (sys.stdin and sys.stdin.isatty()):
        raise Refused("there is no terminal to ask on; look at the plan, then add --yes")
    tell(f"These runs will be deleted for good. Type their number ({runs}) to go on: ")
    typed = sys.stdin.readline().strip().replace(",", "")
    if typed != str(runs):
        raise Refused("not confirmed; nothing was sent")
    return by or "typed on the terminal"


def show_rest(job: Job, *, quiet: bool) -> None:
    """Show what is left to do of a job that was approved before."""
    if not quiet:
        _show(job)


def _show(job: Job) -> None:
    say("info", "plan", job.view.as_dict(), report.plan_text(job.view))
