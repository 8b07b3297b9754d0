"""Running the sandbox: in the foreground for a user, in a thread for the demo."""

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterator

from aiohttp import web

from bulk_delete.errors import InvalidInput
from bulk_delete.sandbox.server import Server

HOST = "127.0.0.1"


def new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of the fastest kind there is."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.new_event_loop()


async def serve(server: Server, port: int, ready: Callable[[str], None]) -> None:
    """Serve until cancelled; tell `ready` the base URL. Raises InvalidInput for a taken port."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise InvalidInput(f"--port {port}: {error.strerror or error}; give another") from None
        ready(f"http://{HOST}:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def in_background(server: Server) -> Iterator[str]:
    """Serve from a thread on a free port; give the base URL."""
    loop = new_loop()
    urls: list[str] = []
    settled = threading.Event()

    def tell(url: str) -> None:
        urls.append(url)
        settled.set()

    task = loop.create_task(serve(server, 0, tell))

    def work() -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        finally:
            settled.set()

    thread = threading.Thread(target=work, name="sandbox", daemon=True)
    thread.start()
    settled.wait()
    try:
        if not urls:
            raise InvalidInput("the sandbox could not be started; see the lines above")
        yield urls[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
