"""Whether a first job could run: the configuration, the key, the state folder, the API, the clock.

At most one call is made, a GET that changes nothing.
"""

import fcntl
import platform
import shutil
import ssl
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.request import getproxies

import anyio

from bulk_delete import __version__, folder
from bulk_delete.client import open_client, proxy_for
from bulk_delete.config import (
    Api,
    ApiKey,
    Layer,
    Settings,
    chosen,
    config_place,
    exposure,
    find_key,
    is_there,
    layers_of,
    read_job_file,
    settings_of,
)
from bulk_delete.errors import InvalidInput, JournalFailed
from bulk_delete.model import Reading
from bulk_delete.report import ChosenSetting
from bulk_delete.runner.check.findings import Findings
from bulk_delete.runner.check.hearing import compare_clocks, hear

LITTLE_ROOM = 100 * 10**6
"""Bytes free, below which a larger job may not find room for its journal."""

_SECRET = {("api", "key_command")}
"""Settings whose values may hold a secret."""

_LIBRARIES = ("aiohttp", "anyio", "click", "msgspec", "numpy")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a command is started, and what it was told: the places that settings come from."""

    flags: Layer
    config: Path | None
    job_file: Path | None
    environ: Mapping[str, str]
    home: Path


def look(
    around: Surroundings, *, offline: bool, learn: Callable[[ApiKey], None] = lambda _: None
) -> Findings:
    """Look at all that a job needs; what is wrong is told and not raised.

    `learn` is given the key, for it to be kept out of what is printed.
    """
    findings = Findings()
    settings = _configuration(around, findings)
    if settings is None:
        findings.skip("mend the configuration first", "key", "state folder", "API", "clock")
    else:
        key = _key(settings.api, around, findings)
        _state_folder(folder.state_dir(settings.state.dir, around.environ, around.home), findings)
        if key:
            learn(key)
        if offline:
            findings.skip("no call was made (--offline)", "API", "clock")
        elif key is None:
            findings.skip("no call is made without a key", "API", "clock")
        else:
            _api(settings.api, key, findings)
    findings.fine("versions", ", ".join(_versions()))
    return findings


def _configuration(around: Surroundings, findings: Findings) -> Settings | None:
    name = "configuration"
    place = config_place(around.config, around.environ, around.home)
    try:
        job_file = read_job_file(around.job_file).layer if around.job_file else None
        layers = layers_of(around.flags, around.config, around.environ, around.home, job_file)
        settings = settings_of(*layers)
        _check_protected(settings.guards.protect)
    except InvalidInput as refusal:
        findings.wrong(name, refusal)
        return None
    default = Settings()
    findings.settings = tuple(
        ChosenSetting(
            f"{section}.{key}",
            "(not shown)" if (section, key) in _SECRET else str(given.value),
            given.origin,
        )
        for (section, key), given in chosen(*layers).items()
        if getattr(getattr(settings, section), key) != getattr(getattr(default, section), key)
    )
    if is_there(place.path):
        findings.fine(name, f"{place.path} (by {place.rule})")
    else:
        told = f"there is no file at {place.path} (by {place.rule}), and none is needed"
        findings.fine(name, f"{told}; bulk-delete init writes one")
    return settings


def _check_protected(path: Path | None) -> None:
    """Raise InvalidInput where a file of what must stay is named and cannot be read."""
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise InvalidInput(f"guards.protect {path}: cannot be read: {error.strerror}") from None


def _key(api: Api, around: Surroundings, findings: Findings) -> ApiKey | None:
    try:
        key = find_key(api, around.environ, around.home)
    except InvalidInput as refusal:
        findings.wrong("key", refusal)
        return None
    found = f"found: {key.origin}, with the id {key.id} in journals"
    if warning := exposure(key):
        findings.warn("key", found, warning)
    else:
        findings.fine("key", found)
    return key


def _state_folder(state: Path, findings: Findings) -> None:
    name = "state folder"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state) as file:
            file.write(bytes(4096))
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mode, free = state.stat().st_mode, shutil.disk_usage(state).free
    except OSError as error:
        why = f"{state}: cannot be used: {error.strerror or error}"
        cure = "make it writable for this user, or give --state-dir a folder that is"
        findings.wrong(name, JournalFailed(why), cure)
        return
    found = f"{state}: can be written, mode {stat.S_IMODE(mode):04o}, {free / 1e9:,.1f} GB free"
    if warning := folder.exposure(state):
        findings.warn(name, found, warning)
    elif free < LITTLE_ROOM:
        findings.warn(name, found, "make room: a journal takes about 24 bytes a run")
    else:
        findings.fine(name, found)


def _api(api: Api, key: ApiKey, findings: Findings) -> None:
    try:
        proxy = proxy_for(api.base_url, getproxies())
        before = datetime.now(UTC)
        reading, server = anyio.run(_knock, api, key)
        after = datetime.now(UTC)
    except InvalidInput as refusal:
        findings.wrong("API", refusal)
        findings.skip("no call was made", "clock")
        return
    way = f"{api.base_url} by the proxy {proxy.host}:{proxy.port}" if proxy else api.base_url
    hear(reading, way, key, findings)
    compare_clocks(server, before, after, findings)


async def _knock(api: Api, key: ApiKey) -> tuple[Reading, datetime | None]:
    async with open_client(api, key, 1) as client:
        return await client.knock(f"check-{uuid.uuid4().hex}")


def _versions() -> Iterator[str]:
    yield f"bulk-delete {__version__}"
    yield f"Python {platform.python_version()}"
    yield from (f"{library} {version(library)}" for library in _LIBRARIES)
    yield ssl.OPENSSL_VERSION
    yield f"{platform.system()} {platform.machine()}"
