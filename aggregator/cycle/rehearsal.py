"""Rehearsals: what a cycle would change in feeds and URLs, tried on a copy of the store. Nothing else is written.

    copy of the store -> a cycle, up to new versions of feeds -> the feeds before, compared with the feeds after

`build --dry-run` scans the records first; `preview` and `check` take them as the last cycle stored them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aggregator.config import Config
from aggregator.cycle.pipeline import Paths, Pipeline, ScanRequest
from aggregator.errors import NotFoundError, StoreError
from aggregator.feeds.active_config import ActiveConfig, read_active
from aggregator.feeds.feed_list import feed_rows, read_topic_terms
from aggregator.feeds.url_changes import compare_urls, read_urls
from aggregator.feeds.window import FeedLoader, Window
from aggregator.model import Entry, FeedMoves, UrlChange
from aggregator.problems import Problem
from aggregator.site import default_site_id, open_configured
from aggregator.store.database import Store, copy_store, open_store
from aggregator.store.queries import last_finished_at, next_due
from aggregator.store.session import Writer, read_meta, to_us


@dataclass(frozen=True, slots=True)
class FeedPreview:
    """A feed before and after a cycle."""

    slug: str
    title: str
    size: int  # entries in the feed afterwards, with its archive
    before: tuple[Entry, ...]  # newest first
    after: tuple[Entry, ...]  # newest first
    released: tuple[int, ...]  # when each entry of `after` was released in the feed, in µs

    @property
    def moves(self) -> FeedMoves:
        """What the cycle would put into the feed and take out of it."""
        return FeedMoves(self.slug, _difference(self.after, self.before), _difference(self.before, self.after))


class _Feeds:
    """The feeds that a store publishes under one config."""

    def __init__(self, connection: Any, config: ActiveConfig, loader: FeedLoader) -> None:
        self.config, self._connection, self._loader = config, connection, loader
        self.rows = feed_rows(connection, config.policy)
        self.urls = read_urls(connection, config)
        self._terms = read_topic_terms(connection, config.policy)

    def load(self, row: Any) -> Window | None:
        """The window of a feed; None for no row, and before its first version."""
        if row is None or not row.version:
            return None
        return self._loader.load_last(self._connection, row, self._terms)


class Rehearsal:
    """What a cycle changed in `store`, a copy."""

    def __init__(self, pipeline: Pipeline, before: _Feeds, after: _Feeds, problems: tuple[str, ...]) -> None:
        self.store, self.site_id = pipeline.store, pipeline.site_id
        self.problems = problems  # of the cycle
        self._before, self._after = before, after
        self._rows_before = {row.id: row for row in before.rows.values()}
        # `urls` has what this cycle would remove; the notices would say that it is gone
        lost = tuple(f"/{change.url} answers 410 " for change in self.urls() if change.status == 410)
        self.notices = tuple(line for line in pipeline.notices if not line.startswith(lost))

    @property
    def slugs(self) -> frozenset[str]:
        """The feeds that exist before or after."""
        return self._before.urls.slugs | self._after.urls.slugs

    @property
    def redirects(self) -> Mapping[str, str]:
        """The slugs that old slugs redirect to afterwards."""
        return self._after.urls.redirects

    def urls(self) -> tuple[UrlChange, ...]:
        """The URLs that the cycle would remove or redirect."""
        before, after = self._before, self._after
        return compare_urls(before.urls, after.urls, before.config.policy, after.config.policy)

    def moves(self) -> list[FeedMoves]:
        """The entries that would join and leave each feed, and the feeds that would be new."""
        moves = []
        for slug in sorted(self.slugs - self._after.urls.redirects.keys()):
            old, new = self._before.rows.get(slug), self._after.rows.get(slug)
            if old and new and (old.id, old.version, old.shown_hash) == (new.id, new.version, new.shown_hash):
                continue
            found = (preview := self.feed(slug)) and preview.moves
            if found and (found.joins or found.leaves or self._row_before(slug) is None):
                moves.append(found)
        return moves

    def feed(self, slug: str) -> FeedPreview | None:
        """A feed before and after, by its slug or by an old slug that redirects to it; None for no feed."""
        row = self._after.rows.get(slug) or self._after.rows.get(self._after.urls.redirects.get(slug, ""))
        old = self._row_before(slug if row is None else row.slug)
        before, after = self._before.load(old), self._after.load(row)
        entries = before.feed.entries if before else ()
        if row is None or after is None:
            return None if old is None else FeedPreview(slug, old.title, 0, entries, (), ())
        released = tuple(member.released_at for member in after.rows)
        return FeedPreview(row.slug, after.feed.title, row.size, entries, after.feed.entries, released)

    def _row_before(self, slug: str) -> Any:
        """The row of the feed that had this slug before, else of the feed that moves there."""
        row = self._after.rows.get(slug)
        return self._before.rows.get(slug) or (self._rows_before.get(row.id) if row is not None else None)


@contextmanager
def rehearse(config: Config, now: datetime, *, scan: bool, accept_removals: bool = False) -> Iterator[Rehearsal]:
    """A cycle at `now` on a copy of the store; with `scan` it scans the records. Raises StoreError."""
    with tempfile.TemporaryDirectory(prefix="aggregator-") as folder:
        copy = copy_store(config.store.url, Path(folder))
        try:
            copy.lease.acquire(0)
            site_id = open_configured(config, copy)
            pipeline = Pipeline(config, copy, site_id)
            with copy.read() as earlier:  # a transaction that keeps seeing the store as it is now
                active = read_active(earlier) or pipeline.active_config
                loader = FeedLoader(active.policy, config.site_facts(), config.output_options())
                before = _Feeds(earlier, active, loader)
                paths: Paths | None = None if scan else {}
                update = pipeline.update_store(
                    Writer(copy, now, site_id), ScanRequest(paths, accept_removals=accept_removals)
                )
                with copy.read() as later:
                    after = _Feeds(later, pipeline.active_config, pipeline.loader)
                    yield Rehearsal(pipeline, before, after, update.problems)
        finally:
            copy.lease.release()
            copy.close()


@contextmanager
def next_cycle(config: Config, store: Store, now: datetime) -> Iterator[Rehearsal]:
    """What a cycle at `now` that reads no record would change: nothing, and none is run, if the config is active and
    nothing is due. Raises StoreError."""
    with store.read() as connection:
        pipeline = Pipeline(config, store, read_meta(connection, "site_id") or default_site_id(config))
        due = next_due(connection, last_finished_at(connection))
        if pipeline.agrees(connection) and (due is None or due > to_us(now)):
            feeds = _Feeds(connection, pipeline.active_config, pipeline.loader)
            yield Rehearsal(pipeline, feeds, feeds, ())
            return
    with rehearse(config, now, scan=False) as rehearsal:
        yield rehearsal


def preview_feed(config: Config, store: Store, slug: str, now: datetime) -> FeedPreview:
    """The feed as it is, and as it would be at `now` under this config. Raises NotFoundError."""
    with next_cycle(config, store, now) as rehearsal:
        preview, slugs = rehearsal.feed(slug), rehearsal.slugs
    if preview is not None:
        return preview
    near = get_close_matches(slug, sorted(slugs), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see them with: aggregator feeds"
    raise NotFoundError(f"there is no feed {slug!r} ({hint})")


def lost_urls(config: Config, now: datetime) -> list[Problem]:
    """A warning for each URL that subscribers have and that this config would remove or give to another feed; none
    without a store."""
    try:
        with closing(open_store(config.store.url, create=False)) as store, next_cycle(config, store, now) as cycle:
            lost = [change for change in cycle.urls() if change.status != 301]
    except StoreError:
        return []
    path, what = str(config.path or ""), "subscribers of this URL would get"
    got = {410: "410", 200: "another feed"}
    return [
        Problem(path, 0, 0, f"{what} {got[change.status]}", f"/{change.url}", f"keep it {change.keep}", "warning")
        for change in lost
    ]


def _difference(entries: Sequence[Entry], others: Sequence[Entry]) -> tuple[dict[str, str], ...]:
    known = {entry.id for entry in others}
    return tuple({"id": entry.id, "title": entry.content.title} for entry in entries if entry.id not in known)
