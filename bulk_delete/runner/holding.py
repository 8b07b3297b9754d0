"""Who keeps a running job still: an operator, the schedule, or both; it goes on without either."""

from bulk_delete.dispatch import Engine
from bulk_delete.schedule import Shut


class Holds:
    """`asked`: an operator has paused the job. `shut`: it is outside its windows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = False
        self.shut: Shut | None = None

    def ask(self, *, pause: bool) -> None:
        self.asked = pause
        self._obey()

    def close(self, shut: Shut | None) -> None:
        """Keep it still as it is outside its windows; None: it is inside."""
        self.shut = shut
        self._obey()

    def _obey(self) -> None:
        if self.asked or self.shut:
            self._engine.pause()
        else:
            self._engine.go_on()
