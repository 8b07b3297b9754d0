"""Show what a journal's audit found."""

from pathlib import Path

from bulk_delete import report
from bulk_delete.cli.printing import emit
from bulk_delete.config import Settings
from bulk_delete.errors import InvalidInput
from bulk_delete.runner.auditing import audit


def show_audit(job: str, settings: Settings, state: Path, *, repair: bool, as_json: bool) -> int:
    """Print what is wrong with a job's journal; return the exit code."""
    found = audit(state, job, repair=repair)
    again = report.repair_command(job, settings)
    told = emit(report.as_json(found.as_dict()) if as_json else report.audit_text(found, again))
    if found.findings and found.repaired is None:
        return 1
    if not told:
        raise InvalidInput("what the audit found could not be printed")
    return 0
