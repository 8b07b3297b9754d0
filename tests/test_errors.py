"""What is told of an error that nobody foresaw."""

import errno
import os

import pytest

from bulk_delete.errors import out_of_memory

ENOMEM = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (ENOMEM, True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (ExceptionGroup("", [ExceptionGroup("", [MemoryError()])]), True),
        (OSError(errno.EIO, os.strerror(errno.EIO)), False),
        (RuntimeError("no running event loop"), False),
        (ImportError("no module named x"), False),
        (ExceptionGroup("", [ValueError()]), False),
    ],
)
def test_memory_that_ran_out_is_no_bug(error: Exception, told: bool) -> None:  # noqa: FBT001 - the table's
    """A want of memory in any of its forms is told apart from a bug."""
    ending = out_of_memory(error)
    assert (ending is not None) == told
    assert ending is None or ending.exit_code == 5
