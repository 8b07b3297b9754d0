"""TOML files that hold settings: read, and held against the sections and keys that there are."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bulk_delete.errors import InvalidInput

Named = tuple[str, str]
"""Section and key, as ("limits", "rate")."""

NO_PLACE_FOR_KEYS = (
    "; the API key itself is set as CEKURA_API_KEY, or in a file that key_file names"
)

_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value and the words for where it was found."""

    value: object
    origin: str


Layer = Mapping[Named, Given]


@dataclasses.dataclass(frozen=True, slots=True)
class TomlFile:
    path: Path
    tables: Mapping[str, Any]
    text: str

    def at(self, section: str, key: str | None = None) -> str:
        """Name a section's or a key's place, with its line where that is plain to see."""
        line = self._line(section, key)
        return f"{self.path}, line {line}" if line else f"{self.path}"

    def _line(self, section: str, key: str | None) -> int | None:
        inside = ""
        for number, line in enumerate(self.text.split("\n"), 1):
            if header := _HEADER.match(line):
                inside = header[1]
                if key is None and inside == section:
                    return number
            elif (word := _KEY.match(line)) and (inside, word[1]) in {
                (section, key),
                ("", section),
            }:
                return number
        return None


def read_toml(path: Path) -> TomlFile:
    """Read a TOML file. Raises InvalidInput."""
    import tomllib  # noqa: PLC0415 - many have no such file, and every command starts here

    try:
        text = path.read_text(encoding="utf-8")
        return TomlFile(path, tomllib.loads(text), text)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{path}: cannot be read: {why}") from None
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError
        raise InvalidInput(f"{path}: not valid TOML: {error}") from None


def layer_of(file: TomlFile, known: Iterable[Named]) -> Layer:
    """Take the settings of a file. Raises InvalidInput for a name that is not known."""
    known = list(known)
    sections = {section for section, _ in known}
    layer: dict[Named, Given] = {}
    for section, table in file.tables.items():
        if section in sections and not isinstance(table, dict):
            raise InvalidInput(f"{file.at(section)}: {section} is a section; write [{section}]")
        if section not in sections:
            near = nearest(section, sections)
            raise InvalidInput(f"{file.at(section)}: there is no section [{section}]{near}")
        keys = [key for place, key in known if place == section]
        for key, value in table.items():
            place = file.at(section, key)
            if key not in keys:
                cure = NO_PLACE_FOR_KEYS if means_the_key(key) else nearest(key, keys)
                raise InvalidInput(f"{place}: [{section}] has no key {key!r}{cure}")
            layer[section, key] = Given(value, f"{place}: [{section}] {key}")
    return layer


def means_the_key(word: str) -> bool:
    """Tell whether somebody took this for the place of the API key."""
    return word.lower().removeprefix("cekura_") in {"key", "api_key", "apikey", "token"}


def beside(folder: Path, value: object) -> object:
    """Return a path as it is seen from a folder; what is no text is for others to refuse."""
    if not isinstance(value, str) or not value.strip() or value.startswith("~"):
        return value
    return str(folder / value)


def is_there(path: Path) -> bool:
    """Tell whether a file can be seen; a home that may not be entered has none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file() raises where this does not


def vendor_config(home: Path) -> Path:
    """Return the path of the vendor's own config file; it may not be there."""
    return home / ".cekura" / "config.toml"


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the nearest known word was meant; nothing where none is near."""
    import difflib  # noqa: PLC0415 - for a mistake only

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
