"""One trial: the real command and a sandbox that knows what it did, a fault, recovery, the laws."""

import contextlib
import json
import os
import random
import resource
import select
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bulk_delete.columns import columns_of
from bulk_delete.config import Limits
from bulk_delete.journal.chain import START, DamagedError, unseal
from bulk_delete.ledger import DONE, DOUBTED, STATES
from bulk_delete.model import Pair
from bulk_delete.runner.auditing import audit
from bulk_delete.sandbox import Call, Faults, World
from tests.conftest import (
    KEY,
    NO_BYTECODE,
    Command,
    Sandbox,
    command_in,
    running_sandbox,
    write_csv,
)
from tests.fronts import Front, friendly, front_of
from tests.nursery import Child, nursery, nurses
from tests.replays import replay

INJECT = Path(__file__).parent / "inject"
MOST_STARTS = 8
NOT_BEGUN = frozenset({2, 7})
"""Codes of a start that has left the journal as it was."""

WORKERS = Limits().concurrency
JOB = "runs"

WORLD = World.made(results=30, runs=9000, seed=11).pairs()
ASKED = [pair for place, pair in enumerate(WORLD) if place % 3]
"""Two runs in three: the others are beside them in the same results, and must stay."""


@dataclass
class Tally:
    """What broke a law. `words` say where."""

    lost: int = 0
    again: int = 0
    wrong: int = 0
    late: int = 0
    words: list[str] = field(default_factory=list)
    struck: bool = False

    @property
    def clean(self) -> bool:
        return not (self.lost or self.again or self.wrong or self.late or self.words)


@dataclass
class Trial:
    """A job on a world of which it is asked to delete some; `front` is the door it comes to."""

    command: Command
    rng: random.Random
    world: list[Pair]
    asked: list[Pair]
    api: Sandbox = field(init=False)
    front: Front = field(init=False)
    url: str = field(init=False)
    on_call: Callable[[Call], None] = lambda _: None
    lines: list[dict[str, Any]] = field(default_factory=list)
    """Every journal line that was ever seen whole, also where it was damaged afterwards."""

    codes: list[int] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    """What the books said at the end of a start, and was not so."""

    said: list[str] = field(default_factory=list)
    starts: list[Child] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """When the server saw each call."""

    late: int = 0
    """Calls beyond one a worker that were under way when a start ended, or left when it had failed.

    Of the first no line tells what came of them: they left after the last line could be written.
    """

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What is to be undone when the trial is over."""

    @property
    def journal(self) -> Path:
        return self.command.folder(JOB) / "journal.jsonl"

    @property
    def mark(self) -> Path:
        return self.command.folder(JOB) / "journal.mark"

    @property
    def checkpoint(self) -> Path:
        return self.command.folder(JOB) / "journal.checkpoint"

    @property
    def words(self) -> list[str]:
        words = ("run", f"{JOB}.csv", "--yes", "--quiet", "--rate", "500/s")
        return [*words, "--base-url", self.url]

    @property
    def _struck(self) -> Path:
        return self.command.home / "struck"

    def start(
        self,
        *,
        fault: dict[str, Any] | None = None,
        limits: dict[int, int] | None = None,
        under: Sequence[str] = (),
        output: IO[str] | None = None,
    ) -> Child:
        """Start the job, with an injected fault or under limits of the kind of `resource`.

        `under` is a command that starts it, `output` where all goes that it says.
        """
        environ = self.command.environ | (NO_BYTECODE if limits else {})
        if fault:
            told = {**fault, "told": str(self._struck)}
            environ |= {"INJECTED_FAULT": json.dumps(told), "PYTHONPATH": str(INJECT)}

        def limited() -> None:
            for kind, most in (limits or {}).items():
                resource.setrlimit(kind, (most, most))

        child: Child
        if not (under or limits or output) and nurses(environ):
            child = nursery().start(self.words, environ, self.command.home, own_group=True)
        else:
            child = subprocess.Popen(
                [*under, *self.command.line(*self.words)],
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.PIPE,
                stderr=output or subprocess.PIPE,
                text=True,
                env=environ,
                cwd=self.command.home,
                preexec_fn=limited if limits else None,  # noqa: PLW1509 - it makes one system call
                process_group=0,
            )
        self.starts.append(child)
        self.stack.callback(_end, child)
        return child

    def end(self, child: Child) -> str:
        """Wait for the end of a start; return what it said."""
        out, err = child.communicate(timeout=60)
        self.codes.append(child.wait())
        said = (out or "") + (err or "")
        self.said.append(said)
        self.note_lines()
        if child.returncode not in NOT_BEGUN and all(one.poll() is not None for one in self.starts):
            self._note_lies()
        self.late += max(0, len(self._under_way()) - WORKERS)
        if self._struck.exists():
            self.note_failure(float(self._struck.read_text()))
            self._struck.unlink()
        return said

    def wait_for_file(self, path: Path, before: bytes) -> None:
        """Wait until a file is there, with other bytes than before, or nothing is left to send."""
        poller = select.poll()
        for _ in range(4000):
            if path.exists() and path.read_bytes() != before:
                return
            if not self.api.left & set(self.asked):
                return
            poller.poll(2)

    def wait_for_calls(self, calls: int) -> None:
        """Wait until the server has seen so many calls, or the job has nothing more to send."""
        poller = select.poll()
        for _ in range(4000):
            if len(self.api.calls) >= calls or not self.api.left & set(self.asked):
                return
            poller.poll(2)

    def wait_for_line(self, event: str, child: Child) -> None:
        """Wait until the journal has such a line, or the start has ended."""
        poller = select.poll()
        for _ in range(4000):
            if child.poll() is not None or self._tells(event):
                return
            poller.poll(5)

    def _tells(self, event: str) -> bool:
        return self.journal.exists() and b'"%b"' % event.encode() in self.journal.read_bytes()

    def note_lines(self) -> None:
        """Keep what the journal says now, up to its first damage; the server must not know more."""
        known = {line["chain"] for line in self.lines}
        chain = START.chain.encode()
        with contextlib.suppress(FileNotFoundError, DamagedError):
            for data in self.journal.read_bytes().splitlines(keepends=True):
                chain = unseal(chain, data)
                if chain.decode() not in known:
                    self.lines.append(json.loads(data))

    def note_failure(self, at: float) -> None:
        """Count the calls that came after the journal failed, in the start that has ended."""
        self.late += max(0, sum(arrival > at for arrival in self.arrivals) - WORKERS)

    def _under_way(self) -> set[str]:
        """Return the calls of the last start of which no line tells what came of them."""
        sent: dict[int, str] = {}
        for line in self.lines:
            match line["event"]:
                case "job.started":
                    sent.clear()
                case "batch.sent":
                    sent[line["batch"]] = line["request_id"]
                case event if event.startswith("batch."):
                    sent.pop(line.get("batch", 0), None)
                case _:
                    pass
        return {call.request_id for call in self.api.calls}.intersection(sent.values())

    def recover(self) -> None:
        """Run the same command again until it has done all; repair where it asks for that."""
        self.on_call = lambda _: None
        self.front.mood = friendly
        for _ in range(MOST_STARTS):
            said = self.end(self.start())
            if self.codes[-1] == 0:
                return
            if self.codes[-1] == 2 and "--repair" in said:
                self.command.run("audit", JOB, "--repair")

    def harm(self) -> Tally:
        """Hold what was done against the laws that need no journal."""
        return Tally(wrong=len(set(WORLD) - set(ASKED) - self.api.left), late=self.late)

    def laws(self) -> Tally:
        tally = self.harm()
        if self.codes[-1] != 0:
            tally.words.append(f"it did not come to an end: codes {self.codes}")
        if 70 in self.codes:
            tally.words.append(f"it called itself a bug: codes {self.codes}")
        tally.words += self.lies + self._leaks()
        asked, left = set(self.asked), self.api.left
        states = replay(self.journal).states.count([columns_of(self.asked)])
        settled = sum(states.get(state, 0) for state in DONE)
        tally.lost = len(asked & left) + len(asked) - settled
        tally.wrong = len(set(self.world) - asked - left)
        tally.again = len(self._unannounced()) + len(self._unexplained())
        found = audit(self.command.state / "bulk-delete", JOB, repair=False)
        tally.words += [f"audit, line {line}: {what}" for line, what in found.findings]
        return tally

    def _note_lies(self) -> None:
        """Hold the books against what the server did; nobody may be at work."""
        left, states = self.api.left, replay(self.journal).states
        codes = states.codes(columns_of(self.asked)).tolist()
        for pair, state in zip(self.asked, (STATES[code] for code in codes), strict=True):
            is_there = pair in left
            if state in DONE if is_there else state not in DONE | DOUBTED:
                self.lies.append(f"{state.value}: {pair}, which is there: {is_there}")

    def _leaks(self) -> list[str]:
        """Return where the key is and must not be."""
        files = [path for path in self.command.state.rglob("*") if path.is_file()]
        found = [
            f"the key is in {path.name}" for path in files if KEY.encode() in path.read_bytes()
        ]
        return found + ["the key was printed" for said in self.said if KEY in said]

    def _unannounced(self) -> list[str]:
        """Return the calls that came to the door and no journal line had told of."""
        told = {line["request_id"] for line in self.lines if line["event"] == "batch.sent"}
        return [request_id for request_id in self.front.sent if request_id not in told]

    def _unexplained(self) -> list[Pair]:
        """Return the pairs that were sent again with no line before it that says why."""
        runs: dict[int, tuple[int, tuple[int, ...]]] = {}
        sent_in: dict[Pair, int] = {}
        deleted: set[int] = set()
        open_since: dict[int, int] = {}
        wrong: list[Pair] = []
        execution = 0
        for line in self.lines:
            number = line.get("batch", 0)
            match line["event"]:
                case "job.started":
                    execution += 1
                case "batch.sent":
                    if "run_ids" in line:
                        runs[number] = line["result_id"], tuple(line["run_ids"])
                    result_id, run_ids = runs[number]
                    for pair in (Pair(result_id, run) for run in run_ids):
                        before = sent_in.get(pair)
                        if before in deleted or open_since.get(before or 0) == execution:
                            wrong.append(pair)
                        sent_in[pair] = number
                    open_since[number] = execution
                case "batch.deleted":
                    deleted.add(number)
                    open_since.pop(number, None)
                case (
                    "batch.retry" | "batch.split" | "batch.failed" | "batch.gone" | "batch.unknown"
                ):
                    open_since.pop(number, None)
                case _:
                    pass
        return wrong


Deed = Callable[[Trial], None]


def _end(child: Child) -> None:
    """End a start that a broken trial has left, with all that runs under it."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=20)


@contextlib.contextmanager
def trial(
    home: Path,
    seed: int,
    faults: Faults | None = None,
    *,
    world: list[Pair] = WORLD,
    asked: list[Pair] = ASKED,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Trial]:
    """Set a trial up, with a sandbox that has these faults of its own."""
    home.mkdir(parents=True, exist_ok=True)
    command = command_in(home)
    command.environ["BULK_DELETE_LIMITS_HOLD_AFTER"] = "500ms"
    one = Trial(command, random.Random(seed), world, asked)
    write_csv(home / f"{JOB}.csv", asked)
    mild = faults or Faults(latency_s=0.01, reset_after=0.03, error_before=0.02)

    def on_call(call: Call) -> None:
        one.arrivals.append(time.time())
        one.on_call(call)

    with (
        running_sandbox(World.of(world), mild, seed=seed, on_call=on_call) as one.api,
        front_of(one.api, tls) as one.front,
        one.stack,
    ):
        one.url = one.front.url
        yield one
