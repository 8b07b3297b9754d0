"""The endpoints that only read, as strict as the real ones would be."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web

from bulk_delete.sandbox.replies import ProblemError, as_json, is_id
from bulk_delete.sandbox.world import World

MAX_PAGE = 1000
_DEFAULT_PAGE = 100

_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)
_T = TypeVar("_T")

_EMPTY = b'"transcript": []'
_TURN = b'{"role": "Main Agent", "content": "%b", "start_time": 0.5, "end_time": 1.5}' % (
    b"word " * 190
)
_TURNS_AT_ONCE = 64


class Reading:
    """Answers out of a world; each transcript is `run_bytes` long, or somewhat longer."""

    def __init__(self, world: World, run_bytes: int) -> None:
        self._world = world
        self._turns = -(-run_bytes // len(_TURN))

    async def result(self, request: web.Request) -> web.StreamResponse:
        found = self._world.result(int(request.match_info["id"]))
        if found is None:
            raise ProblemError(404, {"detail": "No Result matches the given query."})
        return as_json(found)

    async def run(self, request: web.Request) -> web.StreamResponse:
        found = self._world.run(int(request.match_info["id"]))
        if found is None:
            raise ProblemError(404, {"detail": "No Run matches the given query."})
        return self._runs([found], b"", b"")

    async def results(self, request: web.Request) -> web.StreamResponse:
        ids = sorted(self._world.live)
        return _page(request, ids, lambda result_id: self._short(self._world.result(result_id)))

    async def runs(self, request: web.Request) -> web.StreamResponse:
        ids = self._scoped(request, self._world.live_run_ids())
        ordering = request.query.get("ordering", "-id")
        field = ordering.removeprefix("-")
        if field not in {"id", "result_id", "timestamp"}:
            raise ProblemError(400, {"ordering": [f"{ordering!r} is not a valid choice."]})
        found = [self._world.run(run) or {} for run in ids]
        found.sort(key=lambda run: (run[field], run["id"]), reverse=ordering.startswith("-"))
        return _page(request, found, self._short)

    async def bulk(self, request: web.Request) -> web.StreamResponse:
        words = request.query.get("run_ids", "").split(",")
        if not all(is_id(word.strip()) for word in words):
            raise ProblemError(400, {"run_ids": ["run_ids must be comma-separated integers"]})
        ids = self._scoped(request, [int(word) for word in words])
        return self._runs([run for run in map(self._world.run, ids) if run], b"[", b"]")

    def _runs(self, runs: list[dict[str, Any]], begin: bytes, end: bytes) -> web.Response:
        if self._turns:
            body = self._with_transcripts(runs, begin, end)
            return web.Response(body=body, content_type="application/json")
        texts = [json.dumps(run).encode() for run in runs]
        return web.Response(
            body=begin + b", ".join(texts) + end, content_type="application/json", charset="utf-8"
        )

    async def _with_transcripts(
        self, runs: list[dict[str, Any]], begin: bytes, end: bytes
    ) -> AsyncIterator[bytes]:
        """Write runs piece by piece: together they may be far larger than the memory."""
        yield begin
        for place, run in enumerate(runs):
            before, empty, after = json.dumps(run).encode().partition(_EMPTY)
            yield (b", " if place else b"") + before + empty[:-1]
            for start in range(0, self._turns, _TURNS_AT_ONCE):
                turns = min(_TURNS_AT_ONCE, self._turns - start)
                yield (b", " if start else b"") + b", ".join([_TURN] * turns)
            yield empty[-1:] + after
        yield end

    def _scoped(self, request: web.Request, ids: list[int]) -> list[int]:
        for field in ("result_id", "agent_id", "project_id", "status"):
            if wanted := request.query.get(field):
                ids = [run for run in ids if str((self._world.run(run) or {}).get(field)) == wanted]
        begin, end = (_time(request, f"created_at_{bound}") for bound in ("from", "to"))
        if begin or end:
            ids = [
                run
                for run in ids
                if (begin or _FIRST) <= self._world.created_at(run) <= (end or _LAST)
            ]
        return ids

    @staticmethod
    def _short(found: dict[str, Any] | None) -> dict[str, Any]:
        left_out = {"transcript", "evaluation", "metadata", "runs"}
        return {key: value for key, value in (found or {}).items() if key not in left_out}


def _time(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ProblemError(400, {name: ["Enter a valid date/time."]}) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _page(request: web.Request, items: list[_T], show: Callable[[_T], Any]) -> web.Response:
    try:
        page = int(request.query.get("page", "1"))
        size = int(request.query.get("page_size", str(_DEFAULT_PAGE)))
    except ValueError:
        raise ProblemError(404, {"detail": "Invalid page."}) from None
    size = min(size, MAX_PAGE)
    if page < 1 or size < 1 or (page > 1 and (page - 1) * size >= len(items)):
        raise ProblemError(404, {"detail": "Invalid page."})
    start = (page - 1) * size

    def link(number: int) -> str:
        return str(request.url.update_query(page=number))

    return as_json(
        {
            "count": len(items),
            "next": link(page + 1) if start + size < len(items) else None,
            "previous": link(page - 1) if page > 1 else None,
            "results": [show(item) for item in items[start : start + size]],
        }
    )
