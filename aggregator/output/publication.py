"""One publish into a locked output folder or bucket, in passes, so that no reader gets a partial document.

compare, stage and sync all -> journal -> place all -> delete obsolete files -> manifest
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from aggregator.concurrency.processes import PROGRESS
from aggregator.documents import FEED_NAMES, OPTIONAL, is_archive_page
from aggregator.model import Document
from aggregator.output.destination import Destination, InTheWayError, PlaceError, Staged, State
from aggregator.output.manifest import ManifestEntry, digest_of
from aggregator.output.obstacles import Obstacles

MAX_REMOVED = 10_000
"""Most paths that answer 410."""
Render = Callable[[list[str]], Iterator[tuple[str, Iterable[Document]]]]
"""Renders the documents of dirty targets, by their names. Targets that it leaves out keep their documents."""
Check = Callable[[], None]
"""Raises what ends the publish."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the destination must have of a feed, of an archive page or of the list of feeds."""

    version: str
    paths: tuple[str, ...]


@dataclass(slots=True)
class Published:
    """What a publish did."""

    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    targets: set[str] = field(default_factory=set)  # the names of the targets with written documents
    # The names of the targets that the destination does not have completely.
    unwritten: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Publication:
    """The state of one publish. `targets` are by name: the slug of a feed, the path of an archive page, "" for the list
    of feeds. `full`: they are everything that the destination must have, so missing files are written and obsolete ones
    deleted; otherwise they are what changed. `ended` are URLs that answer 410 and may have had no document.
    `check_writer` raises if this process must not put documents in place any more."""

    def __init__(
        self,
        where: str,
        destination: Destination,
        targets: Mapping[str, Target],
        check_stop: Check,
        check_writer: Check,
        *,
        full: bool,
        ended: Collection[str] = (),
    ) -> None:
        self._destination, self._targets, self._full, self._ended = destination, targets, full, ended
        self._check_stop, self._check_writer = check_stop, check_writer
        self._second = math.ceil(time.time())
        self.files = dict(destination.before.files)
        self.published = Published()
        self.obstacles = Obstacles(where)
        self._staged: list[Staged] = []
        self._has_begun = False

    def dirty_targets(self, *, all_dirty: bool) -> list[str]:
        """The names of the targets to render."""
        return [name for name, target in self._targets.items() if all_dirty or self._is_dirty(name, target)]

    def _is_dirty(self, name: str, target: Target) -> bool:
        PROGRESS.show()
        for path in target.paths:
            entry = self.files.get(path)
            if entry is None and path in OPTIONAL and self._destination.has(path):
                continue
            if entry is None or entry.feed != name or entry.version != target.version:
                return True
            if self._full and not self._destination.has(path):
                return True
        return False

    # write

    def write(self, dirty: list[str], render: Render) -> None:
        """Renders the dirty targets and puts their documents in place. `check_stop` is called before the first one."""
        with self._destination.staging():
            missing = set(dirty)
            for target, documents in render(dirty):
                self._check_stop()
                missing.discard(target)
                for document in documents:
                    self._stage(target, document)
            self._check_stop()
            for target in missing:
                for path in self._targets[target].paths:
                    self.obstacles.note_missing(path)
                    self._note_unwritten(target, path)
            if self._staged:
                self._begin()
                self._place_all()

    def _stage(self, target: str, document: Document) -> None:
        """Stages a document, unless its bytes are in place or what is there is not ours."""
        path, body = document.path, document.body
        entry = self._entry(target, path, digest_of(body))
        try:
            state, same = self._destination.compare(path, body, entry)
        except PlaceError as error:
            self._fail(target, path, error)
            return
        if state is State.SAME:
            self.files[path] = same
        elif state is State.FOREIGN:
            if path not in OPTIONAL:
                self._fail(target, path, InTheWayError(path))
        else:
            name = str(len(self._staged))
            self._destination.stage(name, body)
            self._staged.append(Staged(path, entry, name, state is State.ABSENT))

    def _entry(self, target: str, path: str, digest: str) -> ManifestEntry:
        before = self._destination.before.files.get(path)
        if before is not None and before.digest == digest:
            modified = before.modified
        else:
            modified = max(self._second, before.modified + 1 if before else 0)
        return ManifestEntry(target, self._targets[target].version, digest, modified)

    def _begin(self) -> None:
        """Before the first change."""
        if not self._has_begun:
            self._destination.begin(self._staged)
            self._check_writer()  # the process may have been frozen while it rendered or synced
            self._has_begun = True

    def _place_all(self) -> None:
        """New documents first, because others name them; and archive pages, because what leaves a feed must be in its
        archive by then."""

        def order(staged: Staged) -> tuple[bool, bool]:
            return not staged.is_new, not is_archive_page(staged.path)

        for _, group in groupby(sorted(self._staged, key=order), order):
            for staged, placed in self._destination.place(self._placeable(group)):
                PROGRESS.show()
                self._note(staged, placed)

    def _placeable(self, group: Iterable[Staged]) -> Iterator[Staged]:
        """The documents, but none that must wait for another one."""
        for staged in group:
            if self._destination.may_stop_anywhere:
                self._check_stop()
            if self.obstacles.must_wait(staged.path):
                self._note_unwritten(staged.entry.feed, staged.path)
            else:
                yield staged

    def _note(self, staged: Staged, placed: ManifestEntry | PlaceError) -> None:
        path, target = staged.path, staged.entry.feed
        if isinstance(placed, PlaceError):
            if not (isinstance(placed, InTheWayError) and path in OPTIONAL):
                self._fail(target, path, placed)
            return
        self.files[path] = placed
        self.published.written.append(path)
        self.published.targets.add(target)

    # delete

    def delete_obsolete(self) -> None:
        """Deletes our files that no target has: feeds before the pages that they name."""
        expected = {path for target in self._targets.values() for path in target.paths}
        obsolete = sorted(
            {*self.files, *self._destination.journal.paths()} - expected,
            key=lambda path: (is_archive_page(path), path.endswith(".html"), path),
        )
        if obsolete:
            self._begin()
        for path, error in self._destination.delete(obsolete):
            PROGRESS.show()
            if error is not None:
                self._fail(self.files[path].feed if path in self.files else path, path, error)
                continue
            self._destination.journal.forget((path,))
            if self.files.pop(path, None) is not None:
                self.published.deleted.append(path)

    def removed_paths(self) -> tuple[str, ...]:
        """The paths that answer 410 from now on."""
        gone = {*self._destination.before.removed, *self.published.deleted, *self._ended} - self.files.keys()
        gone = {path for path in gone if "." in path or not self._has_feed(path.rstrip("/"))}
        # if there are too many, feeds come before archive pages
        return tuple(sorted(sorted(gone, key=lambda path: (is_archive_page(path), path))[:MAX_REMOVED]))

    def _has_feed(self, folder: str) -> bool:
        return any(f"{folder}/{name}" in self.files for name in FEED_NAMES)

    # failures

    def _fail(self, target: str, path: str, error: PlaceError) -> None:
        """Skips a document whose place cannot be used."""
        if isinstance(error, InTheWayError):
            self.obstacles.add_foreign(error.path, path)
        else:
            self.obstacles.add_failure(path, str(error))
        self._note_unwritten(target, path)

    def _note_unwritten(self, target: str, path: str) -> None:
        """Makes the target dirty for the next publish, also if its version stays."""
        self.published.unwritten.add(target)
        if entry := self.files.get(path):
            self.files[path] = entry._replace(version="")
