"""A watcher that works in a thread of its own: what it writes to holds no job up, and ends none.

The thread is there before the job has begun. Later none is started: Python waits without an end for
a thread that dies of a want of memory before it has drawn breath.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bulk_delete.runner.watching import Progress, Watcher

MOST_WAITING = 1000
"""Log events that wait for the terminal; more are dropped, and counted."""

LAST_WORDS_S = 2.0
"""How long the end of a job waits for the terminal to take what is left."""


class Courier:
    """Hands everything on to another watcher, and never waits for it; of progress, the latest.

    What makes the other one fail is dropped as well.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.interval_s = watcher.interval_s
        self._watcher = watcher
        self._news = threading.Condition()
        self._works: deque[Callable[[], None]] = deque()
        self._progress: Progress | None = None
        self._dropped = 0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        with self._news:
            self._progress = progress
            self._news.notify()

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.hand(partial(self._watcher.log, level, event, fields))

    def hand(self, work: Callable[[], None]) -> None:
        """Have something else done there, after all that was shown and logged before."""
        with self._news:
            if len(self._works) < MOST_WAITING:
                self._works.append(work)
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
        with contextlib.suppress(MemoryError):  # then it is silent; the journal has it all
            while self._hand_on():
                pass
            if self._dropped:
                self._watcher.log("warning", "log.dropped", {"dropped": self._dropped})
        with contextlib.suppress(Exception):
            self._watcher.close()

    def _hand_on(self) -> bool:
        """Wait for news and hand them on; return whether there may be more."""
        with self._news:
            self._news.wait_for(lambda: self._works or self._progress or self._closing)
            progress, self._progress = self._progress, None
            work = self._works.popleft() if self._works else None
        for one in (partial(self._watcher.show, progress) if progress else None, work):
            try:
                if one:
                    one()
            except Exception:  # noqa: BLE001 - whatever it is, it is no concern of the job's
                self._dropped += 1
        return bool(progress or work)
