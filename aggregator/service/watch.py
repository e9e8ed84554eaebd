"""The records folders, watched: what changed, path by path."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchfiles import Change
from watchfiles._rust_notify import RustNotify
from watchfiles.main import _default_force_polling

from aggregator.pipeline import Paths
from aggregator.scan import path_locator
from aggregator.service.process import start_thread
from aggregator.settings import Source
from aggregator.store.removals import MASS_REMOVAL

STEP_MS, IDLE_STEP_MS = 5, 100
"""Time between two looks for changes, which are told when the next one finds no more: a wake-up each, so fewer of them
when there was no change for long."""
BUSY_S = 60.0
"""How long after a change others are likely."""
DEBOUNCE_MS = 100
"""How long changes that do not end are gathered."""
REMOVAL_STEP_MS, REMOVAL_MS = 1000, 10_000
"""The same when many files went at once: whether to doubt that it is meant can only be judged of all of them."""
GONE_S = 1.0
"""How long a file must be gone before that is reported: many editors save by removal and writing."""
LOOK_MS, POLL_MS = 1000, 300
"""Time between two looks whether the folders are still the same; and at all files where nothing else is possible."""
MANY = 2000
"""Changes at once for which a walk is asked: it costs no more, and the system may have lost some of so many."""
RETRY_S, START_S = 2.0, 0.5
AGAIN_S = 15.0
"""How long after not everything could be watched it is tried again, at least; as often as that costs little."""
SURE_S = 0.5
"""How long after a folder came it is certain that the system was asked to watch it."""
_WATCHES = re.compile(r"^inotify wd:\S+ ino:(\w+)", re.MULTILINE)
Locators = Sequence[tuple[str, Callable[[str], str | None]]]
"""For each source, by name, where in it a place is (`scan.path_locator`)."""


class Changes:
    """Where something changed, or may have, since that was last asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, set[str]] = {}
        self._anywhere = False

    def add(self, paths: Paths | None) -> None:
        """Notes paths, or with None that it may have been anywhere."""
        with self._lock:
            self._anywhere = self._anywhere or paths is None
            for source, found in (paths or {}).items():
                self._paths.setdefault(source, set()).update(found)

    def take(self) -> Paths | None:
        """All of it, once; None for anywhere."""
        with self._lock:
            found = None if self._anywhere else self._paths
            self._paths, self._anywhere = {}, False
            return found


class FolderWatch:
    """Calls `changed` with what changes in the records folders, None for anything, from `start` to `end` or until
    `stop`; a folder that is away is tried again. Calls `missed` with what is not watched, None when everything is."""

    def __init__(
        self,
        sources: Sequence[Source],
        stop: threading.Event,
        changed: Callable[[Paths | None], None],
        missed: Callable[[str | None], None],
    ) -> None:
        self._sources = sources
        self._ended = Either(stop)
        self._changed, self._tell_missed = changed, missed
        self._watching = threading.Event()
        self._missed: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether a change would be told now, wherever it is."""
        return self._watching.is_set() and self._missed is None

    def start(self) -> None:
        """Watches in a thread of its own, from now on if that is soon."""
        start_thread("watch", self._watch, self._ended.is_set)
        self._watching.wait(START_S)

    def end(self) -> None:
        """Tells nothing any more within a second."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._watch_folders()
            except Exception as error:  # noqa: BLE001 - it is noted, and tried again
                self._note_missed(f"a records folder cannot be watched now: {error} (it is still scanned on schedule)")
                self._ended.wait(RETRY_S)

    def _note_missed(self, missed: str | None) -> None:
        self._missed = missed
        if not self._ended.is_set():
            self._tell_missed(missed)

    def _watch_folders(self) -> None:
        """Watches until the end, until another folder stands in a folder's place, because the old one tells nothing, or
        until it is time to try to watch what is not watched yet."""
        watched = self._folder_identities()
        locators = [(source.name, path_locator(source)) for source in self._sources]
        roots = [os.path.realpath(source.root) for source in self._sources]
        started = time.monotonic()
        notify, missed = _open_watch(roots)
        again = _Again(roots, missed, time.monotonic() - started)
        with notify:
            if not (missed and self._missed):  # else scans on schedule go on
                self._changed(None)  # nobody tells what changed before the watch was on
            self._note_missed(missed)
            self._watching.set()
            try:
                folders = set[str]()
                for changed in self._batches(notify, locators):
                    paths = None if len(changed) > MANY else _locate(changed | folders, locators)
                    if paths is None or paths:
                        self._changed(paths)
                    # nor what came into a new folder before that was watched too: it is looked at once more
                    folders = {place for place in changed if os.path.isdir(place)}
                    if again.is_due(folders) or self._folder_identities() != watched:
                        return
            finally:
                self._watching.clear()

    def _batches(self, notify: RustNotify, locators: Locators) -> Iterator[set[str]]:
        """The places that changed, and none at all once in LOOK_MS, until the end."""
        changed_at = time.monotonic() - BUSY_S
        delay = _Delay(locators)
        while True:
            step = STEP_MS if time.monotonic() - changed_at < BUSY_S else IDLE_STEP_MS
            told = notify.watch(DEBOUNCE_MS, step, delay.left_ms(time.monotonic()), self._ended)
            if told == "timeout":
                yield delay.take(time.monotonic())
            elif isinstance(told, str):  # the end
                return
            else:
                changed_at = time.monotonic()
                if sum(change == Change.deleted for change, _ in told) >= MASS_REMOVAL:
                    more = notify.watch(REMOVAL_MS, REMOVAL_STEP_MS, REMOVAL_STEP_MS, self._ended)
                    told |= set() if isinstance(more, str) else more
                delay.add(told, changed_at)
                yield delay.take(time.monotonic())

    def _folder_identities(self) -> list[tuple[int, int]]:
        found = [os.stat(source.root) for source in self._sources]
        return [(status.st_dev, status.st_ino) for status in found]


class _Again:
    """When to begin anew, because a folder is not watched: the library adds those that come by itself, and says nothing
    when it cannot, as with a folder that may be read only after it was filled (`cp -a`)."""

    def __init__(self, roots: list[str], missed: str | None, cost_s: float) -> None:
        self._roots = roots
        now = time.monotonic()
        self._not_before = now + max(RETRY_S, 20 * cost_s)
        self._at = now + max(AGAIN_S, 100 * cost_s) if missed else math.inf
        self._partial = missed is not None
        self._suspects: dict[str, float] = {}

    def is_due(self, folders: set[str]) -> bool:
        """Whether it is time, now that something changed at these folders."""
        now = time.monotonic()
        self._suspects |= dict.fromkeys(folders, now)
        if now >= self._at:
            return True
        if not self._suspects or now < self._not_before:
            return False
        sure = [folder for folder, since in self._suspects.items() if now - since >= SURE_S]
        for folder in sure:
            del self._suspects[folder]
        return bool(sure) and self._are_unwatched(sure)

    def _are_unwatched(self, folders: Iterable[str]) -> bool:
        """Whether one of the folders, or one below them, is not watched and could be; False where one cannot tell."""
        watched = _watched_inodes()
        with suppress(OSError):
            if all(os.stat(root).st_ino in watched for root in self._roots):
                below = (place for folder in folders for place, _, _ in os.walk(folder))
                everything = {*folders, *below}
                return any(
                    os.stat(place).st_ino not in watched and not (self._partial and not os.access(place, os.R_OK))
                    for place in everything
                    if os.path.isdir(place)
                )
        return False


def _open_watch(roots: list[str]) -> tuple[RustNotify, str | None]:
    """A watch of the folders, and what it does not see: asked to ignore what cannot be watched, the library also
    leaves out all that it would have come to after that."""
    polling = _default_force_polling(None)
    try:
        return RustNotify(roots, False, polling, POLL_MS, True, False), None
    except PermissionError:
        closed = list[str]()
        walks = [os.walk(root, onerror=lambda error: closed.append(str(error.filename))) for root in roots]
        readable = [place for walk in walks for place, _, _ in walk]
        more = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
        missed = f"{closed[0] if closed else roots[0]}{more} may not be read"
        notify = RustNotify([*roots, *readable], False, polling, POLL_MS, True, True)
    except OSError as error:
        missed = f"{error}; on Linux see fs.inotify.max_user_watches"
        notify = RustNotify(roots, False, polling, POLL_MS, True, True)
    return notify, f"not every folder of records is watched: {missed} (all are scanned on schedule)"


def _watched_inodes() -> set[int]:
    """What this process watches (proc(5), fdinfo); nothing where there is no inotify."""
    found = set[int]()
    with suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{number}") == "anon_inode:inotify":
                    text = Path(f"/proc/self/fdinfo/{number}").read_text()
                    found.update(int(inode, 16) for inode in _WATCHES.findall(text))
    return found


class _Delay:
    """Holds changes back: of what is gone for GONE_S, and of what came meanwhile as long as the last of that, since it
    may be the same record under another name. Times are those of the monotonic clock."""

    def __init__(self, locators: Locators) -> None:
        self._locators = locators
        self._due: dict[str, float] = {}
        self._gone: set[str] = set()
        self._passing: set[str] = set()
        """Files that no scan would read, such as what is renamed when it is written: nobody waits when they go."""

    def add(self, told: Iterable[tuple[int, str]], now: float) -> None:
        """Takes note of changes that the system reported at `now`."""
        changes: dict[str, set[int]] = {}
        for change, place in told:
            changes.setdefault(place, set()).add(change)
        here = {place for place in changes if os.path.lexists(place) or self._is_root(place)}
        for place in changes.keys() - here:
            self._note_gone(place, changes[place], now)
        after = max((self._due[place] for place in self._gone), default=now)
        for place in here:
            if all(locate(place) is None for _, locate in self._locators):
                self._passing.add(place)
            elif place in self._gone:  # it was saved by removal and writing
                self._gone.discard(place)
                self._due[place] = now
            elif changes[place] == {Change.modified} or self._is_root(place):
                self._due.setdefault(place, now)
            else:
                self._due[place] = after
        if len(self._passing) > MANY:
            self._passing.clear()

    def _is_root(self, place: str) -> bool:
        """Whether a place is a records folder itself, whose end nobody may miss."""
        return any(locate(place) == "" for _, locate in self._locators)

    def _note_gone(self, place: str, changes: set[int], now: float) -> None:
        if place in self._passing:
            self._passing.discard(place)
        elif Change.added in changes:  # and gone at once: nothing is known of it
            self._due.setdefault(place, now)
        elif place not in self._gone:
            self._gone.add(place)
            self._due[place] = now + GONE_S

    def left_ms(self, now: float) -> int:
        """How many ms are left until the first place is due, at least 1; LOOK_MS at most."""
        left_s = min(self._due.values(), default=now + LOOK_MS) - now
        return min(LOOK_MS, max(1, math.ceil(1000 * left_s)))

    def take(self, now: float) -> set[str]:
        """The places that are due, once."""
        due = {place for place, at in self._due.items() if at <= now}
        self._gone -= due
        for place in due:
            del self._due[place]
        return due


class Either(threading.Event):
    """An event that is also set while `other` is; who waits for it is not woken by `other`."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether one of the two is set."""
        return super().is_set() or self._other.is_set()


def _locate(places: Iterable[str], locators: Locators) -> Paths | None:
    """Where a scan has to look for changes at these places; None is everywhere, because a whole source is concerned."""
    found: dict[str, set[str]] = {}
    for place in places:
        for source, locate in locators:
            path = locate(place)
            if path == "":
                return None
            if path is not None:
                found.setdefault(source, set()).add(path)
    return found
