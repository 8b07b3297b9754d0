"""What the reply to a check's one call proves, and what not: of the API, the key and the clock."""

from datetime import datetime, timedelta
from typing import assert_never

from bulk_delete.config import ApiKey
from bulk_delete.errors import GaveUp, KeyRejected
from bulk_delete.model import (
    BadRequest,
    Deleted,
    Forbidden,
    Found,
    InDoubt,
    NotSent,
    Reading,
    Rejected,
    ResultNotFound,
    ServerError,
    Throttled,
    Visible,
)
from bulk_delete.model import KeyRejected as Unauthorized
from bulk_delete.runner.check.findings import Findings

SKEW_S = 5.0
"""Seconds that the clocks may be apart before it is worth a word."""

_DATE_STEP = timedelta(seconds=1)
"""How exactly a server tells its time."""


def hear(reading: Reading, way: str, key: ApiKey, findings: Findings) -> None:  # noqa: C901 - one case per kind of reply
    """Say what the reply to the call proves, and what not."""
    elsewhere = "look at api.base_url: something else than the API may answer there"
    match reading:
        case Found(status, ms):
            findings.fine(
                "API",
                f"{way}: the key is accepted, and may read ({status} in {ms} ms); what it may "
                "delete only a deletion shows",
            )
        case Unauthorized(status, detail):
            findings.wrong(
                "API",
                KeyRejected(f"{way}: the key is not accepted: {status} {detail}".rstrip()),
                f"put another key in its place: {key.origin}",
            )
        case Forbidden(status, detail):
            findings.warn(
                "API",
                f"{way}: {status} {detail}: the key is not called wrong, but reading is forbidden",
                "ask for a key that may read runs; without, nothing can be read back or verified",
            )
        case ResultNotFound(status, detail) | BadRequest(status, detail):
            findings.warn(
                "API",
                f"{way}: {status} {detail}: the key is not called wrong, but no run can be read",
                f"if verify matters, ask for a key that may read; else {elsewhere}",
            )
        case Throttled(status, _, detail):
            findings.warn(
                "API",
                f"{way}: {status} {detail}: it throttles, and says nothing of the key",
                "check again in a minute, and keep other clients of the key slow",
            )
        case NotSent(error):
            findings.wrong("API", GaveUp(f"{way}: {error}"), _cure_of_no_connection(error))
        case ServerError(status, _, detail):
            findings.wrong(
                "API",
                GaveUp(f"{way}: {status} {detail}: it is in trouble, and says nothing of the key"),
                "check again later; a job would wait for it, and end with 5",
            )
        case InDoubt(error):
            findings.wrong("API", GaveUp(f"{way}: {error}"), elsewhere)
        case Rejected(status, detail):
            findings.wrong("API", GaveUp(f"{way}: {status} {detail}"), elsewhere)
        case Visible() | Deleted():
            raise AssertionError(reading)  # replies to calls that were not made
        case _:
            assert_never(reading)


def _cure_of_no_connection(error: str) -> str:
    if "certificate" in error.lower():
        return "if a CA of your own signs it, give --ca-file; else do not trust it"
    return "look at api.base_url, at the network, and at HTTPS_PROXY and NO_PROXY"


def compare_clocks(
    server: datetime | None, before: datetime, after: datetime, findings: Findings
) -> None:
    if server is None:
        findings.skip("the API did not tell its time", "clock")
        return
    seconds = ahead_s(server, before, after)
    if abs(seconds) <= SKEW_S:
        findings.fine("clock", f"within {SKEW_S:g} s of the API's")
        return
    findings.warn(
        "clock",
        f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} the API's",
        "set it by NTP: times in journals, limits by the hour, and dates in names go by it",
    )


def ahead_s(server: datetime, before: datetime, after: datetime) -> float:
    """Return how far our clock is ahead at the least; 0 where the two may agree.

    The server told its time, cut to the second, between `before` and `after` of ours.
    """
    if before > server + _DATE_STEP:
        return (before - server - _DATE_STEP).total_seconds()
    return min(0.0, (after - server).total_seconds())
