"""How a job is watched: a metrics file, and who is told. Addresses may be as good as passwords."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType
from urllib.parse import urlsplit

METRICS_ENDING = ".prom"
OCCASIONS = ("start", "success", "failure")

Occasions = NewType("Occasions", tuple[str, ...])
ExitCodes = NewType("ExitCodes", tuple[int, ...])

AT_ENDS = Occasions(("success", "failure"))
BUSY = ExitCodes((7,))
"""The process that runs the job will tell how it ends."""


@dataclass(frozen=True, slots=True)
class HookUrl:
    """A URL to call; `str` and `repr` show its host alone."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Apprise's URLs; `str` and `repr` do not show them."""

    urls: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{len(self.urls)} addresses"


def parse_metrics_file(value: object) -> Path:
    """Check the name of a metrics file. Raises ValueError."""
    if not isinstance(value, str | Path) or not str(value).endswith(METRICS_ENDING):
        raise ValueError(f"give a file whose name ends in {METRICS_ENDING}: no other is collected")
    return Path(value).expanduser()


def parse_hook(value: object) -> HookUrl:
    """Check a URL to call; http may go anywhere, as no key is sent. Raises ValueError."""
    if not isinstance(value, str) or any(ord(char) <= ord(" ") for char in value):
        raise ValueError("give a URL, as https://hc-ping.com/…")
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0
    except ValueError:  # whose words may have a password in them
        fits = False
    if not fits:
        raise ValueError("give a URL that begins with https:// or http://")
    return HookUrl(value)


def parse_addresses(value: object) -> Addresses:
    """Read a list of Apprise's URLs, or a text of them with blanks between. Raises ValueError."""
    urls = value.split() if isinstance(value, str) else value
    if not isinstance(urls, list) or not urls:
        raise ValueError('give a list of URLs, as ["mailto://…"]')
    if not all(isinstance(url, str) and "://" in url for url in urls):
        raise ValueError("each must be a URL of Apprise's, as mailto://…")
    return Addresses(tuple(urls))


def parse_occasions(value: object) -> Occasions:
    """Read a list of occasions, or a text of them with commas between. Raises ValueError."""
    words = _parts(value)
    if not words or not set(words) <= set(OCCASIONS):
        raise ValueError(f"give a list of some of {', '.join(OCCASIONS)}")
    return Occasions(tuple(word for word in OCCASIONS if word in words))


def parse_exit_codes(value: object) -> ExitCodes:
    """Read a list of exit codes, or a text of them with commas between. Raises ValueError."""
    codes = _parts(value)
    if codes is None or not all(code.isascii() and code.isdigit() for code in codes):
        raise ValueError("give a list of exit codes, as [3, 7]")
    return ExitCodes(tuple(map(int, codes)))


def _parts(value: object) -> list[str] | None:
    if isinstance(value, list):
        return list(map(str, value))
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else None
