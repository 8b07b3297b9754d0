"""Print how jobs stand, once or again and again."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bulk_delete import report
from bulk_delete.cli.printing import emit, offer
from bulk_delete.config import Settings
from bulk_delete.folder import JobFolder
from bulk_delete.report import JobStatus
from bulk_delete.runner.names import unknown_job
from bulk_delete.runner.overview import overview, status_of

VERSION = 1
EVERY_S = 1.0

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def show(state: Path, job: str | None, settings: Settings, *, as_json: bool) -> None:
    """Print how a job stands, or all. Raises InvalidInput."""
    emit(_text(_found(state, job, settings), job, state, as_json=as_json))


def watch_jobs(state: Path, job: str | None, settings: Settings, *, as_json: bool) -> None:
    """Print it every second until Ctrl-C, or until the one job is over. Raises InvalidInput."""
    redraw = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not as_json
    told: dict[str, str] = {}
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            jobs = _found(state, job, settings)
            if redraw:
                text = _CLEAR + _text(jobs, job, state, as_json=False)
            else:
                text = "".join(_changes(jobs, told, as_json=as_json))
            if not offer(text) or (job and jobs[0].is_over):
                return
            time.sleep(EVERY_S)


def _changes(jobs: list[JobStatus], told: dict[str, str], *, as_json: bool) -> Iterator[str]:
    """Yield a line for each job that stands otherwise than it was told."""
    for job in jobs:
        line = report.status_line(job)
        if told.get(job.job) != line:
            told[job.job] = line
            yield json.dumps(job.as_dict()) + "\n" if as_json else f"{_clock()} {line}"


def _found(state: Path, job: str | None, settings: Settings) -> list[JobStatus]:
    if job is None:
        return overview(state, settings)
    found = status_of(JobFolder(state, job), settings)
    if found is None:
        raise unknown_job(job, state)
    return [found]


def _text(jobs: list[JobStatus], job: str | None, state: Path, *, as_json: bool) -> str:
    if as_json:
        told = {"v": VERSION, "state_dir": str(state), "jobs": [found.as_dict() for found in jobs]}
        return report.as_json(told)
    if job:
        return report.status_text(jobs[0])
    return report.statuses_text(jobs) if jobs else f"There are no jobs in {state}\n"


def _clock() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
