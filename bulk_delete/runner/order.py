"""What a command was asked to do. Imports nothing large, so that `--help` starts at once."""

import re
import time
from dataclasses import dataclass, field
from datetime import datetime

from bulk_delete.config import Begun, JobFile, Settings
from bulk_delete.errors import InvalidInput

MOST_CANARY = 1000
"""Batches. What became of all their runs is kept in memory."""

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")
_PERSON = re.compile(r"[^\s-](.{0,198}\S)?")


def _now() -> Begun:
    return Begun(time.time(), time.monotonic())


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: the inputs, the job's name (None: from the input) and the guards.

    With a job file the inputs are names and patterns, seen from its folder. `approved_by` is who
    has reviewed what `expect` names. `wait_s`: how long to wait for another process that holds the
    job. `begun`: when it was asked for; what time is used up until the first call counts.
    """

    inputs: tuple[str, ...]
    settings: Settings
    job: str | None = None
    expect: str | None = None
    skip_failed: bool = False
    job_file: JobFile | None = None
    approved_by: str | None = None
    wait_s: float = 0.0
    begun: Begun = field(default_factory=_now)


def order_of(
    inputs: tuple[str, ...],
    settings: Settings,
    job_file: JobFile | None,
    now: datetime,
    *,
    name: str | None,
    expect: str | None,
    skip_failed: bool,
    approved_by: str | None = None,
    wait_s: float = 0.0,
) -> Order:
    """Put together what the flags and the job file ask for; flags come first."""
    if job_file:
        inputs = job_file.inputs_at(now)
        name = job_file.name if name is None else name
        expect = job_file.expect if expect is None else expect
        skip_failed = skip_failed or job_file.skip_failed
    return Order(inputs, settings, name, expect, skip_failed, job_file, approved_by, wait_s)


def check_order(order: Order) -> None:
    """Refuse what cannot be meant, before anything is read. Raises InvalidInput."""
    guards = order.settings.guards
    if guards.canary_wait and guards.canary is None:
        raise InvalidInput("--canary-wait waits for a canary to come back; give --canary N, too")
    if guards.canary is not None and guards.canary > MOST_CANARY:
        raise InvalidInput(f"--canary {guards.canary}: give at most {MOST_CANARY} batches")
    if order.expect is not None and not _FINGERPRINT.fullmatch(order.expect):
        raise InvalidInput(
            f"--expect {order.expect!r} is no fingerprint: give the 64 hex digits that plan prints"
        )
    if order.approved_by is not None:
        if order.expect is None:
            raise InvalidInput(
                "--approved-by: say with --expect what was approved: the fingerprint of that plan"
            )
        if not _PERSON.fullmatch(order.approved_by) or not order.approved_by.isprintable():
            raise InvalidInput(
                f"--approved-by {order.approved_by!r} names nobody: give a name or an address"
            )
