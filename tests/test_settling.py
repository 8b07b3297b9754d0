"""What the engine does with refusals and doubts where runs can be read back; time faked."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import anyio
import pytest

from bulk_delete import events
from bulk_delete.config import Limits, MaxFailures, Rate, Retry, Seconds
from bulk_delete.errors import GaveUp, Interrupted
from bulk_delete.model import (
    BadRequest,
    Batch,
    Deleted,
    Fact,
    Forbidden,
    Found,
    InDoubt,
    Pair,
    Reading,
    ResultNotFound,
    ServerError,
    State,
    Throttled,
    Visible,
)
from tests.made_plans import plan_of
from tests.test_dispatch import FakeApi, Record, Rig, runs_of

READ_BACK = Retry()
ABSENT = "read back: not there, in a result that is seen"


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


def api_of(
    live: dict[int, int], replies: list[Fact], *, results: tuple[int, ...] = (1,)
) -> FakeApi:
    """Answer calls by a list, then with 204; reads by what lives, and under which result."""
    facts: Iterator[Fact] = iter(replies)

    def read(_api: FakeApi, run_ids: tuple[int, ...]) -> Reading:
        return Found(200, 1, {run: live[run] for run in run_ids if run in live})

    def see(_api: FakeApi, result_id: int) -> Reading:
        return Visible(200, 1) if result_id in results else ResultNotFound(404, "no result")

    return FakeApi(lambda *_: next(facts, Deleted(204, 1)), read=read, see=see)


def reads(record: Record) -> list[tuple[str, int | None, int | None]]:
    return [
        (event.read, event.asked, event.found)
        for event in record.jobs
        if isinstance(event, events.ApiRead)
    ]


async def test_a_400_is_read_back_and_the_rest_goes_on_together() -> None:
    """A run that is proven absent is gone, and the others are sent again in one call."""
    rig = Rig(
        runs_of({1: 3}),
        api_of({1000: 1, 1002: 1}, [BadRequest(400, "bad id")]),
        retry=READ_BACK,
    )
    assert await rig.run() == {State.DELETED: 2, State.GONE: 1}
    assert rig.record.lines == [
        events.BatchSent(1, 1, 1, "request-1", (1000, 1001, 1002)),
        events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=400),
        events.BatchGone(1, 400, "absent", ABSENT, run_ids=(1001,)),
        events.BatchSplit(1, into=(2,)),
        events.BatchSent(2, 1, 1, "request-3", (1000, 1002), parent=1),
        events.BatchDeleted(2, 1, status=204, ms=1),
    ]
    assert reads(rig.record) == [("runs", 3, 2)]


async def test_when_none_came_back_the_result_is_asked_for() -> None:
    """Where no run of the result came back, its runs are gone only because it can be seen."""
    rig = Rig(runs_of({1: 2}), api_of({}, [BadRequest(400, "bad id")]), retry=READ_BACK)
    assert await rig.run() == {State.GONE: 2}
    assert rig.record.lines[1:] == [
        events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=400),
        events.BatchGone(1, 400, "absent", ABSENT),
    ]
    assert reads(rig.record) == [("runs", 2, 0), ("result", None, None)]


async def test_a_key_that_sees_nothing_proves_nothing() -> None:
    """Where neither run nor result can be seen, absence is no proof: single runs are failed."""
    rig = Rig(
        runs_of({1: 1}), api_of({}, [BadRequest(400, "bad id")] * 9, results=()), retry=READ_BACK
    )
    assert await rig.run() == {State.FAILED: 1}
    assert rig.record.lines[-1] == events.BatchFailed(1, 400, "bad request", "bad id")


async def test_a_run_of_another_result_is_failed() -> None:
    """A run that comes back under another result is failed, with that result named."""
    rig = Rig(
        runs_of({1: 2}), api_of({1000: 1, 1001: 9}, [BadRequest(400, "bad id")]), retry=READ_BACK
    )
    assert await rig.run() == {State.DELETED: 1, State.FAILED: 1}
    assert rig.record.of(events.BatchFailed) == [
        events.BatchFailed(
            1, 400, "wrong result", "read back: belongs to result 9", run_ids=(1001,)
        )
    ]


async def test_what_a_read_back_does_not_explain_is_split() -> None:
    """A 400 to runs that are all there is not read back twice: halves, then the run alone."""
    bad = 1002
    live = {1000 + number: 1 for number in range(4)}
    api = api_of(live, [])
    api.script = lambda _api, _result, runs: (
        BadRequest(400, "locked") if bad in runs else Deleted(204, 1)
    )
    rig = Rig(runs_of({1: 4, 2: 1}), api, Limits(Rate(1000), 1), retry=READ_BACK)
    assert await rig.run() == {State.DELETED: 4, State.FAILED: 1}
    assert reads(rig.record) == [("runs", 4, 4)]
    assert rig.record.ledger.state(1, bad) is State.FAILED


async def test_404_from_the_result_ends_it() -> None:
    """A result that cannot be found takes one call and one read, however many runs it has."""
    rig = Rig(
        runs_of({1: 250, 2: 1}),
        api_of({}, [ResultNotFound(404, "no run")], results=()),
        Limits(Rate(1000), 1),
        retry=READ_BACK,
    )
    assert await rig.run() == {State.FAILED: 250, State.DELETED: 1}
    assert rig.api.seen(1) == 1
    assert reads(rig.record) == [("result", None, None)]
    assert {event.reason for event in rig.record.of(events.BatchFailed)} == {"result not found"}


async def test_404_to_a_run_alone_does_not_end_its_result() -> None:
    """Where the result is there, a 404 costs only the run that is not."""
    live = {1000 + number: 1 for number in range(1, 150)}
    rig = Rig(runs_of({1: 150}), api_of(live, [ResultNotFound(404, "no run")]), retry=READ_BACK)
    assert await rig.run() == {State.DELETED: 149, State.GONE: 1}
    assert reads(rig.record) == [("result", None, None), ("runs", 100, 99)]


async def test_a_lost_reply_to_what_was_applied_is_not_sent_again() -> None:
    """Runs whose reply was lost and that are proven absent are gone, without another call."""
    rig = Rig(runs_of({1: 2}), api_of({}, [InDoubt("reset")]), retry=READ_BACK)
    assert await rig.run() == {State.GONE: 2}
    assert len(rig.api.calls) == 1
    assert rig.record.lines[1:] == [
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchGone(1, None, "absent", ABSENT),
    ]


async def test_a_lost_reply_to_what_was_not_applied_is_sent_again() -> None:
    """Runs that are still there are out of doubt, and the same batch goes on."""
    rig = Rig(
        runs_of({1: 2}),
        api_of({1000: 1, 1001: 1}, [InDoubt("reset"), Forbidden(403, "no")]),
        retry=READ_BACK,
    )
    assert await rig.run() == {State.FAILED: 2}
    assert rig.record.lines[1:] == [
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchReopened(1, (1000, 1001)),
        events.BatchSent(1, 2, 1, "request-3"),
        events.BatchFailed(1, 403, "forbidden", "no"),
    ]


async def test_used_up_attempts_are_looked_into_once_more() -> None:
    """After the last attempt what is there has failed, and what is not is gone."""
    rig = Rig(
        runs_of({1: 2}),
        api_of({1000: 1}, [ServerError(500, None, "oops")] * 9),
        retry=Retry(attempts=1),
    )
    assert await rig.run() == {State.FAILED: 1, State.GONE: 1}
    assert rig.record.lines[1:] == [
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.0, status=500),
        events.BatchGone(1, 500, "absent", ABSENT, run_ids=(1001,)),
        events.BatchReopened(1, (1000,)),
        events.BatchFailed(1, 500, "server error", "oops", run_ids=(1000,)),
    ]


async def test_where_reading_is_forbidden_it_is_not_tried_again() -> None:
    """The first refusal to read makes the job go on as if it had been told to resend."""
    api = api_of({}, [InDoubt("reset"), InDoubt("reset")])
    api.read = lambda *_: Forbidden(403, "not yours")
    rig = Rig(runs_of({1: 1, 2: 1}), api, Limits(Rate(1000), 1), retry=READ_BACK)
    assert await rig.run() == {State.DELETED: 2}
    assert len(rig.api.reads) == 1
    assert len(rig.api.calls) == 4


async def test_a_read_that_is_throttled_holds_everybody() -> None:
    """A 429 to a read is waited for by all, and then the read is made again."""
    api = api_of({}, [InDoubt("reset")])
    answers: Iterator[Reading] = iter([Throttled(429, 30.0, "")])
    then: Callable[..., Reading] = api.read
    api.read = lambda *words: next(answers, None) or then(*words)
    rig = Rig(runs_of(dict.fromkeys(range(1, 30), 1)), api, Limits(Rate(10), 2), retry=READ_BACK)
    states = await rig.run()
    assert states == {State.GONE: 1, State.DELETED: 28}
    times = sorted([at for at, *_ in rig.api.calls] + [at for at, _ in rig.api.reads])
    assert max(later - before for before, later in pairwise(times)) > 29


def in_doubt_before(*runs: int) -> Record:
    record = Record()
    batch = Batch(1, 1, runs)
    record.ledger.apply(batch, events.BatchSent(1, 1, 1, "r", runs))
    record.ledger.start()
    return record


async def test_doubts_of_before_are_read_back_first() -> None:
    """What an earlier execution left in doubt is read back before anything is sent."""
    rig = Rig(
        runs_of({1: 3}),
        api_of({1001: 1, 1002: 1}, []),
        record=in_doubt_before(1000, 1001),
        retry=READ_BACK,
    )
    assert await rig.run() == {State.GONE: 1, State.DELETED: 2}
    assert rig.record.lines == [
        events.BatchGone(1, None, "absent", ABSENT, run_ids=(1000,), result_id=1),
        events.BatchReopened(1, (1001,)),
        events.BatchSent(1, 1, 1, "request-2", (1001, 1002)),
        events.BatchDeleted(1, 1, status=204, ms=1),
    ]
    assert reads(rig.record) == [("runs", 2, 1)]


async def test_doubts_of_before_may_be_held() -> None:
    """With `hold` they stay unknown and are not sent, while the others of the batch are."""
    rig = Rig(
        runs_of({1: 2}),
        api_of({}, []),
        record=in_doubt_before(1000),
        retry=Retry(settle="hold"),
    )
    assert await rig.run() == {State.UNKNOWN: 1, State.DELETED: 1}
    assert [runs for _, _, runs in rig.api.calls] == [(1001,)]
    assert rig.record.lines[0] == events.BatchUnknown(
        batch=1,
        status=None,
        reason="held",
        detail="in doubt since an earlier execution, and what is in doubt is to be held",
        run_ids=(1000,),
        result_id=1,
    )
    assert rig.api.reads == []


async def test_splitting_is_capped() -> None:
    """Beyond the cap a batch fails as a whole, and says why."""
    rig = Rig(
        runs_of({1: 100, 2: 1}),
        FakeApi(lambda _, result, __: BadRequest(400, "bad") if result == 1 else Deleted(204, 1)),
        Limits(Rate(1000), 1, split_calls=10, max_failures=MaxFailures(share=1.0)),
    )
    assert await rig.run() == {State.FAILED: 100, State.DELETED: 1}
    assert rig.api.seen(1) <= 11
    reasons = {event.reason for event in rig.record.of(events.BatchFailed)}
    assert "bad request; split_calls are used up" in reasons


async def test_explained_refusals_end_no_job() -> None:
    """Ten batches of runs that are all gone already are no sign of a wrong form."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 30), 5)),
        api_of({}, [BadRequest(400, "?")] * 99, results=tuple(range(1, 30))),
        retry=READ_BACK,
    )
    assert await rig.run() == {State.GONE: 29 * 5}
    assert rig.engine.endings == []


async def test_failures_alone_hold_all_calls() -> None:
    """While all fails, one call at a time tries; the first answer lets the others go on."""
    down_until = 1045.0

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        down = 1002 < anyio.current_time() < down_until
        return ServerError(500, None, "oops") if down else Deleted(204, 1)

    rig = Rig(runs_of(dict.fromkeys(range(1, 99), 1)), FakeApi(script), Limits(Rate(10)))
    states = await rig.run()
    assert states[State.DELETED] >= 90
    paused, continued = (
        event
        for event in rig.record.jobs
        if isinstance(event, events.JobPaused | events.JobContinued)
    )
    assert isinstance(paused, events.JobPaused)
    assert (paused.reason, paused.detail) == ("outage", "status 500: oops")
    assert isinstance(continued, events.JobContinued)
    held = [at for at, _, _ in rig.api.calls if 1015 < at < down_until]
    assert len(held) <= 6
    assert max(at for at, _, _ in rig.api.calls) < 1080


async def test_patience_with_failures_ends() -> None:
    """When all fails for longer than the patience, the job gives up and sends nothing more."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 99), 1)),
        FakeApi(lambda *_: InDoubt("reset")),
        Limits(Rate(10), give_up_after=Seconds(60)),
    )
    states = await rig.run()
    assert states[State.UNSENT] > 80
    (ending,) = rig.engine.endings
    assert isinstance(ending, GaveUp)
    assert "nothing but failures for 1 min" in ending.reason
    assert len(rig.api.calls) < 60


async def test_a_stop_between_refusal_and_read_leaves_it_clear() -> None:
    """A batch that was refused is unsent when the job stops before it could be read back."""
    api = api_of({}, [BadRequest(400, "bad id")])

    def stop(*_: object) -> Reading:
        rig.engine.stop(Interrupted(2))
        return Throttled(429, 60.0, "")

    api.read = stop
    rig = Rig(plan_of([Pair(1, 11)]), api, retry=READ_BACK)
    assert await rig.run() == {State.UNSENT: 1}
    assert rig.record.lines == [
        events.BatchSent(1, 1, 1, "request-1", (11,)),
        events.BatchRetry(1, 1, in_doubt=False, wait_s=0.0, status=400),
    ]


async def test_a_lost_call_that_is_applied_late_is_found_out() -> None:
    """Runs that were still there after a lost reply are looked for again when they are refused."""
    live = {1000 + number: 1 for number in range(4)}

    def script(api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        if len(api.calls) == 1:
            return InDoubt("reset")
        live.clear()
        return BadRequest(400, "no such run")

    api = api_of(live, [])
    api.script = script
    rig = Rig(runs_of({1: 4}), api, retry=READ_BACK)
    assert await rig.run() == {State.GONE: 4}
    assert len(api.calls) == 2


async def test_a_lost_call_that_is_applied_while_its_runs_are_split_is_found_out() -> None:
    """After a lost reply every part that is refused is looked for, however late it is."""
    live = {1000 + number: 1 for number in range(4)}

    def script(api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        if len(api.calls) == 1:
            return InDoubt("reset")
        if len(api.calls) > 2:
            live.clear()
        return BadRequest(400, "locked")

    api = api_of(live, [])
    api.script = script
    rig = Rig(runs_of({1: 4}), api, retry=READ_BACK)
    assert await rig.run() == {State.GONE: 4}
    assert len(api.calls) == 4


async def test_a_read_that_failed_is_made_up_for_at_the_refusal() -> None:
    """Runs in doubt that are found at a later refusal are out of doubt: they have failed."""
    api = api_of({1000: 1}, [InDoubt("reset"), BadRequest(400, "locked")])
    then, answers = api.read, iter([InDoubt("cut"), InDoubt("cut")])
    api.read = lambda *words: next(answers, None) or then(*words)
    rig = Rig(runs_of({1: 1}), api, retry=Retry(attempts=2))
    assert await rig.run() == {State.FAILED: 1}
    assert rig.record.lines[1:] == [
        events.BatchRetry(1, 1, in_doubt=True, wait_s=0.5, error="reset"),
        events.BatchSent(1, 2, 1, "request-4"),
        events.BatchRetry(1, 2, in_doubt=False, wait_s=0.0, status=400),
        events.BatchReopened(1, (1000,)),
        events.BatchFailed(1, 400, "bad request", "locked"),
    ]


async def test_the_rest_of_what_is_gone_is_left_clear_when_it_is_put_aside() -> None:
    """What was put aside a second time is unsent at a stop, not in doubt."""
    live = {1000: 1, 1001: 1}

    def script(_api: FakeApi, result: int, _runs: tuple[int, ...]) -> Fact:
        if result == 1:
            return BadRequest(400, "bad id")
        rig.engine.stop(Interrupted(2))
        return BadRequest(400, "bad id")

    api = api_of(live, [])
    api.script = script
    rig = Rig(runs_of({1: 3, 2: 1}), api, Limits(Rate(1000), 1), retry=READ_BACK)
    assert await rig.run() == {State.GONE: 1, State.UNSENT: 3}
    assert rig.record.lines[3:6] == [
        events.BatchSplit(1, into=(2,)),
        events.BatchSent(2, 1, 1, "request-3", (1000, 1001), parent=1),
        events.BatchRetry(2, 1, in_doubt=False, wait_s=0.0, status=400),
    ]


async def test_what_is_gone_does_not_count_as_failed_with_its_result() -> None:
    """When a result ends, only what is left of a batch that was put aside has failed."""
    live = {1000 + number: 1 for number in range(40)}

    def script(_api: FakeApi, _result: int, runs: tuple[int, ...]) -> Fact:
        return BadRequest(400, "bad id") if 1000 in runs else Forbidden(403, "no more")

    api = api_of(live, [])
    api.script = script
    limits = Limits(Rate(1000), 1, max_failures=MaxFailures(count=41))
    rig = Rig(runs_of({1: 101}), api, limits, retry=READ_BACK)
    assert await rig.run() == {State.GONE: 60, State.FAILED: 41}
    assert rig.engine.endings == []


async def test_an_api_that_answers_400_to_every_run_is_left_alone() -> None:
    """Ten batches of one run each are as good a sign of a wrong form as ten big ones."""
    rig = Rig(
        runs_of(dict.fromkeys(range(1, 60), 1)),
        FakeApi(lambda *_: BadRequest(400, "wrong form")),
        Limits(Rate(1000), 1),
        retry=Retry(settle="resend"),
    )
    assert await rig.run() == {State.FAILED: 10, State.UNSENT: 49}
    (ending,) = rig.engine.endings
    assert isinstance(ending, GaveUp)
    assert "the first 10 calls were all answered with 400" in ending.reason
    assert "wrong form" in ending.reason


async def test_a_stop_before_the_last_attempt_leaves_is_no_failure() -> None:
    """An attempt that never left because the job was stopped leaves its batch unsent."""

    class Stopping(Record):
        async def durable(self) -> None:
            if len(self.lines) > 1:
                await anyio.sleep(1)
                rig.engine.stop(Interrupted(2))

    limits = Limits(Rate(1000), 2)
    rig = Rig(runs_of({1: 1, 2: 1}), limits=limits, record=Stopping(), retry=Retry(attempts=1))
    assert await rig.run() == {State.DELETED: 1, State.UNSENT: 1}
    assert len(rig.api.calls) == 1
    assert rig.record.lines[-1] == events.BatchRetry(
        2, 1, in_doubt=False, wait_s=0.0, error="the job is stopping"
    )
    assert rig.engine.trouble == ""


async def test_probes_keep_their_distances_whatever_the_pauses_of_the_batch() -> None:
    """While calls are held, a batch does not sit out a pause of its own before it probes."""
    down_until = 1150.0

    def script(_api: FakeApi, _result: int, _runs: tuple[int, ...]) -> Fact:
        down = 1001 < anyio.current_time() < down_until
        return ServerError(500, None, "oops") if down else Deleted(204, 1)

    limits = Limits(Rate(10), 1, give_up_after=Seconds(600))
    rig = Rig(runs_of({1: 2000}), FakeApi(script), limits, retry=Retry(settle="resend"))
    assert await rig.run() == {State.DELETED: 1900, State.UNKNOWN: 100}
    times = [at for at, _, _ in rig.api.calls]
    assert max(later - before for before, later in pairwise(times)) < 15.5


async def test_the_last_trouble_may_be_that_of_a_read() -> None:
    """What is told as the last failure is the last one, also where it was a read that failed."""
    api = api_of({}, [InDoubt("reset")])
    api.read = lambda *_: ServerError(502, None, "")
    rig = Rig(runs_of({1: 1}), api, retry=Retry(attempts=2))
    assert await rig.run() == {State.DELETED: 1}
    assert rig.engine.trouble == "status 502"
