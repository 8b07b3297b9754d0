"""The memory that the command may take: with too little it ends before it loads anything."""

import os
import resource

from bulk_delete.errors import InvalidInput

_NEEDED = ((resource.RLIMIT_AS, "-v", 512), (resource.RLIMIT_DATA, "-d", 192))
"""Limits with their `ulimit` flags, and the MB that a job of any size takes, with some room."""


def room_for_memory() -> None:
    """See to it that what is loaded next has room. Raises InvalidInput."""
    # NumPy's linear algebra, of which nothing is used, starts a thread a core, each with 40 MB; and
    # where it cannot, it ends the process with a code of its own or raises SIGINT.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for limit, flag, needed in _NEEDED:
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and soft < needed << 20:
            raise InvalidInput(
                f"this process may have {soft >> 20:,} MB of memory, and needs {needed}; raise "
                f"`ulimit {flag}` to {needed << 10}"
            )
