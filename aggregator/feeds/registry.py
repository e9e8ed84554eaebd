"""Which feeds exist, and what they are called: rows, slugs, titles and ids.

    prepare_feeds -> sync_configured_feeds (configured) -> (entries are placed) -> give_slugs, retire_empty

A slug stays with its topic. A feed leaves its slug in `old_slug` when it moves, when it was empty for `keep_empty`, and
when its topic becomes an alias. No other topic gets that slug. It redirects to the present feed of the topic, and is
given back to the topic when its feed returns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, or_, select, update

from aggregator.documents import ALL
from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.membership import new_feed
from aggregator.feeds.window import TopicTerms, describe
from aggregator.ids import IdMint
from aggregator.model import FeedSummary
from aggregator.settings import FeedPolicy
from aggregator.slugs import topic_slug
from aggregator.store.entries import shown_update, update_entries
from aggregator.store.schema import ALL_FEED, AnyRow, archive_page, entry, feed, feed_entry, old_slug
from aggregator.store.session import Writer, from_us, read_meta, span_us, upsert, write_meta

OF_TOPIC = (feed.c.topic.is_not(None), feed.c.slug.is_not(None), feed.c.rule.is_(None))
"""Feeds of topics, except those that a configured feed replaces."""

_SETTINGS = "shape"
"""A key of `meta`."""


# what exists now


def published_feeds(policy: FeedPolicy, *columns: Any) -> Select[Any]:
    """The published feeds: `all`, configured feeds and, with `topics.auto`, feeds of topics."""
    kinds: list[ColumnElement[bool]] = [feed.c.id == ALL_FEED, feed.c.rule.is_not(None)]
    if policy.auto:
        kinds.append(feed.c.topic.is_not(None))
    return select(*columns).where(feed.c.slug.is_not(None), or_(*kinds)).order_by(feed.c.slug)


def feed_rows(connection: Connection, policy: FeedPolicy) -> dict[str, AnyRow]:
    """The rows of the published feeds, by slug."""
    return {row.slug: row for row in connection.execute(published_feeds(policy, feed))}


def summarise_feeds(connection: Connection, policy: FeedPolicy, site_title: str) -> tuple[FeedSummary, ...]:
    """The list of published feeds: `all`, then the others by title."""
    rows = connection.execute(published_feeds(policy, feed)).all()
    slugs = {row.topic: row.slug for row in rows if row.topic is not None}
    return tuple(
        FeedSummary(
            row.slug,
            row.title,
            describe(row, policy, row.title, site_title),
            row.size,
            None if row.newest_at is None else from_us(row.newest_at),
            from_us(row.updated_at),
            slugs.get(policy.tables.parents.get(row.topic, ""), ""),
        )
        for row in sorted(rows, key=lambda row: (row.id != ALL_FEED, row.title.casefold(), row.slug))
    )


def topic_slugs(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The slug of every topic whose feed is published, by topic key."""
    rows = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug).where(feed.c.topic.is_not(None)))
    return {row.topic: row.slug for row in rows}


def read_topic_terms(connection: Connection, policy: FeedPolicy) -> TopicTerms:
    """The category terms of topics."""
    return TopicTerms(topic_slugs(connection, policy), frozenset(policy.specs), policy.tables.slugs)


def topics_without_feed(connection: Connection, policy: FeedPolicy) -> list[str]:
    """The titles of topics that have enough entries and no feed, because `max_feeds` is reached."""
    return _topic_titles(_waiting_topics(connection, policy), policy) if policy.auto else []


def pinnable_slugs(connection: Connection, policy: FeedPolicy) -> list[tuple[str, str]]:
    """The name and the slug of every topic whose feed is published, by slug, without aliases."""
    if not policy.auto:
        return []
    columns = (feed.c.topic, feed.c.slug, feed.c.topic_name)
    rows = connection.execute(select(*columns).where(*OF_TOPIC).order_by(feed.c.slug))
    return [(row.topic_name, row.slug) for row in rows if row.topic not in policy.tables.alias]


# before a cycle


def prepare_feeds(writer: Writer, settings: str) -> None:
    """Creates `all` in a new store, and marks feeds dirty after a change of the config or when an entry reaches
    `max_age`.

    `settings` is the fingerprint of all settings that affect documents, except rules.
    """
    stale = (feed.c.stale_at <= writer.now, ~feed.c.dirty)
    with writer.read() as connection:
        is_new = connection.execute(select(feed.c.id).where(feed.c.id == ALL_FEED)).first() is None
        changed = read_meta(connection, _SETTINGS) != settings
        any_stale = connection.execute(select(feed.c.id).where(*stale).limit(1)).first() is not None
    if not (is_new or changed or any_stale):
        return
    with writer.write() as connection:
        if is_new:
            row = new_feed(writer, ALL_FEED, None, ALL) | {"slug": ALL, "uid": writer.mint.feed_id(ALL)}
            connection.execute(insert(feed).values(row))
        if changed:
            connection.execute(update(feed).values(dirty=True))
            write_meta(connection, _SETTINGS, settings)
            _forget_future_updates(connection, writer)
        connection.execute(update(feed).where(*stale).values(dirty=True))


def _forget_future_updates(connection: Connection, writer: Writer) -> None:
    """Removes updates in the future, once in the life of a store: older versions believed a record that stated such an
    update, and its feeds kept it."""
    if read_meta(connection, "late_updates") is not None:
        return
    write_meta(connection, "late_updates", "forgotten")
    columns = "id dated_at released_at published_at edited_at returned_at stored_at".split()
    future = (entry.c.stated_update_at > writer.now, entry.c.updated_at > writer.now)
    changes = []
    for row in connection.execute(select(*(entry.c[name] for name in columns)).where(*future)):
        published = row.dated_at if row.released_at is None else row.published_at
        updated = shown_update(published, None, row.edited_at, row.returned_at, row.stored_at)
        changes.append({"entry_key": row.id, "stated_update_at": None, "updated_at": updated})
    update_entries(connection, changes)
    for table in (feed, archive_page):  # an empty hash differs from every digest
        changed = update(table).where(table.c.updated_at > writer.now)
        connection.execute(changed.values(updated_at=writer.now, shown_hash=b"", dirty=True))


# slugs and ids


def give_slugs(writer: Writer, feeds: ActiveFeeds) -> list[str]:
    """Gives slugs to the topics that have enough entries now, pins first, then by name.

    At most `max_feeds` topics have a feed. Returns the titles of the others.
    """
    policy, pins = feeds.policy, feeds.tables.slugs
    with writer.read() as connection:
        waiting = _waiting_topics(connection, policy)
        number = connection.scalar(select(func.count()).select_from(feed).where(*OF_TOPIC)) if waiting else 0
    room = max(policy.max_feeds - (number or 0), 0)
    waiting.sort(key=lambda row: row.topic not in pins)
    rows, without_feed = waiting[:room], _topic_titles(waiting[room:], policy)
    if not rows:
        return without_feed
    with writer.write() as connection:
        _free_slugs(connection, writer, {pins.get(row.topic) or topic_slug(row.topic) for row in rows})
        in_use = {*connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None)))}
        taken = {*in_use, *policy.specs, *feeds.old_slugs, *pins.values()}
        used_ids, old = ids_in_use(connection), read_old_slugs(connection)
        changes = []
        for row in rows:
            slug = pins.get(row.topic)
            if slug is None or slug in in_use:
                slug = old.choose(row.topic, taken, policy.tables.alias)
            taken.add(slug)
            uid = row.uid or mint_feed_id(writer.mint, slug, used_ids)
            changes.append({"feed_id": row.id, "new_slug": slug, "new_uid": uid})
        connection.execute(
            update(feed)
            .where(feed.c.id == bindparam("feed_id"))
            .values(
                slug=bindparam("new_slug"),
                uid=bindparam("new_uid"),
                dirty=True,
                changed_at=writer.now,
                updated_at=writer.now,
            ),
            changes,
        )
        if old.topics:
            forget_old_slugs(connection, [change["new_slug"] for change in changes])
        if policy.min_entries > 1:
            _mark_companions_dirty(connection, [row.id for row in rows])
    return without_feed


def _topic_titles(rows: Collection[AnyRow], policy: FeedPolicy) -> list[str]:
    return [policy.tables.titles.get(row.topic) or row.topic_name for row in rows]


def _waiting_topics(connection: Connection, policy: FeedPolicy) -> list[AnyRow]:
    """Topics that have enough entries and no feed, by name.

    A topic whose slug a configured feed has gets no feed of its own, unless it is pinned.
    """
    pins = policy.tables.slugs
    enough = (feed.c.slug.is_(None), feed.c.topic.is_not(None), feed.c.size >= policy.min_entries)
    columns = (feed.c.id, feed.c.topic, feed.c.topic_name, feed.c.uid)
    rows = connection.execute(select(*columns).where(*enough).order_by(feed.c.topic)).all()
    return [row for row in rows if row.topic in pins or topic_slug(row.topic) not in policy.specs]


def _free_slugs(connection: Connection, writer: Writer, wanted: Collection[str]) -> None:
    """Takes the wanted slugs from removed feeds."""
    removed = (feed.c.topic.is_(None), feed.c.id != ALL_FEED, feed.c.rule.is_(None), feed.c.slug.in_(wanted))
    for row in connection.execute(select(feed.c.id, feed.c.slug, feed.c.uid).where(*removed)).all():
        connection.execute(update(feed).where(feed.c.id == row.id).values(without_slug(row, writer.mint)))


def _mark_companions_dirty(connection: Connection, feed_ids: list[int]) -> None:
    """Marks the feeds dirty that have entries of these feeds: entries link to the feeds of their topics."""
    members = select(feed_entry.c.entry_id).where(feed_entry.c.feed_id.in_(feed_ids), feed_entry.c.left_at.is_(None))
    companions = select(feed_entry.c.feed_id).where(feed_entry.c.entry_id.in_(members), feed_entry.c.left_at.is_(None))
    connection.execute(update(feed).where(feed.c.id.in_(companions)).values(dirty=True))


def ids_in_use(connection: Connection) -> set[str]:
    """The ids that feeds have."""
    return {*connection.scalars(select(feed.c.uid).where(feed.c.uid.is_not(None)))}


def mint_feed_id(mint: IdMint, slug: str, used: set[str]) -> str:
    """The id of a new feed: made from its slug, or from `slug~2` if another feed has that id. Adds it to `used`."""
    uid, take = mint.feed_id(slug), 1
    while uid in used:
        take += 1
        uid = mint.feed_id(f"{slug}~{take}")
    used.add(uid)
    return uid


def without_slug(row: AnyRow, mint: IdMint) -> dict[str, Any]:
    """The values of a feed that loses its slug for good. An id that is made from the slug goes to its next feed."""
    return {"slug": None} | ({"uid": None} if row.uid == mint.feed_id(row.slug) else {})


class OldSlugs(NamedTuple):
    """The slugs that topics had before."""

    topics: Mapping[str, str]  # the topic of each slug
    slugs: Mapping[str, list[str]]  # the slugs of each topic, the latest first

    def choose(self, topic: str, taken: Collection[str], alias: Mapping[str, str]) -> str:
        """The slug for a topic: the last that it had and that is free, else one made from its name."""
        for slug in self.slugs.get(topic, ()):
            if slug not in taken:
                return slug
        others = {slug for slug, owner in self.topics.items() if alias.get(owner, owner) != topic}
        return topic_slug(topic, {*taken, *others} if others else taken)


def read_old_slugs(connection: Connection) -> OldSlugs:
    """The slugs that topics had before."""
    rows = connection.execute(
        select(old_slug.c.slug, feed.c.topic)
        .join(feed, feed.c.id == old_slug.c.feed_id)
        .order_by(old_slug.c.since.desc(), old_slug.c.slug)
    )
    topics: dict[str, str] = {row.slug: row.topic for row in rows}
    slugs: dict[str, list[str]] = {}
    for slug, topic in topics.items():
        slugs.setdefault(topic, []).append(slug)
    return OldSlugs(topics, slugs)


def keep_old_slugs(connection: Connection, writer: Writer, rows: Collection[AnyRow]) -> None:
    """Stores the slugs of these feeds as old ones."""
    upsert(connection, old_slug, [{"slug": row.slug, "feed_id": row.id, "since": writer.now} for row in rows])


def forget_old_slugs(connection: Connection, slugs: Collection[str]) -> None:
    """Removes slugs that are in use again."""
    connection.execute(delete(old_slug).where(old_slug.c.slug.in_(slugs)))


def retire_empty(writer: Writer, policy: FeedPolicy) -> bool:
    """Takes the slugs of topics that have had no entry for `keep_empty`; True if there are any."""
    since = writer.now - span_us(policy.keep_empty)
    return retire(writer, feed.c.unused_since <= since, feed.c.size == 0)


def retire(writer: Writer, *conditions: ColumnElement[bool]) -> bool:
    """Moves the slugs of these feeds of topics to `old_slug`. The feeds keep their ids."""
    with writer.read() as connection:
        query = select(feed.c.id, feed.c.slug).where(*OF_TOPIC, *conditions).order_by(feed.c.id)
        rows = connection.execute(query).all()
    if rows:
        with writer.write() as connection:
            keep_old_slugs(connection, writer, rows)
            retired = update(feed).where(feed.c.id.in_([row.id for row in rows]))
            connection.execute(retired.values(slug=None, unused_since=None))
    return bool(rows)
