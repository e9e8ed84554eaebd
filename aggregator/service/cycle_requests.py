"""What triggers ask of the worker: which paths the next cycle scans."""

from __future__ import annotations

import threading
import time
from itertools import islice, zip_longest

from aggregator.cycle.pipeline import NO_PATHS, Paths

MAX_NAMED = 1000
"""Most paths that wait. From there on everything is scanned, which costs no more; MAX_FIRST of the paths go first."""
MAX_FIRST = 200


class CycleRequests:
    """The requests since the last cycle began. Any thread adds to them; the worker takes all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._paths: dict[tuple[str, str], None] = {}  # of sources, in the order in which they were last named
        self._full_scan = False
        # On the monotonic clock, since when something is to be scanned: of what was added, and of what was taken.
        self._added_since: float | None = None
        self._taken_since: float | None = None
        # What a scheduled cycle scans while all changes are watched; the worker updates it.
        self.unfinished: Paths | None = None

    def add(self, paths: Paths | None) -> None:
        """Adds paths to the next cycle, without requesting it; None is a full scan."""
        with self._lock:
            self._full_scan = self._full_scan or paths is None
            if self._added_since is None and (paths is None or paths):
                self._added_since = time.monotonic()
            for source, source_paths in (paths or {}).items():
                for path in source_paths:
                    self._paths.pop((source, path), None)
                    self._paths[source, path] = None
            if len(self._paths) > MAX_NAMED:
                self._full_scan = True
                self._paths = dict.fromkeys(_fair_share(self._paths))

    def request(self, paths: Paths | None) -> None:
        """Requests a cycle that scans these paths; None is a full scan."""
        self.add(paths)
        self.wake()

    def wake(self) -> None:
        """Requests a cycle that scans what was added."""
        self._event.set()

    def wait(self, timeout_s: float | None) -> None:
        """Waits for a request, or until the time is over; later requests are for the next wait."""
        self._event.wait(timeout_s)
        self._event.clear()

    def take(self) -> tuple[Paths | None, Paths]:
        """Returns and clears what to scan: the paths, or None and the paths that a full scan begins with."""
        with self._lock:
            named: dict[str, list[str]] = {}
            for source, path in _fair_share(self._paths) if self._full_scan else self._paths:
                named.setdefault(source, []).append(path)
            is_full, self._paths, self._full_scan = self._full_scan, {}, False
            self._taken_since = self._taken_since or self._added_since
            self._added_since = None
            return (None, named) if is_full else (named, NO_PATHS)

    def clear(self) -> None:
        """Forgets what was requested, because another service scans."""
        with self._lock:
            self._paths, self._full_scan, self.unfinished = {}, False, None
            self._added_since = self._taken_since = None

    def finish(self) -> None:
        """Notes that everything that was taken is published."""
        with self._lock:
            self._taken_since = None

    def oldest_s(self) -> float:
        """How many seconds ago the oldest change or scan was requested that is not published yet; 0 without one."""
        since = self._taken_since or self._added_since
        return 0.0 if since is None else time.monotonic() - since


def _fair_share(paths: dict[tuple[str, str], None]) -> list[tuple[str, str]]:
    """At most MAX_FIRST of the paths, the oldest first. Folders take turns, each with its newest path: a bulk fills few
    folders, and a single record is mostly in another, or came last."""
    folders: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for source, path in reversed(paths):
        folders.setdefault((source, path.rpartition("/")[0]), []).append((source, path))
    turns = (path for turn in zip_longest(*folders.values()) for path in turn if path is not None)
    chosen = set(islice(turns, MAX_FIRST))
    return [path for path in paths if path in chosen]
