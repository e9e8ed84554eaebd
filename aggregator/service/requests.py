"""What triggers ask of the worker: which paths the next cycle scans."""

from __future__ import annotations

import threading
import time

from aggregator.pipeline import Paths


class CycleRequests:
    """The requests since the last cycle began. Any thread adds to them; the worker takes all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._paths: dict[str, set[str]] = {}
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
                self._paths.setdefault(source, set()).update(source_paths)

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

    def take(self) -> Paths | None:
        """Returns and clears the paths; None is a full scan."""
        with self._lock:
            paths = None if self._full_scan else self._paths
            self._paths, self._full_scan = {}, False
            self._taken_since = self._taken_since or self._added_since
            self._added_since = None
            return paths

    def finish(self) -> None:
        """What was taken is published."""
        with self._lock:
            self._taken_since = None

    def oldest_s(self) -> float:
        """How many seconds ago the oldest change or scan was requested that is not published yet; 0 without one."""
        since = self._taken_since or self._added_since
        return 0.0 if since is None else time.monotonic() - since
