"""Show whether a first job could run."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import click

from bulk_delete import __version__, report
from bulk_delete.cli.found import Found
from bulk_delete.cli.options import flags_of, home
from bulk_delete.cli.printing import emit
from bulk_delete.config import Layer
from bulk_delete.runner.check import Surroundings, look

_OF_PLAN = ("--base-url", "--state-dir")
"""Flags of ours that plan has as well."""


def show_check(
    job_file: Path | None, given: dict[str, Any], *, offline: bool, as_json: bool
) -> int:
    """Print how each thing stands; return the exit code."""
    config = given.pop("config_file")
    flags = flags_of(given)
    keys = click.get_current_context().ensure_object(Found).keys
    found = look(
        Surroundings(flags, config, job_file, dict(os.environ), home()),
        offline=offline,
        learn=keys.append,
    )
    told = report.CheckUp(
        checks=tuple(found.checks),
        settings=found.settings,
        exit_code=found.exit_code,
        version=__version__,
        next=_next(found.exit_code, job_file, config, flags),
    )
    emit(report.as_json(told.as_dict()) if as_json else report.check_up_text(told))
    return told.exit_code


def _without_secrets(value: str) -> str:
    """Leave out the user and the password of a URL, which is refused for having them."""
    return re.sub(r"(?<=//)[^/]*@", "", value)


def _next(code: int, job_file: Path | None, config: Path | None, flags: Layer) -> str:
    words = ["check" if code else "plan"]
    if job_file or not code:
        words.append(str(job_file or "runs.csv"))
    words += ["--config", str(config)] if config else []
    for given in flags.values():
        if code or given.origin in _OF_PLAN:
            words += [given.origin, _without_secrets(str(given.value))]
    return shlex.join(["bulk-delete", *words])
