"""Reading a journal back: checked line by line, each event together with the runs of its batch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import msgspec

from bulk_delete import events
from bulk_delete.errors import InvalidInput
from bulk_delete.journal.chain import START, VERSION, DamagedError, Head, Link, unseal
from bulk_delete.ledger import Ledger
from bulk_delete.model import Batch


@dataclass(frozen=True, slots=True)
class Damage:
    """The first line (from 1) that is not as written, and why; `torn`: it has no end."""

    line: int
    reason: str
    torn: bool


@dataclass(slots=True)
class History:
    """What a journal says, up to its end or its first damage."""

    ledger: Ledger = field(default_factory=Ledger)
    end: Link = START
    damage: Damage | None = None
    mark_met: bool = True
    last_batch: int = 0
    started: events.JobStarted | None = None
    finished: events.JobFinished | None = None
    """The end of the last execution; None while it runs or when it crashed."""


def read(path: Path, mark: Link = START) -> History:
    """Replay a journal; an absent one is empty.

    Stops at the first damage and reports it. Raises InvalidInput for a line of an unknown
    version, an unknown `batch.*` event, and an event of a batch that was never sent.
    """
    history = History(mark_met=mark.lines == 0)
    replay = _Replay(path, history)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return history
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    with file:
        for data in file:
            try:
                if not data.endswith(b"\n"):
                    raise DamagedError("it is torn")  # noqa: TRY301 - one handler notes the place
                head, link = unseal(history.end, data)
            except DamagedError as error:
                torn = not data.endswith(b"\n")
                history.damage = Damage(history.end.lines + 1, str(error), torn)
                return history
            replay.take(head, data)
            history.end = link
            if link.lines == mark.lines:
                history.mark_met = link.chain == mark.chain
    return history


class _Replay:
    def __init__(self, path: Path, history: History) -> None:
        self._path = path
        self._history = history
        self._open: dict[int, Batch] = {}
        self._left: dict[int, set[int]] = {}

    def take(self, head: Head, data: bytes) -> None:
        if head.v != VERSION:
            raise self._refuse(head, f"is of version {head.v}; this program reads {VERSION}")
        if head.event not in _KNOWN:
            if head.event.startswith("batch."):
                raise self._refuse(head, f"has the unknown event {head.event!r}")
            return
        try:
            event = _event.decode(data)
        except msgspec.DecodeError as error:
            raise self._refuse(head, f"is no {head.event}: {error}") from None
        match event:
            case events.JobStarted():
                self._history.started, self._history.finished = event, None
                self._open.clear()
                self._left.clear()
            case events.JobFinished():
                self._history.finished = event
            case (
                events.PlanReplaced()
                | events.RateChanged()
                | events.JobPaused()
                | events.JobContinued()
                | events.ApiRead()
            ):
                pass
            case events.BatchWithheld() | events.BatchReopened():
                self._history.ledger.apply_pairs(event)
            case _:
                self._of_batch(head, event)

    def _of_batch(self, head: Head, event: events.OfBatch) -> None:
        batch = self._batch(event)
        if batch is None:
            raise self._refuse(head, f"speaks of batch {event.batch}, which is not open")
        into = event.into if isinstance(event, events.BatchSplit) else ()
        self._history.last_batch = max(self._history.last_batch, event.batch, *into)
        self._history.ledger.apply(batch, event)
        self._close(batch, event)

    def _batch(self, event: events.OfBatch) -> Batch | None:
        match event:
            case events.BatchSent(attempt=1, run_ids=tuple() as run_ids):
                batch = Batch(event.batch, event.result_id, run_ids, parent=event.parent)
                self._open[batch.number] = batch
                self._left[batch.number] = set(run_ids)
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown() if (
                event.result_id is not None
            ):
                return Batch(event.batch, event.result_id, event.run_ids or ())
            case _:
                pass
        return self._open.get(event.batch)

    def _close(self, batch: Batch, event: events.OfBatch) -> None:
        match event:
            case events.BatchSent() | events.BatchRetry():
                return
            case events.BatchDeleted() | events.BatchSplit():
                left: set[int] = set()
            case events.BatchFailed() | events.BatchGone() | events.BatchUnknown():
                named = batch.run_ids if event.run_ids is None else event.run_ids
                left = self._left.get(batch.number, set()) - set(named)
        if left:
            self._left[batch.number] = left
        else:
            self._open.pop(batch.number, None)
            self._left.pop(batch.number, None)

    def _refuse(self, head: Head, what: str) -> InvalidInput:
        return InvalidInput(
            f"{self._path}, line {head.n}: {what}. Nothing was sent. "
            "Use the version that wrote it, or start over under another --name"
        )


_event = msgspec.json.Decoder(events.AnyEvent)
_KNOWN = {cls.__struct_config__.tag for cls in get_args(events.AnyEvent)}
