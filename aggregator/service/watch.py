"""The records folders, watched."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence

from watchfiles import Change, watch

from aggregator.model import Source

STEP_MS, DEBOUNCE_MS = 50, 400
RETRY_S = 2.0

_log = logging.getLogger(__name__)


class FolderWatch:
    """Calls `changed` when something in a records folder changes, from `start` to `end` or until `stop`; a folder that
    is away is tried again."""

    def __init__(self, sources: Sequence[Source], stop: threading.Event, changed: Callable[[], None]) -> None:
        self._roots = [source.root for source in sources]
        self._ended = Either(stop)
        self._changed = changed
        self._watching = threading.Event()

    @property
    def is_on(self) -> bool:
        """Whether a change would be told now."""
        return self._watching.is_set()

    def start(self) -> None:
        """Watches in a thread of its own."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def end(self) -> None:
        """Tells nothing any more within a second."""
        self._ended.set()

    def _watch(self) -> None:
        away = False
        while not self._ended.is_set():
            try:
                self._watch_folders()
                away = False
            except (OSError, RuntimeError) as error:
                if not away:
                    _log.warning("a records folder cannot be watched now: %s (it is still scanned on schedule)", error)
                away = True
                self._ended.wait(RETRY_S)

    def _watch_folders(self) -> None:
        """Watches until the end, or until another folder stands in a folder's place: the old one tells nothing."""
        watched = self._folder_identities()
        roots = [os.path.realpath(root) for root in self._roots]
        changes = watch(
            *roots,
            watch_filter=_is_visible(roots),
            step=STEP_MS,
            debounce=DEBOUNCE_MS,
            rust_timeout=1000,
            yield_on_timeout=True,
            stop_event=self._ended,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        first = True  # nobody tells what changed before the watch was on
        try:
            for changed in changes:
                if changed or first:
                    self._changed()
                self._watching.set()
                first = False
                if self._folder_identities() != watched:
                    return
        finally:
            self._watching.clear()

    def _folder_identities(self) -> list[tuple[int, int]]:
        found = [os.stat(root) for root in self._roots]
        return [(status.st_dev, status.st_ino) for status in found]


class Either(threading.Event):
    """An event that is also set while `other` is; who waits for it is not woken by `other`."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether one of the two is set."""
        return super().is_set() or self._other.is_set()


def _is_visible(roots: list[str]) -> Callable[[Change, str], bool]:
    """A filter of watched paths: none of whose names below a root begins with a dot."""
    prefixes = tuple(root.rstrip(os.sep) + os.sep for root in roots)

    def is_visible(_change: Change, path: str) -> bool:
        for prefix in prefixes:
            if path.startswith(prefix):
                return not any(name.startswith(".") for name in path[len(prefix) :].split(os.sep))
        return True

    return is_visible
