"""The file: what a running job and the ends of starts say of themselves, each its own lines.

A start that is turned away while the job runs tells so in the same file: each writer replaces what
is its own, and leaves the rest.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bulk_delete.metrics.families import LABEL, LAST_SUCCESS, of_execution, of_verdict
from bulk_delete.metrics.figures import Execution, Verdict

MOST_BYTES = 1 << 20
READABLE = 0o644
"""node_exporter runs as another user; there is no secret in it."""

_PATIENCE = 100
_PAUSE_S = 0.01


def write(path: Path, told: Execution | Verdict) -> str | None:
    """Replace what the file says of an execution or an end, in one step.

    Returns the name of another job whose lines were in the file, and are not any more. Raises
    OSError.
    """
    with _alone(path.parent):
        before = _read(path)
        other = next(
            (job for job in map(_job, before.values()) if job not in {None, told.job}), None
        )
        kept = {} if other else before
        if isinstance(told, Execution):
            families = of_execution(told)
        else:
            families = of_verdict(told, told.at if told.exit_code == 0 else _last_success(kept))
        _put(path, _text({**kept, **{family.name: family for family in families}}))
    return other


class _Families(Collector):
    def __init__(self, families: dict[str, Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()


def _text(families: dict[str, Metric]) -> bytes:
    registry = CollectorRegistry()  # of its own: the process-wide one tells of this process
    registry.register(_Families(families))
    return generate_latest(registry)


def _read(path: Path) -> dict[str, Metric]:
    """Read what is there; what cannot be read is written anew."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123 - a handle
            text = file.read(MOST_BYTES).decode()
        return {family.name: family for family in text_string_to_metric_families(text)}
    except (OSError, ValueError):
        return {}


def _job(family: Metric) -> str | None:
    return next((sample.labels.get(LABEL) for sample in family.samples), None)


def _last_success(families: dict[str, Metric]) -> float:
    found = families.get(LAST_SUCCESS)
    return found.samples[0].value if found and found.samples else 0.0


def _put(path: Path, text: bytes) -> None:
    new = path.with_name(f".{path.name}.new")  # node_exporter reads no name that ends so
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, READABLE), "wb") as file:  # noqa: PTH123 - a handle
            os.fchmod(file.fileno(), READABLE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other writers out, which take milliseconds; one that takes longer is not waited for."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_PATIENCE):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(handle)
