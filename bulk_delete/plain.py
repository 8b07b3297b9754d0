"""Texts from elsewhere made plain: nothing in them steers a terminal or forges a line."""

import json


def printable(text: str) -> str:
    """Write what would not be seen, line ends and all, as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plain(text: str) -> str:
    """Write what would not be seen as escapes, but for line ends."""
    return "\n".join(map(printable, text.split("\n")))


def plain_json(text: str) -> str:
    """Write what would not be seen in a JSON text as JSON's escapes, but for line ends."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )
