"""A door before the sandbox, at which calls are spoiled: on their way in, or after the effect."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.conftest import Sandbox
from tests.peers import Link, Peer, Reply, Request, head_of, length_in, listening


@dataclass(frozen=True, slots=True)
class Spoil:
    """What a call gets in place of the sandbox's reply; `applied`: which has acted all the same."""

    reply: Reply
    applied: bool = False


Mood = Callable[[Request], Spoil | None]
"""Says how a call is spoiled; None: it passes."""


def friendly(_: Request) -> None:
    """Let every call pass."""


def is_deletion(request: Request) -> bool:
    return request.method == "POST"


@dataclass
class Front:
    """A port of its own, which refuses connections while the door is closed.

    `requests` are all that came whole, `spoiled` counts those that did not pass.
    """

    api: Sandbox
    scheme: str
    mood: Mood = friendly
    requests: list[Request] = field(default_factory=list)
    spoiled: int = 0
    port: int = field(init=False)
    _portal: BlockingPortal = field(init=False, repr=False)
    _door: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def sent(self) -> list[str]:
        """Return the request ids of the deletions that came."""
        return [one.header("X-Request-ID") or "" for one in self.requests if is_deletion(one)]

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Keep the port and a thread to serve from; the door is closed at first."""
        with socket.socket() as kept, start_blocking_portal() as self.portal, self._door:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", 0))  # it does not listen, so that `open` can
            self.port = kept.getsockname()[1]
            yield

    def open(self, tls: ssl.SSLContext | None = None) -> None:
        listener = listening(self._receive, tls=tls, port=self.port)
        self._door.enter_context(self.portal.wrap_async_context_manager(listener))

    def close(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._door.close()

    async def _receive(self, link: Link) -> None:
        self.requests.append(link.request)
        spoil = self.mood(link.request)
        if spoil is None:
            await link.say(await self._ask(link.request))
            return
        self.spoiled += 1
        if spoil.applied:
            await self._ask(link.request)
        await link.give(spoil.reply)

    async def _ask(self, request: Request) -> bytes:
        """Pass a request on; return the sandbox's reply."""
        parts = urlsplit(self.api.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(request.raw)
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readexactly(length_in(head_of(head)[1]))
        finally:
            writer.transport.abort()


@contextlib.contextmanager
def front_of(api: Sandbox, tls: ssl.SSLContext | None = None) -> Iterator[Front]:
    """Put an open door before a sandbox."""
    front = Front(api, "https" if tls else "http")
    with front.standing():
        front.open(tls)
        yield front


@contextlib.contextmanager
def served(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Listen from a thread of its own."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(listening(*replies, tls=tls)) as peer,
    ):
        yield peer
