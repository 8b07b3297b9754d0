"""The loops that sending is held against, each run as `loops.py NAME URL CALLS FLIGHT`.

`bare` is aiohttp on uvloop with nothing around it, `sdk` the vendor's own client, and `raw` writes
to sockets without a thought, to see what the server can take. CALLS is the file that made.py writes
beside its input; all of it is in memory before the first call. None of them plans, paces, retries
or keeps a record; the first call that is not answered with 204 ends them.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

Call = tuple[str, bytes]  # the result and the body

KEY = "bench"
HEADERS = {"Content-Type": "application/json", "X-CEKURA-API-KEY": KEY}


def calls_in(path: Path) -> list[Call]:
    lines = (line.split(b"\t") for line in path.read_bytes().splitlines())
    return [(result.decode(), body) for result, body in lines]


def path_of(result: str) -> str:
    return f"/test_framework/v1/results/{result}/delete_runs/"


async def bare(base: str, calls: list[Call], flight: int) -> None:
    from aiohttp import ClientSession  # noqa: PLC0415 - each loop pays for its own client alone

    async def work(session: ClientSession, rest: Iterator[tuple[str, bytes]]) -> None:
        for url, body in rest:
            async with session.post(url, data=body) as reply:
                if reply.status != HTTPStatus.NO_CONTENT:
                    raise SystemExit(f"status {reply.status}")

    rest = iter([(f"{base}{path_of(result)}", body) for result, body in calls])
    async with ClientSession(headers=HEADERS) as session:
        await asyncio.gather(*(work(session, rest) for _ in range(flight)))


async def sdk(base: str, calls: list[Call], flight: int) -> None:
    from cekura import AsyncCekura  # noqa: PLC0415 - likewise

    async def delete(result: int, runs: list[int]) -> None:
        async with slots:
            await client.results.delete_runs(result, run_ids=runs)

    slots = asyncio.Semaphore(flight)
    batches = [(int(result), json.loads(body)["run_ids"]) for result, body in calls]
    async with AsyncCekura(api_key=KEY, base_url=base) as client:
        await asyncio.gather(*(delete(result, runs) for result, runs in batches))


async def raw(base: str, calls: list[Call], flight: int) -> None:
    """Send to all connections, then read from all: blocking, since nothing else is to be done."""
    place = urlsplit(base)
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    head = "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n"
    requests: Iterable[bytes] = iter(
        [
            (head % (path_of(result), place.netloc, lines, len(body))).encode() + body
            for result, body in calls
        ]
    )
    links = [socket.create_connection((place.hostname, place.port)) for _ in range(flight)]
    while part := list(islice(requests, flight)):
        for link, request in zip(links, part, strict=False):  # the last part may be shorter
            link.sendall(request)
        for link in links[: len(part)]:
            if not link.recv(4096).startswith(b"HTTP/1.1 204"):
                raise SystemExit("not a 204")
    for link in links:
        link.close()


if __name__ == "__main__":
    _, name, url, file, most = sys.argv
    loop = {"bare": bare, "sdk": sdk, "raw": raw}[name]
    uvloop.run(loop(url, calls_in(Path(file)), int(most)))
