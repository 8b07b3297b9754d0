"""What was found in a journal."""

from dataclasses import asdict, dataclass
from typing import Any

from bulk_delete.plain import printable
from bulk_delete.report.words import many


@dataclass(frozen=True, slots=True)
class Repair:
    """A journal was cut at `line`: `lines` (`bytes`) of it were moved `to` a file.

    `lost` lines are nowhere; `doubted` runs may have been sent in what was cut off or lost.
    """

    line: int
    lines: int
    bytes: int
    lost: int
    doubted: int
    to: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in a journal: line numbers and words, and how many `more` there are.

    `books`: how they were looked at; `has_plan`: the saved plan could be read. `repaired`: what
    was done about it, if anything was.
    """

    job: str
    journal: str
    lines: int
    executions: int
    books: str
    findings: tuple[tuple[int, str], ...]
    more: int
    has_plan: bool
    repaired: Repair | None

    def as_dict(self) -> dict[str, Any]:
        findings = [{"line": line, "what": what} for line, what in self.findings]
        return {**asdict(self), "sound": not findings, "findings": findings}


def audit_text(audit: Audit, repair: str) -> str:
    """Return what people read; `repair` is the command that mends what can be mended."""
    where = f"{printable(audit.journal)}: {many(audit.lines, 'line')}"
    lines = [f"{where} of {many(audit.executions, 'execution')}"]
    lines += [f"  line {number}: {printable(what)}" for number, what in audit.findings]
    if audit.more:
        lines.append(f"  and {audit.more:,} more")
    if not audit.findings:
        lines.append(f"Every line is as it was written, and its books {audit.books}.")
    elif audit.repaired is None:
        lines.append("A torn last line is mended by the next start. Else look for a sound copy, or")
        lines.append(
            f"cut it before the first damage, which puts what was lost in doubt:\n  {repair}"
        )
    if done := audit.repaired:
        lines.append(
            f"Cut before line {done.line}: {many(done.lines, 'line')} moved to "
            f"{printable(done.to)}, {done.lost:,} lost; {many(done.doubted, 'run')} in doubt: the "
            "next start that asks for them reads them back."
        )
        lines.append(
            "What only damaged lines named, and no plan, is not known; they are kept in that file."
        )
    if not audit.has_plan:
        lines.append(
            "The saved plan is not there, or spoilt: the books were not held against it"
            + (", and runs that only lost lines named are NOT in doubt." if audit.repaired else ".")
        )
    return "\n".join(lines) + "\n"
