"""Read back what a job has deleted, and print what came of it."""

from pathlib import Path

from bulk_delete import report
from bulk_delete.cli.printing import emit
from bulk_delete.cli.screen import watcher_for
from bulk_delete.config import ApiKey, Settings
from bulk_delete.folder import JobFolder
from bulk_delete.runner.verifying import verify
from bulk_delete.signals import ending


def show_verification(
    job: str,
    settings: Settings,
    key: ApiKey,
    state: Path,
    *,
    sample: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Verify a job and print what came of it; return the exit code."""
    watcher = watcher_for(settings.log, quiet=quiet)
    try:
        told = verify(state, job, settings, key, sample, watcher)
    finally:
        watcher.close()
    again = report.command("run", (str(JobFolder(state, job).still_there),), settings, name=job)
    with ending(told.exit_code):
        if as_json:
            emit(report.as_json(told.as_dict()))
        elif told.exit_code or not quiet:
            emit(report.verification_text(told, again))
    return told.exit_code
