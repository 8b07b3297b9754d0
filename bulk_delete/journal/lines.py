"""What a journal line says: its event, decoded once together with what every line has."""

from datetime import datetime
from typing import Annotated, Any, TypeVar, Union, get_args

import msgspec

from bulk_delete import events
from bulk_delete.journal.chain import VERSION, DamagedError

OfJob = TypeVar("OfJob", events.JobStarted, events.JobFinished)
Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class Head(msgspec.Struct):
    """What every line has."""

    v: int
    n: int
    ts: Stamp
    event: str


class UnknownLineError(Exception):
    """A line is as it was written, but not for this program. The text says how."""


def parse(data: bytes, number: int) -> tuple[events.AnyEvent | None, datetime]:
    """Decode a line of this number: event and time. None is an event of the job from later on.

    Raises DamagedError and UnknownLineError.
    """
    head, event = decode(data)
    if head.n != number:
        raise DamagedError(f"its number is {head.n}, not {number}")
    return event, head.ts


def decode(data: bytes) -> "tuple[Head, events.AnyEvent | None]":
    """Decode a line of any number; raises as `parse` does."""
    try:
        line = _line.decode(data)
    except UnicodeDecodeError as error:
        raise DamagedError(f"it is no journal line: {error}") from None
    except msgspec.DecodeError as error:
        return _unknown(data, error), None
    if line.v != VERSION:
        raise _of_other_version(line.v)
    return line, line


def bare(line: OfJob, kind: type[OfJob]) -> OfJob:
    """Return the event of a line without what every line has."""
    return msgspec.convert(line, kind, from_attributes=True)


def _of_other_version(version: int) -> UnknownLineError:
    return UnknownLineError(f"is of version {version}; this program reads {VERSION}")


def _unknown(data: bytes, why: msgspec.DecodeError) -> Head:
    try:
        head = _head.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedError(f"it is no journal line: {error}") from None
    if head.v != VERSION:
        raise _of_other_version(head.v)
    if head.event in _KNOWN:
        raise UnknownLineError(f"is no {head.event}: {why}")
    if head.event.startswith("batch."):
        raise UnknownLineError(f"has the unknown event {head.event!r}")
    return head


def _with_head(kind: type[events.Event]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        kind.__name__,
        [("v", int), ("n", int), ("ts", Stamp)],
        bases=(kind,),
        tag_field="event",
        tag=kind.__struct_config__.tag,
        frozen=True,
        kw_only=True,
    )


_KINDS = get_args(events.AnyEvent)
_KNOWN = {kind.__struct_config__.tag for kind in _KINDS}
_head = msgspec.json.Decoder(Head)
_line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[*map(_with_head, _KINDS)])
