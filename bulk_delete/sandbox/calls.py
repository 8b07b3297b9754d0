"""What the sandbox did, call by call: for tests, and for a second look after a rehearsal."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class Call:
    """One delete call.

    `status` is None where no reply was given; `applied` are the runs that it took out; `t` is
    the server's clock in seconds.
    """

    t: float
    request_id: str
    result_id: int
    run_ids: tuple[int, ...]
    status: int | None
    applied: tuple[int, ...]
    fault: str | None


class CallLog:
    """Counts the delete calls and, given a file, writes each as a line before it is answered.

    `reads` has every other call: the server's clock in seconds, and the path with its query.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self.calls = 0
        self.reads: list[tuple[float, str]] = []
        self.statuses: Counter[str] = Counter()
        self.most_at_once: Counter[int] = Counter()
        self._open: Counter[int] = Counter()
        self._file = file

    def enter(self, result_id: int) -> None:
        self._open[result_id] += 1
        self.most_at_once[result_id] = max(self.most_at_once[result_id], self._open[result_id])

    def leave(self, result_id: int) -> None:
        self._open[result_id] -= 1

    def add(self, call: Call) -> None:
        self.calls += 1
        self.statuses[str(call.status or call.fault)] += 1
        if self._file:
            self._file.write(json.dumps(asdict(call)) + "\n")
            self._file.flush()
