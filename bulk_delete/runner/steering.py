"""Asking something of a job from another terminal, and waiting for its answer.

Imports nothing large: who steers is in a hurry.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from bulk_delete.config import Rate
from bulk_delete.control import (
    Ask,
    Control,
    UnreadableError,
    change,
    read_control,
    read_live,
    stamp,
    whoever_asks,
)
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import JobFolder
from bulk_delete.plain import printable
from bulk_delete.report import Answer, AnsweredOrder
from bulk_delete.runner.names import unknown_job
from bulk_delete.runner.presence import Running, is_known, running

ANSWER_S = 2.0
LOOK_EVERY_S = 0.05
_MOST_REASON = 500


class Steering:
    """Speaks to one job. Raises InvalidInput where there is none, and where it cannot be asked.

    `told` writes the command to type next, given its verb and, for a resume, a rate.
    """

    def __init__(self, state: Path, job: str, reason: str, told: Callable[..., str]) -> None:
        self._folder = JobFolder(state, job)
        self._told = told
        self._reason = printable(reason.strip())[:_MOST_REASON]
        try:
            self._running = running(self._folder)
            known = self._running is not None or is_known(self._folder)
        except OSError as error:
            raise InvalidInput(
                f"{self._folder.path}: cannot be looked into: {error.strerror}"
            ) from None
        if not known:
            raise unknown_job(job, state)
        if self._running and self._running.holder.doing != "run":
            holder = self._running.holder
            raise InvalidInput(
                f"job {job!r} is in the hands of `bulk-delete {holder.doing}` ({holder}), which "
                f"takes no orders; kill -TERM {holder.pid} ends it"
            )

    def pause(self) -> Answer:
        """Ask for a pause; of a job that does not run, its next start is asked."""
        ask, already = self._ask(), self._asked_pause() is not None
        answer = self._put("pause", lambda now: _replaced(now, pause=now.pause or ask))
        return replace(answer, already=already)

    def go_on(self) -> Answer:
        """End a pause. Raises InvalidInput when there is none."""
        ask = self._ask()
        if not self._asked_pause() and not self._shows_a_pause():
            raise InvalidInput(
                f"job {self._folder.job!r} is not paused; `{self._told('status')}` tells how it "
                "stands"
            )
        return self._put("continue", lambda now: _replaced(now, pause=None, went_on=ask))

    def _asked_pause(self) -> Ask | None:
        """Return the pause that is asked for; a file that is spoilt may ask for one."""
        try:
            return read_control(self._folder.control).pause
        except UnreadableError:
            return Ask("nobody knows", "")

    def _shows_a_pause(self) -> bool:
        """Tell whether the job is paused by an order that was removed since."""
        live = self._running.live if self._running else None
        return live is not None and live.paused is not None

    def stop(self) -> Answer:
        """Ask a running job to drain and end. Raises InvalidInput when it does not run."""
        ask = self._ask(self._must_run("there is nothing to stop").holder.execution)
        return self._put("stop", lambda now: _replaced(now, stop=ask))

    def change_rate(self, rate: Rate) -> Answer:
        """Give a running job another limit. Raises InvalidInput when it does not run."""
        text = str(rate).replace(", ", ",")
        cure = f"`{self._told('resume', rate)}` goes on with it so"
        ask = self._ask(self._must_run(cure).holder.execution, text)
        return self._put("rate", lambda now: _replaced(now, rate=ask))

    def _must_run(self, cure: str) -> Running:
        if self._running is None:
            raise InvalidInput(f"job {self._folder.job!r} does not run; {cure}")
        return self._running

    def _ask(self, execution: str | None = None, rate: str | None = None) -> Ask:
        return Ask(printable(whoever_asks()), stamp(), self._reason, execution, rate)

    def _put(self, order: AnsweredOrder, asked: Callable[[Control], Control]) -> Answer:
        try:
            control = change(self._folder.control, asked)
        except OSError as error:
            raise InvalidInput(
                f"{self._folder.control}: cannot be written: {error.strerror}; "
                "be the user who runs the job"
            ) from None
        return self._answer(order, control.n)

    def _answer(self, order: AnsweredOrder, n: int) -> Answer:
        """Wait a little for the job to have heard it."""
        job = self._folder.job
        for _ in range(round(ANSWER_S / LOOK_EVERY_S)):
            now = running(self._folder)
            if now is None:
                before = read_live(self._folder.live)
                return Answer(
                    job,
                    order,
                    runs=False,
                    ended=self._running is not None,
                    resume=before.resume if before else None,
                )
            live = now.live
            if live is None or live.state == "starting":
                return Answer(job, order, runs=True, state="starting")
            if live.heard >= n or live.state == "closing":
                return Answer(
                    job=job,
                    order=order,
                    runs=True,
                    state=live.state,
                    in_flight=live.in_flight,
                    limit=live.limit,
                    lowered_to=live.lowered_to,
                    paused_by=live.paused.by if live.paused else None,
                    resume=live.resume,
                )
            time.sleep(LOOK_EVERY_S)
        return Answer(job, order, runs=True)


def _replaced(control: Control, **asked: Ask | None) -> Control:
    return msgspec.structs.replace(control, **asked)
