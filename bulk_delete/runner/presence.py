"""Which jobs there are in a state folder, and who holds them; no lock is taken to see that."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.control import Live, age_s, read_live
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import JobFolder
from bulk_delete.lock import Holder, holder_of

STALE_S = 15.0
"""Figures of a process that cannot be seen from here, and are older, are those of a dead one."""

STARTING_S = 3600.0
"""For how long such a process is believed to be planning, which shows nothing."""


def jobs_in(state: Path) -> Iterator[JobFolder]:
    """Yield the folders of all that look like jobs, by name. Raises InvalidInput."""
    try:
        names = sorted(path.name for path in state.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInput(f"{state}: cannot be looked into: {error.strerror}") from None
    for name in names:
        try:
            folder = JobFolder(state, name)
        except InvalidInput:
            continue
        if folder.path.is_dir():
            yield folder


def has_begun(folder: JobFolder) -> bool:
    """Tell whether a job was ever started. Raises OSError."""
    return folder.journal.exists() or folder.mark.exists()


def is_known(folder: JobFolder) -> bool:
    """Tell whether a job was ever started, be it in vain. Raises OSError."""
    return has_begun(folder) or folder.refused.exists()


@dataclass(frozen=True, slots=True)
class Running:
    """Who holds a job, and what it shows of itself; None as long as it plans."""

    holder: Holder
    live: Live | None


def running(folder: JobFolder) -> Running | None:
    """Return who holds a job, if anybody does."""
    holder = holder_of(folder.lock)
    if holder is None:
        return None
    live = read_live(folder.live)
    if live and live.execution != holder.execution:
        live = None
    if live and live.end:
        return None
    there = holder.is_there
    if there is None:
        there = age_s(live.at) < STALE_S if live else age_s(holder.since) < STARTING_S
    return Running(holder, live) if there else None


def calling_with(mine: Live, state: Path) -> list[Live]:
    """Return the other jobs that run with the same key against the same API."""
    found = (running(folder) for folder in jobs_in(state) if folder.job != mine.job)
    lives = [other.live for other in found if other and other.live]
    return [live for live in lives if (live.key_id, live.base_url) == (mine.key_id, mine.base_url)]
