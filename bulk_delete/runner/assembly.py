"""The engine of an execution put together with all that measures, steers and holds it."""

import random
import time
import uuid
from dataclasses import dataclass, replace
from itertools import count

from bulk_delete import report
from bulk_delete.client import Client
from bulk_delete.config import Settings
from bulk_delete.dispatch import Ends, Engine
from bulk_delete.errors import Ending
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.runner.canary import Canary, Witness
from bulk_delete.runner.heeding import Heeding
from bulk_delete.runner.holding import Holds
from bulk_delete.runner.job import Job
from bulk_delete.runner.metering import Meter
from bulk_delete.runner.posting import Post
from bulk_delete.runner.shield import Shield
from bulk_delete.runner.standings import Standings
from bulk_delete.runner.timekeeping import Clocks, TimeKeeper
from bulk_delete.runner.watching import Gauge, Recording, Watcher
from bulk_delete.schedule import Timetable
from bulk_delete.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Machinery:
    """What runs side by side while a job sends; `canary` is what goes first, if anything does."""

    engine: Engine
    gauge: Gauge
    heeding: Heeding
    timekeeper: TimeKeeper
    canary: Canary | None


def assemble(
    job: Job,
    client: Client,
    journal: Journal,
    post: Post,
    standings: Standings,
    watcher: Watcher,
    endings: list[Ending],
) -> Machinery:
    """Put the engine on its ends; it adds to `endings` what ends it early."""
    settings, plan = job.order.settings, job.todo.plan
    throttle = throttle_of(settings, job.history)
    recording = Recording(journal, standings, watcher)
    witness = Witness(recording) if settings.guards.canary else None
    execution = uuid.uuid4().hex
    shield = None
    if job.protection:
        shield = Shield(job.protection, lambda: watcher.log("info", "protect.renewed", {}))
    meter = Meter(client, time.monotonic) if settings.metrics.file else None
    ends = Ends(
        transport=meter or client,
        pace=throttle,
        recorder=witness or recording,
        past=job.states,
        shield=shield,
        clock=time.monotonic,
        dice=random.random,
        new_id=(f"{execution}-{number}" for number in count(1)).__next__,
    )
    workers = min(settings.limits.concurrency, max(1, plan.figures.results))
    limits = replace(settings.limits, concurrency=workers)
    engine = Engine(ends, limits, settings.retry, job.history.last_batch + 1, endings)
    holds = Holds(engine)
    gauge = Gauge(engine, holds, throttle, standings, journal, plan.figures, time.monotonic, meter)
    go_on = report.command("continue", (job.name,), Settings(state=settings.state))
    heeding = Heeding(
        job.folder,
        engine,
        holds,
        throttle,
        gauge,
        post,
        recording.record_job,
        watcher,
        settings.limits.grace,
        go_on,
    )
    timekeeper = TimeKeeper(
        Timetable(settings.schedule, job.order.begun),
        Clocks(wall=time.time, steady=time.monotonic),
        engine,
        holds,
        throttle,
        settings.api.timeout,
        recording.record_job,
    )
    canary = _canary(job, engine, witness, heeding, go_on) if witness else None
    return Machinery(engine, gauge, heeding, timekeeper, canary)


def throttle_of(settings: Settings, history: History) -> Throttle:
    """Make the pace of an execution: what was called before counts in its longer limits."""
    now = time.time()
    return Throttle(
        settings.limits.rate,
        adaptive=settings.limits.adaptive,
        used=((max(0.0, now - at), calls) for at, calls in history.calls_at.items()),
    )


def _canary(job: Job, engine: Engine, witness: Witness, heeding: Heeding, go_on: str) -> Canary:
    guards = job.order.settings.guards

    async def wait(why: str) -> None:
        await heeding.pause_for("the canary", f"{why}; to go on: {go_on}")

    batches = guards.canary or 0
    return Canary(job.todo.plan, batches, engine, witness, wait if guards.canary_wait else None)
