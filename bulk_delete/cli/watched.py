"""A job is shown to those who are not there, beside its screen."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from bulk_delete.cli.found import Found
from bulk_delete.config import Log
from bulk_delete.runner.beacon import Beacon
from bulk_delete.runner.order import Order
from bulk_delete.runner.watching import Progress, Watcher
from bulk_delete.signals import ending


def light(order: Order, state: Path) -> Beacon:
    """Show this start of a job outside, until the command ends. Raises InvalidInput."""
    beacon = Beacon(order, state, _log_of(order.settings.log), os.environ)
    context = click.get_current_context()
    context.with_resource(beacon)
    context.ensure_object(Found).beacons.append(beacon)
    beacon.check()
    return beacon


def put_out(found: Found, exit_code: int) -> None:
    """Tell outside how the command ended; a signal may cut that short, and changes nothing."""
    for beacon in found.beacons:
        with contextlib.suppress(Exception), ending(exit_code):
            beacon.ended(exit_code)


class Beside:
    """A screen, and another watcher beside it that is no concern of the screen's."""

    def __init__(self, screen: Watcher, other: Watcher) -> None:
        self.interval_s = screen.interval_s
        self._screen = screen
        self._other = other

    def show(self, progress: Progress) -> None:
        self._screen.show(progress)
        self._other.show(progress)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self._screen.log(level, event, fields)

    def close(self) -> None:
        self._screen.close()


def _log_of(log: Log) -> Callable[[str, str, Mapping[str, Any]], None]:
    def write(level: str, event: str, fields: Mapping[str, Any]) -> None:
        from bulk_delete.cli.screen import log_line  # noqa: PLC0415 - for what goes wrong only

        log_line(log, level, event, fields)

    return write
