"""A network at its worst, through the command: how it ends, what it says, and the way back."""

import contextlib
import itertools
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from bulk_delete.sandbox import Faults, World
from tests.fronts import Mood, Spoil, is_deletion, served
from tests.odd_replies import HTML, LARGE, LATE, ODD
from tests.peers import (
    NO_CONTENT,
    Request,
    Trust,
    full_queue,
    reply,
    reset,
    self_signed,
    trust_in,
    tunnel_to,
)
from tests.torture.trial import JOB, Tally, Trial, trial

WORLD = World.made(results=26, runs=520, seed=5).pairs()
ASKED = [pair for place, pair in enumerate(WORLD) if place % 3]

UNTOLD = {**ODD, **LARGE, **LATE}
"""Every reply that does not tell what became of a call."""

WORST = (
    "reset",
    "200 with HTML",
    "500 with the key",
    "100s without end",
    "packed body",
    "silence",
    "header that drips",
    "array without end",
)

SHORT = {"BULK_DELETE_API_TIMEOUT": "400ms"}
PATIENT = {"BULK_DELETE_LIMITS_HOLD_AFTER": "10s", "BULK_DELETE_LIMITS_GIVE_UP_AFTER": "60s"}
STEADY = PATIENT | {"BULK_DELETE_LIMITS_ADAPTIVE": "false"}


@contextlib.contextmanager
def network(home: Path, tls: ssl.SSLContext | None = None) -> Iterator[Trial]:
    """Set up a job that soon loses its patience, on a network that is well."""
    with trial(home, 1, Faults(), world=WORLD, asked=ASKED, tls=tls) as job:
        job.command.environ |= {
            "BULK_DELETE_LIMITS_HOLD_AFTER": "100ms",
            "BULK_DELETE_LIMITS_GIVE_UP_AFTER": "400ms",
            "BULK_DELETE_RETRY_ATTEMPTS": "3",
        }
        yield job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Trial]:
    with network(tmp_path) as job:
        yield job


def started(job: Trial, fault: dict[str, Any] | None = None) -> tuple[int, str, Counter[str]]:
    """Run the command to its end; return its code, its words, and its books by state."""
    said = job.end(job.start(fault=fault))
    counts = job.command.summary(JOB)["counts"]
    states = ("unsent", "in_doubt", "deleted", "gone", "failed", "unknown")
    return job.codes[-1], said, +Counter({state: counts[state] for state in states})


def heals(job: Trial) -> None:
    """Run the same command on a network that is well again, and hold all against the laws."""
    job.recover()
    assert job.laws() == Tally()


def always(spoil: Spoil) -> Mood:
    return lambda _: spoil


def listed(job: Trial, name: str) -> set[str]:
    """Return what a list of the job's says of its runs: state, reason, status and words."""
    rows = (job.command.folder(JOB) / name).read_text().splitlines()[1:]
    return {row.split(",", 2)[2] for row in rows}


def told(job: Trial, event: str) -> list[dict[str, Any]]:
    return [line for line in job.lines if line["event"] == event]


# No connection


def test_nobody_listens(job: Trial) -> None:
    """Refused connections end with 5 and all unsent; when somebody listens, it goes on."""
    job.front.close()
    code, said, books = started(job)
    assert (code, books) == (5, {"unsent": len(ASKED)})
    refused = f"cannot connect to 127.0.0.1:{job.front.port}: Connection refused"
    assert f"the API stayed away: it could not be connected to (last: {refused})" in said
    assert f"Next: bulk-delete resume runs --base-url {job.url}" in said
    assert job.front.requests == []
    job.front.open()
    heals(job)


def test_a_server_that_takes_no_connection(job: Trial) -> None:
    """A port where connections are neither taken nor refused ends with 5 and all unsent."""
    job.command.environ |= SHORT
    job.front.close()
    with full_queue(job.front.port):
        code, said, books = started(job)
    assert (code, books) == (5, {"unsent": len(ASKED)})
    assert "it could not be connected to (last: ConnectionTimeoutError: no connection in" in said
    job.front.open()
    heals(job)


def test_a_server_that_comes_back(job: Trial) -> None:
    """A server that goes away in mid-job and comes back on its port is waited for: code 0."""
    job.command.environ["BULK_DELETE_LIMITS_GIVE_UP_AFTER"] = "20s"
    child = job.start()
    job.wait_for_line("batch.deleted", child)
    job.front.close()
    job.wait_for_line("job.paused", child)
    job.front.open()
    job.end(child)
    assert job.codes == [0]
    outage = [line["event"] for line in job.lines if line["event"].startswith("job.")]
    assert outage == ["job.started", "job.paused", "job.continued", "job.finished"]
    heals(job)


def test_a_server_that_stays_away(job: Trial) -> None:
    """One that does not come back ends the job with 5; what was on its way is in doubt."""
    child = job.start()
    job.wait_for_line("batch.deleted", child)
    job.front.close()
    said = job.end(child)
    assert job.codes == [5]
    assert "the API stayed away: nothing but failures for " in said
    counts = job.command.summary(JOB)["counts"]
    assert counts["deleted"] > 0
    assert counts["failed"] == counts["unknown"] == 0
    job.front.open()
    heals(job)


def test_nobody_is_there_to_verify(job: Trial) -> None:
    """A `verify` where nobody listens ends with 5 and the reason; later it goes on."""
    heals(job)
    job.front.close()
    line = ("verify", JOB, "--quiet", "--base-url", job.url)
    away = job.command.run(*line)
    assert away.returncode == 5
    refused = f"cannot connect to 127.0.0.1:{job.front.port}: Connection refused"
    assert "the API stayed away: nothing but failures for " in away.stdout
    assert f"(last: {refused})" in away.stdout
    job.front.open()
    assert job.command.run(*line).returncode == 0
    assert job.laws() == Tally()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (None, "cannot connect to api.invalid:443: "),
        ({"call": "getaddrinfo"}, "ConnectionTimeoutError: no connection in time"),
    ],
    ids=["not known", "silence"],
)
def test_a_name_that_is_not_found(tmp_path: Path, fault: dict[str, Any] | None, why: str) -> None:
    """Without an address it ends with 5, all unsent, however long the look-up takes.

    By way of a proxy, which knows the name, the job goes on.
    """
    trust = trust_in(tmp_path)
    with network(tmp_path, trust.server("api.invalid")) as job:
        job.command.environ["BULK_DELETE_API_CA_FILE"] = str(trust.file)
        job.command.environ["BULK_DELETE_API_TIMEOUT"] = "600ms" if fault else "60s"
        job.url = "https://api.invalid"
        code, said, books = started(job, fault)
        assert (code, books) == (5, {"unsent": len(ASKED)})
        assert f"it could not be connected to (last: {why}" in said
        with served(tunnel_to(job.front.port)) as proxy:
            job.command.environ["HTTPS_PROXY"] = proxy.url
            heals(job)


def test_no_memory_for_a_look_up(tmp_path: Path) -> None:
    """Where a thread may die before it begins, looking a name up does not wait for one."""
    with network(tmp_path) as job:
        job.url = job.url.replace("127.0.0.1", "localhost")
        code, said, books = started(job, {"call": "thread"})
    assert (code, books) == (0, {"deleted": len(ASKED)}), said


# TLS


def outdated(_: Path, trust: Trust) -> ssl.SSLContext:
    return trust.server("127.0.0.1", until=datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda folder, _: self_signed(folder), "self-signed certificate; --ca-file names CAs"),
        (outdated, "certificate has expired"),
        (lambda _, trust: trust.server("other.invalid"), "IP address mismatch"),
    ],
    ids=["self-signed", "expired", "other host"],
)
def test_a_certificate_that_does_not_do(
    tmp_path: Path, wrong: Callable[[Path, Trust], ssl.SSLContext], why: str
) -> None:
    """It ends with 5, all unsent, before the key leaves; with the right one the job goes on."""
    trust = trust_in(tmp_path)
    with network(tmp_path, wrong(tmp_path, trust)) as job:
        job.command.environ["BULK_DELETE_API_CA_FILE"] = str(trust.file)
        code, said, books = started(job)
        assert (code, books) == (5, {"unsent": len(ASKED)})
        assert f"127.0.0.1:{job.front.port}: its certificate is refused: {why}" in said
        assert job.front.requests == []
        job.front.close()
        job.front.open(trust.server("127.0.0.1"))
        heals(job)


# Replies that do not tell what became of a call


@pytest.mark.parametrize("kind", WORST)
def test_nothing_but_odd_replies(job: Trial, kind: str) -> None:
    """It ends with 5, the applied runs in doubt or unknown; they are not sent by the next start."""
    if kind in LATE:
        job.command.environ |= SHORT
    job.front.mood = always(Spoil(UNTOLD[kind], applied=True))
    code, said, books = started(job)
    assert code == 5
    assert books.keys() <= {"unsent", "in_doubt", "unknown"}
    assert "the API stayed away: nothing but failures for " in said
    assert f"Next: bulk-delete resume runs --base-url {job.url}" in said
    applied, seen = set(ASKED) - job.api.left, len(job.api.seen)
    assert applied
    heals(job)
    assert not applied.intersection(job.api.seen[seen:])


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_every_odd_reply_once(job: Trial, *, applied: bool) -> None:
    """One odd reply a result is read back: what it hid is not sent again, and all else is."""
    job.command.environ |= SHORT | PATIENT
    kinds, struck = iter(UNTOLD.values()), set[int]()

    def mood(request: Request) -> Spoil | None:
        result_id = int(request.target.split("/")[4]) if is_deletion(request) else 0
        if not result_id or result_id in struck or (kind := next(kinds, None)) is None:
            return None
        struck.add(result_id)
        return Spoil(kind, applied)

    job.front.mood = mood
    code, _, books = started(job)
    assert (code, len(struck)) == (0, len(UNTOLD))
    assert sorted(job.api.seen) == sorted(ASKED)
    hidden = sum(pair.result_id in struck for pair in ASKED) if applied else 0
    assert books == +Counter({"gone": hidden, "deleted": len(ASKED) - hidden})
    heals(job)


@pytest.mark.parametrize("strays", [HTML, NO_CONTENT * 3], ids=["body", "more replies"])
def test_a_204_with_something_behind_it(job: Trial, strays: bytes) -> None:
    """What comes with a 204 is not taken for a reply to the calls after it."""
    job.command.environ |= PATIENT | {"BULK_DELETE_LIMITS_CONCURRENCY": "1"}
    spoils = itertools.cycle([Spoil(NO_CONTENT + strays, applied=True), Spoil(reset)])
    job.front.mood = lambda request: next(spoils) if is_deletion(request) else None
    code, _, books = started(job)
    assert (code, books.keys() <= {"deleted", "gone"}) == (0, True)
    assert sorted(job.api.seen) == sorted(ASKED)
    heals(job)


# Replies that refuse


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 5, "calls were all answered with 400: this is not about single runs"),
        (401, 6, "the API does not accept the key (401: <html><body>Sign in</body></html>)"),
        (403, 5, "runs failed or are unknown, over the limit of 20%"),
        (404, 5, "runs failed or are unknown, over the limit of 20%"),
        (413, 5, "runs failed or are unknown, over the limit of 20%"),
    ],
)
def test_a_gateway_that_refuses_all(job: Trial, status: int, code: int, words: str) -> None:
    """A page with an error status is the API's refusal; none of it is final."""
    page = reply(f"{status} No", "Content-Type: text/html", body=HTML)
    job.front.mood = always(Spoil(page))
    found, said, books = started(job)
    assert (found, books.keys() <= {"unsent", "failed"}) == (code, True)
    assert words in said
    if books["failed"]:
        assert {row.split(",", 2)[2] for row in listed(job, "failed.csv")} == {
            f"{status},{HTML.decode()}"
        }
    assert job.api.calls == []
    heals(job)


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_to_another_host(job: Trial, status: int) -> None:
    """Nothing goes to the other host; the runs failed, and the list says where it leads."""
    with served() as other:
        where = f"http://localhost:{other.port}/elsewhere/"
        job.front.mood = always(Spoil(reply(f"{status} Moved", f"Location: {where}")))
        code, said, books = started(job)
        assert (code, books.keys() <= {"unsent", "failed"}) == (5, True)
        assert f"(last: status {status}: not followed: a redirect to {where})" in said
        assert listed(job, "failed.csv") == {
            f"failed,refused,{status},not followed: a redirect to {where}"
        }
        heals(job)
        assert other.connections == 0


# Replies that ask to wait


def waits(status: int) -> dict[str, tuple[float, float]]:
    """Return values of Retry-After, each with the least and the most that it is waited for."""
    now = datetime.now(UTC)
    then = format_datetime(now + timedelta(seconds=1), usegmt=True)
    date = f"{then}\r\nDate: {format_datetime(now, usegmt=True)}"
    own = (1.0, 1.0) if status == 429 else (0.0, 0.02)
    return {"1": (1.0, 1.0), date: (1.0, 1.0)} | dict.fromkeys(("", "soon", "-5", "0", "1.5"), own)


@pytest.mark.parametrize("status", [429, 503])
def test_a_storm_with_every_retry_after(job: Trial, status: int) -> None:
    """Each worker is asked to wait in another way; each waits so, and then all of it is deleted."""
    job.command.environ |= STEADY
    expected = waits(status)
    left, given = list(expected), dict[str, str]()

    def mood(request: Request) -> Spoil | None:
        if not left or not is_deletion(request):
            return None
        after = given[request.header("X-Request-ID") or ""] = left.pop()
        return Spoil(reply(f"{status} Wait", f"Retry-After: {after}"))

    job.front.mood = mood
    code, _, books = started(job)
    assert (code, books) == (0, {"deleted": len(ASKED)})
    batches = {
        line["batch"]: given[line["request_id"]]
        for line in told(job, "batch.sent")
        if line["request_id"] in given
    }
    retries = {batches[line["batch"]]: line["wait_s"] for line in told(job, "batch.retry")}
    assert retries.keys() == expected.keys()
    for after, (least, most) in expected.items():
        assert least <= retries[after] <= most, after
    heals(job)


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_of_a_year(job: Trial, status: int) -> None:
    """A huge Retry-After is cut, and written; a signal does not wait for it, nor the next start."""
    job.command.environ |= STEADY
    job.front.mood = always(Spoil(reply(f"{status} Wait", "Retry-After: 31536000")))
    child = job.start()
    job.wait_for_line("batch.retry", child)
    child.send_signal(signal.SIGTERM)
    job.end(child)
    assert job.codes == [143]
    answered = [line for line in told(job, "batch.retry") if "status" in line]
    assert {(line["wait_s"], line["asked_s"]) for line in answered} == {(900.0, 31_536_000.0)}
    heals(job)


def test_a_storm_without_end(job: Trial) -> None:
    """Calls that are throttled for longer than `max_time` fail, unsent: not doubted, not lost."""
    job.command.environ |= STEADY | {"BULK_DELETE_RETRY_MAX_TIME": "500ms"}
    job.front.mood = always(Spoil(reply("429 Slow", "Retry-After: 1", body=b'{"detail": "slow"}')))
    code, said, books = started(job)
    assert (code, books.keys() <= {"unsent", "failed"}) == (5, True)
    assert "over the limit of 20% (last: status 429: slow)" in said
    assert listed(job, "failed.csv") == {"failed,throttled,429,slow"}
    heals(job)
