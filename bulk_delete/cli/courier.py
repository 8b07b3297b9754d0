"""A watcher that works in a thread of its own: a terminal that stands still holds no job up."""

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from bulk_delete.runner.watching import Progress, Watcher

MOST_WAITING = 1000
"""Log events that wait for the terminal; more are dropped, and counted."""

LAST_WORDS_S = 2.0
"""How long the end of a job waits for the terminal to take what is left."""


class Courier:
    """Hands everything on to another watcher, and never waits for it; of progress, the latest."""

    def __init__(self, watcher: Watcher) -> None:
        self.interval_s = watcher.interval_s
        self._watcher = watcher
        self._news = threading.Condition()
        self._logs: deque[tuple[str, str, Mapping[str, Any]]] = deque()
        self._progress: Progress | None = None
        self._dropped = 0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        with self._news:
            self._progress = progress
            self._news.notify()

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        with self._news:
            if len(self._logs) < MOST_WAITING:
                self._logs.append((level, event, fields))
            else:
                self._dropped += 1
            self._news.notify()

    def close(self) -> None:
        """Hand on what is left, as far as it is taken in time."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(LAST_WORDS_S)

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._logs or self._progress or self._closing)
                logs = [self._logs.popleft()] if self._logs else []
                progress, self._progress = self._progress, None
            for log in logs:
                self._watcher.log(*log)
            if progress:
                self._watcher.show(progress)
            if not (logs or progress):
                break
        if self._dropped:
            self._watcher.log("warning", "log.dropped", {"dropped": self._dropped})
        self._watcher.close()
