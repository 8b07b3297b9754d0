"""Where settings come from; first match wins: flag, environment, file, ~/.cekura, default."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bulk_delete.config.settings import (
    MaxFailures,
    Rate,
    Seconds,
    Settings,
    parse_count,
    parse_max_failures,
    parse_rate,
    parse_seconds,
    parse_switch,
)
from bulk_delete.config.times import (
    DayTime,
    Window,
    ZoneName,
    parse_day_time,
    parse_windows,
    parse_zone,
)
from bulk_delete.config.url import parse_base_url
from bulk_delete.errors import InvalidInput

PREFIX = "BULK_DELETE_"
CONFIG_VARIABLE = "BULK_DELETE_CONFIG"
VENDOR_URL_VARIABLE = "CEKURA_API_URL"

Named = tuple[str, str]
"""Section and key, as ("limits", "rate")."""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value and the words for where it was found."""

    value: object
    origin: str


Layer = Mapping[Named, Given]


def _types() -> dict[Named, Any]:
    sections = get_type_hints(Settings)
    return {
        (section, key): kind
        for section, cls in sections.items()
        for key, kind in get_type_hints(cls).items()
    }


def load(
    flags: Layer, config_flag: Path | None, environ: Mapping[str, str], home: Path
) -> Settings:
    """Put the settings together.

    `flags` holds only what was given on the command line. Raises InvalidInput for an unknown
    key, with the nearest known one, and for a value of the wrong form.
    """
    types = _types()
    config = config_path(config_flag, environ, home)
    layers: list[Layer] = [
        flags,
        _environment(environ, types),
        _config_file(config, types) if config else {},
        _vendor_file(vendor_config(home)),
    ]
    found: dict[Named, object] = {}
    for name, kind in types.items():
        given = next((layer[name] for layer in layers if name in layer), None)
        if given is not None:
            found[name] = _convert(kind, name, given)
    sections = {
        section: cls(**{key: value for (place, key), value in found.items() if place == section})
        for section, cls in get_type_hints(Settings).items()
    }
    return Settings(**sections)


def config_path(flag: Path | None, environ: Mapping[str, str], home: Path) -> Path | None:
    """Find the config file: `--config`, BULK_DELETE_CONFIG, or the XDG folder's if it is there."""
    if named := flag or environ.get(CONFIG_VARIABLE):
        path = Path(str(named))
        if not is_there(path):
            raise InvalidInput(f"no config file at {path}; give --config another, or leave it out")
        return path
    base = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    path = base / "bulk-delete" / "config.toml"
    return path if base.is_absolute() and is_there(path) else None


def is_there(path: Path) -> bool:
    """Tell whether a file can be seen; a home that may not be entered has none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file() raises where this does not


def vendor_config(home: Path) -> Path:
    """Return the path of the vendor's own config file; it may not be there."""
    return home / ".cekura" / "config.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises InvalidInput."""
    import tomllib  # noqa: PLC0415 - many have no such file, and every command starts here

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError
        raise InvalidInput(f"{path}: not valid TOML: {error}") from None


def _environment(environ: Mapping[str, str], types: Mapping[Named, Any]) -> Layer:
    names = {f"{PREFIX}{section}_{key}".upper(): (section, key) for section, key in types}
    layer: dict[Named, Given] = {}
    if url := environ.get(VENDOR_URL_VARIABLE):
        layer["api", "base_url"] = Given(url, VENDOR_URL_VARIABLE)
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in names:
            near = _nearest(variable, [*names, CONFIG_VARIABLE])
            raise InvalidInput(f"environment: no setting is called {variable}{near}")
        layer[names[variable]] = Given(value, variable)
    return layer


def _config_file(path: Path, types: Mapping[Named, Any]) -> Layer:
    layer: dict[Named, Given] = {}
    sections = {section for section, _ in types}
    for section, table in read_toml(path).items():
        if section in sections and not isinstance(table, dict):
            raise InvalidInput(f"{path}: {section} is a section; write [{section}]")
        if section not in sections:
            near = _nearest(section, sections)
            raise InvalidInput(f"{path}: there is no section [{section}]{near}")
        keys = [key for place, key in types if place == section]
        for key, value in table.items():
            if key not in keys:
                raise InvalidInput(f"{path}: [{section}] has no key {key!r}{_nearest(key, keys)}")
            layer[section, key] = Given(value, f"{path}: [{section}] {key}")
    return layer


def _vendor_file(path: Path) -> Layer:
    url = read_toml(path).get("api_url") if is_there(path) else None
    return {("api", "base_url"): Given(url, f"{path}: api_url")} if url else {}


def _nearest(word: str, known: object) -> str:
    import difflib  # noqa: PLC0415 - for a mistake only

    near = difflib.get_close_matches(word, list(known), n=1)  # type: ignore[call-overload]
    return f"; did you mean {near[0]}?" if near else ""


_PARSERS: dict[Any, Callable[[object], object]] = {
    Rate: parse_rate,
    Seconds: parse_seconds,
    MaxFailures: parse_max_failures,
    int: parse_count,
    bool: parse_switch,
    DayTime: parse_day_time,
    tuple[Window, ...]: parse_windows,
    ZoneName: parse_zone,
}


def _convert(kind: Any, name: Named, given: Given) -> object:  # noqa: ANN401 - a type, of any form
    if get_origin(kind) in {UnionType, Union}:  # of a class and of a NewType
        kind = next(member for member in get_args(kind) if member is not type(None))
    try:
        if name == ("api", "base_url"):
            return parse_base_url(given.value)
        if get_origin(kind) is Literal:
            return _choice(get_args(kind), given.value)
        if kind in _PARSERS:
            return _PARSERS[kind](given.value)
        if not isinstance(given.value, str | Path) or not str(given.value).strip():
            raise ValueError("give a text")  # noqa: TRY301 - one handler names the origin
        return Path(given.value).expanduser() if kind is Path else str(given.value)
    except (ValueError, RuntimeError) as error:  # a ~user whom nobody knows is a RuntimeError
        shown = "the value" if "@" in str(given.value) else repr(given.value)  # no passwords
        raise InvalidInput(f"{given.origin}: {shown} does not fit: {error}") from None


def _choice(choices: tuple[str, ...], value: object) -> object:
    if value not in choices:
        raise ValueError(f"give one of {', '.join(choices)}")
    return value
