"""The yardstick server: it answers as fast as Python can, and keeps when each call came.

It is run as `server.py`, in a process of its own, and prints its port. It knows no more of HTTP
than the commands that are measured need. A call costs it some appends; what they come to is worked
out when `GET /_figures` asks for it, which also starts the count anew.
"""

import argparse
import asyncio
import json
import os
import re
import time
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

Seconds = NDArray[np.float64]

MOST_CALLS = 1 << 20  # between two askings; one more ends its connection
WINDOW_S = 1.0
DELETED = b"HTTP/1.1 204 No Content\r\n\r\n"
BAD = b'{"run_ids": ["Invalid run ids."]}'
THROTTLED = b'{"detail": "Request was throttled."}'
LENGTH = b"\r\ncontent-length:"
CALL = re.compile(rb"POST \S*/results/([0-9]+)/")
ASKED = re.compile(rb"[?&]run_ids=([0-9,]+)")
READ_RESULT = re.compile(rb"GET \S*/results/([0-9]+)/")


def reply(status: int, body: bytes, header: bytes = b"") -> tuple[int, bytes]:
    head = b"HTTP/1.1 %d .\r\nContent-Type: application/json\r\n%b" % (status, header)
    return status, head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def runs_in(call: bytes) -> bytes:
    """Return the ids in the body of a call, with commas between."""
    return call[call.rindex(b"[") + 1 : call.rindex(b"]")]


class Log:
    """What came, and what was said. The arrays are as long as they will ever be."""

    def __init__(self) -> None:
        self.count = 0
        self.cpu = time.process_time()
        self.requests: list[bytes] = []
        self.came = array("d", bytes(8 * MOST_CALLS))
        self.left = array("d", bytes(8 * MOST_CALLS))
        self.statuses = array("H", bytes(2 * MOST_CALLS))

    def figures(self) -> dict[str, object]:
        """Work out what the calls come to; times are in seconds from the first arrival."""
        cpu = time.process_time() - self.cpu
        if not self.count:
            return {"calls": 0}
        came, left = (np.frombuffer(times)[: self.count] for times in (self.came, self.left))
        statuses = np.frombuffer(self.statuses, np.uint16)[: self.count]
        calls = [CALL.match(request) for request in self.requests]
        results = np.array([int(call[1]) if call else 0 for call in calls], np.uint64)
        posts, accepted = results > 0, statuses == 204
        texts = [runs_in(self.requests[number]) for number in np.flatnonzero(accepted)]
        runs = np.fromstring(b",".join(texts), np.int64, sep=",").astype(np.uint64)
        sizes = [text.count(b",") + 1 for text in texts]
        digest = (np.repeat(results[accepted], sizes) * runs).sum() if texts else 0
        names, counts = np.unique(statuses, return_counts=True)
        return {
            "calls": self.count,
            "reads": int((~posts).sum()),
            "statuses": dict(zip(map(str, names.tolist()), counts.tolist(), strict=True)),
            "arrivals_s": float(came[-1] - came[0]),
            "replied_s": float(left.max() - came[0]),
            "latency_s": float((left - came).mean()),
            "busiest_second": busiest(came),
            "accepted_by_second": np.bincount((came - came[0])[accepted].astype(int)).tolist(),
            "at_once": at_once(np.zeros_like(results), came, left),
            "at_once_on_a_result": at_once(results[posts], came[posts], left[posts]),
            "runs": len(runs),
            "distinct_runs": len(np.unique(runs)),
            "digest": int(digest),
            "cpu_s": cpu,
        }


def busiest(came: Seconds) -> int:
    """Return the most arrivals in any window of a second, its end not included."""
    ends = np.searchsorted(came, came + WINDOW_S, side="left")
    return int((ends - np.arange(len(came))).max())


def at_once(groups: NDArray[np.uint64], came: Seconds, left: Seconds) -> int:
    """Return the most calls of one group that were between arrival and reply at one time."""
    steps = np.repeat([1, -1], len(groups))
    order = np.lexsort((-steps, np.concatenate([came, left]), np.tile(groups, 2)))
    return int(steps[order].cumsum().max(initial=0))


class Rules:
    """What is answered to a call: 429 above `limit` in any second, 400 if it names a bad run.

    `world` is the result of each run, for reads; without one there is nothing to read.
    """

    def __init__(self, limit: int, world: dict[int, int], bad: set[int]) -> None:
        self._limit = limit
        self._world = world
        self._bad = bad
        self._recent: deque[float] = deque()

    def __call__(self, request: bytes, now: float) -> tuple[int, bytes]:
        if self._limit:
            while self._recent and self._recent[0] <= now - WINDOW_S:
                self._recent.popleft()
            if len(self._recent) >= self._limit:
                return reply(429, THROTTLED, b"Retry-After: 1\r\n")
            self._recent.append(now)
        if request.startswith(b"GET "):
            return self._read(request)
        if self._world:
            runs = set(map(int, runs_in(request).split(b",")))
            if runs & self._bad:
                return reply(400, BAD)
            for run in runs:
                self._world.pop(run, None)
        return 204, DELETED

    def _read(self, request: bytes) -> tuple[int, bytes]:
        if asked := ASKED.search(request):
            runs = [run for run in map(int, asked[1].split(b",")) if run in self._world]
            found: object = [{"id": run, "result_id": self._world[run]} for run in runs]
        elif result := READ_RESULT.match(request):
            found = {"id": int(result[1])}
        else:
            return reply(404, b'{"detail": "Not found."}')
        return reply(200, json.dumps(found).encode())


class Connection(asyncio.Protocol):
    """One of a client, kept for as many calls as it likes."""

    transport: asyncio.Transport

    def __init__(self, logs: list[Log], rules: Rules | None, latency: float) -> None:
        self._logs = logs  # of one log, the one that counts
        self._rules = rules
        self._latency = latency
        self._later = asyncio.get_running_loop().call_later
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # of TCP, so it can be written to

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        while (body := data.find(b"\r\n\r\n") + 4) > 3:
            head = data[: body - 2].lower()
            length = head.find(LENGTH)
            end = body
            if length >= 0:
                length += len(LENGTH)
                end += int(head[length : head.index(b"\r\n", length)])
            if len(data) < end:
                break
            self._answer(data[:end])
            data = data[end:]
        self._rest = data

    def _answer(self, request: bytes) -> None:
        now = time.monotonic()
        if request.startswith(b"GET /_figures "):
            figures, self._logs[0] = self._logs[0].figures(), Log()
            self.transport.write(reply(200, json.dumps(figures).encode())[1])
            return
        log = self._logs[0]
        number = log.count
        log.came[number] = now
        log.count = number + 1
        log.requests.append(request)
        status, words = self._rules(request, now) if self._rules else (204, DELETED)
        log.statuses[number] = status
        if self._latency:
            self._later(self._latency, self._write, log, number, words)
        else:
            self._write(log, number, words)

    def _write(self, log: Log, number: int, words: bytes) -> None:
        log.left[number] = time.monotonic()
        self.transport.write(words)


async def serve(made: Callable[[], Connection], core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it waits for the port
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int)
    parser.add_argument("--latency", type=float, default=0.0, help="in seconds")
    parser.add_argument("--limit", type=int, default=0, help="calls in any second")
    parser.add_argument("--world", type=Path, help="a CSV file of the pairs that exist")
    parser.add_argument("--bad", type=int, nargs="*", default=[], help="runs that do not exist")
    given = parser.parse_args()
    world: dict[int, int] = {}
    if given.world:
        rows = given.world.read_text().splitlines()[1:]
        world = {int(run): int(result) for result, run in (row.split(",") for row in rows)}
    bad = set(given.bad)
    world = {run: result for run, result in world.items() if run not in bad}
    rules = Rules(given.limit, world, bad) if given.limit or world else None
    logs = [Log()]
    uvloop.run(serve(lambda: Connection(logs, rules, given.latency), given.core))


if __name__ == "__main__":
    main()
