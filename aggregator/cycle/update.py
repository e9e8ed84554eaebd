"""One update of the store, the first part of a cycle: feeds of the config, scans, renames, removals, releases, versions
of feeds. Nothing is rendered or published.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from aggregator.cycle.changed_files import ChangedFiles
from aggregator.cycle.missing_files import MissingFiles
from aggregator.cycle.stage_clock import FEEDS, INGEST, STORE
from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.archives import Keep
from aggregator.feeds.membership import apply_changes
from aggregator.feeds.notices import read_notices
from aggregator.feeds.registry import mark_stale_feeds, prepare_feeds, retire_empty, sync_configured_feeds
from aggregator.feeds.url_changes import activate_config, forget_working_urls, urls_before
from aggregator.feeds.versions import Refreshed, refresh_feeds, refresh_index
from aggregator.files import FolderError
from aggregator.ingest import PARSER_VERSION, Pool, ingest_files
from aggregator.model import Outcome, SourceFile
from aggregator.settings import Source
from aggregator.store.adopted import note_rss_ids
from aggregator.store.batch_renames import former_files
from aggregator.store.changes import Step
from aggregator.store.entries import store_outcomes
from aggregator.store.files import dropped_sources, has_files, known_below, open_source, recheck_below
from aggregator.store.lost_store import read_lost_store
from aggregator.store.page_links import resolve_links
from aggregator.store.queries import CLUSTER_PROBLEM, unread_keys
from aggregator.store.releases import due_paths, recheck_expired, recheck_stories, release_due
from aggregator.store.session import Writer, read_meta, write_meta
from aggregator.store.source_folder import SourceFolder
from aggregator.store.withdrawals import MASS_REMOVAL, count_known, count_missing, withdraw_expired

if TYPE_CHECKING:
    from aggregator.cycle.pipeline import Paths, Pipeline, ScanRequest

BULK_S = 2.0
"""How long a cycle reads files before it leaves the rest to the next one (docs/spec.md#bulks)."""


@dataclass(frozen=True, slots=True)
class SourceScan:
    """What the scan of one source found."""

    source: Source
    files: int  # how many it saw
    known: int  # how many were known before; 0 where it does not matter
    is_first: bool  # no scan of the source was complete before
    folder_problem: str | None  # why the folder as a whole could not be read
    is_missing: bool  # the folder was not there, so neither were its files; else its problem says nothing of them
    is_cut: bool  # files are left to the next cycle
    folder: SourceFolder | None  # None for a bucket, and if it could not be read


@dataclass(frozen=True, slots=True)
class StoreUpdate:
    """What a cycle found when it brought the store up to date."""

    scans: tuple[SourceScan, ...]
    refreshed: Refreshed
    problems: tuple[str, ...]
    unreadable: int  # folders that could not be read when they were last scanned


class Update:
    """Brings the store up to date once, with what the pipeline knows from earlier cycles."""

    def __init__(self, pipeline: Pipeline, writer: Writer, request: ScanRequest, keep: Keep) -> None:
        self._pipeline, self._writer, self._request, self._keep = pipeline, writer, request, keep
        self._is_whole, self._was_current = request.paths is None, pipeline.is_current
        self._enough_at = time.monotonic() + BULK_S
        self._bulk = dict[str, tuple[int, int]]()  # by source: the first entry of the bulk, and when the bulk began
        self._config, self._policy = pipeline.config, pipeline.policy
        self._feeds = ActiveFeeds(writer, pipeline.policy)
        self._missing = MissingFiles(pipeline, writer, request, self._apply, self._read_again)
        self._open_pool: Callable[[], Pool | None] = lambda: None

    def run(self) -> StoreUpdate:
        pipeline, writer = self._pipeline, self._writer
        pipeline.withdrawn.clear()
        pipeline.stages.enter(FEEDS)
        was_current, pipeline.is_current = self._was_current, False  # until the end
        urls = None if was_current else urls_before(writer, pipeline.active_config)
        self._activate_rules()
        pipeline.stages.enter(STORE)
        sources = self._config.sources
        dropped = list[str]()
        if self._is_whole or not was_current:
            with writer.read() as connection:
                dropped = dropped_sources(connection, sources)
        scanned_before = {
            source: (was_current and source.name in pipeline.scanned)
            or open_source(writer, source, settings_digest(PARSER_VERSION, repr(source)))
            for source in sources
        }
        recheck_expired(writer)
        recheck_stories(writer)
        if self._request.paths is not None:
            self._request = replace(self._request, paths=self._with_due(self._request.paths))
        with self._reading():
            scans = tuple(
                self._scan(source, is_first=not was_scanned)
                for source, was_scanned in scanned_before.items()
                if self._is_whole or (self._request.paths and was_scanned)
            )
        scans = tuple(map(self._missing.resolve, scans))
        if self._is_whole:
            for name in dropped:
                self._missing.withdraw_source(name, sources[0].removal_grace)
        self._apply(withdraw_expired(writer))
        self._release(scans, scanned_before)
        self._apply(resolve_links(writer, sources))
        pipeline.stages.enter(FEEDS)
        refreshed = self._refresh()
        if urls is not None:
            activate_config(writer, urls, pipeline.active_config)
        elif refreshed.any_dirty:
            forget_working_urls(writer, pipeline.active_config)
        if scans or not was_current:
            pipeline.notices = self._read_notices(refreshed)
        pipeline.stages.enter(STORE)
        self._note_bulk(scans)
        return self._found(scans, refreshed)

    def _read_notices(self, refreshed: Refreshed) -> tuple[str, ...]:
        """What operators should know and no cycle retries."""
        pipeline, now = self._pipeline, self._writer.now
        with self._writer.read() as connection:
            notices = read_notices(
                connection,
                pipeline.active_config,
                self._config.sources,
                now,
                pipeline.site.timezone,
                refreshed.without_feed,
            )
            lost = read_lost_store(connection, time.time_ns() // 1000)
            unread = self._config.unread_problems(unread_keys(connection))
        return (*map(str, unread), *notices, *([lost] if lost else []))

    def _with_due(self, paths: Paths) -> Paths:
        """The paths, and those of due entries, because their files may say something else since they were scanned; of
        many due entries all paths."""
        due = due_paths(self._writer)
        if due is None:
            return {source.name: ("",) for source in self._config.sources}
        return {name: {*paths.get(name, ()), *due.get(name, ())} for name in paths.keys() | due.keys()}

    def _activate_rules(self) -> None:
        """Activates the rules of the feeds of the config, which the store may not have yet."""
        pipeline, writer = self._pipeline, self._writer
        if self._was_current:
            mark_stale_feeds(writer)
            self._feeds.use_rules(pipeline.rules)
        else:
            prepare_feeds(writer, pipeline.shape())
            specs = tuple(self._policy.specs.values())
            pipeline.rules = sync_configured_feeds(writer, self._feeds, specs, pipeline.check_stop)
            note_rss_ids(writer)

    def _release(self, scans: Collection[SourceScan], scanned_before: Mapping[Source, bool]) -> None:
        """Releases due entries. `scanned_before` are the sources, and whether each had a complete scan."""
        complete = {scan.source for scan in scans if not scan.folder_problem}
        failed = {scan.source for scan in scans if scan.folder_problem}
        for source, was_scanned in scanned_before.items():
            if was_scanned or source in complete:
                self._apply(
                    release_due(
                        self._writer,
                        source,
                        self._policy.late,
                        is_first_scan=not was_scanned,
                        is_failed=source in failed,
                        bulk=self._bulk.get(source.name),
                    )
                )

    def _refresh(self) -> Refreshed:
        """Gives new versions to feeds, archive pages and the list of feeds."""
        pipeline, writer = self._pipeline, self._writer
        retired = self._is_whole and retire_empty(writer, self._policy)
        refreshed = refresh_feeds(writer, self._feeds, pipeline.loader, pipeline.check_stop, self._keep)
        if refreshed.any_dirty or retired or not self._was_current:
            pages = pipeline.options.pages
            refreshed.summaries = refresh_index(writer, self._policy, pipeline.site, pages=pages)
            with writer.read() as connection:
                pipeline.refresh_redirects(connection)
        return refreshed

    def _apply(self, steps: Iterable[Step]) -> None:
        """Runs each step in a transaction of its own, together with the memberships that follow from it."""
        for step in steps:
            self._pipeline.check_stop()
            with self._writer.write() as connection:
                changes = step(connection)
                self._pipeline.stages.enter(FEEDS)
                apply_changes(connection, self._writer, self._feeds, changes)
            self._pipeline.stages.enter(STORE)

    def _note_bulk(self, scans: Collection[SourceScan]) -> None:
        """Notes for the next cycle which sources are scanned, and since when files are left."""
        pipeline = self._pipeline
        if any(scan.is_cut for scan in scans):
            pipeline.bulk_since = pipeline.bulk_since or self._writer.now
        elif self._is_whole:
            pipeline.bulk_since = None
            pipeline.scanned.update(scan.source.name for scan in scans if not scan.folder_problem)

    def _scan(self, source: Source, *, is_first: bool) -> SourceScan:
        """Scans a source and stores what is new in it."""
        writer = self._writer
        is_import = is_first and not has_files(writer, source)
        parts = self._parts(source)
        folder = None if source.is_bucket else SourceFolder(writer, source)
        is_counted = len(parts) > 1 or (folder is not None and folder.is_other)
        known = count_known(writer, source.name) if is_counted else None
        error: FolderError | None = None
        affected, is_cut = set[str](), False
        for part in parts:
            is_rest_of_bulk = part.is_whole and part is not parts[0] and self._request.rest_waits
            if is_rest_of_bulk and part.can_wait():
                is_cut = True
                break
            if part.is_whole and self._pipeline.bulk_since is not None:
                self._bulk[source.name] = writer.next_entry, self._pipeline.bulk_since
            known, error = self._read(source, part, known, is_import=is_import)
            affected |= part.affected
            is_cut = part.is_cut
            if error is not None:
                break
        if not is_import:
            error = self._read_affected(source, affected, error)
        problem = error.message(source) if error else None
        if problem is None:
            self._note_unreadable(source, parts, is_complete=not is_cut)
        seen = sum(part.seen for part in parts)
        is_missing = error is not None and error.is_missing
        folder = folder if error is None else None
        if folder is not None:
            folder.look_again()
        return SourceScan(source, seen, known or 0, is_first, problem, is_missing, is_cut, folder)

    def _note_unreadable(self, source: Source, parts: Collection[ChangedFiles], *, is_complete: bool) -> None:
        """Notes which sub-folders cannot be read; a note stays unless this cycle scanned its folder."""
        found = self._pipeline.unreadable.get(source.name, {})
        if is_complete:
            found = {path: what for path, what in found.items() if not any(part.covers(path) for part in parts)}
        for part in parts:
            found = found | part.unreadable
        self._pipeline.unreadable[source.name] = found

    def _found(self, scans: Sequence[SourceScan], refreshed: Refreshed) -> StoreUpdate:
        """What this cycle found, and what is still wrong where it did not scan."""
        problems: list[str] = []
        for source in self._config.sources:
            unreadable = self._pipeline.unreadable.get(source.name, {})
            problems += [unreadable[""]] if "" in unreadable else unreadable.values()
        count = sum(map(len, self._pipeline.unreadable.values()))
        problems += [*self._missing.problems, *filter(None, self._pipeline.held.values())]
        return StoreUpdate(tuple(scans), refreshed, tuple(problems), count)

    def _parts(self, source: Source) -> list[ChangedFiles]:
        """What of a source to scan, in this order. Files can be left to the next cycle only after a complete scan: a
        first one decides about releases (docs/spec.md#release), and a new config becomes active as a whole."""
        request, pipeline = self._request, self._pipeline
        can_be_cut = source.name in pipeline.scanned and not request.accept_removals
        paths: list[Collection[str] | None] = [None if request.paths is None else request.paths.get(source.name, ())]
        if request.paths is None and can_be_cut and (first := request.first.get(source.name)) and "" not in first:
            paths.insert(0, first)
        enough_at = self._enough_at if can_be_cut else None
        return [
            ChangedFiles(self._writer, source, some, pipeline.stages, self._report_seen, pipeline.poll_stop, enough_at)
            for some in paths
        ]

    def _report_seen(self, seen: int | None) -> None:
        if seen is not None:
            self._pipeline.progress("files", seen, None)
        self._pipeline.check_stop()

    def _read(
        self, source: Source, part: ChangedFiles, known: int | None, *, is_import: bool
    ) -> tuple[int, FolderError | None]:
        """Reads the files that differ and stores them. Returns how many files were known before, or 0 where it does not
        matter; and why the folder cannot be read."""
        writer, pipeline = self._writer, self._pipeline
        problem = batch = None
        writer.commit()
        try:
            # one batch behind: what was known is counted before the first batch is stored, if there are several
            for outcomes in pipeline.stages.during(INGEST, self._ingest(source, part.files())):
                pipeline.check_stop()
                part.note_outcomes(outcomes)
                if batch is not None:
                    known = count_known(writer, source.name) if known is None else known
                    self._store(source, *batch, is_import=is_import)
                    writer.commit()
                batch = outcomes, time.time_ns()
            part.store_missing()
        except FolderError as error:
            problem = error
            part.finish()
        if known is None:  # nothing is stored yet; the count matters only if many files are missing
            is_needed = problem is not None or count_missing(writer, source.name) >= MASS_REMOVAL
            known = count_known(writer, source.name) if is_needed else 0
        if batch is not None:
            self._store(source, *batch, is_import=is_import)
        return known, problem

    def _read_affected(self, source: Source, folders: Collection[str], error: FolderError | None) -> FolderError | None:
        """Reads the known files below folders whose index files changed: they mean something else now, although they
        are the same. With an `error` they wait for the next scan. Returns why the folder of the source cannot be read.
        """
        for folder in sorted(folders):
            if any(folder != other and folder.startswith(other) for other in folders):
                continue
            recheck_below(self._writer, source, folder)  # if this cycle does not read all of them, the next one does
            self._writer.commit()
            files = (
                (SourceFile(source.name, path, 0, 0), digest)
                for page in known_below(self._writer, source, folder)
                for path, digest in page
            )
            error = error or self._read_again(source, files)
        return error

    def _read_again(self, source: Source, files: Iterable[tuple[SourceFile, bytes | None]]) -> FolderError | None:
        """Reads files whose stat is the same, each with its stored digest. Returns why that is not possible."""
        try:
            for outcomes in self._ingest(source, files):
                self._store(source, outcomes, time.time_ns(), is_import=False)
                self._writer.commit()
        except FolderError as error:
            return error
        return None

    def _ingest(self, source: Source, files: Iterable[tuple[SourceFile, bytes | None]]) -> Iterator[list[Outcome]]:
        """The outcomes of files, in batches."""
        workers, check_stop = self._config.workers, self._pipeline.poll_stop
        return ingest_files(source, files, workers=workers, check_stop=check_stop, open_pool=self._open_pool)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Inside, the cluster of the config reads many files, if there is one; at the end its problem is stored."""
        cluster, writer = self._pipeline.cluster, self._writer
        if cluster is None:
            yield
            return
        with writer.read() as connection:
            stored = read_meta(connection, CLUSTER_PROBLEM) or ""
        writer.commit()
        if self._is_whole:
            cluster.check(stored)
        self._open_pool = cluster.connect
        yield
        if cluster.problem is not None and cluster.problem != stored:
            with writer.write() as connection:
                write_meta(connection, CLUSTER_PROBLEM, cluster.problem)

    def _store(self, source: Source, outcomes: Sequence[Outcome], read_at_ns: int, *, is_import: bool) -> None:
        writer = self._writer
        outcomes, gone = (outcomes, ()) if is_import else self._read_former(source, outcomes)
        with writer.write() as connection:
            changes = store_outcomes(connection, writer, source, outcomes, read_at_ns, is_import=is_import, gone=gone)
            self._pipeline.stages.enter(FEEDS)
            apply_changes(connection, writer, self._feeds, changes)
        self._pipeline.stages.enter(STORE)

    def _read_former(self, source: Source, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], set[str]]:
        """Reads the files that records of the batch may have been, and those that these may have been in turn. Returns
        what they are, and which are gone."""
        read, gone = list(outcomes), set[str]()
        while outcomes:
            with self._writer.read() as connection:
                former = former_files(connection, source, outcomes)
            for path in (*gone, *(outcome.file.path for outcome in read)):
                former.pop(path, None)
            files = [(SourceFile(source.name, path, 0, 0), digest) for path, digest in former.items()]
            try:
                outcomes = [outcome for batch in self._ingest(source, files) for outcome in batch]
            except FolderError:  # which the scan reports
                break
            read += outcomes
            gone |= former.keys() - {outcome.file.path for outcome in outcomes}
        return read, gone


def settings_digest(*parts: str) -> str:
    """A short digest of texts that say how something is made."""
    return blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
