"""The pace of the calls: a rate, longer limits beside it, and pauses that hold everybody."""

from bulk_delete.throttle.throttle import Throttle

__all__ = ["Throttle"]
