"""Looking a whole journal over, sound or not: all that is wrong with it, line by line.

A reader stops at the first damage. Here each line is held against the one before as that one
stands, so that every place where something was changed, lost or added shows by itself.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from bulk_delete import events
from bulk_delete.errors import InvalidInput
from bulk_delete.journal.chain import START, DamagedError, Link, TornError, told_chain, unseal
from bulk_delete.journal.lines import UnknownLineError, decode
from bulk_delete.journal.replay import History, Replay
from bulk_delete.journal.rules import Rules
from bulk_delete.ledger import Sink

_READ_AT_ONCE = 1 << 20
CHANGED = "the chain does not match: it was changed, or what stood before it was"


class Finding(NamedTuple):
    """What is wrong, and with which line of the file, counted from 1."""

    line: int
    what: str


class Auditor(Sink, Protocol):
    """Takes the pairs of a journal through their steps, and looks at what they come to."""

    def complaints(self) -> list[str]:
        """Return what was wrong with the steps since it was asked last."""

    def ended(self, started: events.JobStarted, finished: events.JobFinished) -> Iterator[str]:
        """Yield what is wrong with the end of an execution."""


class Survey:
    """The auditor is told of the pairs as long as the journal is sound."""

    def __init__(self, path: Path, mark: Link | None, auditor: Auditor) -> None:
        self._path = path
        self._mark = mark
        self._auditor = auditor
        self._rules = Rules()
        self._chain = START.chain.encode()
        self._number = 0
        self.history = History()
        self._replay = Replay(self.history, auditor)
        self.executions = 0
        self.line = 0
        """The line that is looked at; at the end, how many there are."""

        self.lost = 0
        """Lines that are missing, by the numbers of those around them and by the mark."""

        self.sound = True
        self.sound_to = START
        """The end of the stretch in which every line is as it was written."""

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the lines. Raises InvalidInput."""
        try:
            with self._path.open("rb", buffering=_READ_AT_ONCE) as file:
                for data in file:
                    self.line += 1
                    for what in self._look(data):
                        yield Finding(self.line, what)
        except FileNotFoundError:
            pass  # with its mark still there, all its lines are missing
        except OSError as error:
            raise InvalidInput(f"{self._path}: cannot be read: {error.strerror}") from None
        if self.sound:
            self._replay.end()
            for what in self._auditor.complaints():
                yield Finding(self.line, what)
        for what in self._against_mark():
            yield Finding(self.line + 1, what)

    def _look(self, data: bytes) -> Iterator[str]:
        try:
            self._chain = unseal(self._chain, data)
        except TornError as error:
            self.sound = False
            yield f"{error}: {len(data)} bytes with no end"
            return
        except DamagedError:
            self.sound = False
            yield CHANGED
            self._chain = told_chain(data) or self._chain
        try:
            head, event = decode(data)
        except (DamagedError, UnknownLineError) as error:
            self.sound = False
            self._number += 1
            yield str(error)
            return
        yield from self._count(head.n)
        if self.sound:
            here = Link(self._number, self._chain.decode(), self.sound_to.offset + len(data))
            yield from self._met(here)
        if event is not None:
            yield from self._rules.look(event)
            if self.sound:
                yield from self._retell(event, head.ts)

    def _met(self, here: Link) -> Iterator[str]:
        """Hold a sound line against the mark."""
        mark = self._mark
        if mark and here.lines == mark.lines and here.chain != mark.chain:
            self.sound = False
            yield "its chain is not that in journal.mark: this is not the journal that was written"
        else:
            self.sound_to = here

    def _retell(self, event: events.AnyEvent, at: datetime) -> Iterator[str]:
        started = self.history.started
        self.executions += isinstance(event, events.JobStarted)
        try:
            self._replay.take(event, at)
        except UnknownLineError:  # the rules have told why
            self.sound = False
            return
        yield from self._auditor.complaints()
        if started and isinstance(event, events.JobFinished):
            yield from self._auditor.ended(started, event)

    def _against_mark(self) -> Iterator[str]:
        mark = self._mark
        if mark is None:
            yield "there is no journal.mark: lines that were cut off the end would not show"
        elif self._number < mark.lines:
            missing = mark.lines - self._number
            self.lost += missing
            self.sound = False
            yield f"{_are_missing(missing)} here: the mark knows them to have been on the disk"

    def _count(self, number: int) -> Iterator[str]:
        self._number += 1
        if number != self._number:
            self.sound = False
            missing = number - self._number
            if missing > 0:
                self.lost += missing
                yield f"its number is {number}: before it {_are_missing(missing)}"
            else:
                yield f"its number is {number}, not {self._number}: it stands in the wrong place"
            self._number = number


def _are_missing(lines: int) -> str:
    return "1 line is missing" if lines == 1 else f"{lines:,} lines are missing"
