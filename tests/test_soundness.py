"""Engine, journal and ledger together, over random nights: what they say is what the server did."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_delete import events
from bulk_delete.config import Limits, MaxFailures, Rate, Retry
from bulk_delete.dispatch import Ends, Engine
from bulk_delete.errors import Interrupted
from bulk_delete.journal.mark import read_mark
from bulk_delete.journal.opening import recover
from bulk_delete.journal.survey import Finding, Survey
from bulk_delete.journal.writer import Journal
from bulk_delete.ledger import DONE, among
from bulk_delete.model import (
    BadRequest,
    Batch,
    Deleted,
    Fact,
    Forbidden,
    Found,
    InDoubt,
    KeyRejected,
    NotSent,
    Pair,
    Reading,
    ResultNotFound,
    ServerError,
    State,
    Throttled,
    Visible,
)
from bulk_delete.runner.auditing import BookAuditor
from bulk_delete.store import Plan, States, states_told, states_writer
from bulk_delete.throttle import Throttle
from tests.conftest import WarpLoop
from tests.made_plans import SCRATCH, plan_of, self_closing
from tests.plain_ledger import PlainLedger
from tests.replays import replay

MAY_BE_DELETED = {State.DELETED, State.GONE, State.IN_DOUBT, State.UNKNOWN}

BEFORE: list[Fact] = [
    NotSent("refused"),
    Throttled(429, None, ""),
    Throttled(429, 0.0, ""),
    Throttled(429, 3.0, ""),
    Forbidden(403, ""),
    KeyRejected(401, ""),
    InDoubt("lost"),
    ServerError(500, None, ""),
]
"""What may come of a call that was not applied."""

AFTER: list[Fact] = [InDoubt("lost"), InDoubt("200", 200), ServerError(502, None, "")]
"""What may come of one that was."""

NOT_READ: list[Fact] = [
    NotSent("refused"),
    Throttled(429, 2.0, ""),
    InDoubt("lost"),
    ServerError(503, None, ""),
    BadRequest(400, "?"),
]
"""What may come of a read."""


Settle = Literal["read-back", "resend", "hold"]


@dataclass(frozen=True)
class Night:
    """How one execution is told to settle doubts, and after how many calls it is stopped."""

    settle: Settle
    stop_after: int | None


STARTED = events.JobStarted(
    job="night",
    execution="0",
    version="0",
    host="here",
    pid=1,
    base_url="http://127.0.0.1",
    key_id="k",
    inputs=(),
    fingerprint="0" * 64,
    counts={},
    limits={},
    approved_by="test",
)


@dataclass
class Guard:
    """Protects more runs now and then, just when it is asked about them."""

    rng: random.Random
    share: float
    protected: set[Pair] = field(default_factory=set)
    cleared: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """The runs of each result that it let through when it was last asked."""

    async def held_back(self, result_id: int, run_ids: tuple[int, ...]) -> frozenset[int]:
        await anyio.sleep(self.rng.choice([0.0, 0.2]))
        if self.rng.random() < self.share:
            chosen = self.rng.sample(run_ids, self.rng.randrange(len(run_ids)) + 1)
            self.protected |= {Pair(result_id, run) for run in chosen}
        held = frozenset(run for run in run_ids if (result_id, run) in self.protected)
        self.cleared[result_id] = () if held else run_ids
        return held


@dataclass
class Server:
    """Applies or not, answers or not, by chance; knows what it deleted and what was sent it."""

    rng: random.Random
    live: set[Pair]
    guard: Guard
    calm: bool = False
    readable: bool = True
    announced: set[Pair] = field(default_factory=set)
    deleted: set[Pair] = field(default_factory=set)
    busy: set[int] = field(default_factory=set)
    calls: int = 0

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact:
        run_ids = tuple(json.loads(body)["run_ids"])
        pairs = {Pair(result_id, run) for run in run_ids}
        assert request_id
        assert result_id not in self.busy
        assert 0 < len(run_ids) <= 100
        assert self.guard.cleared.pop(result_id) == run_ids
        assert self.guard.protected.isdisjoint(pairs)
        self.calls += 1
        assert pairs <= self.announced
        self.busy.add(result_id)
        try:
            fact = self._decide(result_id, pairs)
            await anyio.sleep(self.rng.random())
        finally:
            self.busy.discard(result_id)
        return fact

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading:
        assert request_id
        assert 0 < len(run_ids) <= 100
        found = {pair.run_id: pair.result_id for pair in self.live if pair.run_id in run_ids}
        return await self._read(Found(200, 1, found))

    async def read_result(self, result_id: int, request_id: str) -> Reading:
        assert request_id
        is_there = any(pair.result_id == result_id for pair in self.live | self.deleted)
        return await self._read(Visible(200, 1) if is_there else ResultNotFound(404, ""))

    async def _read(self, reading: Reading) -> Reading:
        await anyio.sleep(self.rng.random())
        if not self.readable:
            return Forbidden(403, "")
        odd = not self.calm and self.rng.random() < 0.2
        return self.rng.choice(NOT_READ) if odd else reading

    def _decide(self, result_id: int, pairs: set[Pair]) -> Fact:
        if not self.calm and self.rng.random() < 0.18:
            return self.rng.choices(BEFORE, [5, 2, 2, 2, 1, 0.5, 4, 4])[0]
        if not any(pair.result_id == result_id for pair in self.live | self.deleted):
            return ResultNotFound(404, "")
        if not pairs <= self.live | self.deleted:
            return BadRequest(400, "unknown run")
        self.live -= pairs
        self.deleted |= pairs
        if not self.calm and self.rng.random() < 0.1:
            return self.rng.choice(AFTER)
        return Deleted(204, 1)


@dataclass
class Recorder:
    journal: Journal
    ledger: PlainLedger
    announced: set[Pair]
    """All pairs of which it was written that a call leaves with them."""

    def record(self, batch: Batch, event: events.OfBatch) -> None:
        self.journal.write(event)
        self.ledger.apply(batch, event)

    def record_sent(self, batch: Batch, event: events.BatchSent, ids: bytes) -> None:
        self.announced |= {Pair(batch.result_id, run) for run in batch.run_ids}
        self.journal.write(event, ids)
        self.ledger.apply(batch, event)

    def record_job(self, event: events.OfJob) -> None:
        self.journal.write(event)

    def record_pairs(self, event: events.OfPairs) -> None:
        self.journal.write(event)
        self.ledger.apply_pairs(event)

    async def durable(self) -> None:
        await self.journal.durable()


def left_to_do(plan: Plan, states: States) -> Plan:
    return self_closing(plan.keep(lambda columns: ~among(states.codes(columns), DONE)))


async def execute(
    folder: Path, plan: Plan, server: Server, ledger: PlainLedger, night: Night
) -> None:
    """Run one execution on the journal as it stands; stop or cut it after so many calls.

    `ledger` is what the engine wrote in all executions, kept in memory.
    """
    journal_path, mark = folder / "journal.jsonl", folder / "journal.mark"
    (history, _), states = states_told(
        lambda sink: recover(journal_path, mark, folder / "journal.broken", sink), SCRATCH, plan
    )
    rng = server.rng
    known_deleted = {pair for pair in plan.pairs() if ledger.state(*pair) in DONE}
    journal = Journal(journal_path, mark, history.end)
    limits = Limits(Rate(100.0), concurrency=4, max_failures=MaxFailures(share=1.0))
    ids = iter(range(10**9))
    ends = Ends(
        transport=server,
        pace=Throttle(limits.rate),
        recorder=Recorder(journal, ledger, server.announced),
        past=states,
        shield=server.guard,
        clock=anyio.current_time,
        dice=rng.random,
        new_id=lambda: f"r{next(ids)}",
    )
    engine = Engine(
        ends, limits, Retry(attempts=3, settle=night.settle), history.last_batch + 1, []
    )
    todo = left_to_do(plan, states)
    assert known_deleted.isdisjoint(todo.pairs())
    async with anyio.create_task_group() as group:
        group.start_soon(journal.serve)
        journal.write(STARTED)
        ledger.start()

        async def interrupt(calls: int) -> None:
            while server.calls < calls:  # noqa: ASYNC110 - a sleep here takes no time
                await anyio.sleep(0.3)
            engine.stop(Interrupted(2))
            if rng.random() < 0.5:
                engine.cut()

        if night.stop_after is not None:
            group.start_soon(interrupt, server.calls + night.stop_after)
        await engine.run(todo.lanes())
        await journal.close()
        group.cancel_scope.cancel()
    journal.release()
    states.close()
    assert findings(journal_path, mark, plan) == []
    told = replay(journal_path, plan)
    assert told.history.damage is None
    assert told.history.end == journal.end
    for pair, verdict in told.states.told(plan.chunks()):
        assert verdict.state is ledger.state(*pair)
    if not engine.endings:
        open_states = {State.UNSENT, State.IN_DOUBT}
        assert not any(ledger.state(*pair) in open_states for pair in todo.pairs())


def findings(journal: Path, mark: Path, plan: Plan) -> list[Finding]:
    """Return what an audit finds."""
    writer = states_writer(SCRATCH, plan)
    try:
        return list(Survey(journal, read_mark(mark), BookAuditor(writer, plan)).findings())
    finally:
        writer.close()


def check(told: dict[Pair, State], server: Server) -> None:
    """Hold what the journal says against what the server did."""
    for pair, state in told.items():
        if state is State.DELETED:
            assert pair in server.deleted
        if state is State.GONE:
            assert pair not in server.live
        if pair in server.deleted:
            assert state in MAY_BE_DELETED
        if state is State.WITHHELD:
            assert pair in server.guard.protected
    assert server.deleted <= told.keys()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_the_journal_says_is_what_the_server_did(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Over stops, cuts, refusals and lost replies: nothing applied is ever told as not applied.

    No deleted run is sent again, nor any run while it is protected; no result has two calls at
    once; replay tells what the engine wrote. When the server is calm again every good run is
    deleted in the end, but for the protected ones: those are withheld, or unknown where a call
    may have left with them. Once they are free they are deleted, too.
    """
    rng = random.Random(seed)
    good = {
        Pair(result, result * 1000 + number)
        for result in range(1, rng.randrange(2, 8))
        for number in range(rng.choice([1, 3, 99, 100, 101, 230]))
    }
    bad = {Pair(rng.randrange(1, 9), 900_000 + number) for number in range(rng.randrange(4))}
    others = {Pair(1, 950_000)}
    guard = Guard(rng, share=rng.choice([0.0, 0.1, 0.4]))
    server = Server(rng, good | others, guard, readable=rng.random() < 0.8)
    plan = plan_of(good | bad)
    folder = tmp_path_factory.mktemp("night")

    ledger = PlainLedger()

    def night(stop_after: int | None, settle: Settle = "read-back") -> dict[Pair, State]:
        given = Night(settle, stop_after)
        anyio.run(execute, folder, plan, server, ledger, given, backend_options=WARPED)
        replayed = replay(folder / "journal.jsonl")
        told = {pair: why.state for pair, why in replayed.states.told(plan.chunks())}
        check(told, server)
        return told

    for _ in range(rng.randrange(1, 4)):
        settle: Settle = rng.choice(["read-back", "read-back", "resend", "hold"])
        night(rng.choice([None, rng.randrange(1, 40)]), settle)
    server.calm, guard.share = True, 0.0
    final = night(None, rng.choice(["read-back", "resend"]))
    for pair in good & guard.protected:
        doubtful = {State.UNKNOWN, *DONE} if pair in server.announced else set()
        assert final[pair] in {State.WITHHELD, *doubtful}
    assert all(final[pair] in DONE for pair in good - guard.protected)
    if guard.protected:
        guard.protected.clear()
        final = night(None)
    assert server.live == others
    assert all(final[pair] in DONE for pair in good)
    assert all(final[pair] in NEVER_DELETED for pair in bad - good)


NEVER_DELETED = {State.FAILED, State.UNKNOWN, State.GONE}
WARPED = {"loop_factory": WarpLoop}
