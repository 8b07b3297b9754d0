"""The commands that speak to a running job from another terminal, and look at jobs."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bulk_delete.cli.options import (
    audit_settings,
    config_option,
    job_of,
    json_option,
    settings_of,
    state_of,
)
from bulk_delete.cli.printing import emit
from bulk_delete.config import Rate, Settings, parse_rate
from bulk_delete.errors import InvalidInput

if TYPE_CHECKING:  # it is loaded when it is needed, as in all commands
    from bulk_delete.report import Answer
    from bulk_delete.runner.steering import Steering

_F = TypeVar("_F", bound=Callable[..., Any])

_job = click.argument("job_name", metavar="JOB")


def _orders(command: _F) -> _F:
    """Give a command the options that all orders have."""
    reason = click.option("--reason", metavar="TEXT", default="", help="Why, for the journal.")
    return reason(audit_settings(config_option(command)))


@click.command()
@_job
@_orders
def pause(job_name: str, reason: str, **given: Any) -> None:  # noqa: ANN401 - click's
    """Let JOB send nothing more until `continue`. What is in flight finishes.

    A pause outlives the process: a job that does not run is paused for its next start. Time in a
    pause is no outage, and signals and `stop` still end the job.

    \b
    Examples:
      bulk-delete pause nightly
      bulk-delete pause nightly --reason "API is slow, see incident 4711"
    """
    _give(job_name, reason, given, lambda steering: steering.pause())


@click.command("continue")
@_job
@_orders
def go_on(job_name: str, reason: str, **given: Any) -> None:  # noqa: ANN401 - click's
    """Let a paused JOB go on. One that does not run is to be started with `resume`.

    \b
    Examples:
      bulk-delete continue nightly
      bulk-delete continue nightly --reason "incident is over"
    """
    _give(job_name, reason, given, lambda steering: steering.go_on())


@click.command()
@_job
@_orders
def stop(job_name: str, reason: str, **given: Any) -> None:  # noqa: ANN401 - click's
    """End JOB: it sends nothing more, finishes what is in flight, and ends with code 3.

    What is in flight is waited for as after a signal, at most the job's --grace. `resume` goes on.

    \b
    Examples:
      bulk-delete stop nightly
      bulk-delete stop nightly --reason "wrong export"
    """
    _give(job_name, reason, given, lambda steering: steering.stop())


@click.command()
@_job
@click.argument("limit", metavar="RATE")
@_orders
def rate(job_name: str, limit: str, reason: str, **given: Any) -> None:  # noqa: ANN401 - click's
    """Let a running JOB keep to another RATE, lower or higher, until it ends.

    Longer limits beside the first stay, unless RATE names them. Where the API's replies have
    lowered the rate, it stays lowered, and climbs to the new one.

    \b
    Examples:
      bulk-delete rate nightly 5/s
      bulk-delete rate nightly 20/s,5000/h --reason "agreed with the API's owners"
    """
    try:
        wanted = parse_rate(limit)
    except ValueError as error:
        raise InvalidInput(f"RATE {limit!r} does not fit: {error}") from None
    _give(job_name, reason, given, lambda steering: steering.change_rate(wanted))


@click.command()
@click.argument("job_name", metavar="[JOB]", required=False)
@click.option("--watch", is_flag=True, help="Look again every second; end with JOB.")
@audit_settings
@config_option
@json_option
def status(
    job_name: str | None,
    watch: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Tell how JOB stands, or all jobs of the state folder. Reads only, and holds nobody up.

    With --watch it draws anew every second, until Ctrl-C; where stdout is no terminal it prints a
    line for each change instead.

    \b
    Examples:
      bulk-delete status
      bulk-delete status nightly --watch
      bulk-delete status --json | jq -r '.jobs[] | select(.state == "dead") | .job'
    """
    from bulk_delete.cli.watching import show, watch_jobs  # noqa: PLC0415 - --help needs it not

    name, settings = None, None
    if job_name:
        name, settings, _ = job_of(job_name, given)
    settings = settings or settings_of(given)
    look = watch_jobs if watch else show
    look(state_of(settings), name, settings, as_json=as_json)


def _give(
    word: str, reason: str, given: dict[str, Any], order: "Callable[[Steering], Answer]"
) -> None:
    """Give an order, and print what came of it."""
    from bulk_delete import report  # noqa: PLC0415 - --help needs it not
    from bulk_delete.runner.steering import Steering  # noqa: PLC0415 - likewise

    job, settings, job_file = job_of(word, given)

    def told(verb: str, limit: Rate | None = None) -> str:
        known = job_file.settings if job_file else None  # with what is protected, and the state
        asked = settings if job_file else Settings(state=settings.state)
        if limit:
            asked = replace(asked, limits=replace(asked.limits, rate=limit))
        return report.command(verb, (word,), asked, known=known)

    answer = order(Steering(state_of(settings), job, reason, told))
    resume = answer.resume or told("resume")
    emit(report.answer_text(answer, told("continue"), resume, told("status")))
