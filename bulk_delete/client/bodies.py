"""The bodies of reads: looked through as they come and never held, for they hold transcripts."""

from collections.abc import Collection, Generator
from typing import Any, TypeVar

from bulk_delete.client.connections import Reply

CHUNK = 32_768
"""Bytes read at a time; the parser makes at most an event of each."""

MAX_VALUE = 8 * 2**20
"""Bytes, about, of the longest string or number; the parser holds it as a whole."""

MAX_DEPTH = 200
"""Most arrays and objects inside of each other."""

_OPENINGS = frozenset({"start_map", "start_array"})
_CLOSINGS = frozenset({"end_map", "end_array"})

_T = TypeVar("_T")
_Event = tuple[str, Any]
_Look = Generator[None, _Event, _T]


class OddBodyError(Exception):
    """A body that is not what the API documents, and proves nothing; the message says why."""


async def runs_in(reply: Reply, wanted: Collection[int]) -> dict[int, int]:
    """Read an array of runs to its end; return the result ids of the wanted runs, by run id.

    Raises OddBodyError, and ClientError and OSError where the body breaks off or is late.
    """
    return await _look_through(reply, _look_for_runs(wanted), whole=True)


async def id_in(reply: Reply) -> int:
    """Read an object as far as its `id`, and return that. Raises as `runs_in` does."""
    return await _look_through(reply, _look_for_id(), whole=False)


async def _look_through(reply: Reply, look: _Look[_T], *, whole: bool) -> _T:
    """Show the body to `look`, event by event; `whole`: it must be JSON to its last byte."""
    import ijson  # noqa: PLC0415 - 6 ms, and most jobs read nothing back

    events: list[_Event] = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)
    seen: list[_T] = []
    since_event = 0
    next(look)
    while True:
        chunk = await reply.read(CHUNK)
        try:
            parser.send(chunk) if chunk else parser.close()
        except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
            # An integer of over 4,300 digits makes ijson 3.6 break off with a SystemError and an
            # event without its value, which must not be touched; an endless exponent is an
            # ArithmeticError.
            raise OddBodyError("it is not JSON") from None
        since_event = 0 if events else since_event + len(chunk)
        if since_event > MAX_VALUE:
            raise OddBodyError("a value in it is too long")
        try:
            for event in events:
                look.send(event)
        except StopIteration as end:
            seen.append(end.value)
        events.clear()
        if seen and not (whole and chunk):
            return seen[0]


def _look_for_runs(wanted: Collection[int]) -> _Look[dict[int, int]]:
    found: dict[int, int] = {}
    kind, _ = yield
    if kind != "start_array":
        raise OddBodyError("it is no array")
    while True:
        kind, _ = yield
        if kind == "end_array":
            return found
        if kind != "start_map":
            raise OddBodyError("an entry of it is no object")
        ids = yield from _look_for_ids(("id", "result_id"))
        run_id, result_id = ids["id"], ids["result_id"]
        if run_id in wanted and found.setdefault(run_id, result_id) != result_id:
            raise OddBodyError(f"run {run_id} is in it with two results")


def _look_for_id() -> _Look[int]:
    kind, _ = yield
    if kind != "start_map":
        raise OddBodyError("it is no object")
    ids = yield from _look_for_ids(("id",), to_the_end=False)
    return ids["id"]


def _look_for_ids(names: tuple[str, ...], *, to_the_end: bool = True) -> _Look[dict[str, int]]:
    """Take the ids of an object that was opened, at its own level."""
    ids: dict[str, int] = {}
    depth = 1
    while depth and (to_the_end or len(ids) < len(names)):
        kind, value = yield
        if kind in _OPENINGS:
            depth += 1
            if depth > MAX_DEPTH:
                raise OddBodyError("it is nested without end")
        elif kind in _CLOSINGS:
            depth -= 1
        elif depth == 1 and kind == "map_key" and value in names:
            name = value
            kind, value = yield
            if type(value) is not int or ids.setdefault(name, value) != value:
                raise OddBodyError(f"an object in it has no {name} or two")
    if len(ids) < len(names):
        raise OddBodyError(f"an object in it lacks one of {', '.join(names)}")
    return ids
