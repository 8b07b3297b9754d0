"""What is told of a job to those who are not there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from bulk_delete.report.jobs import Summary, summary_text
from bulk_delete.report.words import as_json

MOST_TEXT = 500
"""Characters of each text in it: a hook takes some 10 KB, and a chat less."""

Occasion = Literal["start", "success", "failure"]


@dataclass(frozen=True, slots=True)
class Notice:
    """`exit_code` and `outcome` are the command's, None at the start.

    `summary` is there if anything was sent; what the command came to rules over what it says.
    """

    occasion: Occasion
    job: str
    host: str
    reason: str
    outcome: str | None = None
    exit_code: int | None = None
    summary: Summary | None = None


def notice_json(notice: Notice) -> str:
    told: dict[str, Any] = {"event": notice.occasion, "host": notice.host, "job": notice.job}
    if notice.exit_code is not None:
        told |= {"outcome": notice.outcome, "exit_code": notice.exit_code}
    summary = notice.summary.as_dict() if notice.summary else {}
    return as_json(_cut(summary | told | {"reason": notice.reason}))


def notice_title(notice: Notice) -> str:
    ends = {"start": "started", "success": "done", "failure": f"exit code {notice.exit_code}"}
    return f"bulk-delete {notice.job} on {notice.host}: {ends[notice.occasion]}"


def notice_text(notice: Notice) -> str:
    if notice.summary is None or notice.exit_code is None:
        return f"Job {notice.job}: {_cut(notice.reason)}\n"
    return summary_text(
        replace(
            notice.summary,
            reason=_cut(notice.reason),
            outcome=notice.outcome or "",
            exit_code=notice.exit_code,
        )
    )


def _cut(value: Any) -> Any:  # noqa: ANN401 - JSON's
    match value:
        case str():
            return value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}…"
        case Mapping():
            return {name: _cut(member) for name, member in value.items()}
        case _:
            return value
