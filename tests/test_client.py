"""The client against real loopback sockets, well-behaved and hostile, on both event loops."""

import asyncio
import base64
import gzip
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_delete import __version__
from bulk_delete.client import MAX_DETAIL, clean, open_client
from bulk_delete.client.bodies import OddBodyError, runs_in
from bulk_delete.config import Api, ApiKey, Seconds
from bulk_delete.errors import InvalidInput
from bulk_delete.model import (
    MAX_ID,
    BadRequest,
    Deleted,
    Fact,
    Forbidden,
    Found,
    InDoubt,
    KeyRejected,
    NotSent,
    Pair,
    Reading,
    Rejected,
    ResultNotFound,
    ServerError,
    Throttled,
    Visible,
)
from bulk_delete.sandbox import World
from tests.peers import (
    NO_CONTENT,
    Link,
    Reply,
    Trust,
    close,
    cut,
    cut_hard,
    dripping,
    flooding,
    free_port,
    full_queue,
    listening,
    reply,
    reset,
    stay_silent,
    trust_in,
    tunnel_to,
)

KEY = "sk-made-up-9d41c7"
SHORT = Seconds(0.3)
"""A total time-out for calls that must run into it."""

DATE = "Sun, 06 Nov 1994 08:49:00 GMT"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run every test on both loops: the command uses uvloop where there is one."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the proxies of whoever runs the tests."""
    for name in ("http", "https", "all", "no"):
        for spelling in (name, name.upper()):
            monkeypatch.delenv(f"{spelling}_proxy", raising=False)
            monkeypatch.delenv(f"{spelling}_PROXY", raising=False)


def body_of(*run_ids: int) -> bytes:
    return json.dumps({"run_ids": run_ids}).encode()


async def send(url: str, *, within: float = 10, ca_file: Path | None = None) -> Fact:
    """Make one call with a client of its own."""
    api = Api(base_url=url, timeout=Seconds(within), ca_file=ca_file)
    async with open_client(api, ApiKey(KEY), 4) as client:
        return await client.delete_runs(7, body_of(1, 2), "a-request")


async def answer(*replies: Reply, within: float = 10) -> Fact:
    """Return the fact of one call to a server that replies so."""
    async with listening(*replies) as peer:
        return await send(peer.url, within=within)


def status_of(fact: Reading) -> tuple[type[Reading], int | None]:
    return type(fact), getattr(fact, "status", None)


# The contract on the wire


async def test_a_call_is_the_documented_request() -> None:
    """One call is one POST to the documented path, with the key, the ids and nothing else."""
    async with listening() as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        await client.delete_runs(4711, body_of(3, 1, MAX_ID), "5c1e-req")
    [request] = peer.requests
    assert request.method == "POST"
    assert request.target == "/test_framework/v1/results/4711/delete_runs/"
    assert json.loads(request.body) == {"run_ids": [3, 1, MAX_ID]}
    assert request.header("X-CEKURA-API-KEY") == KEY
    assert request.header("Content-Type") == "application/json"
    assert request.header("Content-Length") == str(len(request.body))
    assert request.header("X-Request-ID") == "5c1e-req"
    assert request.header("Host") == f"127.0.0.1:{peer.port}"
    agent = request.header("User-Agent") or ""
    assert agent.startswith(f"bulk-delete/{__version__} ")
    assert request.header("Authorization") is None
    assert request.header("Cookie") is None


async def test_one_run_is_sent_as_a_list() -> None:
    """A batch of a single run is a list of one id."""
    async with listening() as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        await client.delete_runs(1, body_of(9), "r")
    assert json.loads(peer.requests[0].body) == {"run_ids": [9]}


async def test_a_hundred_of_the_largest_ids_arrive_unharmed() -> None:
    """The largest batch of the largest ids arrives digit by digit, in its order."""
    ids = tuple(range(MAX_ID, MAX_ID - 100, -1))
    async with listening() as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        assert isinstance(await client.delete_runs(MAX_ID, body_of(*ids), "r"), Deleted)
    [request] = peer.requests
    assert request.target == f"/test_framework/v1/results/{MAX_ID}/delete_runs/"
    assert json.loads(request.body)["run_ids"] == list(ids)


async def test_the_base_url_may_have_a_path() -> None:
    """A gateway's path before the API's own is kept."""
    async with (
        listening() as peer,
        open_client(Api(f"{peer.url}/gateway"), ApiKey(KEY), 1) as client,
    ):
        await client.delete_runs(5, body_of(1), "r")
    assert peer.requests[0].target == "/gateway/test_framework/v1/results/5/delete_runs/"


async def test_a_cookie_that_the_server_sets_is_not_sent_back() -> None:
    """No state of the server is carried from one call to the next."""
    baked = reply("204 No Content", "Set-Cookie: session=1; Path=/")
    async with listening(baked) as peer:
        url = f"http://localhost:{peer.port}"  # a bare address would get no cookie anyway
        async with open_client(Api(url), ApiKey(KEY), 1) as client:
            await client.delete_runs(1, body_of(1), "r")
            await client.delete_runs(1, body_of(2), "s")
    assert [request.header("Cookie") for request in peer.requests] == [None, None]


async def test_a_netrc_adds_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A password that ~/.netrc has for the host is not sent along."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with listening() as peer:
        await send(peer.url)
    assert peer.requests[0].header("Authorization") is None


async def test_the_sandbox_takes_the_call(sandbox: Callable[..., Any]) -> None:
    """The documented server accepts the request and takes out these runs only."""
    world = World.of([Pair(1, 11), Pair(1, 12), Pair(2, 21)])
    with sandbox(world, key=KEY) as box:
        async with open_client(Api(box.url), ApiKey(KEY), 1) as client:
            fact = await client.delete_runs(1, body_of(11), "r-1")
        assert isinstance(fact, Deleted)
        assert box.left == {Pair(1, 12), Pair(2, 21)}
        assert [call.request_id for call in box.calls] == ["r-1"]


# Connections


@pytest.mark.parametrize(
    "first",
    [
        NO_CONTENT,
        reply("204 No Content"),
        reply("400 Bad Request", body=b'{"run_ids": ["no"]}'),
        reply("429 Too Many Requests", "Retry-After: 1", body=b"{}"),
        reply("500 Internal Server Error", body=b"oops"),
    ],
    ids=["204", "204 of length 0", "400", "429", "500"],
)
async def test_a_connection_is_used_again(first: bytes) -> None:
    """Calls one after the other share one connection, whatever was answered."""
    async with (
        listening(first, reply("404 Not Found"), NO_CONTENT) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 4) as client,
    ):
        facts = [await client.delete_runs(1, body_of(run), "r") for run in (1, 2, 3)]
    assert peer.connections == 1
    assert [status_of(fact) for fact in facts[1:]] == [(ResultNotFound, 404), (Deleted, 204)]


async def name_the_run(link: Link) -> None:
    """Answer with a 400 that says which run the call was about."""
    [run] = json.loads(link.request.body)["run_ids"]
    await link.say(reply("400 Bad Request", body=b'{"detail": "run %d"}' % run))


async def test_calls_at_once_stay_within_the_connections() -> None:
    """Never more connections than `concurrency`, and each call gets the reply to itself."""
    facts: dict[int, Fact] = {}
    async with (
        listening(name_the_run) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 3) as client,
    ):

        async def call(run: int) -> None:
            facts[run] = await client.delete_runs(1, body_of(run), "r")

        async with anyio.create_task_group() as group:
            for run in range(1, 21):
                group.start_soon(call, run)
    assert peer.connections == 3
    assert facts == {run: BadRequest(400, f"run {run}") for run in range(1, 21)}


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    """A kept connection that was closed while idle costs nothing: the next call has a new one."""

    async def answer_and_close(link: Link) -> None:
        await link.say(NO_CONTENT)
        link.writer.close()

    async with (
        listening(answer_and_close) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
    ):
        facts = []
        for run in (1, 2):
            facts.append(await client.delete_runs(1, body_of(run), "r"))
            await asyncio.gather(*peer.links)
            await asyncio.sleep(0.05)  # the news of it reaches the client
    assert [status_of(fact) for fact in facts] == [(Deleted, 204)] * 2
    assert peer.connections == 2


async def test_a_call_that_dies_on_a_kept_connection_is_not_sent_twice() -> None:
    """A kept connection that dies under a call leaves it in doubt, and the server saw it once."""

    async def drop(link: Link) -> None:
        link.reset()

    async with (
        listening(NO_CONTENT, drop, NO_CONTENT) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
    ):
        assert isinstance(await client.delete_runs(1, body_of(1), "r"), Deleted)
        assert status_of(await client.delete_runs(1, body_of(2), "s")) == (InDoubt, None)
    assert len(peer.requests) == 2


@pytest.mark.parametrize("body", [b"{}", b"<html>Gone</html>", b"0\r\n\r\n", NO_CONTENT])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_what_follows_a_204_is_no_reply_to_the_next_call(body: bytes, *, late: bool) -> None:
    """Bytes after a 204, sent with it or afterwards, are never taken for a later call's reply."""
    answered, said = asyncio.Event(), asyncio.Event()

    async def with_body(link: Link) -> None:
        head = b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(body)
        if late:
            await link.say(head)
            await answered.wait()
            await link.say(body)
        else:
            await link.say(head + body)
        said.set()

    async with (
        listening(with_body, name_the_run) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
    ):
        first = await client.delete_runs(1, body_of(1), "r")
        answered.set()
        await said.wait()
        await asyncio.sleep(0.05)  # the bytes reach the idle connection
        second = await client.delete_runs(1, body_of(2), "s")
        third = await client.delete_runs(1, body_of(3), "t")
    assert isinstance(first, Deleted | InDoubt)
    assert second == BadRequest(400, "run 2") or isinstance(second, NotSent | InDoubt)
    assert third == BadRequest(400, "run 3")


async def test_the_time_of_a_deletion_is_that_of_the_clock() -> None:
    """A deletion tells how long its call took, in whole milliseconds of the clock given."""
    ticks = iter([50.0, 50.2504])
    async with (
        listening() as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1, clock=lambda: next(ticks)) as client,
    ):
        assert await client.delete_runs(1, body_of(1), "r") == Deleted(204, 250)


async def test_a_cancelled_call_ends_at_once_and_is_no_fact() -> None:
    """Cancelling a call in flight ends it; it is not turned into an outcome."""
    facts: list[Fact] = []
    async with (
        listening(stay_silent) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
        anyio.create_task_group() as group,
    ):

        async def call() -> None:
            facts.append(await client.delete_runs(1, body_of(1), "r"))

        group.start_soon(call)
        with anyio.fail_after(10):
            await peer.heard.wait()
        group.cancel_scope.cancel()
    assert facts == []
    assert len(peer.requests) == 1


# Replies


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        (
            reply("400 Bad Request", body=b'{"run_ids": ["Invalid run ids: 7", "No."]}'),
            BadRequest(400, "run_ids: Invalid run ids: 7, No."),
        ),
        (
            reply("400 Bad Request", body=b'{"a": ["x"], "detail": "y"}'),
            BadRequest(400, "a: x; y"),
        ),
        (reply("400 Bad Request", body=b"no JSON"), BadRequest(400, "no JSON")),
        (
            reply("401 Unauthorized", body=b'{"detail": "Invalid API key."}'),
            KeyRejected(401, "Invalid API key."),
        ),
        (reply("401 Unauthorized", "WWW-Authenticate: Basic"), KeyRejected(401, "")),
        (
            reply("403 Forbidden", body=b'{"detail": "Not yours."}'),
            Forbidden(403, "Not yours."),
        ),
        (
            reply("404 Not Found", body=b'{"detail": "Not found."}'),
            ResultNotFound(404, "Not found."),
        ),
        (reply("404 Not Found"), ResultNotFound(404, "")),
        (
            reply("405 Method Not Allowed", body=b'{"detail": "Method not allowed."}'),
            Rejected(405, "Method not allowed."),
        ),
        (reply("409 Conflict"), Rejected(409, "")),
        (reply("413 Payload Too Large"), Rejected(413, "")),
        (reply("415 Unsupported Media Type"), Rejected(415, "")),
        (reply("422 Unprocessable Content", body=b"[]"), Rejected(422, "")),
        (reply("304 Not Modified"), Rejected(304, "")),
        (reply("500 Internal Server Error", body=b"boom"), ServerError(500, None, "boom")),
        (reply("500 Error", "Retry-After: 9"), ServerError(500, None, "")),
        (reply("502 Bad Gateway", body=b"<p>nginx</p>"), ServerError(502, None, "<p>nginx</p>")),
        (reply("503 Unavailable", "Retry-After: 9"), ServerError(503, 9.0, "")),
        (
            reply("503 Unavailable", f"Date: {DATE}", "Retry-After: Sun, 06 Nov 1994 08:50:00 GMT"),
            ServerError(503, 60.0, ""),
        ),
        (reply("503 Unavailable"), ServerError(503, None, "")),
        (reply("504 Gateway Timeout"), ServerError(504, None, "")),
        (reply("599 Whatever"), ServerError(599, None, "")),
    ],
)
async def test_each_error_status_is_its_own_fact(said: bytes, fact: Fact) -> None:
    """Each error status becomes its own kind of fact, with the server's words."""
    assert await answer(said) == fact


@pytest.mark.parametrize("status", [200, 201, 202, 203, 205, 206, 207])
async def test_a_success_that_is_no_204_is_in_doubt(status: int) -> None:
    """Any 2xx that is not 204, a proxy's login page for one, is not believed."""
    said = reply(f"{status} Fine", "Content-Type: text/html", body=b"<html>Sign in</html>")
    why = f"status {status} is not the 204 of a deletion: <html>Sign in</html>"
    assert await answer(said) == InDoubt(why, status)
    fact = await answer(reply(f"{status} Fine", body=b"a" * 5000))
    assert isinstance(fact, InDoubt)
    assert len(fact.error) == MAX_DETAIL


async def test_a_408_is_in_doubt() -> None:
    """A request that the server gave up on may have been applied all the same."""
    assert await answer(reply("408 Request Timeout")) == InDoubt("status 408", 408)


async def test_a_303_is_in_doubt() -> None:
    """A 303 leads to what a call has come to, so it may have been applied; it is not followed."""
    async with listening() as other:
        location = f"Location: http://localhost:{other.port}/elsewhere/"
        assert await answer(reply("303 See Other", location)) == InDoubt("status 303", 303)
        assert other.connections == 0


async def test_a_switch_of_protocols_is_in_doubt() -> None:
    """A 101 is no reply of this contract."""
    said = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    assert status_of(await answer(said)) == (InDoubt, 101)


async def test_informational_replies_are_passed_over() -> None:
    """The reply after a 100 or 103 is the one that counts."""
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert status_of(await answer(said + NO_CONTENT)) == (Deleted, 204)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """A redirect to another host is refused, and neither the key nor the ids go there."""
    async with listening() as other:
        url = f"http://localhost:{other.port}/elsewhere/"
        fact = await answer(reply(f"{status} Moved", f"Location: {url}?state=x", body=b"moved"))
        assert fact == Rejected(status, f"not followed: a redirect to {url}")
        assert other.connections == 0


async def test_a_redirect_to_nowhere_is_refused() -> None:
    """A redirect that does not say where to has the words of its body."""
    assert await answer(reply("301 Moved", body=b"moved")) == Rejected(301, "moved")


async def test_informational_replies_without_end_are_given_up() -> None:
    """A flood of 100s is no reply, and is not read until the time is over."""
    flood = flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    with anyio.fail_after(5):
        fact = await answer(flood, within=60)
    assert fact == InDoubt("BrokenReplyError: informational replies without end")


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("  5 ", 5.0),
        ("007", 7.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),
        ("Sun Nov  6 08:49:37 1994", 37.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
        ("sun, 06 nov 1994 08:49:37 gmt", 37.0),
        ("SUNDAY, 06-NOV-94 08:49:37 GMT", 37.0),
        ("sun nov  6 08:49:37 1994", 37.0),
        ("  Sun,  06  Nov  1994  08:49:37   GMT ", 37.0),
        ("Sunday, 06-Nov-94 08:48:00 GMT", 0.0),
        ("Sun Nov  6 08:48:00 1994", 0.0),
        ("Saturday, 06-Nov-93 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 252_618_189_059.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("1_000", None),
        ("٣", None),
        ("Sun, 06 Nov 1994", None),
        ("Sun, 06 Nov 1994 28:61:99 GMT", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999", None),
    ],
)
async def test_retry_after_is_read_in_every_form(value: str, seconds: float | None) -> None:
    """Seconds and the three HTTP dates (relative to the reply's Date) are read, nonsense is not."""
    said = reply("429 Too Many", f"Date: {DATE}", f"Retry-After: {value}", body=b"slow down")
    assert await answer(said) == Throttled(429, seconds, "slow down")


@pytest.mark.parametrize(
    ("date", "value", "seconds"),
    [
        ("Fri, 31 Dec 1999 23:59:50 GMT", "Saturday, 01-Jan-00 00:00:10 GMT", 20.0),
        ("Friday, 31-Dec-99 23:59:50 GMT", "Saturday, 01-Jan-00 00:00:10 GMT", 20.0),
        ("Mon, 31 Dec 2068 23:59:50 GMT", "Tuesday, 01-Jan-69 00:00:10 GMT", 20.0),
        ("Thu, 31 Dec 2099 23:59:50 GMT", "Friday, 01-Jan-00 00:00:10 GMT", 20.0),
        ("Wed, 25 Nov 2026 00:00:00 GMT", "Wednesday, 25-Nov-76 00:00:00 GMT", 18_263 * 86_400.0),
        ("Wed, 25 Nov 2026 00:00:00 GMT", "Friday, 25-Nov-77 00:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2026 00:00:00 GMT", "Tuesday, 25-Nov-25 00:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2026 00:00:00 GMT", "Wed, 25 Nov 26 00:00:05 GMT", 5.0),
    ],
)
async def test_a_short_year_is_never_more_than_fifty_years_ahead(
    date: str, value: str, seconds: float
) -> None:
    """A year of two digits is of the century that the reply's Date makes likely."""
    said = reply("429 Too Many", f"Date: {date}", f"Retry-After: {value}")
    assert await answer(said) == Throttled(429, seconds, "")


async def test_a_429_without_retry_after_names_no_delay() -> None:
    """A 429 that does not say how long to wait has no delay."""
    assert await answer(reply("429 Too Many")) == Throttled(429, None, "")


async def test_an_endless_retry_after_is_still_a_number() -> None:
    """A Retry-After of thousands of digits becomes a long wait, not an error."""
    fact = await answer(reply("429 Too Many", "Retry-After: " + "9" * 5000))
    assert isinstance(fact, Throttled)
    assert fact.delay_s is not None
    assert 10**6 < fact.delay_s < float("inf")


@pytest.mark.parametrize("date", [[], ["Date: nonsense"], ["Date: Sun, 06 Nov " + "9" * 30]])
async def test_without_a_date_the_own_clock_counts(date: list[str]) -> None:
    """An HTTP date is measured by the own clock where the reply has no Date that can be read."""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    fact = await answer(reply("429 Too Many", f"Retry-After: {until}", *date))
    assert isinstance(fact, Throttled)
    assert fact.delay_s is not None
    assert 900 < fact.delay_s <= 1000


# Not sent


async def test_a_refused_connection_is_not_sent() -> None:
    """Where nobody listens nothing was sent, and the words are the system's."""
    port = free_port()
    assert await send(f"http://127.0.0.1:{port}") == NotSent(
        f"cannot connect to 127.0.0.1:{port}: Connection refused"
    )


async def test_an_unknown_host_is_not_sent() -> None:
    """A host name that is not known means that nothing was sent."""
    assert isinstance(await send("https://nohost.invalid"), NotSent)


@pytest.mark.parametrize("host", ["no..host.invalid", "n" * 64 + ".invalid"])
async def test_a_host_name_that_cannot_be_one_is_not_sent(host: str) -> None:
    """A host name that no resolver takes is a fact like any other unknown host."""
    assert isinstance(await send(f"https://{host}"), NotSent)


async def test_a_connection_that_never_comes_about_is_not_sent() -> None:
    """A connection that is neither taken nor refused ends in time, and nothing was sent."""
    with full_queue() as port, anyio.fail_after(10):
        assert isinstance(await send(f"http://127.0.0.1:{port}", within=SHORT), NotSent)


async def test_a_handshake_that_never_ends_is_not_sent() -> None:
    """A server that accepts and then leaves the TLS handshake open got nothing."""
    done = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with anyio.fail_after(10):
            fact = await send(f"https://127.0.0.1:{port}", within=SHORT)
        done.set()
        await asyncio.sleep(0.05)  # the server's end closes
    assert isinstance(fact, NotSent)


# In doubt


@pytest.mark.parametrize(
    "lost",
    [
        reset,
        close,
        cut(b"H"),
        cut(b"HTTP/1.1 204"),
        cut(b"HTTP/1.1 204 No Content\r\n"),
        cut(b"HTTP/1.1 204 No Content\r\nDate: Sun"),
        cut_hard(b"HTTP/1.1 204 No Content\r\nDate: Sun"),
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf a bo"),
        cut_hard(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf a bo"),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"),
        cut(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=[
        "reset",
        "closed",
        "one byte",
        "half a status line",
        "status line only",
        "half a header",
        "half a header, reset",
        "half a body",
        "half a body, reset",
        "half a chunk",
        "100 only",
    ],
)
async def test_a_reply_that_is_lost_on_the_way_is_in_doubt(lost: Reply) -> None:
    """Once the request is out, a connection that ends before the whole reply proves nothing."""
    async with listening(lost) as peer:
        assert isinstance(await send(peer.url), InDoubt)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "odd",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 twohundredfour No Content\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28" * 4,
        b"HTTP/1.1 204 No Content\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    ],
    ids=[
        "garbage",
        "status in words",
        "another protocol",
        "binary",
        "endless header",
        "thousands of headers",
        "two lengths",
        "bad chunk",
    ],
)
async def test_a_reply_that_is_not_http_is_in_doubt(odd: bytes) -> None:
    """A reply that cannot be read says nothing of what was done."""
    assert isinstance(await answer(cut(odd)), InDoubt)


async def test_no_reply_within_the_time_is_in_doubt() -> None:
    """A server that reads the request and stays silent leaves the call in doubt."""
    async with listening(stay_silent) as peer:
        started = time.monotonic()
        assert status_of(await send(peer.url, within=SHORT)) == (InDoubt, None)
        assert time.monotonic() - started >= SHORT * 0.9
    assert len(peer.requests) == 1


async def test_a_slow_drip_does_not_outlast_the_time() -> None:
    """A reply that comes byte by byte is given up when the total time is over."""
    drip = dripping(b"HTTP/1.1 204 No Content\r\nX-Drip: ", b"z")
    with anyio.fail_after(10):
        assert status_of(await answer(drip, within=SHORT)) == (InDoubt, None)


# Error bodies


@pytest.mark.parametrize(
    "said",
    [
        cut(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\nhalf a bo"),
        cut(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n"),
        cut_hard(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n"),
    ],
    ids=["half", "none", "none, reset"],
)
async def test_a_status_stands_even_if_its_body_breaks_off(said: Reply) -> None:
    """What the server decided is in the status; a broken body takes only its words away."""
    assert status_of(await answer(said)) == (BadRequest, 400)


async def test_a_status_stands_even_if_its_body_never_comes() -> None:
    """A body that is announced and never sent ends with the total time; the status counts."""

    async def head_only(link: Link) -> None:
        await link.say(b"HTTP/1.1 429 Slow\r\nRetry-After: 4\r\nContent-Length: 500\r\n\r\n")
        await link.reader.read()

    with anyio.fail_after(10):
        assert await answer(head_only, within=SHORT) == Throttled(429, 4.0, "")


async def test_a_body_that_comes_in_pieces_is_read_to_its_end() -> None:
    """The server's words are whole even when the network brings them in several pieces."""

    async def in_pieces(link: Link) -> None:
        body = b'{"detail": "All of it matters."}'
        await link.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 8):
            await link.say(body[start : start + 8])
            await asyncio.sleep(0.02)

    assert await answer(in_pieces) == BadRequest(400, "All of it matters.")


async def test_an_endless_error_body_is_left_unread() -> None:
    """Of an error body without end a few KB are read, then the connection is closed."""
    sent = 0
    closed = asyncio.Event()

    async def flood(link: Link) -> None:
        nonlocal sent
        chunk = b"a" * 65536
        await link.say(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await link.say(b"10000\r\n" + chunk + b"\r\n")
                sent += len(chunk)
        finally:
            closed.set()

    async with listening(flood) as peer:
        with anyio.fail_after(10):
            fact = await send(peer.url)
            await closed.wait()
    assert fact == ServerError(500, None, "a" * MAX_DETAIL)
    assert sent < 32 * 2**20  # what the kernel holds for both ends, far below "without end"


async def test_a_packed_error_body_is_not_unpacked() -> None:
    """A few KB that would unpack to many MB are left packed."""
    bomb = gzip.compress(bytes(16 * 2**20))
    said = reply("500 Oops", "Content-Encoding: gzip", body=bomb)
    async with listening(said) as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        await client.delete_runs(1, body_of(1), "r")  # what is made once is made before measuring
        tracemalloc.start()
        try:
            fact = await client.delete_runs(1, body_of(1), "r")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert status_of(fact) == (ServerError, 500)
    assert peak < 2**20


async def test_no_packed_reply_is_asked_for() -> None:
    """The request does not offer to unpack anything."""
    async with listening() as peer:
        await send(peer.url)
    assert peer.requests[0].header("Accept-Encoding") == "identity"


@pytest.mark.parametrize(
    "body",
    [b"[" * 4000, b"[" * 1200 + b"]" * 1200, b"[" * 400 + b"]" * 400, b'{"a":' * 300 + b"1" * 9],
    ids=["unclosed", "very deep", "deep", "deep objects"],
)
async def test_a_deeply_nested_error_body_is_a_fact_all_the_same(body: bytes) -> None:
    """JSON that is nested without sense does not break the call."""
    assert status_of(await answer(reply("400 Bad Request", body=body))) == (BadRequest, 400)


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe\x00", b"1" * 4096, b"NaN", b"null", b'"\\ud800"', b'{"detail": {"a": [1, null]}}'],
    ids=["no UTF-8", "long number", "NaN", "null", "half a surrogate", "nested"],
)
async def test_an_odd_error_body_is_a_fact_all_the_same(body: bytes) -> None:
    """Whatever the body is, the fact has printable words of bounded length that can be stored."""
    fact = await answer(reply("400 Bad Request", body=body))
    assert isinstance(fact, BadRequest)
    assert fact.detail.isprintable()
    assert len(fact.detail.encode()) <= 4 * MAX_DETAIL


async def test_details_cannot_steer_a_terminal_or_forge_a_line() -> None:
    """Escapes, newlines and direction marks of the server do not get into the words."""
    body = json.dumps({"detail": 'a\x1b[2J\x1b]0;x\x07b\r\n{"event": 1}\u202ec\x9b1m\0d\te'})
    fact = await answer(reply("400 Bad Request", body=body.encode()))
    assert isinstance(fact, BadRequest)
    assert fact.detail.isprintable()
    assert fact.detail.startswith("a\N{REPLACEMENT CHARACTER}[2J")
    assert fact.detail.endswith("d e")


async def test_details_are_cut() -> None:
    """A long explanation keeps its beginning."""
    fact = await answer(reply("400 Bad Request", body=b'{"detail": "%s"}' % (b"word " * 500)))
    assert isinstance(fact, BadRequest)
    assert len(fact.detail) == MAX_DETAIL
    assert fact.detail.startswith("word word ")


async def test_words_of_a_broken_reply_are_cleaned_too() -> None:
    """What an unreadable reply says in its place is cut and printable."""
    fact = await answer(cut(b"HTTP/1.1 \x1b[31m" + b"\x07" * 5000 + b"\r\n\r\n"))
    assert isinstance(fact, InDoubt)
    assert fact.error.isprintable()
    assert len(fact.error) <= MAX_DETAIL


@settings(deadline=None)  # a slow machine is no failure
@given(st.text(max_size=600))
def test_cleaning_leaves_short_printable_text(text: str) -> None:
    """Cleaned text is printable, bounded, and unchanged by cleaning again."""
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= MAX_DETAIL
    assert clean(cleaned) == cleaned.strip()


# The key stays here


@pytest.mark.parametrize(
    "said",
    [
        reply("401 Unauthorized", body=b'{"detail": "Invalid API key."}'),
        reply("500 Oops", body=b"boom"),
        reply("302 Found", "Location: http://localhost/"),
        cut(b"garbage\r\n\r\n"),
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf"),
        reset,
        close,
    ],
)
async def test_the_key_is_in_no_fact(said: Reply) -> None:
    """Neither the text nor the repr of a fact gives the key away."""
    fact = await answer(said)
    assert KEY not in repr(fact)
    assert KEY not in str(fact)


async def test_the_key_is_in_no_fact_of_a_call_not_sent() -> None:
    """A call that could not be sent does not give the key away."""
    for url in (f"http://127.0.0.1:{free_port()}", "https://nohost.invalid"):
        assert KEY not in repr(await send(url))


@pytest.mark.parametrize(
    "said",
    [
        'HTTP/1.1 401 No\r\nContent-Length: {n}\r\n\r\n{{"detail": "{key} is no key"}}',
        "HTTP/1.1 500 Oops\r\nContent-Length: {n}\r\n\r\nheaders: X-CEKURA-API-KEY={key}",
        "HTTP/1.1 {key}\r\n\r\n{n}",
        "HTTP/1.1 204 No Content\r\nX-Echo: {key}\r\nX-Length: {n}",
        "HTTP/1.1 302 Found\r\nLocation: http://x.invalid/{key}\r\nContent-Length: {n}\r\n\r\n",
    ],
    ids=["in JSON", "in text", "in a bad status line", "in a header", "in a redirect"],
)
async def test_a_key_that_the_server_echoes_is_in_no_fact(said: str) -> None:
    """A server that repeats the request's key does not get it into the record."""

    async def echo(link: Link) -> None:
        key = link.request.header("X-CEKURA-API-KEY")
        body = said.partition("\r\n\r\n")[2].format(key=key, n="")
        await link.say(said.format(key=key, n=len(body)).encode())
        link.writer.close()

    fact = await answer(echo)
    assert isinstance(fact, KeyRejected | ServerError | InDoubt | Rejected)
    assert KEY not in repr(fact)


# TLS


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return trust_in(tmp_path_factory.mktemp("tls"))


async def test_an_unknown_authority_is_refused(trust: Trust) -> None:
    """A certificate that no known authority signed ends the call before the key is sent."""
    async with listening(tls=trust.server("127.0.0.1")) as peer:
        fact = await send(peer.url)
    assert isinstance(fact, NotSent)
    assert "its certificate is refused: " in fact.error
    assert fact.error.endswith("; --ca-file names CAs to trust")
    assert peer.requests == []


async def test_the_authority_of_ca_file_is_trusted(trust: Trust) -> None:
    """`api.ca_file` makes a private authority's server acceptable, and the connection is kept."""
    async with listening(tls=trust.server("127.0.0.1")) as peer:
        api = Api(peer.url, ca_file=trust.file)
        async with open_client(api, ApiKey(KEY), 1) as client:
            facts = [await client.delete_runs(7, body_of(run), "r") for run in (1, 2)]
    assert [status_of(fact) for fact in facts] == [(Deleted, 204)] * 2
    assert [request.header("X-CEKURA-API-KEY") for request in peer.requests] == [KEY, KEY]
    assert peer.connections == 1


async def test_a_certificate_for_another_host_is_refused(trust: Trust) -> None:
    """A trusted authority's certificate for another name does not do."""
    async with listening(tls=trust.server("other.invalid")) as peer:
        fact = await send(peer.url, ca_file=trust.file)
    assert isinstance(fact, NotSent)
    assert "its certificate is refused: IP address mismatch" in fact.error
    assert "--ca-file" not in fact.error
    assert peer.requests == []


async def test_an_expired_certificate_is_refused(trust: Trust) -> None:
    """A trusted authority's certificate that has run out does not do."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with listening(tls=trust.server("127.0.0.1", until=yesterday)) as peer:
        fact = await send(peer.url, ca_file=trust.file)
    assert isinstance(fact, NotSent)
    assert fact.error.endswith("its certificate is refused: certificate has expired")
    assert peer.requests == []


async def test_another_authority_in_ca_file_is_refused(trust: Trust, tmp_path: Path) -> None:
    """`api.ca_file` trusts the authorities in it and no other."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with listening(tls=trust.server("127.0.0.1")) as peer:
        assert isinstance(await send(peer.url, ca_file=other), NotSent)
    assert peer.requests == []


async def test_a_reply_lost_under_tls_is_in_doubt(trust: Trust) -> None:
    """Under TLS too, a connection that ends before the reply proves nothing."""
    async with listening(reset, tls=trust.server("127.0.0.1")) as peer:
        assert isinstance(await send(peer.url, ca_file=trust.file), InDoubt)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("content", [b"", b"no certificate\n", None], ids=["empty", "text", "none"])
async def test_a_ca_file_without_certificates_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    """A CA file that is missing or holds no certificate ends before the first call, by name."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"ca\.pem"):
        await send("https://127.0.0.1:1", ca_file=file)


# Proxies


def through(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("http_proxy", proxy)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_a_call_that_the_proxy_refuses_is_not_sent(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy of the environment is asked for a tunnel; its refusal means nothing was sent."""
    async with listening(reply(status)) as proxy:
        through(monkeypatch, proxy.url)
        fact = await send("https://api.invalid")
    assert fact == NotSent(f"the proxy answered {status[:3]}")
    [request] = proxy.requests
    assert (request.method, request.target) == ("CONNECT", "api.invalid:443")
    assert KEY.encode() not in request.raw


async def test_a_proxy_that_is_not_there_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the connection means that nothing was sent."""
    through(monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert isinstance(await send("https://api.invalid"), NotSent)


async def test_a_call_through_a_proxy_arrives(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the proxy's tunnel the call reaches the host; the proxy sees its name only."""
    async with (
        listening(tls=trust.server("api.invalid")) as host,
        listening(tunnel_to(host.port)) as proxy,
    ):
        through(monkeypatch, proxy.url)
        fact = await send("https://api.invalid", ca_file=trust.file)
    assert status_of(fact) == (Deleted, 204)
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert KEY.encode() not in proxy.requests[0].raw
    assert [request.header("X-CEKURA-API-KEY") for request in host.requests] == [KEY]


async def test_a_proxy_password_goes_to_the_proxy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the proxy's URL are sent to it, and are in no fact."""
    async with listening(reply("407 Proxy Authentication Required")) as proxy:
        through(monkeypatch, f"http://me:hush-hush@127.0.0.1:{proxy.port}")
        fact = await send("https://api.invalid")
    assert isinstance(fact, NotSent)
    basic = base64.b64encode(b"me:hush-hush").decode()
    assert proxy.requests[0].header("Proxy-Authorization") == f"Basic {basic}"
    assert "hush-hush" not in repr(fact)


async def test_a_proxy_without_a_scheme_is_an_http_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """host:port, as curl takes it, names an http proxy."""
    async with listening(reply("403 Forbidden")) as proxy:
        through(monkeypatch, f"127.0.0.1:{proxy.port}")
        assert isinstance(await send("https://api.invalid"), NotSent)
    assert len(proxy.requests) == 1


async def test_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls to a loopback address go straight there, whatever the environment says."""
    async with listening(reply("403 Forbidden")) as proxy, listening() as peer:
        through(monkeypatch, proxy.url)
        for url in (peer.url, f"http://localhost:{peer.port}"):
            assert status_of(await send(url)) == (Deleted, 204)
    assert proxy.connections == 0
    assert len(peer.requests) == 2


async def test_no_proxy_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no_proxy names is not asked for through the proxy."""
    async with listening(reply("403 Forbidden")) as proxy:
        through(monkeypatch, proxy.url)
        monkeypatch.setenv("no_proxy", "example.com,nohost.invalid")
        assert isinstance(await send("https://nohost.invalid"), NotSent)
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://",
    ],
)
async def test_a_proxy_that_cannot_be_used_is_refused(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy setting that cannot be used ends before the first call, by the variable's name."""
    through(monkeypatch, proxy)
    with pytest.raises(InvalidInput, match="HTTPS_PROXY"):
        await send("https://api.invalid")


# Reading back


async def read_runs(*replies: Reply, ids: tuple[int, ...] = (1, 2), within: float = 10) -> Reading:
    """Read runs from a server that replies so."""
    async with listening(*replies) as peer:
        api = Api(base_url=peer.url, timeout=Seconds(within))
        async with open_client(api, ApiKey(KEY), 2) as client:
            return await client.read_runs(ids, "a-request")


async def read_result(*replies: Reply, result_id: int = 7, within: float = 10) -> Reading:
    """Read a result from a server that replies so."""
    async with listening(*replies) as peer:
        api = Api(base_url=peer.url, timeout=Seconds(within))
        async with open_client(api, ApiKey(KEY), 2) as client:
            return await client.read_result(result_id, "a-request")


def ok(body: bytes, *headers: str) -> bytes:
    return reply("200 OK", "Content-Type: application/json", *headers, body=body)


def found(reading: Reading) -> dict[int, int]:
    assert isinstance(reading, Found)
    assert reading.status == 200
    assert reading.ms >= 0
    return dict(reading.runs)


def assert_no_proof(reading: Reading) -> None:
    assert isinstance(reading, InDoubt)
    assert reading.status == 200
    assert reading.error.startswith("the body of a 200 is no answer: ")
    assert len(reading.error) <= MAX_DETAIL
    assert reading.error.isprintable()


async def test_reading_runs_is_the_documented_request() -> None:
    """Runs are asked for by their ids with commas between, without a scope and without a body."""
    async with listening(ok(b"[]")) as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        await client.read_runs((3, 1, MAX_ID), "5c1e-req")
    [request] = peer.requests
    assert request.method == "GET"
    assert request.target == f"/test_framework/v2/runs/bulk/?run_ids=3,1,{MAX_ID}"
    assert request.body == b""
    assert request.header("X-CEKURA-API-KEY") == KEY
    assert request.header("X-Request-ID") == "5c1e-req"
    assert request.header("Accept-Encoding") == "identity"
    assert request.header("Content-Type") is None
    assert request.header("Host") == f"127.0.0.1:{peer.port}"


async def test_reading_a_result_is_the_documented_request() -> None:
    """A result is asked for by its path, below the path that the base URL has."""
    async with (
        listening(ok(b'{"id": 4711}')) as peer,
        open_client(Api(f"{peer.url}/gateway"), ApiKey(KEY), 1) as client,
    ):
        await client.read_result(4711, "5c1e-req")
    [request] = peer.requests
    assert request.method == "GET"
    assert request.target == "/gateway/test_framework/v2/results/4711/"
    assert request.header("X-CEKURA-API-KEY") == KEY
    assert request.header("X-Request-ID") == "5c1e-req"


async def test_a_request_id_cannot_forge_a_header() -> None:
    """A request id that would end its header is refused before anything is sent."""
    async with listening() as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        with pytest.raises(ValueError, match="header"):
            await client.delete_runs(1, body_of(1), "a\r\nX-Other: b")
        with pytest.raises(ValueError, match="header"):
            await client.read_runs((1,), "a\r\n\r\nGET /")
    assert peer.requests == []


async def test_the_sandbox_is_read_back(sandbox: Callable[..., Any]) -> None:
    """The documented server tells which runs are left, under which result, and what it can see."""
    world = World.of([Pair(1, 11), Pair(1, 12), Pair(2, 21)])
    with sandbox(world, key=KEY) as box:
        async with open_client(Api(box.url), ApiKey(KEY), 1) as client:
            await client.delete_runs(1, body_of(11), "r")
            assert found(await client.read_runs((11, 12, 21, 99), "r")) == {12: 1, 21: 2}
            assert isinstance(await client.read_result(1, "r"), Visible)
            assert status_of(await client.read_result(9, "r")) == (ResultNotFound, 404)


@pytest.mark.parametrize(
    ("body", "runs"),
    [
        (b"[]", {}),
        (b" [ ] \r\n", {}),
        (b'[{"id": 1, "result_id": 7}]', {1: 7}),
        (b'[{"result_id":7,"id":1},{"x":[{"id":"no"}],"id":2,"result_id":8}]', {1: 7, 2: 8}),
        (b'[{"id": 1, "result_id": 7}, {"id": 3, "result_id": 7}]', {1: 7}),
        (b'[{"id": 1, "result_id": 7}, {"id": 1, "result_id": 7}]', {1: 7}),
        (b'[{"id": 1, "id": 1, "result_id": 7}]', {1: 7}),
        (b'[{"i\\u0064": 1, "result_id": 7}]', {1: 7}),
        (b'[{"transcript": {"id": 2, "result_id": 9}, "id": 1, "result_id": 7}]', {1: 7}),
        (b'[{"note": "]}, {\\"id\\": 2", "id": 1, "result_id": 7}]', {1: 7}),
    ],
)
async def test_the_runs_that_came_back_are_told(body: bytes, runs: dict[int, int]) -> None:
    """Of the runs asked for, those in the reply are told with their results, and no others."""
    assert found(await read_runs(ok(body))) == runs


@pytest.mark.parametrize("number", [2**53 + 1, MAX_ID, MAX_ID - 1, 2**63 + 1])
async def test_large_ids_are_read_to_the_last_digit(number: int) -> None:
    """Ids beyond what a float can hold come back as they are."""
    body = json.dumps([{"id": number, "result_id": number - 1}]).encode()
    assert found(await read_runs(ok(body), ids=(number,))) == {number: number - 1}
    assert found(await read_runs(ok(body), ids=(number - 1, number + 1))) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[",
        b'[{"id": 1, "result_id": 7}',
        b'[{"id": 1, "result_id": 7}]x',
        b'[{"id": 1, "result_id": 7}][]',
        b'[{"id": 1, "result_id": 7},]',
        b'{"id": 1, "result_id": 7}',
        b'{"results": [{"id": 1, "result_id": 7}]}',
        b"null",
        b'"[]"',
        b"[[]]",
        b"[1, 2]",
        b"[null]",
        b"[{}]",
        b'[{"id": 1}]',
        b'[{"result_id": 7}]',
        b'[{"id": 1, "result_id": null}]',
        b'[{"id": "1", "result_id": 7}]',
        b'[{"id": 1, "result_id": "7"}]',
        b'[{"id": true, "result_id": 7}]',
        b'[{"id": 1.0, "result_id": 7}]',
        b'[{"id": 1e0, "result_id": 7}]',
        b'[{"id": [1], "result_id": 7}]',
        b'[{"id": {"id": 1}, "result_id": 7}]',
        b'[{"id": 3, "result_id": "7"}]',
        b'[{"id": 1, "id": 2, "result_id": 7}]',
        b'[{"id": 1, "result_id": 7, "result_id": 8}]',
        b'[{"id": 1, "result_id": 7}, {"id": 1, "result_id": 8}]',
        b'\xef\xbb\xbf[{"id": 1, "result_id": 7}]',
        b'[{"id": 1, "result_id": 7, "x": "\xff"}]',
        b'[{"id": 1, "result_id": 7, "x": NaN}]',
        b'[{"id": 1, "result_id": 7, "x": 1e99999999999999999999}]',
        b'[{"id": 1, "result_id": 7, "x": ' + b"9" * 5000 + b"}]",
        b'[{"id": ' + b"9" * 5000 + b', "result_id": 7}]',
        b'[{"id": 1, "result_id": 7, "x": ' + b"[" * 250 + b"]" * 250 + b"}]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<html>Sign in</html>",
        b'[{"id": 1, "result_id": 7}]\0',
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
async def test_a_body_that_is_not_the_documented_one_proves_nothing(body: bytes) -> None:
    """A 200 whose body is not a whole array of runs is no answer, whatever stands in it."""
    assert_no_proof(await read_runs(ok(body)))


async def test_a_body_that_comes_byte_by_byte_is_read_the_same() -> None:
    """Where the network cuts the body makes no difference."""

    async def in_pieces(link: Link) -> None:
        body = '[{"id": 1, "x": "é\\n😀", "result_id": 7}]'.encode()
        await link.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            await link.say(b"1\r\n%c\r\n" % byte)
            await asyncio.sleep(0)
        await link.say(b"0\r\n\r\n")

    assert found(await read_runs(in_pieces)) == {1: 7}


WHOLE = b'[{"id": 1, "result_id": 7}]'


@pytest.mark.parametrize(
    "torn",
    [
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + WHOLE),
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[]"),
        cut_hard(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + WHOLE),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" + WHOLE + b"\r\n"),
        cut(b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE[:-1]),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]"),
    ],
    ids=["short", "short, but JSON", "reset", "no last chunk", "no length", "bad chunk"],
)
async def test_a_body_that_breaks_off_proves_nothing(torn: Reply) -> None:
    """Only a body that came whole counts, even if what came of it could stand by itself."""
    reading = await read_runs(torn)
    assert isinstance(reading, InDoubt)


async def test_a_packed_body_proves_nothing() -> None:
    """A body that was packed against the request's wish is not unpacked."""
    packed = gzip.compress(WHOLE)
    assert_no_proof(await read_runs(ok(packed, "Content-Encoding: gzip")))
    assert_no_proof(await read_result(ok(packed, "Content-Encoding: br")))
    assert found(await read_runs(ok(WHOLE, "Content-Encoding: identity"))) == {1: 7}


@pytest.mark.parametrize("read", [read_runs, read_result])
@pytest.mark.parametrize(
    ("said", "fact"),
    [
        (reply("400 Bad Request", body=b'{"detail": "x"}'), BadRequest(400, "x")),
        (reply("401 Unauthorized", body=b'{"detail": "x"}'), KeyRejected(401, "x")),
        (reply("403 Forbidden", body=b'{"detail": "x"}'), Forbidden(403, "x")),
        (reply("404 Not Found", body=b'{"detail": "x"}'), ResultNotFound(404, "x")),
        (reply("429 Too Many", "Retry-After: 7", body=b'"x"'), Throttled(429, 7.0, "x")),
        (reply("500 Oops", body=b"x"), ServerError(500, None, "x")),
        (reply("503 Oops", "Retry-After: 7", body=b"x"), ServerError(503, 7.0, "x")),
        (reply("414 URI Too Long", body=b"x"), Rejected(414, "x")),
        (
            reply("302 Found", "Location: http://localhost/", body=b"x"),
            Rejected(302, "not followed: a redirect to http://localhost/"),
        ),
        (reply("304 Not Modified"), Rejected(304, "")),
        (reply("408 Request Timeout", body=b"x"), InDoubt("status 408: x", 408)),
        (NO_CONTENT, InDoubt("status 204 is not the 200 of a read", 204)),
        (reply("206 Partial", body=b"x"), InDoubt("status 206 is not the 200 of a read: x", 206)),
    ],
)
async def test_a_read_that_is_refused_is_the_fact_of_its_status(
    read: Callable[..., Awaitable[Reading]], said: bytes, fact: Fact
) -> None:
    """Refusals of reads are those of deletions; of success only a 200 counts, never a 204."""
    assert await read(said) == fact


@pytest.mark.parametrize("read", [read_runs, read_result])
@pytest.mark.parametrize("lost", [reset, close, cut(b"HTTP/1.1 2"), cut(b"garbage\r\n\r\n")])
async def test_a_read_whose_reply_is_lost_is_in_doubt(
    read: Callable[..., Awaitable[Reading]], lost: Reply
) -> None:
    """A read that got no reply tells nothing."""
    assert status_of(await read(lost)) == (InDoubt, None)


async def test_a_read_that_cannot_connect_is_not_sent() -> None:
    """Where nobody listens, a read is not sent."""
    async with open_client(Api(f"http://127.0.0.1:{free_port()}"), ApiKey(KEY), 1) as client:
        assert isinstance(await client.read_runs((1,), "r"), NotSent)
        assert isinstance(await client.read_result(1, "r"), NotSent)


@pytest.mark.parametrize("read", [read_runs, read_result])
async def test_a_slow_body_does_not_outlast_the_time(
    read: Callable[..., Awaitable[Reading]],
) -> None:
    """A body that drips is given up when the total time is over, and proves nothing."""
    drip = dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")
    with anyio.fail_after(10):
        reading = await read(drip, within=SHORT)
    assert_no_proof(reading)
    assert isinstance(reading, InDoubt)
    assert reading.error.endswith("no reply in time")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 7}',
        b'{"runs": {"8": {"id": 8, "result_id": 9}}, "id": 7, "name": "x"}',
    ],
    ids=["alone", "after its runs"],
)
async def test_a_result_with_its_own_id_is_visible(body: bytes) -> None:
    """A 200 whose object has the result's id shows that this key can see the result."""
    reading = await read_result(ok(body))
    assert isinstance(reading, Visible)
    assert reading.status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"",
        b'{"id": 8}',
        b'{"id": "7"}',
        b'{"id": 7.0}',
        b'{"id": true}',
        b'{"id": 7',
        b'{"id": 7, "and then": no JSON',
        b'[{"id": 7}]',
        b'{"result": {"id": 7}}',
        b"[7]",
        b"7",
        b"no JSON",
        b'{"id": ' + b"7" * 5000 + b"}",
    ],
    ids=lambda body: body[:30].decode(),
)
async def test_a_result_without_its_id_proves_nothing(body: bytes) -> None:
    """A 200 that does not show the id that was asked for says nothing of the result."""
    assert_no_proof(await read_result(ok(body)))


@pytest.mark.parametrize("said", [ok(WHOLE), ok(b"no JSON"), reply("404 Not Found")])
async def test_a_connection_is_used_again_after_a_read(said: bytes) -> None:
    """What came whole leaves the connection fit for the next call, which gets its own reply."""
    async with (
        listening(said, name_the_run) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
    ):
        await client.read_runs((1, 2), "r")
        assert await client.delete_runs(1, body_of(5), "s") == BadRequest(400, "run 5")
    assert peer.connections == 1


async def test_what_is_left_of_a_large_result_is_not_read() -> None:
    """A result is read no further than its id; the rest is left, and so is its connection."""
    sent = 0
    closed = asyncio.Event()

    async def flood(link: Link) -> None:
        nonlocal sent
        chunk = b" " * 65536
        await link.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n")
        await link.say(b'{"id": 7,\r\n')
        try:
            while True:
                await link.say(b"10000\r\n" + chunk + b"\r\n")
                sent += len(chunk)
        finally:
            closed.set()

    async with listening(flood) as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
        with anyio.fail_after(10):
            assert isinstance(await client.read_result(7, "r"), Visible)
            await closed.wait()
    assert sent < 32 * 2**20


def transcripts(runs: int, size: int) -> Callable[[Link], Awaitable[None]]:
    """Make a reply of so many runs with that many bytes of transcript each, piece by piece."""

    async def say(link: Link) -> None:
        await link.say(b"HTTP/1.1 200 OK\r\n\r\n[")
        turn = b'{"role": "agent", "text": "' + b"word " * 200 + b'", "id": 5, "n": [1, 2.5]}'
        for run in range(1, runs + 1):
            await link.say(b"," * (run > 1) + b'{"id": %d, "transcript": [0' % run)
            for _ in range(size // len(turn)):
                await link.say(b"," + turn)
            await link.say(b'], "one": "' + b"a" * (size // 4) + b'", "result_id": 7}')
        await link.say(b"]")
        link.writer.close()

    return say


async def test_a_large_body_is_never_held() -> None:
    """Tens of MB of transcripts are read in a few MB of memory, and every run in them is found."""
    wanted = tuple(range(1, 21))
    async with (
        listening(ok(WHOLE), transcripts(20, 2 * 2**20)) as peer,
        open_client(Api(peer.url), ApiKey(KEY), 1) as client,
    ):
        await client.read_runs(wanted, "r")  # what is made once is made before measuring
        tracemalloc.start()
        try:
            reading = await client.read_runs(wanted, "r")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found(reading) == dict.fromkeys(wanted, 7)
    assert peak < 10 * 2**20  # of the server's end of it, too


async def test_a_single_value_without_end_is_given_up() -> None:
    """A string that does not end is not held until the memory is full."""
    closed = asyncio.Event()
    sent = 0

    async def flood(link: Link) -> None:
        nonlocal sent
        await link.say(b'HTTP/1.1 200 OK\r\n\r\n[{"id": 1, "transcript": "')
        try:
            while True:
                await link.say(b"a" * 65536)
                sent += 65536
        finally:
            closed.set()

    with anyio.fail_after(20):
        async with listening(flood) as peer, open_client(Api(peer.url), ApiKey(KEY), 1) as client:
            assert_no_proof(await client.read_runs((1,), "r"))
            await closed.wait()
    assert sent < 32 * 2**20


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "result_id", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)
ENTRY = st.fixed_dictionaries({"id": st.integers(1, 5), "result_id": st.integers(1, 2), "x": JSON})


def expected(value: Any, wanted: frozenset[int]) -> dict[int, int] | None:
    """Say by the json module what a body tells; None where it proves nothing."""
    runs: dict[int, int] = {}
    if not isinstance(value, list):
        return None
    for entry in value:
        if not isinstance(entry, dict):
            return None
        run, result = entry.get("id"), entry.get("result_id")
        if type(run) is not int or type(result) is not int:
            return None
        if run in wanted and runs.setdefault(run, result) != result:
            return None
    return runs


@dataclass
class Pieces:
    """A reply whose body comes in pieces of these sizes."""

    body: bytes
    sizes: Iterator[int]
    at: int = 0

    async def read(self, _: int) -> bytes:
        piece = self.body[self.at : self.at + next(self.sizes)]
        self.at += len(piece)
        return piece


@settings(deadline=None)
@given(
    st.lists(ENTRY, max_size=4) | JSON,
    st.frozensets(st.integers(1, 5)),
    st.lists(st.integers(1, 9), min_size=1),
    st.integers(0, 10),
)
def test_a_body_tells_what_json_says(
    value: Any, wanted: frozenset[int], sizes: list[int], lost: int
) -> None:
    """However it is cut, a body tells what stands in it; with its end lost it tells nothing."""
    body = json.dumps(value).encode()
    runs = expected(value, wanted)
    if lost and runs is not None:
        body, runs = body[: max(0, len(body) - lost)], None

    async def read() -> dict[int, int] | None:
        try:
            return await runs_in(Pieces(body, cycle(sizes)), wanted)  # type: ignore[arg-type]
        except OddBodyError:
            return None

    assert asyncio.run(read()) == runs


# Time-outs


async def test_a_late_call_does_not_end_its_neighbours() -> None:
    """Each call in flight has its own time, whoever shares the client with it."""
    facts: dict[int, Fact] = {}
    async with listening(stay_silent) as peer:
        api = Api(peer.url, timeout=Seconds(0.4))
        async with open_client(api, ApiKey(KEY), 4) as client:

            async def call(run: int, after: float) -> None:
                await anyio.sleep(after)
                started = time.monotonic()
                facts[run] = await client.delete_runs(1, body_of(run), "r")
                assert 0.36 <= time.monotonic() - started < 2

            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    for run in range(4):
                        group.start_soon(call, run, run * 0.1)
    assert facts == {run: InDoubt("no reply in time") for run in range(4)}
    assert peer.connections == 4


async def test_a_connection_at_rest_outlasts_the_time_of_a_call() -> None:
    """The time of a call ends with it: a kept connection is not closed for having been used."""
    async with listening() as peer:
        api = Api(peer.url, timeout=Seconds(0.2))
        async with open_client(api, ApiKey(KEY), 1) as client:
            for run in (1, 2):
                assert isinstance(await client.delete_runs(1, body_of(run), "r"), Deleted)
                await anyio.sleep(0.5)  # more than twice the time of a call
    assert peer.connections == 1
