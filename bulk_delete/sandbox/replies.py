"""What the endpoints have in common: errors as the API words them, JSON, and ids."""

from typing import Any

from aiohttp import web

from bulk_delete.model import MAX_ID

_MOST_DIGITS = len(str(MAX_ID))


class ProblemError(Exception):
    """A request that is answered with an error; `body` as the API words it."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def as_json(
    body: Any,  # noqa: ANN401 - anything that JSON can hold
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def is_id(text: str) -> bool:
    return (
        text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 0 < int(text) <= MAX_ID
    )
