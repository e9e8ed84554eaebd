"""Documents put together from a frame and rendered entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Frame(NamedTuple):
    """A document without entries, which go between `head` and `tail`."""

    head: bytes
    separator: bytes
    tail: bytes

    def room(self, max_bytes: int) -> int:
        """How many bytes the entries may take."""
        return max_bytes - len(self.head) - len(self.tail)


def assemble(frame: Frame, entries: Iterable[bytes], tombstones: Iterable[bytes], max_bytes: int) -> bytes:
    """The document with all entries, and before them as many tombstones as fit into `max_bytes`.

    RFC 4287 (appendix B) wants entries after all other elements.
    """
    pieces, stones = list(entries) or [b""], list(tombstones)
    room = frame.room(max_bytes) - sum(map(len, pieces)) - len(frame.separator) * (len(pieces) - 1)
    pieces[0] = b"".join((frame.head, *stones[: count_fitting(stones, b"", room)], pieces[0]))
    pieces[-1] += frame.tail
    return frame.separator.join(pieces)


def count_fitting(pieces: Iterable[bytes], separator: bytes, room: int) -> int:
    """How many pieces, from the first, take at most `room` bytes when joined."""
    room += len(separator)
    count = 0
    for piece in pieces:
        room -= len(piece) + len(separator)
        if room < 0:
            break
        count += 1
    return count
