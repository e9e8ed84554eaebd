"""The published feeds, as they are in the store. Reads only; `status` and `feeds` need no more of this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from aggregator.model import FeedLink, FeedSummary, Relatives, Topic
from aggregator.settings import FeedPolicy, Site
from aggregator.slugs import topic_slug
from aggregator.store.schema import ALL_FEED, AnyRow, feed, old_slug
from aggregator.store.session import from_us

OF_TOPIC = (feed.c.topic.is_not(None), feed.c.slug.is_not(None), feed.c.rule.is_(None))
"""Feeds of topics, except those that a configured feed replaces."""


def published_feeds(policy: FeedPolicy, *columns: Any) -> Select[Any]:
    """The published feeds: `all`, configured feeds and, with `topics.auto`, feeds of topics. The statement is cached by
    the columns."""
    return _published_feeds(policy.auto, columns)


@lru_cache(maxsize=32)  # SQLAlchemy takes longer to build a statement than SQLite takes to run it
def _published_feeds(auto: bool, columns: tuple[Any, ...]) -> Select[Any]:
    kinds: list[ColumnElement[bool]] = [feed.c.id == ALL_FEED, feed.c.rule.is_not(None)]
    if auto:
        kinds.append(feed.c.topic.is_not(None))
    return select(*columns).where(feed.c.slug.is_not(None), or_(*kinds)).order_by(feed.c.slug)


def feed_rows(connection: Connection, policy: FeedPolicy) -> dict[str, AnyRow]:
    """The rows of the published feeds, by slug."""
    return {row.slug: row for row in connection.execute(published_feeds(policy, feed))}


def summarise_feeds(connection: Connection, policy: FeedPolicy, site: Site) -> tuple[FeedSummary, ...]:
    """The list of published feeds: `all`, then the others by title."""
    columns = (feed.c.id, feed.c.slug, feed.c.topic, feed.c.title, feed.c.size, feed.c.newest_at, feed.c.updated_at)
    rows = connection.execute(published_feeds(policy, *columns, feed.c.stale_at)).all()
    slugs = {row.topic: row.slug for row in rows if row.topic is not None}
    ageing = {spec.slug for spec in policy.specs.values() if spec.max_age is not None}
    return tuple(
        FeedSummary(
            row.slug,
            row.title,
            describe(row, policy, row.title, site),
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


def describe(row: AnyRow, policy: FeedPolicy, title: str, site: Site) -> str:
    """The description of the feed of `row`, which has this title."""
    spec = policy.specs.get(row.slug)
    if configured := (spec.description if spec else "") or policy.tables.descriptions.get(row.topic, ""):
        return configured
    if row.id == ALL_FEED:
        return site.description or f"Everything from {site.title}"
    return f"{title} from {site.title}"


# terms of topics

NO_FAMILY: Mapping[str, Relatives] = MappingProxyType({})
"""No feed has relatives."""


class TopicTerms:
    """The category terms of topics: the slug of the topic's feed, else its pin, else a slug that no other topic has.
    `relatives` are those of each feed that has any, by slug."""

    def __init__(
        self,
        slugs: Mapping[str, str],
        configured: frozenset[str],
        pins: Mapping[str, str],
        relatives: Mapping[str, Relatives] = NO_FAMILY,
    ) -> None:
        self.relatives = relatives
        # part of the versions of documents, so that a page is rendered again when its links differ
        self.relatives_digests = {
            slug: blake2b(repr(found).encode(errors="replace"), digest_size=4).hexdigest()
            for slug, found in relatives.items()
        }
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
    columns, tables = (feed.c.topic, feed.c.slug, feed.c.topic_name), policy.tables
    rows = connection.execute(published_feeds(policy, *columns).where(feed.c.topic.is_not(None))).all()
    links = [(row.topic, FeedLink(row.slug, topic_title(row, policy))) for row in rows if tables.parents]
    slugs = tuple([(row.topic, row.slug) for row in rows])
    pins, parents = tuple(tables.slugs.items()), tuple(tables.parents.items())
    return _topic_terms(slugs, frozenset(policy.specs), pins, tuple(links), parents)


@lru_cache(maxsize=4)
def _topic_terms(
    slugs: tuple[tuple[str, str], ...],
    configured: frozenset[str],
    pins: tuple[tuple[str, str], ...],
    links: tuple[tuple[str, FeedLink], ...],
    parents: tuple[tuple[str, str], ...],
) -> TopicTerms:
    return TopicTerms(dict(slugs), configured, dict(pins), _find_relatives(dict(links), dict(parents)))


def _find_relatives(links: Mapping[str, FeedLink], parents: Mapping[str, str]) -> dict[str, Relatives]:
    """The relatives of each feed that has any, by slug; `links` are the feeds by topic. Topics without a feed are left
    out, so that what is below them is below the next topic above."""
    lines, children = dict[str, list[FeedLink]](), dict[str, list[FeedLink]]()
    for topic, link in links.items():
        line: list[FeedLink] = []
        above = parents.get(topic)
        while above is not None:
            line += [links[above]] if above in links else []
            above = parents.get(above)
        if line:
            lines[link.slug] = line[::-1]
            children.setdefault(line[0].slug, []).append(link)
    return {
        slug: Relatives(
            tuple(lines.get(slug, ())),
            tuple(sorted(children.get(slug, ()), key=lambda link: (link.title.casefold(), link.slug))),
        )
        for slug in lines.keys() | children.keys()
    }


def topic_title(row: AnyRow, policy: FeedPolicy) -> str:
    """The title of the feed of `row`: as the config says, else the name of the topic, else the slug."""
    spec = policy.specs.get(row.slug)
    configured = (spec.title if spec else "") or policy.tables.titles.get(row.topic)
    return configured or row.topic_name or str(row.slug)


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


def lacking_key(policy: FeedPolicy, slug: str | None, *, is_waiting: bool) -> str | None:
    """The key of [topics] because of which a topic with this slug has no feed; None if it has one. `is_waiting`: it is
    one of the `waiting_topics`."""
    if policy.auto and slug is not None:
        return None
    return "auto" if not policy.auto else "max_feeds" if is_waiting else "min_entries"


def _has_enough(policy: FeedPolicy) -> ColumnElement[bool]:
    """Whether a topic without a feed has enough entries for one. A feed once published stays, so a topic that had one
    needs only one entry, unless a configured feed has its old slugs."""
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
