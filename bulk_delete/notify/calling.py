"""Hooks: one call each, and another one if the first failed for a reason that may pass."""

from collections.abc import Callable
from http import HTTPStatus

import aiohttp
import anyio

from bulk_delete import __version__
from bulk_delete.notify.parcel import Delivery, Hook

TIMEOUT_S = 4.0
PAUSE_S = 0.5
_ATTEMPTS = 2
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


async def call_hooks(hooks: tuple[Hook, ...], tell: Callable[[Delivery], None]) -> None:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    headers = {"User-Agent": f"bulk-delete/{__version__}"}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=True) as session,
        anyio.create_task_group() as all_at_once,
    ):
        for hook in hooks:
            all_at_once.start_soon(_call, session, hook, tell)


async def _call(
    session: aiohttp.ClientSession, hook: Hook, tell: Callable[[Delivery], None]
) -> None:
    reason: str | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            await anyio.sleep(PAUSE_S)
        reason, may_pass = await _attempt(session, hook)
        if not may_pass:
            break
    tell(Delivery(hook.name, reason))


async def _attempt(session: aiohttp.ClientSession, hook: Hook) -> tuple[str | None, bool]:
    """Return why it failed, if it did, and whether it may go better next time."""
    body = hook.body.encode() if hook.method == "POST" else None
    kind = {"Content-Type": "application/json"} if body else None
    try:
        async with session.request(
            hook.method, hook.url, data=body, headers=kind, allow_redirects=False
        ) as reply:
            status = reply.status
    except TimeoutError:
        return f"no answer in {TIMEOUT_S:g} s", True
    except aiohttp.InvalidURL:  # whose words have the URL in them
        return "it is no URL", False
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"it could not be called: {type(error).__name__}", True
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return None, False
    if status < HTTPStatus.BAD_REQUEST:
        return f"answered {status}: give the URL to which it leads", False
    return f"answered {status}", status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING
