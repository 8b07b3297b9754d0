"""How a running job shows itself to other terminals: its live file, and the jobs beside it."""

import contextlib
import os
import platform
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec

from bulk_delete.config import ApiKey, Rate
from bulk_delete.control import (
    Ask,
    End,
    Live,
    LiveState,
    UnreadableError,
    alone,
    read_control,
    read_live,
    stamp,
    stamp_of,
    write_live,
)
from bulk_delete.errors import Ending, InvalidInput, Refused
from bulk_delete.plain import printable
from bulk_delete.runner.job import Job, resume_command
from bulk_delete.runner.presence import calling_with
from bulk_delete.runner.watching import Progress, Watcher

_HELD_S = 1.0
"""A shorter wait is the pace, no hold."""


class Post:
    """Keeps the live file of an execution; `before` is what the one before left in it."""

    def __init__(self, job: Job, key: ApiKey) -> None:
        settings, figures = job.order.settings, job.todo.plan.figures
        self._folder = job.folder
        self._exclusive = settings.limits.exclusive
        self.before = read_live(job.folder.live)
        self.live = Live(
            job=job.name,
            execution=job.folder.execution,
            pid=os.getpid(),
            host=platform.node(),
            base_url=settings.api.base_url,
            key_id=key.id,
            fingerprint=job.intake.plan.figures.fingerprint,
            began=stamp(),
            at=stamp(),
            state="starting",
            heard=0,
            limit=str(settings.limits.rate),
            planned=figures.runs,
            runs={},
            resume=resume_command(job),
        )

    @contextlib.asynccontextmanager
    async def open(self, watcher: Watcher) -> AsyncIterator[None]:
        """Show this execution; tell of others that call with the same key.

        One after the other, so that of two that start at once the second sees the first.

        Raises Refused, and InvalidInput when it cannot be seen whether the job is paused.
        """
        try:
            read_control(self._folder.control)
        except UnreadableError as error:
            raise InvalidInput(
                f"{error}; it may say that the job is paused. "
                f"`bulk-delete continue {self.live.job}` writes it anew"
            ) from None
        try:
            with alone(self._folder.path.parent):
                write_live(self._folder.live, self.live)
                others = self._others()
            self._consider(others, watcher)
            yield
        except Ending as ending:
            self.end(End(ending.outcome, ending.exit_code, ending.reason))
            raise

    def _others(self) -> list[Live]:
        try:
            return calling_with(self.live, self._folder.path.parent)
        except InvalidInput:
            if self._exclusive:
                raise
            return []

    def _consider(self, others: list[Live], watcher: Watcher) -> None:
        if others and self._exclusive:
            told = printable(
                ", ".join(f"{other.job!r} (pid {other.pid} on {other.host})" for other in others)
            )
            raise Refused(
                f"the same key is in use by {told}, and limits.exclusive is set; "
                "wait for its end, or start without it"
            )
        for other in others:
            fields = {"job": other.job, "pid": other.pid, "host": other.host, "rate": other.limit}
            watcher.log("warning", "key.shared", fields)

    def show(self, progress: Progress, heard: int, limit: Rate, paused: Ask | None) -> None:
        """Renew the figures."""
        shut = progress.shut
        held = bool(shut) or progress.outage or progress.held_s >= _HELD_S
        until = datetime.now(UTC) + timedelta(seconds=progress.held_s)
        if shut:
            until = datetime.fromtimestamp(shut.until, UTC)
        self.live = msgspec.structs.replace(
            self.live,
            at=stamp(),
            state=_state(progress, held=held),
            heard=heard,
            limit=str(limit),
            runs={state.value: count for state, count in progress.runs.items()},
            calls=progress.calls,
            retries=progress.retries,
            in_flight=progress.in_flight,
            calls_per_s=round(progress.calls_per_s, 3),
            eta_s=None if progress.eta_s is None else round(progress.eta_s, 1),
            lowered_to=progress.lowered_to,
            held_until=stamp_of(until) if shut or progress.held_s >= _HELD_S else None,
            held_by=shut.why if shut else None,
            paused=paused,
            stopping=progress.stopping,
            trouble=printable(progress.trouble),
            lines=progress.lines,
        )
        write_live(self._folder.live, self.live)

    def close(self) -> None:
        """Show that all that is left are the books."""
        self.live = msgspec.structs.replace(self.live, at=stamp(), state="closing")
        write_live(self._folder.live, self.live)

    def end(self, end: End) -> None:
        self.live = msgspec.structs.replace(self.live, at=stamp(), state="over", end=end)
        write_live(self._folder.live, self.live)


def _state(progress: Progress, *, held: bool) -> LiveState:
    if progress.stopping:
        return "stopping"
    if progress.paused:
        return "paused"
    return "held" if held else "running"
