"""What passes between a job and other terminals, as small files in its folder.

Commands write what they ask for, the job writes how it stands, a start that sends nothing writes
why; each file has one kind of writer.
"""

from bulk_delete.control.files import get
from bulk_delete.control.live import End, Live, LiveState, read_live, write_live
from bulk_delete.control.moments import age_s, seconds_between, stamp, stamp_of
from bulk_delete.control.refusals import Refusal, read_refusal, write_refusal
from bulk_delete.control.requests import (
    Ask,
    Control,
    Ear,
    UnreadableError,
    alone,
    change,
    read_control,
    whoever_asks,
)

__all__ = [
    "Ask",
    "Control",
    "Ear",
    "End",
    "Live",
    "LiveState",
    "Refusal",
    "UnreadableError",
    "age_s",
    "alone",
    "change",
    "get",
    "read_control",
    "read_live",
    "read_refusal",
    "seconds_between",
    "stamp",
    "stamp_of",
    "whoever_asks",
    "write_live",
    "write_refusal",
]
