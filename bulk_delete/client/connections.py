"""One request and its reply on a kept connection, and an end to what takes too long.

It stands on aiohttp's connector, proxies and parser, and leaves out its session, which spends
three quarters of a call on what is the same for all of them.
"""

import asyncio
import ssl

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL

from bulk_delete.client.names import Names

CONNECT_TIMEOUT_S = 15.0
MOST_LATE_S = 0.25
"""How much longer than its time a call may take, at the most: how often all are looked at."""

_SWITCHING_PROTOCOLS = 101
_INFORMATIONAL = range(100, 200)
MOST_INFORMATIONAL = 20
"""Replies before the reply; to read a flood of them takes all the time of its neighbours."""


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A connection that is not fit to carry a call; nothing was sent on it."""


class BrokenReplyError(aiohttp.ClientError):
    """What came back is not HTTP."""


class Reply:
    """A reply of which the head was read. `release` ends it; what is left unread ends with it."""

    __slots__ = ("_connection", "content", "due", "headers", "status")

    status: int
    headers: CIMultiDictProxy[str]

    def __init__(self, connection: Connection, due: float) -> None:
        self._connection = connection
        self.due = due
        self.content: aiohttp.StreamReader | None = None

    @property
    def is_released(self) -> bool:
        return self._connection.protocol is None

    def release(self) -> None:
        """Give the connection back, or close it where the reply was not read to its end."""
        self._connection.release()

    async def read(self, size: int) -> bytes:
        """Read up to `size` bytes of the body; none at its end. Raises ClientError and OSError."""
        return await self.content.read(size) if self.content else b""


class Connections:
    """At most `limit` connections to one host; each carries one call at a time.

    One timer looks after all calls in flight: a timer for each is a tenth of what a call costs.
    """

    def __init__(
        self,
        base: URL,
        *,
        limit: int,
        timeout_s: float,
        tls: ssl.SSLContext | bool,
        proxy: URL | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=limit, ssl=tls, resolver=Names())
        self._host = aiohttp.ClientRequest("POST", base, loop=self._loop, proxy=proxy)
        connect_s = min(CONNECT_TIMEOUT_S, timeout_s * 0.75)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
        self._timeout_s = timeout_s
        self._open: dict[ResponseHandler, Reply] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, request: bytes) -> Reply:
        """Send a whole request and read the head of its reply, which the caller releases.

        Raises ClientError, OSError (TimeoutError where it is late) and UnicodeError (a host name
        that is none).
        """
        due = self._loop.time() + self._timeout_s
        connection = await self._connect()
        try:
            protocol, transport = _fit_ends(connection)
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            reply = self._open[protocol] = Reply(connection, due)
            if self._timer is None:
                self._set_timer()
            transport.write(request)
            await _read_head(protocol, reply)
        except BaseException:
            connection.close()
            raise
        return reply

    async def close(self) -> None:
        await self._connector.close()

    async def _connect(self) -> Connection:
        try:
            return await self._connector.connect(self._host, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error

    def _set_timer(self) -> None:
        wait = min(MOST_LATE_S, self._timeout_s / 20)
        self._timer = self._loop.call_later(wait, self._end_the_late)

    def _end_the_late(self) -> None:
        now = self._loop.time()
        for protocol, reply in list(self._open.items()):
            if reply.is_released:
                del self._open[protocol]
            elif now >= reply.due:
                protocol.set_exception(TimeoutError())  # so it is closed when it is released
                if reply.content is not None:
                    reply.content.set_exception(TimeoutError())
        self._timer = None
        if self._open:
            self._set_timer()


def _fit_ends(connection: Connection) -> tuple[ResponseHandler, asyncio.WriteTransport]:
    """Return both ends of a connection that can carry a call. Raises StaleConnectionError.

    The pool hands out a connection on which a stray reply is waiting, and that would be taken for
    the reply to this call: a 204 for runs that the server refuses.
    """
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise StaleConnectionError("the server closed an idle connection")
    if protocol.should_close:
        raise StaleConnectionError("the server spoke unasked on an idle connection")
    return protocol, transport


async def _read_head(protocol: ResponseHandler, reply: Reply) -> None:
    for _ in range(MOST_INFORMATIONAL + 1):
        try:
            message, content = await protocol.read()
        except HttpProcessingError as error:
            raise BrokenReplyError(error.message) from error
        except aiohttp.EofStream:
            raise aiohttp.ServerDisconnectedError from None
        if message.code not in _INFORMATIONAL or message.code == _SWITCHING_PROTOCOLS:
            reply.status, reply.headers, reply.content = message.code, message.headers, content
            return
    raise BrokenReplyError("informational replies without end")
