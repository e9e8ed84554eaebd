"""The pipeline: one cycle, the stages in order.

    scan -> ingest -> store -> (renames, removals, releases) -> feeds -> render -> output -> CycleResult

`Pipeline` has what stays from one cycle to the next, `_Update` brings the store up to date once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator.config import Config
from aggregator.differences import Differences
from aggregator.documents import FINGERPRINT, archive_path, archive_paths, cache_control, feed_paths, index_paths
from aggregator.errors import (
    AggregatorError,
    FolderTakenError,
    LeaseLostError,
    PublishError,
    RenderError,
    StoppedError,
    StoreError,
)
from aggregator.feeds.active import NO_RULES, ActiveFeeds, ActiveRules
from aggregator.feeds.active_config import ActiveConfig, is_active
from aggregator.feeds.archives import Keep, PageKey, load_pages, page_versions
from aggregator.feeds.membership import apply_changes
from aggregator.feeds.notices import read_notices
from aggregator.feeds.published import read_topic_terms, summarise_feeds
from aggregator.feeds.registry import (
    mark_stale_feeds,
    prepare_feeds,
    retire_empty,
    sync_configured_feeds,
)
from aggregator.feeds.urls import activate_config, topic_redirects, urls_before
from aggregator.feeds.versions import (
    Refreshed,
    feed_versions,
    index_version,
    load_feeds,
    refresh_feeds,
    refresh_index,
)
from aggregator.feeds.window import FeedLoader
from aggregator.files import FolderError
from aggregator.ingest import PARSER_VERSION, Pool, ingest_batch, ingest_files
from aggregator.model import ArchivePage, CycleResult, Document, Feed, Outcome, SourceFile, StagedOutcomes
from aggregator.output.bucket import OutputBucket
from aggregator.output.folder import OutputFolder
from aggregator.output.manifest import EMPTY_MANIFEST
from aggregator.output.publication import Published, Target
from aggregator.output.publisher import Publisher
from aggregator.output.sealed import SealedDocuments
from aggregator.processes import PROGRESS
from aggregator.settings import FILE_NAMES, Rule, Source
from aggregator.stages import FEEDS, INGEST, OUTPUT, RENDER, STORE, StageClock
from aggregator.store.changes import Step
from aggregator.store.database import Store
from aggregator.store.entries import store_outcomes
from aggregator.store.files import (
    dropped_sources,
    has_files,
    known_below,
    open_source,
    recheck_below,
    recheck_files,
)
from aggregator.store.lease import read_token
from aggregator.store.page_links import resolve_links
from aggregator.store.pings import queue_pings
from aggregator.store.queries import count_rejected, next_due, record_cycle, record_failure, set_source_problem
from aggregator.store.releases import release_due
from aggregator.store.removals import (
    MASS_REMOVAL,
    count_known,
    count_missing,
    hold_removals,
    withdraw_expired,
    withdraw_missing,
)
from aggregator.store.renames import free_duplicates, pair_renames
from aggregator.store.revision import updating
from aggregator.store.session import Writer, from_us, read_meta

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.cluster import ClusterLink

INDEX = ""
"""The name of the list of feeds among the slugs of feeds."""
BULK_S = 2.0
"""How long a cycle reads files before it leaves the rest to the next one (docs/spec.md#bulks)."""
Progress = Callable[[str, int, int | None], None]
Reading = Callable[[], "AbstractContextManager[Connection]"]
"""Opens a transaction that reads."""
Paths = Mapping[str, Collection[str]]
"""What to scan: escaped paths of files and folders, by the names of their sources."""
NO_PATHS: Paths = {}


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a cycle is to scan: by default everything.

    With `paths` only these are scanned, and only in sources that had a complete scan; with an empty map nothing is
    scanned, and only time changes feeds. A scan of everything begins with `first`; with `rest_waits` it also ends there
    if it can.
    """

    paths: Paths | None = None
    first: Paths = field(default_factory=dict)
    _: KW_ONLY
    accept_removals: bool = False
    rest_waits: bool = False


SCAN_ALL = ScanRequest()


@dataclass(frozen=True, slots=True)
class SourceScan:
    """What the scan of one source found."""

    source: Source
    files: int  # how many it saw
    known: int  # how many were known before; 0 where it does not matter
    is_first: bool  # no scan of the source was complete before
    folder_problem: str | None  # why the folder as a whole could not be read
    is_missing: bool  # the folder was not there, so neither were its files; else its problem says nothing of them
    unreadable: tuple[str, ...]  # problems of folders inside it
    is_cut: bool  # files are left to the next cycle


@dataclass(frozen=True, slots=True)
class StoreUpdate:
    """What a cycle found when it brought the store up to date."""

    scans: tuple[SourceScan, ...]
    refreshed: Refreshed
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Goal:
    """What a publish compares with the output folder."""

    store_id: str
    versions: Mapping[str, str]  # of all feeds, and of the list of feeds
    targets: Mapping[str, Target]
    pages: Mapping[str, PageKey]  # of the targets that are archive pages
    is_whole: bool  # the targets are everything that the folder must have


class Pipeline:
    """Runs cycles over one store with one config; keeps between them what makes the next one cheap."""

    def __init__(
        self,
        config: Config,
        store: Store,
        site_id: str,
        *,
        stop: threading.Event | None = None,
        progress: Progress = lambda _stage, _done, _total: None,
    ) -> None:
        self.config, self.store, self.site_id = config, store, site_id
        self.site, self.options, self.policy = config.site_facts(), config.output_options(), config.feed_policy()
        self.active_config = ActiveConfig(self.policy, self.options)
        self.notices: tuple[str, ...] = ()  # what the last full cycle found that operators should know
        # Whether the last cycle left the store as this config wants it; and what it knew then, until a cycle fails.
        self.is_current = False
        self.rules: ActiveRules = NO_RULES
        self._moves, self._topic_moves = config.redirects(), dict[str, str]()
        self._output = self._open_output()
        self._published: Mapping[str, str] | None = None  # what the folder holds, by slug; None: compare with it
        self._are_pings_known = False  # what WebSub hubs know was compared with the folder
        self._compared_at = 0.0  # time.monotonic() of the last comparison with the whole folder
        self._stop, self.progress = stop or threading.Event(), progress
        self.loader = FeedLoader(self.policy, self.site, self.options)
        self.scanned = set[str]()  # names of the sources that it scanned completely
        self.bulk_since: int | None = None  # when the cycle began that was the first to leave files to the next one, µs
        self.stages = StageClock()  # of the running cycle
        self.cluster: ClusterLink | None = None  # reads many files
        if config.ingest.dask is not None:
            from aggregator.cluster import ClusterLink

            self.cluster = ClusterLink(config.ingest.dask)

    def run(self, now: datetime, request: ScanRequest = SCAN_ALL) -> CycleResult:
        """One cycle at the content's time `now`. Raises StoreError, and StoppedError between two transactions; the
        problems of a source or of the output folder are in the result."""
        started = time.monotonic()
        self.stages = StageClock()
        writer = Writer(self.store, now, self.site_id)
        try:
            return self._run(writer, started, request)
        except (StoppedError, LeaseLostError):
            raise
        except Exception as error:
            # the text of an unexpected error may contain texts of records
            reason = str(error) if isinstance(error, AggregatorError) else f"unexpected {type(error).__name__}"
            with suppress(StoreError):
                record_failure(writer, time.monotonic() - started, reason)
            raise

    def _run(self, writer: Writer, started: float, request: ScanRequest) -> CycleResult:
        published_before, self._published = self._published, None  # until this cycle has published
        with SealedDocuments(self._output_folder()) as sealed:
            with writer.together():
                update = self.update_store(writer, request, keep=partial(self._keep_page, sealed))
            self.is_current = True
            scans = update.scans
            is_cut = any(scan.is_cut for scan in scans)
            is_comparing = request.paths is None and not is_cut and self._output.compares_with_scans
            published, publish_problems = self._publish(
                update.refreshed,
                sealed,
                None if is_comparing else published_before,
                is_unscanned=any(scan.is_first and scan.folder_problem for scan in scans),
            )
        problems = (*update.problems, *publish_problems)
        with self.store.read() as connection:
            due, rejected = next_due(connection, writer.now), count_rejected(connection)
        result = CycleResult(
            scanned=sum(scan.files for scan in scans),
            new=writer.new,
            changed=writer.changed,
            removed=writer.removed,
            rejected=rejected,
            feeds_written=sum("/" not in name for name in published.targets - {INDEX}) if published else 0,
            files_written=len(published.written) if published else 0,
            seconds=time.monotonic() - started,
            problems=problems,
            complete=not any(scan.folder_problem for scan in scans),
            published=published is not None,
            unwritten=len({name.partition("/")[0] for name in published.unwritten}) if published else 0,
            unreadable=sum(bool(scan.folder_problem) + len(scan.unreadable) for scan in scans),
            due=None if due is None else from_us(due),
            notices=self.notices,
            stages=self.stages.seconds(),
            cut=is_cut,
        )
        if scans or result.removed or result.files_written or problems:
            record_cycle(writer, result)
        return result

    def update_store(
        self, writer: Writer, request: ScanRequest, *, keep: Keep = lambda _feed, _page, _version: None
    ) -> StoreUpdate:
        """Brings the store up to date, with new versions of feeds; publishes nothing. `keep` gets new archive pages."""
        with updating(writer):
            return _Update(self, writer, request, keep).run()

    def publish_stored(self, connection: Connection) -> tuple[Published | None, tuple[str, ...]]:
        """Publishes what the store says in a snapshot, while another process updates the store. Writes nothing to it.

        The config must be the active one. Returns what `_publish` returns. Raises FolderTakenError if the process that
        has the lease writes the output folder.
        """
        before, self._published = self._published, None
        self.stages = StageClock()
        self._refresh_redirects(connection)
        with SealedDocuments(self._output_folder()) as sealed:
            refreshed = Refreshed(read_topic_terms(connection, self.policy))
            return self._publish(refreshed, sealed, before, is_unscanned=False, snapshot=connection)

    @property
    def is_published(self) -> bool:
        """Whether the last publish was complete, not long ago, and the manifest is as it left it."""
        is_recent = time.monotonic() - self._compared_at <= self._output.compare_every_s
        return self._published is not None and is_recent and self._output.is_unchanged()

    def is_folder_taken(self, connection: Connection) -> bool:
        """Whether the process that has the lease writes the output folder of this one."""
        return self._output.is_marked(read_token(connection))

    def _keep_page(self, sealed: SealedDocuments, feed: Feed, page: ArchivePage, version: str) -> None:
        """Renders a new archive page for `_render`, while its entries are in memory."""
        from aggregator.render import render_archive_page

        with suppress(RenderError):  # `_render` reports it
            made = render_archive_page(feed, page, self.site, self.options)
            sealed.add(archive_path(feed.slug, page.number), version, made)

    def refresh_redirects(self, writer: Writer) -> None:
        """Reads where old slugs of topics redirect to."""
        with writer.read() as connection:
            self._refresh_redirects(connection)

    def _refresh_redirects(self, connection: Connection) -> None:
        moves = topic_redirects(connection, self.policy)
        if moves != self._topic_moves:
            self._moves, self._topic_moves = self.config.redirects(moves), moves

    def shape(self) -> str:
        """A digest of the config that decides what feeds show, rules aside. An upgrade of the parser changes it too,
        because all files are read again."""
        specs = [replace(spec, rule=Rule(), moved_from=()) for spec in self.policy.specs.values()]
        return _digest(
            PARSER_VERSION, repr(replace(self.policy, specs={})), repr(specs), repr(self.site), repr(self.options)
        )

    def _publish(
        self,
        refreshed: Refreshed,
        sealed: SealedDocuments,
        before: Mapping[str, str] | None,
        *,
        is_unscanned: bool,
        snapshot: Connection | None = None,
    ) -> tuple[Published | None, tuple[str, ...]]:
        """Renders and writes what differs, and the problems with that; None if nothing could be written.

        `before`: see `_read_goal`. With `is_unscanned` the store is new and has not seen its records yet, so it does
        not replace documents of another store. With a `snapshot` another process has the lease: everything is read
        there, and nothing is stored.
        """
        self.stages.enter(FEEDS)
        read: Reading = (lambda: nullcontext(snapshot)) if snapshot is not None else self.store.read
        goal = self._read_goal(read, before, None if snapshot is not None else refreshed.pages)
        problems: list[str] = []
        try:
            if is_unscanned and self._output.manifest().store not in (EMPTY_MANIFEST.store, goal.store_id):
                return Published(), ()
            render = partial(self._render, read=read, goal=goal, sealed=sealed, refreshed=refreshed, problems=problems)
            self.stages.enter(OUTPUT)
            published = self._output.publish(
                goal.store_id,
                _digest(FINGERPRINT, repr(self.site), repr(self.options)),
                goal.targets,
                lambda dirty: self.stages.during(RENDER, render(dirty)),
                self.check_stop,
                full=goal.is_whole,
                check_writer=self._check_leads if snapshot is None else self._check_own_folder,
                mark=self.store.lease.token if self.store.is_shared and snapshot is None else "",
            )
        except FolderTakenError:
            raise
        except PublishError as error:
            self._are_pings_known = False  # what was written before it is not in the result of the next publish
            return None, (*problems, f"{error} (nothing is lost; the next cycle tries again)")
        finally:
            self.stages.enter(STORE)
        problems.extend(published.problems)
        if not problems:
            self._published = goal.versions
        if goal.is_whole:
            self._compared_at = time.monotonic()
        if snapshot is None:
            self._queue_pings(published, goal.versions)
        return published, tuple(problems)

    def _read_goal(
        self, read: Reading, before: Mapping[str, str] | None, changed_pages: Collection[PageKey] | None
    ) -> _Goal:
        """What to compare with the folder. `before` are the versions that it holds, if the last cycle left it complete:
        then the targets are feeds with another version and `changed_pages` (None: all pages), and everything from time
        to time."""
        is_unchanged = before is not None and self._output.is_unchanged()
        with read() as connection:
            versions = feed_versions(connection, self.policy) | {INDEX: index_version(connection)}
            is_complete = is_unchanged and before is not None and before.keys() == versions.keys()
            is_whole = not is_complete or time.monotonic() - self._compared_at > self._output.compare_every_s
            same = {} if is_whole or before is None else before
            targets = {
                slug: self._target(slug, version) for slug, version in versions.items() if version != same.get(slug)
            }
            pages = {}
            changed = None if is_whole else changed_pages
            for slug, number, version, is_newest in page_versions(connection, self.policy, versions, changed):
                path, *more = archive_paths(slug, number, self.options, is_newest=is_newest)
                pages[path] = (slug, number)
                targets[path] = Target(version, self._moves.paths((path, *more)))
            return _Goal(read_meta(connection, "store_id") or "", versions, targets, pages, is_whole)

    def _check_leads(self) -> None:
        """Raises LeaseLostError if another process has taken the lease, so that nothing older than what that process
        publishes is put in place."""
        with self.store.read() as connection:
            self.store.lease.check(connection)

    def _check_own_folder(self) -> None:
        """Raises FolderTakenError if the process that has the lease by now writes the same folder."""
        with self.store.read() as connection:
            if self.is_folder_taken(connection):
                raise FolderTakenError(f"{self._output.where} is written by the process that has the lease")

    def _queue_pings(self, published: Published, versions: Mapping[str, str]) -> None:
        """Queues WebSub pings for changed documents; in the first cycle for all that differ from what hubs know."""
        hubs, full = self.site.hub_urls, not self._are_pings_known or bool(published.deleted)
        if not hubs or not (full or published.written):
            return
        files = self._output.known_files
        slugs = versions.keys() if full else published.targets & versions.keys()
        paths = [f"{slug}/{FILE_NAMES[form]}" for slug in slugs for form in self.options.formats]
        digests = {path: files[path].digest for path in paths if path in files}
        self._are_pings_known = False  # also if this fails
        with self.store.write() as connection:
            queue_pings(connection, hubs, digests, int(time.time() * 1e6), full=full)
        self._are_pings_known = True

    def _target(self, slug: str, version: str) -> Target:
        """What the folder must have of a feed or of the list of feeds."""
        if slug == INDEX:
            return Target(version, index_paths(self.options))
        return Target(version, self._moves.paths(feed_paths(slug, self.options)))

    def _render(
        self,
        dirty: list[str],
        *,
        read: Reading,
        goal: _Goal,
        sealed: SealedDocuments,
        refreshed: Refreshed,
        problems: list[str],
    ) -> Iterator[tuple[str, Iterable[Document]]]:
        """The documents of the dirty archive pages, feeds and list of feeds; what cannot be rendered is a problem and
        left out."""
        from aggregator.render import render_archive_page, render_feed, render_index

        slugs = [name for name in dirty if name != INDEX and name not in goal.pages]
        terms, site, options = refreshed.terms, self.site, self.options
        with read() as connection:
            # pages first: what leaves a document must be in its page by then
            unkept = []
            for name in filter(goal.pages.__contains__, dirty):
                if (documents := sealed.get(name, goal.targets[name].version)) is None:
                    unkept.append(name)
                else:
                    yield name, self._moves.documents(documents)
            archived = load_pages(connection, self.loader, terms, [goal.pages[name] for name in unkept])
            for done, (name, (feed, page)) in enumerate(zip(unkept, archived, strict=True), 1):
                yield from self._made(name, partial(render_archive_page, feed, page, site, options), problems)
                self.progress("archive pages", done, len(unkept))
            for done, feed in enumerate(load_feeds(connection, self.loader, terms, slugs, refreshed.feeds), 1):
                render = partial(render_feed, feed, site, options, linked=terms.published)
                yield from self._made(feed.slug, render, problems)
                self.progress("feeds", done, len(slugs))
            if INDEX in dirty:
                summaries = refreshed.summaries or summarise_feeds(connection, self.policy, site.title)
                yield from self._made(INDEX, partial(render_index, summaries, site, options), problems)

    def _made(
        self, name: str, render: Callable[[], tuple[Document, ...]], problems: list[str]
    ) -> Iterator[tuple[str, Iterable[Document]]]:
        """The documents that `render` returns, with copies at old paths; nothing but a problem if it fails."""
        try:
            documents = render()
        except RenderError as error:
            problems.append(f"{error} (report it; what was published before stays)")
        else:
            yield name, self._moves.documents(documents)

    def _open_output(self) -> Publisher:
        """What publishes documents where the config says."""
        path = self.config.output.path
        if isinstance(path, Path):
            return OutputFolder(path)
        return OutputBucket(path, cache_control=cache_control(self.config.max_age_s), location=self._location)

    def _output_folder(self) -> Path | None:
        path = self.config.output.path
        return path if isinstance(path, Path) else None

    def _location(self, path: str) -> str:
        """The URL that the object at a path redirects to; empty for none."""
        moved = self._moves.location(path)
        return f"{self.site.base_url}{moved}" if moved else ""

    def is_config_active(self) -> bool:
        """Whether the last cycle published by the same config."""
        with self.store.read() as connection:
            return self.agrees(connection)

    def agrees(self, connection: Connection) -> bool:
        """Whether the last cycle published by the same config and version of the program."""
        return is_active(connection, self.active_config) and read_meta(connection, "shape") == self.shape()

    def check_stop(self) -> None:
        """Raises StoppedError once a stop is requested. Every call shows that the cycle makes progress."""
        PROGRESS.show()
        self.poll_stop()

    def poll_stop(self) -> None:
        """Raises StoppedError once a stop is requested. To be called while waiting."""
        if self._stop.is_set():
            raise StoppedError("stopped in the middle of a cycle; what is stored stays, and the next cycle continues")


class _Update:
    """Brings the store up to date once: feeds of the config, scans, renames, removals, releases, versions of feeds."""

    def __init__(self, pipeline: Pipeline, writer: Writer, request: ScanRequest, keep: Keep) -> None:
        self._pipeline, self._writer, self._request, self._keep = pipeline, writer, request, keep
        self._is_whole, self._was_current = request.paths is None, pipeline.is_current
        self._enough_at = time.monotonic() + BULK_S
        self._bulk = dict[str, tuple[int, int]]()  # by source: the first entry of the bulk, and when the bulk began
        self._config, self._policy = pipeline.config, pipeline.policy
        self._feeds = ActiveFeeds(writer, pipeline.policy)
        self._problems: list[str] = []
        self._open_pool: Callable[[], Pool | None] = lambda: None

    def run(self) -> StoreUpdate:
        pipeline, writer = self._pipeline, self._writer
        pipeline.stages.enter(FEEDS)
        was_current, pipeline.is_current = self._was_current, False  # until the end
        urls = None if was_current else urls_before(writer, pipeline.active_config)
        self._activate_rules()
        pipeline.stages.enter(STORE)
        sources = self._config.sources
        dropped = [] if was_current and not self._is_whole else self._dropped_sources()
        scanned_before = {
            source: (was_current and source.name in pipeline.scanned)
            or open_source(writer, source, _digest(PARSER_VERSION, repr(source)))
            for source in sources
        }
        with self._reading():
            scans = tuple(
                self._scan(source, is_first=not was_scanned)
                for source, was_scanned in scanned_before.items()
                if self._is_whole or (self._request.paths and was_scanned)
            )
        for scan in scans:
            pipeline.check_stop()
            self._resolve_files(scan)
        if self._is_whole:
            for name in dropped:
                self._withdraw_source(name, sources[0].removal_grace)
        self._apply(withdraw_expired(writer))
        self._release(scans, scanned_before)
        self._apply(resolve_links(writer, sources))
        pipeline.stages.enter(FEEDS)
        refreshed = self._refresh()
        if urls is not None:
            activate_config(writer, urls, pipeline.active_config)
        if scans or not was_current:
            with writer.read() as connection:
                notices = read_notices(connection, pipeline.active_config, sources, writer.now, refreshed.without_feed)
            pipeline.notices = tuple(notices)
        pipeline.stages.enter(STORE)
        self._note_bulk(scans)
        return StoreUpdate(scans, refreshed, tuple(self._problems))

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
            title, pages = pipeline.site.title, pipeline.options.pages
            refreshed.summaries = refresh_index(writer, self._policy, title, pages=pages)
            pipeline.refresh_redirects(writer)
        return refreshed

    def _dropped_sources(self) -> list[str]:
        with self._writer.read() as connection:
            return dropped_sources(connection, [source.name for source in self._config.sources])

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
        known = count_known(writer, source.name) if len(parts) > 1 else None
        error: FolderError | None = None
        affected, is_cut = set[str](), False
        for part in parts:
            if part.is_whole and self._request.rest_waits and part is not parts[0] and part.can_wait():
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
        set_source_problem(writer, source, problem)
        unreadable = tuple(dict.fromkeys(what for part in parts for what in part.unreadable))
        self._problems += [problem] if problem else unreadable
        seen = sum(part.seen for part in parts)
        is_missing = error is not None and error.is_missing
        return SourceScan(source, seen, known or 0, is_first, problem, is_missing, unreadable, is_cut)

    def _parts(self, source: Source) -> list[Differences]:
        """What of a source to scan, in this order. Files can be left to the next cycle only after a complete scan: a
        first one decides about releases (docs/spec.md#release), and a new config becomes active as a whole."""
        request, pipeline = self._request, self._pipeline
        can_be_cut = source.name in pipeline.scanned and not request.accept_removals
        paths: list[Collection[str] | None] = [None if request.paths is None else request.paths.get(source.name, ())]
        if request.paths is None and can_be_cut and (first := request.first.get(source.name)) and "" not in first:
            paths.insert(0, first)
        enough_at = self._enough_at if can_be_cut else None
        return [
            Differences(self._writer, source, some, pipeline.stages, self._count, pipeline.poll_stop, enough_at)
            for some in paths
        ]

    def _count(self, seen: int | None) -> None:
        if seen is not None:
            self._pipeline.progress("files", seen, None)
        self._pipeline.check_stop()

    def _read(
        self, source: Source, part: Differences, known: int | None, *, is_import: bool
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
                part.note(outcomes)
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
        """Inside, the cluster of the config reads many files, if there is one."""
        if self._pipeline.cluster is None:
            yield
            return
        from aggregator.cluster_pool import reading_by_cluster

        # adopted ids, and other rules than those of topics, depend on the content
        with_content = bool(self._policy.specs) or self._writer.has_adopted
        reading = reading_by_cluster(
            self._pipeline.cluster, self._writer, with_content=with_content, retries=self._is_whole
        )
        with reading as self._open_pool:
            yield

    def _complete(self, connection: Connection, source: Source, outcomes: StagedOutcomes) -> Sequence[Outcome]:
        """The outcomes; those of files that are read again if PostgreSQL lost what a worker staged."""
        from aggregator.store.staging import is_complete

        if is_complete(connection, outcomes):
            return outcomes
        files = [(outcome.file, None) for outcome in outcomes]
        return ingest_batch(source, files, self._pipeline.poll_stop)

    def _store(self, source: Source, outcomes: Sequence[Outcome], read_at_ns: int, *, is_import: bool) -> None:
        writer = self._writer
        with writer.write() as connection:
            if isinstance(outcomes, StagedOutcomes):
                outcomes = self._complete(connection, source, outcomes)
            changes = store_outcomes(connection, writer, source, outcomes, read_at_ns, is_import=is_import)
            self._pipeline.stages.enter(FEEDS)
            apply_changes(connection, writer, self._feeds, changes)
        self._pipeline.stages.enter(STORE)

    def _resolve_files(self, scan: SourceScan) -> None:
        """Decides about new and missing files: which are renames, and which entries are withdrawn."""
        writer, source = self._writer, scan.source
        is_folder_missing = scan.folder_problem is not None
        if is_folder_missing and not scan.is_missing:
            return  # nothing is known of files that were not read: each may be a renamed one
        if not is_folder_missing:
            self._apply(pair_renames(writer, source))
            self._read_freed(source, free_duplicates(writer, source))
        missing = scan.known if is_folder_missing else count_missing(writer, source.name)
        is_held = self._withdraw_missing(
            source.name, missing, scan.known, source.removal_grace, is_folder_missing=is_folder_missing
        )
        if is_held and not is_folder_missing:
            self._problems.append(
                f"{source.root}: {missing} of {scan.known} files are missing at once; their entries stay for"
                f" {_minutes(source.removal_grace)} (if it is meant, run: aggregator build --accept-removals)"
            )

    def _read_freed(self, source: Source, paths: Sequence[str]) -> None:
        """Reads files again that were duplicates."""
        if not paths:
            return
        recheck_files(self._writer, source, paths)  # if this cycle cannot read them, the next one does
        self._writer.commit()
        files = [(SourceFile(source.name, path, 0, 0), None) for path in paths]
        try:
            outcomes = ingest_batch(source, files, self._pipeline.poll_stop)
        except FolderError as error:
            self._problems.append(error.message(source))
        else:
            self._store(source, outcomes, time.time_ns(), is_import=False)

    def _withdraw_source(self, name: str, grace: timedelta) -> None:
        """Withdraws the entries of a source that the config no longer names, as if its folder were missing."""
        known = count_known(self._writer, name)
        if self._withdraw_missing(name, known, known, grace, is_folder_missing=True):
            self._problems.append(
                f"the config has no [[records]] named {name!r} any more; the entries of its {known} files stay for"
                f" {_minutes(grace)} (if it is meant, run: aggregator build --accept-removals)"
            )

    def _withdraw_missing(
        self, source: str, missing: int, known: int, grace: timedelta, *, is_folder_missing: bool
    ) -> bool:
        """Withdraws the entries of missing files, or returns that this is held."""
        is_held = hold_removals(
            self._writer,
            source,
            missing,
            known,
            grace,
            is_folder_missing=is_folder_missing,
            is_accepted=self._request.accept_removals,
        )
        if missing and not is_held:
            self._apply(withdraw_missing(self._writer, source, is_folder_missing=is_folder_missing))
        return is_held


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} min"


def _digest(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
