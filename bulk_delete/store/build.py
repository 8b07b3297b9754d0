"""From pairs in any order to a plan: sorted runs on the disk, merged into one file.

Memory holds a few times AT_ONCE pairs, whatever their number: those that are being gathered and
those that another thread sorts meanwhile; later, windows on the runs, and what was merged of them
while the other thread writes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from bulk_delete.columns import (
    AT_ONCE,
    NO_PAIRS,
    Columns,
    ascending,
    joined,
    rows_up_to,
)
from bulk_delete.model import Pair
from bulk_delete.store.aside import Aside
from bulk_delete.store.plan_file import Plan, PlanWriter
from bulk_delete.store.scratch import Scratch, ScratchFile


class Builder:
    """Takes pairs, then gives the plan of them. Use as a context manager, or `close` it."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._parts: list[Columns] = []
        self._gathered = 0
        self._runs: list[_Run] = []
        self._spilled = False
        self._file: ScratchFile | None = None
        self._aside = Aside()
        self.rows = 0
        """Pairs taken, those that came twice included."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave off, or be done."""
        self._aside.drop()
        if self._file:
            self._file.close()

    def add(self, columns: Columns) -> None:
        """Take pairs. Raises ScratchError."""
        self.rows += columns.rows
        for start in range(0, columns.rows, AT_ONCE):
            part = columns.part(slice(start, start + AT_ONCE))
            if self._gathered + part.rows > AT_ONCE:
                self._sort()
            self._parts.append(part)
            self._gathered += part.rows

    def plan(self) -> Plan:
        """Merge what was taken. Raises ScratchError."""
        writer = PlanWriter(self._scratch)
        try:
            if self._spilled:
                self._sort()
                self._aside.wait()
                for columns in self._merged():
                    self._aside.do(partial(writer.add, columns))
                self._aside.wait()
            else:
                writer.add(ascending(joined(self._parts)))
            return writer.plan()
        except BaseException:
            self._aside.drop()
            writer.close()
            raise

    def _sort(self) -> None:
        """Have what was gathered sorted and written, when what was before is."""
        parts, self._parts, self._gathered = self._parts, [], 0
        self._spilled = True
        self._aside.do(partial(self._write_run, parts))

    def _write_run(self, parts: list[Columns]) -> None:
        columns = ascending(joined(parts))
        if self._file is None:
            self._file = self._scratch.file()
        self._runs.append(_Run(self._file, self._file.size, columns.rows))
        self._file.append(columns.result_ids)
        self._file.append(columns.run_ids)

    def _merged(self) -> Iterator[Columns]:
        """Yield all pairs in ascending order, none twice, AT_ONCE of them at most."""
        runs = self._runs
        window = max(1, AT_ONCE // max(1, len(runs)))
        while runs:
            for run in runs:
                run.fill(window)
            bounds = [run.window.pair(-1) for run in runs if not run.used_up]
            bound = min(bounds, default=None)
            yield ascending(joined([run.take(bound) for run in runs]))
            runs = [run for run in runs if run.window.rows or not run.used_up]


@dataclass(slots=True)
class _Run:
    """A sorted run: `rows` result ids from a place in the file on, then as many run ids."""

    file: ScratchFile
    place: int
    rows: int
    read: int = 0
    window: Columns = field(default=NO_PAIRS)

    @property
    def used_up(self) -> bool:
        return self.read == self.rows

    def fill(self, size: int) -> None:
        """Read on until the window has `size` pairs, or all that are left."""
        stop = min(self.rows, self.read + size - self.window.rows)
        if stop > self.read:
            at = self.place
            new = Columns(
                self.file.read(at + self.read, at + stop),
                self.file.read(at + self.rows + self.read, at + self.rows + stop),
            )
            self.window = joined([self.window, new]) if self.window.rows else new
            self.read = stop

    def take(self, bound: Pair | None) -> Columns:
        """Take what is not above the bound out of the window; all of it without one."""
        count = self.window.rows if bound is None else rows_up_to(self.window, bound)
        taken = self.window.part(slice(0, count))
        self.window = self.window.part(slice(count, None))
        return taken
