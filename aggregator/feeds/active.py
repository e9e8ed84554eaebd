"""The feeds of one cycle: which exist, which entries they take, and what the config says about all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from aggregator.feeds.rules import FeedRules
from aggregator.settings import FeedPolicy, Rule
from aggregator.store.schema import ALL_FEED, AnyRow, feed
from aggregator.store.session import Writer, span_us


class ActiveRules(NamedTuple):
    """What the feeds of the config take."""

    rules: Mapping[int, Rule]  # by feed
    old_slugs: frozenset[str]  # their URLs redirect


NO_RULES = ActiveRules({}, frozenset())

_COLUMNS = select(feed.c.id, feed.c.slug, feed.c.topic, feed.c.rule)


class ActiveFeeds:
    """The feeds that entries can join in this cycle, by their keys."""

    def __init__(self, writer: Writer, policy: FeedPolicy) -> None:
        self.policy, self.tables, self.late_us = policy, policy.tables, span_us(policy.late)
        with writer.read() as connection:
            rows = connection.execute(_COLUMNS).all()
        self._next_id = max((row.id for row in rows), default=ALL_FEED) + 1
        self.had_slug_at_start = frozenset(row.id for row in rows if row.slug is not None)
        self._read(rows)

    def reload(self, writer: Writer) -> None:
        """Reads the rows of feeds again. Feeds of the config are idle until `use_rules` has their rules."""
        with writer.read() as connection:
            self._read(connection.execute(_COLUMNS).all())

    def _read(self, rows: Sequence[AnyRow]) -> None:
        from_config = [row for row in rows if row.id != ALL_FEED and (row.topic is None or row.rule is not None)]
        self.idle = frozenset(row.id for row in from_config)  # nothing joins or leaves: their rule is not known
        self.covered = frozenset(row.topic for row in from_config if row.topic is not None)  # topics
        topic_feeds = {row.topic: row.id for row in rows if row.topic is not None and row.rule is None}
        self.rules = FeedRules({ALL_FEED: Rule()}, topic_feeds)
        self.old_slugs: frozenset[str] = frozenset()  # of feeds of the config; their URLs redirect

    def use_rules(self, active: ActiveRules) -> None:
        """Activates the rules of the feeds of the config."""
        self.idle -= active.rules.keys()
        self.rules = FeedRules({ALL_FEED: Rule(), **active.rules}, self.rules.topic_feeds)
        self.old_slugs = active.old_slugs

    def new_id(self) -> int:
        """The key of a new feed."""
        self._next_id += 1
        return self._next_id - 1
