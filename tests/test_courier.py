"""The thread between a job and its terminal."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bulk_delete.runner.courier import MOST_WAITING, Courier
from bulk_delete.runner.watching import Progress


@dataclass
class Terminal:
    """A watcher that stands still until `flows` is set."""

    interval_s: float = 0.2
    flows: threading.Event = field(default_factory=threading.Event)
    shown: list[Progress] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    closed: bool = False

    def show(self, progress: Progress) -> None:
        self.flows.wait(20)
        self.shown.append(progress)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.flows.wait(20)
        self.logged.append(f"{level} {event} {dict(fields)}")

    def close(self) -> None:
        self.closed = True


def moment(calls: int) -> Progress:
    return Progress(10, {}, calls, 0, 0, 0.0, None, 0.0, None, None, "")


def test_all_is_handed_on_in_order() -> None:
    """What is logged arrives in order, and the watcher is closed at the end."""
    terminal = Terminal()
    terminal.flows.set()
    courier = Courier(terminal)
    for number in range(100):
        courier.log("info", "event", {"n": number})
    courier.close()
    assert terminal.logged == [f"info event {{'n': {number}}}" for number in range(100)]
    assert terminal.closed


def test_after_a_stop_it_goes_on() -> None:
    """A terminal that stood still gets the latest progress, and is told what was dropped."""
    terminal = Terminal()
    courier = Courier(terminal)
    for number in range(MOST_WAITING + 50):
        courier.log("info", "event", {"n": number})
        courier.show(moment(number))
    terminal.flows.set()
    courier.show(moment(9999))
    courier.close()
    assert terminal.shown[-1] == moment(9999)
    assert len(terminal.shown) < 10
    dropped = terminal.logged[-1]
    assert dropped.startswith("warning log.dropped")
    assert len(terminal.logged) - 1 + int(dropped.split(": ")[1].rstrip("}")) == MOST_WAITING + 50
    assert terminal.closed


def test_closing_twice_is_once() -> None:
    """A second close does nothing."""
    terminal = Terminal()
    terminal.flows.set()
    courier = Courier(terminal)
    courier.close()
    courier.close()
    assert terminal.logged == []
