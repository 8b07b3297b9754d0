"""How figures are shown."""

import json
from collections.abc import Mapping
from typing import Any

from bulk_delete.plain import plain_json


def duration(seconds: float) -> str:
    """Say a time as people do: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:  # noqa: PLR2004 - below, a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def as_json(value: Mapping[str, Any]) -> str:
    return plain_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n"
