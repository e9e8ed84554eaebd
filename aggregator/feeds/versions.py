"""Versions: a dirty feed gets a new one if a reader could see a difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, literal_column, select, update

from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.archives import (
    MAX_SEALED,
    Keep,
    PageKey,
    Sealer,
    is_complete,
    new_pages,
    refresh_pages,
)
from aggregator.feeds.feed_list import TopicTerms, published_feeds, read_topic_terms, summarise_feeds
from aggregator.feeds.registry import give_slugs, read_new_rules, write_new_rules
from aggregator.feeds.window import FeedLoader, Window, json_digest, links_facts, merged_facts
from aggregator.model import Entry, Feed, FeedSummary
from aggregator.settings import FeedPolicy, Site
from aggregator.store.adopted import has_rss_ids
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import FEED_DIRTY, AnyRow, feed, feed_entry
from aggregator.store.session import Writer, execute_many, from_us, parts, read_meta, to_us, write_meta

FEED_BATCH = 100
MAX_KEPT = 500
"""Most feeds that a refresh keeps in memory for rendering."""
MAX_KEPT_BODIES = 16_000_000
"""Characters of bodies with which it keeps no further feed."""

_REFRESHED_COLUMNS = (
    "title version shown_hash changed_at updated_at newest_at left_out pages stale_at unused_since older".split()
)
_REFRESH = (
    update(feed)
    .where(feed.c.id == bindparam("feed_id"))
    .values({name: bindparam(name) for name in _REFRESHED_COLUMNS} | {"dirty": literal_column("false")})
)
_LAST_WITHDRAWAL = (
    select(feed_entry.c.left_at)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_by == WITHDRAWN)
    .order_by(feed_entry.c.left_at.desc())
    .limit(1)
)


@dataclass(slots=True)
class Refreshed:
    """What a refresh did."""

    terms: TopicTerms
    any_dirty: bool = False
    feeds: dict[str, Feed] = field(default_factory=dict)  # new versions by slug, if there is room; saves loading them
    body_chars: int = 0  # of the bodies in `feeds`
    pages: set[PageKey] = field(default_factory=set)  # archive pages that are new or have a new version
    without_feed: Sequence[str] = ()  # titles of topics with enough entries, in excess of `max_feeds`
    summaries: tuple[FeedSummary, ...] | None = None  # the list of feeds, if it was refreshed too

    def keep(self, feed: Feed) -> None:
        """Keeps a new version for rendering, if there is room."""
        if len(self.feeds) < MAX_KEPT and self.body_chars < MAX_KEPT_BODIES:
            self.feeds[feed.slug] = feed
            self.body_chars += sum(len(entry.content.body_html) for entry in feed.entries)


def refresh_feeds(
    writer: Writer, feeds: ActiveFeeds, loader: FeedLoader, stopped: Callable[[], None], keep: Keep
) -> Refreshed:
    """Gives slugs to topics with enough entries, and a new version to every dirty feed and archive page that a reader
    sees changed. `keep` gets the pages that are sealed."""
    policy = feeds.policy
    without_feed = give_slugs(writer, feeds) if policy.auto else ()
    with writer.read() as connection:
        refreshed = Refreshed(read_topic_terms(connection, policy), without_feed=without_feed)
    sealer = Sealer(loader, refreshed.terms, keep)
    if policy.archive:
        refreshed.pages |= sealer.seal_backfills(writer, stopped)
    dirty = select(feed).where(FEED_DIRTY, feed.c.slug.is_not(None)).order_by(feed.c.id).limit(FEED_BATCH)
    while True:
        stopped()
        with writer.read() as connection:
            rows = connection.execute(dirty).all()
        if not rows:
            break
        refreshed.any_dirty, sealed = True, 0
        changes = []
        with writer.write() as connection:
            new_rules = read_new_rules(connection)
            for row in rows:
                values, new_version = _refresh(connection, writer, sealer, row, new_rules.get(row.id))
                changes.append(values)
                if new_version is not None:
                    refreshed.keep(new_version)
                refreshed.pages |= new_pages(row, values["pages"])
                sealed += (values["pages"] - row.pages) * loader.limit(row)
                if sealed >= MAX_SEALED:  # keep the rest dirty for the next transaction
                    break
            execute_many(connection, _REFRESH, changes)
            if refreshed_ids := new_rules.keys() & {values["feed_id"] for values in changes}:
                write_new_rules(connection, {key: new_rules[key] for key in new_rules.keys() - refreshed_ids})
        if sealed >= MAX_SEALED:
            writer.commit()
    if policy.archive:
        refreshed.pages |= refresh_pages(writer, loader, stopped)
    return refreshed


def _refresh(
    connection: Connection, writer: Writer, sealer: Sealer, row: AnyRow, new_rule_at: int | None
) -> tuple[dict[str, Any], Feed | None]:
    """The values of `_REFRESH` for the feed of `row`, and its new version if it gets one. `new_rule_at`: when it got
    another rule since its last refresh, in µs.

    Compares the feed now with its last version. Both windows are cut at the last change, so time alone changes nothing,
    except when an entry reaches `max_age`.
    """
    loader, terms, cut_at = sealer.loader, sealer.terms, row.changed_at
    window = loader.load(connection, row, cut_at, terms)
    if window.stale_at is not None and window.stale_at <= writer.now:
        cut_at = writer.now
        window = loader.load(connection, row, cut_at, terms)
    values = {"feed_id": row.id} | {name: getattr(row, name) for name in _REFRESHED_COLUMNS} | {"changed_at": cut_at}
    new_version = None
    archive, digest = loader.policy.archive, feed_digest(window, terms)
    is_changed = digest != row.shown_hash
    if not is_changed:
        window = loader.find_older(connection, row, window)
        is_changed = row.older not in (None, json.dumps(window.feed.older))
    if is_changed or (archive and not is_complete(connection, row, window)):
        before = window
        if cut_at != writer.now:
            window = loader.load(connection, row, writer.now, terms, other=before)
        if archive and (pages := sealer.seal_leaving(connection, row, window)) != row.pages:
            values["pages"] = pages
            window = replace(window, feed=replace(window.feed, pages=pages))
        if window is not before:
            digest = feed_digest(window, terms)
        window = loader.find_older(connection, row, window)  # which the digest does not contain
        version, updated = row.version + 1, _latest_change(connection, row, window, writer.now, new_rule_at)
        values |= {"version": version, "shown_hash": digest, "changed_at": writer.now, "updated_at": to_us(updated)}
        new_version = replace(window.feed, version=version, updated=updated)
    is_unused = row.topic is not None and row.rule is None and not row.size
    values |= {
        "title": window.feed.title,
        "newest_at": window.newest_at,
        "stale_at": window.stale_at,
        "left_out": window.omitted.to_json(),
        "older": json.dumps(window.feed.older),
        "unused_since": row.unused_since or writer.now if is_unused else None,
    }
    return values, new_version


def _latest_change(connection: Connection, row: AnyRow, window: Window, now: int, new_rule_at: int | None) -> datetime:
    """The `updated` of a new version: the latest update, release or withdrawal of an entry or the latest rule, or now
    for a new title."""
    times = [from_us(row.updated_at if new_rule_at is None else max(row.updated_at, new_rule_at))]
    times += [entry.updated for entry in window.feed.entries]
    times += map(from_us, connection.scalars(_LAST_WITHDRAWAL, {"feed_id": row.id}))
    if window.last_release is not None:
        times.append(from_us(window.last_release))
    if row.version and window.feed.title != row.title:
        times.append(from_us(now))
    return max(times)


def feed_digest(window: Window, terms: TopicTerms) -> bytes:
    """The digest of everything that a reader of the feed can see, except `updated` and `older`."""
    feed = window.feed
    heading = [feed.title, feed.description, feed.language, feed.image, feed.full, feed.pages]
    entries = [_entry_facts(entry, row, window, terms) for row, entry in zip(window.rows, feed.entries, strict=True)]
    withdrawn = [[entry.id, entry.at.isoformat()] for entry in feed.withdrawn]
    shortened = [sorted(window.omitted.shortened)] if window.omitted.shortened else []
    return json_digest([heading, entries, withdrawn, *shortened])


def _entry_facts(entry: Entry, row: AnyRow, window: Window, terms: TopicTerms) -> list[object]:
    """What the digest of a feed contains of an entry."""
    updated, published = entry.updated.isoformat(), None
    if entry.published is not None:
        published = updated if entry.published is entry.updated else entry.published.isoformat()
    stated, linked = entry.content.topics, terms.published
    topics = [[term, term in linked] if name in stated else [term, term in linked, name] for term, name in entry.topics]
    links = links_facts(row, full=window.feed.full)
    return [entry.id, row.visible_hash.hex(), updated, published, topics, *merged_facts(window.merged, row), *links]


def feed_versions(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The version of every published feed, by slug: a number with a digest, because a store restored from a backup
    reaches the same numbers again with other content. It says whether RSS has ids of its own."""
    rows = connection.execute(published_feeds(policy, feed.c.slug, feed.c.version, feed.c.shown_hash))
    own = "-rss" if has_rss_ids(connection) else ""
    return {row.slug: f"{row.version}-{row.shown_hash.hex()[:12]}{own}" for row in rows}


def document_versions(connection: Connection, policy: FeedPolicy, terms: TopicTerms, *, pages: bool) -> dict[str, str]:
    """The version of the documents of every published feed, by slug: the version of the feed, and with `pages` a digest
    of the relatives that its page links to, which are no part of the feed."""
    digests = terms.relatives_digests if pages else {}
    versions = feed_versions(connection, policy)
    return {slug: f"{version}-{digests[slug]}" if slug in digests else version for slug, version in versions.items()}


def load_feeds(
    connection: Connection,
    loader: FeedLoader,
    terms: TopicTerms,
    slugs: Sequence[str],
    refreshed: Mapping[str, Feed],
) -> Iterator[Feed]:
    """The feeds with these slugs as of their last refresh, in the order given; from `refreshed` if it has the feed.

    The archive is Atom, so RSS does not link to it while it may have the same stories under other ids.
    """
    rss_archive = not has_rss_ids(connection)
    for batch in parts(slugs, FEED_BATCH):
        rows = {row.slug: row for row in connection.execute(select(feed).where(feed.c.slug.in_(batch)))}
        for slug in batch:
            shown = refreshed.get(slug) or loader.load_last(connection, rows[slug], terms).feed
            yield shown if rss_archive else replace(shown, rss_archive=False)


def refresh_index(writer: Writer, policy: FeedPolicy, site: Site, *, pages: bool) -> tuple[FeedSummary, ...]:
    """Gives the list of feeds a new version if it shows something new; with `pages` it shows numbers and dates too.
    Returns the list."""
    with writer.read() as connection:
        summaries = summarise_feeds(connection, policy, site)
        version, _, before = (read_meta(connection, "index") or "0 ").partition(" ")
    digest = json_digest(
        [
            [feed.slug, feed.title, feed.description, *([feed.entries, str(feed.newest), feed.parent] if pages else [])]
            for feed in summaries
        ]
    ).hex()
    if digest != before:
        with writer.write() as connection:
            write_meta(connection, "index", f"{int(version) + 1} {digest}")
    return summaries


def index_version(connection: Connection) -> str:
    """The version of the list of feeds, a number with a digest."""
    version, _, digest = (read_meta(connection, "index") or "0 ").partition(" ")
    return f"{version}-{digest[:12]}"
