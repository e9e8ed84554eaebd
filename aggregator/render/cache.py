"""Caches of rendered parts. They are limited in memory, whatever records contain."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Generic, TypeVar

from aggregator.model import Entry

S = TypeVar("S")
K = TypeVar("K")
T = TypeVar("T", bound=Any)

CACHED_FEEDS = 16_384
"""Lines of feeds in lists of feeds."""
ENTRY_BYTES = 2000
"""Estimated memory of an entry without its body."""


class EntryCache(Generic[S, K, T]):
    """Rendered entries, because an entry is in several feeds and in many versions of each. Thread-safe.

    The key is an entry id and a scope; a changed entry replaces the old one. Each value has results of some kinds. The
    least recently used are dropped once all take more than about `max_bytes` of memory.
    """

    def __init__(self, render: Callable[[Entry, S, Sequence[K]], dict[K, T]], max_bytes: int) -> None:
        self._render, self._room = render, max_bytes
        self._rendered: OrderedDict[tuple[str, S], tuple[Entry, dict[K, T], int]] = OrderedDict()
        self._lock = Lock()

    def get(self, entry: Entry, scope: S, kinds: Sequence[K]) -> Mapping[K, T]:
        """The entry in each of the kinds, and maybe in others. Raises what `render` raises."""
        key = (entry.id, scope)
        with self._lock:
            cached = self._rendered.get(key)
            results = cached[1] if cached and (cached[0] is entry or cached[0] == entry) else {}
            if missing := [kind for kind in kinds if kind not in results]:
                results = results | self._render(entry, scope, missing)
                self._drop(key)
                size = ENTRY_BYTES + len(entry.content.body_html) + sum(map(len, results.values()))
                self._rendered[key] = entry, results, size
                self._room -= size
                while self._room < 0:
                    self._drop(next(iter(self._rendered)))
            else:
                self._rendered.move_to_end(key)
        return results

    def _drop(self, key: tuple[str, S]) -> None:
        if cached := self._rendered.pop(key, None):
            self._room += cached[2]
