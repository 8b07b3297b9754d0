"""A job as it is written down: what to delete, and under which settings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bulk_delete.config.dates import dated
from bulk_delete.config.files import Layer, TomlFile, beside, layer_of, nearest, read_toml
from bulk_delete.config.load import all_settings, is_path, settings_of
from bulk_delete.config.settings import Settings
from bulk_delete.errors import InvalidInput
from bulk_delete.model import JOB_NAME, NAMES

_JOB = "job"
_KEYS_OF_API = ("key_file", "key_command")
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")
_SOME_DAY = datetime(2026, 1, 1)  # noqa: DTZ001 - any day tells whether a name can be dated


@dataclass(frozen=True, slots=True)
class JobFile:
    """`inputs` are names and patterns as they stand there; `settings` its own, over the defaults.

    `layer` is these settings as they stand there, for other places of settings to lie around.
    """

    path: Path
    name: str
    inputs: tuple[str, ...]
    layer: Layer
    settings: Settings
    description: str | None = None
    expect: str | None = None
    skip_failed: bool = False
    confirm: bool = True
    verify: bool = False
    time_zone: ZoneInfo | None = None

    def inputs_at(self, now: datetime) -> tuple[str, ...]:
        """Return the names and patterns of the inputs, with the dates of a moment put in."""
        local = now.astimezone(self.time_zone)
        return tuple(dated(name, local) for name in self.inputs)


def is_job_file(word: str) -> bool:
    return word.lower().endswith(".toml")


def read_job_file(path: Path) -> JobFile:
    """Read a job file. Raises InvalidInput, naming file, key and cure."""
    file = read_toml(path)
    job = _job(file)
    layer = _layer(file)
    name = job.pop("name", path.stem)
    if not JOB_NAME.fullmatch(name):
        place = file.at(_JOB, "name")
        raise InvalidInput(f"{place}: {name!r} cannot name a job; give [job] name {NAMES}")
    return JobFile(path=path, name=name, layer=layer, settings=settings_of(layer), **job)


def _without_inputs(file: TomlFile) -> InvalidInput:
    return InvalidInput(
        f'{file.at(_JOB)}: a job file needs its inputs: [job] and inputs = ["runs.csv"]'
    )


def _job(file: TomlFile) -> dict[str, Any]:
    """Read the section `[job]`. Raises InvalidInput."""
    table = file.tables.get(_JOB)
    if not isinstance(table, dict):
        raise _without_inputs(file)
    found: dict[str, Any] = {}
    for key, value in table.items():
        place = file.at(_JOB, key)
        if key not in _READERS:
            raise InvalidInput(f"{place}: [job] has no key {key!r}{nearest(key, _READERS)}")
        try:
            found[key] = _READERS[key](value)
        except ValueError as error:
            raise InvalidInput(f"{place}: [job] {key}: {value!r} does not fit: {error}") from None
    if "inputs" not in found:
        raise _without_inputs(file)
    return found


def _layer(file: TomlFile) -> Layer:
    """Take the settings; their paths start at the file's folder. Raises InvalidInput."""
    for key in _KEYS_OF_API:
        if key in _section(file.tables, "api"):
            raise InvalidInput(
                f"{file.at('api', key)}: [api] {key} has no place in a job file, which says what "
                "is deleted and not with whose key; set it in the configuration, or as "
                f"BULK_DELETE_API_{key.upper()}"
            )
    kinds = all_settings()
    settings = {name: table for name, table in file.tables.items() if name != _JOB}
    folder = file.path.parent
    return {
        name: replace(given, value=beside(folder, given.value)) if is_path(kinds[name]) else given
        for name, given in layer_of(replace(file, tables=settings), kinds).items()
    }


def _section(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("give a text")
    return value


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('give a list of names, as ["runs.csv"]')
    for name in value:
        dated(_text(name), _SOME_DAY)
        if "**" in name:
            raise ValueError("** is not known; write a * for each folder on the way")
    return tuple(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("give true or false")  # noqa: TRY004 - one handler names the place
    return value


def _fingerprint(value: object) -> str:
    if not isinstance(value, str) or not _FINGERPRINT.fullmatch(value):
        raise ValueError("give the 64 hex digits that plan prints")
    return value


def _time_zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(_text(value))
    except (OSError, KeyError, ValueError):  # as many as there are ways not to be a zone's name
        raise ValueError("give a zone of this machine's tzdata, as Europe/Berlin") from None


_READERS: Mapping[str, Callable[[object], object]] = {
    "name": _text,
    "description": _text,
    "inputs": _names,
    "time_zone": _time_zone,
    "expect": _fingerprint,
    "skip_failed": _switch,
    "confirm": _switch,
    "verify": _switch,
}
