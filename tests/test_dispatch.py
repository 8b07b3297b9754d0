"""The engine against an API in memory, with time faked."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import anyio
import pytest

from bulk_delete import events
from bulk_delete.config import Limits, MaxFailures, Rate, Retry, Seconds
from bulk_delete.dispatch import Ends, Engine
from bulk_delete.errors import GaveUp, Interrupted, JournalFailed, KeyRejected
from bulk_delete.model import (
    BadRequest,
    Batch,
    Deleted,
    Fact,
    Forbidden,
    InDoubt,
    NotSent,
    Pair,
    Reading,
    ResultNotFound,
    ServerError,
    State,
    Throttled,
)
from bulk_delete.model import KeyRejected as KeyRejectedFact
from bulk_delete.store import Plan
from bulk_delete.throttle import Throttle
from tests.made_plans import plan_of
from tests.plain_ledger import PlainLedger

Script = Callable[["FakeApi", int, tuple[int, ...]], Fact]


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


def accept(_api: "FakeApi", _result_id: int, _run_ids: tuple[int, ...]) -> Fact:
    return Deleted(204, 1)


@dataclass
class FakeApi:
    """Answers by a script, after `latency_s`; notes when each call came and how many at once."""

    script: Script = accept
    latency_s: float = 0.05
    read: Callable[["FakeApi", tuple[int, ...]], Reading] = lambda *_: Forbidden(403, "no reading")
    see: Callable[["FakeApi", int], Reading] = lambda *_: Forbidden(403, "no reading")
    reads: list[tuple[float, int | tuple[int, ...]]] = field(default_factory=list)
    calls: list[tuple[float, int, tuple[int, ...]]] = field(default_factory=list)
    at_once: Counter[int] = field(default_factory=Counter)
    most_at_once: Counter[int] = field(default_factory=Counter)
    most: int = 0

    async def delete_runs(self, result_id: int, body: bytes, request_id: str) -> Fact:
        assert request_id
        run_ids = tuple(json.loads(body)["run_ids"])
        self.calls.append((anyio.current_time(), result_id, run_ids))
        self.at_once[result_id] += 1
        self.most_at_once[result_id] = max(self.most_at_once[result_id], self.at_once[result_id])
        self.most = max(self.most, self.at_once.total())
        try:
            await anyio.sleep(self.latency_s)
        finally:
            self.at_once[result_id] -= 1
        return self.script(self, result_id, run_ids)

    async def read_runs(self, run_ids: tuple[int, ...], request_id: str) -> Reading:
        assert request_id
        self.reads.append((anyio.current_time(), run_ids))
        await anyio.sleep(self.latency_s)
        return self.read(self, run_ids)

    async def read_result(self, result_id: int, request_id: str) -> Reading:
        assert request_id
        self.reads.append((anyio.current_time(), result_id))
        await anyio.sleep(self.latency_s)
        return self.see(self, result_id)

    def seen(self, result_id: int) -> int:
        return sum(1 for _, result, _ in self.calls if result == result_id)


@dataclass
class Record:
    """Keeps every event and folds it; fails after `fail_at` events."""

    ledger: PlainLedger = field(default_factory=PlainLedger)
    lines: list[events.OfBatch | events.OfPairs] = field(default_factory=list)
    jobs: list[events.OfJob] = field(default_factory=list)
    fail_at: int | None = None

    def record(self, batch: Batch, event: events.OfBatch) -> None:
        self._add(event)
        self.ledger.apply(batch, event)

    def record_sent(self, batch: Batch, event: events.BatchSent, ids: bytes) -> None:
        assert tuple(json.loads(ids)) == batch.run_ids
        self.record(batch, event)

    def record_job(self, event: events.OfJob) -> None:
        self.jobs.append(event)

    def record_pairs(self, event: events.OfPairs) -> None:
        self._add(event)
        self.ledger.apply_pairs(event)

    def _add(self, event: events.OfBatch | events.OfPairs) -> None:
        if self.fail_at is not None and len(self.lines) >= self.fail_at:
            raise JournalFailed("disk full")
        self.lines.append(event)

    async def durable(self) -> None:
        await anyio.lowlevel.checkpoint()

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.lines if type(event) is kind]


@dataclass
class Guard:
    """Protects runs by a script that is given the number of the question; notes all questions."""

    script: Callable[[int], set[int]] = lambda _: set()
    asked: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    async def held_back(self, result_id: int, run_ids: tuple[int, ...]) -> frozenset[int]:
        self.asked.append((result_id, run_ids))
        await anyio.lowlevel.checkpoint()
        return frozenset(self.script(len(self.asked)) & set(run_ids))


FAST = Limits(rate=Rate(1000))
DEFAULT = Retry(settle="resend")


@dataclass
class Rig:
    """An engine on faked ends."""

    plan: Plan
    api: FakeApi = field(default_factory=FakeApi)
    limits: Limits = FAST
    retry: Retry = DEFAULT
    record: Record = field(default_factory=Record)
    shield: Guard = field(default_factory=Guard)
    dice: Callable[[], float] = lambda: 0.5
    engine: Engine = field(init=False)
    throttle: Throttle = field(init=False)

    async def run(self) -> Counter[State]:
        ids = count(1)
        self.throttle = Throttle(self.limits.rate)
        ends = Ends(
            transport=self.api,
            pace=self.throttle,
            recorder=self.record,
            past=self.record.ledger,
            shield=self.shield,
            clock=anyio.current_time,
            dice=self.dice,
            new_id=lambda: f"request-{next(ids)}",
        )
        self.engine = Engine(ends, self.limits, self.retry, 1, [])
        await self.engine.run(self.plan.lanes())
        return Counter(self.record.ledger.count(self.plan.chunks()))


def runs_of(sizes: dict[int, int]) -> Plan:
    """Plan `sizes[result]` runs for each result; run ids start at 1000 times the result's."""
    return plan_of(
        Pair(result, result * 1000 + number)
        for result, size in sizes.items()
        for number in range(size)
    )


async def test_every_result_takes_the_fewest_calls() -> None:
    """A result of n runs takes ⌈n/100⌉ calls, and every run is sent once."""
    rig = Rig(runs_of({1: 1, 2: 100, 3: 101, 4: 250}))
    assert await rig.run() == {State.DELETED: 452}
    assert Counter(result for _, result, _ in rig.api.calls) == {1: 1, 2: 1, 3: 2, 4: 3}
    sent = [Pair(result, run) for _, result, runs in rig.api.calls for run in runs]
    assert sorted(sent) == list(rig.plan.pairs())


async def test_events_of_a_plain_batch() -> None:
    """A batch that is answered with 204 leaves an intent with its ids and an outcome."""
    rig = Rig(plan_of([Pair(7, 71), Pair(7, 72)]))
    await rig.run()
    assert rig.record.lines == [
        events.BatchSent(batch=1, attempt=1, result_id=7, request_id="request-1", run_ids=(71, 72)),
        events.BatchDeleted(batch=1, attempt=1, status=204, ms=1),
    ]


async def test_one_call_in_flight_per_result_and_the_bound_over_all() -> None:
    """No result ever has two calls in flight, and all together stay within the concurrency."""
    rig = Rig(runs_of(dict.fromkeys(range(1, 30), 250)), limits=Limits(Rate(1000), concurrency=5))
    await rig.run()
    assert set(rig.api.most_at_once.values()) == {1}
    assert rig.api.most == 5


async def test_biggest_results_start_first() -> None:
    """Results with the most batches are begun first, so that none becomes the tail."""
    rig = Rig(runs_of({1: 5, 2: 900, 3: 300, 4: 5, 5: 450}), limits=Limits(Rate(1000), 2))
    await rig.run()
    begun = list(dict.fromkeys(result for _, result, _ in rig.api.calls))
    assert begun == [2, 5, 3, 1, 4]


async def test_calls_keep_the_pace() -> None:
    """A plan of 50 calls at 10/s takes the five seconds that it must."""
    rig = Rig(runs_of(dict.fromkeys(range(1, 51), 1)), limits=Limits(Rate(10), 8))
    await rig.run()
    times = [at for at, _, _ in rig.api.calls]
    assert times[-1] - times[0] == pytest.approx(4.9, abs=0.01)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) == pytest.approx(0.1, abs=0.001)


async def test_doubt_sticks_over_a_later_refusal() -> None:
    """A run whose reply was lost and that then gets a 400 is unknown, not failed."""
    facts: Iterator[Fact] = iter(
        [InDoubt("reset"), BadRequest(400, "no such run"), Deleted(204, 1)]
    )
    rig = Rig(plan_of([Pair(1, 11)]), FakeApi(lambda *_: next(facts)))
    assert await rig.run() == {State.UNKNOWN: 1}
    assert rig.record.lines[-1] == events.BatchUnknown(
        batch=1, status=400, reason="bad request", detail="no such run"
    )


async def test_a_later_204_clears_doubt() -> None:
    """A run whose reply was lost is deleted once a retry is answered with 204."""
    facts: Iterator[Fact] = iter(
        [InDoubt("reset"), ServerError(500, None, "oops"), Deleted(204, 1)]
    )
    rig = Rig(plan_of([Pair(1, 11)]), FakeApi(lambda *_: next(facts)))
    assert await rig.run() == {State.DELETED: 1}
    retries = rig.record.of(events.BatchRetry)
    assert retries == [
        events.BatchRetry(batch=1, attempt=1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchRetry(batch=1, attempt=2, in_doubt=True, wait_s=1.0, status=500),
    ]


async def test_doubt_of_an_earlier_execution_sticks() -> None:
    """A run left in doubt by a crash is unknown when the new call is refused; its mate failed."""
    record = Record()
    old = Batch(1, 1, (11,))
    record.ledger.apply(old, events.BatchSent(1, 1, 1, "r", (11,)))
    rig = Rig(
        plan_of([Pair(1, 11), Pair(1, 12)]),
        FakeApi(lambda *_: Forbidden(403, "no")),
        record=record,
    )
    assert await rig.run() == {State.UNKNOWN: 1, State.FAILED: 1}
    assert rig.record.lines[-2:] == [
        events.BatchFailed(batch=1, status=403, reason="forbidden", detail="no", run_ids=(12,)),
        events.BatchUnknown(batch=1, status=403, reason="forbidden", detail="no", run_ids=(11,)),
    ]


async def test_used_up_attempts_are_unknown() -> None:
    """A batch that is answered with 500 five times is unknown, and the job goes on."""
    rig = Rig(
        runs_of({1: 1, 2: 1}),
        FakeApi(
            lambda _, result, __: ServerError(500, None, "x") if result == 1 else Deleted(204, 1)
        ),
    )
    assert await rig.run() == {State.UNKNOWN: 1, State.DELETED: 1}
    assert rig.api.seen(1) == 5
    assert rig.engine.endings == []


async def test_one_bad_run_does_not_take_the_others_with_it() -> None:
    """A 400 is split until the bad run stands alone; the 99 others are deleted."""
    bad = 1042

    def script(_api: FakeApi, _result: int, runs: tuple[int, ...]) -> Fact:
        return BadRequest(400, "bad id") if bad in runs else Deleted(204, 1)

    rig = Rig(runs_of({1: 100}), FakeApi(script))
    assert await rig.run() == {State.DELETED: 99, State.FAILED: 1}
    assert rig.record.ledger.state(1, bad) is State.FAILED
    assert len(rig.api.calls) <= 15
    splits = rig.record.of(events.BatchSplit)
    children = {
        event.batch: event.parent for event in rig.record.of(events.BatchSent) if event.parent
    }
    assert {child: split.batch for split in splits for child in split.into} == children
    assert rig.api.most_at_once[1] == 1


async def test_an_api_that_answers_400_to_everything_is_left_alone() -> None:
    """When the first ten batches all get a 400 the job gives up, before it splits any."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 60), 100)), FakeApi(lambda *_: BadRequest(400, "wrong form"))
    )
    states = await rig.run()
    assert states == {State.UNSENT: 5900}
    assert 10 <= len(rig.api.calls) <= 10 + rig.limits.concurrency
    (ending,) = rig.engine.endings
    assert isinstance(ending, GaveUp)
    assert "wrong form" in ending.reason


async def test_few_results_that_all_get_400_are_split_in_the_end() -> None:
    """Fewer than ten results with a bad run each are put aside first, then split and settled."""

    def script(_api: FakeApi, result: int, runs: tuple[int, ...]) -> Fact:
        return BadRequest(400, "bad") if result * 1000 in runs else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 7), 40)), FakeApi(script))
    assert await rig.run() == {State.DELETED: 6 * 39, State.FAILED: 6}


async def test_a_big_result_that_gets_only_400_is_left_alone() -> None:
    """One result whose batches all get a 400 ends the job after ten calls, not after thousands."""
    rig = Rig(runs_of({1: 2000}), FakeApi(lambda *_: BadRequest(400, "wrong form")))
    assert await rig.run() == {State.UNSENT: 2000}
    assert len(rig.api.calls) == 10


async def test_a_result_that_ends_in_mid_split_is_not_called_again() -> None:
    """When a half of a split batch gets a 404, the other half and the rest fail without a call."""
    facts: Iterator[Fact] = iter([BadRequest(400, "x"), ResultNotFound(404, "?")])
    other = Deleted(204, 1)

    def script(_api: FakeApi, result: int, _runs: tuple[int, ...]) -> Fact:
        return next(facts, other) if result == 1 else other

    rig = Rig(runs_of({1: 150, 2: 1}), FakeApi(script), Limits(Rate(1000), 1))
    assert await rig.run() == {State.FAILED: 150, State.DELETED: 1}
    assert rig.api.seen(1) <= 3


async def test_an_outage_after_a_long_hold_is_waited_out() -> None:
    """A Retry-After longer than the patience does not use the patience up."""
    facts: Iterator[Fact] = iter([Deleted(204, 1), Throttled(429, 120.0, "")])

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        down = 1120 < anyio.current_time() < 1150
        return NotSent("refused") if down else next(facts, Deleted(204, 1))

    rig = Rig(runs_of(dict.fromkeys(range(1, 50), 1)), FakeApi(script), Limits(Rate(10), 2))
    assert await rig.run() == {State.DELETED: 49}


async def test_errors_after_an_outage_have_all_their_attempts() -> None:
    """An API that comes back with a few 502s after half a minute costs no run."""

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        now = anyio.current_time()
        if 1002 < now < 1033:
            return NotSent("refused")
        return ServerError(502, None, "bad") if 1033 <= now < 1037 else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 99), 1)), FakeApi(script), Limits(Rate(10)))
    assert await rig.run() == {State.DELETED: 98}


async def test_404_ends_a_result_that_never_accepted_anything() -> None:
    """A 404 to the first call of a result settles all its runs, with one call."""
    rig = Rig(
        runs_of({1: 250, 2: 1}),
        FakeApi(lambda _, result, __: ResultNotFound(404, "?") if result == 1 else Deleted(204, 1)),
    )
    assert await rig.run() == {State.FAILED: 250, State.DELETED: 1}
    assert rig.api.seen(1) == 1
    failed = rig.record.of(events.BatchFailed)
    assert [len(event.run_ids or ()) for event in failed] == [0, 100, 50]
    assert [event.result_id for event in failed] == [None, 1, 1]


async def test_404_after_a_204_speaks_of_the_batch_alone() -> None:
    """A 404 from a result that accepted a call before is split like a 400."""
    bad = 1150

    def script(_api: FakeApi, _result: int, runs: tuple[int, ...]) -> Fact:
        return ResultNotFound(404, "no run") if bad in runs else Deleted(204, 1)

    rig = Rig(runs_of({1: 200}), FakeApi(script))
    assert await rig.run() == {State.DELETED: 199, State.FAILED: 1}


async def test_404_to_a_batch_in_doubt_does_not_end_the_result() -> None:
    """Where the runs may be deleted already, a 404 says nothing of the result."""
    facts: dict[int, Iterator[Fact]] = {
        100: iter([InDoubt("reset"), ResultNotFound(404, "no run")])
    }

    def script(_api: FakeApi, _result: int, runs: tuple[int, ...]) -> Fact:
        if len(runs) == 50 and runs[0] == 1100:
            return Deleted(204, 1)
        return next(facts.get(len(runs), iter(())), ResultNotFound(404, "no run"))

    rig = Rig(runs_of({1: 150}), FakeApi(script))
    assert await rig.run() == {State.UNKNOWN: 100, State.DELETED: 50}


async def test_429_holds_everybody() -> None:
    """After a 429 with Retry-After no call at all leaves before that time is over."""
    facts: Iterator[Fact] = iter([Throttled(429, 30.0, "slow down")])
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 40), 1)),
        FakeApi(lambda *_: next(facts, Deleted(204, 1))),
        limits=Limits(Rate(10), 8),
    )
    assert await rig.run() == {State.DELETED: 39}
    times = [at for at, _, _ in rig.api.calls]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) == pytest.approx(30, abs=0.2)
    assert rig.record.of(events.BatchRetry) == [
        events.BatchRetry(batch=1, attempt=1, in_doubt=False, wait_s=30.0, status=429)
    ]


async def test_many_429_do_not_use_up_the_attempts() -> None:
    """A batch that is throttled twenty times is sent in the end."""
    rig = Rig(
        runs_of({1: 1}),
        FakeApi(
            lambda api, *_: Throttled(429, 1.0, "") if len(api.calls) <= 20 else Deleted(204, 1)
        ),
    )
    assert await rig.run() == {State.DELETED: 1}
    assert len(rig.api.calls) == 21


async def test_a_rejected_key_stops_the_job() -> None:
    """A 401 stops all sending; its batch counts as unsent."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 100), 1)),
        FakeApi(lambda *_: KeyRejectedFact(401, "Invalid API key.")),
    )
    assert await rig.run() == {State.UNSENT: 99}
    assert len(rig.api.calls) <= rig.limits.concurrency
    assert {type(ending) for ending in rig.engine.endings} == {KeyRejected}


async def test_an_api_that_cannot_be_reached_ends_the_job() -> None:
    """When nothing connects the job gives up after the attempts of one batch; all stays unsent."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(lambda *_: NotSent("refused"), 0.001)
    )
    assert await rig.run() == {State.UNSENT: 99}
    assert len(rig.api.calls) <= 5 * rig.limits.concurrency
    assert isinstance(rig.engine.endings[0], GaveUp)
    assert "refused" in rig.engine.endings[0].reason


async def test_an_outage_in_mid_job_is_waited_out() -> None:
    """An API that stops to listen for half a minute costs that time, and nothing else."""

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        down = 1002 < anyio.current_time() < 1032
        return NotSent("refused") if down else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(script), Limits(Rate(10)))
    assert await rig.run() == {State.DELETED: 99}
    assert rig.engine.endings == []


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateway_without_an_api_is_waited_out(status: int) -> None:
    """An API that a gateway tells to be away for 40 seconds costs that time, and no run."""

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        down = 1002 < anyio.current_time() < 1042
        return ServerError(status, None, "away") if down else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(script), Limits(Rate(10)))
    assert await rig.run() == {State.DELETED: 99}
    assert rig.engine.endings == []


async def test_a_long_outage_in_mid_job_ends_it() -> None:
    """An API that does not come back ends the job once `give_up_after` is over."""

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        return NotSent("refused") if anyio.current_time() > 1002 else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(script), Limits(Rate(10)))
    states = await rig.run()
    assert states[State.DELETED] + states[State.UNSENT] == 99
    assert isinstance(rig.engine.endings[0], GaveUp)
    assert 1062 <= anyio.current_time() <= 1130


async def test_an_api_that_only_fails_ends_the_job() -> None:
    """When three batches use up their attempts with no answer between, the job gives up."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(lambda *_: ServerError(502, None, "bad"))
    )
    states = await rig.run()
    assert states[State.UNKNOWN] >= 3
    assert states[State.UNSENT] > 80
    assert isinstance(rig.engine.endings[0], GaveUp)


async def test_too_many_failures_end_the_job() -> None:
    """Once more than the allowed share of the finished runs has failed the job gives up."""

    def script(_api: FakeApi, result: int, _runs: tuple[int, ...]) -> Fact:
        return Forbidden(403, "no") if result % 2 else Deleted(204, 1)

    rig = Rig(
        runs_of(dict.fromkeys(range(1, 200), 1)),
        FakeApi(script),
        limits=Limits(Rate(1000), 1, max_failures=MaxFailures(share=0.2), max_failures_after=20),
    )
    states = await rig.run()
    assert states[State.FAILED] == states[State.DELETED] == 10
    assert isinstance(rig.engine.endings[0], GaveUp)


async def test_what_failed_before_is_no_news() -> None:
    """Sending again what failed before ends no job when it fails again, group by group."""
    plan = runs_of(dict.fromkeys(range(1, 60), 5))
    record = Record()
    for number, group in enumerate(plan.lanes(), start=1):
        runs = tuple(group.read(0, group.runs).tolist())
        batch = Batch(number, group.result_id, runs)
        record.ledger.apply(batch, events.BatchSent(number, 1, group.result_id, "r", runs))
        record.ledger.apply(batch, events.BatchFailed(number, 400, "bad request", ""))
    rig = Rig(plan, FakeApi(lambda *_: BadRequest(400, "still bad")), record=record)
    assert await rig.run() == {State.FAILED: 295}
    assert rig.engine.endings == []


async def test_a_stop_drains_what_is_in_flight() -> None:
    """After a stop nothing more is sent, and what is in flight gets its outcome."""
    rig = Rig(runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(latency_s=10))
    async with anyio.create_task_group() as group:

        async def interrupt() -> None:
            await anyio.sleep(5)
            rig.engine.stop(Interrupted(2))

        group.start_soon(interrupt)
        states = await rig.run()
    assert states == {State.DELETED: 8, State.UNSENT: 91}


async def test_a_stop_ends_waits_at_once() -> None:
    """A stop does not wait for a retry's pause or a Retry-After."""
    rig = Rig(runs_of({1: 1}), FakeApi(lambda *_: Throttled(429, 3000.0, "")))
    async with anyio.create_task_group() as group:

        async def interrupt() -> None:
            await anyio.sleep(5)
            rig.engine.stop(Interrupted(2))

        group.start_soon(interrupt)
        began = anyio.current_time()
        states = await rig.run()
    assert states == {State.UNSENT: 1}
    assert anyio.current_time() - began == pytest.approx(5, abs=0.1)


async def test_a_stop_holds_back_what_is_only_announced() -> None:
    """A stop that comes while an intent is being written holds its call back."""
    rig = Rig(runs_of({1: 5}))

    class Slow(Record):
        async def durable(self) -> None:
            rig.engine.stop(Interrupted(2))

    rig.record = Slow()
    assert await rig.run() == {State.UNSENT: 5}
    assert rig.api.calls == []
    assert [type(line) for line in rig.record.lines] == [events.BatchSent, events.BatchRetry]


async def test_a_cut_leaves_what_is_in_flight_in_doubt() -> None:
    """A cut ends at once; the runs of the calls in flight are in doubt."""
    rig = Rig(runs_of(dict.fromkeys(range(1, 100), 1)), FakeApi(latency_s=100))
    async with anyio.create_task_group() as group:

        async def interrupt() -> None:
            await anyio.sleep(5)
            rig.engine.stop(Interrupted(2))
            rig.engine.cut()

        group.start_soon(interrupt)
        states = await rig.run()
    assert states == {State.IN_DOUBT: 8, State.UNSENT: 91}


async def test_a_failed_journal_ends_all_sending() -> None:
    """After the first failed write no further call leaves."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 100), 1)),
        limits=Limits(Rate(1000), 4),
        record=Record(fail_at=20),
    )
    await rig.run()
    assert len(rig.api.calls) <= 20
    assert {type(ending) for ending in rig.engine.endings} == {JournalFailed}


async def test_retries_are_bounded_in_time() -> None:
    """A batch that would wait beyond the total time is given up."""
    rig = Rig(
        runs_of({1: 1}),
        FakeApi(lambda *_: InDoubt("lost"), latency_s=60),
        limits=Limits(hold_after=Seconds(10_000)),
        retry=Retry(attempts=100, max_time=Seconds(300)),
        dice=lambda: 0.99,
    )
    assert await rig.run() == {State.UNKNOWN: 1}
    assert 3 <= len(rig.api.calls) <= 5


# Protected runs


async def test_the_shield_is_asked_right_before_each_call() -> None:
    """Every call, retries and halves included, is preceded by the question about just its runs."""
    facts: Iterator[Fact] = iter(
        [Throttled(429, 1.0, ""), InDoubt("reset"), BadRequest(400, "x"), InDoubt("reset")]
    )
    rig = Rig(runs_of({1: 130}), FakeApi(lambda *_: next(facts, Deleted(204, 1))))
    assert await rig.run() == {State.DELETED: 130}
    assert rig.shield.asked == [(result, runs) for _, result, runs in rig.api.calls]
    assert len(rig.api.calls) == 7


async def test_what_is_protected_at_first_is_left_out() -> None:
    """Of a batch that is partly protected only the rest is sent."""
    rig = Rig(runs_of({1: 4}), shield=Guard(lambda _: {1001, 1003}))
    assert await rig.run() == {State.DELETED: 2, State.WITHHELD: 2}
    assert [runs for _, _, runs in rig.api.calls] == [(1000, 1002)]
    assert rig.shield.asked == [(1, (1000, 1001, 1002, 1003)), (1, (1000, 1002))]
    assert rig.record.lines == [
        events.BatchWithheld(result_id=1, run_ids=(1001, 1003)),
        events.BatchSent(1, 1, result_id=1, request_id="request-1", run_ids=(1000, 1002)),
        events.BatchDeleted(1, 1, status=204, ms=1),
    ]


async def test_what_is_protected_between_attempts_is_left_out() -> None:
    """A batch that is throttled and then partly protected goes on as the rest, split off it."""
    facts: Iterator[Fact] = iter([Throttled(429, 1.0, "")])
    rig = Rig(
        runs_of({1: 3}),
        FakeApi(lambda *_: next(facts, Deleted(204, 1))),
        shield=Guard(lambda number: {1001} if number > 1 else set()),
    )
    assert await rig.run() == {State.DELETED: 2, State.WITHHELD: 1}
    assert rig.record.lines == [
        events.BatchSent(1, 1, 1, "request-1", (1000, 1001, 1002)),
        events.BatchRetry(1, 1, in_doubt=False, wait_s=1.0, status=429),
        events.BatchSplit(1, into=(2,)),
        events.BatchWithheld(1, (1001,)),
        events.BatchSent(2, 1, 1, "request-2", (1000, 1002), parent=1),
        events.BatchDeleted(2, 1, status=204, ms=1),
    ]


PROTECTED = "may have been deleted before it was protected"


async def test_what_is_in_doubt_and_protected_is_unknown() -> None:
    """A run that a lost call may have deleted is unknown when it is protected then.

    The rest is in doubt as before.
    """
    facts: Iterator[Fact] = iter([InDoubt("reset"), Forbidden(403, "no")])
    rig = Rig(
        runs_of({1: 3}),
        FakeApi(lambda *_: next(facts)),
        shield=Guard(lambda number: {1001} if number > 1 else set()),
    )
    assert await rig.run() == {State.UNKNOWN: 3}
    assert rig.record.lines == [
        events.BatchSent(1, 1, 1, "request-1", (1000, 1001, 1002)),
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchSplit(1, into=(2,)),
        events.BatchUnknown(1, None, "protected", PROTECTED, run_ids=(1001,), result_id=1),
        events.BatchSent(2, 1, 1, "request-2", (1000, 1002), parent=1),
        events.BatchUnknown(2, 403, "forbidden", "no"),
    ]


async def test_doubt_of_an_earlier_execution_outlives_protection() -> None:
    """Of what is protected at first, a run that a crash left in doubt is unknown, not withheld."""
    record = Record()
    old = Batch(1, 1, (1001, 1002))
    record.ledger.apply(old, events.BatchSent(1, 1, 1, "r", (1001, 1002)))
    rig = Rig(
        runs_of({1: 4}),
        FakeApi(lambda *_: Forbidden(403, "no")),
        record=record,
        shield=Guard(lambda _: {1000, 1001}),
    )
    assert await rig.run() == {State.WITHHELD: 1, State.UNKNOWN: 2, State.FAILED: 1}
    assert rig.record.lines == [
        events.BatchWithheld(1, (1000,)),
        events.BatchUnknown(1, None, "protected", PROTECTED, run_ids=(1001,), result_id=1),
        events.BatchSent(1, 1, 1, "request-1", (1002, 1003)),
        events.BatchFailed(1, 403, "forbidden", "no", run_ids=(1003,)),
        events.BatchUnknown(1, 403, "forbidden", "no", run_ids=(1002,)),
    ]


async def test_a_batch_that_is_wholly_protected_is_not_sent() -> None:
    """Where nothing is left of a batch there is no call, and the next batch goes on."""
    rig = Rig(runs_of({1: 103, 2: 1}), shield=Guard(lambda _: set(range(1000, 1100))))
    assert await rig.run() == {State.WITHHELD: 100, State.DELETED: 4}
    assert sorted(runs for _, _, runs in rig.api.calls) == [(1100, 1101, 1102), (2000,)]
    assert rig.record.of(events.BatchSplit) == []


async def test_a_batch_that_is_wholly_protected_between_attempts_is_closed() -> None:
    """A batch that was sent and of which nothing is left is split into nothing."""
    rig = Rig(
        runs_of({1: 1}),
        FakeApi(lambda *_: NotSent("refused")),
        shield=Guard(lambda number: {1000} if number > 1 else set()),
    )
    assert await rig.run() == {State.WITHHELD: 1}
    assert rig.record.lines == [
        events.BatchSent(1, 1, 1, "request-1", (1000,)),
        events.BatchRetry(1, 1, in_doubt=False, wait_s=0.5, error="refused"),
        events.BatchSplit(1, into=()),
        events.BatchWithheld(1, (1000,)),
    ]


async def test_what_is_protected_while_its_batch_is_put_aside_is_not_sent() -> None:
    """A batch that got a 400 first is asked about again, half by half, when its turn comes."""
    bad = 1042

    def script(_api: FakeApi, _result: int, runs: tuple[int, ...]) -> Fact:
        return BadRequest(400, "bad id") if bad in runs else Deleted(204, 1)

    rig = Rig(
        runs_of({1: 100, 2: 1}),
        FakeApi(script),
        shield=Guard(lambda number: set(range(1040, 1060)) if number > 2 else set()),
    )
    assert await rig.run() == {State.DELETED: 81, State.WITHHELD: 20}
    assert sorted(len(runs) for _, _, runs in rig.api.calls) == [1, 40, 40, 100]
    assert {event.run_ids for event in rig.record.of(events.BatchWithheld)} == {
        tuple(range(1040, 1050)),
        tuple(range(1050, 1060)),
    }


@pytest.mark.parametrize(
    ("fact", "states"),
    [
        (Throttled(429, 1.0, ""), {State.UNSENT: 3, State.DELETED: 1}),
        (InDoubt("reset"), {State.IN_DOUBT: 3, State.DELETED: 1}),
    ],
)
async def test_a_shield_that_gives_up_ends_the_job(fact: Fact, states: dict[State, int]) -> None:
    """When it is not known any more what is protected, nothing is sent, and that is the reason.

    What was sent before stays as it was, for the next execution.
    """
    gave_up = GaveUp("protected.csv cannot be read")

    def script(number: int) -> set[int]:
        if number > 2:
            raise gave_up
        return set()

    rig = Rig(
        runs_of({1: 3, 2: 1}),
        FakeApi(lambda _, result, __: fact if result == 1 else Deleted(204, 1)),
        Limits(Rate(1000), 2),
        shield=Guard(script),
    )
    assert await rig.run() == states
    assert rig.engine.endings == [gave_up]
    assert len(rig.api.calls) == 2


async def test_a_shield_that_gives_up_at_first_lets_nothing_out() -> None:
    """A shield that never knew lets no call out, whatever the number of workers."""

    def script(_: int) -> set[int]:
        raise GaveUp("not there")

    rig = Rig(runs_of(dict.fromkeys(range(1, 50), 1)), shield=Guard(script))
    assert await rig.run() == {State.UNSENT: 49}
    assert (rig.api.calls, rig.record.lines) == ([], [])
    assert {ending.reason for ending in rig.engine.endings} == {"not there"}


async def test_protected_runs_are_no_failures() -> None:
    """However many runs are protected, and be it all, that ends no job."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 60), 5)),
        limits=Limits(Rate(1000), 1, max_failures=MaxFailures(share=0.01), max_failures_after=5),
        shield=Guard(lambda _: {run for run in range(60_000) if run < 50_000 or run % 1000 < 3}),
    )
    assert await rig.run() == {State.WITHHELD: 49 * 5 + 10 * 3, State.DELETED: 10 * 2}
    assert rig.engine.endings == []


async def test_protected_runs_do_not_thin_out_the_failures() -> None:
    """The share of what failed is of what was sent: withheld runs beside do not make it small."""

    def script(_api: FakeApi, result: int, _runs: tuple[int, ...]) -> Fact:
        return Forbidden(403, "no") if result % 2 else Deleted(204, 1)

    rig = Rig(
        runs_of(dict.fromkeys(range(1, 200), 10)),
        FakeApi(script),
        limits=Limits(Rate(1000), 1, max_failures=MaxFailures(share=0.2), max_failures_after=20),
        shield=Guard(lambda _: {run for run in range(200_000) if run % 1000}),
    )
    states = await rig.run()
    assert states[State.FAILED] == states[State.DELETED] == 10
    assert isinstance(rig.engine.endings[0], GaveUp)


async def test_runs_in_doubt_that_are_protected_are_no_failures() -> None:
    """That a run was protected too late to be sure tells nothing of the API, and ends no job."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 60), 3)),
        FakeApi(lambda *_: InDoubt("reset", 200)),
        limits=Limits(Rate(1000), 1, max_failures=MaxFailures(count=1), hold_after=Seconds(10_000)),
        shield=Guard(lambda number: set() if number % 2 else set(range(60_000))),
    )
    assert await rig.run() == {State.UNKNOWN: 59 * 3}
    assert rig.engine.endings == []


async def test_protection_leaves_the_failures_of_the_rest() -> None:
    """Of a batch that failed before, and is partly protected now, only what is new counts."""
    plan = runs_of(dict.fromkeys(range(1, 40), 4))
    record = Record()
    for number, group in enumerate(plan.lanes(), start=1):
        first = group.read(0, 2).tolist()
        batch = Batch(number, group.result_id, tuple(first))
        record.ledger.apply(batch, events.BatchSent(number, 1, group.result_id, "r", batch.run_ids))
        record.ledger.apply(batch, events.BatchFailed(number, 403, "forbidden", ""))
    rig = Rig(
        plan,
        FakeApi(lambda *_: Forbidden(403, "no")),
        Limits(Rate(1000), 1, max_failures=MaxFailures(count=5)),
        record=record,
        shield=Guard(lambda _: {run for run in range(40_000) if run % 1000 in {1, 2}}),
    )
    assert await rig.run() == {
        State.FAILED: 6 * 2 + 33 * 2,
        State.WITHHELD: 6 * 2,
        State.UNSENT: 33 * 2,
    }
    (ending,) = rig.engine.endings
    assert ending.reason.startswith("6 of 6 finished runs failed or are unknown")


@pytest.mark.parametrize("per_second", [10, 100, 1000])
async def test_a_disk_that_hesitates_makes_no_crowd(per_second: int) -> None:
    """Calls whose intents waited for the disk together do not leave together."""

    class Hesitating(Record):
        async def durable(self) -> None:
            if 1003 < anyio.current_time() < 1003.5:
                await anyio.sleep(1003.5 - anyio.current_time())

    rig = Rig(
        runs_of(dict.fromkeys(range(1, 6 * per_second), 1)),
        FakeApi(latency_s=0.02),
        Limits(Rate(per_second), 600),
        record=Hesitating(),
    )
    await rig.run()
    times = [at for at, _, _ in rig.api.calls]
    busiest = max(sum(at <= other < at + 1 for other in times) for at in times)
    assert busiest <= int(1.05 * per_second) + 1
    assert times[-1] - times[0] < 6.6
