"""A pause that an operator asks for: nothing leaves, and no time passes for who counts failures."""

from collections.abc import Callable


class Stopwatch:
    """A clock, in seconds, that stands still while the job is paused.

    So a pause is no outage, and does not use up the time that a batch may take.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._behind = 0.0
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return (self._clock() if self._stopped_at is None else self._stopped_at) - self._behind

    def stop(self) -> None:
        if self._stopped_at is None:
            self._stopped_at = self._clock()

    def go_on(self) -> None:
        if self._stopped_at is not None:
            self._behind += self._clock() - self._stopped_at
            self._stopped_at = None
