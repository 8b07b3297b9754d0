"""The faults of a night, each done to a job that runs; recovery comes after it."""

import json
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bulk_delete.sandbox import Call, Faults
from bulk_delete.sandbox.faults import Outage
from tests.fronts import Spoil
from tests.odd_replies import HTML, LARGE, LATE, ODD
from tests.peers import Reply, Request, reply
from tests.torture.scarcity import (
    folder_removed,
    full_disk,
    full_output,
    memory_limit,
    memory_used_up,
    memory_used_up_watched,
    no_mounts,
    no_strace,
    traced,
)
from tests.torture.trial import JOB, Deed, Tally, Trial, trial


def nothing() -> None:
    """Say that all is here that a fault takes."""


@dataclass(frozen=True)
class Fault:
    """What is done, and what the sandbox does besides; None for its mild faults.

    `codes` are the exit codes of a start that it has struck. `lacking` says why it cannot be done
    here, if it cannot. After one `for_good` there is no going on.
    """

    deed: Deed
    codes: frozenset[int]
    faults: Faults | None = None
    lacking: Callable[[], str | None] = nothing
    for_good: bool = False

    def tried(self, home: Path, seed: int) -> Tally:
        """Hold one trial of it."""
        with trial(home, seed, self.faults) as one:
            self.deed(one)
            struck = one.codes[0] in self.codes
            if self.for_good:
                tally = one.harm()
            else:
                one.recover()
                tally = one.laws()
        tally.struck = struck
        return tally


def undisturbed(trial: Trial) -> None:
    trial.end(trial.start())


def kill(trial: Trial) -> None:
    """Kill it at three random moments."""
    for _ in range(3):
        child = trial.start()
        trial.wait_for_calls(len(trial.api.calls) + trial.rng.randrange(1, 12))
        child.kill()
        trial.end(child)


def kill_between_effect_and_reply(trial: Trial) -> None:
    child, due = trial.start(), trial.rng.randrange(1, 12)

    def strike(_: Call) -> None:
        if len(trial.api.calls) + 1 >= due:
            child.kill()

    trial.on_call = strike
    trial.end(child)
    trial.on_call = lambda _: None


def injected(call: str, act: str, *, having: str = "", most: int = 12) -> Deed:
    """Have a system call on the journal go wrong, the nth of its kind."""

    def deed(trial: Trial) -> None:
        nth = trial.rng.randrange(1, most)
        trial.end(trial.start(fault={"call": call, "act": act, "having": having, "nth": nth}))

    return deed


def jumping(seconds: int) -> Deed:
    """Set the clock by so much in the middle of the job."""

    def deed(trial: Trial) -> None:
        nth = trial.rng.randrange(20, 60)
        trial.end(trial.start(fault={"call": "time", "act": seconds, "nth": nth}))

    return deed


def signalled(*signals: signal.Signals) -> Deed:
    """Send signals, one after the other, from a random moment on."""

    def deed(trial: Trial) -> None:
        child = trial.start()
        trial.wait_for_calls(trial.rng.randrange(1, 15))
        for signum in signals:
            child.send_signal(signum)
        trial.end(child)

    return deed


def small_files(trial: Trial) -> None:
    """Let no file grow beyond some kilobytes: more than the plan has, less than the journal."""
    trial.end(trial.start(limits={resource.RLIMIT_FSIZE: trial.rng.randrange(52_000, 72_000)}))


def few_files(trial: Trial) -> None:
    """Leave too few file descriptors for all connections."""
    trial.end(trial.start(limits={resource.RLIMIT_NOFILE: trial.rng.randrange(10, 26)}))


def two_at_once(trial: Trial) -> None:
    first = trial.start()
    trial.wait_for_calls(1)
    trial.end(trial.start())
    trial.end(first)


def no_folder(trial: Trial) -> None:
    """Move the job's folder away while it runs, and back when it has ended."""
    child = trial.start()
    trial.wait_for_calls(trial.rng.randrange(1, 10))
    folder = trial.command.folder(JOB)
    folder.rename(folder.with_name("away"))
    moved_at = time.time()
    child.communicate(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name("away").rename(folder)
    trial.codes.append(child.wait())
    trial.note_lines()
    trial.note_failure(moved_at)


def _killed(trial: Trial) -> bytes:
    child = trial.start()
    trial.wait_for_calls(trial.rng.randrange(2, 15))
    child.kill()
    trial.end(child)
    return trial.journal.read_bytes()


def torn(trial: Trial) -> None:
    """Tear the end, as a crash does: no further back than the last intent that was acted on."""
    whole = _killed(trial)
    seen = {call.request_id.encode() for call in trial.api.calls}
    least = at = 0
    for line in whole.splitlines(keepends=True):
        at += len(line)
        if b'"batch.sent"' in line and any(b'"%b"' % one in line for one in seen):
            least = at
    marked = json.loads(trial.mark.read_bytes())[2] if trial.mark.exists() else 0
    least = max(least, marked)
    trial.journal.write_bytes(whole[: trial.rng.randrange(least, len(whole) + 1)])


def _mark_all(trial: Trial, whole: bytes) -> None:
    """Say that all of it was on the disk: then no crash explains what is missing."""
    lines = whole[: whole.rindex(b"\n") + 1].splitlines(keepends=True)
    chain = json.loads(lines[-1])["chain"]
    size = sum(map(len, lines))
    trial.mark.write_text(json.dumps([len(lines), chain, size]))


def flipped(trial: Trial) -> None:
    """Change a byte anywhere."""
    whole = _killed(trial)
    _mark_all(trial, whole)
    at = trial.rng.randrange(whole.rindex(b"\n"))
    changed = bytes([whole[at] ^ (1 << trial.rng.randrange(8))])
    trial.journal.write_bytes(whole[:at] + changed + whole[at + 1 :])


def flipped_late(trial: Trial) -> None:
    """Change a byte behind the mark: the lines from there on are moved away without a word."""
    whole = _killed(trial)
    lines = whole[: whole.rindex(b"\n") + 1].splitlines(keepends=True)
    number = trial.rng.randrange(len(lines) - 1)
    marked = b"".join(lines[:number])
    chain = json.loads(lines[number - 1])["chain"] if number else "0" * 32
    trial.mark.write_text(json.dumps([number, chain, len(marked)]))
    at = len(marked) + trial.rng.randrange(len(lines[number]) - 1)
    changed = bytes([whole[at] ^ (1 << trial.rng.randrange(8))])
    trial.journal.write_bytes(whole[:at] + changed + whole[at + 1 :])


def lines_gone(trial: Trial) -> None:
    """Take out some lines."""
    whole = _killed(trial)
    _mark_all(trial, whole)
    lines = whole.splitlines(keepends=True)
    first = trial.rng.randrange(len(lines))
    last = trial.rng.randrange(first, len(lines)) + 1
    trial.journal.write_bytes(b"".join(lines[:first] + lines[last:]))


def lines_swapped(trial: Trial) -> None:
    whole = _killed(trial)
    _mark_all(trial, whole)
    lines = whole.splitlines(keepends=True)
    trial.rng.shuffle(lines)
    trial.journal.write_bytes(b"".join(lines))


def cut_at_a_border(trial: Trial) -> None:
    whole = _killed(trial)
    _mark_all(trial, whole)
    lines = whole.splitlines(keepends=True)
    trial.journal.write_bytes(b"".join(lines[: trial.rng.randrange(len(lines))]))


def _kept(trial: Trial) -> bytes:
    """Kill a job that keeps checkpoints when it has kept another one; return that."""
    before = trial.checkpoint.read_bytes() if trial.checkpoint.exists() else b""
    child = trial.start(fault={"call": "checkpoint"})
    trial.wait_for_file(trial.checkpoint, before)
    trial.wait_for_calls(len(trial.api.calls) + trial.rng.randrange(12))
    child.kill()
    trial.end(child)
    return trial.checkpoint.read_bytes()


def kill_with_checkpoints(trial: Trial) -> None:
    for _ in range(2):
        _kept(trial)


def older_checkpoint(trial: Trial) -> None:
    """Put an older checkpoint back: it tells less, and that is true."""
    older = _kept(trial)
    _kept(trial)
    trial.checkpoint.write_bytes(older)


def flipped_in_checkpoint(trial: Trial) -> None:
    whole = _kept(trial)
    at = trial.rng.randrange(len(whole))
    changed = bytes([whole[at] ^ (1 << trial.rng.randrange(8))])
    trial.checkpoint.write_bytes(whole[:at] + changed + whole[at + 1 :])


def flipped_before_checkpoint(trial: Trial) -> None:
    """Change a byte of the journal that no start need read, as the checkpoint is behind it."""
    _kept(trial)
    whole = trial.journal.read_bytes()
    _mark_all(trial, whole)
    at = trial.rng.randrange(whole.index(b"\n"))
    changed = bytes([whole[at] ^ (1 << trial.rng.randrange(8))])
    trial.journal.write_bytes(whole[:at] + changed + whole[at + 1 :])


def read_only(trial: Trial) -> None:
    """Take the right to write away from the folder; the superuser does not mind, others do."""
    child = trial.start()
    trial.wait_for_calls(trial.rng.randrange(1, 10))
    folder = trial.command.folder(JOB)
    folder.chmod(0o500)
    trial.end(child)
    folder.chmod(0o700)


def refused_at_first(trial: Trial) -> None:
    """Let nobody listen until the job has ended."""
    trial.front.close()
    trial.end(trial.start())
    trial.front.open()


def gone_and_back(trial: Trial) -> None:
    """Take the server away in mid-job, and bring it back on its port when all calls are held."""
    child = trial.start()
    trial.wait_for_line("batch.deleted", child)
    trial.wait_for_calls(len(trial.api.calls) + trial.rng.randrange(15))
    trial.front.close()
    trial.wait_for_line("job.paused", child)
    trial.front.open()
    trial.end(child)


def spoiling(replies: Iterable[Reply], *, share: float, applied: float = 0.5) -> Deed:
    """Spoil a share of the calls by any of these replies, a share of them after the effect."""
    choice = list(replies)

    def deed(trial: Trial) -> None:
        rng = trial.rng

        def mood(_: Request) -> Spoil | None:
            if rng.random() >= share:
                return None
            return Spoil(rng.choice(choice), applied=rng.random() < applied)

        trial.command.environ["BULK_DELETE_API_TIMEOUT"] = "500ms"
        trial.front.mood = mood
        trial.end(trial.start())

    return deed


INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
SENT, DELETED = '"batch.sent"', '"batch.deleted"'
SLOW = Faults(latency_s=0.1)
"""For what must be done while the job runs."""

STORM = Faults(latency_s=0.003, rate=60, deleted_run="400")

RETRY_AFTER = ("1", "", "soon", "-5", "0", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT")
WAITS = [
    reply(f"{status} Wait", f"Retry-After: {after}")
    for status in (429, 503)
    for after in RETRY_AFTER
]
REFUSALS = [
    reply("302 Found", "Location: http://localhost:9/elsewhere"),
    reply("400 Bad Request", "Content-Type: text/html", body=HTML),
    reply("403 Forbidden", "Content-Type: text/html", body=HTML),
    reply("404 Not Found", "Content-Type: text/html", body=HTML),
]

FINE = frozenset({0})
INCOMPLETE = frozenset({1, 5})
KILLED = frozenset({-9})
NO_JOURNAL = frozenset({74})
NO_MEMORY = frozenset({5, -signal.SIGABRT, -signal.SIGSEGV})
"""By itself, or by a library that breaks off."""


def _ended_by(signum: signal.Signals) -> frozenset[int]:
    return frozenset({128 + signum})


FAULTS: dict[str, Fault] = {
    "none": Fault(undisturbed, FINE),
    "kill -9, three times at random": Fault(kill, KILLED),
    "kill -9 before an intent is written": Fault(
        injected("write", "kill_before", having=SENT), KILLED
    ),
    "kill -9 after an intent is written": Fault(
        injected("write", "kill_after", having=SENT), KILLED
    ),
    "kill -9 before a sync": Fault(injected("fdatasync", "kill_before"), KILLED),
    "kill -9 after a sync": Fault(injected("fdatasync", "kill_after"), KILLED),
    "kill -9 between effect and reply": Fault(kill_between_effect_and_reply, KILLED),
    "kill -9 before an outcome is written": Fault(
        injected("write", "kill_before", having=DELETED), KILLED
    ),
    "kill -9 after an outcome is written": Fault(
        injected("write", "kill_after", having=DELETED), KILLED
    ),
    "SIGINT": Fault(signalled(INT), _ended_by(INT)),
    "SIGTERM": Fault(signalled(TERM), _ended_by(TERM)),
    "SIGHUP": Fault(signalled(HUP), _ended_by(HUP)),
    "SIGINT twice": Fault(signalled(INT, INT), _ended_by(INT)),
    "SIGTERM twice": Fault(signalled(TERM, TERM), _ended_by(TERM)),
    "SIGHUP twice": Fault(signalled(HUP, HUP), _ended_by(HUP)),
    "EIO on a write": Fault(injected("write", "EIO"), NO_JOURNAL),
    "ENOSPC on a write": Fault(injected("write", "ENOSPC"), NO_JOURNAL),
    "EDQUOT on a write": Fault(injected("write", "EDQUOT"), NO_JOURNAL),
    "EIO on a sync": Fault(injected("fdatasync", "EIO"), NO_JOURNAL),
    "EIO on one sync, by strace": Fault(
        traced("fdatasync", "error=EIO"), NO_JOURNAL, lacking=no_strace
    ),
    "ENOSPC on one sync, by strace": Fault(
        traced("fdatasync", "error=ENOSPC"), NO_JOURNAL, lacking=no_strace
    ),
    "ENOSPC on one write, by strace": Fault(
        traced("write", "error=ENOSPC"), NO_JOURNAL, lacking=no_strace
    ),
    "EIO on one sync of any file, by strace": Fault(
        traced("fsync", "error=EIO", most=6, journal=False), FINE | NO_JOURNAL, lacking=no_strace
    ),
    "ENOSPC on one renaming, by strace": Fault(
        traced("rename", "error=ENOSPC", most=5, journal=False),
        FINE | NO_JOURNAL,
        lacking=no_strace,
    ),
    "kill -9 at any sync, by strace": Fault(
        traced("fsync,fdatasync", "signal=KILL", most=6, journal=False), KILLED, lacking=no_strace
    ),
    "kill -9 at a renaming, by strace": Fault(
        traced("rename", "signal=KILL", most=5, journal=False),
        KILLED,
        lacking=no_strace,
    ),
    "full disk": Fault(full_disk, NO_JOURNAL, lacking=no_mounts),
    "output to a full disk": Fault(full_output, FINE),
    "memory limit": Fault(memory_limit, frozenset({2})),
    "memory used up": Fault(memory_used_up, NO_MEMORY | NO_JOURNAL),
    "memory used up, watched": Fault(memory_used_up_watched, NO_MEMORY | NO_JOURNAL),
    "file size limit": Fault(small_files, NO_JOURNAL),
    "short writes": Fault(injected("write", "short"), FINE),
    "torn end": Fault(torn, KILLED),
    "flipped bit": Fault(flipped, KILLED),
    "flipped bit behind the mark": Fault(flipped_late, KILLED),
    "lines gone": Fault(lines_gone, KILLED),
    "lines in another order": Fault(lines_swapped, KILLED),
    "end cut off at a line": Fault(cut_at_a_border, KILLED),
    "kill -9 of one that keeps checkpoints": Fault(kill_with_checkpoints, KILLED, SLOW),
    "older checkpoint put back": Fault(older_checkpoint, KILLED, SLOW),
    "flipped bit in a checkpoint": Fault(flipped_in_checkpoint, KILLED, SLOW),
    "flipped bit before a checkpoint": Fault(flipped_before_checkpoint, KILLED, SLOW),
    "two at once": Fault(two_at_once, frozenset({7}), SLOW),
    "folder moved away": Fault(no_folder, NO_JOURNAL, SLOW),
    "folder removed": Fault(folder_removed, NO_JOURNAL, SLOW, for_good=True),
    "folder read-only": Fault(read_only, FINE | NO_JOURNAL, SLOW),
    "clock an hour on": Fault(jumping(3600), FINE),
    "clock an hour back": Fault(jumping(-3600), FINE),
    "few file descriptors": Fault(few_files, frozenset({2}) | NO_JOURNAL),
    "resets before the effect": Fault(undisturbed, FINE, Faults(latency_s=0.003, reset_before=0.2)),
    "resets after the effect": Fault(undisturbed, FINE, Faults(latency_s=0.003, reset_after=0.2)),
    "500 before the effect": Fault(undisturbed, FINE, Faults(latency_s=0.003, error_before=0.2)),
    "500 after the effect": Fault(
        undisturbed, FINE, Faults(latency_s=0.003, error_after=0.2, deleted_run="400")
    ),
    "429 storm": Fault(undisturbed, FINE, STORM),
    "503 for a second, and kill -9": Fault(
        kill, KILLED, Faults(latency_s=0.003, outage=Outage(0.05, 1.0))
    ),
    "kill -9 where nothing may be read back": Fault(
        kill, KILLED, Faults(latency_s=0.003, reset_after=0.1, read_back="forbidden")
    ),
    "connections refused at first": Fault(refused_at_first, frozenset({5})),
    "server gone, and back on its port": Fault(gone_and_back, FINE),
    "silence and drips": Fault(spoiling(LATE.values(), share=0.05), FINE),
    "bodies without end, packed bodies": Fault(spoiling(LARGE.values(), share=0.15), FINE),
    "replies that are none": Fault(spoiling(ODD.values(), share=0.15), FINE),
    "429 and 503, any Retry-After": Fault(spoiling(WAITS, share=0.03, applied=0), FINE),
    "refusals of a gateway": Fault(spoiling(REFUSALS, share=0.3, applied=0), INCOMPLETE),
}
