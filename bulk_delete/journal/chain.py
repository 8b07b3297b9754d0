"""The form of a journal line, and the chain that ties each line to the one before.

A line is `{"v":1,"n":…,"ts":"…","event":"…",…,"chain":"…"}`. `chain` is the first 32 hex digits of
SHA-256 over the previous line's chain (32 zeros before the first) and this line without its chain
member and without its newline. It shows accidents and edits by hand; it is no signature.
"""

import hashlib
import re
from typing import NamedTuple

VERSION = 1
GENESIS = "0" * 32
_CLAIM = re.compile(rb',"chain":"([0-9a-f]{32})"}\n\Z')
_TAIL = len(',"chain":"' + GENESIS + '"}\n')


class Link(NamedTuple):
    """The end of a good stretch of journal: lines so far, the last one's chain, bytes so far."""

    lines: int
    chain: str
    offset: int


class DamagedError(Exception):
    """A line is not what was written. The text says how."""


class TornError(DamagedError):
    """A line has no end."""


def seal(previous: bytes, line: bytes) -> tuple[bytes, bytes]:
    """Add the chain to a JSON object; return the bytes for the file and the new chain."""
    chain = hashlib.sha256(previous + line).hexdigest()[:32].encode()
    return b'%b,"chain":"%b"}\n' % (line[:-1], chain), chain


def unseal(previous: bytes, data: bytes) -> bytes:
    """Check a whole line, newline included, against the one before; return its chain.

    Raises DamagedError.
    """
    if data[-1:] != b"\n":
        raise TornError("it is torn")
    digest = hashlib.sha256(previous)
    digest.update(data[:-_TAIL])
    digest.update(b"}")
    chain = digest.hexdigest()[:32].encode()
    if data[-_TAIL:] != b',"chain":"%b"}\n' % chain:
        raise DamagedError("the chain does not match: it was changed, or a line before it is lost")
    return chain


def told_chain(data: bytes) -> bytes | None:
    """Return the chain that a line claims, right or not; None where it claims none."""
    found = _CLAIM.search(data)
    return found[1] if found else None


START = Link(0, GENESIS, 0)
