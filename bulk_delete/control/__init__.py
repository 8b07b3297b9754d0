"""What passes between a running job and other terminals, as two small files in its folder.

Commands write what they ask for, the job writes how it stands; each file has one kind of writer.
"""

from bulk_delete.control.files import get
from bulk_delete.control.live import End, Live, LiveState, read_live, write_live
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
    "UnreadableError",
    "alone",
    "change",
    "get",
    "read_control",
    "read_live",
    "whoever_asks",
    "write_live",
]
