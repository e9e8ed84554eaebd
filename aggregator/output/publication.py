"""One publish into a locked output folder, in passes, so that no reader gets a partial state.

compare -> write all to temporary files -> sync -> journal -> rename all -> delete obsolete files -> manifest
"""

from __future__ import annotations

import errno
import math
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aggregator.documents import OPTIONAL
from aggregator.model import Document
from aggregator.output.journal import Journal
from aggregator.output.manifest import OWN_FOLDER, Manifest, ManifestEntry, digest_of
from aggregator.output.obstacles import Obstacles
from aggregator.output.tree import Tree
from aggregator.processes import PROGRESS

SYNC_THREADS = 8
"""Parallel syncs, because the file system flushes several at a time."""
MAX_REMOVED = 10_000
_STAGING = f"{OWN_FOLDER}/staging"
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)
Render = Callable[[list[str]], Iterator[tuple[str, Iterable[Document]]]]
"""Renders the documents of dirty feeds. Feeds that it leaves out keep their documents."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the folder must have of one feed."""

    version: str
    paths: tuple[str, ...]


@dataclass(slots=True)
class Published:
    """What a publish did."""

    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    # The feeds of written documents.
    feeds: set[str] = field(default_factory=set)
    # Feeds of which the folder does not have everything.
    unwritten: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class _Staged(NamedTuple):
    path: str
    entry: ManifestEntry
    # In the staging folder.
    name: str
    # Nothing was at the path.
    is_new: bool


class Publication:
    """The state of one publish. `full`: `targets` is everything that the folder must have, so missing files are written
    and obsolete ones deleted; otherwise `targets` is what changed. `check_writer` raises if this process must not put
    documents in place any more."""

    def __init__(
        self,
        root: Path,
        tree: Tree,
        before: Manifest,
        journal: Journal,
        targets: Mapping[str, Target],
        check_stop: Callable[[], None],
        check_writer: Callable[[], None],
        *,
        full: bool,
    ) -> None:
        self._tree, self._journal, self._targets, self._full = tree, journal, targets, full
        self._check_stop, self._check_writer = check_stop, check_writer
        self._before, self._second = before, math.ceil(time.time())
        self.files = dict(before.files)
        self.published = Published()
        self.obstacles = Obstacles(root)
        self._staged: list[_Staged] = []

    def dirty_feeds(self, *, all_dirty: bool) -> list[str]:
        """The feeds to render."""
        return [feed for feed, target in self._targets.items() if all_dirty or self._is_dirty(feed, target)]

    def _is_dirty(self, feed: str, target: Target) -> bool:
        PROGRESS.show()
        for path in target.paths:
            entry = self.files.get(path)
            if entry is None and path in OPTIONAL and self._is_file(path):
                continue
            if entry is None or entry.feed != feed or entry.version != target.version:
                return True
            if self._full and not self._is_file(path):
                return True
        return False

    def _is_file(self, path: str) -> bool:
        try:
            return self._tree.kind(path) == stat.S_IFREG
        except OSError:  # the folder is a file, or not accessible; writing the document reports that
            return False

    # write

    def write(self, dirty: list[str], render: Render) -> None:
        """Renders the dirty feeds and puts their documents in place. `check_stop` is called before the first rename."""
        self._tree.remove_all(_STAGING)
        self._tree.make_folder(_STAGING)
        try:
            with self._tree.subtree(_STAGING) as staging:
                missing = set(dirty)
                for feed, documents in render(dirty):
                    self._check_stop()
                    missing.discard(feed)
                    for document in documents:
                        self._stage(feed, document, staging)
                self._check_stop()
                self._place_all(staging)
                for feed in missing:
                    for path in self._targets[feed].paths:
                        self._mark_unwritten(feed, path)
        finally:
            self._tree.remove_all(_STAGING)

    def _stage(self, feed: str, document: Document, staging: Tree) -> None:
        """Writes a document to staging, unless its bytes are in place or a foreign file or folder is."""
        path, body = document.path, document.body
        entry = self._entry(feed, path, digest_of(body))
        try:
            kind = self._tree.kind(path)
            if kind == stat.S_IFREG and self._has_bytes(path, body):
                self.files[path] = entry
                return
            if kind is not None and not self._is_ours(path, kind):
                if path not in OPTIONAL:
                    self._skip_for(feed, path, path)
                return
        except OSError as error:
            self._fail(feed, path, "written", error)
            return
        name = str(len(self._staged))
        staging.write(name, body)
        self._staged.append(_Staged(path, entry, name, kind is None))

    def _entry(self, feed: str, path: str, digest: str) -> ManifestEntry:
        before = self._before.files.get(path)
        if before is not None and before.digest == digest:
            modified = before.modified
        else:
            modified = max(self._second, before.modified + 1 if before else 0)
        return ManifestEntry(feed, self._targets[feed].version, digest, modified)

    def _has_bytes(self, path: str, body: bytes) -> bool:
        try:
            return self._tree.read(path, size=len(body)) == body
        except PermissionError:
            return False

    def _is_ours(self, path: str, kind: int) -> bool:
        """True if the file at the path may be replaced or deleted: the manifest names it, or an unfinished publish
        wrote it."""
        return kind != stat.S_IFDIR if path in self.files else self._journal.is_ours(path, kind)

    def _place_all(self, staging: Tree) -> None:
        if not self._staged:
            return
        with ThreadPoolExecutor(min(SYNC_THREADS, len(self._staged))) as pool:
            for _ in pool.map(staging.sync, (staged.name for staged in self._staged)):
                PROGRESS.show()
        self._journal.begin(
            (staged.path, staged.entry) for staged in self._staged if staged.path not in self._before.files
        )
        self._check_writer()  # the process may have been frozen while it rendered or synced
        for staged in self._staged:
            self._place(staged, staging)

    def _place(self, staged: _Staged, staging: Tree) -> None:
        """Renames a document to its path. Skips it if another document of its folder failed, because what leaves a feed
        must be in its archive first."""
        PROGRESS.show()
        path, feed = staged.path, staged.entry.feed
        if self.obstacles.has_failed(path):
            self._mark_unwritten(feed, path)
            return
        try:
            self._tree.make_folder(path.rpartition("/")[0])
            if staged.is_new and self._tree.kind(path) is not None:  # created since the comparison
                self._skip_for(feed, path, path)
                return
            self._tree.take(staging, staged.name, path)
        except OSError as error:
            self._fail(feed, path, "written", error)
            return
        self.files[path] = staged.entry
        self.published.written.append(path)
        self.published.feeds.add(feed)

    # delete

    def delete_obsolete(self) -> None:
        """Deletes our files that no feed has, and folders that are empty afterwards."""
        expected = {path for target in self._targets.values() for path in target.paths}
        for path in sorted({*self.files, *self._journal.paths()} - expected):
            PROGRESS.show()
            feed = self.files[path].feed if path in self.files else path
            try:
                kind = self._tree.kind(path)
                if kind is not None and self._is_ours(path, kind):
                    self._tree.remove(path)
            except OSError as error:
                if error.errno not in _NO_FOLDER:  # otherwise the file does not exist
                    self._fail(feed, path, "deleted", error)
                    continue
            self._journal.forget(path)
            if self.files.pop(path, None) is not None:
                self.published.deleted.append(path)
            self._remove_empty_folders(path)

    def _remove_empty_folders(self, path: str) -> None:
        with suppress(OSError):
            while path := path.rpartition("/")[0]:
                self._tree.remove_folder(path)

    def removed_paths(self) -> tuple[str, ...]:
        """The paths that answer 410 from now on."""
        return tuple(sorted({*self._before.removed, *self.published.deleted} - self.files.keys())[:MAX_REMOVED])

    # failures

    def _fail(self, feed: str, path: str, action: str, error: OSError) -> None:
        """Skips a document whose place cannot be used. Raises an error that is not about the place."""
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise error
        if error.errno in _NO_FOLDER and (foreign := self._foreign_parent(path)):
            self._skip_for(feed, path, foreign)
            return
        self.obstacles.add_failure(path, action, error)
        self._mark_unwritten(feed, path)

    def _skip_for(self, feed: str, path: str, foreign: str) -> None:
        self.obstacles.add_foreign(foreign, path)
        self._mark_unwritten(feed, path)

    def _mark_unwritten(self, feed: str, path: str) -> None:
        """Makes the feed dirty for the next publish, also if its version stays."""
        self.published.unwritten.add(feed)
        if entry := self.files.get(path):
            self.files[path] = entry._replace(version="")

    def _foreign_parent(self, path: str) -> str | None:
        """The part of a path that should be a folder and is not."""
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((folder for folder in folders if self._tree.kind(folder) not in (None, stat.S_IFDIR)), None)
