"""A process of its own that delivers a parcel.

So nothing that it waits for, looks up or loads can hold a job up or bring it down; and it cannot
give the API key away, as it does not have it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import msgspec

from bulk_delete.notify.parcel import DEADLINE_S, Delivery, Parcel, Undelivered

_OURS = ("CEKURA_", "BULK_DELETE_")
"""Variables that hold the key, and the addresses."""


class Messenger:
    """Sets out when it is made; `wait` tells what it could not deliver."""

    def __init__(self, parcel: Parcel, environ: Mapping[str, str]) -> None:
        self._parcel = parcel
        self._due = time.monotonic() + DEADLINE_S
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble = f"it took over {DEADLINE_S:g} s"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", "bulk_delete.notify"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # Apprise's log has addresses in it
                env={name: value for name, value in environ.items() if not name.startswith(_OURS)},
                start_new_session=True,  # a Ctrl-C is for the job
            )
        except OSError as error:
            self._trouble = f"no process could be started: {error.strerror}"
            return
        if self._process.stdin:
            with contextlib.suppress(OSError), self._process.stdin as ear:
                ear.write(msgspec.json.encode(parcel))
            self._process.stdin = None

    def wait(self) -> tuple[Undelivered, ...]:
        """Wait until all is delivered, or until the deadline; return what is not."""
        taken: dict[str, str | None] = {}
        for line in self._told().splitlines():
            with contextlib.suppress(msgspec.DecodeError):  # what Apprise's plugins may print
                delivery = msgspec.json.decode(line, type=Delivery)
                taken[delivery.place] = delivery.reason
        reasons = ((place, taken.get(place, self._trouble)) for place in self._parcel.places)
        return tuple(Undelivered(place, reason) for place, reason in reasons if reason)

    def _told(self) -> bytes:
        process = self._process
        if process is None:
            return b""
        try:
            told = process.communicate(timeout=max(0.0, self._due - time.monotonic()))[0]
            if process.returncode not in {0, -signal.SIGALRM}:
                self._trouble = f"its messenger ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            told = process.communicate()[0]
        return told
