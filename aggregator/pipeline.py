"""The pipeline: one cycle, the stages in order.

scan -> ingest -> store -> (renames, removals, releases) -> settle -> render -> publish -> CycleResult
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import blake2b

from aggregator.config import Config
from aggregator.documents import FINGERPRINT, archive_path, feed_paths, index_paths
from aggregator.errors import AggregatorError, LeaseLostError, PublishError, RenderError, StoppedError, StoreError
from aggregator.feeds.archives import page_versions, read_pages
from aggregator.feeds.evaluation import open_feeds
from aggregator.feeds.notices import read_notices
from aggregator.feeds.policy import InForce, is_in_force
from aggregator.feeds.registry import (
    feed_versions,
    index_version,
    prepare_feeds,
    read_feeds,
    settle_feeds,
    settle_index,
    summarise_feeds,
    topic_terms,
)
from aggregator.feeds.slugs import retire_empty, topic_moves
from aggregator.feeds.urls import note_config, urls_before
from aggregator.feeds.window import FeedReader, Space
from aggregator.ingest import PARSER_VERSION, ingest_batch, ingest_files
from aggregator.model import ALL_FIT, CycleResult, Document, Entry, Feed, Fitting, SourceFile
from aggregator.output.folder import NOTHING, OutputFolder, Published, Wanted
from aggregator.scan import Differs, FolderError, Missing, Unreadable, scan_folder, scan_paths
from aggregator.settings import Rule, Source
from aggregator.store.database import Store
from aggregator.store.entries import store_outcomes
from aggregator.store.files import (
    dropped_sources,
    is_unseen,
    known_at,
    known_digests,
    known_files,
    mark_missing,
    open_source,
)
from aggregator.store.releases import next_due, release_entries
from aggregator.store.removals import MASS_REMOVAL, count_known, count_vanished, withdraw_expired, withdraw_vanished
from aggregator.store.renames import free_duplicates, pair_renames
from aggregator.store.session import Writer, from_us, read_meta
from aggregator.store.status import count_rejected, record_cycle, record_failure, set_source_problem

INDEX = ""
"""The name, among feeds, of the list of feeds."""
MARK_BATCH = 500
LOOK_S = 60
"""How long the output folder may lack a file, in seconds, before a cycle that walks no folder looks for it."""
Progress = Callable[[str, int, int | None], None]
Paths = Mapping[str, Collection[str]]
"""Where to look, by the names of sources: escaped paths of files and folders."""


@dataclass(frozen=True, slots=True)
class _Scanned:
    """What a look at one source found: how many files, or that the folder is `missing`; `known` before it; how many
    folders inside it are `unreadable`."""

    source: Source
    files: int
    known: int
    first: bool
    missing: bool
    unreadable: int


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
        self._site, self._options, self.policy = config.site_facts(), config.output_options(), config.feed_policy()
        self.in_force = InForce(self.policy, self._options)
        self._moves, self._topic_moves = config.moves(), dict[str, str]()
        self.notices: list[str] = []
        """What people should know of what is published, as the last cycle that looked at records found it."""
        self._output = OutputFolder(config.output.path)
        self._held: Mapping[str, str] | None = None
        self._looked_at = 0.0
        self._listed = False
        self._stop, self.progress = stop or threading.Event(), progress
        self.reader = FeedReader(self.policy, site_id, self._site, self._space())

    def _space(self) -> Space:
        """What fits, as render measures it; what cannot be rendered counts as fitting, and is told when it is."""
        site, options = self._site, self._options

        def fit(feed: Feed) -> Fitting:
            from aggregator.render import fit_entries

            try:
                return fit_entries(feed, site, options)
            except RenderError:
                return ALL_FIT

        def shorten(feed: Feed, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            if not feed.full:
                return entries
            from aggregator.render import shorten_entries

            try:
                return shorten_entries(feed, entries, site, options)
            except RenderError:
                return entries

        def split(feed: Feed, entries: tuple[Entry, ...], limit: int) -> list[int]:
            from aggregator.render import split_fitting

            try:
                return split_fitting(feed, entries, site, options, limit)
            except RenderError:
                return [min(limit, len(entries) - start) for start in range(0, len(entries), limit)]

        return Space(fit, shorten, split)

    def run(self, now: datetime, *, accept_removals: bool = False, paths: Paths | None = None) -> CycleResult:
        """One cycle at the content's time `now`. With `paths` only these are looked at, in sources that were walked
        before; with an empty map no folder is, and only time can change what is out.

        Raises StoppedError between two transactions when stopped, and StoreError; what went wrong with a source or the
        output folder is in the result.
        """
        started = time.monotonic()
        writer = Writer(self.store, now, self.policy, self.site_id)
        try:
            return self._run(writer, started, accept_removals=accept_removals, paths=paths)
        except (StoppedError, LeaseLostError):
            raise
        except Exception as error:
            # what an unexpected error says may be what a record says
            reason = str(error) if isinstance(error, AggregatorError) else f"unexpected {type(error).__name__}"
            with suppress(StoreError):
                record_failure(writer, time.monotonic() - started, reason)
            raise

    def _run(self, writer: Writer, started: float, *, accept_removals: bool, paths: Paths | None) -> CycleResult:
        problems: list[str] = []
        held, self._held = self._held, None  # until this cycle has published
        with writer.together():
            scanned = self.update_store(writer, problems, accept_removals=accept_removals, paths=paths)
        known = not any(one.first and one.missing for one in scanned)
        published = self._publish(problems, None if paths is None else held, known=known)
        with self.store.read() as connection:
            due, rejected = next_due(connection, writer.now), count_rejected(connection)
        result = CycleResult(
            scanned=sum(one.files for one in scanned),
            new=writer.new,
            changed=writer.changed,
            removed=writer.removed,
            rejected=rejected,
            feeds_written=sum("/" not in name for name in published.feeds - {INDEX}) if published else 0,
            files_written=len(published.written) if published else 0,
            seconds=time.monotonic() - started,
            problems=tuple(problems),
            complete=not any(one.missing for one in scanned),
            published=published is not None,
            unwritten=len({name.partition("/")[0] for name in published.unwritten}) if published else 0,
            unreadable=sum(one.missing + one.unreadable for one in scanned),
            due=None if due is None else from_us(due),
            notices=tuple(self.notices),
        )
        if scanned or result.removed or result.files_written or problems:
            record_cycle(writer, result)
        return result

    def update_store(
        self, writer: Writer, problems: list[str], *, accept_removals: bool, paths: Paths | None = None
    ) -> list[_Scanned]:
        """Everything up to new versions of feeds; what is wrong with a source is added to `problems`."""
        before = None if self._listed else urls_before(writer, self.in_force)
        prepare_feeds(writer, self._site.title, self._shape())
        open_feeds(writer, tuple(self.policy.specs.values()), self.check_stop)
        dropped = dropped_sources(writer, [source.name for source in self.config.sources])
        seen_before = {
            source: open_source(writer, source, _fingerprint(PARSER_VERSION, repr(source)))
            for source in self.config.sources
        }
        scanned = [
            self._scan(
                writer, source, problems, first=not seen, paths=None if paths is None else paths.get(source.name, ())
            )
            for source, seen in seen_before.items()
            if paths is None or (paths and seen)
        ]
        for one in scanned:
            self.check_stop()
            self._judge_files(writer, one, problems, accept_removals=accept_removals)
        if paths is None:
            self._withdraw_dropped(writer, dropped, problems, accept_removals=accept_removals)
        withdraw_expired(writer)
        unseen = {one.source for one in scanned if one.missing} if paths is None else set(self.config.sources)
        for source, seen in seen_before.items():
            if seen or source not in unseen:
                release_entries(writer, source, first_scan=not seen, stopped=self.check_stop)
        retired = paths is None and retire_empty(writer)
        listed, self._listed = self._listed, False
        if settle_feeds(writer, self.reader, self.check_stop) or retired or not listed:
            settle_index(writer, self._site.title, pages=self._options.pages)
            self._meet_moves(writer)
        if before is not None:
            note_config(writer, before, self.in_force)
        if scanned or not listed:
            with writer.read() as connection:
                self.notices = read_notices(
                    connection, self.in_force, self.config.sources, writer.now, writer.without_feed
                )
        self._listed = True
        return scanned

    def _meet_moves(self, writer: Writer) -> None:
        """Learns where old slugs of topics lead."""
        with writer.read() as connection:
            moves = topic_moves(connection, self.policy)
        if moves != self._topic_moves:
            self._moves, self._topic_moves = self.config.moves(moves), moves

    def _judge_files(self, writer: Writer, one: _Scanned, problems: list[str], *, accept_removals: bool) -> None:
        """Decides what became of files that are new and files that are gone."""
        if not one.missing:
            pair_renames(writer, one.source)
            self._read_freed(writer, one.source)
        waiting = withdraw_vanished(writer, one.source, one.known, accept=accept_removals, folder_missing=one.missing)
        if waiting and not one.missing:
            minutes = one.source.removal_grace.total_seconds() / 60
            problems.append(
                f"{one.source.root}: {waiting} of {one.known} files are gone at once; their entries stay for"
                f" {minutes:g} min (if it is meant, stop the service and run: aggregator build --accept-removals)"
            )

    def _withdraw_dropped(
        self, writer: Writer, names: list[str], problems: list[str], *, accept_removals: bool
    ) -> None:
        """Takes off the entries of sources that the config no longer names, with the grace that a gone folder has."""
        for name in names:
            source = replace(self.config.sources[0], name=name)
            known = count_known(writer, source)
            if withdraw_vanished(writer, source, known, accept=accept_removals, folder_missing=True):
                minutes = source.removal_grace.total_seconds() / 60
                problems.append(
                    f"the config has no [[records]] named {name!r} any more; the entries of its {known} files stay for"
                    f" {minutes:g} min (if it is meant, stop the service and run: aggregator build --accept-removals)"
                )

    def _scan(
        self, writer: Writer, source: Source, problems: list[str], *, first: bool, paths: Collection[str] | None
    ) -> _Scanned:
        walk = _Walk(self, writer, source, paths)
        unseen = first and is_unseen(writer, source)
        problem = None
        known = waiting = None
        writer.commit()
        try:
            for outcomes in ingest_files(
                source, walk.differing(), workers=self.config.workers, check_stop=self.check_stop
            ):
                self.check_stop()
                if waiting is not None:
                    known = count_known(writer, source) if known is None else known
                    store_outcomes(writer, source, *waiting, unseen=unseen)
                    writer.commit()
                waiting = outcomes, time.time_ns()
            walk.flush()
        except FolderError as error:
            problem = f"{source.root}: the records folder cannot be read: {error} (bring it back; see [records] path)"
        if known is None:  # nothing is stored yet; only where many are gone it is asked how many there were
            asked = problem is not None or count_vanished(writer, source) >= MASS_REMOVAL
            known = count_known(writer, source) if asked else 0
        if waiting is not None:
            store_outcomes(writer, source, *waiting, unseen=unseen)
        set_source_problem(writer, source, problem)
        problems.extend([problem] if problem else walk.unreadable)
        return _Scanned(source, walk.files, known, first, missing=problem is not None, unreadable=len(walk.unreadable))

    def _read_freed(self, writer: Writer, source: Source) -> None:
        """Reads again the files that were refused for an id that has become free."""
        if freed := free_duplicates(writer, source):
            batch = [(SourceFile(source.name, path, 0, 0), None) for path in freed]
            store_outcomes(writer, source, ingest_batch(source, batch, self.check_stop), time.time_ns())

    def _shape(self) -> str:
        """Names what of the config decides what feeds show, rules aside. An upgrade that reads all files again looks at
        all feeds again too."""
        specs = [replace(spec, rule=Rule(), moved_from=()) for spec in self.policy.specs.values()]
        return _fingerprint(
            PARSER_VERSION, repr(replace(self.policy, specs={})), repr(specs), repr(self._site), repr(self._options)
        )

    def _publish(self, problems: list[str], held: Mapping[str, str] | None, *, known: bool) -> Published | None:
        """Renders and writes what differs; None if that cannot be. A new store that has not seen its records yet
        replaces no one's feeds.

        `held` are the versions of the feeds and of their list that the folder was left with, if it was left well. As
        long as the feeds are the same, only what changed since is looked at, and the whole folder once in a while.
        """
        with self.store.read() as connection:
            versions = feed_versions(connection, self.policy) | {INDEX: index_version(connection)}
            left_well = held is not None and held.keys() == versions.keys() and self._output.is_as_left()
            whole = not left_well or time.monotonic() - self._looked_at > LOOK_S
            before = {} if whole or held is None else held
            wanted = {slug: self._wanted(slug, one) for slug, one in versions.items() if one != before.get(slug)}
            pages = {}
            changed = None if whole else self.reader.changed_pages
            for slug, number, version in page_versions(connection, self.policy, versions, changed):
                path = archive_path(slug, number)
                pages[path] = (slug, number)
                wanted[path] = Wanted(version, self._moves.paths((path,)))
            store_id = read_meta(connection, "store_id") or ""
        fingerprint = _fingerprint(FINGERPRINT, repr(self._site), repr(self._options))
        told = len(problems)
        try:
            if not known and self._output.manifest().store not in (NOTHING.store, store_id):
                return Published()
            render = partial(self._render, pages=pages, problems=problems)
            published = self._output.publish(store_id, fingerprint, wanted, render, self.check_stop, whole=whole)
        except PublishError as error:
            problems.append(f"{error} (nothing is lost; the next cycle tries again)")
            return None
        problems.extend(published.problems)
        if len(problems) == told:
            self._held = versions
        if whole:
            self._looked_at = time.monotonic()
        return published

    def _wanted(self, slug: str, version: str) -> Wanted:
        """What the folder is to hold of a feed or of the list of feeds."""
        if slug == INDEX:
            return Wanted(version, index_paths(self._options))
        return Wanted(version, self._moves.paths(feed_paths(slug, self._options)))

    def _render(
        self, dirty: list[str], *, pages: Mapping[str, tuple[str, int]], problems: list[str]
    ) -> Iterator[tuple[str, Iterable[Document]]]:
        """The documents of the dirty archive pages, feeds and list of feeds; what cannot be rendered is a problem and
        left out."""
        from aggregator.render import render_archive_page, render_feed, render_index

        sealed = [name for name in dirty if name in pages]
        slugs = [name for name in dirty if name != INDEX and name not in pages]
        terms = topic_terms(self.store, self.policy)
        with self.store.read() as connection:
            # pages first: what leaves a document must be in its page by then
            archived = read_pages(connection, self.reader, terms, [pages[name] for name in sealed])
            for done, (name, (feed, page)) in enumerate(zip(sealed, archived, strict=True), 1):
                try:
                    page_document = render_archive_page(feed, page, self._site, self._options)
                    yield name, self._moves.documents((page_document,))
                except RenderError as error:
                    problems.append(f"{error} (report it; what was published before stays)")
                self.progress("archive pages", done, len(sealed))
            for done, feed in enumerate(read_feeds(connection, self.reader, terms, slugs), 1):
                try:
                    documents = render_feed(feed, self._site, self._options, linked=terms.published)
                    yield feed.slug, self._moves.documents(documents)
                except RenderError as error:
                    problems.append(f"{error} (report it; what was published before stays)")
                self.progress("feeds", done, len(slugs))
            if INDEX in dirty:
                summaries = summarise_feeds(connection, self.policy, self._site.title)
                yield INDEX, render_index(summaries, self._site, self._options)

    def is_in_force(self) -> bool:
        """Whether the last cycle published by the same config."""
        with self.store.read() as connection:
            return is_in_force(connection, self.in_force.text) and read_meta(connection, "shape") == self._shape()

    def check_stop(self) -> None:
        """Raises StoppedError once a stop is asked for."""
        if self._stop.is_set():
            raise StoppedError("stopped in the middle of a cycle; what is stored stands, the next cycle goes on")


class _Walk:
    """One look at a source, or at `paths` of it: yields what to read, notes what is missing in batches on the way."""

    def __init__(self, pipeline: Pipeline, writer: Writer, source: Source, paths: Collection[str] | None) -> None:
        self._pipeline, self._writer, self._source, self._paths = pipeline, writer, source, paths
        self.files = 0
        self.unreadable: list[str] = []
        self._missing: list[str] = []

    def differing(self) -> Iterator[tuple[SourceFile, bytes | None]]:
        """The files to read, each with the digest of what is stored."""
        differing = []
        for item in self._scan():
            if isinstance(item, Differs):
                differing.append(item)
                if len(differing) == MARK_BATCH:
                    yield from self._with_digests(differing)
                    differing = []
            elif isinstance(item, Missing):
                self._missing.append(item.path)
                if len(self._missing) >= MARK_BATCH:
                    self.flush()
                    self._writer.commit()  # the walk may take long
            elif isinstance(item, Unreadable):
                place = os.path.join(self._source.root, item.path)
                self.unreadable.append(f"{place}: cannot be read: {item.reason} (what is known of it stays)")
        yield from self._with_digests(differing)

    def _with_digests(self, differing: list[Differs]) -> Iterator[tuple[SourceFile, bytes | None]]:
        paths = [one.file.path for one in differing if one.known]
        digests = known_digests(self._writer, self._source, paths) if paths else {}
        return ((one.file, digests.get(one.file.path)) for one in differing)

    def _scan(self) -> Iterator[Differs | Missing | Unreadable]:
        if self._paths is None:
            return scan_folder(self._source, known_files(self._writer, self._source), self._count)
        return scan_paths(self._source, self._paths, partial(known_at, self._writer, self._source), self._count)

    def flush(self) -> None:
        """Notes the missing files met so far."""
        if self._missing:
            mark_missing(self._writer, self._source, self._missing)
            self._missing.clear()

    def _count(self, files: int) -> None:
        self.files += files
        self._pipeline.progress("files", self.files, None)
        self._pipeline.check_stop()


def _fingerprint(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
