"""Journals read back in tests, with the states they leave."""

import weakref
from pathlib import Path

from bulk_delete.columns import columns_of
from bulk_delete.journal.reader import read
from bulk_delete.journal.replay import History
from bulk_delete.ledger import STATES
from bulk_delete.model import Pair, State
from bulk_delete.store import Plan, States, states_told
from tests.made_plans import SCRATCH


class Replay:
    """A history and its states; their files are closed as soon as nobody holds them any more."""

    def __init__(self, history: History, states: States) -> None:
        self.history = history
        self.states = states
        weakref.finalize(states, states._files.close)

    def of(self, plan: Plan) -> dict[Pair, State]:
        """Return the state of each pair of a plan."""
        told = self.states.told(plan.chunks())
        return {pair: verdict.state for pair, verdict in told}

    def state(self, result_id: int, run_id: int) -> State:
        (code,) = self.states.codes(columns_of([(result_id, run_id)])).tolist()
        return STATES[int(code)]


def replay(journal: Path, universe: Plan | None = None) -> Replay:
    """Read a journal, without a plan unless one is given."""
    return Replay(*states_told(lambda sink: read(journal, sink), SCRATCH, universe))
