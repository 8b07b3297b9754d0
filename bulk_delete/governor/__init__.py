"""How fast the server can and will be called: the rate, found by its replies. Pure."""

from bulk_delete.governor.governor import Governor

__all__ = ["Governor"]
