"""What was found before the first job: how each thing stands, and what to do about it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bulk_delete.plain import printable

Level = Literal["ok", "warning", "wrong", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """How one thing stands; `cure` is there where something is to be done."""

    name: str
    level: Level
    found: str
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class ChosenSetting:
    """A setting that is not its default, in the words in which it was given."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class CheckUp:
    """All that was looked at; `next` is the command to type, and `version` ours."""

    checks: tuple[Check, ...]
    settings: tuple[ChosenSetting, ...]
    exit_code: int
    version: str
    next: str

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.exit_code == 0, **asdict(self)}


def check_up_text(told: CheckUp) -> str:
    """Return a line for each thing, with the settings under the configuration."""
    lines = [line for check in told.checks for line in _lines(check, told)]
    wrong = sum(check.level == "wrong" for check in told.checks)
    lines.append("")
    lines.append(
        f"{wrong} of {len(told.checks)} must be mended. Then again:" if wrong else "Go on with:"
    )
    lines.append(f"  {told.next}")
    return "\n".join(lines) + "\n"


def _lines(check: Check, told: CheckUp) -> Iterator[str]:
    yield f"{check.level:<8} {check.name:<14} {printable(check.found)}"
    if check.cure:
        yield f"{'':8} {'':14} do: {printable(check.cure)}"
    if check.name == "configuration":
        for one in told.settings:
            yield printable(f"{'':8} {'':14} {one.name} = {one.value}, from {one.origin}")
