"""Whether a first job could run: what is looked at, what the API says, and what was found."""

from bulk_delete.runner.check.looking import Surroundings, look

__all__ = ["Surroundings", "look"]
