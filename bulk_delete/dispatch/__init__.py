"""The engine: sends a plan, result by result, and emits what becomes of every batch."""

from bulk_delete.dispatch.ends import Ends, Pace, Past, Recorder, Transport
from bulk_delete.dispatch.engine import Engine

__all__ = ["Ends", "Engine", "Pace", "Past", "Recorder", "Transport"]
