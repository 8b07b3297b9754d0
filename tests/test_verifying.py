"""What reading back a job's deletions counts, and how far it is believed to have come."""

from itertools import count
from typing import Any

import anyio
import pytest

from bulk_delete import events
from bulk_delete.config import Limits, Rate, Retry
from bulk_delete.dispatch import Ends
from bulk_delete.dispatch.verifying import Verifier
from bulk_delete.errors import Ending
from bulk_delete.model import (
    Found,
    InDoubt,
    NotSent,
    Pair,
    Reading,
    ResultNotFound,
    ServerError,
    Visible,
)
from bulk_delete.throttle import Throttle
from tests.test_dispatch import FakeApi, Record, runs_of


@pytest.fixture
def anyio_backend(warped: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return warped


async def verified(
    api: FakeApi, sizes: dict[int, int], endings: list[Ending] | None = None
) -> tuple[Verifier, Record, list[Pair]]:
    """Read back a plan with one worker; return what was found still there, too."""
    record, found, ids, limits = Record(), list[Pair](), count(1), Limits(Rate(100), 1)
    ends = Ends(
        transport=api,
        pace=Throttle(limits.rate),
        recorder=record,
        past=record.ledger,
        shield=None,
        clock=anyio.current_time,
        dice=lambda: 0.5,
        new_id=lambda: f"request-{next(ids)}",
    )
    verifier = Verifier(
        ends,
        limits,
        Retry(attempts=2),
        [] if endings is None else endings,
        lambda result_id, runs: found.extend(Pair(result_id, run) for run in runs),
    )
    await verifier.run(runs_of(sizes).groups())
    return verifier, record, found


async def test_runs_are_counted_by_what_came_back() -> None:
    """A run that comes back is opened again; the others are absent where the result is seen."""
    api = FakeApi(
        read=lambda _, runs: Found(200, 1, {run: 1 for run in runs if run == 1001}),
        see=lambda *_: Visible(200, 1),
    )
    verifier, record, found = await verified(api, {1: 3, 2: 2})
    assert (verifier.checked, verifier.still_there, verifier.unseen) == (5, 1, 0)
    assert found == [Pair(1, 1001)]
    assert record.lines == [events.BatchReopened(1, (1001,))]
    assert verifier.upto == (2, 2001)
    assert api.calls == []


@pytest.mark.parametrize("blind", [ResultNotFound(404, "no result"), InDoubt("cut")])
async def test_what_cannot_be_seen_is_asked_for_again(blind: Reading) -> None:
    """Where a result is not seen, or its runs are not read, who goes on begins there."""

    def read(_api: FakeApi, runs: tuple[int, ...]) -> Reading:
        return blind if isinstance(blind, InDoubt) and 2000 in runs else Found(200, 1, {})

    def see(_api: FakeApi, result_id: int) -> Reading:
        return ResultNotFound(404, "no result") if result_id == 2 else Visible(200, 1)

    verifier, record, found = await verified(FakeApi(read=read, see=see), {1: 3, 2: 2, 3: 1})
    assert (verifier.checked, verifier.still_there, verifier.unseen) == (6, 0, 2)
    assert found == []
    assert record.lines == []
    assert verifier.upto == (1, 1002)


AWAY = [NotSent("refused"), ServerError(502, None, ""), ServerError(500, None, "oops")]


@pytest.mark.parametrize("fact", AWAY)
async def test_an_outage_is_waited_for(fact: Reading) -> None:
    """While nobody answers reads are held; the first answer lets all of them go on."""
    began = anyio.current_time()

    def read(_api: FakeApi, _runs: tuple[int, ...]) -> Reading:
        away = 1 <= anyio.current_time() - began < 40
        return fact if away else Found(200, 1, {})

    endings: list[Ending] = []
    api = FakeApi(read=read, see=lambda *_: Visible(200, 1))
    sizes = dict.fromkeys(range(1, 1001), 1)
    verifier, record, _ = await verified(api, sizes, endings)
    assert endings == []
    assert verifier.checked == 1000
    assert verifier.unseen <= 3
    held = [type(event) for event in record.jobs if not isinstance(event, events.ApiRead)]
    assert held == [events.JobPaused, events.JobContinued]
    assert anyio.current_time() - began < 40 + 16 + 2 * 1000 * 0.06


@pytest.mark.parametrize("fact", AWAY)
async def test_an_api_that_stays_away_ends_it(fact: Reading) -> None:
    """When nobody ever answers it gives up, and says why."""
    endings: list[Ending] = []
    verifier, _, _ = await verified(
        FakeApi(read=lambda *_: fact), dict.fromkeys(range(1, 1001), 1), endings
    )
    assert [ending.exit_code for ending in endings] == [5]
    assert "the API stayed away" in str(endings[0])
    assert verifier.checked < 10
