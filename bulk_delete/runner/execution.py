"""One execution of a job: journal, engine, signals and screen together."""

import asyncio
import importlib.util
import resource
import signal
import time
import traceback
from collections.abc import Callable

import anyio

from bulk_delete import report
from bulk_delete.client import clean, open_client
from bulk_delete.config import ApiKey
from bulk_delete.control import End
from bulk_delete.dispatch import Engine
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
from bulk_delete.journal.writer import Journal
from bulk_delete.runner.assembly import Machinery, assemble
from bulk_delete.runner.closing import close_books
from bulk_delete.runner.following import Follower
from bulk_delete.runner.job import Job
from bulk_delete.runner.opening import open_books, warn
from bulk_delete.runner.posting import Post
from bulk_delete.runner.standings import Standings
from bulk_delete.runner.watching import Gauge, Watcher
from bulk_delete.signals import obeyed
from bulk_delete.store import Plan

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
    warn(job, key, watcher)
    post = Post(job, key)
    async with (
        open_client(settings.api, key, settings.limits.concurrency) as client,
        post.open(watcher),
    ):
        _list_leftover(job, job.leftover.before)
        write_whole(folder.plan(plan.figures.fingerprint), plan.raw())
        journal = Journal(folder.journal, folder.mark, job.history.end)
        endings: list[Ending] = []
        standings = Standings(job.todo.plan.figures.runs, job.todo.doubted)
        machinery = assemble(job, client, journal, post, standings, watcher, endings)
        followed = Follower(folder, journal, job.history, job.states, job.scratch)
        async with anyio.create_task_group() as house, followed as follower:
            house.start_soon(journal.serve)
            with obeyed(_on_signal(machinery.engine, settings.limits.grace, watcher)):
                try:
                    await open_books(job, journal, key, approved_by, watcher)
                    _list_leftover(job, job.leftover.plan)
                    folder.forget_before(plan.figures.fingerprint)
                    await _send(job, machinery, watcher, follower)
                    await journal.durable()
                except JournalFailed as failure:
                    endings.append(failure)
                except Exception as error:  # noqa: BLE001 - whatever it is, the books are closed
                    endings.append(_unforeseen(error, key, watcher))
                machinery.heeding.close()
                seconds = round(time.monotonic() - started, 3)
                summary = await close_books(
                    job, journal, follower, folder.execution, standings, endings, seconds
                )
                await journal.close()
            house.cancel_scope.cancel()
        journal.release()
        post.end(End(summary.outcome, summary.exit_code, summary.reason))
    level = "error" if summary.exit_code else "info"
    watcher.log(level, "job.finished", summary.headline())
    return summary


def _list_leftover(job: Job, plan: Plan) -> None:
    write_whole(job.folder.leftover, report.verdict_rows(job.states.told(plan.chunks())))


def _unforeseen(error: Exception, key: ApiKey, watcher: Watcher) -> Ending:
    if ending := out_of_memory(error):
        return ending
    watcher.log("error", "job.bug", {"traceback": key.out_of(traceback.format_exc())})
    cause = cause_of(error)
    return Bug(f"{clean(f'{type(cause).__name__}: {cause}', key)}; report this")


async def _send(job: Job, machinery: Machinery, watcher: Watcher, follower: Follower) -> None:
    engine, gauge, canary = machinery.engine, machinery.gauge, machinery.canary
    machinery.timekeeper.begin()
    await machinery.heeding.begin()
    try:
        async with anyio.create_task_group() as side:
            side.start_soon(_show, gauge, watcher)
            side.start_soon(machinery.heeding.serve)
            side.start_soon(machinery.timekeeper.serve)
            side.start_soon(follower.follow)
            if canary:
                await engine.run(canary.rest(), first=canary.fly)
            else:
                await engine.run(job.todo.plan.lanes())
            side.cancel_scope.cancel()
    finally:
        watcher.show(gauge.read())


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
