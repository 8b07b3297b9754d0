"""The other end of a connection: a socket that reads requests and answers with raw bytes."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import trustme

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        """Return a header that stands there once; None if it is missing."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} stands {len(found)} times"
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Link:
    """One connection at the moment when a request was read from it."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def give(self, reply: "Reply") -> None:
        await (self.say(reply) if isinstance(reply, bytes) else reply(self))

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # on, for no time: closing sends RST
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Reply = bytes | Callable[[Link], Awaitable[None]]


@dataclass
class Peer:
    """A server that gives each request the next reply; the last one is given ever after."""

    replies: tuple[Reply, ...]
    scheme: str
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    links: set[asyncio.Task[None]] = field(default_factory=set)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.links.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                request = await _read(reader)
                reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
                self.requests.append(request)
                self.heard.set()
                await Link(request, reader, writer).give(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client closed the connection
        finally:
            if not writer.is_closing():  # what is closing may still have bytes to send
                writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, headers = head_of(head)
    method, target, _ = first.split(" ")
    body = await reader.readexactly(length_in(headers))
    return Request(method, target, headers, body, head + body)


def head_of(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Take the first line and the headers apart."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    return first, [
        (key, value.strip()) for key, _, value in (line.partition(":") for line in lines)
    ]


def length_in(headers: list[tuple[str, str]]) -> int:
    return next((int(value) for key, value in headers if key.lower() == "content-length"), 0)


@contextlib.asynccontextmanager
async def listening(
    *replies: Reply, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Peer]:
    """Listen on a free port; on leaving, show what went wrong in the server's own code."""
    peer = Peer(replies or (NO_CONTENT,), "https" if tls else "http")
    server = await asyncio.start_server(peer.connected, "127.0.0.1", port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in peer.links:
            task.cancel()
        ends = await asyncio.gather(*peer.links, return_exceptions=True)
        await asyncio.sleep(0)  # lets the loop close what was aborted
    for end in ends:
        if isinstance(end, Exception):
            raise end


def reply(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# Ends that are no replies


async def reset(link: Link) -> None:
    link.reset()


async def close(link: Link) -> None:
    link.writer.close()


async def stay_silent(link: Link) -> None:
    await link.reader.read()


def cut(said: bytes) -> Callable[[Link], Awaitable[None]]:
    """Make a reply that ends in the middle: the connection is closed after these bytes."""

    async def say_and_close(link: Link) -> None:
        await link.say(said)
        link.writer.close()

    return say_and_close


def cut_hard(said: bytes) -> Callable[[Link], Awaitable[None]]:
    async def say_and_reset(link: Link) -> None:
        await link.say(said)
        await asyncio.sleep(0.05)  # lets the bytes arrive before the reset
        link.reset()

    return say_and_reset


def dripping(start: bytes, drop: bytes) -> Callable[[Link], Awaitable[None]]:
    """Make a reply that begins so and then comes drop by drop, without end."""

    async def drip(link: Link) -> None:
        await link.say(start)
        while True:
            await link.say(drop)
            await asyncio.sleep(0.02)

    return drip


def flooding(start: bytes, piece: bytes) -> Callable[[Link], Awaitable[None]]:
    """Make a reply that begins so and goes on as fast as it is taken, without end."""

    async def flood(link: Link) -> None:
        await link.say(start)
        while True:
            await link.say(piece)

    return flood


# Ports and ways


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def full_queue(port: int = 0) -> Iterator[int]:
    """Give a port that is open but never takes a further connection."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def tunnel_to(port: int) -> Callable[[Link], Awaitable[None]]:
    """Make a proxy's reply to a CONNECT: both ways are open, to a port of this machine."""

    async def tunnel(link: Link) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await link.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pump(link.reader, writer), _pump(reader, link.writer))
        finally:
            writer.transport.abort()

    return tunnel


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


# TLS


@dataclass(frozen=True, slots=True)
class Trust:
    """A made-up authority: its file, and contexts for servers under it."""

    authority: trustme.CA
    file: Path

    def server(self, *names: str, until: datetime | None = None) -> ssl.SSLContext:
        """Make a server's end; `until`: when its certificate runs out."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names, not_after=until).configure_cert(context)
        return context


def self_signed(folder: Path) -> ssl.SSLContext:
    """Make a server's end whose certificate nobody but itself stands behind."""
    own = trustme.CA()
    file = folder / "own.pem"
    file.write_bytes(own.private_key_pem.bytes() + own.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def trust_in(folder: Path) -> Trust:
    authority = trustme.CA()
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return Trust(authority, file)
