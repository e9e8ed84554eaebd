"""Feeds of the config: their rows, and every entry tried against a rule that is new or has changed.

specs -> rows made, renamed, taken from topics, given back -> entries tried in batches -> the rules are in force
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection, Select, insert, or_, select, update

from aggregator.feeds.membership import Placing, meet_topics, new_feed, try_entries
from aggregator.feeds.rules import FeedRules, rule_text
from aggregator.feeds.topics import asks_for, free_id, ids_in_use, keep_links, moved_topics, name_topics
from aggregator.model import read_content
from aggregator.settings import FeedSpec, Rule
from aggregator.store.schema import ENTRY_OUT, AnyRow, entry, feed
from aggregator.store.session import ALL_FEED, Writer

BATCH = 1000
"""How many entries are tried in one transaction."""
IN_DOUBT = ""
"""What `rule` of a feed is while entries are tried: the old rule is not true of it any more, the new one not yet."""

_ROW = tuple(
    getattr(feed.c, name) for name in ("id", "slug", "born_slug", "topic", "topic_title", "title", "rule", "updated_at")
)


def open_feeds(writer: Writer, specs: Collection[FeedSpec], stopped: Callable[[], None]) -> None:
    """Brings the feeds of the config to what `specs` say, and `writer` to their rules.

    A feed takes over the row of the topic with its slug, or of the feed that it has moved from; a topic gets its row
    back when the table is gone. Where a rule is new, every entry that is out is tried again, in batches: what `stopped`
    raises between two of them costs no more than trying again.
    """
    opening = _Opening(writer, specs)
    tables = writer.policy.tables
    if opening.added or opening.changed or opening.moved:
        with writer.write() as connection:
            if opening.moved:
                keep_links(connection, tables, opening.moved)
            # slugs that are given up first: no two feeds have the same, not for a moment
            for feed_id, values in sorted(opening.changed.items(), key=lambda one: one[1].get("slug", "") is not None):
                connection.execute(update(feed).where(feed.c.id == feed_id).values(values))
            if opening.added:
                used = ids_in_use(connection)
                for row in opening.added:
                    row["minted_from"] = free_id(row["born_slug"] or row["slug"], used)
                connection.execute(insert(feed), opening.added)
    if opening.settled or opening.moved:
        _try_all(writer, opening, stopped)
        with writer.write() as connection:
            for feed_id, values in opening.settled.items():
                free = _free_slug(connection, feed_id, values)
                connection.execute(update(feed).where(feed.c.id == feed_id).values(free))
            if opening.moved:
                keep_links(connection, tables)
    if opening.added or opening.changed or opening.settled or opening.moved:
        writer.read_feeds()
    writer.use_rules(opening.rules, opening.old_slugs)
    name_topics(writer, [spec.slug for spec in specs])


class _Opening:
    """What has to change for the feeds to be as `specs` say.

    `added` and `changed` are rows and values of rows, by key, from before entries are tried; `settled` those from after
    it, of the feeds whose rule is not in force. `rules` are those of the config, `returning` feeds by their topics.
    `moved` are topics that other entries are in than before, by the tables of topics.
    """

    def __init__(self, writer: Writer, specs: Collection[FeedSpec]) -> None:
        self._writer = writer
        self.old_slugs = frozenset(old for spec in specs for old in spec.old_slugs)
        self._slugs = frozenset(spec.slug for spec in specs)
        self.added: list[dict[str, Any]] = []
        self.changed: dict[int, dict[str, Any]] = {}
        self.settled: dict[int, dict[str, Any]] = {}
        self.rules: dict[int, Rule] = {}
        self.returning: dict[str, int] = {}
        self._tables = writer.policy.tables
        with writer.read() as connection:
            self.moved = moved_topics(connection, self._tables)
            rows = {row.slug: row for row in connection.execute(self._concerned())}
        for spec in specs:
            self._open(spec, rows)
        for row in rows.values():
            self._close(row)

    def _concerned(self) -> Select[Any]:
        """The rows of feeds that are of the config, were once, or are in its way."""
        names = self._slugs | self.old_slugs
        mine = or_(feed.c.rule.is_not(None), feed.c.slug.in_(names), feed.c.born_slug.in_(names))
        return select(*_ROW).where(mine, feed.c.slug.is_not(None), feed.c.id != ALL_FEED).order_by(feed.c.id)

    def _open(self, spec: FeedSpec, rows: dict[str, AnyRow]) -> None:
        """Gives a feed its row, which is no longer among `rows` then."""
        row = rows.pop(self._slug_until_now(spec, rows), None)
        text = rule_text(spec.rule)
        in_force = row is not None and row.rule == text and not asks_for(spec.rule, self.moved)
        if row is None:
            feed_id = self._writer.new_feed_id()
            born = {"born_slug": next(iter(spec.old_slugs), None), "rule": IN_DOUBT}
            made = new_feed(self._writer, feed_id, None, spec.title or spec.slug)
            self.added.append(made | {"slug": spec.slug} | born)
        else:
            feed_id = row.id
            self._change(row, self._stated(spec, row) | ({} if in_force else {"rule": IN_DOUBT}))
        self.rules[feed_id] = spec.rule
        if not in_force:
            self._settle(feed_id, row, {"rule": text})

    def _slug_until_now(self, spec: FeedSpec, rows: dict[str, AnyRow]) -> str:
        """The slug that the feed has in the store: its own, the one it moves from, or one that it had in between."""
        free = {slug: row for slug, row in rows.items() if slug not in self._slugs}
        names = (spec.slug, *spec.old_slugs)
        known = [name for name in spec.old_slugs if name in free and free[name].rule is not None]
        if spec.slug in rows and not (known and _is_retired(rows[spec.slug])):
            return spec.slug
        known += [name for name in names if name in free]
        known += [slug for slug, row in free.items() if row.born_slug in names]
        return known[0] if known else spec.slug

    def _stated(self, spec: FeedSpec, row: AnyRow) -> dict[str, Any]:
        """What the row of a feed says of it, rule aside."""
        topic_title = row.topic_title or (row.title if row.topic is not None else None)
        born = row.born_slug or (row.slug if row.slug != spec.slug else None)
        return {
            "slug": spec.slug,
            "born_slug": None if born == spec.slug else born,
            "topic_title": topic_title,
            "title": spec.title or self._tables.titles.get(row.topic) or topic_title or spec.slug,
        }

    def _close(self, row: AnyRow) -> None:
        """What becomes of a feed that the config does not name: it is its topic's again, or no more."""
        if row.rule is None:
            if row.slug in self._slugs or (row.topic is not None and row.slug in self.old_slugs):
                self._change(row, {"slug": None})  # its address is that of another feed, or leads to one
        elif row.topic is None:
            self._change(row, {"rule": None})
        else:
            self.returning[row.topic] = row.id
            pins, titles = self._tables.slugs, self._tables.titles
            home = pins.get(row.topic) or row.born_slug or row.slug
            others = self._slugs | self.old_slugs | ({*pins.values()} - {pins.get(row.topic)})
            own = row.topic_title
            values = {
                "rule": None,
                "slug": None if home in others else home,
                "born_slug": None,
                "title": titles.get(row.topic, own),
                "topic_title": own if row.topic in titles else None,
            }
            self._change(row, {"rule": IN_DOUBT})
            self._settle(row.id, row, values)

    def _change(self, row: AnyRow, values: dict[str, Any]) -> None:
        differing = {name: value for name, value in values.items() if value != getattr(row, name)}
        if differing:
            renamed = {"updated_at": max(row.updated_at, self._writer.now)} if "title" in differing else {}
            self.changed[row.id] = differing | renamed | {"touched": True}

    def _settle(self, feed_id: int, row: AnyRow | None, values: dict[str, Any]) -> None:
        updated = max(self._writer.now, row.updated_at if row else 0)
        self.settled[feed_id] = values | {"touched": True, "updated_at": updated}


def _is_retired(row: AnyRow) -> bool:
    """Whether a feed was of the config and is no more."""
    return row.topic is None and row.rule is None


def _try_all(writer: Writer, opening: _Opening, stopped: Callable[[], None]) -> None:
    """Tries every entry that is out against the rules that are not in force, and for the topics that moved."""
    topics = dict(opening.returning)
    rules = FeedRules({key: rule for key, rule in opening.rules.items() if key in opening.settled}, topics)
    last = -1
    while True:
        stopped()
        with writer.write() as connection:
            rows = connection.execute(
                select(entry).where(entry.c.state == ENTRY_OUT, entry.c.id > last).order_by(entry.c.id).limit(BATCH)
            ).all()
            placings = [_placing(row) for row in rows]
            if opening.moved:
                meet_topics(connection, writer, placings)
                known = ((key, writer.rules.topic_feeds.get(key)) for key in opening.moved)
                topics.update((key, feed_id) for key, feed_id in known if feed_id and feed_id not in opening.rules)
            try_entries(connection, writer, placings, rules, {*opening.settled, *topics.values()})
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def _placing(row: AnyRow) -> Placing:
    topics = read_content(row.content).topics
    return Placing(row.id, row.released_at, row.published_at, row.content, topics, row.quality, row.heat)


def _free_slug(connection: Connection, feed_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """The values, without a slug that another feed got meanwhile."""
    if values.get("slug") is None:
        return values
    others = select(feed.c.id).where(feed.c.slug == values["slug"], feed.c.id != feed_id)
    return values | {"slug": None} if connection.scalar(others) is not None else values
