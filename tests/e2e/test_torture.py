"""A fault of each kind of `make torture`: nothing lost, sent twice unsaid, or deleted unasked."""

from pathlib import Path

import pytest

from tests.torture.faults import FAULTS
from tests.torture.trial import Tally

SHORT = [
    "kill -9, three times at random",
    "kill -9 between effect and reply",
    "kill -9 before an outcome is written",
    "SIGINT twice",
    "EIO on a write",
    "EIO on one sync, by strace",
    "full disk",
    "memory used up",
    "file size limit",
    "torn end",
    "flipped bit behind the mark",
    "kill -9 of one that keeps checkpoints",
    "flipped bit in a checkpoint",
    "two at once",
    "folder removed",
    "clock an hour back",
    "replies that are none",
]
"""One or two of each kind; `make torture` has them all."""


@pytest.mark.parametrize("name", SHORT)
def test_a_fault_is_outlived(name: str, tmp_path: Path) -> None:
    """After the fault the same command, run again, does the rest, and the audit finds nothing."""
    fault = FAULTS[name]
    if lack := fault.lacking():
        pytest.skip(lack)
    assert fault.tried(tmp_path, 2) == Tally(struck=True)
