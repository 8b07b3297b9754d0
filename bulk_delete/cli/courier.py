"""A watcher that works in a thread of its own: a terminal that stands still holds no job up."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bulk_delete.runner.watching import Progress, Watcher

MOST_WAITING = 1000
"""Messages that wait for the terminal; more are dropped, and counted."""

LAST_WORDS_S = 2.0
"""How long the end of a job waits for the terminal to take what is left."""


class Courier:
    """Hands everything on to another watcher, and never waits for it."""

    def __init__(self, watcher: Watcher) -> None:
        self.interval_s = watcher.interval_s
        self._watcher = watcher
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_WAITING)
        self._latest: Progress | None = None
        self._dropped = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        if self._latest is None:
            self._put(self._show_latest)
        self._latest = progress

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self._put(lambda: self._watcher.log(level, event, fields))

    def close(self) -> None:
        """Hand on what is left, as far as it is taken in time."""
        if self._closed:
            return
        self._closed = True
        if self._dropped:
            dropped = {"dropped": self._dropped}
            self._put(lambda: self._watcher.log("warning", "log.dropped", dropped))
        self._put(self._watcher.close)
        self._put(None)
        self._thread.join(LAST_WORDS_S)

    def _put(self, message: Callable[[], None] | None) -> None:
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    def _show_latest(self) -> None:
        progress, self._latest = self._latest, None
        if progress:
            self._watcher.show(progress)

    def _work(self) -> None:
        while message := self._waiting.get():
            message()
