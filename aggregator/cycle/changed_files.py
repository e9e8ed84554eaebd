"""The files of a source that a cycle reads, because they differ from what is stored: in batches, with their digests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from aggregator.cycle.stage_clock import SCAN, StageClock
from aggregator.files import CheckStop, FolderError, Unreadable
from aggregator.files.index_files import affected_folder
from aggregator.model import Outcome, Rejection, SourceFile, Unchanged
from aggregator.parse_attempts import is_settled
from aggregator.problems import shortened_path
from aggregator.scan import Differs, Missing, scan_paths, scan_source
from aggregator.settings import Source
from aggregator.store.files import known_at, known_digests, known_files, mark_missing
from aggregator.store.renames import has_missing
from aggregator.store.session import Writer

LOOKUP_BATCH = 500
LEAST_READ = 1000
"""Files that a cycle has read before it leaves the rest: more than none, so that the last cycle comes."""


class ChangedFiles:
    """Scans a source, or `paths` of it: yields the files to read, and stores on the way which ones are missing.

    After the monotonic time `enough_at` it leaves the rest to the next cycle (docs/spec.md#bulks): not if a file is
    missing, because each new one may be the same record. `report_seen` is called with the number of files seen so far,
    or None, at least once for each batch of the scan; `check_stop` as `files.CheckStop` says. The path "" is all of the
    source.
    """

    def __init__(
        self,
        writer: Writer,
        source: Source,
        paths: Collection[str] | None,
        stages: StageClock,
        report_seen: Callable[[int | None], None],
        check_stop: CheckStop,
        enough_at: float | None,
    ) -> None:
        self._writer, self._source, self._stages = writer, source, stages
        self._paths = None if paths is None or "" in paths else paths
        self._report_seen, self._check_stop, self._enough_at = report_seen, check_stop, enough_at
        self.is_whole = paths is None
        self.is_cut = False  # files are left
        self.seen = 0  # files
        self.unreadable: dict[str, str] = {}  # problems of folders, by path
        self.affected: set[str] = set()  # folders whose index files changed, came or went
        self._read = 0  # files that need not be read again
        self._missing: list[str] = []
        self._found: Iterator[Differs | Missing | Unreadable] = iter(())

    def covers(self, path: str) -> bool:
        """Whether the scan is of this path too."""
        return self._paths is None or any(f"{path}/".startswith(f"{some}/") for some in self._paths)

    def note_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Notes what the files that were read are."""
        for outcome in outcomes:
            if not isinstance(outcome, Unchanged):
                is_unfinished = isinstance(outcome, Rejection) and outcome.unfinished
                self._read += is_settled(outcome.digest) and not is_unfinished
                self._add_affected(outcome.file.path)

    def _add_affected(self, path: str) -> None:
        """Adds the folder of an index file that is another or new."""
        if (folder := affected_folder(self._source, path)) is not None:
            self.affected.add(folder)

    def files(self) -> Iterator[tuple[SourceFile, bytes | None]]:
        """The files to read, each with the digest that is stored for it."""
        differing = []
        began, has_begun = time.monotonic(), False
        self._found = self._stages.during(SCAN, self._scan(self._add_seen))
        for item in self._found:
            if not has_begun:
                has_begun = True
                if self._enough_at is not None and self._source.is_bucket:
                    # the next cycle lists all of it again, so reading gets as much time as the listing took
                    self._enough_at = max(self._enough_at, 2 * time.monotonic() - began)
            if isinstance(item, Differs):
                differing.append(item)
                if len(differing) == LOOKUP_BATCH:
                    yield from self._with_digests(differing)
                    differing = []
                    if self._is_enough():
                        self.is_cut = True
                        return
            elif isinstance(item, Missing):
                self._missing.append(item.path)
                self._add_affected(item.path)
                if len(self._missing) >= LOOKUP_BATCH:
                    self.store_missing()
                    self._writer.commit()  # the scan may take long
            elif isinstance(item, Unreadable):
                place = shortened_path(os.path.join(self._source.root, item.path))
                self.unreadable[item.path] = f"{place}: cannot be read: {item.reason} (what was known of it stays)"
        yield from self._with_digests(differing)

    def _is_enough(self) -> bool:
        if self._enough_at is None or self._read < LEAST_READ or time.monotonic() < self._enough_at:
            return False
        if self.can_wait():
            return True
        self._enough_at = None  # asked once
        return False

    def can_wait(self) -> bool:
        """Whether leaving the rest gives the same result: only if no file is missing, because a new file may be a
        renamed one."""
        with self._writer.read() as connection:
            if self._missing or has_missing(connection, self._writer, self._source):
                return False
        self._writer.commit()
        try:
            found = self._scan(lambda _: self._report_seen(None))
            return not any(isinstance(item, Missing) for item in self._stages.during(SCAN, found))
        except FolderError:
            return False

    def _scan(self, count: Callable[[int], None]) -> Iterator[Differs | Missing | Unreadable]:
        if self._paths is None:
            return scan_source(self._source, known_files(self._writer, self._source), count, self._check_stop)
        known = partial(known_at, self._writer, self._source)
        return scan_paths(self._source, self._paths, known, count, self._check_stop)

    def _with_digests(self, differing: list[Differs]) -> Iterator[tuple[SourceFile, bytes | None]]:
        paths = [item.file.path for item in differing if item.known]
        digests = known_digests(self._writer, self._source, paths) if paths else {}
        return ((item.file, digests.get(item.file.path)) for item in differing)

    def finish(self) -> None:
        """Stores which files are missing, also where the scan was left because a file could not be read. A later scan
        then knows since when, and takes no renamed file for a new record."""
        self._missing += [item.path for item in self._found if isinstance(item, Missing)]
        self.store_missing()

    def store_missing(self) -> None:
        """Stores the missing files that were found since the last call."""
        if self._missing:
            mark_missing(self._writer, self._source, self._missing)
            self._missing.clear()

    def _add_seen(self, files: int) -> None:
        self.seen += files
        self._report_seen(self.seen)
