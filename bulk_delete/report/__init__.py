"""What people and scripts read: values in, text or JSON-ready dicts out. Pure."""

from bulk_delete.report.answers import Answer, AnsweredOrder, answer_text
from bulk_delete.report.audits import Audit, Repair, audit_text
from bulk_delete.report.checks import Check, CheckUp, ChosenSetting, check_up_text
from bulk_delete.report.commands import command, repair_command
from bulk_delete.report.jobs import PlanView, Summary, id_ranges, plan_text, summary_text
from bulk_delete.report.notices import Notice, notice_json, notice_text, notice_title
from bulk_delete.report.rows import (
    REJECTS_HEADER,
    bad_rows,
    csv_line,
    plan_rows,
    reject_row,
    rejects_text,
    verdict_rows,
)
from bulk_delete.report.statuses import (
    JobState,
    JobStatus,
    status_line,
    status_text,
    statuses_text,
)
from bulk_delete.report.verifications import Verification, verification_text
from bulk_delete.report.words import as_json, duration

__all__ = [
    "REJECTS_HEADER",
    "Answer",
    "AnsweredOrder",
    "Audit",
    "Check",
    "CheckUp",
    "ChosenSetting",
    "JobState",
    "JobStatus",
    "Notice",
    "PlanView",
    "Repair",
    "Summary",
    "Verification",
    "answer_text",
    "as_json",
    "audit_text",
    "bad_rows",
    "check_up_text",
    "command",
    "csv_line",
    "duration",
    "id_ranges",
    "notice_json",
    "notice_text",
    "notice_title",
    "plan_rows",
    "plan_text",
    "reject_row",
    "rejects_text",
    "repair_command",
    "status_line",
    "status_text",
    "statuses_text",
    "summary_text",
    "verdict_rows",
    "verification_text",
]
