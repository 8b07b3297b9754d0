"""The connection to the API, kept and used again, and the one call that is made on it."""

import contextlib
import platform
import ssl
import time
from collections.abc import AsyncIterator, Callable
from urllib.request import getproxies

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from bulk_delete import __version__
from bulk_delete.client.facts import StaleConnectionError, fact_of, fact_of_failure
from bulk_delete.client.proxy import proxy_for
from bulk_delete.config import Api, ApiKey
from bulk_delete.errors import InvalidInput
from bulk_delete.model import Fact, Forbidden, Reading

KEY_HEADER = "X-CEKURA-API-KEY"
REQUEST_ID_HEADER = "X-Request-ID"
CONNECT_TIMEOUT_S = 15.0


class _Request(aiohttp.ClientRequest):
    """A request that does not leave on a connection where something was said unasked.

    The pool hands out a connection on which a stray reply is waiting, and that would be taken for
    the reply to this call: a 204 for runs that the server refuses.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is not None and conn.protocol.should_close:
            conn.close()
            raise StaleConnectionError("the server spoke unasked on an idle connection")
        return await super().send(conn)


class Client:
    """`open_client` makes one; it serves any number of calls at once."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key: ApiKey,
        proxy: URL | None,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._key = key
        self._proxy = proxy
        self._clock = clock

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact:
        """POST one batch. Every reply and every failure of the connection comes back as a fact."""
        url = f"{self._base_url}/test_framework/v1/results/{result_id}/delete_runs/"
        # The key goes with the request: a session's headers are shown to the proxy, too.
        headers = {KEY_HEADER: self._key.secret, REQUEST_ID_HEADER: request_id}
        started = self._clock()
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                ms = round((self._clock() - started) * 1000)
                return await fact_of(response, ms, self._key)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # TimeoutError is an OSError
            return fact_of_failure(error, self._key)

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading:
        return Forbidden(403, "")

    async def read_result(self, result_id: int, request_id: str) -> Reading:
        return Forbidden(403, "")


@contextlib.asynccontextmanager
async def open_client(
    api: Api,
    key: ApiKey,
    concurrency: int,
    environ_proxies: Callable[[], dict[str, str]] = getproxies,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Client]:
    """Open a client whose connections are kept and used again. Raises InvalidInput."""
    proxy = proxy_for(api.base_url, environ_proxies())
    plain = api.base_url.startswith("http:")
    connector = aiohttp.TCPConnector(limit=concurrency, ssl=True if plain else _tls(api))
    timeout = aiohttp.ClientTimeout(
        total=api.timeout, connect=min(CONNECT_TIMEOUT_S, api.timeout * 0.75)
    )
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"bulk-delete/{__version__} Python/{platform.python_version()}",
    }
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=headers,
        request_class=_Request,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # an error body may be a gzip bomb
        trust_env=False,  # it would add the password of ~/.netrc; the proxy is looked up above
    ) as session:
        yield Client(session, api.base_url, key, proxy, clock)


def _tls(api: Api) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(api.ca_file) if api.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"api.ca_file {api.ca_file}: no CA certificates: {error}") from None
