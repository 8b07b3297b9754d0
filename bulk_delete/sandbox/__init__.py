"""A local server with the API's contract, with data, limits and faults, to rehearse against."""

from bulk_delete.sandbox.calls import Call, CallLog
from bulk_delete.sandbox.faults import Faults, Outage
from bulk_delete.sandbox.server import Server
from bulk_delete.sandbox.serving import in_background, new_loop, serve
from bulk_delete.sandbox.world import World

__all__ = [
    "Call",
    "CallLog",
    "Faults",
    "Outage",
    "Server",
    "World",
    "in_background",
    "new_loop",
    "serve",
]
