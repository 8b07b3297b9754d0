"""The commands that need no API: a local server, and a job that is played on it."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--results", type=click.IntRange(1), default=100, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=5000, show_default=True, help="In all.")
@click.option("--seed", type=int, default=1, show_default=True, help="Makes data and faults.")
@click.option("--input", "source", metavar="FILE", help="Take the data from an input instead.")
@click.option(
    "--write-input",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all pairs as CSV, to delete them.",
)
@click.option("--key", metavar="KEY", help="The only key accepted; else any.")
@click.option("--latency", default="0", metavar="TIME", help="Between effect and reply, as 20ms.")
@click.option("--capacity", metavar="N/s", help="Above this rate calls queue, and take longer.")
@click.option("--rate-limit", metavar="N/s", help="429 above this rate.")
@click.option(
    "--burst", type=click.IntRange(1), metavar="N", help="Let so many through at once, then 429."
)
@click.option(
    "--retry-after",
    type=click.Choice(["seconds", "date", "absurd", "none"]),
    default="seconds",
    show_default=True,
    help="How a 429 tells when to come back.",
)
@click.option("--outage", metavar="TIME+TIME", help="503 to all: after how long, for how long.")
@click.option("--error-before", default="0%", metavar="N%", help="500 with no effect.")
@click.option("--error-after", default="0%", metavar="N%", help="500 after the effect.")
@click.option("--reset-before", default="0%", metavar="N%", help="Connection reset, no effect.")
@click.option("--reset-after", default="0%", metavar="N%", help="Reset after the effect.")
@click.option(
    "--deleted-run",
    type=click.Choice(["204", "400", "404"]),
    default="204",
    show_default=True,
    help="Reply to a call with a run deleted before.",
)
@click.option(
    "--unknown-run",
    type=click.Choice(["204", "400", "404"]),
    default="400",
    show_default=True,
    help="Reply to a call with a run that is not in the result.",
)
@click.option(
    "--read-back",
    type=click.Choice(["allowed", "forbidden", "missing"]),
    default="allowed",
    show_default=True,
    help="Reply to reading: 200, 403 or 404.",
)
@click.option(
    "--run-bytes",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Length of each run's transcript.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every delete call and its effect as JSON Lines.",
)
def sandbox(**given: Any) -> None:  # noqa: ANN401 - click's
    """Serve the API's contract on this machine, with made data, to rehearse against.

    \b
    Example, in two terminals:
      bulk-delete sandbox --port 8080 --write-input all.csv --latency 20ms --reset-after 2%
      CEKURA_API_KEY=any bulk-delete run all.csv --base-url http://127.0.0.1:8080
    """
    from bulk_delete.cli.rehearsal import serve_sandbox  # noqa: PLC0415 - loads aiohttp

    serve_sandbox(**given)


@click.command()
def demo() -> int:
    """Show the main job from start to end on the sandbox: no key, no network.

    \b
    Example:
      bulk-delete demo
    """
    from bulk_delete.cli.rehearsal import show_demo  # noqa: PLC0415 - loads aiohttp

    return show_demo()
