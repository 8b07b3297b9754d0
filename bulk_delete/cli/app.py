"""The commands."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bulk_delete import __version__
from bulk_delete.cli.arriving import check, completion, init
from bulk_delete.cli.completing import complete
from bulk_delete.cli.options import (
    config_option,
    job_file_of,
    job_of,
    json_option,
    key_of,
    plan_settings,
    quiet_option,
    resume_settings,
    run_settings,
    settings_of,
    state_of,
    wait_option,
)
from bulk_delete.cli.proving import audit, verify
from bulk_delete.cli.rehearsing import demo, sandbox
from bulk_delete.cli.steering import go_on, pause, rate, status, stop
from bulk_delete.errors import Incomplete
from bulk_delete.runner.order import Order, order_of

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_inputs = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
_name = click.option("--name", metavar="JOB", help="The job's name; else the input's.")
_expect = click.option("--expect", metavar="FINGERPRINT", help="Refuse any other set of pairs.")
_skip_failed = click.option("--skip-failed", is_flag=True, help="Leave out what failed before.")
_yes = click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="bulk-delete")
def app() -> None:
    """Remove runs from Cekura results, many at a time, and always know what was done.

    Inputs are CSV (header result_id,run_id) or JSON Lines, plain, .gz or .zst; - is standard
    input. A job file, as jobs/nightly.toml, names inputs and settings together. Start with
    `bulk-delete plan runs.csv`, which sends nothing.
    """


@app.command()
@_inputs
@plan_settings
@config_option
@_name
@_expect
@_skip_failed
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan.")
@json_option
def plan(
    inputs: tuple[str, ...],
    name: str | None,
    expect: str | None,
    skip_failed: bool,  # noqa: FBT001 - click's
    save: Path | None,
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Read and check INPUT, and print what would be sent. Sends nothing.

    An INPUT that ends in .toml is a job file, and stands alone.

    \b
    Examples:
      bulk-delete plan runs.csv
      bulk-delete plan jobs/nightly.toml
      bulk-delete plan export.csv --result-column res --run-column run --save plan.jsonl
      zcat runs.csv.gz | bulk-delete plan - --json
    """
    from bulk_delete.cli.sending import show_plan  # noqa: PLC0415 - loads NumPy; --help does not

    order = _ordered(inputs, given, name=name, expect=expect, skip_failed=skip_failed)
    show_plan(order, state_of(order.settings), save=save, as_json=as_json)


@app.command()
@_inputs
@run_settings
@config_option
@_name
@_expect
@click.option("--approved-by", metavar="NAME", help="Who has reviewed what --expect names.")
@_skip_failed
@_yes
@click.option("--dry-run", is_flag=True, help="The same as plan.")
@click.option("--verify", is_flag=True, help="When all is sent, read it back.")
@wait_option
@quiet_option
@json_option
def run(
    inputs: tuple[str, ...],
    name: str | None,
    expect: str | None,
    approved_by: str | None,
    skip_failed: bool,  # noqa: FBT001 - click's
    wait_s: float,
    yes: bool,  # noqa: FBT001 - click's
    dry_run: bool,  # noqa: FBT001 - click's
    verify: bool,  # noqa: FBT001 - click's
    quiet: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> int:
    """Delete the runs that INPUT names, for good. Run again, it goes on where it stopped.

    On a terminal it shows the plan and wants the number of runs typed; without one it needs --yes.
    An INPUT that ends in .toml is a job file, and stands alone; flags rule over what it says.

    \b
    Examples:
      bulk-delete run runs.csv
      bulk-delete run jobs/nightly.toml --quiet
      bulk-delete run runs.csv --expect 3f0a… --approved-by ada --yes
      bulk-delete run runs.jsonl --rate 600/m --max-runs 5000 --yes --wait 10m
    """
    from bulk_delete.cli.sending import (  # noqa: PLC0415 - likewise
        approved,
        send,
        show_end,
        show_plan,
        waiting_for,
    )
    from bulk_delete.cli.watched import light  # noqa: PLC0415 - likewise
    from bulk_delete.runner.job import open_job  # noqa: PLC0415 - likewise

    order = _ordered(
        inputs,
        given,
        name=name,
        expect=expect,
        skip_failed=skip_failed,
        approved_by=approved_by,
        wait_s=wait_s,
    )
    settings, job_file = order.settings, order.job_file
    state = state_of(settings)
    if dry_run:
        show_plan(order, state, save=None, as_json=as_json)
        return 0
    beacon = light(order, state)
    key = key_of(settings)
    with open_job(order, state, waiting_for(quiet=quiet)) as job:
        by = approved(job, yes=yes, quiet=quiet)
        summary = send(job, key, by, quiet=quiet, beacon=beacon)
    code = show_end(summary, quiet=quiet, as_json=as_json)
    verify = verify or (job_file is not None and job_file.verify)
    if not verify or code not in {0, Incomplete.exit_code}:
        return code
    from bulk_delete.cli.verifying import show_verification  # noqa: PLC0415 - likewise

    shown = show_verification(
        summary.job, settings, key, state, sample=None, quiet=quiet, as_json=as_json
    )
    return max(code, shown)


@app.command()
@click.argument("job_name", metavar="JOB")
@resume_settings
@config_option
@_skip_failed
@click.option("--yes", is_flag=True, help="Accepted for scripts; resume never asks.")
@wait_option
@quiet_option
@json_option
def resume(
    job_name: str,
    skip_failed: bool,  # noqa: FBT001 - click's
    wait_s: float,
    yes: bool,  # noqa: ARG001, FBT001 - a script may pass it to run and resume alike
    quiet: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> int:
    """Go on with the saved plan of JOB. The inputs need not be there any more.

    What is deleted is not sent again; what failed, is unknown or in doubt is. The plan must be
    the one that was approved when the job was started. A JOB that ends in .toml is a job file: its
    job goes on, under its settings.

    \b
    Examples:
      bulk-delete resume runs
      bulk-delete resume jobs/nightly.toml
      bulk-delete resume runs --skip-failed --rate 5/s
    """
    from bulk_delete.cli.sending import (  # noqa: PLC0415 - likewise
        send,
        show_end,
        show_rest,
        waiting_for,
    )
    from bulk_delete.cli.watched import light  # noqa: PLC0415 - likewise
    from bulk_delete.runner.job import open_saved_job  # noqa: PLC0415 - likewise

    name, settings, job_file = job_of(job_name, given)
    skip_failed = skip_failed or (job_file is not None and job_file.skip_failed)
    order = Order((), settings, name, None, skip_failed, job_file, wait_s=wait_s)
    state = state_of(settings)
    beacon = light(order, state)
    key = key_of(settings)
    with open_saved_job(order, state, waiting_for(quiet=quiet)) as job:
        show_rest(job, quiet=quiet)
        summary = send(job, key, "resume", quiet=quiet, beacon=beacon)
    return show_end(summary, quiet=quiet, as_json=as_json)


def _ordered(inputs: tuple[str, ...], given: dict[str, Any], **asked: Any) -> Order:  # noqa: ANN401 - click's
    job_file = job_file_of(inputs)
    settings = settings_of(given, job_file)
    return order_of(inputs, settings, job_file, datetime.now(UTC), **asked)


for command in (status, pause, go_on, stop, rate, verify, audit, check, init, completion, sandbox):
    app.add_command(command)
app.add_command(demo)
complete(app)
