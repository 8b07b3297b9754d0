"""The API's contract as a local server: as strict as the real one would be.

Paths are those of v1 and v2, with and without the last slash, and the aliases `results-external`
and `runs-external`. What the contract leaves open is chosen by `Faults`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from bulk_delete.model import MAX_BATCH, MAX_ID
from bulk_delete.sandbox.calls import Call, CallLog
from bulk_delete.sandbox.faults import Dice, Fate, Faults
from bulk_delete.sandbox.limits import Presence, Queue, RateLimit
from bulk_delete.sandbox.reading import Reading
from bulk_delete.sandbox.replies import ProblemError, as_json, is_id
from bulk_delete.sandbox.world import World

KEY_HEADER = "X-CEKURA-API-KEY"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        self._presence = Presence(faults.outage, time.monotonic)
        self._limit = RateLimit(faults, time.monotonic, time.time)
        self._queue = Queue(faults.capacity, time.monotonic)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 20)
        reading = Reading(self.world, self._faults.run_bytes)
        for version in ("v1", "v2"):
            for results in ("results", "results-external"):
                base = f"/test_framework/{version}/{results}"
                _add(app, "POST", base + "/{id:[0-9]{1,19}}/delete_runs", self._delete_runs)
                _add(app, "GET", base + "/{id:[0-9]{1,19}}", reading.result)
                _add(app, "GET", base, reading.results)
            for runs in ("runs", "runs-external"):
                base = f"/test_framework/{version}/{runs}"
                _add(app, "GET", base + "/bulk", reading.bulk)
                _add(app, "GET", base + "/{id:[0-9]{1,19}}", reading.run)
                _add(app, "GET", base, reading.runs)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, and log the delete calls: each before its reply, those refused here as well.

        The latency lies between effect and reply, so that a client that gives up too early finds
        its runs deleted.
        """
        if request.match_info.handler != self._delete_runs:
            self.log.reads.append((time.monotonic(), request.path_qs))
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
            if self._presence.is_out(deletes=request.match_info.handler == self._delete_runs):
                return as_json({"detail": "Service unavailable."}, 503)
            headers = self._limit.refusal()
            if headers is not None:
                return as_json({"detail": "Request was throttled."}, 429, headers)
            if wait := self._queue.wait():
                await asyncio.sleep(wait)
            self._check_access(request)
            return await handler(request)
        except ProblemError as problem:
            return as_json(problem.body, problem.status)
        except web.HTTPException as error:
            return as_json({"detail": error.reason}, error.status)

    def _check_access(self, request: web.Request) -> None:
        key = request.headers.get(KEY_HEADER, "").strip()
        if not key or (self._key is not None and key != self._key):
            raise ProblemError(401, {"detail": "Invalid API key."})
        if request.method == "GET" and self._faults.read_back == "forbidden":
            raise ProblemError(403, {"detail": "You do not have permission to read."})
        if request.method == "GET" and self._faults.read_back == "missing":
            raise ProblemError(404, {"detail": "Not found."})

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
            return as_json({"detail": "Internal server error."}, 500)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _check(self, result_id: int, run_ids: tuple[int, ...]) -> None:
        if result_id not in self.world.live:
            raise ProblemError(404, {"detail": "No Result matches the given query."})
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
                raise ProblemError(400, {"run_ids": [f"Invalid run ids: {shown}"]})
            if odd and answer == "404":
                raise ProblemError(404, {"detail": "No Run matches the given query."})


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    for spelling in (path, path + "/"):
        app.router.add_route(method, spelling, handler)


async def _run_ids(request: web.Request) -> tuple[int, ...]:
    """Read the body in any of its three content types. Raises ProblemError."""
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise ProblemError(400, {"detail": f"JSON parse error - {error}"}) from None
        if not isinstance(body, dict):
            raise ProblemError(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        values = body.get("run_ids")
    elif request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        try:
            form = await request.post()
        except (ValueError, LookupError) as error:
            raise ProblemError(400, {"detail": f"Form parse error - {error}"}) from None
        values = [
            int(value) if isinstance(value, str) and is_id(value) else value
            for value in form.getall("run_ids", [])
        ] or None
    else:
        raise ProblemError(415, {"detail": "Unsupported media type in request."})
    if values is None:
        raise ProblemError(400, {"run_ids": ["This field is required."]})
    if not isinstance(values, list) or not values:
        raise ProblemError(400, {"run_ids": ["Expected a list of items that is not empty."]})
    if len(values) > MAX_BATCH:
        raise ProblemError(
            400, {"run_ids": [f"Ensure this field has no more than {MAX_BATCH} elements."]}
        )
    if not all(type(value) is int and 0 < value <= MAX_ID for value in values):
        raise ProblemError(400, {"run_ids": ["A valid integer is required."]})
    return tuple(values)
