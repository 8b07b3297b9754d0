"""`status.json`: how a job stands, written whole about once a second while it runs.

It is no record, so it is never waited for: what is lost with a crash is a second of figures.
"""

import contextlib
from pathlib import Path
from typing import Literal

import msgspec

from bulk_delete.control.files import get, put
from bulk_delete.control.requests import Ask

LiveState = Literal["starting", "running", "paused", "held", "stopping", "closing", "over"]


class End(msgspec.Struct, frozen=True):
    outcome: str
    exit_code: int
    reason: str


class Live(msgspec.Struct, frozen=True):
    """`at` is when this was written, `began` when the execution did; both are RFC 3339 in UTC.

    `heard` is the `n` of the last `control.json` that was obeyed, `limit` the rate as it was
    written, `lowered_to` the one in calls per second where it has given way, `trouble` the last
    refusal or failure. `held_until` is None where no end is known; `held_by`: why the schedule
    holds it. `lines` of the journal are what the figures are made of; `resume` is the
    command that goes on, should the process be lost. `end` comes last.
    """

    job: str
    execution: str
    pid: int
    host: str
    base_url: str
    key_id: str
    fingerprint: str
    began: str
    at: str
    state: LiveState
    heard: int
    limit: str
    planned: int
    runs: dict[str, int]
    calls: int = 0
    retries: int = 0
    in_flight: int = 0
    calls_per_s: float = 0.0
    eta_s: float | None = None
    lowered_to: float | None = None
    held_until: str | None = None
    held_by: str | None = None
    paused: Ask | None = None
    stopping: str | None = None
    trouble: str = ""
    lines: int | None = None
    resume: str | None = None
    end: End | None = None


def read_live(path: Path) -> Live | None:
    """Read how a job stands; None where nothing tells, or what tells is of another version."""
    try:
        return _decode(get(path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_live(path: Path, live: Live) -> None:
    """Replace the file in one step; a disk that does not take it keeps the old one."""
    with contextlib.suppress(OSError):
        put(path, msgspec.json.encode(live), sync=False)


_decode = msgspec.json.Decoder(Live).decode
