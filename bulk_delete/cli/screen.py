"""What a running job shows on stderr: a Rich progress line on a terminal, else log lines."""

import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

import structlog
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text
from structlog.typing import EventDict

from bulk_delete.config import Log
from bulk_delete.model import State
from bulk_delete.plain import printable
from bulk_delete.report import duration
from bulk_delete.runner.courier import LAST_WORDS_S, Courier
from bulk_delete.runner.watching import Progress, Watcher

_TERMINAL_INTERVAL_S = 0.2
_SHOWN_TROUBLE = 50


def watcher_for(log: Log, *, quiet: bool) -> Watcher:
    """Choose by what stderr is; `quiet` lets errors through alone, a terminal counts retries."""
    if sys.stderr.isatty() and not quiet and log.format == "text":
        return Courier(TerminalScreen(log))
    logger = make_logger(log, "error" if quiet else "info", write_line, colors=False)
    return Courier(PlainScreen(logger, log.interval))


def log_line(log: Log, level: str, event: str, fields: Mapping[str, Any]) -> None:
    """Log one event where no job is running; a log that stands still is not waited for long."""
    line = make_logger(log, "error", _write_in_time, colors=False)
    getattr(line, level)(event, **fields)


def _write_in_time(line: str) -> None:
    """Write to stderr as much as it takes in time; no thread can be counted on by then."""
    data, due = f"{line}\n".encode(errors="replace"), time.monotonic() + LAST_WORDS_S
    with contextlib.suppress(OSError):
        while data and select.select([], [2], [], max(0.0, due - time.monotonic()))[1]:
            data = data[os.write(2, data[: select.PIPE_BUF]) :]  # so much never blocks


def make_logger(log: Log, level: str, sink: Callable[[str], None], *, colors: bool) -> Any:  # noqa: ANN401 - structlog's loggers are untyped
    """Set up the operator's log: one line an event; nothing global is touched."""
    stamp, renderer = (
        ("iso", structlog.processors.JSONRenderer())
        if log.format == "json"
        else (
            "%Y-%m-%dT%H:%M:%SZ",
            structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, pad_level=False),
        )
    )
    return structlog.wrap_logger(
        _Lines(sink),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=stamp, utc=True),
            *([] if log.format == "json" else [_without_escapes]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _without_escapes(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Escape what would steer the terminal: a text without blanks is shown as it is."""
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def write_line(line: str) -> None:
    """Write to stderr past Python's buffer, whose lock a stuck terminal would hold for ever."""
    with contextlib.suppress(OSError):  # the terminal may have gone; the journal has it all
        _write_all(f"{line}\n")


def _write_all(text: str) -> None:
    data = text.encode(errors="replace")
    while data:
        try:
            data = data[os.write(2, data) :]
        except BlockingIOError:
            select.select([], [2], [])  # the caller left it non-blocking


class _Lines:
    """The log's sink, as structlog calls it."""

    def __init__(self, sink: Callable[[str], None]) -> None:
        self.info = self.warning = self.error = sink


class _Stderr(io.TextIOBase):
    """The terminal as Rich wants it, past Python's buffer as well."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        _write_all(text)
        return len(text)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


class PlainScreen:
    """Log lines alone, a `progress` line every few seconds."""

    def __init__(
        self,
        logger: Any,  # noqa: ANN401 - structlog's
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval_s = min(every_s, 1.0)
        self._logger = logger
        self._every_s = every_s
        self._clock = clock
        self._shown_at = clock()

    def show(self, progress: Progress) -> None:
        if self._clock() - self._shown_at >= self._every_s:
            self._shown_at = self._clock()
            self._logger.info("progress", **progress_fields(progress))

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        getattr(self._logger, level)(event, **fields)

    def close(self) -> None:
        pass


class TerminalScreen:
    """One line that moves, with the log above it."""

    interval_s = _TERMINAL_INTERVAL_S

    def __init__(self, log: Log) -> None:
        self._logger = make_logger(log, "warning", self._print_above, colors=True)
        self._bar = RichProgress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}", markup=False),
            console=Console(file=cast("IO[str]", _Stderr())),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None, words="")
        self._dead = False
        self._guard(self._bar.start)

    def show(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            total=max(progress.planned, 1),
            completed=progress.finished if progress.planned else 1,
            words=progress_words(progress),
        )
        self._guard(self._bar.refresh)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        if event != "job.finished":  # the summary comes below
            getattr(self._logger, level)(event, **fields)

    def close(self) -> None:
        self._guard(self._bar.stop)

    def _print_above(self, line: str) -> None:
        self._guard(lambda: self._bar.console.print(Text.from_ansi(line), soft_wrap=True))

    def _guard(self, draw: Callable[[], None]) -> None:
        if self._dead:
            return
        try:
            draw()
        except OSError:
            self._dead = True  # the terminal has gone; the job goes on


def progress_fields(progress: Progress) -> dict[str, Any]:
    counts = {state.value: count for state, count in progress.runs.items() if count > 0}
    return {
        "planned": progress.planned,
        **counts,
        "calls": progress.calls,
        "calls_per_s": round(progress.calls_per_s, 1),
        "eta_s": None if progress.eta_s is None else round(progress.eta_s),
        "in_flight": progress.in_flight,
        **({"lowered_to": round(progress.lowered_to, 3)} if progress.lowered_to else {}),
        **({"paused": True} if progress.paused else {}),
        **({"held": progress.shut.why} if progress.shut else {}),
        **({"held_s": round(progress.held_s, 1)} if progress.held_s else {}),
        **({"stopping": progress.stopping} if progress.stopping else {}),
    }


def progress_words(progress: Progress) -> str:
    runs = progress.runs
    words = [f"{runs.get(State.DELETED, 0):,}/{progress.planned:,} deleted"]
    words += [
        f"{runs[state]:,} {state.value}"
        for state in (State.FAILED, State.UNKNOWN)
        if runs.get(state, 0)
    ]
    words.append(f"{progress.calls:,} calls, {progress.calls_per_s:.1f}/s")
    if progress.lowered_to:
        words.append(f"lowered to {progress.lowered_to:.3g}/s")
    if progress.retries:
        words.append(f"{progress.retries:,} retries")
    if progress.stopping:
        words.append(f"stopping, {progress.in_flight} in flight")
    elif progress.paused:
        words.append(f"paused, {progress.in_flight} in flight")
    elif progress.shut:
        words.append(f"held {progress.shut.why}")
    elif progress.held_s:
        words.append(f"held for {duration(progress.held_s)}")
    elif progress.eta_s is not None:
        words.append(f"{duration(progress.eta_s)} left")
    if progress.trouble:
        words.append(f"last: {progress.trouble[:_SHOWN_TROUBLE]}")
    return " · ".join(words)
