"""What a shell completes: names of jobs from the state folder, files, and words to choose from.

Imports nothing large: it runs at each press of the key.
"""

import contextlib
import os

import click
from click.shell_completion import CompletionItem, get_completion_class

from bulk_delete.cli.options import home, settings_of
from bulk_delete.errors import Ending
from bulk_delete.folder import state_dir
from bulk_delete.runner.names import started_jobs


class JobName(click.types.StringParamType):
    """A job by its name, or, where no name fits, by its job file."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's
        incomplete: str,
    ) -> list[CompletionItem]:
        jobs: list[str] = []
        with contextlib.suppress(Ending, OSError):  # nobody reads words between two keys
            settings = settings_of({"config_file": None, **ctx.params})
            jobs = started_jobs(state_dir(settings.state.dir, os.environ, home()))
        fitting = [CompletionItem(job) for job in jobs if job.startswith(incomplete)]
        return fitting or [CompletionItem(incomplete, type="file")]


class PathName(click.types.StringParamType):
    """A name that the shell itself completes: of a `file`, or of a `dir`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        param: click.Parameter,  # noqa: ARG002 - click's
        incomplete: str,
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type=self._kind)]


class Word(click.types.StringParamType):
    """One of some words. What is none of them is for the settings to refuse."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        param: click.Parameter,  # noqa: ARG002 - click's
        incomplete: str,
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


def complete(app: click.Group) -> None:
    """Let the parameters of all commands be completed, each by its name or its metavar."""
    for command in app.commands.values():
        for param in command.params:
            kind = _kind(param)
            if kind and param.type is click.STRING:
                param.type = kind


def _kind(param: click.Parameter) -> click.types.StringParamType | None:
    words = tuple((param.metavar or "").split("|"))
    match param.name, words:
        case "job_name", _:
            return JobName()
        case ("inputs", _) | (_, ("FILE",)):
            return PathName("file")
        case _, ("DIR",):
            return PathName("dir")
        case _ if len(words) > 1 and all(word.islower() for word in words):
            return Word(words)
        case _:
            return None


def script(app: click.Command, shell: str) -> str:
    """Return the script that makes a shell complete our command."""
    found = get_completion_class(shell)
    if found is None:
        raise ValueError(f"{shell} is no shell that click knows")
    return found(app, {}, "bulk-delete", "_BULK_DELETE_COMPLETE").source() + "\n"
