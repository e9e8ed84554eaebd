"""The pipeline: one cycle, the stages in order.

    scan -> ingest -> store -> (renames, removals, releases) -> feeds -> render -> output -> CycleResult

`Pipeline` has what stays from one cycle to the next; what comes before `render` is in `update.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator.concurrency.processes import PROGRESS
from aggregator.config import Config
from aggregator.config.values import sqlite_file
from aggregator.cycle.stage_clock import FEEDS, OUTPUT, RENDER, STORE, StageClock
from aggregator.cycle.update import StoreUpdate, Update, settings_digest
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
from aggregator.feeds.active import NO_RULES, ActiveRules
from aggregator.feeds.active_config import ActiveConfig, is_active
from aggregator.feeds.archives import Keep, PageKey, load_pages, page_versions
from aggregator.feeds.feed_list import TopicTerms, read_topic_terms, summarise_feeds
from aggregator.feeds.url_changes import lost_paths, topic_redirects
from aggregator.feeds.versions import Refreshed, document_versions, index_version, load_feeds
from aggregator.feeds.window import FeedLoader
from aggregator.ingest import PARSER_VERSION
from aggregator.model import NO_RELATIVES, ArchivePage, CycleResult, Document, Feed
from aggregator.output.bucket import OutputBucket
from aggregator.output.folder import OutputFolder
from aggregator.output.manifest import EMPTY_MANIFEST, MANIFEST_PATH
from aggregator.output.publication import Published, Target
from aggregator.output.publisher import Publisher
from aggregator.output.redirects import old_urls
from aggregator.output.sealed import SealedDocuments
from aggregator.settings import FILE_NAMES, Rule
from aggregator.store.database import Store
from aggregator.store.lease import read_token
from aggregator.store.lost_store import has_published, lost_store_message, note_lost_store
from aggregator.store.pings import queue_pings
from aggregator.store.queries import count_rejected, next_due, record_cycle, record_failure
from aggregator.store.revision import updating
from aggregator.store.session import Writer, from_us, read_meta

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.concurrency.cluster import ClusterLink

INDEX = ""
"""The name of the list of feeds among the slugs of feeds."""
Progress = Callable[[str, int, int | None], None]
Reading = Callable[[], "AbstractContextManager[Connection]"]
"""Opens a transaction that reads."""
Paths = Mapping[str, Collection[str]]
"""What to scan: escaped paths of files and folders, by the names of their sources."""
NO_PATHS: Paths = {}


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a cycle is to scan: by default everything.

    With `paths` only these and those of due entries are scanned, and only in sources that had a complete scan; with an
    empty map only time changes feeds. A scan of everything reads `first` first; with `rest_waits` it leaves all others
    to the next cycle if `ChangedFiles.can_wait`.
    """

    paths: Paths | None = None
    first: Paths = field(default_factory=dict)
    _: KW_ONLY
    accept_removals: bool = False
    rest_waits: bool = False


SCAN_ALL = ScanRequest()


@dataclass(frozen=True, slots=True)
class _Goal:
    """What a publish compares with the output folder."""

    store_id: str
    versions: Mapping[str, str]  # of all feeds, and of the list of feeds
    targets: Mapping[str, Target]
    pages: Mapping[str, PageKey]  # of the targets that are archive pages
    is_whole: bool  # the targets are everything that the folder must have
    ended: Collection[str]  # URLs that a config removed; known if `is_whole`


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
        self.unreadable = dict[str, dict[str, str]]()  # problems of folders at their last scan, by source and path
        self.withdrawn = list[str]()  # which removals the last cycle made that had been held
        self.held = dict[str, str]()  # why the entries of missing files stay, by source; else empty
        self.bulk_since: int | None = None  # when the cycle began that was the first to leave files to the next one, µs
        self.stages = StageClock()  # of the running cycle
        self.cluster: ClusterLink | None = None  # reads many files
        if config.ingest.dask is not None:
            from aggregator.concurrency.cluster import ClusterLink

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
        with SealedDocuments(self._output.path) as sealed:
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
            unreadable=update.unreadable,
            due=None if due is None else from_us(due),
            notices=self.notices,
            stages=self.stages.seconds(),
            cut=is_cut,
        )
        if scans or result.removed or result.files_written or publish_problems:
            record_cycle(writer, result)
        return result

    def update_store(
        self, writer: Writer, request: ScanRequest, *, keep: Keep = lambda _feed, _page, _version: None
    ) -> StoreUpdate:
        """Brings the store up to date, with new versions of feeds; publishes nothing. `keep` gets new archive pages."""
        with updating(writer):
            return Update(self, writer, request, keep).run()

    def publish_stored(self, connection: Connection) -> tuple[Published | None, tuple[str, ...]]:
        """Publishes what the store says in a snapshot, while another process updates the store. Writes nothing to it.

        The config must be the active one. Returns what `_publish` returns. Raises FolderTakenError if the process that
        has the lease writes the output folder.
        """
        before, self._published = self._published, None
        self.stages = StageClock()
        self.refresh_redirects(connection)
        with SealedDocuments(self._output.path) as sealed:
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

    def refresh_redirects(self, connection: Connection) -> None:
        """Reads where old slugs of topics redirect to."""
        moves = topic_redirects(connection, self.policy)
        if moves != self._topic_moves:
            self._moves, self._topic_moves = self.config.redirects(moves), moves

    def shape(self) -> str:
        """A digest of the config that decides what feeds show, rules aside. An upgrade of the parser changes it too,
        because all files are read again."""
        specs = [replace(spec, rule=Rule(), moved_from=()) for spec in self.policy.specs.values()]
        return settings_digest(
            PARSER_VERSION, repr(replace(self.policy, specs={})), repr(specs), repr(self.site), repr(self.options)
        )

    def _publish(
        self,
        refreshed: Refreshed,
        sealed: SealedDocuments,
        held_versions: Mapping[str, str] | None,
        *,
        is_unscanned: bool,
        snapshot: Connection | None = None,
    ) -> tuple[Published | None, tuple[str, ...]]:
        """Renders and writes what differs, and the problems with that; None if nothing could be written.

        `held_versions` are those that the folder holds, if the last cycle left it complete. With `is_unscanned` the
        store is new and has not seen its records yet, so it does not replace documents of another store. With a
        `snapshot` another process has the lease: everything is read there, and nothing is stored.
        """
        self.stages.enter(FEEDS)
        read: Reading = (lambda: nullcontext(snapshot)) if snapshot is not None else self.store.read
        goal = self._read_goal(read, held_versions, None if snapshot is not None else refreshed.pages, refreshed.terms)
        problems: list[str] = []
        try:
            if is_unscanned and self._output.manifest().store not in (EMPTY_MANIFEST.store, goal.store_id):
                return Published(), ()
            render = partial(self._render, read=read, goal=goal, sealed=sealed, refreshed=refreshed, problems=problems)
            self.stages.enter(OUTPUT)
            published = self._output.publish(
                goal.store_id,
                settings_digest(FINGERPRINT, repr(self.site), repr(self.options)),
                goal.targets,
                lambda dirty: self.stages.during(RENDER, render(dirty)),
                self.check_stop,
                full=goal.is_whole,
                check_writer=self._check_leads if snapshot is None else self._check_own_folder,
                mark=self.store.lease.token if self.store.is_shared and snapshot is None else "",
                ended=goal.ended,
            )
        except FolderTakenError:
            raise
        except PublishError as error:
            self._are_pings_known = False  # what was written before it is not in the result of the next publish
            return None, (*problems, f"{error} (nothing is lost; the next cycle tries again)")
        finally:
            self.stages.enter(STORE)
        if self._output.had_other_store:
            problems.append(self._other_store_problem(read, is_leader=snapshot is None))
        problems.extend(published.problems)
        if not problems:
            self._published = goal.versions
        if goal.is_whole:
            self._compared_at = time.monotonic()
        if snapshot is None:
            self._queue_pings(published, goal.versions)
        return published, tuple(problems)

    def _other_store_problem(self, read: Reading, *, is_leader: bool) -> str:
        """Why documents of another store were there: it was lost, if this one is new; else two sites write there."""
        where = self._output.where
        with read() as connection:
            is_new = is_leader and not has_published(connection)
        if not is_new:
            return (
                f"{where} was last written from another store (if two sites write there, give each its own output.path)"
            )
        file = sqlite_file(self.config.store.url)
        message = lost_store_message(f"{where}/{MANIFEST_PATH}", file, is_replaced=True)
        with self.store.write() as connection:
            note_lost_store(connection, int(time.time() * 1e6), message)
        return message

    def _read_goal(
        self,
        read: Reading,
        held_versions: Mapping[str, str] | None,
        changed_pages: Collection[PageKey] | None,
        terms: TopicTerms,
    ) -> _Goal:
        """What to compare with the folder. If it is complete, with `held_versions`, the targets are feeds with another
        version and `changed_pages` (None: all pages), and everything from time to time."""
        is_unchanged = held_versions is not None and self._output.is_unchanged()
        with read() as connection:
            versions = document_versions(connection, self.policy, terms, pages=self.options.pages)
            versions[INDEX] = index_version(connection)
            is_complete = is_unchanged and held_versions is not None and held_versions.keys() == versions.keys()
            is_whole = not is_complete or time.monotonic() - self._compared_at > self._output.compare_every_s
            same = {} if is_whole or held_versions is None else held_versions
            targets = {
                slug: self._target(slug, version) for slug, version in versions.items() if version != same.get(slug)
            }
            pages = {}
            changed = None if is_whole else changed_pages
            for slug, number, version, is_newest in page_versions(connection, self.policy, versions, changed):
                path, *more = archive_paths(slug, number, self.options, is_newest=is_newest)
                pages[path] = (slug, number)
                targets[path] = Target(version, self._moves.paths((path, *more)))
            lost = lost_paths(connection, self.active_config) if is_whole else ()
            ended = {url for old in lost for url in old_urls(old)}
            return _Goal(read_meta(connection, "store_id") or "", versions, targets, pages, is_whole, ended)

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
                relatives = terms.relatives.get(feed.slug, NO_RELATIVES)
                render = partial(render_feed, feed, site, options, linked=terms.published, relatives=relatives)
                yield from self._made(feed.slug, render, problems)
                self.progress("feeds", done, len(slugs))
            if INDEX in dirty:
                summaries = refreshed.summaries or summarise_feeds(connection, self.policy, site)
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

    def _location(self, path: str) -> str:
        """The URL that the object at a path redirects to; empty for none."""
        moved = self._moves.location(path)
        return f"{self.site.base_url}{moved}" if moved else ""

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
