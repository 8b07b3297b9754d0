"""Replies that do not tell what became of a call, by what is odd about them."""

import gzip

from tests.peers import (
    Link,
    Reply,
    close,
    cut,
    cut_hard,
    dripping,
    flooding,
    reply,
    reset,
    stay_silent,
)

HTML = b"<html><body>Sign in</body></html>"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(bytes(16 * 2**20)) * 20
"""Some hundred KB that unpack to 320 MB."""


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def echo_the_key(link: Link) -> None:
    key = (link.request.header("X-CEKURA-API-KEY") or "").encode()
    await link.say(reply("500 Oops", "X-Echo: " + key.decode(), body=b"no such key: " + key))


LATE: dict[str, Reply] = {
    "silence": stay_silent,
    "header that drips": dripping(b"HTTP/1.1 204 No Content\r\nX-Drip: ", b"z"),
    "body that drips": dripping(b"HTTP/1.1 200 OK\r\n" + _CHUNKED, _chunk(b" ")),
    "error that drips": dripping(b"HTTP/1.1 500 Oops\r\n" + _CHUNKED, _chunk(b"z")),
    "array without end": flooding(
        b"HTTP/1.1 200 OK\r\n" + _CHUNKED + _chunk(b"["),
        _chunk(b'{"id": 1, "result_id": 7},' * 1000),
    ),
}
"""They last until the time of a call is over."""

LARGE: dict[str, Reply] = {
    "header without end": flooding(b"HTTP/1.1 204 No Content\r\nX: ", b"a" * 65536),
    "100s without end": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "body without end": flooding(b"HTTP/1.1 200 OK\r\n" + _CHUNKED, _chunk(b"a" * 65536)),
    "error without end": flooding(b"HTTP/1.1 500 Oops\r\n" + _CHUNKED, _chunk(b"a" * 65536)),
    "packed body": reply("200 OK", "Content-Encoding: gzip", body=_BOMB),
    "packed error": reply("500 Oops", "Content-Encoding: gzip", body=_BOMB),
}

ODD: dict[str, Reply] = {
    "reset": reset,
    "closed": close,
    "cut header": cut(b"HTTP/1.1 204 No Content\r\nDate: Sun"),
    "cut body": cut_hard(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf a bo"),
    "no HTTP": cut(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "garbage": cut(b"\x15\x03\x03\x00\x02\x02\x28" * 4),
    "200 with HTML": reply("200 OK", "Content-Type: text/html", body=HTML),
    "200 with JSON": reply("200 OK", "Content-Type: application/json", body=b'{"deleted": 2}'),
    "202": reply("202 Accepted"),
    "303": reply("303 See Other", "Location: http://localhost/done"),
    "500 with HTML": reply("500 Oops", "Content-Type: text/html", body=HTML),
    "502 of a gateway": reply("502 Bad Gateway", body=HTML),
    "500 with the key": echo_the_key,
}
