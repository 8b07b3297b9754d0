"""The calls that are made: each is one request, and one fact comes back."""

import contextlib
import platform
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from urllib.request import getproxies

import aiohttp
from yarl import URL

from bulk_delete import __version__
from bulk_delete.client.bodies import OddBodyError, id_in, runs_in
from bulk_delete.client.connections import Connections, Reply
from bulk_delete.client.facts import (
    date_of,
    fact_of,
    fact_of_failure,
    fact_of_odd_body,
    is_packed,
    refusal,
)
from bulk_delete.client.proxy import proxy_for
from bulk_delete.config import Api, ApiKey
from bulk_delete.errors import InvalidInput
from bulk_delete.model import Fact, Found, Reading, Visible

KEY_HEADER = "X-CEKURA-API-KEY"
REQUEST_ID_HEADER = "X-Request-ID"

NO_RUN = 2**31 - 1
"""An id that no run has, and that fits in 31 bits: a larger one might not fit in their columns."""

_FAILURES = (aiohttp.ClientError, OSError, UnicodeError)  # TimeoutError is an OSError


class Client:
    """`open_client` makes one; it serves any number of calls at once."""

    def __init__(
        self, connections: Connections, base: URL, key: ApiKey, clock: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._key = key
        self._clock = clock
        root = f"{base.raw_path.rstrip('/')}/test_framework"
        headers = {
            "Host": base.host_port_subcomponent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"bulk-delete/{__version__} Python/{platform.python_version()}",
            KEY_HEADER: key.secret,  # to the API alone: the proxy is sent none of these
        }
        common = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        posted = f"{common}Content-Type: application/json\r\n{REQUEST_ID_HEADER}: "
        self._delete = f"POST {root}/v1/results/".encode()
        self._delete_rest = f"/delete_runs/ HTTP/1.1\r\n{posted}".encode()
        self._read = f"GET {root}/v2/".encode()
        self._read_rest = f" HTTP/1.1\r\n{common}{REQUEST_ID_HEADER}: ".encode()

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact:
        """POST one batch, `body` as it goes out: {"run_ids":[1,2]}.

        Every reply and every failure of the connection comes back as a fact.
        """
        request = b"%b%d%b%b\r\nContent-Length: %d\r\n\r\n%b" % (
            self._delete,
            result_id,
            self._delete_rest,
            _header(request_id),
            len(body),
            body,
        )
        started = self._clock()
        try:
            reply = await self._connections.send(request)
            try:
                ms = round((self._clock() - started) * 1000)
                return await fact_of(reply, ms, self._key)
            finally:
                reply.release()
        except _FAILURES as error:
            return fact_of_failure(error, self._key)

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading:
        """GET which of these runs are there, and under which result. It has no scope."""

        async def look(reply: Reply, started: float) -> Found:
            runs = await runs_in(reply, frozenset(run_ids))
            return Found(reply.status, self._ms_since(started), runs)

        query = b"runs/bulk/?run_ids=" + ",".join(map(str, run_ids)).encode()
        return await self._get(query, request_id, look)

    async def read_result(self, result_id: int, request_id: str) -> Reading:
        """GET a result, to tell whether this key can see it."""

        async def look(reply: Reply, started: float) -> Visible:
            if await id_in(reply) != result_id:
                raise OddBodyError("it is about another result")
            return Visible(reply.status, self._ms_since(started))

        return await self._get(b"results/%d/" % result_id, request_id, look)

    async def knock(self, request_id: str) -> tuple[Reading, datetime | None]:
        """GET a run that is not there, to hear whether the key is let in; and the server's time."""
        dates: list[datetime | None] = [None]

        async def look(reply: Reply, started: float) -> Found:
            return Found(reply.status, self._ms_since(started), await runs_in(reply, ()))

        query = b"runs/bulk/?run_ids=%d" % NO_RUN
        reading = await self._get(
            query, request_id, look, lambda reply: dates.append(date_of(reply))
        )
        return reading, dates[-1]

    async def _get(
        self,
        path: bytes,
        request_id: str,
        look: Callable[[Reply, float], Awaitable[Found | Visible]],
        heard: Callable[[Reply], None] = lambda _: None,
    ) -> Reading:
        request = b"%b%b%b%b\r\n\r\n" % (self._read, path, self._read_rest, _header(request_id))
        started = self._clock()
        try:
            reply = await self._connections.send(request)
        except _FAILURES as error:
            return fact_of_failure(error, self._key)
        try:
            heard(reply)
            if reply.status != HTTPStatus.OK:
                return await refusal(reply, self._key, "the 200 of a read")
            if is_packed(reply):
                return fact_of_odd_body(OddBodyError("it is packed"), reply.status, self._key)
            return await look(reply, started)
        except (OddBodyError, *_FAILURES) as error:
            return fact_of_odd_body(error, reply.status, self._key)
        finally:
            reply.release()

    def _ms_since(self, started: float) -> int:
        return round((self._clock() - started) * 1000)


@contextlib.asynccontextmanager
async def open_client(
    api: Api,
    key: ApiKey,
    concurrency: int,
    environ_proxies: Callable[[], dict[str, str]] = getproxies,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Client]:
    """Open a client whose connections are kept and used again. Raises InvalidInput."""
    base = URL(api.base_url, encoded=True)
    connections = Connections(
        base,
        limit=concurrency,
        timeout_s=api.timeout,
        tls=_tls(api) if base.scheme == "https" else True,
        proxy=proxy_for(api.base_url, environ_proxies()),
    )
    try:
        yield Client(connections, base, key, clock)
    finally:
        await connections.close()


def _tls(api: Api) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(api.ca_file) if api.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"api.ca_file {api.ca_file}: no CA certificates: {error}") from None


def _header(value: str) -> bytes:
    if not value.isprintable():
        raise ValueError(f"{value!r} cannot stand in a header")
    return value.encode("ascii")
