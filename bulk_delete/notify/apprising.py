"""Apprise: chat and mail, each in a thread of its own."""

from collections.abc import Callable

import anyio
import anyio.to_thread

from bulk_delete.notify.parcel import Delivery, Letter, place_of


async def send_letter(letter: Letter, tell: Callable[[Delivery], None]) -> None:
    async with anyio.create_task_group() as all_at_once:
        for number, url in enumerate(letter.urls, start=1):
            all_at_once.start_soon(_send, letter, number, url, tell)


async def _send(letter: Letter, number: int, url: str, tell: Callable[[Delivery], None]) -> None:
    reason = await anyio.to_thread.run_sync(_sent, letter, url)
    tell(Delivery(place_of(number, url), reason))


def _sent(letter: Letter, url: str) -> str | None:
    """Send to one URL; return why it failed, if it did: in our own words, as Apprise's tell it."""
    try:
        import apprise  # noqa: PLC0415 - an extra, which takes 0.7 s to load

        service = apprise.Apprise()
        if not service.add(url):
            return "Apprise does not know such a URL"
        if not service.notify(
            body=letter.text,
            title=letter.title,
            notify_type=apprise.NotifyType(letter.kind),
            body_format=apprise.NotifyFormat.TEXT,
        ):
            return "Apprise could not deliver it; `apprise -vv URL` tells why"
    except Exception as error:  # noqa: BLE001 - a hundred services, and any of them may raise anything
        return f"Apprise failed: {type(error).__name__}"
    return None
