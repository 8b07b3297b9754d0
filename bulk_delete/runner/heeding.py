"""Obeying what is asked from other terminals while a job runs, and answering how it stands."""

import asyncio
import time
from collections.abc import Callable

import anyio
import msgspec
from msgspec.structs import replace

from bulk_delete import events
from bulk_delete.config import parse_rate
from bulk_delete.control import Ask, Control, Ear, UnreadableError, change, seconds_between, stamp
from bulk_delete.dispatch import Engine
from bulk_delete.errors import JournalFailed, Stopped
from bulk_delete.folder import JobFolder
from bulk_delete.plain import printable
from bulk_delete.runner.holding import Holds
from bulk_delete.runner.posting import Post
from bulk_delete.runner.watching import Gauge, Watcher
from bulk_delete.throttle import Throttle

LOOK_EVERY_S = 0.25
SHOW_EVERY_S = 1.0


class Heeding:
    """`begin` before the first call, `serve` as long as there are any, `close` after the last.

    `go_on` is the command that ends a pause.
    """

    def __init__(
        self,
        folder: JobFolder,
        engine: Engine,
        holds: Holds,
        throttle: Throttle,
        gauge: Gauge,
        post: Post,
        record: Callable[[events.OfJob], None],
        watcher: Watcher,
        grace_s: float,
        go_on: str,
    ) -> None:
        self._folder = folder
        self._ear = Ear(folder.control)
        self._engine = engine
        self._holds = holds
        self._throttle = throttle
        self._gauge = gauge
        self._post = post
        self._record = record
        self._watcher = watcher
        self._grace_s = grace_s
        self._go_on = go_on
        self._heard = 0
        self._shown_at = float("-inf")
        self._paused: Ask | None = None
        self._paused_at = 0.0
        self._rate: Ask | None = None
        self._stopping = False

    async def begin(self) -> None:
        """Obey what is asked already, and write down the end of a pause that nobody saw."""
        control = self._news() or Control()
        before = self._post.before
        if before and before.paused and not control.pause and control.went_on:
            seconds = seconds_between(before.paused.at, control.went_on.at)
            self._continued(control.went_on, seconds)
        if control.pause:
            by, why = _words(control.pause)
            told = {"by": by, "since": control.pause.at, "detail": why, "cure": self._go_on}
            self._watcher.log("error", "job.starts_paused", told)
        await self._obey(control)
        self._show()

    async def pause_for(self, by: str, why: str) -> None:
        """Pause the job as if somebody asked for it. Raises JournalFailed."""
        ask = Ask(by, stamp(), why)
        try:
            control = change(self._folder.control, lambda now: replace(now, pause=ask))
        except OSError as error:
            raise JournalFailed(
                f"{self._folder.control}: cannot be written: {error.strerror}"
            ) from None
        await self._obey(control)
        self._show()

    async def serve(self) -> None:
        try:
            while True:
                await anyio.sleep(LOOK_EVERY_S)
                control = self._news()
                if control:
                    await self._obey(control)
                if control or time.monotonic() - self._shown_at >= SHOW_EVERY_S:
                    self._show()
        except JournalFailed as failure:
            self._engine.stop(failure)
            self._engine.cut()

    def close(self) -> None:
        """Show the last figures, and that all that is left are the books."""
        self._show()
        self._post.close()

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        self._post.show(self._gauge.read(), self._heard, self._throttle.limit, self._paused)

    def _news(self) -> Control | None:
        try:
            return self._ear.news()
        except UnreadableError as error:
            self._watcher.log("error", "control.unreadable", {"reason": str(error)})
            return None

    async def _obey(self, control: Control) -> None:
        if control.stop and control.stop.execution == self._folder.execution:
            self._stop(control.stop)
        self._pause_or_go_on(control)
        rate = control.rate
        if rate and rate.execution == self._folder.execution and rate != self._rate:
            await self._change_rate(rate)
        self._heard = control.n

    def _stop(self, ask: Ask) -> None:
        if self._stopping:
            return
        self._stopping = True
        by, why = _words(ask)
        self._record(events.JobStopping("asked", by, why or None))
        self._engine.stop(Stopped(f"stopped by {by}" + (f": {why}" if why else "")))
        asyncio.get_running_loop().call_later(self._grace_s, self._engine.cut)

    def _pause_or_go_on(self, control: Control) -> None:
        if control.pause and not self._paused:
            self._paused, self._paused_at = control.pause, time.monotonic()
            by, why = _words(control.pause)
            self._holds.ask(pause=True)
            self._record(events.JobPaused("asked", why, 0.0, by))
        elif self._paused and not control.pause:
            self._paused = None
            self._holds.ask(pause=False)
            self._continued(control.went_on, time.monotonic() - self._paused_at)

    def _continued(self, ask: Ask | None, seconds: float) -> None:
        by, why = _words(ask) if ask else ("nobody knows", "")
        self._record(events.JobContinued("asked", round(seconds, 3), by, why or None))

    async def _change_rate(self, ask: Ask) -> None:
        self._rate = ask
        by, why = _words(ask)
        try:
            rate = parse_rate(ask.rate)
        except ValueError as error:
            self._watcher.log("error", "rate.refused", {"rate": ask.rate, "reason": str(error)})
            return
        changed = await self._throttle.change(self._throttle.limit.changed_to(rate))
        limit = str(self._throttle.limit)
        self._record(msgspec.structs.replace(changed, limit=limit, by=by, detail=why or None))


def _words(ask: Ask) -> tuple[str, str]:
    """Return who asked and why, fit for a terminal."""
    return printable(ask.by), printable(ask.reason)
