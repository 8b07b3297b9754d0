"""Commands to type next."""

import shlex
import string
from collections.abc import Iterable
from dataclasses import fields

from bulk_delete.config import Input, Schedule, Settings

_SAFE = frozenset(string.ascii_letters + string.digits + " ./_-+,:=@%")


def command(
    verb: str,
    words: Iterable[str],
    settings: Settings,
    *,
    name: str | None = None,
    expect: str | None = None,
    skip_failed: bool = False,
    known: Settings | None = None,
) -> str:
    """Write a command to type, with the settings that must be the same again.

    `known` are those that it has without a flag: its job file's.
    """
    known = known or Settings()
    flags: dict[str, object] = {
        "--name": name,
        "--state-dir": _if_other(settings.state.dir, known.state.dir),
        "--base-url": _if_other(settings.api.base_url, known.api.base_url),
        "--rate": _if_other(settings.limits.rate, known.limits.rate),
        "--settle": _if_other(settings.retry.settle, known.retry.settle),
        "--expect": expect,
        **_schedule(settings.schedule, known.schedule),
        "--canary": _if_other(settings.guards.canary, known.guards.canary),
        "--protect": _if_other(settings.guards.protect, known.guards.protect),
        "--protect-action": _if_other(settings.guards.protect_action, known.guards.protect_action),
        "--metrics-file": _if_other(settings.metrics.file, known.metrics.file),
    }
    if verb == "run":
        for guard in ("max_runs", "max_results", "max_growth"):
            chosen = getattr(settings.guards, guard)
            flags[_flag(guard)] = _if_other(chosen, getattr(known.guards, guard))
        for field in fields(Input):
            chosen = getattr(settings.input, field.name)
            flags[_flag(field.name)] = _if_other(chosen, getattr(known.input, field.name))
    given = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    if settings.guards.canary_wait and not known.guards.canary_wait:
        given.append("--canary-wait")
    if skip_failed:
        given.append("--skip-failed")
    files = [f"./{word}" if word.startswith("-") and word != "-" else word for word in words]
    return " ".join(map(_typed, ["bulk-delete", verb, *files, *given]))


def repair_command(job: str, settings: Settings) -> str:
    """Write the command that repairs a job's journal."""
    where = ["--state-dir", str(settings.state.dir)] if settings.state.dir else []
    return " ".join(map(_typed, ["bulk-delete", "audit", job, "--repair", *where]))


def _typed(word: str) -> str:
    """Write a word as a shell takes it; bytes that would not be seen as $'…' has them."""
    if word.isprintable():
        return shlex.quote(word)
    data = word.encode("utf-8", "surrogateescape")
    shown = (chr(byte) if chr(byte) in _SAFE else f"\\{byte:03o}" for byte in data)
    return f"$'{''.join(shown)}'"


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _schedule(schedule: Schedule, known: Schedule) -> dict[str, object]:
    longest = _if_other(schedule.max_time, known.max_time)
    windows = ", ".join(map(str, schedule.windows))
    return {
        "--max-time": f"{longest:g}s" if longest else None,
        "--until": _if_other(schedule.until, known.until),
        "--window": windows if schedule.windows != known.windows else None,
        "--outside": _if_other(schedule.outside, known.outside),
        "--timezone": _if_other(schedule.timezone, known.timezone),
    }


def _if_other(chosen: object, default: object) -> object:
    return None if chosen == default else chosen
