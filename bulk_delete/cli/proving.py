"""The commands that prove what a job has done: by reading it back, and by its journal."""

from typing import Any

import click

from bulk_delete.cli.options import (
    audit_settings,
    config_option,
    job_of,
    json_option,
    key_of,
    quiet_option,
    state_of,
    verify_settings,
)


@click.command()
@click.argument("job_name", metavar="JOB")
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Read back N runs, drawn by chance."
)
@verify_settings
@config_option
@quiet_option
@json_option
def verify(
    job_name: str,
    sample: int | None,
    quiet: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> int:
    """Read back the runs that JOB has deleted, and tell which are still there. Sends no deletion.

    Those that are still there count as unsent again, and are listed in still-there.csv, itself a
    valid input. Ends with 0 if there are none, with 1 if there are some or some cannot be seen.
    Interrupted, it goes on where it stopped.

    \b
    Examples:
      bulk-delete verify runs
      bulk-delete verify runs --sample 1000 --rate 5/s
    """
    from bulk_delete.cli.verifying import show_verification  # noqa: PLC0415 - loads aiohttp

    name, settings, _ = job_of(job_name, given)
    key = key_of(settings)
    return show_verification(
        name, settings, key, state_of(settings), sample=sample, quiet=quiet, as_json=as_json
    )


@click.command()
@click.argument("job_name", metavar="JOB")
@click.option("--repair", is_flag=True, help="Cut the journal before its first damage.")
@audit_settings
@config_option
@json_option
def audit(
    job_name: str,
    repair: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> int:
    """Check the journal of JOB: its chain, its order, and that its books balance.

    Tells what is wrong, line by line, and ends with 1 if anything is. --repair is for damage with
    which no start goes on: it moves the damaged rest to journal.broken, and puts in doubt all that
    may have been sent there, so that the next start reads it back.

    \b
    Examples:
      bulk-delete audit runs
      bulk-delete audit runs --repair
    """
    from bulk_delete.cli.auditing import show_audit  # noqa: PLC0415 - loads NumPy; --help does not

    name, settings, _ = job_of(job_name, given)
    return show_audit(name, settings, state_of(settings), repair=repair, as_json=as_json)
