"""The slugs of topics' feeds: which are published, which topics had before, and where those lead.

A slug once given stays with its topic. A feed leaves its slug in `old_slug` when it moves, when it has been empty for
long, and when its topic becomes another spelling of a topic. No other topic gets that slug. It leads to where the
topic's feed is now, and is the topic's again when its feed comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, or_, select, update

from aggregator.settings import FeedPolicy
from aggregator.slugs import topic_slug
from aggregator.store.schema import ALL_FEED, AnyRow, feed, old_slug
from aggregator.store.session import Writer, span_us, upsert

OF_TOPIC = (feed.c.topic.is_not(None), feed.c.slug.is_not(None), feed.c.rule.is_(None))
"""The feeds of topics, save those in whose place the config has another."""


class OldSlugs(NamedTuple):
    """The slugs that topics had before, which no other topic gets."""

    topics: Mapping[str, str]  # the topic of each slug
    slugs: Mapping[str, list[str]]  # the slugs of each topic, the latest first

    def choose(self, topic: str, taken: Collection[str], alias: Mapping[str, str]) -> str:
        """The slug that the topic gets: the last that it had and that is free, else one of its name."""
        for slug in self.slugs.get(topic, ()):
            if slug not in taken:
                return slug
        others = {slug for slug, owner in self.topics.items() if alias.get(owner, owner) != topic}
        return topic_slug(topic, {*taken, *others} if others else taken)


def published_feeds(policy: FeedPolicy, *columns: Any) -> Select[Any]:
    """The feeds that people may subscribe to: `all`, the feeds of the config and, if wanted, of topics."""
    kinds: list[ColumnElement[bool]] = [feed.c.id == ALL_FEED, feed.c.rule.is_not(None)]
    if policy.auto:
        kinds.append(feed.c.topic.is_not(None))
    return select(*columns).where(feed.c.slug.is_not(None), or_(*kinds)).order_by(feed.c.slug)


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


def topic_moves(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """Where the old slugs of topics lead: to the slug that the feed of each topic has now."""
    topics = read_old_slugs(connection).topics
    if not topics:
        return {}
    published = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug)).all()
    now = {row.topic: row.slug for row in published if row.topic is not None}
    in_use = {row.slug for row in published}.union(policy.specs, *(spec.old_slugs for spec in policy.specs.values()))
    moves = {}
    for slug, owner in topics.items():
        topic = policy.tables.topic(owner)
        target = now.get(topic) or topic_slug(topic)  # a feed of the config with that slug stands for the topic's
        if slug not in in_use and target in in_use:
            moves[slug] = target
    return moves


def retire_aliases(writer: Writer, policy: FeedPolicy) -> None:
    """Takes the slugs of topics that are other spellings now; what they had leads to the topic itself."""
    alias = policy.tables.alias
    if not alias:
        return
    with writer.read() as connection:
        rows = connection.execute(_identified().where(*OF_TOPIC, feed.c.topic.in_(alias))).all()
    _retire(writer, rows)


def retire_empty(writer: Writer, policy: FeedPolicy) -> list[str]:
    """Takes the slugs of topics that have had no entry for `keep_empty`; returns those slugs."""
    since = writer.now - span_us(policy.keep_empty)
    with writer.read() as connection:
        rows = connection.execute(_identified().where(*OF_TOPIC, feed.c.unused_since <= since, feed.c.size == 0)).all()
    _retire(writer, rows)
    return [row.slug for row in rows]


def note_old_slugs(connection: Connection, writer: Writer, rows: Collection[AnyRow]) -> None:
    """Keeps the slugs that feeds of topics have until now."""
    upsert(connection, old_slug, [{"slug": row.slug, "feed_id": row.id, "since": writer.now} for row in rows])


def forget_old_slugs(connection: Connection, slugs: Collection[str]) -> None:
    """Slugs that are in use again lead nowhere else."""
    connection.execute(delete(old_slug).where(old_slug.c.slug.in_(slugs)))


def _identified() -> Select[Any]:
    return select(feed.c.id, feed.c.slug, feed.c.born_slug, feed.c.minted_from).order_by(feed.c.id)


def _retire(writer: Writer, rows: Collection[AnyRow]) -> None:
    """Takes the slugs of feeds, which keep what their Atom ids are minted from."""
    if not rows:
        return
    with writer.write() as connection:
        note_old_slugs(connection, writer, rows)
        for row in rows:
            minted = row.minted_from or row.born_slug or row.slug
            values = {"slug": None, "born_slug": None, "minted_from": minted, "unused_since": None}
            connection.execute(update(feed).where(feed.c.id == row.id).values(values))
