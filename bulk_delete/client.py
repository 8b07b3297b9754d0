"""The API over HTTP: one call, one fact. Nothing is retried, redirected or decided here."""

import contextlib
import json
import platform
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from bulk_delete import __version__
from bulk_delete.config import Api, ApiKey, is_loopback
from bulk_delete.errors import InvalidInput
from bulk_delete.model import (
    BadRequest,
    Deleted,
    Fact,
    Forbidden,
    InDoubt,
    KeyRejected,
    NotSent,
    Rejected,
    ResultNotFound,
    ServerError,
    Throttled,
)

KEY_HEADER = "X-CEKURA-API-KEY"
REQUEST_ID_HEADER = "X-Request-ID"
MAX_ERROR_BODY = 4096
"""Bytes read of a body that explains an error."""

MAX_DETAIL = 300
"""Characters of it that are kept."""

CONNECT_TIMEOUT_S = 15.0


class Client:
    """`open_client` makes one; it serves any number of calls at once."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        proxy: URL | None,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._proxy = proxy
        self._clock = clock

    async def delete_runs(self, result_id: int, run_ids: tuple[int, ...], request_id: str) -> Fact:
        """POST one batch. Every reply and every failure of the connection comes back as a fact."""
        body = b'{"run_ids": [%s]}' % ", ".join(map(str, run_ids)).encode()
        url = f"{self._base_url}/test_framework/v1/results/{result_id}/delete_runs/"
        started = self._clock()
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body,
                headers={REQUEST_ID_HEADER: request_id},
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                return await _fact(response, started, self._clock)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return _failure(error)


@contextlib.asynccontextmanager
async def open_client(
    api: Api,
    key: ApiKey,
    concurrency: int,
    environ_proxies: Callable[[], dict[str, str]] = getproxies,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Client]:
    """Open a client whose connections are kept and used again. Raises InvalidInput."""
    connector = aiohttp.TCPConnector(
        limit=concurrency, ssl=_tls(api) if api.base_url.startswith("https") else False
    )
    timeout = aiohttp.ClientTimeout(
        total=api.timeout, connect=min(CONNECT_TIMEOUT_S, api.timeout * 0.75)
    )
    headers = {
        KEY_HEADER: key.secret,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"bulk-delete/{__version__} Python/{platform.python_version()}",
    }
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # an error body may be a gzip bomb
        trust_env=False,  # it would add the password of ~/.netrc; the proxy is looked up below
    ) as session:
        yield Client(session, api.base_url, _proxy(api.base_url, environ_proxies()), clock)


def _tls(api: Api) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(api.ca_file) if api.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"api.ca_file {api.ca_file}: no CA certificates: {error}") from None


def _proxy(base_url: str, proxies: dict[str, str]) -> URL | None:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host) or proxy_bypass(parts.netloc):
        return None
    url = URL(proxy if "://" in proxy else f"http://{proxy}")
    if url.scheme not in {"http", "https"}:
        raise InvalidInput(
            f"{parts.scheme.upper()}_PROXY: a proxy must be http:// or https://, not {url.scheme}://"
        )
    return url


async def _fact(  # noqa: PLR0911 - one return per kind of fact
    response: aiohttp.ClientResponse, started: float, clock: Callable[[], float]
) -> Fact:
    status = response.status
    if status == HTTPStatus.NO_CONTENT:
        return Deleted(status, round((clock() - started) * 1000))
    detail = await _detail(response)
    match status:
        case HTTPStatus.BAD_REQUEST:
            return BadRequest(status, detail)
        case HTTPStatus.UNAUTHORIZED:
            return KeyRejected(status, detail)
        case HTTPStatus.FORBIDDEN:
            return Forbidden(status, detail)
        case HTTPStatus.NOT_FOUND:
            return ResultNotFound(status, detail)
        case HTTPStatus.REQUEST_TIMEOUT:
            return InDoubt(f"status {status}: {detail}", status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(status, _retry_after(response), detail)
        case _ if status < HTTPStatus.MULTIPLE_CHOICES:
            return InDoubt(f"status {status} is not the 204 of a deletion", status)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            delay = _retry_after(response) if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return ServerError(status, delay, detail)
        case _:
            return Rejected(status, detail)


async def _detail(response: aiohttp.ClientResponse) -> str:
    """Read the start of an error body. The status stands, whatever the body does."""
    try:
        body = await response.content.read(MAX_ERROR_BODY)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""
    finally:
        if not response.content.at_eof():
            response.close()
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return "(a packed body)"
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        text = _message(json.loads(text))
    return clean(text)


def _message(found: object) -> str:
    """Turn {"field": ["message"]} and {"detail": "message"} into words."""
    match found:
        case dict():
            return "; ".join(
                _message(value) if key == "detail" else f"{key}: {_message(value)}"
                for key, value in found.items()
            )
        case list():
            return ", ".join(_message(value) for value in found)
        case _:
            return str(found)


def clean(text: str) -> str:
    """Cut a foreign text, and leave out what could steer a terminal or forge a log line."""
    words = " ".join(text.split())
    printable = "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words
    )
    return printable[:MAX_DETAIL]


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Read Retry-After, in seconds or as an HTTP date relative to the reply's own Date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # the asctime form names no zone


_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,  # a subclass of ClientOSError, which is in doubt
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


def _failure(error: Exception) -> Fact:
    words = _words(error)
    return NotSent(words) if isinstance(error, _NEVER_CONNECTED) else InDoubt(words)


def _words(error: Exception) -> str:
    """Name an error without its repr, which may hold headers and so the key."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or error.os_error
        return clean(f"cannot connect to {error.host}:{error.port}: {why}")
    if isinstance(error, aiohttp.ClientResponseError):
        return clean(f"{type(error).__name__}: {error.message}")
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return "no reply in time"
    return clean(f"{type(error).__name__}: {error}")
