"""`refused.json`: why the last start of a job sent nothing, until one does.

Neither the journal nor the figures tell of it: there was no execution.
"""

import contextlib
from pathlib import Path

import msgspec

from bulk_delete.control.files import get, put


class Refusal(msgspec.Struct, frozen=True):
    """How a start ended before its first call; `at` is when, RFC 3339 in UTC."""

    at: str
    outcome: str
    exit_code: int
    reason: str


def read_refusal(path: Path) -> Refusal | None:
    """Read how the last start ended; None where nothing tells."""
    try:
        return _decode(get(path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_refusal(path: Path, refusal: Refusal) -> None:
    """Replace the file in one step; where that cannot be, the exit code tells alone."""
    with contextlib.suppress(OSError):
        put(path, msgspec.json.encode(refusal), sync=False)


_decode = msgspec.json.Decoder(Refusal).decode
