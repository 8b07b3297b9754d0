"""A loopback server that is called as others' hooks are, and keeps what it was sent."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Called:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Hooks:
    """`url` takes `/ok`, `/error` (500), `/flaky` (500 once), `/moved` (302), `/mute` (silent)."""

    url: str
    called: list[Called] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.called]

    def status_of(self, path: str) -> int:
        match path.split("/")[1]:
            case "flaky":
                return 500 if self.paths.count(path) == 1 else 200
            case "error":
                return 500
            case "moved":
                return 302
            case "mute":
                self.closing.wait(30)
                return 200
            case _:
                return 200


@contextlib.contextmanager
def listening() -> Iterator[Hooks]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            hooks.called.append(Called(self.command, self.path, dict(self.headers.items()), body))
            status = hooks.status_of(self.path)
            with contextlib.suppress(OSError):  # who calls may have gone
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{hooks.url}/ok/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST = take  # noqa: N815 - so named by http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hooks = Hooks(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hooks
        finally:
            hooks.closing.set()
            server.shutdown()
            thread.join()
