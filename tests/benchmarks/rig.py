"""What the sending cases stand on: made input, a server to send to, commands that send.

Clients run on the first core, the server on the last one.
"""

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.timing import CommandError, Timed, cores, timed

HERE = Path(__file__).parent
KEY = "bench"
Made = dict[str, int]


@dataclass(frozen=True)
class Input:
    """A file of pairs, the calls that delete them, and what made.py counted."""

    path: Path
    calls: Path
    made: Made


@dataclass(frozen=True)
class Sent:
    """One command that has sent: `seen` is what the server says, and None for no summary."""

    seen: dict[str, Any]
    process: Timed
    summary: dict[str, Any]

    @property
    def speed(self) -> float:
        """Calls per second, from the first arrival to the last."""
        return float((self.seen["calls"] - 1) / self.seen["arrivals_s"])

    def as_dict(self) -> dict[str, Any]:
        process = {"seconds": self.process.seconds, "mb": self.process.mb}
        return {"server": self.seen, "process": process, "summary": self.summary}


@dataclass(frozen=True)
class Yardstick:
    """The server, from outside."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def figures(self) -> dict[str, Any]:
        """Ask what came since the last time."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(link):
            link.request("GET", "/_figures")
            found: dict[str, Any] = json.load(link.getresponse())
        return found


@dataclass(frozen=True)
class Rig:
    """Where everything is kept, and where it runs."""

    folder: Path

    def input(self, shape: str, rows: int) -> Input:
        """Make an input, unless it is there."""
        path = self.folder / f"{shape}-{rows}.csv"
        counts, maker = path.with_name(f"{path.name}.counts.json"), HERE / "made.py"
        if not counts.exists() or counts.stat().st_mtime < maker.stat().st_mtime:
            words = [sys.executable, str(maker), shape, str(rows), str(path)]
            counts.write_text(timed(words, self.folder).out)  # last, so that the file is whole
        return Input(path, path.with_name(f"{path.name}.calls"), json.loads(counts.read_text()))

    @contextlib.contextmanager
    def server(self, *words: object) -> Iterator[Yardstick]:
        """Serve, with the words of server.py, for as long as the context lasts."""
        pinned = ["--core", *map(str, cores()[-1:])] if len(cores()) > 1 else []
        line = [sys.executable, str(HERE / "server.py"), *pinned, *map(str, words)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield Yardstick(int(process.stdout.readline() or 0))
            finally:
                process.terminate()

    def loop(self, name: str, server: Yardstick, of: Input, flight: int = 50) -> Sent:
        """Send with one of the loops of loops.py. Raises CommandError."""
        words = [str(HERE / "loops.py"), name, server.url, str(of.calls), str(flight)]
        process = self._client([sys.executable, *words], self.folder)
        sent = Sent(server.figures(), process, {})
        check(name, sent, of.made)
        return sent

    def ours(
        self,
        server: Yardstick,
        of: Input,
        *,
        rate: int = 1_000_000,
        flight: int = 50,
        bad: tuple[tuple[int, int], ...] = (),
    ) -> Sent:
        """Send with bulk-delete; the pairs in `bad` are refused by the server.

        Raises CommandError unless every other run was accepted once, in the fewest calls.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as state:
            words = ["-m", "bulk_delete", "run", str(of.path), "--yes", "--json", "--name", "bench"]
            words += ["--rate", f"{rate}/s", "--concurrency", str(flight)]
            words += ["--base-url", server.url, "--state-dir", state]
            process = self._client([sys.executable, *words], Path(state), codes=(0, 1))
        sent = Sent(server.figures(), process, json.loads(process.out))
        check("bulk-delete", sent, of.made, bad)
        counts = sent.summary["counts"]
        if counts["failed"] + counts["gone"] != len(bad):
            raise CommandError(f"bulk-delete: {len(bad)} bad runs, its books say {counts}")
        return sent

    def parallel(self, server: Yardstick, of: Input) -> Sent:
        """Send with GNU parallel, which starts one curl for each call."""
        url = f"{server.url}/test_framework/v1/results/{{1}}/delete_runs/"
        words = ["parallel", "--will-cite", "-j50", "-a", str(of.calls), "--colsep", "\t", "curl"]
        words += ["-sf", "-H", f"X-CEKURA-API-KEY:{KEY}", "-H", "Content-Type:application/json"]
        process = self._client([*words, "--data-binary", "{2}", url], self.folder)
        sent = Sent(server.figures(), process, {})
        check("parallel", sent, of.made)
        return sent

    def _client(self, words: list[str], home: Path, codes: tuple[int, ...] = (0,)) -> Timed:
        # Whoever measures has settings of their own; these commands have none.
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "CEKURA_API_KEY": KEY}
        core = cores()[0] if cores() else None
        return timed(words, home, environ=environ, core=core, codes=codes)


def check(who: str, sent: Sent, made: Made, bad: tuple[tuple[int, int], ...] = ()) -> None:
    """Hold what the server saw against what was asked. Raises CommandError."""
    runs = made["planned"] - len(bad)
    digest = (made["digest"] - sum(result * run for result, run in bad)) % 2**64
    asked = {"runs": runs, "distinct_runs": runs, "digest": digest, "at_once_on_a_result": 1}
    found = {name: sent.seen.get(name) for name in asked}
    if found != asked:
        raise CommandError(f"{who}: the server saw {found}, asked were {asked}")
    calls = sent.seen["statuses"]["204"]
    if not bad and calls != made["calls"]:
        raise CommandError(f"{who}: {calls} calls were accepted, {made['calls']} are the fewest")
