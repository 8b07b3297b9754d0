"""Where settings come from: flag, job file, environment, file, ~/.cekura, default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bulk_delete.config.files import (
    NO_PLACE_FOR_KEYS,
    Given,
    Layer,
    Named,
    is_there,
    layer_of,
    means_the_key,
    nearest,
    read_toml,
    vendor_config,
)
from bulk_delete.config.settings import (
    Factor,
    MaxFailures,
    Rate,
    Seconds,
    Settings,
    parse_count,
    parse_factor,
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
from bulk_delete.config.watch import (
    Addresses,
    ExitCodes,
    HookUrl,
    Occasions,
    parse_addresses,
    parse_exit_codes,
    parse_hook,
    parse_metrics_file,
    parse_occasions,
)
from bulk_delete.errors import InvalidInput

PREFIX = "BULK_DELETE_"
CONFIG_VARIABLE = "BULK_DELETE_CONFIG"
VENDOR_URL_VARIABLE = "CEKURA_API_URL"

SECRET = frozenset(
    {
        ("api", "key_command"),
        *(("notify", key) for key in ("start", "success", "failure", "apprise")),
    }
)
"""Settings whose values may hold a secret."""


def all_settings() -> dict[Named, Any]:
    """Return each setting's type."""
    sections = get_type_hints(Settings)
    return {
        (section, key): kind
        for section, cls in sections.items()
        for key, kind in get_type_hints(cls).items()
    }


def load(
    flags: Layer,
    config_flag: Path | None,
    environ: Mapping[str, str],
    home: Path,
    job_file: Layer | None = None,
) -> Settings:
    """Put the settings together. Raises what `layers_of` and `settings_of` raise."""
    return settings_of(*layers_of(flags, config_flag, environ, home, job_file))


def layers_of(
    flags: Layer,
    config_flag: Path | None,
    environ: Mapping[str, str],
    home: Path,
    job_file: Layer | None = None,
) -> tuple[Layer, ...]:
    """Return the places of settings in their order, each with what it has.

    `flags` holds only what was given on the command line. Raises InvalidInput for an unknown
    key, with the nearest known one.
    """
    config = config_path(config_flag, environ, home)
    return (
        flags,
        job_file or {},
        _environment(environ),
        layer_of(read_toml(config), all_settings()) if config else {},
        _vendor_file(vendor_config(home)),
    )


def settings_of(*layers: Layer) -> Settings:
    """Put layers together, the first that has a setting before the others.

    Raises InvalidInput for a value of the wrong form.
    """
    kinds = all_settings()
    found = {name: _convert(kinds[name], name, given) for name, given in chosen(*layers).items()}
    sections = {
        section: cls(**{key: value for (place, key), value in found.items() if place == section})
        for section, cls in get_type_hints(Settings).items()
    }
    return Settings(**sections)


def chosen(*layers: Layer) -> dict[Named, Given]:
    """Return what each setting was taken from that any layer has, and its origin."""
    return {
        name: next(layer[name] for layer in layers if name in layer)
        for name in all_settings()
        if any(name in layer for layer in layers)
    }


@dataclass(frozen=True, slots=True)
class Place:
    """Where the config file is looked for, and by which `rule`; `named`: it must be there."""

    path: Path
    rule: str
    named: bool


def config_place(flag: Path | None, environ: Mapping[str, str], home: Path) -> Place:
    """Tell where the config file is looked for: `--config`, BULK_DELETE_CONFIG, the XDG folder."""
    if flag:
        return Place(flag, "--config", named=True)
    if variable := environ.get(CONFIG_VARIABLE):
        return Place(Path(variable), CONFIG_VARIABLE, named=True)
    base, rule = Path(environ.get("XDG_CONFIG_HOME", "")), "XDG_CONFIG_HOME"
    if not base.is_absolute():  # the XDG rules: then it does not count
        base, rule = home / ".config", "~/.config"
    return Place(base / "bulk-delete" / "config.toml", rule, named=False)


def config_path(flag: Path | None, environ: Mapping[str, str], home: Path) -> Path | None:
    """Find the config file. Raises InvalidInput where one is named and not there."""
    place = config_place(flag, environ, home)
    if place.named and not is_there(place.path):
        raise InvalidInput(
            f"no config file at {place.path}; give --config another, or leave it out; "
            "bulk-delete init writes one"
        )
    return (
        place.path if place.named or (place.path.is_absolute() and is_there(place.path)) else None
    )


def _environment(environ: Mapping[str, str]) -> Layer:
    names = {f"{PREFIX}{section}_{key}".upper(): (section, key) for section, key in all_settings()}
    layer: dict[Named, Given] = {}
    if url := environ.get(VENDOR_URL_VARIABLE):
        layer["api", "base_url"] = Given(url, VENDOR_URL_VARIABLE)
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in names:
            word = variable.removeprefix(PREFIX).removeprefix("API_")
            near = nearest(variable, [*names, CONFIG_VARIABLE])
            cure = NO_PLACE_FOR_KEYS if means_the_key(word) else near
            raise InvalidInput(f"environment: no setting is called {variable}{cure}")
        layer[names[variable]] = Given(value, variable)
    return layer


def _vendor_file(path: Path) -> Layer:
    url = read_toml(path).tables.get("api_url") if is_there(path) else None
    return {("api", "base_url"): Given(url, f"{path}: api_url")} if url else {}


_PARSERS: dict[Any, Callable[[object], object]] = {
    Rate: parse_rate,
    Seconds: parse_seconds,
    MaxFailures: parse_max_failures,
    Factor: parse_factor,
    int: parse_count,
    bool: parse_switch,
    DayTime: parse_day_time,
    tuple[Window, ...]: parse_windows,
    ZoneName: parse_zone,
    HookUrl: parse_hook,
    Addresses: parse_addresses,
    Occasions: parse_occasions,
    ExitCodes: parse_exit_codes,
}


def is_path(kind: object) -> bool:
    """Tell whether a setting of this type names a file or a folder."""
    return _given_kind(kind) is Path


def _given_kind(kind: Any) -> Any:  # noqa: ANN401 - a type, of any form
    """Return the type of a setting where it is set."""
    members = get_args(kind)
    return members[0] if type(None) in members else kind


def _convert(kind: Any, name: Named, given: Given) -> object:  # noqa: ANN401 - a type, of any form
    kind = _given_kind(kind)
    try:
        if name == ("api", "base_url"):
            return parse_base_url(given.value)
        if name == ("metrics", "file"):
            return parse_metrics_file(given.value)
        if get_origin(kind) is Literal:
            return _choice(get_args(kind), given.value)
        if kind in _PARSERS:
            return _PARSERS[kind](given.value)
        if not isinstance(given.value, str | Path) or not str(given.value).strip():
            raise ValueError("give a text")  # noqa: TRY301 - one handler names the origin
        return Path(given.value).expanduser() if kind is Path else str(given.value)
    except (ValueError, RuntimeError) as error:  # a ~user whom nobody knows is a RuntimeError
        shown = "the value" if _may_tell(name, str(given.value)) else repr(given.value)
        raise InvalidInput(f"{given.origin}: {shown} does not fit: {error}") from None


def _may_tell(name: Named, value: str) -> bool:
    """Tell whether a value may have a password or a key in it: in a URL, or in the place of one."""
    odd = name == ("api", "base_url") and ("?" in value or "://" not in value)
    return odd or "@" in value or name in SECRET


def _choice(choices: tuple[str, ...], value: object) -> object:
    if value not in choices:
        raise ValueError(f"give one of {', '.join(choices)}")
    return value
