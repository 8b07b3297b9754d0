"""The jobs that a state folder holds, by name. Imports nothing large: completion is at once."""

from pathlib import Path, PurePath

from bulk_delete.config import nearest
from bulk_delete.errors import InvalidInput
from bulk_delete.runner.presence import is_known, jobs_in

_SHOWN = 10


def known_jobs(state: Path) -> list[str]:
    """Return the names of the jobs that were ever started; none where that cannot be seen."""
    try:
        return [folder.job for folder in jobs_in(state) if is_known(folder)]
    except (InvalidInput, OSError):
        return []


def unknown_job(name: str, state: Path) -> InvalidInput:
    """Say that there is no such job, and which there are."""
    jobs = known_jobs(state)
    more = f" and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else ""
    there = f"; there are: {', '.join(jobs[:_SHOWN])}{more}" if jobs else "; there is none at all"
    near = nearest(name, jobs) or nearest(PurePath(name).stem, jobs)  # an input's name, perhaps
    return InvalidInput(f"there is no job {name!r} in {state}{near or there}")
