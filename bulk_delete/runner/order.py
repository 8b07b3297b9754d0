"""What a command was asked to do. Imports nothing large, so that `--help` starts at once."""

import re
import time
from dataclasses import dataclass, field

from bulk_delete.config import Begun, Settings
from bulk_delete.errors import InvalidInput

MOST_CANARY = 1000
"""Batches. What became of all their runs is kept in memory."""

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")


def _now() -> Begun:
    return Begun(time.time(), time.monotonic())


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: the inputs, the job's name (None: from the input) and the guards.

    `wait_s`: how long to wait for another process that holds the job. `begun`: when it was asked
    for; what time is used up until the first call counts.
    """

    inputs: tuple[str, ...]
    settings: Settings
    job: str | None = None
    expect: str | None = None
    skip_failed: bool = False
    wait_s: float = 0.0
    begun: Begun = field(default_factory=_now)


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
