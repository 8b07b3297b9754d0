"""Journals read back in tests, with the states they leave."""

import weakref
from pathlib import Path

from bulk_delete.columns import columns_of
from bulk_delete.journal.reader import History, read
from bulk_delete.ledger import STATES
from bulk_delete.model import State
from bulk_delete.store import Plan, States, states_told
from tests.made_plans import SCRATCH


class Replay:
    """A history and its states; their files are closed as soon as nobody holds it any more."""

    def __init__(self, history: History, states: States) -> None:
        self.history = history
        self.states = states
        weakref.finalize(self, states.close)

    def state(self, result_id: int, run_id: int) -> State:
        (code,) = self.states.codes(columns_of([(result_id, run_id)])).tolist()
        return STATES[int(code)]


def replay(journal: Path, universe: Plan | None = None) -> Replay:
    """Read a journal, without a plan unless one is given."""
    return Replay(*states_told(lambda sink: read(journal, sink), SCRATCH, universe))
