"""Telling others how a job goes: URLs that are called, and Apprise for chat and mail."""

from bulk_delete.notify.messenger import Messenger
from bulk_delete.notify.parcel import Hook, Kind, Letter, Parcel, Undelivered

__all__ = ["Hook", "Kind", "Letter", "Messenger", "Parcel", "Undelivered"]
