"""What came of reading back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bulk_delete.plain import printable
from bulk_delete.report.words import duration, many


@dataclass(frozen=True, slots=True)
class Verification:
    """`counts` are runs: to be read, read, still there, and neither there nor proven absent.

    `believed` are those that the journal calls deleted or gone; `confidence` is 0 … 1.
    """

    job: str
    outcome: str
    exit_code: int
    reason: str
    believed: int
    counts: Mapping[str, int]
    sample: bool
    resumed: bool
    confidence: float
    seconds: float
    still_there: str | None

    @property
    def most_missed(self) -> float | None:
        """Return the share that may be there all the same, where a sample found none there.

        With the confidence p and n drawn it is 1 - (1 - p)^(1/n).
        """
        drawn = self.counts["checked"]
        if not self.sample or not drawn or self.counts["still_there"] or self.counts["unseen"]:
            return None
        return float(1 - (1 - self.confidence) ** (1 / drawn))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "counts": dict(self.counts), "most_missed": self.most_missed}


def verification_text(told: Verification, again: str) -> str:
    """Return what people read; `again` is the command that sends what is still there."""
    counts = told.counts
    of = "drawn by chance from" if told.sample else "of"
    lines = [
        f"Job {told.job}: {printable(told.reason)}",
        f"  read back       {counts['checked']:>12,}   {of} {many(told.believed, 'run')} believed "
        f"deleted or gone, in {duration(told.seconds)}"
        + (", from where the last verify stopped" if told.resumed else ""),
        f"  still there     {counts['still_there']:>12,}",
        f"  not to be seen  {counts['unseen']:>12,}",
        f"  exit code       {told.exit_code:>12}   {told.outcome}",
    ]
    if (share := told.most_missed) is not None:
        lines.append(
            f"  with {told.confidence:.0%} confidence at most {share:.2%} of all are still there"
        )
    if told.still_there:
        lines.append(f"  in {printable(told.still_there)}; to send them again:\n  {again}")
    return "\n".join(lines) + "\n"
