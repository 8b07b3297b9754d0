"""The engine: sends a plan, result by result, and emits what becomes of every batch."""

from bulk_delete.dispatch.ends import Ends, Pace, Past, Recorder, Transport
from bulk_delete.dispatch.engine import Engine
from bulk_delete.dispatch.stopping import LeaveOffError

__all__ = ["Ends", "Engine", "LeaveOffError", "Pace", "Past", "Recorder", "Transport"]
