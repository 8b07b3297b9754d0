"""One execution of a job: journal, engine, signals and screen together."""

import asyncio
import importlib.util
import os
import platform
import random
import resource
import signal
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import anyio

from bulk_delete import __version__, events, report
from bulk_delete.client import Client, clean, open_client
from bulk_delete.config import ApiKey, Schedule, Settings
from bulk_delete.control import End
from bulk_delete.dispatch import Ends, Engine, Recorder
from bulk_delete.errors import (
    Bug,
    Ending,
    Interrupted,
    InvalidInput,
    JournalFailed,
    cause_of,
    out_of_memory,
)
from bulk_delete.folder import write_whole
from bulk_delete.journal.opening import Mended
from bulk_delete.journal.replay import History
from bulk_delete.journal.writer import Journal
from bulk_delete.runner.canary import Canary, Witness
from bulk_delete.runner.closing import close_books
from bulk_delete.runner.following import Follower
from bulk_delete.runner.heeding import Heeding
from bulk_delete.runner.holding import Holds
from bulk_delete.runner.job import Job
from bulk_delete.runner.metering import Meter
from bulk_delete.runner.order import Order
from bulk_delete.runner.posting import Post
from bulk_delete.runner.shield import Shield
from bulk_delete.runner.standings import Standings
from bulk_delete.runner.timekeeping import Clocks, TimeKeeper
from bulk_delete.runner.watching import Gauge, Recording, Watcher
from bulk_delete.schedule import Timetable
from bulk_delete.signals import obeyed
from bulk_delete.store import Plan
from bulk_delete.throttle import Throttle

FILES = 48
"""Files that may be open at once besides a socket for each call: a few more than ever are."""


def execute(job: Job, key: ApiKey, approved_by: str, watcher: Watcher) -> report.Summary:
    """Send what is left to do; return how it ended.

    Raises InvalidInput and JournalFailed for what shows before the first call.
    """
    room_for_files(job.order.settings.limits.concurrency)
    options = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    return anyio.run(_execute, job, key, approved_by, watcher, backend_options=options)


def room_for_files(concurrency: int) -> None:
    """See to it that a socket for each call can be opened. Raises InvalidInput."""
    needed = FILES + concurrency
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InvalidInput(
            f"this process may have {hard} files open at once, and needs {needed} for "
            f"--concurrency {concurrency}; raise `ulimit -n`, or lower the concurrency"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _execute(job: Job, key: ApiKey, approved_by: str, watcher: Watcher) -> report.Summary:
    folder, plan, settings = job.folder, job.intake.plan, job.order.settings
    started = time.monotonic()
    _warn(job, key, watcher)
    post = Post(job, key)
    async with (
        open_client(settings.api, key, settings.limits.concurrency) as client,
        post.open(watcher),
    ):
        _list_leftover(job, job.leftover.before)
        write_whole(folder.plan(plan.figures.fingerprint), plan.raw())
        journal = Journal(folder.journal, folder.mark, job.history.end)
        execution = folder.execution
        endings: list[Ending] = []
        standings = Standings(job.todo.plan.figures.runs, job.todo.doubted)
        recording = Recording(journal, standings, watcher)
        witness = Witness(recording) if settings.guards.canary else None
        engine, holds, throttle, gauge = _engine(
            job, client, journal, witness or recording, standings, watcher, endings
        )
        heeding = Heeding(
            folder,
            engine,
            holds,
            throttle,
            gauge,
            post,
            recording.record_job,
            watcher,
            settings.limits.grace,
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
        followed = Follower(folder, journal, job.history, job.states, job.scratch)
        async with anyio.create_task_group() as house, followed as follower:
            house.start_soon(journal.serve)
            with obeyed(_on_signal(engine, settings.limits.grace, watcher)):
                try:
                    await _open_books(job, journal, execution, key, approved_by)
                    _list_leftover(job, job.leftover.plan)
                    folder.forget_before(plan.figures.fingerprint)
                    canary = _canary(job, engine, witness, heeding)
                    await _send(job, engine, gauge, watcher, heeding, timekeeper, follower, canary)
                    await journal.durable()
                except JournalFailed as failure:
                    endings.append(failure)
                except Exception as error:  # noqa: BLE001 - whatever it is, the books are closed
                    endings.append(_unforeseen(error, key, watcher))
                heeding.close()
                seconds = round(time.monotonic() - started, 3)
                summary = await close_books(
                    job, journal, follower, execution, standings, endings, seconds
                )
                await journal.close()
            house.cancel_scope.cancel()
        journal.release()
        post.end(End(summary.outcome, summary.exit_code, summary.reason))
    return summary


def _list_leftover(job: Job, plan: Plan) -> None:
    write_whole(job.folder.leftover, report.verdict_rows(job.states.told(plan.chunks())))


def _unforeseen(error: Exception, key: ApiKey, watcher: Watcher) -> Ending:
    if ending := out_of_memory(error):
        return ending
    watcher.log("error", "job.bug", {"traceback": key.out_of(traceback.format_exc())})
    cause = cause_of(error)
    return Bug(f"{clean(f'{type(cause).__name__}: {cause}', key)}; report this")


def tell_mended(mended: Mended | None, watcher: Watcher) -> None:
    """Tell what was moved away from the journal's end, if anything was."""
    if mended:
        where = {"line": mended.line, "bytes": mended.bytes, "moved_to": str(mended.to)}
        watcher.log("error", "journal.mended", {"reason": mended.reason, **where})


def _warn(job: Job, key: ApiKey, watcher: Watcher) -> None:
    """Tell what an operator should know before the first call."""
    tell_mended(job.mended, watcher)
    if job.leftover.lost:
        watcher.log("error", "plan.lost", {"plan": str(job.leftover.lost)})
    before = job.history.started
    if before and before.key_id != key.id:
        watcher.log("warning", "key.changed", {"before": before.key_id, "now": key.id})
    if before and "protect" in before.limits and not job.protection:
        watcher.log("warning", "protect.missing", {"before": before.limits["protect"]})
    if before and "job_file" in before.limits and not job.order.job_file:
        watcher.log("warning", "job_file.missing", {"before": before.limits["job_file"]})


async def _open_books(
    job: Job, journal: Journal, execution: str, key: ApiKey, approved_by: str
) -> None:
    journal.write(
        events.JobStarted(
            job=job.name,
            execution=execution,
            version=__version__,
            host=platform.node(),
            pid=os.getpid(),
            base_url=job.order.settings.api.base_url,
            key_id=key.id,
            inputs=job.intake.inputs,
            fingerprint=job.intake.plan.figures.fingerprint,
            counts=job.todo.counts._asdict(),
            limits=_limits(job.order),
            approved_by=approved_by,
        )
    )
    if job.leftover.replaced is not None:
        journal.write(events.PlanReplaced(counts=dict(job.leftover.replaced)))
    await journal.durable()


def _limits(order: Order) -> dict[str, bool | int | float | str]:
    settings, protect = order.settings, order.settings.guards.protect
    return {
        **({"job_file": str(order.job_file.path)} if order.job_file else {}),
        **({"protect": str(protect)} if protect else {}),
        "rate": str(settings.limits.rate),
        "adaptive": settings.limits.adaptive,
        "concurrency": settings.limits.concurrency,
        "timeout_s": settings.api.timeout,
        "attempts": settings.retry.attempts,
        "settle": settings.retry.settle,
        "max_failures": str(settings.limits.max_failures),
        **_times(settings.schedule),
    }


def _times(schedule: Schedule) -> dict[str, float | str]:
    return {
        **({"max_time_s": schedule.max_time} if schedule.max_time else {}),
        **({"until": str(schedule.until)} if schedule.until else {}),
        **({"windows": ", ".join(map(str, schedule.windows))} if schedule.windows else {}),
        **({"outside": schedule.outside} if schedule.windows else {}),
        **({"timezone": schedule.timezone} if schedule.timezone else {}),
    }


def _engine(
    job: Job,
    client: Client,
    journal: Journal,
    recorder: Recorder,
    standings: Standings,
    watcher: Watcher,
    endings: list[Ending],
) -> tuple[Engine, Holds, Throttle, Gauge]:
    """Put the engine on its ends; it adds to `endings` what ends it early."""
    settings = job.order.settings
    throttle = throttle_of(settings, job.history)
    execution = uuid.uuid4().hex
    shield = None
    if job.protection:
        shield = Shield(job.protection, lambda: watcher.log("info", "protect.renewed", {}))
    meter = Meter(client, time.monotonic) if settings.metrics.file else None
    ends = Ends(
        transport=meter or client,
        pace=throttle,
        recorder=recorder,
        past=job.states,
        shield=shield,
        clock=time.monotonic,
        dice=random.random,
        new_id=(f"{execution}-{number}" for number in count(1)).__next__,
    )
    workers = min(settings.limits.concurrency, max(1, job.todo.plan.figures.results))
    limits = replace(settings.limits, concurrency=workers)
    engine = Engine(ends, limits, settings.retry, job.history.last_batch + 1, endings)
    holds = Holds(engine)
    figures = job.todo.plan.figures
    gauge = Gauge(engine, holds, throttle, standings, journal, figures, time.monotonic, meter)
    return engine, holds, throttle, gauge


def throttle_of(settings: Settings, history: History) -> Throttle:
    """Make the pace of an execution: what was called before counts in its longer limits."""
    now = time.time()
    return Throttle(
        settings.limits.rate,
        adaptive=settings.limits.adaptive,
        used=((max(0.0, now - at), calls) for at, calls in history.calls_at.items()),
    )


async def _send(
    job: Job,
    engine: Engine,
    gauge: Gauge,
    watcher: Watcher,
    heeding: Heeding,
    timekeeper: TimeKeeper,
    follower: Follower,
    canary: Canary | None,
) -> None:
    timekeeper.begin()
    await heeding.begin()
    try:
        async with anyio.create_task_group() as side:
            side.start_soon(_show, gauge, watcher)
            side.start_soon(heeding.serve)
            side.start_soon(timekeeper.serve)
            side.start_soon(follower.follow)
            if canary:
                await engine.run(canary.rest(), first=canary.fly)
            else:
                await engine.run(job.todo.plan.lanes())
            side.cancel_scope.cancel()
    finally:
        watcher.show(gauge.read())


def _canary(job: Job, engine: Engine, witness: Witness | None, heeding: Heeding) -> Canary | None:
    guards = job.order.settings.guards
    if guards.canary is None or witness is None:
        return None
    go_on = report.command("continue", (job.name,), Settings(state=job.order.settings.state))

    async def wait(why: str) -> None:
        await heeding.pause_for("the canary", f"{why}; to go on: {go_on}")

    return Canary(
        job.todo.plan, guards.canary, engine, witness, wait if guards.canary_wait else None
    )


async def _show(gauge: Gauge, watcher: Watcher) -> None:
    while True:
        watcher.show(gauge.read())
        await anyio.sleep(watcher.interval_s)


def _on_signal(
    engine: Engine, grace_s: float, watcher: Watcher
) -> Callable[[signal.Signals, int], None]:
    """Drain on the first signal; leave off on the second, or when the grace is over."""
    loop = asyncio.get_running_loop()

    def asked(signum: signal.Signals, count: int) -> None:
        fields = {"signal": signum.name, "in_flight": engine.in_flight}
        if count == 1:
            watcher.log("warning", "job.draining", {**fields, "grace_s": grace_s})
            engine.stop(Interrupted(signum))
            loop.call_later(grace_s, engine.cut)
        else:
            watcher.log("warning", "job.cut", fields)
            engine.cut()

    return asked
