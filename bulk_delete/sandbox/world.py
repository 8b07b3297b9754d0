"""The sandbox's data: results, their runs, and what was deleted."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bulk_delete.model import Pair

FIRST_RESULT = 1001
FIRST_RUN = 500_001
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_PROJECT, _AGENT = 7, 42


@dataclass(slots=True)
class World:
    """What the server knows. `evaluations` counts the re-evaluations of each result."""

    live: dict[int, set[int]] = field(default_factory=dict)
    deleted: dict[int, set[int]] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    evaluations: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "World":
        world = cls()
        for result_id, run_id in pairs:
            runs = world.live.setdefault(result_id, set())
            world.deleted.setdefault(result_id, set())
            if world.owner.setdefault(run_id, result_id) == result_id:  # a run has one result
                runs.add(run_id)
        return world

    @classmethod
    def made(cls, results: int, runs: int, seed: int) -> "World":
        """Make `runs` runs over `results` results, unevenly: some large, many small."""
        rng = random.Random(seed)  # noqa: S311 - made data, the same for the same seed
        weights = [rng.paretovariate(1.2) for _ in range(results)]
        drawn = rng.choices(range(results), weights, k=max(0, runs - results))
        homes = [*range(min(results, runs)), *drawn]
        rng.shuffle(homes)
        return cls.of(
            Pair(FIRST_RESULT + home, FIRST_RUN + number) for number, home in enumerate(homes)
        )

    def pairs(self) -> list[Pair]:
        return [
            Pair(result, run) for result in sorted(self.live) for run in sorted(self.live[result])
        ]

    def delete(self, result_id: int, run_ids: Iterable[int]) -> list[int]:
        """Take runs out of a result; return those that were there. Re-evaluates the result."""
        gone = sorted(self.live[result_id].intersection(run_ids))
        self.live[result_id].difference_update(gone)
        self.deleted[result_id].update(gone)
        self.evaluations[result_id] = self.evaluations.get(result_id, 0) + 1
        return gone

    def live_run_ids(self) -> list[int]:
        return sorted(run for runs in self.live.values() for run in runs)

    @staticmethod
    def created_at(run_id: int) -> datetime:
        return _EPOCH + timedelta(minutes=run_id % 500_000)

    def run(self, run_id: int) -> dict[str, Any] | None:
        """Return a run as the API shows it; None where it is deleted or never was."""
        result_id = self.owner.get(run_id)
        if result_id is None or run_id not in self.live[result_id]:
            return None
        return {
            "id": run_id,
            "result_id": result_id,
            "agent_id": _AGENT,
            "project_id": _PROJECT,
            "status": "completed",
            "success": run_id % 5 != 0,
            "timestamp": self.created_at(run_id).isoformat(),
            "transcript": [],
            "evaluation": {},
            "metadata": {},
        }

    def result(self, result_id: int) -> dict[str, Any] | None:
        """Return a result as the API shows it, its runs keyed by their ids as strings."""
        if result_id not in self.live:
            return None
        runs = {str(run): self.run(run) for run in sorted(self.live[result_id])}
        good = sum(1 for run in runs.values() if run and run["success"])
        return {
            "id": result_id,
            "name": f"Result {result_id}",
            "agent_id": _AGENT,
            "project_id": _PROJECT,
            "status": "completed",
            "total_runs_count": len(runs),
            "success_rate": round(100 * good / len(runs), 2) if runs else 0.0,
            "runs": runs,
        }
