"""The published feeds, as they are in the store. Reads only; `status` and `feeds` need no more of this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from aggregator.model import FeedSummary, Topic
from aggregator.settings import FeedPolicy
from aggregator.slugs import topic_slug
from aggregator.store.schema import ALL_FEED, AnyRow, feed, old_slug
from aggregator.store.session import from_us

OF_TOPIC = (feed.c.topic.is_not(None), feed.c.slug.is_not(None), feed.c.rule.is_(None))
"""Feeds of topics, except those that a configured feed replaces."""


def published_feeds(policy: FeedPolicy, *columns: Any) -> Select[Any]:
    """The published feeds: `all`, configured feeds and, with `topics.auto`, feeds of topics. The statement is cached by
    the columns."""
    return _cached_published_feeds(policy.auto, columns)


def build_published_feeds(auto: bool, columns: tuple[Any, ...]) -> Select[Any]:
    """The same without the cache, for columns that are made for one statement."""
    kinds: list[ColumnElement[bool]] = [feed.c.id == ALL_FEED, feed.c.rule.is_not(None)]
    if auto:
        kinds.append(feed.c.topic.is_not(None))
    return select(*columns).where(feed.c.slug.is_not(None), or_(*kinds)).order_by(feed.c.slug)


# SQLAlchemy takes longer to build a statement than SQLite takes to run it
_cached_published_feeds = lru_cache(maxsize=32)(build_published_feeds)


def feed_rows(connection: Connection, policy: FeedPolicy) -> dict[str, AnyRow]:
    """The rows of the published feeds, by slug."""
    return {row.slug: row for row in connection.execute(published_feeds(policy, feed))}


def summarise_feeds(connection: Connection, policy: FeedPolicy, site_title: str) -> tuple[FeedSummary, ...]:
    """The list of published feeds: `all`, then the others by title."""
    columns = (feed.c.id, feed.c.slug, feed.c.topic, feed.c.title, feed.c.size, feed.c.newest_at, feed.c.updated_at)
    rows = connection.execute(published_feeds(policy, *columns, feed.c.stale_at)).all()
    slugs = {row.topic: row.slug for row in rows if row.topic is not None}
    ageing = {spec.slug for spec in policy.specs.values() if spec.max_age is not None}
    return tuple(
        FeedSummary(
            row.slug,
            row.title,
            describe(row, policy, row.title, site_title),
            row.size,
            None if row.newest_at is None else from_us(row.newest_at),
            from_us(row.updated_at),
            slugs.get(policy.tables.parents.get(row.topic, ""), ""),
            not row.size or (row.slug in ageing and row.stale_at is None),
        )
        for row in sorted(rows, key=lambda row: (row.id != ALL_FEED, row.title.casefold(), row.slug))
    )


def topic_slugs(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The slug of every topic whose feed is published, by topic key."""
    rows = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug).where(feed.c.topic.is_not(None)))
    return {row.topic: row.slug for row in rows}


def describe(row: AnyRow, policy: FeedPolicy, title: str, site_title: str) -> str:
    """The description of the feed of `row`, which has this title."""
    spec = policy.specs.get(row.slug)
    if configured := (spec.description if spec else "") or policy.tables.descriptions.get(row.topic, ""):
        return configured
    return f"Everything from {site_title}" if row.id == ALL_FEED else f"{title} from {site_title}"


# terms of topics


class TopicTerms:
    """The category terms of topics: the slug of the topic's feed, else its pin, else a slug that no other topic has."""

    def __init__(self, slugs: Mapping[str, str], configured: frozenset[str], pins: Mapping[str, str]) -> None:
        self.published = frozenset(slugs.values()) | configured
        self._terms, self._configured = {**pins, **slugs}, configured
        self._taken = self.published.union(pins.values())
        self._topics: dict[tuple[str, str], Topic] = {}

    def term(self, key: str) -> str:
        """The term of the topic with this key. A configured feed with the slug of the topic replaces its feed."""
        if key not in self._terms:
            plain = topic_slug(key, ())
            self._terms[key] = plain if plain in self._configured else topic_slug(key, self._taken, is_own=True)
        return self._terms[key]

    def topic(self, named: tuple[str, str]) -> Topic:
        """The topic of a (key, shown name)."""
        topic = self._topics.get(named)
        if topic is None:
            key, name = named
            topic = self._topics[named] = Topic(self.term(key), name)
        return topic


def read_topic_terms(connection: Connection, policy: FeedPolicy) -> TopicTerms:
    """The category terms of topics; the same object while they are the same, because caches of entries look for it."""
    slugs, pins = topic_slugs(connection, policy), policy.tables.slugs
    return _topic_terms(tuple(slugs.items()), frozenset(policy.specs), tuple(pins.items()))


@lru_cache(maxsize=4)
def _topic_terms(
    slugs: tuple[tuple[str, str], ...], configured: frozenset[str], pins: tuple[tuple[str, str], ...]
) -> TopicTerms:
    return TopicTerms(dict(slugs), configured, dict(pins))


# topics without a feed, and slugs


def topics_without_feed(connection: Connection, policy: FeedPolicy) -> list[str]:
    """The titles of topics that have enough entries and no feed, because `max_feeds` is reached."""
    return topic_titles(waiting_topics(connection, policy), policy) if policy.auto else []


def pinnable_slugs(connection: Connection, policy: FeedPolicy) -> list[tuple[str, str]]:
    """The name and the slug of every topic whose feed is published, by slug, without aliases."""
    if not policy.auto:
        return []
    columns = (feed.c.topic, feed.c.slug, feed.c.topic_name)
    rows = connection.execute(select(*columns).where(*OF_TOPIC).order_by(feed.c.slug))
    return [(row.topic_name, row.slug) for row in rows if row.topic not in policy.tables.alias]


def topic_titles(rows: Collection[AnyRow], policy: FeedPolicy) -> list[str]:
    """The titles of the feeds of topics."""
    return [policy.tables.titles.get(row.topic) or row.topic_name for row in rows]


def waiting_topics(connection: Connection, policy: FeedPolicy) -> list[AnyRow]:
    """Topics that have enough entries and no feed, by name. One entry is enough for a topic that had a feed.

    A topic that a configured feed replaces gets no feed of its own: the one whose row it took, else the first that
    would have its slug. A pin gives a feed of its own.
    """
    pins = policy.tables.slugs
    columns = (feed.c.id, feed.c.topic, feed.c.topic_name, feed.c.uid, feed.c.changed_at)
    without_feed = select(*columns).where(feed.c.slug.is_(None), feed.c.topic.is_not(None), _has_enough(policy))
    rows = connection.execute(without_feed.order_by(feed.c.topic)).all()
    if not rows:
        return []
    replacing = (feed.c.slug.in_(policy.specs), feed.c.topic.is_not(None), feed.c.rule.is_not(None))
    free = policy.specs.keys() - connection.scalars(select(feed.c.slug).where(*replacing)).all()
    waiting = []
    for row in rows:
        slug = topic_slug(row.topic)
        if slug in free and row.topic not in pins:
            free.discard(slug)
        else:
            waiting.append(row)
    return waiting


def _has_enough(policy: FeedPolicy) -> ColumnElement[bool]:
    """Whether a topic without a feed has enough entries for one: a feed once published stays, so the first is enough
    for a topic that had one, unless a configured feed has its old slugs."""
    enough = feed.c.size >= policy.min_entries
    if policy.min_entries == 1:
        return enough
    configured = {slug for spec in policy.specs.values() for slug in (spec.slug, *spec.old_slugs)}
    returning = select(old_slug.c.feed_id).where(old_slug.c.slug.not_in(configured))
    return or_(enough, and_(feed.c.size > 0, feed.c.id.in_(returning)))


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
