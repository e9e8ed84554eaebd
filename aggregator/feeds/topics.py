"""Topics as the config's tables have them: which of them its changes concern, what their feeds are called and where.

The links of aliases and parents that every entry was last tried by are kept in `meta`, with the topics that are in
doubt while entries are tried; so are names and addresses, to be compared with in every cycle.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from sqlalchemy import Connection, bindparam, or_, select, update

from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.slugs import OF_TOPIC, forget_old_slugs, note_old_slugs, read_old_slugs, retire_aliases
from aggregator.feeds.window import json_digest
from aggregator.settings import FeedPolicy, Rule
from aggregator.store.schema import ALL_FEED, feed
from aggregator.store.session import Writer, read_meta, write_meta
from aggregator.topics import TopicTables

_LINKS, _NAMES = "topic_links", "topic_names"


def moved_topics(connection: Connection, tables: TopicTables) -> frozenset[str]:
    """The topics that some entries may be in by these tables and not by those they were tried by, or the reverse."""
    kept = json.loads(read_meta(connection, _LINKS) or "{}")
    before = TopicTables(alias=kept.get("alias", {}), parents=kept.get("parents", {}))
    spellings = {*before.alias, *before.parents, *tables.alias, *tables.parents}
    moved = (frozenset(before.lineage(key)) ^ frozenset(tables.lineage(key)) for key in spellings)
    return frozenset(kept.get("doubt", ())).union(*moved)


def keep_links(connection: Connection, tables: TopicTables, doubt: Collection[str] = ()) -> None:
    """Remembers the links of these tables, and which topics entries have yet to be tried for."""
    kept = {"alias": tables.alias, "parents": tables.parents, "doubt": sorted(doubt)}
    write_meta(connection, _LINKS, json.dumps(kept, ensure_ascii=False))


def asks_for(rule: Rule, topics: Collection[str]) -> bool:
    """Whether the rule names one of the topics."""
    return any(key in topics for values in (rule.topics.any, rule.topics.all, rule.topics.none) for key in values)


def name_topics(writer: Writer, feeds: ActiveFeeds, stated: Collection[str]) -> None:
    """Gives the feeds of topics the titles and slugs of the tables, if these have changed, and takes the slugs of
    topics that are other spellings.

    A pinned slug goes before the one that was given, of this topic and of any other; the feed keeps its id. `stated`
    are the slugs of the config's own feeds.
    """
    retire_aliases(writer, feeds.policy)
    tables = feeds.tables
    names = json_digest([sorted(tables.titles.items()), sorted(tables.slugs.items())]).hex()
    with writer.read() as connection:
        known = read_meta(connection, _NAMES)
    if names == known or (known is None and not tables.titles and not tables.slugs):
        return
    with writer.write() as connection:
        _give_titles(connection, writer, tables)
        _give_pins(connection, writer, feeds, stated)
        write_meta(connection, _NAMES, names)


def _give_titles(connection: Connection, writer: Writer, tables: TopicTables) -> None:
    titles = tables.titles
    columns = (feed.c.id, feed.c.topic, feed.c.title, feed.c.topic_title, feed.c.updated_at)
    for row in connection.execute(select(*columns).where(feed.c.topic.is_not(None), feed.c.rule.is_(None))).all():
        own = row.topic_title or row.title
        title = titles.get(row.topic, own)
        if title != row.title:
            values = {"title": title, "topic_title": own if row.topic in titles else None, "touched": True}
            values["updated_at"] = max(row.updated_at, writer.now)
            connection.execute(update(feed).where(feed.c.id == row.id).values(values))


def _give_pins(connection: Connection, writer: Writer, feeds: ActiveFeeds, stated: Collection[str]) -> None:
    pins = feeds.tables.slugs
    columns = (feed.c.id, feed.c.topic, feed.c.slug, feed.c.born_slug, feed.c.minted_from)
    theirs = (feed.c.slug.is_not(None), feed.c.rule.is_(None), feed.c.id != ALL_FEED)
    rows = connection.execute(select(*columns).where(*theirs).order_by(feed.c.topic)).all()
    pinned = frozenset(pins.values())
    moving = [row for row in rows if pins.get(row.topic, "" if row.slug in pinned else row.slug) != row.slug]
    if not moving:
        return
    connection.execute(update(feed).where(feed.c.id.in_([row.id for row in moving])).values(slug=None))
    taken = {*connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None))), *pinned, *stated}
    taken |= feeds.old_slugs
    moving = [row for row in moving if row.topic is not None]  # the others are feeds that the config names no more
    note_old_slugs(connection, writer, moving)
    old = read_old_slugs(connection)
    changes = []
    for row in moving:
        slug = pins.get(row.topic) or old.choose(row.topic, taken, feeds.tables.alias)
        taken.add(slug)
        minted = row.minted_from or row.born_slug or row.slug
        changes.append({"feed_id": row.id, "given": slug, "minted": None if minted == slug else minted})
    if changes:
        connection.execute(
            update(feed)
            .where(feed.c.id == bindparam("feed_id"))
            .values(slug=bindparam("given"), minted_from=bindparam("minted"), born_slug=None, touched=True),
            changes,
        )
        forget_old_slugs(connection, [one["given"] for one in changes])


def ids_in_use(connection: Connection) -> set[str]:
    """What the Atom ids of all feeds are minted from."""
    columns = (feed.c.minted_from, feed.c.born_slug, feed.c.slug)
    rows = connection.execute(select(*columns).where(or_(*(column.is_not(None) for column in columns))))
    return {minted or born or slug for minted, born, slug in rows}


def free_id(slug: str, used: set[str]) -> str | None:
    """What to mint the id of a new feed from, where a feed that was moved has that of its slug; it is in use then."""
    minted, take = slug, 1
    while minted in used:
        take += 1
        minted = f"{slug}~{take}"
    used.add(minted)
    return None if minted == slug else minted


def pinnable_slugs(connection: Connection, policy: FeedPolicy) -> list[tuple[str, str]]:
    """The name and the slug of every topic whose feed is published, by slug; not of other spellings of a topic."""
    if not policy.auto:
        return []
    columns = (feed.c.topic, feed.c.slug, feed.c.title, feed.c.topic_title)
    rows = connection.execute(select(*columns).where(*OF_TOPIC).order_by(feed.c.slug))
    return [(row.topic_title or row.title, row.slug) for row in rows if row.topic not in policy.tables.alias]
