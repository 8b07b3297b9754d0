"""The API over HTTP: one call, one fact. Nothing is retried, redirected or decided here."""

from bulk_delete.client.calls import Client, open_client
from bulk_delete.client.facts import MAX_DETAIL, clean
from bulk_delete.client.proxy import proxy_for

__all__ = ["MAX_DETAIL", "Client", "clean", "open_client", "proxy_for"]
