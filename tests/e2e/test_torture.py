"""Each fault of `make torture` once: nothing lost, nothing sent twice unsaid, nothing else gone."""

from pathlib import Path

import pytest

from tests.torture.faults import FAULTS
from tests.torture.trial import Tally, trial


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_outlived(name: str, tmp_path: Path) -> None:
    """After the fault the same command, run again, does the rest, and the audit finds nothing."""
    fault = FAULTS[name]
    with trial(tmp_path, 2, fault.faults) as one:
        fault.deed(one)
        assert one.codes[0] in fault.codes
        one.recover()
        assert one.laws() == Tally()
