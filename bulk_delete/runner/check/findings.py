"""What a check finds, as it goes along."""

from dataclasses import dataclass, field

from bulk_delete.errors import Ending, gravest
from bulk_delete.report import Check, ChosenSetting


@dataclass(slots=True)
class Findings:
    """What was found so far, and how a job would end for each thing that is wrong."""

    checks: list[Check] = field(default_factory=list)
    settings: tuple[ChosenSetting, ...] = ()
    endings: list[Ending] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return the code that a job would end with."""
        ending = gravest(self.endings)
        return ending.exit_code if ending else 0

    def fine(self, name: str, found: str) -> None:
        self.checks.append(Check(name, "ok", found))

    def warn(self, name: str, found: str, cure: str) -> None:
        self.checks.append(Check(name, "warning", found, cure))

    def wrong(self, name: str, ending: Ending, cure: str | None = None) -> None:
        self.checks.append(Check(name, "wrong", ending.reason, cure))
        self.endings.append(ending)

    def skip(self, why: str, *names: str) -> None:
        self.checks += (Check(name, "skipped", why) for name in names)
