"""What triggers ask of the worker: which paths the next cycle scans."""

from __future__ import annotations

import threading

from aggregator.pipeline import Paths


class CycleRequests:
    """The requests since the last cycle began. Any thread adds to them; the worker takes all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._paths: dict[str, set[str]] = {}
        self._full_scan = False
        # What a scheduled cycle scans while all changes are watched; the worker updates it.
        self.unfinished: Paths | None = None

    def add(self, paths: Paths | None) -> None:
        """Adds paths to the next cycle, without requesting it; None is a full scan."""
        with self._lock:
            self._full_scan = self._full_scan or paths is None
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
            return paths
