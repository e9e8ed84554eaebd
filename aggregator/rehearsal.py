"""Rehearsals: what a cycle would change in feeds and URLs, tried on a copy of the store. Nothing else is written.

    copy of the store -> the cycle, up to new versions of feeds -> what was shown, compared with what would be

`build --dry-run` looks at the records first; `preview` and `check` take them as the last cycle stored them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aggregator.config import Config
from aggregator.errors import NotFoundError, StoreError
from aggregator.feeds.policy import InForce, read_in_force
from aggregator.feeds.registry import find_feeds, topic_terms
from aggregator.feeds.urls import compare_urls, read_urls
from aggregator.feeds.window import FeedReader, Shown
from aggregator.model import Entry, FeedMoves, UrlChange
from aggregator.pipeline import Paths, Pipeline
from aggregator.problems import Problem
from aggregator.site import default_site_id, open_configured
from aggregator.store.database import Store, copy_store, open_store
from aggregator.store.session import Writer, read_meta


@dataclass(frozen=True, slots=True)
class FeedTrial:
    """What a feed shows `before` and would show `after`, newest first; `released` are the times, in µs, that the latter
    have in it. `size` is how many entries would be in it, its archive included."""

    slug: str
    title: str
    size: int
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]
    released: tuple[int, ...]


class _Moment:
    """The feeds that are published by one config at one moment, and what leads to them."""

    def __init__(self, connection: Any, config: InForce, reader: FeedReader, store: Store) -> None:
        self.config, self._connection, self._reader = config, connection, reader
        self.rows = find_feeds(connection, config.policy)
        self.urls = read_urls(connection, config)
        self._terms = topic_terms(store, config.policy)

    def show(self, row: Any) -> Shown | None:
        """What a feed shows; None for no feed."""
        if row is None or not row.version:
            return None
        return self._reader.read_settled(self._connection, row, self._terms)


class Rehearsal:
    """What a cycle changed in `store`, a copy, with the `problems` and `notices` of that cycle."""

    def __init__(self, pipeline: Pipeline, before: _Moment, after: _Moment, problems: Sequence[str]) -> None:
        self.store, self.site_id = pipeline.store, pipeline.site_id
        self.problems, self.notices = tuple(problems), tuple(pipeline.notices)
        self._before, self._after = before, after
        self._by_id = {row.id: row for row in before.rows.values()}

    @property
    def slugs(self) -> frozenset[str]:
        """The feeds that there are before or after."""
        return self._before.urls.slugs | self._after.urls.slugs

    def urls(self) -> tuple[UrlChange, ...]:
        """The URLs that would go or lead elsewhere."""
        before, after = self._before, self._after
        return compare_urls(before.urls, after.urls, before.config.policy, after.config.policy)

    def moves(self) -> list[FeedMoves]:
        """What would go into each feed and out, and the feeds that would come."""
        found = []
        for slug in sorted(self.slugs - self._after.urls.moved.keys()):
            old, new = self._before.rows.get(slug), self._after.rows.get(slug)
            if old and new and (old.id, old.version, old.shown_hash) == (new.id, new.version, new.shown_hash):
                continue
            trial = self.feed(slug)
            if trial is None:
                continue
            before, after = _titles(trial.before), _titles(trial.after)
            joins = tuple((uid, title) for uid, title in after.items() if uid not in before)
            leaves = tuple((uid, title) for uid, title in before.items() if uid not in after)
            if joins or leaves or self._was(slug) is None:
                found.append(FeedMoves(slug, joins, leaves))
        return found

    def feed(self, slug: str) -> FeedTrial | None:
        """A feed before and after, by its slug or an old slug that leads to it; None for no feed."""
        row = self._after.rows.get(slug) or self._after.rows.get(self._after.urls.moved.get(slug, ""))
        old = self._was(slug if row is None else row.slug)
        before, after = self._before.show(old), self._after.show(row)
        was = before.feed.entries if before else ()
        if row is None or after is None:
            return None if old is None else FeedTrial(slug, old.title, 0, was, (), ())
        released = tuple(one.released_at for one in after.rows)
        return FeedTrial(row.slug, after.feed.title, row.size, was, after.feed.entries, released)

    def _was(self, slug: str) -> Any:
        """The row from before: of the feed that had this slug, else of the feed that moves there."""
        row = self._after.rows.get(slug)
        return self._before.rows.get(slug) or (self._by_id.get(row.id) if row is not None else None)


@contextmanager
def rehearse(config: Config, now: datetime, *, scan: bool, accept_removals: bool = False) -> Iterator[Rehearsal]:
    """A cycle at `now` on a copy of the store; with `scan` it looks at the records. Raises StoreError."""
    with tempfile.TemporaryDirectory(prefix="aggregator-") as folder:
        copy = copy_store(config.store.url, Path(folder))
        try:
            copy.lease.acquire(0)
            site_id = open_configured(config, copy)
            pipeline = Pipeline(config, copy, site_id)
            with copy.read() as earlier:  # goes on seeing the store as it is now
                last = read_in_force(earlier) or pipeline.in_force
                reader = FeedReader(last.policy, site_id, config.site_facts(), pipeline.reader.space)
                before = _Moment(earlier, last, reader, copy)
                paths: Paths | None = None if scan else {}
                updated = pipeline.update_store(
                    Writer(copy, now, site_id), accept_removals=accept_removals, paths=paths
                )
                with copy.read() as later:
                    after = _Moment(later, pipeline.in_force, pipeline.reader, copy)
                    yield Rehearsal(pipeline, before, after, updated.problems)
        finally:
            copy.lease.release()
            copy.close()


def preview_feed(config: Config, store: Store, slug: str, now: datetime) -> FeedTrial:
    """What the feed shows, and what it would at `now` under this config. Raises NotFoundError."""
    with store.read() as connection:
        site_id = read_meta(connection, "site_id") or default_site_id(config)
    pipeline = Pipeline(config, store, site_id)
    if pipeline.is_in_force():
        with store.read() as connection:
            today = _Moment(connection, pipeline.in_force, pipeline.reader, store)
            rehearsal = Rehearsal(pipeline, today, today, ())
            trial, slugs = rehearsal.feed(slug), rehearsal.slugs
    else:
        with rehearse(config, now, scan=False) as rehearsal:
            trial, slugs = rehearsal.feed(slug), rehearsal.slugs
    if trial is not None:
        return trial
    near = get_close_matches(slug, sorted(slugs), n=3)
    todo = f"did you mean {' or '.join(map(repr, near))}?" if near else "see them with: aggregator feeds"
    raise NotFoundError(f"there is no feed {slug!r} ({todo})")


def lost_urls(config: Config, now: datetime) -> list[Problem]:
    """A warning for each URL that subscribers have and this config would take away; none without a store."""
    try:
        store = open_store(config.store.url, create=False)
        try:
            if Pipeline(config, store, default_site_id(config)).is_in_force():
                return []
        finally:
            store.close()
        with rehearse(config, now, scan=False) as rehearsal:
            gone = [one for one in rehearsal.urls() if one.target is None]
    except StoreError:
        return []
    path = str(config.path or "")
    return [
        Problem(path, 0, 0, "subscribers of this URL would get 410", f"/{one.url}", f"keep it {one.keep}", "warning")
        for one in gone
    ]


def _titles(entries: tuple[Entry, ...]) -> dict[str, str]:
    return {one.id: one.content.title for one in entries}
