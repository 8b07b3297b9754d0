"""Work that is done aside, in another thread: one piece at a time."""

from collections.abc import Callable
from threading import Thread


class Aside:
    """`do` waits for the piece before, and raises what that raised; so does `wait`."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def do(self, work: Callable[[], None]) -> None:
        self.wait()
        self._thread = Thread(target=self._run, args=(work,), name="aside")
        self._thread.start()

    def wait(self) -> None:
        self.drop()
        error, self._error = self._error, None
        if error:
            raise error

    def drop(self) -> None:
        """Wait, whatever comes of it."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
