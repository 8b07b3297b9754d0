"""What a shell completes: names of jobs from the state folder, files, and words to choose from.

Imports nothing large: it runs at each press of the key.
"""

import contextlib
import os
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from bulk_delete.cli.options import home, settings_of
from bulk_delete.errors import Ending
from bulk_delete.folder import state_dir

Offer = Callable[[click.Context, str], list[CompletionItem]]
"""What may stand where so much was typed."""


class Completed(click.types.StringParamType):
    """A text for which something is offered. What it may be is for the settings to say."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's
        incomplete: str,
    ) -> list[CompletionItem]:
        return self._offer(ctx, incomplete)


def _jobs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the jobs by name, or, where no name fits, files: a job file will do as well."""
    from bulk_delete.runner.names import known_jobs  # noqa: PLC0415 - --help needs it not

    jobs: list[str] = []
    with contextlib.suppress(Ending, OSError):  # nobody reads words between two keys
        settings = settings_of({"config_file": None, **ctx.params})
        jobs = known_jobs(state_dir(settings.state.dir, os.environ, home()))
    fitting = [CompletionItem(job) for job in jobs if job.startswith(incomplete)]
    return fitting or _files(ctx, incomplete)


def _files(_: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _folders(_: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def _words(words: tuple[str, ...]) -> Offer:
    return lambda _, typed: [CompletionItem(word) for word in words if word.startswith(typed)]


def complete(app: click.Group) -> None:
    """Let the parameters of all commands be completed, each by its name or its metavar."""
    for command in app.commands.values():
        for param in command.params:
            offer = _offer(param)
            if offer and param.type is click.STRING:
                param.type = Completed(offer)


def _offer(param: click.Parameter) -> Offer | None:
    words = tuple((param.metavar or "").split("|"))
    match param.name, words:
        case "job_name", _:
            return _jobs
        case ("inputs", _) | (_, ("FILE",)):
            return _files
        case _, ("DIR",):
            return _folders
        case _ if len(words) > 1 and all(word.islower() for word in words):
            return _words(words)
        case _:
            return None


def script(app: click.Command, shell: str) -> str:
    """Return the script that makes a shell complete our command."""
    found = get_completion_class(shell)
    if found is None:
        raise ValueError(f"{shell} is no shell that click knows")
    return found(app, {}, "bulk-delete", "_BULK_DELETE_COMPLETE").source() + "\n"
