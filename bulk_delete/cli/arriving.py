"""The commands of a first day: whether all is there, first files to fill in, shell completion."""

import os
from pathlib import Path
from typing import Any

import click

from bulk_delete.cli.completing import script
from bulk_delete.cli.options import check_settings, config_option, home, json_option
from bulk_delete.cli.printing import emit

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("job_file", metavar="[JOB.toml]", required=False, type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Make no call.")
@check_settings
@config_option
@json_option
def check(
    job_file: Path | None,
    offline: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **given: Any,  # noqa: ANN401 - click's
) -> int:
    """Tell whether all is there that a job needs, and what to mend. Deletes nothing.

    Looks at the configuration and where each setting comes from, the API key, the state folder, the
    API and the clock. It makes one call: a GET of a run that is not there. Where the reply is not
    401 the key is let in; what it may delete, no reading can tell. The state folder is made.

    Ends with 0 if nothing is wrong (a warning is not), else as a job would: with 2 for the
    configuration or no key, 74 for the state folder, 6 for a key that is not accepted, 5 where the
    API does not answer.

    \b
    Examples:
      bulk-delete check
      bulk-delete check jobs/nightly.toml
      bulk-delete check --offline --json
    """
    from bulk_delete.cli.checking import show_check  # noqa: PLC0415 - loads aiohttp; --help does not

    return show_check(job_file, given, offline=offline, as_json=as_json)


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write them; else where the configuration is looked for.",
)
@click.option("--force", is_flag=True, help="Write them anew; what was there is kept beside.")
def init(folder: Path | None, force: bool) -> None:  # noqa: FBT001 - click's
    """Write a configuration and a first job file to fill in, and tell what to do next.

    The configuration names every setting, commented out, so that nothing changes until a line is
    put into force. No file is overwritten: where one is there already, it ends with 2.

    \b
    Examples:
      bulk-delete init
      bulk-delete init --dir ~/clean-up
    """
    from bulk_delete.runner.first_files import write_first_files  # noqa: PLC0415 - --help needs it not

    emit(write_first_files(folder, os.environ, home(), force=force))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes commands, flags, jobs and files.

    \b
    Examples, for this shell and for each one to come:
      eval "$(bulk-delete completion bash)"
      bulk-delete completion bash > ~/.local/share/bash-completion/completions/bulk-delete
      bulk-delete completion zsh > "${fpath[1]}/_bulk-delete"
      bulk-delete completion fish > ~/.config/fish/completions/bulk-delete.fish
    """
    emit(script(context.find_root().command, shell))
