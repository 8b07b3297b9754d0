"""The sandbox in the foreground, and the demo."""

import asyncio
import contextlib
import random
import signal
import tempfile
from pathlib import Path
from typing import IO, Any

from bulk_delete.cli.printing import tell
from bulk_delete.cli.sending import send, show_end, show_plan
from bulk_delete.config import (
    Api,
    ApiKey,
    Input,
    Limits,
    Log,
    Rate,
    Seconds,
    Settings,
    parse_rate,
    parse_seconds,
)
from bulk_delete.errors import InvalidInput
from bulk_delete.folder import write_whole
from bulk_delete.model import Pair
from bulk_delete.runner.job import open_job
from bulk_delete.runner.order import Order
from bulk_delete.sandbox import (
    CallLog,
    Faults,
    Outage,
    Server,
    World,
    in_background,
    new_loop,
    serve,
)
from bulk_delete.sources import Source


def serve_sandbox(
    *,
    port: int,
    results: int,
    runs: int,
    seed: int,
    source: str | None,
    write_input: Path | None,
    key: str | None,
    ledger: Path | None,
    **switches: Any,  # noqa: ANN401 - click's
) -> None:
    """Serve until interrupted. Raises InvalidInput."""
    world = _world_of(source) if source else World.made(results, runs, seed)
    pairs = world.pairs()
    if write_input:
        write_whole(write_input, pair_rows(pairs))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_opened(ledger)) if ledger else None
        log = CallLog(file)
        server = Server(world, faults_of(switches), seed=seed, key=key, log=log)

        def ready(url: str) -> None:
            tell(
                f"Sandbox at {url}: {len(world.live):,} results, {len(pairs):,} runs. "
                "Ctrl-C ends it.\n"
            )

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_until_signal(server, port, ready))
    left = len(world.live_run_ids())
    statuses = ", ".join(
        f"{count:,} with {status}" for status, count in sorted(log.statuses.items())
    )
    tell(f"{log.calls:,} delete calls ({statuses or 'none'}); {left:,} runs left.\n")


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--ledger {path}: cannot be written: {error.strerror}") from None


async def _until_signal(server: Server, port: int, ready: Any) -> None:  # noqa: ANN401 - a callback
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, task.cancel)  # type: ignore[union-attr]
    with contextlib.suppress(asyncio.CancelledError):
        await serve(server, port, ready)


def faults_of(switches: dict[str, Any]) -> Faults:
    """Read the switches as they stand on the command line. Raises InvalidInput."""
    latency, limit, capacity = (switches[name] for name in ("latency", "rate_limit", "capacity"))
    if switches["burst"] and not limit:
        raise InvalidInput("sandbox: --burst needs a --rate-limit")
    try:
        return Faults(
            latency_s=0.0 if latency == "0" else parse_seconds(latency),
            capacity=parse_rate(capacity).per_second if capacity else None,
            rate=parse_rate(limit).per_second if limit else None,
            burst=switches["burst"],
            retry_after=switches["retry_after"],
            outage=_outage(switches["outage"]) if switches["outage"] else None,
            error_before=_share(switches["error_before"]),
            error_after=_share(switches["error_after"]),
            reset_before=_share(switches["reset_before"]),
            reset_after=_share(switches["reset_after"]),
            deleted_run=switches["deleted_run"],
            unknown_run=switches["unknown_run"],
            read_back=switches["read_back"],
            run_bytes=switches["run_bytes"],
        )
    except ValueError as error:
        raise InvalidInput(f"sandbox: {error}") from None


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is no share; give one as 2%")
    return share


def _outage(text: str) -> Outage:
    start, plus, length = text.partition("+")
    if not plus:
        raise ValueError(f"{text!r} is no outage; give its start and length, as 5s+20s")
    at_once = start.strip() in {"0", "0s"}
    return Outage(0.0 if at_once else parse_seconds(start), parse_seconds(length))


def _world_of(source: str) -> World:
    rows = Source((source,), Input()).rows()
    return World.of(pair for found in rows for pair in found.columns.pairs())


def pair_rows(pairs: list[Pair]) -> list[str]:
    return ["result_id,run_id\n", *(f"{pair.result_id},{pair.run_id}\n" for pair in pairs)]


def show_demo() -> int:
    """Make data and an input, serve the sandbox, plan and run. Returns the exit code of the run."""
    folder = Path(tempfile.mkdtemp(prefix="bulk-delete-demo-"))
    world = World.made(results=240, runs=4000, seed=7)
    pairs = world.pairs()
    rng = random.Random(7)  # noqa: S311 - made data, the same each time
    doubled = [*pairs, *rng.sample(pairs, 120)]
    rng.shuffle(doubled)
    source = folder / "runs.csv"
    write_whole(source, pair_rows(doubled))
    faults = Faults(latency_s=0.02, reset_after=0.02, error_before=0.01)
    server = Server(world, faults, seed=7, key=None, log=CallLog())
    with in_background(server) as url:
        settings = Settings(
            api=Api(base_url=url), limits=Limits(rate=Rate(50.0)), log=Log(interval=Seconds(1.0))
        )
        order = Order((str(source),), settings)
        tell(
            f"A sandbox with {len(world.live):,} results and {len(pairs):,} runs is at {url}.\n"
            "It loses the reply of 2 % of the calls and fails 1 % of them.\n"
            f"\n$ head -3 {source}\n{''.join(source.open().readlines()[:3])}"
            f"\n$ bulk-delete plan {source}\n"
        )
        show_plan(order, folder, save=None, as_json=False)
        tell(f"\n$ bulk-delete run {source} --yes\n")
        with open_job(order, folder) as job:
            summary = send(job, ApiKey("demo"), "demo", quiet=False)
            journal = job.folder.journal
        code = show_end(summary, quiet=False, as_json=False)
    tell(
        f"\nThe sandbox has {len(world.live_run_ids()):,} runs left.\n"
        f"The journal, a line for every intent and every outcome: {journal}\n"
    )
    return code
