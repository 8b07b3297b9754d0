"""Plans on the disk: any number of pairs in little memory, sorted, and read back in streams.

Nothing but a saved plan has a name: whatever ends the process, nothing else is left behind.
"""

from bulk_delete.store.build import Builder
from bulk_delete.store.kept import Kept, open_kept
from bulk_delete.store.plan_file import Plan, SpoiltPlanError
from bulk_delete.store.saved_plan import open_plan, open_sound_plan
from bulk_delete.store.scratch import Scratch, ScratchError
from bulk_delete.store.states import (
    States,
    StatesWriter,
    states_of,
    states_told,
    states_writer,
)

__all__ = [
    "Builder",
    "Kept",
    "Plan",
    "Scratch",
    "ScratchError",
    "SpoiltPlanError",
    "States",
    "StatesWriter",
    "open_kept",
    "open_plan",
    "open_sound_plan",
    "states_of",
    "states_told",
    "states_writer",
]
