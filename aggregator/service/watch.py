"""Watches the records folders and reports changed paths.

This module uses private members of watchfiles: `RustNotify` and `_default_force_polling`. The public `watch()` fixes
its step and timeout at the start. Here both change from wait to wait: an idle service wakes up seldom, and a deletion
is held back for as long as it may be half of a rename. A public class whose `watch` takes them for each call, as
`RustNotify.watch` does, would let us stop.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError
from watchfiles.main import _default_force_polling

from aggregator.cycle.pipeline import Paths
from aggregator.scan import path_locator
from aggregator.service.debounce import Debounce, Locators
from aggregator.service.process import start_thread
from aggregator.settings import Source
from aggregator.store.withdrawals import MASS_REMOVAL

STEP_MS, IDLE_STEP_MS = 2, 50
"""Poll interval; a batch of changes ends after one interval without another. Longer when idle, because each poll wakes
the CPU."""
BUSY_S = 60.0
"""How long after a change the service is not idle."""
DEBOUNCE_MS = 100
"""Longest time to collect a continuous burst."""
REMOVAL_STEP_MS, REMOVAL_MS = 1000, 10_000
"""Interval and longest time for many deletions, so that the mass-removal guard sees all of them."""
POLL_MS = 300
"""Interval of polling where there are no notifications."""
FULL_SCAN_FROM = 2000
"""From this many changes a full scan is requested too, because events may have been lost."""
RETRY_S, START_S = 2.0, 0.5
AGAIN_S = 15.0
"""Shortest time until folders that could not be watched are tried again; longer if that is expensive."""
CONFIRM_S = 0.5
"""How long after the creation of a folder watchfiles has certainly tried to watch it."""
MAX_NAMES = 100
"""Names that are not UTF-8 and are reported."""
_NO_TEXT = "Unable to decode path "
"""How watchfiles says that a name is not UTF-8."""
_WATCHES = re.compile(r"^inotify wd:\S+ ino:(\w+)", re.MULTILINE)

_log = logging.getLogger(__name__)


class FolderWatch:
    """Watches from `start` until `end` or `stop`. Calls `changed` with changed paths, or None to request a full scan;
    calls `missed` with the reason if not everything is watched, and with None once everything is. Retries missing
    folders."""

    def __init__(
        self,
        sources: Sequence[Source],
        stop: threading.Event,
        changed: Callable[[Paths | None], None],
        missed: Callable[[str | None], None],
    ) -> None:
        self._sources = sources
        self._ended = EventOr(stop)
        self._changed, self._report_missed = changed, missed
        self._watching = threading.Event()
        self._missed: str | None = None
        self._names = set[str]()  # that are not UTF-8 and were reported
        self._opened_at = 0.0  # time.monotonic()

    @property
    def is_complete(self) -> bool:
        """True while all changes are reported."""
        return self._watching.is_set() and self._missed is None

    def start(self) -> None:
        """Starts a thread that watches; waits a moment for it to begin."""
        start_thread("watch", self._watch, self._ended.is_set)
        self._watching.wait(START_S)

    def end(self) -> None:
        """Stops within a second."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._watch_folders()
            except WatchfilesRustInternalError as error:
                if not str(error).startswith(_NO_TEXT):
                    self._report_failure(error)
                else:
                    self._report_name(str(error))
            except Exception as error:  # noqa: BLE001 - it is reported and retried
                self._report_failure(error)

    def _report_failure(self, error: Exception) -> None:
        self._set_missed(f"a records folder cannot be watched: {error} (it is scanned on schedule)")
        self._ended.wait(RETRY_S)

    def _report_name(self, what: str) -> None:
        """Reports once a name that watchfiles cannot return. Its event is lost and ends the watch, so that it is opened
        again, with a scan of everything."""
        name = what.removeprefix(_NO_TEXT).removesuffix(" to string").strip().strip('"')
        if name not in self._names and len(self._names) < MAX_NAMES:
            self._names.add(name)
            _log.warning("%s: its name is not UTF-8, so each change of it takes a scan of everything (rename it)", name)
        elif time.monotonic() < self._opened_at + RETRY_S:
            self._ended.wait(RETRY_S)

    def _set_missed(self, missed: str | None) -> None:
        self._missed = missed
        if not self._ended.is_set():
            self._report_missed(missed)

    def _watch_folders(self) -> None:
        """Watches until the end, or until the watch must be opened again: a folder was replaced, and the old watch
        would report nothing; or a folder that is not watched may be watched now."""
        identities = self._folder_identities()
        locators = [(source.name, path_locator(source)) for source in self._sources]
        roots = [os.path.realpath(source.root) for source in self._sources]
        started = self._opened_at = time.monotonic()
        notify, missed = _open_watch(roots)
        reopening = _Reopening(roots, cost_s=time.monotonic() - started, is_partial=missed is not None)
        with notify:
            if not (missed and self._missed):  # otherwise scans on schedule continue
                self._changed(None)  # changes before the watch began were not reported
            self._set_missed(missed)
            self._watching.set()
            try:
                folders = set[str]()
                for changed in self._batches(notify, locators):
                    if len(changed) > FULL_SCAN_FROM:
                        self._changed(None)
                    paths = _locate(changed | folders, locators)
                    if paths is None or paths:
                        self._changed(paths)
                    # scan new folders again: changes before their watch began were not reported
                    folders = {place for place in changed if os.path.isdir(place)}
                    if reopening.is_due(folders) or self._folder_identities() != identities:
                        return
            finally:
                self._watching.clear()

    def _batches(self, notify: RustNotify, locators: Locators) -> Iterator[set[str]]:
        """Batches of changed absolute paths, an empty one at least each `debounce.CHECK_MS`, until the end."""
        changed_at = time.monotonic() - BUSY_S
        debounce = Debounce(locators)
        while True:
            step = STEP_MS if time.monotonic() - changed_at < BUSY_S else IDLE_STEP_MS
            events = notify.watch(DEBOUNCE_MS, step, debounce.left_ms(time.monotonic()), self._ended)
            if events == "timeout":
                yield debounce.take(time.monotonic())
            elif isinstance(events, str):  # the end
                return
            else:
                changed_at = time.monotonic()
                if sum(change == Change.deleted for change, _ in events) >= MASS_REMOVAL:
                    more = notify.watch(REMOVAL_MS, REMOVAL_STEP_MS, REMOVAL_STEP_MS, self._ended)
                    events |= set() if isinstance(more, str) else more
                debounce.add(events, changed_at)
                yield debounce.take(time.monotonic())

    def _folder_identities(self) -> list[tuple[int, int]]:
        stats = [os.stat(source.root) for source in self._sources]
        return [(status.st_dev, status.st_ino) for status in stats]


class _Reopening:
    """Decides when to open the watch again because a folder is not watched. watchfiles adds new folders by itself, but
    reports nothing when it cannot, as for a folder that becomes readable after it was filled (`cp -a`)."""

    def __init__(self, roots: list[str], *, cost_s: float, is_partial: bool) -> None:
        self._roots, self._is_partial = roots, is_partial
        now = time.monotonic()
        self._not_before = now + max(RETRY_S, 20 * cost_s)
        self._due_at = now + max(AGAIN_S, 100 * cost_s) if is_partial else math.inf
        # New folders, and since when they are known.
        self._unconfirmed: dict[str, float] = {}

    def is_due(self, folders: set[str]) -> bool:
        """True if it is time to open the watch again. `folders` are those with changes since the last call."""
        now = time.monotonic()
        self._unconfirmed |= dict.fromkeys(folders, now)
        if now >= self._due_at:
            return True
        if not self._unconfirmed or now < self._not_before:
            return False
        ready = [folder for folder, since in self._unconfirmed.items() if now - since >= CONFIRM_S]
        for folder in ready:
            del self._unconfirmed[folder]
        return bool(ready) and self._are_unwatched(ready)

    def _are_unwatched(self, folders: Iterable[str]) -> bool:
        """True if a folder, or a folder below it, is not watched and could be; False if that is unknown."""
        watched = _watched_inodes()
        with suppress(OSError):
            if all(os.stat(root).st_ino in watched for root in self._roots):
                below = (place for folder in folders for place, _, _ in os.walk(folder))
                everything = {*folders, *below}
                return any(
                    os.stat(place).st_ino not in watched and not (self._is_partial and not os.access(place, os.R_OK))
                    for place in everything
                    if os.path.isdir(place)
                )
        return False


def _open_watch(roots: list[str]) -> tuple[RustNotify, str | None]:
    """A watch of the folders, and what it misses, if anything. When watchfiles ignores errors, it also skips the
    folders that it would have watched after the failing one, so readable folders are listed here."""
    polling = _default_force_polling(None)
    try:
        return RustNotify(roots, False, polling, POLL_MS, True, False), None
    except PermissionError:
        closed = list[str]()
        walks = [os.walk(root, onerror=lambda error: closed.append(str(error.filename))) for root in roots]
        readable = [place for walk in walks for place, _, _ in walk]
        more = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
        missed = f"{closed[0] if closed else roots[0]}{more} is not readable"
        notify = RustNotify([*roots, *readable], False, polling, POLL_MS, True, True)
    except OSError as error:
        missed = f"{error}; on Linux see fs.inotify.max_user_watches"
        notify = RustNotify(roots, False, polling, POLL_MS, True, True)
    return notify, f"not every records folder is watched: {missed} (all are scanned on schedule)"


def _watched_inodes() -> set[int]:
    """The inodes that this process watches (proc(5), fdinfo); empty without inotify."""
    inodes = set[int]()
    with suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{number}") == "anon_inode:inotify":
                    text = Path(f"/proc/self/fdinfo/{number}").read_text()
                    inodes.update(int(inode, 16) for inode in _WATCHES.findall(text))
    return inodes


class EventOr(threading.Event):
    """An event that is also set while `other` is; who waits for it is not woken by `other`."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """True if either is set."""
        return super().is_set() or self._other.is_set()


def _locate(places: Iterable[str], locators: Locators) -> Paths | None:
    """The relative paths to scan, by source; None is a full scan, because a records folder itself changed."""
    paths: dict[str, set[str]] = {}
    for place in places:
        for source, locate in locators:
            path = locate(place)
            if path == "":
                return None
            if path is not None:
                paths.setdefault(source, set()).add(path)
    return paths
