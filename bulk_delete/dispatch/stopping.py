"""The way to an end: nothing more is sent, waits are cut short, and at the worst all is dropped."""

import contextlib
from collections.abc import Iterator

import anyio

from bulk_delete.errors import Ending


class LeaveOffError(Exception):
    """A worker must let go of its result."""


class Brake:
    """Stops the workers. `endings` is why, the first reason first; empty while all goes on."""

    def __init__(self, endings: list[Ending]) -> None:
        self.endings = endings
        self.scope = anyio.CancelScope()
        self._waits: set[anyio.CancelScope] = set()

    @property
    def pulled(self) -> bool:
        return bool(self.endings)

    def pull(self, ending: Ending) -> None:
        """Send nothing more; what is in flight finishes."""
        self.endings.append(ending)
        for scope in self._waits:
            scope.cancel()

    def cut(self) -> None:
        """Leave off at once; what is in flight stays in doubt."""
        self.scope.cancel()

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Wait inside, until it is over or the brake is pulled."""
        with anyio.CancelScope() as scope:
            if self.pulled:
                scope.cancel()
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)
