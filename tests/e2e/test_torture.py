"""Each fault of `make torture` once: nothing lost, nothing sent twice unsaid, nothing else gone."""

from pathlib import Path

import pytest

from tests.torture.faults import FAULTS
from tests.torture.trial import Tally


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_outlived(name: str, tmp_path: Path) -> None:
    """After the fault the same command, run again, does the rest, and the audit finds nothing."""
    fault = FAULTS[name]
    if lack := fault.lacking():
        pytest.skip(lack)
    assert fault.tried(tmp_path, 2) == Tally(struck=True)
