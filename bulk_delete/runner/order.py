"""What a command was asked to do. Imports nothing large, so that `--help` starts at once."""

import re
from dataclasses import dataclass

from bulk_delete.config import Settings
from bulk_delete.errors import InvalidInput

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: the inputs, the job's name (None: from the input) and the guards.

    `wait_s`: how long to wait for another process that holds the job.
    """

    inputs: tuple[str, ...]
    settings: Settings
    job: str | None = None
    expect: str | None = None
    skip_failed: bool = False
    wait_s: float = 0.0


def check_order(order: Order) -> None:
    """Refuse what cannot be meant, before anything is read. Raises InvalidInput."""
    if order.expect is not None and not _FINGERPRINT.fullmatch(order.expect):
        raise InvalidInput(
            f"--expect {order.expect!r} is no fingerprint: give the 64 hex digits that plan prints"
        )
