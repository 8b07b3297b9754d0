"""Times of the day, and windows between two of them, as the clocks of a time zone show them."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType

ZoneName = NewType("ZoneName", str)

Clock = Callable[[float], int]
"""How many seconds the clocks of a time zone are ahead of UTC, at a moment in POSIX seconds."""

DAY = 24 * 60
"""In minutes."""

_TIME = r"([0-9]{1,2}):([0-9]{2})"
_DAY_TIME = re.compile(rf"\s*{_TIME}(?:\s+(\S+))?\s*")
_WINDOW = re.compile(rf"\s*{_TIME}\s*-\s*{_TIME}(?:\s+(\S+))?\s*")


@dataclass(frozen=True, slots=True)
class DayTime:
    """A minute of each day; without a zone, in the schedule's."""

    minute: int
    zone: ZoneName | None = None

    def __str__(self) -> str:
        return _told(self.minute) + _in(self.zone)


@dataclass(frozen=True, slots=True)
class Window:
    """Each day from one minute of the day to another, which is in it no more.

    It goes over midnight where it closes before it opens.
    """

    opens: int
    closes: int
    zone: ZoneName | None = None

    def has(self, minute: float) -> bool:
        """Tell whether a minute of the day is inside."""
        if self.opens < self.closes:
            return self.opens <= minute < self.closes
        return minute >= self.opens or minute < self.closes

    def __str__(self) -> str:
        return f"{_told(self.opens)}-{_told(self.closes)}{_in(self.zone)}"


@dataclass(frozen=True, slots=True)
class Begun:
    """When a job was asked for: by the clock on the wall, and by one that nobody sets."""

    wall: float
    steady: float


def parse_day_time(value: object) -> DayTime:
    """Read `05:00` or `05:00 Europe/Berlin`. Raises ValueError."""
    match = _DAY_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("give a time of the day, as 05:00 or '05:00 Europe/Berlin'")
    minute = _minute(match[1], match[2])
    if minute == DAY:
        raise ValueError("write midnight as 00:00")
    return DayTime(minute, _zone(match[3]))


def parse_windows(value: object) -> tuple[Window, ...]:
    """Read windows as a list, or with commas between. Raises ValueError."""
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("give a list of windows, as ['22:00-06:00 Europe/Berlin']")
    return tuple(_window(text) for text in texts)


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(
            "give a window as 22:00-06:00 or '22:00-06:00 Europe/Berlin', "
            "or several with commas between"
        )
    opens, closes = _minute(match[1], match[2]), _minute(match[3], match[4])
    if opens == closes:
        raise ValueError(f"{text.strip()!r} opens when it closes; write a whole day as 00:00-24:00")
    if opens == DAY:
        raise ValueError("a window that opens at midnight opens at 00:00")
    return Window(opens, closes, _zone(match[5]))


def parse_zone(value: object) -> ZoneName:
    """Read the name of a time zone that is known here. Raises ValueError."""
    import zoneinfo  # noqa: PLC0415 - few jobs have one, and every command starts here

    name = str(value).strip()
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError(
                "this machine knows no time zones; install its tzdata, or pip's"
            ) from None
        raise ValueError(f"there is no time zone {name!r}{_near(name, known)}") from None
    return ZoneName(name)


def clock_of(zone: ZoneName | None) -> Clock:
    """Return the clock of a time zone; without one, this machine's."""
    if zone is None:
        return lambda moment: time.localtime(moment).tm_gmtoff
    from datetime import datetime  # noqa: PLC0415 - likewise
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - likewise

    info = ZoneInfo(zone)

    def ahead(moment: float) -> int:
        offset = datetime.fromtimestamp(moment, info).utcoffset()
        return round(offset.total_seconds()) if offset else 0

    return ahead


def _minute(hours: str, minutes: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or minute > DAY:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"there is no time {hours}:{minutes}; a day goes from 00:00 to 24:00")
    return minute


def _zone(text: str | None) -> ZoneName | None:
    return parse_zone(text) if text else None


def _near(name: str, known: set[str]) -> str:
    import difflib  # noqa: PLC0415 - for a mistake only

    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known)}
    if city := cities.get(name.rpartition("/")[2].lower()):
        return f"; did you mean {city}?"
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else "; give one as Europe/Berlin"


def _told(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _in(zone: ZoneName | None) -> str:
    return f" {zone}" if zone else ""
