"""What people and scripts read: values in, text or JSON-ready dicts out. Pure."""

import csv
import io
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bulk_delete.config import Input, Settings
from bulk_delete.model import Counts, InputFile, Pair, Reject, State, Verdict
from bulk_delete.plan import Biggest, Figures, Group

_SHOWN_INPUTS = 5
_SIGNS = "=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
_SIGNS += "\N{FULLWIDTH COMMERCIAL AT}"
_FORMULA = re.compile(rf"""(^|[,;|\t]["' ]*)(?=[{_SIGNS}])""")
"""Where a spreadsheet takes a cell for a formula, whichever delimiter it goes by."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """What a reviewer decides on.

    `seconds` is the time of the calls at the configured rate; `rejects` are the first bad rows of
    `bad_rows`.
    """

    job: str | None
    base_url: str
    inputs: tuple[InputFile, ...]
    fingerprint: str
    counts: Counts
    biggest: tuple[Biggest, ...]
    ids: Mapping[str, tuple[int, int]]
    rejects: tuple[Reject, ...]
    bad_rows: int
    rate: str
    seconds: float
    command: str

    def as_dict(self) -> dict[str, Any]:
        rejects = [row._asdict() for row in self.rejects]
        counts, ids = self.counts._asdict(), dict(self.ids)
        return {**asdict(self), "counts": counts, "ids": ids, "rejects": rejects}


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


def id_ranges(figures: Figures) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest result and run id; nothing for an empty plan."""
    ranges = {"result_id": figures.result_ids, "run_id": figures.run_ids}
    return {name: ids for name, ids in ranges.items() if ids}


def plan_text(view: PlanView) -> str:
    counts = view.counts
    time_needed = f"about {duration(view.seconds)} at {view.rate}"
    lines = [
        f"Plan for {view.base_url}" + (f", job {view.job}" if view.job else ""),
        f"  input           {_inputs(view.inputs)}",
        f"  rows read       {counts.rows:>12,}",
        *_unless_none("rejected", counts.rejected),
        *_unless_none("duplicates", counts.duplicates),
        *_unless_none("protected", counts.protected),
        *_unless_none("already done", counts.already_done),
        *_unless_none("skipped", counts.skipped),
        f"  runs to delete  {counts.planned:>12,}   in {_many(counts.results, 'result')}",
        f"  calls           {counts.batches:>12,}   each re-evaluates its result; {time_needed}",
    ]
    for name, (low, high) in view.ids.items():
        lines.append(f"  {name:<15} {low} … {high}")
    if view.biggest:
        lines.append("  biggest results")
        lines += [f"    {big.result_id:>20}  {_many(big.runs, 'run')}" for big in view.biggest]
    lines.append(f"  fingerprint     {view.fingerprint}")
    return "\n".join(lines) + "\n"


def _inputs(inputs: tuple[InputFile, ...]) -> str:
    shown = ", ".join(printable(file.path) for file in inputs[:_SHOWN_INPUTS])
    more = len(inputs) - _SHOWN_INPUTS
    return f"{shown} and {more} more" if more > 0 else shown


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
    lines = [f"Job {summary.job}: {summary.reason}"]
    lines += [
        f"  {name.replace('_', ' '):<15} {counts[name]:>12,}"
        for name in names
        if counts[name] or name in always
    ]
    retried = f", {_many(summary.retries, 'retry', 'retries')}" if summary.retries else ""
    lines.append(f"  {'calls':<15} {summary.calls:>12,}   in {duration(summary.seconds)}{retried}")
    lines.append(f"  {'exit code':<15} {summary.exit_code:>12}   {summary.outcome}")
    lines.append(f"  in {summary.folder}: {', '.join(summary.files)}")
    if summary.next:
        lines.append(f"Next: {summary.next}")
    return "\n".join(lines) + "\n"


def command(
    verb: str,
    words: Iterable[str],
    settings: Settings,
    *,
    name: str | None = None,
    expect: str | None = None,
    skip_failed: bool = False,
) -> str:
    """Write a command to type, with the settings that must be the same again."""
    default_settings = Settings()
    flags: dict[str, object] = {
        "--name": name,
        "--state-dir": settings.state.dir,
        "--base-url": _if_other(settings.api.base_url, default_settings.api.base_url),
        "--rate": _if_other(settings.limits.rate, default_settings.limits.rate),
        "--settle": _if_other(settings.retry.settle, default_settings.retry.settle),
        "--expect": expect,
        "--protect": settings.guards.protect,
        "--protect-action": _if_other(
            settings.guards.protect_action, default_settings.guards.protect_action
        ),
    }
    if verb == "run":
        flags["--max-runs"] = settings.guards.max_runs
        flags["--max-results"] = settings.guards.max_results
        for field in fields(Input):
            chosen, default = getattr(settings.input, field.name), field.default
            flags[f"--{field.name.replace('_', '-')}"] = _if_other(chosen, default)
    given = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    if skip_failed:
        given.append("--skip-failed")
    plain = [f"./{word}" if word.startswith("-") and word != "-" else word for word in words]
    return shlex.join(["bulk-delete", verb, *plain, *given])


def _if_other(chosen: object, default: object) -> object:
    return None if chosen == default else chosen


def as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def rejects_text(rejects: Iterable[Reject], count: int) -> str:
    """Name the first bad rows, a line each."""
    shown = [f"  {printable(row.file)}, line {row.line}: {row.reason}" for row in rejects]
    if count > len(shown):
        shown.append(f"  … and {count - len(shown):,} more")
    return "\n".join(shown)


def bad_rows(count: int) -> str:
    return "1 row is bad" if count == 1 else f"{count:,} rows are bad"


def reject_row(row: Reject) -> str:
    return csv_line((row.file, row.line, row.reason, row.text))


def verdict_rows(verdicts: Iterable[tuple[Pair, Verdict]]) -> Iterator[str]:
    """Write pairs as a valid input, with the reason beside; nothing at all where there are none."""
    for number, (pair, verdict) in enumerate(verdicts):
        if number == 0:
            yield csv_line(("result_id", "run_id", "state", "reason", "status", "detail"))
        status = "" if verdict.status is None else verdict.status
        yield csv_line((*pair, verdict.state.value, verdict.reason, status, verdict.detail))


def plan_rows(groups: Iterable[Group]) -> Iterator[str]:
    """Write results as grouped JSON Lines, at most one batch a line: itself an input."""
    for group in groups:
        for run_ids in group.batches():
            yield f'{{"result_id": {group.result_id}, "run_ids": {list(run_ids)}}}\n'


def csv_line(cells: Iterable[object]) -> str:
    """Write a CSV line that no spreadsheet takes for a formula and no terminal for a command."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        _FORMULA.sub(r"\1'", printable(cell)) if isinstance(cell, str) else cell for cell in cells
    )
    return line.getvalue()


def printable(text: str) -> str:
    """Write what would not be seen, line ends and all, as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def duration(seconds: float) -> str:
    """Say a time as people do: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:  # noqa: PLR2004 - below, a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


REJECTS_HEADER = csv_line(("file", "line", "reason", "text"))
