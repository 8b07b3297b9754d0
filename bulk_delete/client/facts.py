"""Replies and failures → facts. Foreign words are cut, cleaned, and rid of the key."""

import contextlib
import json
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from bulk_delete.client.bodies import OddBodyError
from bulk_delete.client.connections import Reply, StaleConnectionError
from bulk_delete.config import ApiKey
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

MAX_ERROR_BODY = 4096
"""Bytes read of a body that explains an error."""

MAX_DETAIL = 300
"""Characters of it that are kept."""

_SHORT_YEAR = re.compile(r"\s*\w+,\s*\d+[-\s]+\w+[-\s]+(\d\d)\s", re.ASCII)

_UNKNOWN_CA = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that no trusted CA stands behind."""

_NEVER_SENT = (
    StaleConnectionError,
    aiohttp.ClientConnectorError,  # a subclass of ClientOSError, which is in doubt
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    UnicodeError,  # a host name that no resolver can take
)


async def fact_of(reply: Reply, ms: int, key: ApiKey) -> Fact:
    """Read the reply to a deletion; `ms` is how long it took to come."""
    if reply.status == HTTPStatus.NO_CONTENT:
        return Deleted(reply.status, ms)
    return await refusal(reply, key, "the 204 of a deletion")


async def refusal(reply: Reply, key: ApiKey, success: str) -> Fact:  # noqa: PLR0911 - one return per kind of fact
    """Read a reply that is not the success that was hoped for."""
    status = reply.status
    detail = clean(await _detail(reply), key)
    match status:
        case HTTPStatus.BAD_REQUEST:
            return BadRequest(status, detail)
        case HTTPStatus.UNAUTHORIZED:
            return KeyRejected(status, detail)
        case HTTPStatus.FORBIDDEN:
            return Forbidden(status, detail)
        case HTTPStatus.NOT_FOUND:
            return ResultNotFound(status, detail)
        case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.SEE_OTHER:  # a 303 may follow the effect
            return InDoubt(_with(f"status {status}", detail), status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(status, _retry_after(reply), detail)
        case _ if status < HTTPStatus.MULTIPLE_CHOICES:
            return InDoubt(_with(f"status {status} is not {success}", detail), status)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            delay = _retry_after(reply) if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return ServerError(status, delay, detail)
        case _ if status < HTTPStatus.BAD_REQUEST and (target := reply.headers.get("Location")):
            where = target.partition("?")[0]
            return Rejected(status, clean(f"not followed: a redirect to {where}", key))
        case _:
            return Rejected(status, detail)


def _with(words: str, detail: str) -> str:
    return f"{words}: {detail}"[:MAX_DETAIL] if detail else words


def fact_of_failure(error: Exception, key: ApiKey) -> Fact:
    """Tell what never left from what may have arrived."""
    words = clean(_words(error), key)
    return NotSent(words) if isinstance(error, _NEVER_SENT) else InDoubt(words)


def fact_of_odd_body(error: Exception, status: int, key: ApiKey) -> Fact:
    """Tell why the body of a success is no answer to a read."""
    why = str(error) if isinstance(error, OddBodyError) else _words(error)
    return InDoubt(clean(f"the body of a {status} is no answer: {why}", key), status)


def date_of(reply: Reply) -> datetime | None:
    """Return the server's time, to the second; None where it does not tell."""
    return _http_date(reply.headers.get("Date", ""), datetime.now(UTC))


def is_packed(reply: Reply) -> bool:
    return reply.headers.get("Content-Encoding", "identity").lower() != "identity"


def clean(text: str, key: ApiKey | None = None) -> str:
    """Cut a foreign text, and leave out what could steer a terminal, forge a line or be the key."""
    if key:
        text = key.out_of(text)
    words = " ".join(text.split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
    return shown[:MAX_DETAIL]


async def _detail(reply: Reply) -> str:
    """Read the start of an error body. The status stands, whatever the body does."""
    body = b""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while more := await reply.read(MAX_ERROR_BODY - len(body)):
            body += more
    if is_packed(reply):
        return "(a packed body)"
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        return _message(json.loads(text))
    return text


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


def _retry_after(reply: Reply) -> float | None:
    """Read Retry-After, in seconds or as an HTTP date relative to the reply's own Date."""
    value = reply.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    own = datetime.now(UTC)
    now = _http_date(reply.headers.get("Date", ""), own) or own
    until = _http_date(value, now)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _http_date(text: str, now: datetime) -> datetime | None:
    """Read any of the three forms of RFC 9110, section 5.6.7."""
    try:
        date = parsedate_to_datetime(text)
        if short := _SHORT_YEAR.match(text):  # never more than 50 years ahead
            latest = now.year + 50
            date = date.replace(year=latest - (latest - int(short[1])) % 100)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # the asctime form names no zone


def _words(error: Exception) -> str:
    """Name an error without its repr, which may hold headers."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_cause(error.os_error)}"
        case aiohttp.ClientResponseError():
            return f"{type(error).__name__}: {error.message}"
        case aiohttp.ClientError():
            return f"{type(error).__name__}: {error}"
        case TimeoutError():
            return "no reply in time"
        case _:
            return f"{type(error).__name__}: {error}"


def _cause(error: OSError) -> str:
    """Say why there is no connection; the event loop's own words for most causes are no help."""
    match error:
        case ssl.SSLCertVerificationError():
            cure = "; --ca-file names CAs to trust" if error.verify_code in _UNKNOWN_CA else ""
            return f"its certificate is refused: {error.verify_message}{cure}"
        case ssl.SSLError() | socket.gaierror():
            return error.strerror or str(error)
        case _:
            return os.strerror(error.errno) if error.errno else str(error)
