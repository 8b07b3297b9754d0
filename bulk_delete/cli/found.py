"""What a command has come to know, for those who end it."""

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from bulk_delete.config import ApiKey, Log

if TYPE_CHECKING:
    from bulk_delete.runner.beacon import Beacon  # loads NumPy; --help does not

_FLAG, _VARIABLE = "--log-format", "BULK_DELETE_LOG_FORMAT"


@dataclass(slots=True)
class Found:
    """`keys` are to be kept out of a traceback, `beacons` to be told how the command ended.

    `log` is how it speaks on stderr: a guess, until the settings are known.
    """

    keys: list[ApiKey] = field(default_factory=list)
    beacons: "list[Beacon]" = field(default_factory=list)
    log: Log = field(default_factory=Log)


def guessed_log(arguments: list[str]) -> Log:
    """Tell how to speak of what is wrong with the settings themselves."""
    given = [value for flag, value in pairwise(arguments) if flag == _FLAG]
    given += [word.partition("=")[2] for word in arguments if word.startswith(f"{_FLAG}=")]
    asked = given or [os.environ.get(_VARIABLE, "")]
    return Log(format="json") if "json" in asked else Log()


def log_in_force() -> Log:
    """Return how the command that runs speaks on stderr."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Found) if context else None
    return found.log if found else Log()
