"""The flags that stand for settings, and how they become them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from bulk_delete import folder
from bulk_delete.cli.found import Found
from bulk_delete.cli.printing import complain
from bulk_delete.config import (
    ApiKey,
    Given,
    JobFile,
    Layer,
    Settings,
    exposure,
    find_key,
    is_job_file,
    load,
    parse_seconds,
    read_job_file,
)
from bulk_delete.errors import InvalidInput

_F = TypeVar("_F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option(
    "--quiet", is_flag=True, help="Print nothing unless something went wrong."
)


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    section: str
    key: str
    metavar: str
    help: str
    is_switch: bool = False

    @property
    def variable(self) -> str:
        return f"{self.section}_{self.key}"


_FLAGS = (
    Flag("--format", "input", "format", "auto|csv|jsonl", "What the inputs are."),
    Flag("--result-column", "input", "result_column", "NAME", "Column of the result ids."),
    Flag("--run-column", "input", "run_column", "NAME", "Column of the run ids."),
    Flag("--require", "input", "require", "file|rows|nothing", "What an input must have."),
    Flag("--on-bad-row", "input", "on_bad_row", "fail|skip", "Refuse all, or leave bad rows out."),
    Flag("--max-runs", "guards", "max_runs", "N", "Refuse a plan of more runs."),
    Flag("--max-results", "guards", "max_results", "N", "Refuse a plan that touches more results."),
    Flag("--max-growth", "guards", "max_growth", "N", "Refuse N times as many runs as usual."),
    Flag("--protect", "guards", "protect", "FILE", "Results or runs that are never sent."),
    Flag("--protect-action", "guards", "protect_action", "remove|refuse", "If the input has any."),
    Flag("--rate", "limits", "rate", "N/s", "Calls per s, m or h; several as 10/s,5000/h."),
    Flag("--base-url", "api", "base_url", "URL", "Where the API is."),
    Flag("--state-dir", "state", "dir", "DIR", "Where the job folders are."),
)
_RUN_FLAGS = (
    Flag("--concurrency", "limits", "concurrency", "N", "Calls in flight at once."),
    Flag("--timeout", "api", "timeout", "TIME", "Longest time of one call."),
    Flag("--attempts", "retry", "attempts", "N", "Attempts per batch."),
    Flag("--max-failures", "limits", "max_failures", "N%|N", "Give up above this."),
    Flag("--settle", "retry", "settle", "HOW", "What is in doubt: read-back, resend or hold."),
    Flag("--give-up-after", "limits", "give_up_after", "TIME", "End the job after an outage."),
    Flag("--grace", "limits", "grace", "TIME", "Time to drain after a signal."),
    Flag("--max-time", "schedule", "max_time", "TIME", "End the job after so long."),
    Flag("--until", "schedule", "until", "HH:MM", "End the job at this time of the day."),
    Flag(
        "--window", "schedule", "windows", "WINDOW", "Send only then: '22:00-06:00 Europe/Berlin'."
    ),
    Flag("--outside", "schedule", "outside", "hold|end", "Outside the windows."),
    Flag("--timezone", "schedule", "timezone", "ZONE", "Of times without one; else the machine's."),
    Flag("--canary", "guards", "canary", "N", "Send N small batches first, and read them back."),
    Flag("--canary-wait", "guards", "canary_wait", "", "Then wait for `continue`.", is_switch=True),
    Flag("--ca-file", "api", "ca_file", "FILE", "CA certificates to trust."),
    Flag("--metrics-file", "metrics", "file", "FILE", "For node_exporter; ends in .prom."),
    Flag("--log-format", "log", "format", "text|json", "Form of the log on stderr."),
)
_SEVERAL = {"--rate", "--window"}


def plan_settings(command: _F) -> _F:
    return _with(command, _FLAGS)


def run_settings(command: _F) -> _F:
    return _with(_with(command, _RUN_FLAGS), _FLAGS)


def resume_settings(command: _F) -> _F:
    reading = {"input"}
    return _with(
        _with(command, _RUN_FLAGS), tuple(flag for flag in _FLAGS if flag.section not in reading)
    )


def verify_settings(command: _F) -> _F:
    no_use = {"input", "guards", "schedule"}
    kept = (flag for flag in (*_FLAGS, *_RUN_FLAGS) if flag.section not in no_use)
    return _with(
        command, tuple(flag for flag in kept if flag.name not in {"--max-failures", "--settle"})
    )


def check_settings(command: _F) -> _F:
    kept = (flag for flag in (*_FLAGS, *_RUN_FLAGS) if flag.section in {"api", "state"})
    return _with(command, tuple(kept))


def audit_settings(command: _F) -> _F:
    return _with(command, tuple(flag for flag in _FLAGS if flag.section == "state"))


def job_file_of(words: tuple[str, ...]) -> JobFile | None:
    """Read the job file, where one is named. Raises InvalidInput where it does not stand alone."""
    named = next(filter(is_job_file, words), None)
    if named is None:
        return None
    if len(words) > 1:
        raise InvalidInput(f"{named} is a job file, which names its own inputs; give it alone")
    return read_job_file(Path(named))


def job_of(word: str, given: dict[str, Any]) -> tuple[str, Settings, JobFile | None]:
    """Tell the job that a word names, by its name or by its job file, with its settings."""
    job_file = job_file_of((word,))
    name = job_file.name if job_file else word
    return name, settings_of(given, job_file), job_file


def settings_of(given: dict[str, Any], job_file: JobFile | None = None) -> Settings:
    """Take the settings' flags out of the command's arguments and put the settings together."""
    config = given.pop("config_file")
    layer = flags_of(given)
    settings = load(layer, config, os.environ, home(), job_file.layer if job_file else None)
    if context := click.get_current_context(silent=True):
        context.ensure_object(Found).log = settings.log
    return settings


def flags_of(given: dict[str, Any]) -> Layer:
    """Take the settings' flags out of the command's arguments."""
    return {
        (flag.section, flag.key): Given(value, flag.name)
        for flag in (*_FLAGS, *_RUN_FLAGS)
        if (value := given.pop(flag.variable, None)) is not None
    }


def state_of(settings: Settings) -> Path:
    """Return the folder of all jobs; complain where others may write to it."""
    state = folder.state_dir(settings.state.dir, os.environ, home())
    if warning := folder.exposure(state):
        complain(warning)
    return state


def key_of(settings: Settings) -> ApiKey:
    """Find the key, which no traceback shows from then on; complain where others may read it."""
    key = find_key(settings.api, os.environ, home())
    click.get_current_context().ensure_object(Found).keys.append(key)
    if warning := exposure(key):
        complain(warning)
    return key


def home() -> Path:
    """Return the user's folder, as well as it can be told: a service may have none."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where this does not


def _with(command: _F, flags: tuple[Flag, ...]) -> _F:
    for flag in reversed(flags):
        default = _default(flag)
        shown = flag.help if default in {"", "None", "()"} else f"{flag.help}  [default: {default}]"
        if flag.is_switch:
            command = click.option(
                flag.name, flag.variable, flag_value="true", default=None, help=flag.help
            )(command)
            continue
        command = click.option(
            flag.name,
            flag.variable,
            metavar=flag.metavar,
            help=shown,
            multiple=True,
            callback=_all_together if flag.name in _SEVERAL else _only_one,
        )(command)
    return command


def _only_one(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Refuse a flag that is given twice: the last one would win without a word."""
    if len(given) > 1:
        raise InvalidInput(f"{option.opts[0]} is given {len(given)} times; give it once")
    return given[0] if given else None


def _all_together(_: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Take one each, or several with commas between."""
    return ",".join(given) if given else None


def wait_option(command: _F) -> _F:
    return click.option(
        "--wait",
        "wait_s",
        metavar="TIME",
        default="",
        callback=_seconds,
        help="If the job runs already, wait for it that long.",
    )(command)


def _seconds(_: click.Context, option: click.Parameter, given: str) -> float:
    if not given:
        return 0.0
    try:
        return parse_seconds(given)
    except ValueError as error:
        raise InvalidInput(f"{option.opts[0]}: {given!r} does not fit: {error}") from None


def _default(flag: Flag) -> str:
    value = getattr(getattr(Settings(), flag.section), flag.key)
    return f"{value:g}s" if isinstance(value, float) else str(value)


def config_option(command: _F) -> _F:
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file.",
    )(command)
