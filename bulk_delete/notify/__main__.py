"""The messenger's own process: a parcel on stdin, a line for each delivery on stdout."""

import math
import signal
import sys

import anyio
import msgspec

from bulk_delete.notify.apprising import send_letter
from bulk_delete.notify.calling import call_hooks
from bulk_delete.notify.parcel import DEADLINE_S, Delivery, Parcel


def _tell(delivery: Delivery) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(delivery) + b"\n")
    sys.stdout.buffer.flush()


async def _deliver(parcel: Parcel) -> None:
    async with anyio.create_task_group() as all_at_once:
        all_at_once.start_soon(call_hooks, parcel.hooks, _tell)
        if parcel.letter:
            all_at_once.start_soon(send_letter, parcel.letter, _tell)


if __name__ == "__main__":
    signal.alarm(math.ceil(DEADLINE_S))  # also where nobody waits any more, and a thread hangs
    anyio.run(_deliver, msgspec.json.decode(sys.stdin.buffer.read(), type=Parcel))
