"""What a command has come to know, for those who end it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulk_delete.config import ApiKey

if TYPE_CHECKING:
    from bulk_delete.runner.beacon import Beacon  # loads NumPy; --help does not


@dataclass(slots=True)
class Found:
    """`keys` are to be kept out of a traceback, `beacons` to be told how the command ended."""

    keys: list[ApiKey] = field(default_factory=list)
    beacons: "list[Beacon]" = field(default_factory=list)
