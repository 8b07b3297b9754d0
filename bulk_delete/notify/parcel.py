"""What is to be delivered, and what came of it, as they pass between two processes."""

from typing import Literal

import msgspec

DEADLINE_S = 10.0
"""For all of a parcel; then its messenger is gone, whatever it waits for."""


Kind = Literal["info", "success", "failure"]


class Hook(msgspec.Struct, frozen=True):
    """A URL to call; `name` is what it may be called in a log."""

    name: str
    url: str
    method: Literal["POST", "GET"]
    body: str


class Letter(msgspec.Struct, frozen=True):
    """What Apprise sends to each of its URLs."""

    urls: tuple[str, ...]
    title: str
    text: str
    kind: Kind


class Parcel(msgspec.Struct, frozen=True):
    hooks: tuple[Hook, ...]
    letter: Letter | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """Name where it goes, without the secrets that are in the addresses."""
        urls = self.letter.urls if self.letter else ()
        return (
            *(hook.name for hook in self.hooks),
            *(place_of(number, url) for number, url in enumerate(urls, start=1)),
        )


class Delivery(msgspec.Struct, frozen=True):
    """`reason`: why it failed; None: it was taken."""

    place: str
    reason: str | None = None


class Undelivered(msgspec.Struct, frozen=True):
    place: str
    reason: str


def place_of(number: int, url: str) -> str:
    """Name one of Apprise's URLs by its number and its kind alone."""
    kind = url.split("://", maxsplit=1)[0]
    return f"apprise {number} ({kind})" if kind.isalnum() else f"apprise {number}"
