"""Where settings come from: flag, job file, environment, file, ~/.cekura, default."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bulk_delete.config.files import (
    Given,
    Layer,
    Named,
    is_there,
    layer_of,
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

_SECRET = frozenset(("notify", key) for key in ("start", "success", "failure", "apprise"))


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
    """Put the settings together.

    `flags` holds only what was given on the command line. Raises InvalidInput for an unknown
    key, with the nearest known one, and for a value of the wrong form.
    """
    config = config_path(config_flag, environ, home)
    return settings_of(
        flags,
        job_file or {},
        _environment(environ),
        layer_of(read_toml(config), all_settings()) if config else {},
        _vendor_file(vendor_config(home)),
    )


def settings_of(*layers: Layer) -> Settings:
    """Put layers together, the first that has a setting before the others. Raises InvalidInput."""
    found: dict[Named, object] = {}
    for name, kind in all_settings().items():
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


def _environment(environ: Mapping[str, str]) -> Layer:
    names = {f"{PREFIX}{section}_{key}".upper(): (section, key) for section, key in all_settings()}
    layer: dict[Named, Given] = {}
    if url := environ.get(VENDOR_URL_VARIABLE):
        layer["api", "base_url"] = Given(url, VENDOR_URL_VARIABLE)
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in names:
            near = nearest(variable, [*names, CONFIG_VARIABLE])
            raise InvalidInput(f"environment: no setting is called {variable}{near}")
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
    return odd or "@" in value or name in _SECRET


def _choice(choices: tuple[str, ...], value: object) -> object:
    if value not in choices:
        raise ValueError(f"give one of {', '.join(choices)}")
    return value
