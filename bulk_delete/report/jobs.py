"""What is to be done, and how it ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bulk_delete.model import Counts, InputFile, Reject, State
from bulk_delete.plain import printable
from bulk_delete.report.words import duration, many

if TYPE_CHECKING:  # it loads NumPy, which `status` does without
    from bulk_delete.plan import Biggest, Figures

_SHOWN_INPUTS = 5


@dataclass(frozen=True, slots=True)
class PlanView:
    """What a reviewer decides on.

    `seconds` is the time of the calls at the configured rate; `rejects` are the first bad rows of
    `bad_rows`; `description` is the job file's.
    """

    job: str | None
    base_url: str
    inputs: tuple[InputFile, ...]
    fingerprint: str
    counts: Counts
    biggest: "tuple[Biggest, ...]"
    ids: Mapping[str, tuple[int, int]]
    rejects: tuple[Reject, ...]
    bad_rows: int
    rate: str
    seconds: float
    command: str
    description: str | None = None

    def as_dict(self) -> dict[str, Any]:
        rejects = [row._asdict() for row in self.rejects]
        counts, ids = self.counts._asdict(), dict(self.ids)
        return {**asdict(self), "counts": counts, "ids": ids, "rejects": rejects}

    def left_out(self) -> dict[str, Any]:
        """Return what one line of a log holds of the bad rows."""
        return {"rows": self.bad_rows, "first": [row._asdict() for row in self.rejects]}


@dataclass(frozen=True, slots=True)
class Summary:
    """How an execution ended. `counts` are its books; `files` are those that were written."""

    job: str
    execution: str
    outcome: str
    exit_code: int
    reason: str
    counts: Mapping[str, int]
    calls: int
    retries: int
    seconds: float
    fingerprint: str
    base_url: str
    folder: str
    files: tuple[str, ...]
    next: str | None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "counts": dict(self.counts)}

    def headline(self) -> dict[str, Any]:
        """Return what one line of a log holds of it."""
        states = {state.value: self.counts.get(state.value, 0) for state in State}
        return {
            "job": self.job,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "reason": self.reason,
            **{state: count for state, count in states.items() if count},
            "calls": self.calls,
            "retries": self.retries,
            "seconds": self.seconds,
        }


def id_ranges(figures: "Figures") -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest result and run id; nothing for an empty plan."""
    ranges = {"result_id": figures.result_ids, "run_id": figures.run_ids}
    return {name: ids for name, ids in ranges.items() if ids}


def plan_text(view: PlanView) -> str:
    counts = view.counts
    time_needed = f"about {duration(view.seconds)} at {view.rate}"
    lines = [
        f"Plan for {view.base_url}" + (f", job {view.job}" if view.job else ""),
        *([f"  about           {printable(view.description)}"] if view.description else []),
        f"  input           {_inputs(view.inputs)}",
        f"  rows read       {counts.rows:>12,}",
        *_unless_none("rejected", counts.rejected),
        *_unless_none("duplicates", counts.duplicates),
        *_unless_none("protected", counts.protected),
        *_unless_none("already done", counts.already_done),
        *_unless_none("skipped", counts.skipped),
        f"  runs to delete  {counts.planned:>12,}   in {many(counts.results, 'result')}",
        f"  calls           {counts.batches:>12,}   each re-evaluates its result; {time_needed}",
    ]
    for name, (low, high) in view.ids.items():
        lines.append(f"  {name:<15} {low} … {high}")
    if view.biggest:
        lines.append("  biggest results")
        lines += [f"    {big.result_id:>20}  {many(big.runs, 'run')}" for big in view.biggest]
    lines.append(f"  fingerprint     {view.fingerprint}")
    return "\n".join(lines) + "\n"


def _inputs(inputs: tuple[InputFile, ...]) -> str:
    shown = ", ".join(printable(file.path) for file in inputs[:_SHOWN_INPUTS])
    more = len(inputs) - _SHOWN_INPUTS
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _unless_none(name: str, count: int) -> list[str]:
    return [f"  {name:<15} {count:>12,}"] if count else []


def summary_text(summary: Summary) -> str:
    counts = summary.counts
    always = ("planned", State.DELETED.value)
    names = (
        "rows",
        "rejected",
        "duplicates",
        "protected",
        "already_done",
        "skipped",
        "planned",
        *(state.value for state in State),
    )
    lines = [f"Job {summary.job}: {printable(summary.reason)}"]
    lines += [
        f"  {name.replace('_', ' '):<15} {counts[name]:>12,}"
        for name in names
        if counts[name] or name in always
    ]
    retried = f", {many(summary.retries, 'retry', 'retries')}" if summary.retries else ""
    lines.append(f"  {'calls':<15} {summary.calls:>12,}   in {duration(summary.seconds)}{retried}")
    lines.append(f"  {'exit code':<15} {summary.exit_code:>12}   {summary.outcome}")
    if summary.files:
        lines.append(f"  in {printable(summary.folder)}: {', '.join(summary.files)}")
    if summary.next:
        lines.append(f"Next: {printable(summary.next)}")
    return "\n".join(lines) + "\n"
