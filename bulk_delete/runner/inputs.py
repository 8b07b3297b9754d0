"""The files that an order's inputs mean."""

import os

from bulk_delete.config import JobFile
from bulk_delete.errors import InvalidInput
from bulk_delete.runner.order import Order
from bulk_delete.sources import STDIN, find, is_missing


def find_inputs(order: Order) -> tuple[str, ...]:
    """Name the files to read. Those that are not there are left out where none is required.

    Raises InvalidInput for a pattern that matches nothing, unless none is required.
    """
    paths = _of_job(order.job_file, order) if order.job_file else list(order.inputs)
    if order.settings.input.require == "nothing":
        paths = [path for path in paths if path == STDIN or not is_missing(path)]
    return tuple(paths)


def _of_job(file: JobFile, order: Order) -> list[str]:
    """Name each file once, in order: patterns may overlap."""
    found: dict[str, str] = {}
    for name in order.inputs:
        paths = [STDIN] if name == STDIN else find(file.path.parent, name)
        if not paths and order.settings.input.require != "nothing":
            raise InvalidInput(
                f"{file.path}: no file matches the input {name!r}; where there may be none, set "
                '[input] require = "nothing"'
            )
        for path in paths:
            found.setdefault(STDIN if path == STDIN else os.path.realpath(path), path)
    return sorted(found.values())
