"""Holds back changed files for a moment, because a missing file may be half of a rename or of a save."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence

ADDED, MODIFIED = 1, 2
"""Kinds of changes, as `watchfiles.Change` numbers them."""
GONE_S = 1.0
"""How long a file must be missing before that is reported: many editors save by deleting and writing."""
CHECK_MS = 1000
"""Longest wait, so that whoever waits can check that the folders are the same."""
MAX_TEMPORARY = 2000
"""Names of temporary files that are remembered."""
Locators = Sequence[tuple[str, Callable[[str], str | None]]]
"""For each source: its name, and a function from absolute to relative paths (`scan.path_locator`)."""


class Debounce:
    """Holds back changes. A missing file is reported after GONE_S; files that appear meanwhile wait as long, because
    each may be the same record under another name. Times are monotonic."""

    def __init__(self, locators: Locators) -> None:
        self._locators = locators
        self._due: dict[str, float] = {}
        self._gone: set[str] = set()
        # Files that no scan would read, such as temporary files of editors; their removal delays nothing.
        self._temporary: set[str] = set()

    def add(self, events: Iterable[tuple[int, str]], now: float) -> None:
        """Adds events that the system reported at `now`."""
        changes: dict[str, set[int]] = {}
        for change, place in events:
            changes.setdefault(place, set()).add(change)
        here = {place for place in changes if os.path.lexists(place) or self._is_root(place)}
        for place in changes.keys() - here:
            self._add_missing(place, changes[place], now)
        temporary = {place for place in here if all(locate(place) is None for _, locate in self._locators)}
        self._temporary |= temporary
        here -= temporary
        back = here & self._gone
        after = max((self._due[place] for place in self._gone), default=now)
        for place in here - back:
            if changes[place] == {MODIFIED} or self._is_root(place):
                self._due.setdefault(place, now)
            else:
                self._due[place] = after
        for place in back:  # saved by deleting and writing; or its file moved to another one, which waits
            self._gone.discard(place)
            del self._due[place]
            self._due[place] = max(self._due.values(), default=now)
        if len(self._temporary) > MAX_TEMPORARY:
            self._temporary.clear()

    def _is_root(self, place: str) -> bool:
        """True for a records folder itself, whose removal must be reported at once."""
        return any(locate(place) == "" for _, locate in self._locators)

    def _add_missing(self, place: str, changes: set[int], now: float) -> None:
        if place in self._temporary:
            self._temporary.discard(place)
        elif ADDED in changes:  # created and deleted: no scan knows it
            self._due.setdefault(place, now)
        elif place not in self._gone:
            self._gone.add(place)
            self._due[place] = now + GONE_S

    def left_ms(self, now: float) -> int:
        """Milliseconds until the first change is due, from 1 to CHECK_MS."""
        left_s = min(self._due.values(), default=now + CHECK_MS) - now
        return min(CHECK_MS, max(1, math.ceil(1000 * left_s)))

    def take(self, now: float) -> set[str]:
        """Returns and removes the absolute paths that are due."""
        due = {place for place, at in self._due.items() if at <= now}
        self._gone -= due
        for place in due:
            del self._due[place]
        return due
