"""Digests of files that the machine failed to parse: which bytes, and when they are tried again. Pure.

A process that was killed or that waited too long for the machine, and memory that was refused, are no faults of the
file. So its digest is stored with the times of the first and the last attempt behind it: it is equal to no digest, and
the file is parsed again. The pause after an attempt is as long as all attempts took until then, and MAX_PAUSE_S at
most, so a file that really ends each process costs little. Other bytes are parsed at once.
"""

from __future__ import annotations

import struct

DIGEST_BYTES = 16
MAX_PAUSE_S = 3600
_TIMES = struct.Struct(">QQ")  # seconds since 1970: of the first and of the last attempt


def note_attempt(digest: bytes, stored: bytes | None, now_s: int) -> bytes:
    """What to store after a failed attempt, in place of `stored`."""
    times = _times(digest, stored)
    return digest + _TIMES.pack(times[0] if times else now_s, now_s)


def is_paused(digest: bytes, stored: bytes | None, now_s: int) -> bool:
    """Whether a file with this digest is not to be parsed yet. A clock that stepped back ends the pause."""
    times = _times(digest, stored)
    return times is not None and 0 <= now_s - times[1] < min(times[1] - times[0], MAX_PAUSE_S)


def is_settled(stored: bytes) -> bool:
    """Whether a file with this stored digest was parsed. Then it is not read again while its stat is the same."""
    return len(stored) == DIGEST_BYTES


def have_same_bytes(stored: bytes, other: bytes) -> bool:
    """Whether two stored digests are of the same bytes."""
    return stored[:DIGEST_BYTES] == other[:DIGEST_BYTES]


def _times(digest: bytes, stored: bytes | None) -> tuple[int, int] | None:
    if stored is None or len(stored) != DIGEST_BYTES + _TIMES.size or not have_same_bytes(stored, digest):
        return None
    first_s, last_s = _TIMES.unpack(stored[DIGEST_BYTES:])
    return first_s, last_s
