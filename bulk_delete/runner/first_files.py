"""First files to fill in, put where they are looked for. What is there stays."""

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bulk_delete.config import (
    FIRST_JOB,
    config_place,
    find_key,
    first_config,
    layers_of,
    settings_of,
)
from bulk_delete.errors import InvalidInput

_JOB_FILE = "first.toml"


def write_first_files(
    folder: Path | None, environ: Mapping[str, str], home: Path, *, force: bool
) -> str:
    """Write a configuration and a job file; return the words for what was done and what is next.

    Raises InvalidInput where one is there already and not to be replaced, or cannot be written.
    """
    place = config_place(None, environ, home)
    config = folder / "config.toml" if folder else place.path
    if not folder and not config.is_absolute() and not place.named:
        raise InvalidInput("there is no home to write to; say where with --dir")
    files = {config: first_config(), config.parent / _JOB_FILE: FIRST_JOB}
    for path in files:
        if os.path.lexists(path) and not force:
            raise InvalidInput(
                f"{path} is there already, and stays as it is; --force writes it anew and keeps "
                "the old one beside it, --dir writes elsewhere"
            )
    try:
        config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = [(_put_aside(path), path) for path in files if os.path.lexists(path)]
        for path, text in files.items():
            _write(path, text)
    except OSError as error:
        raise InvalidInput(
            f"{config.parent}: cannot be written to: {error.strerror}; give --dir another folder"
        ) from None
    lines = [f"Kept {path} as {old}" for old, path in kept]
    lines += [f"Wrote {path}" for path in files]
    lines += ["", "Next:", *_next(config, config.parent / _JOB_FILE, environ, home)]
    return "\n".join(lines) + "\n"


def _put_aside(path: Path) -> Path:
    """Rename a file after the moment; returns its new name. Raises OSError where that is taken."""
    old = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    os.link(path, old, follow_symlinks=False)
    path.unlink()
    return old


def _write(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _next(config: Path, job: Path, environ: Mapping[str, str], home: Path) -> list[str]:
    """Return commands, each with a word on what it does."""
    looked_for = config_place(None, environ, home).path == config
    where = [] if looked_for else ["--config", str(config)]
    steps = [] if _has_key(environ, home) else [("export CEKURA_API_KEY=…", "or see key_file")]
    steps += [
        (shlex.join(["bulk-delete", "check", *where]), "tells whether all is there"),
        ("bulk-delete demo", "plays a whole job: no key, no network"),
        (shlex.join(["bulk-delete", "plan", str(job), *where]), "sends nothing"),
    ]
    width = max(len(step) for step, _ in steps)
    return [f"  {step:<{width}}  # {what}" for step, what in steps]


def _has_key(environ: Mapping[str, str], home: Path) -> bool:
    with suppress(InvalidInput):
        api = settings_of(*layers_of({}, None, environ, home)).api
        return bool(find_key(api, environ, home))
    return False
