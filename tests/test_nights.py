"""A job over many nights, as a state machine: stops, cuts, torn ends, new inputs, protect lists.

Engine, journal and replay are the real ones; the server is a model that knows what it did.
"""

import random
import shutil
import tempfile
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bulk_delete import events
from bulk_delete.errors import Refused
from bulk_delete.folder import JobFolder
from bulk_delete.journal.lines import parse
from bulk_delete.journal.opening import recover
from bulk_delete.journal.reader import Position, Reader, read
from bulk_delete.ledger import DONE
from bulk_delete.model import Batch, Pair, State
from bulk_delete.runner.checkpoint import keep_checkpoint, load_checkpoint
from bulk_delete.runner.intake import check_target
from bulk_delete.store import states_of, states_told, states_writer
from tests.made_plans import SCRATCH, plan_of
from tests.plain_ledger import PlainLedger
from tests.replays import replay
from tests.test_soundness import (
    STARTED,
    WARPED,
    Guard,
    Night,
    Server,
    Settle,
    check,
    execute,
    findings,
)

SETTLES = st.sampled_from(["read-back", "read-back", "resend", "hold"])


def retold(journal: Path) -> PlainLedger:
    """Tell a plain ledger what a journal says."""
    ledger, batches = PlainLedger(), dict[int, Batch]()
    for number, data in enumerate(journal.read_bytes().splitlines(keepends=True), start=1):
        line, _ = parse(data, number)
        # The plain ledger goes by the exact types of events, without what every line has.
        event = line and msgspec.convert(line, type(line).__bases__[0], from_attributes=True)
        match event:
            case events.JobStarted():
                ledger.start()
            case events.BatchWithheld() | events.BatchReopened():
                ledger.apply_pairs(event)
            case (
                events.BatchSent()
                | events.BatchDeleted()
                | events.BatchRetry()
                | events.BatchSplit()
                | events.BatchFailed()
                | events.BatchGone()
                | events.BatchUnknown()
            ):
                _retell(ledger, batches, event)
            case _:
                pass
    return ledger


def _retell(ledger: PlainLedger, batches: dict[int, Batch], event: events.OfBatch) -> None:
    if isinstance(event, events.BatchSent) and event.run_ids is not None:
        batches[event.batch] = Batch(event.batch, event.result_id, event.run_ids)
    elif not isinstance(event, events.BatchSent | events.BatchDeleted | events.BatchRetry):
        named = getattr(event, "result_id", None)
        if named is not None:
            runs = getattr(event, "run_ids", None) or ()
            ledger.apply(Batch(-event.batch, named, runs), event)
            return
    ledger.apply(batches[event.batch], event)


class Nights(RuleBasedStateMachine):
    """Every rule is something that may happen to a job; the invariants are its promises."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="nights-"))
        self.good = {
            Pair(result, result * 1000 + number)
            for result in range(1, rng.randrange(3, 6))
            for number in range(rng.choice([1, 3, 99, 100, 101, 130]))
        }
        self.bad = {Pair(rng.randrange(1, 7), 900_000 + number) for number in range(3)}
        self.others = {Pair(1, 950_000)}
        self.guard = Guard(rng, 0.0)
        self.server = Server(rng, self.good | self.others, self.guard, readable=rng.random() < 0.8)
        self.asked = self.good | self.bad
        self.ever_asked = set(self.asked)
        self.ledger = PlainLedger()
        self.ever_protected: set[Pair] = set()
        self.restarts = 0

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @rule(settle=SETTLES, stop_after=st.none() | st.integers(1, 30))
    def night(self, settle: Settle, stop_after: int | None) -> None:
        """Run the job, to its end or until it is stopped or cut."""
        plan, given = plan_of(self.asked), Night(settle, stop_after)
        anyio.run(
            execute, self.folder, plan, self.server, self.ledger, given, backend_options=WARPED
        )
        self.restarts += 1

    @rule(share=st.sampled_from([0.1, 0.5, 1.0]))
    def other_input(self, share: float) -> None:
        """Ask for others of the runs from now on."""
        everything = sorted(self.good | self.bad)
        self.asked = set(self.rng.sample(everything, max(1, int(share * len(everything)))))
        self.ever_asked |= self.asked

    @rule(share=st.sampled_from([0.0, 0.2]))
    def protect(self, share: float) -> None:
        """Let more runs come to be protected while the next nights send, or none."""
        self.guard.share = share

    @rule()
    def free(self) -> None:
        """Protect nothing any more."""
        self.ever_protected |= self.guard.protected
        self.guard.protected.clear()

    @rule(cut=st.integers(0, 400))
    def tear(self, cut: int) -> None:
        """Tear the journal's end as a crash may: what was acted on is synced, and stays."""
        if not self.journal.exists():
            return
        whole = self.journal.read_bytes()
        synced = whole.rfind(b'"event":"batch.sent"')
        least = whole.find(b"\n", synced) + 1 if synced >= 0 else whole.find(b"\n") + 1
        (self.folder / "journal.mark").unlink(missing_ok=True)
        self.journal.write_bytes(whole[: max(least, len(whole) - cut)])
        states_told(
            lambda sink: recover(
                self.journal,
                self.folder / "journal.mark",
                self.folder / "journal.broken",
                sink,
            ),
            SCRATCH,
            None,
        )[1].close()
        self.ledger = retold(self.journal)

    @rule(of_lines=st.floats(0, 1), of_starts=st.floats(0, 1))
    def checkpoint(self, of_lines: float, of_starts: float) -> None:
        """Follow an execution up to any line, keep that, and read on from there as a start does."""
        if not self.restarts:
            return
        plan = plan_of(self.asked)
        starts = [
            number
            for number, line in enumerate(self.journal.read_bytes().splitlines())
            if b'"event":"job.started"' in line
        ]
        number = starts[int(of_starts * (len(starts) - 1))]
        folder = JobFolder(self.folder.parent, self.folder.name)
        with Reader(self.journal, writer := states_writer(SCRATCH, plan)) as reader:
            reader.go_on(lines=number)
            reader.end()
            start = Position(reader.history, {})
        states = writer.states()
        writer = states.writer(SCRATCH)
        with Reader(self.journal, writer, start=start) as reader:
            reader.go_on(lines=1 + int(of_lines * 60))
            folder.checkpoint.unlink(missing_ok=True)
            keep_checkpoint(folder, writer, reader)
        writer.close()
        states.close()
        if not folder.checkpoint.exists():
            return  # others than the plan's were told of: that is read anew
        loaded = load_checkpoint(folder, plan, SCRATCH)
        assert loaded
        history, states = states_of(
            lambda sink: read(self.journal, sink, start=loaded[1]), loaded[0]
        )
        whole = replay(self.journal, plan)
        assert history == whole.history
        everything = plan_of(self.ever_asked)
        assert list(states.told(everything.chunks())) == list(
            whole.states.told(everything.chunks())
        )
        states.close()

    @rule()
    def other_target(self) -> None:
        """Point the job at another API, which is refused once it has started."""
        if self.restarts:
            history, states = states_told(lambda sink: read(self.journal, sink), SCRATCH, None)
            states.close()
            with pytest.raises(Refused, match="belongs to"):
                check_target(history, "http://other", "night")
            check_target(history, STARTED.base_url, "night")

    @invariant()
    def the_journal_is_true(self) -> None:
        """Hold the journal, and its audit, against what the server did."""
        if self.restarts:
            replayed = replay(self.journal)
            plan = plan_of(self.ever_asked)
            told = {pair: why.state for pair, why in replayed.states.told(plan.chunks())}
            self.ever_protected |= self.guard.protected
            withheld = {pair for pair, state in told.items() if state is State.WITHHELD}
            assert withheld <= self.ever_protected
            assert withheld.isdisjoint(self.server.deleted)
            check({pair: told[pair] for pair in told.keys() - withheld}, self.server)
            assert [
                found
                for found in findings(self.journal, self.folder / "journal.mark", plan)
                if "no journal.mark" not in found.what
            ] == []

    @invariant()
    def nothing_else_is_touched(self) -> None:
        """See that runs that were never asked for are where they were."""
        assert self.others <= self.server.live
        assert self.good - self.ever_asked <= self.server.live

    def teardown(self) -> None:
        """Once nothing is odd any more, one night does all the rest."""
        if not hasattr(self, "server"):
            return
        self.server.calm, self.guard.share = True, 0.0
        self.free()
        self.asked = self.good | self.bad
        self.ever_asked |= self.asked
        self.night("read-back", None)
        self.the_journal_is_true()
        assert all(self.ledger.state(*pair) in DONE for pair in self.good)
        assert all(
            self.ledger.state(*pair) in {State.FAILED, State.UNKNOWN, State.GONE}
            for pair in self.bad
        )
        assert self.server.live == self.others
        shutil.rmtree(self.folder)


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=25, stateful_step_count=10, deadline=None)
