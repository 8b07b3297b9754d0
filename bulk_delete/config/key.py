"""The API key: from the environment, a file or a command's output; never a flag, never shown."""

import hashlib
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bulk_delete.config.files import is_there, read_toml, vendor_config
from bulk_delete.config.settings import Api
from bulk_delete.errors import InvalidInput

KEY_VARIABLE = "CEKURA_API_KEY"
_COMMAND_TIMEOUT_S = 30
_TELLING = 4
"""Fewer characters of a key give nothing away."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret: `repr` and `str` do not show it. `file`: where it was read, if it was in a file.

    `origin`: the words for where it was found.
    """

    secret: str
    file: Path | None = field(default=None, compare=False)
    origin: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"<API key {self.id}>"

    __str__ = __repr__

    @property
    def id(self) -> str:
        """Return 8 hex digits that tell two keys apart and do not give the key away."""
        return hashlib.sha256(b"bulk-delete key id\0" + self.secret.encode()).hexdigest()[:8]

    def out_of(self, text: str) -> str:
        """Return a text without the key, and without the half of it where a text was cut."""
        text = text.replace(self.secret, "***")
        for size in range(len(self.secret) - 1, _TELLING - 1, -1):
            if text.endswith(self.secret[:size]):
                return text[:-size] + "***"
        return text


def find_key(api: Api, environ: Mapping[str, str], home: Path) -> ApiKey:
    """Find the key: CEKURA_API_KEY, `api.key_file`, `api.key_command`, ~/.cekura/config.toml.

    Raises InvalidInput when there is none, or when it cannot stand in a header.
    """
    if value := environ.get(KEY_VARIABLE):
        return _checked(value, KEY_VARIABLE)
    if api.key_file and api.key_command:
        raise InvalidInput("api.key_file and api.key_command are both set; leave one out")
    if api.key_file:
        return replace(_checked(_read(api.key_file), f"key file {api.key_file}"), file=api.key_file)
    if api.key_command:
        return _checked(_ask(api.key_command), "output of api.key_command")
    vendor = vendor_config(home)
    if is_there(vendor) and (value := read_toml(vendor).tables.get("api_key")):
        return replace(_checked(str(value), f"{vendor}: api_key"), file=vendor)
    raise InvalidInput(
        f"no API key; set {KEY_VARIABLE}, or api.key_file or api.key_command in the config file, "
        "then: bulk-delete check"
    )


def exposure(key: ApiKey) -> str | None:
    """Return a warning where everybody on this machine may read the key's file."""
    try:
        open_to_all = key.file is not None and key.file.stat().st_mode & stat.S_IROTH
    except OSError:
        return None
    return (
        f"{key.file} has the API key, and everybody may read it: chmod 600" if open_to_all else None
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(f"key file {path}: cannot be read: {why}") from None


def _ask(command: str) -> str:
    import subprocess  # noqa: PLC0415 - loads much, for a key that hardly anybody keeps so

    try:
        words = shlex.split(command)
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            words,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            timeout=_COMMAND_TIMEOUT_S,
            check=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise InvalidInput(f"api.key_command ended with code {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"api.key_command took over {_COMMAND_TIMEOUT_S} s") from None
    except (OSError, ValueError, IndexError) as error:
        raise InvalidInput(f"api.key_command cannot be run: {error}") from None
    return done.stdout


def _checked(text: str, origin: str) -> ApiKey:
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInput(f"{origin}: this is no API key (it is empty, or not one printable word)")
    return ApiKey(key, origin=origin)
