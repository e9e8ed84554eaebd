"""Bodies of documents in memory, at most as many bytes as the config allows."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aggregator.serve.files import ServedFile

Headers = tuple[tuple[bytes, bytes], ...]

OVERHEAD_BYTES = 1000
"""What a variant takes besides its body: header fields, objects, its place in the order."""


class Variant:
    """One encoding of a file, in memory: the header fields of a 200, without `Cache-Control` and `Last-Modified`, and
    the body. A response sets `is_used`."""

    __slots__ = ("body", "headers", "is_used")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers, self.body, self.is_used = headers, body, False

    @property
    def size(self) -> int:
        """The bytes that count."""
        return len(self.body) + OVERHEAD_BYTES


class Bodies:
    """The variants in memory, each while its file refers to it. `size`, what they take, is never more than `max_bytes`.
    For any thread.

    A response only marks its variant as used, without a lock and without moving anything. When room is needed, the
    oldest variant goes; but one that was used since its last turn is spared and counts as new (second chance).
    """

    def __init__(self, max_bytes: float = math.inf) -> None:
        self.max_bytes, self.size = max_bytes, 0
        self._owners: OrderedDict[Variant, ServedFile] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def room(self) -> float:
        """The bytes that fit without dropping anything."""
        return self.max_bytes - self.size

    def keep(self, owner: ServedFile, variant: Variant) -> None:
        """Keeps the variant, and drops others for it, unless it is kept already. One that is larger than everything
        allowed is not kept."""
        if variant.size > self.max_bytes:
            return
        with self._lock:
            if variant in self._owners:
                return
            while self.room < variant.size:
                self._drop_or_spare_oldest()
            self._owners[variant] = owner
            self.size += variant.size
            owner.hold(variant)

    def forget(self, owners: Iterable[ServedFile]) -> None:
        """Does not count these files any more, because nothing refers to them soon. They stay as they are, for
        responses that are still made from them."""
        with self._lock:
            for variant in (variant for owner in owners for variant in owner.held()):
                if self._owners.pop(variant, None) is not None:
                    self.size -= variant.size

    def _drop_or_spare_oldest(self) -> None:
        variant, owner = self._owners.popitem(last=False)
        if variant.is_used:
            variant.is_used = False
            self._owners[variant] = owner
        else:
            self.size -= variant.size
            owner.drop(variant)
