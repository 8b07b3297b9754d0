"""Commands to type next."""

import shlex
from collections.abc import Iterable
from dataclasses import fields

from bulk_delete.config import Input, Schedule, Settings


def command(
    verb: str,
    words: Iterable[str],
    settings: Settings,
    *,
    name: str | None = None,
    expect: str | None = None,
    skip_failed: bool = False,
) -> str:
    """Write a command to type, with the settings that must be the same again."""
    default_settings = Settings()
    flags: dict[str, object] = {
        "--name": name,
        "--state-dir": settings.state.dir,
        "--base-url": _if_other(settings.api.base_url, default_settings.api.base_url),
        "--rate": _if_other(settings.limits.rate, default_settings.limits.rate),
        "--settle": _if_other(settings.retry.settle, default_settings.retry.settle),
        "--expect": expect,
        **_schedule(settings.schedule),
        "--protect": settings.guards.protect,
        "--canary": settings.guards.canary,
        "--protect-action": _if_other(
            settings.guards.protect_action, default_settings.guards.protect_action
        ),
    }
    if verb == "run":
        flags["--max-runs"] = settings.guards.max_runs
        flags["--max-results"] = settings.guards.max_results
        for field in fields(Input):
            chosen, default = getattr(settings.input, field.name), field.default
            flags[f"--{field.name.replace('_', '-')}"] = _if_other(chosen, default)
    given = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    if settings.guards.canary_wait:
        given.append("--canary-wait")
    if skip_failed:
        given.append("--skip-failed")
    plain = [f"./{word}" if word.startswith("-") and word != "-" else word for word in words]
    return shlex.join(["bulk-delete", verb, *plain, *given])


def repair_command(job: str, settings: Settings) -> str:
    """Write the command that repairs a job's journal."""
    where = ["--state-dir", str(settings.state.dir)] if settings.state.dir else []
    return shlex.join(["bulk-delete", "audit", job, "--repair", *where])


def _schedule(schedule: Schedule) -> dict[str, object]:
    longest = schedule.max_time
    return {
        "--max-time": f"{longest:g}s" if longest else None,
        "--until": schedule.until,
        "--window": ", ".join(map(str, schedule.windows)),
        "--outside": _if_other(schedule.outside, Schedule().outside),
        "--timezone": schedule.timezone,
    }


def _if_other(chosen: object, default: object) -> object:
    return None if chosen == default else chosen
