"""Steps of pairs that are in no plan yet: kept in order, until all of them are known and sorted."""

from array import array

import numpy as np

from bulk_delete.columns import Columns
from bulk_delete.ledger import Step
from bulk_delete.store.build import Builder
from bulk_delete.store.coded import CodedPlan
from bulk_delete.store.plan_file import Plan
from bulk_delete.store.scratch import Scratch

_WORDS_AT_ONCE = 1 << 16
_HEAD = 4
"""Words before the runs of a record: result, number of the step, verdict, count of the runs."""


class Strays:
    def __init__(self, scratch: Scratch) -> None:
        self._builder = Builder(scratch)
        self._file = scratch.file()
        self._words = array("Q")
        self._result_ids = array("Q")
        self._run_ids = array("Q")
        self._steps: dict[Step, int] = {}

    def close(self) -> None:
        self._builder.close()
        self._file.close()

    def apply(self, result_id: int, run_ids: tuple[int, ...], step: Step, verdict: int) -> None:
        """Take a step of some runs. Raises ScratchError."""
        number = self._steps.setdefault(step, len(self._steps))
        self._words.extend((result_id, number, verdict, len(run_ids)))
        self._words.extend(run_ids)
        self._result_ids.extend([result_id] * len(run_ids))
        self._run_ids.extend(run_ids)
        if len(self._words) >= _WORDS_AT_ONCE:
            self._flush()

    def plan(self) -> Plan:
        """Make the plan of all the pairs. Raises ScratchError."""
        self._flush()
        return self._builder.plan()

    def tell(self, coded: CodedPlan) -> None:
        """Have that plan take all the steps. Raises ScratchError."""
        steps = list(self._steps)
        start = 0
        size = _WORDS_AT_ONCE
        while start < self._file.size:
            words = self._file.read(start, min(start + size, self._file.size)).tolist()
            at = 0
            while at + _HEAD <= len(words) and (end := at + _HEAD + words[at + 3]) <= len(words):
                result_id, step, verdict, _ = words[at : at + _HEAD]
                coded.apply(result_id, tuple(words[at + _HEAD : end]), steps[step], verdict)
                at = end
            start += at
            size = _WORDS_AT_ONCE if at else 2 * size  # a record may be longer than all that

    def _flush(self) -> None:
        if self._words:
            self._file.append(np.array(self._words, np.uint64))
            self._builder.add(
                Columns(np.array(self._result_ids, np.uint64), np.array(self._run_ids, np.uint64))
            )
            for buffer in (self._words, self._result_ids, self._run_ids):
                del buffer[:]
