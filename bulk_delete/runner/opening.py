"""What is said before the first call: warnings to the operator, and the journal's first lines."""

import os
import platform

from bulk_delete import __version__, events
from bulk_delete.config import ApiKey, Guards, Schedule
from bulk_delete.journal.opening import Mended
from bulk_delete.journal.writer import Journal
from bulk_delete.runner.job import Job
from bulk_delete.runner.order import Order
from bulk_delete.runner.watching import Watcher


def tell_mended(mended: Mended | None, watcher: Watcher) -> None:
    """Tell what was moved away from the journal's end, if anything was."""
    if mended:
        where = {"line": mended.line, "bytes": mended.bytes, "moved_to": str(mended.to)}
        watcher.log("error", "journal.mended", {"reason": mended.reason, **where})


def warn(job: Job, key: ApiKey, watcher: Watcher) -> None:
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


async def open_books(
    job: Job, journal: Journal, key: ApiKey, approved_by: str, watcher: Watcher
) -> None:
    """Tell that the execution has started, and wait for the disk. Raises JournalFailed."""
    counts = job.todo.counts
    begun = {"job": job.name, "runs": counts.planned, "calls": counts.batches}
    watcher.log("info", "job.started", begun)
    journal.write(
        events.JobStarted(
            job=job.name,
            execution=job.folder.execution,
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
        **_canary(settings.guards),
        **_times(settings.schedule),
    }


def _canary(guards: Guards) -> dict[str, bool | int]:
    if guards.canary is None:
        return {}
    return {"canary": guards.canary, **({"canary_wait": True} if guards.canary_wait else {})}


def _times(schedule: Schedule) -> dict[str, float | str]:
    return {
        **({"max_time_s": schedule.max_time} if schedule.max_time else {}),
        **({"until": str(schedule.until)} if schedule.until else {}),
        **({"windows": ", ".join(map(str, schedule.windows))} if schedule.windows else {}),
        **({"outside": schedule.outside} if schedule.windows else {}),
        **({"timezone": schedule.timezone} if schedule.timezone else {}),
    }
