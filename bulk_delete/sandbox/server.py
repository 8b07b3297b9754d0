"""The API's contract as a local server: as strict as the real one would be.

Paths are those of v1 and v2, with and without the last slash, and the aliases `results-external`
and `runs-external`. What the contract leaves open is chosen by `Faults`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web

from bulk_delete.model import MAX_BATCH, MAX_ID
from bulk_delete.sandbox.calls import Call, CallLog
from bulk_delete.sandbox.faults import Dice, Fate, Faults, RateLimit
from bulk_delete.sandbox.world import World

KEY_HEADER = "X-CEKURA-API-KEY"
MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_MOST_DIGITS = len(str(MAX_ID))

_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)
_T = TypeVar("_T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _ProblemError(Exception):
    """A request that is answered with an error; `body` as the API words it."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a delete call asked for and did, for the log."""

    run_ids: tuple[int, ...] = ()
    applied: tuple[int, ...] = ()
    fate: Fate | None = None


_EFFECT = web.RequestKey("effect", _Effect)


class Server:
    """Answers the API's calls out of a world. `key`: the only key accepted; None: any."""

    def __init__(
        self, world: World, faults: Faults, *, seed: int, key: str | None, log: CallLog
    ) -> None:
        self.world = world
        self.log = log
        self._faults = faults
        self._key = key
        self._dice = Dice(faults, seed)
        self._limit = RateLimit(faults, time.monotonic, time.time)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 20)
        for version in ("v1", "v2"):
            for results in ("results", "results-external"):
                base = f"/test_framework/{version}/{results}"
                _add(app, "POST", base + "/{id:[0-9]{1,19}}/delete_runs", self._delete_runs)
                _add(app, "GET", base + "/{id:[0-9]{1,19}}", self._result)
                _add(app, "GET", base, self._results)
            for runs in ("runs", "runs-external"):
                base = f"/test_framework/{version}/{runs}"
                _add(app, "GET", base + "/bulk", self._bulk)
                _add(app, "GET", base + "/{id:[0-9]{1,19}}", self._run)
                _add(app, "GET", base, self._runs)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, and log the delete calls: each before its reply, those refused here as well.

        The latency lies between effect and reply, so that a client that gives up too early finds
        its runs deleted.
        """
        if request.match_info.handler != self._delete_runs:
            response = await self._answer(request, handler)
            await asyncio.sleep(self._faults.latency_s)
            return response
        result_id = int(request.match_info["id"])
        self.log.enter(result_id)
        try:
            response = await self._answer(request, handler)
            effect = request.get(_EFFECT, _Effect())
            reset = effect.fate in {"reset_before", "reset_after"}
            self.log.add(
                Call(
                    t=time.monotonic(),
                    request_id=request.headers.get("X-Request-ID", ""),
                    result_id=result_id,
                    run_ids=effect.run_ids,
                    status=None if reset else response.status,
                    applied=effect.applied,
                    fault=effect.fate,
                )
            )
            await asyncio.sleep(self._faults.latency_s)
            if reset and request.transport is not None:
                request.transport.abort()
            return response
        finally:
            self.log.leave(result_id)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            headers = self._limit.refusal()
            if headers is not None:
                return _json({"detail": "Request was throttled."}, 429, headers)
            key = request.headers.get(KEY_HEADER, "").strip()
            if not key or (self._key is not None and key != self._key):
                raise _ProblemError(401, {"detail": "Invalid API key."})  # noqa: TRY301 - one place words them
            return await handler(request)
        except _ProblemError as problem:
            return _json(problem.body, problem.status)
        except web.HTTPException as error:
            return _json({"detail": error.reason}, error.status)

    async def _delete_runs(self, request: web.Request) -> web.StreamResponse:
        result_id = int(request.match_info["id"])
        fate = self._dice.draw()
        run_ids = await _run_ids(request)
        request[_EFFECT] = _Effect(run_ids)
        applied: list[int] = []
        if fate not in {"reset_before", "error_before"}:
            self._check(result_id, run_ids)
            applied = self.world.delete(result_id, run_ids)
        request[_EFFECT] = _Effect(run_ids, tuple(applied), fate)
        if fate in {"error_before", "error_after"}:
            return _json({"detail": "Internal server error."}, 500)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _check(self, result_id: int, run_ids: tuple[int, ...]) -> None:
        if result_id not in self.world.live:
            raise _ProblemError(404, {"detail": "No Result matches the given query."})
        live, deleted = self.world.live[result_id], self.world.deleted[result_id]
        for answer, odd in (
            (self._faults.deleted_run, [run for run in run_ids if run in deleted]),
            (
                self._faults.unknown_run,
                [run for run in run_ids if run not in live and run not in deleted],
            ),
        ):
            if odd and answer == "400":
                shown = ", ".join(map(str, odd[:5]))
                raise _ProblemError(400, {"run_ids": [f"Invalid run ids: {shown}"]})
            if odd and answer == "404":
                raise _ProblemError(404, {"detail": "No Run matches the given query."})

    async def _result(self, request: web.Request) -> web.StreamResponse:
        found = self.world.result(int(request.match_info["id"]))
        if found is None:
            raise _ProblemError(404, {"detail": "No Result matches the given query."})
        return _json(found)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        found = self.world.run(int(request.match_info["id"]))
        if found is None:
            raise _ProblemError(404, {"detail": "No Run matches the given query."})
        return _json(found)

    async def _results(self, request: web.Request) -> web.StreamResponse:
        ids = sorted(self.world.live)
        return _page(request, ids, lambda result_id: self._short(self.world.result(result_id)))

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        ids = self._scoped(request, self.world.live_run_ids())
        ordering = request.query.get("ordering", "-id")
        field = ordering.removeprefix("-")
        if field not in {"id", "result_id", "timestamp"}:
            raise _ProblemError(400, {"ordering": [f"{ordering!r} is not a valid choice."]})
        found = [self.world.run(run) or {} for run in ids]
        found.sort(key=lambda run: (run[field], run["id"]), reverse=ordering.startswith("-"))
        return _page(request, found, self._short)

    async def _bulk(self, request: web.Request) -> web.StreamResponse:
        words = request.query.get("run_ids", "").split(",")
        if not all(_is_id(word.strip()) for word in words):
            raise _ProblemError(400, {"run_ids": ["run_ids must be comma-separated integers"]})
        ids = self._scoped(request, [int(word) for word in words])
        return _json([run for run in map(self.world.run, ids) if run])

    def _scoped(self, request: web.Request, ids: list[int]) -> list[int]:
        for field in ("result_id", "agent_id", "project_id", "status"):
            if wanted := request.query.get(field):
                ids = [run for run in ids if str((self.world.run(run) or {}).get(field)) == wanted]
        begin, end = (_time(request, f"created_at_{bound}") for bound in ("from", "to"))
        if begin or end:
            ids = [
                run
                for run in ids
                if (begin or _FIRST) <= self.world.created_at(run) <= (end or _LAST)
            ]
        return ids

    @staticmethod
    def _short(found: dict[str, Any] | None) -> dict[str, Any]:
        left_out = {"transcript", "evaluation", "metadata", "runs"}
        return {key: value for key, value in (found or {}).items() if key not in left_out}


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    for spelling in (path, path + "/"):
        app.router.add_route(method, spelling, handler)


async def _run_ids(request: web.Request) -> tuple[int, ...]:
    """Read the body in any of its three content types. Raises _ProblemError."""
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise _ProblemError(400, {"detail": f"JSON parse error - {error}"}) from None
        if not isinstance(body, dict):
            raise _ProblemError(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        values = body.get("run_ids")
    elif request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        try:
            form = await request.post()
        except (ValueError, LookupError) as error:
            raise _ProblemError(400, {"detail": f"Form parse error - {error}"}) from None
        values = [
            int(value) if isinstance(value, str) and _is_id(value) else value
            for value in form.getall("run_ids", [])
        ] or None
    else:
        raise _ProblemError(415, {"detail": "Unsupported media type in request."})
    if values is None:
        raise _ProblemError(400, {"run_ids": ["This field is required."]})
    if not isinstance(values, list) or not values:
        raise _ProblemError(400, {"run_ids": ["Expected a list of items that is not empty."]})
    if len(values) > MAX_BATCH:
        raise _ProblemError(
            400, {"run_ids": [f"Ensure this field has no more than {MAX_BATCH} elements."]}
        )
    if not all(type(value) is int and 0 < value <= MAX_ID for value in values):
        raise _ProblemError(400, {"run_ids": ["A valid integer is required."]})
    return tuple(values)


def _time(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _ProblemError(400, {name: ["Enter a valid date/time."]}) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_id(text: str) -> bool:
    return (
        text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 0 < int(text) <= MAX_ID
    )


def _page(request: web.Request, items: list[_T], show: Callable[[_T], Any]) -> web.Response:
    try:
        page = int(request.query.get("page", "1"))
        size = int(request.query.get("page_size", str(_DEFAULT_PAGE)))
    except ValueError:
        raise _ProblemError(404, {"detail": "Invalid page."}) from None
    size = min(size, MAX_PAGE)
    if page < 1 or size < 1 or (page > 1 and (page - 1) * size >= len(items)):
        raise _ProblemError(404, {"detail": "Invalid page."})
    start = (page - 1) * size

    def link(number: int) -> str:
        return str(request.url.update_query(page=number))

    return _json(
        {
            "count": len(items),
            "next": link(page + 1) if start + size < len(items) else None,
            "previous": link(page - 1) if page > 1 else None,
            "results": [show(item) for item in items[start : start + size]],
        }
    )


def _json(
    body: Any,  # noqa: ANN401 - anything that JSON can hold
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> web.Response:
    return web.json_response(body, status=status, headers=headers)
