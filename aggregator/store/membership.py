"""Membership: which entries are in which feeds, since when, and who put them out. Rows are closed, never deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from aggregator.model import Rule
from aggregator.naming import topic_key
from aggregator.rules import matching_feeds
from aggregator.store.tables import NEVER, AnyRow, feed, feed_entry
from aggregator.store.writer import ALL_FEED, Writer, add_to_sizes

WITHDRAWN = "withdrawn"
_RULES = {ALL_FEED: Rule()}


@dataclass(frozen=True, slots=True)
class Placing:
    """An entry that is out and the topics that say where. `first`: it was never in a feed; `shown`: readers can see
    that it changed."""

    entry_id: int
    released_at: int
    published_at: int | None
    topics: tuple[str, ...]
    first: bool
    shown: bool


def place_entries(connection: Connection, writer: Writer, placings: Collection[Placing]) -> None:
    """Puts entries into the feeds that they belong in now and out of the others, and marks those feeds touched."""
    memberships = _memberships(connection, [placing.entry_id for placing in placings if not placing.first])
    joins: list[dict[str, object]] = []
    returns: list[tuple[int, int]] = []
    leaves: list[tuple[int, int]] = []
    moved: list[tuple[int, int]] = []
    sizes: Counter[int] = Counter()
    for placing in placings:
        wanted = _wanted_feeds(connection, writer, placing.topics)
        rows = memberships.get(placing.entry_id, {})
        for feed_id in sorted(wanted - rows.keys()):
            joins.append(_joining(writer, placing, feed_id))
            sizes[feed_id] += 1
        for feed_id, row in rows.items():
            key = (placing.entry_id, feed_id)
            if feed_id in wanted:
                if row.left_at is not None:
                    returns.append(key)
                    sizes[feed_id] += 1
                elif placing.shown:
                    sizes[feed_id] += 0
            elif row.left_at is None:
                leaves.append(key)
                sizes[feed_id] -= 1
            elif row.left_by == WITHDRAWN:
                moved.append(key)
                sizes[feed_id] += 0
    if joins:
        connection.execute(insert(feed_entry), joins)
    _set_left(connection, returns, None, None)
    _set_left(connection, leaves, writer.now, "topic")
    _set_left(connection, moved, writer.now, "topic")
    add_to_sizes(connection, sizes)


def close_memberships(connection: Connection, writer: Writer, entry_ids: Collection[int]) -> None:
    """Takes withdrawn entries out of all their feeds, and marks those feeds touched."""
    memberships = _memberships(connection, entry_ids)
    closing = [
        (row.entry_id, row.feed_id) for rows in memberships.values() for row in rows.values() if row.left_at is None
    ]
    _set_left(connection, closing, writer.now, WITHDRAWN)
    sizes = Counter({feed_id: 0 for _, feed_id in closing})
    sizes.subtract(feed_id for _, feed_id in closing)
    add_to_sizes(connection, sizes)


def _joining(writer: Writer, placing: Placing, feed_id: int) -> dict[str, object]:
    """The row of an entry that comes into a feed for the first time.

    In a feed that stands already, an entry that was out before and is not old comes on top, or its subscribers would
    never see it.
    """
    released = placing.released_at
    if not placing.first and feed_id in writer.standing and released >= writer.now - writer.late:
        released = writer.now
    return {
        "entry_id": placing.entry_id,
        "feed_id": feed_id,
        "released_at": released,
        "published_at": NEVER if placing.published_at is None else placing.published_at,
        "joined_at": writer.now,
    }


def _wanted_feeds(connection: Connection, writer: Writer, topics: Iterable[str]) -> frozenset[int]:
    """The feeds for these topics; a topic that is new gets its row, named as it is spelled here."""
    for name in topics:
        key = topic_key(name)
        if key not in writer.topic_feeds:
            feed_id = writer.new_feed_id()
            writer.topic_feeds[key] = feed_id
            connection.execute(insert(feed).values(**new_feed(writer, feed_id, key, name)))
    return matching_feeds(topics, _RULES, writer.topic_feeds)


def new_feed(writer: Writer, feed_id: int, topic: str | None, title: str) -> dict[str, object]:
    """The row of a feed that has no slug and no entry yet."""
    return {
        "id": feed_id,
        "topic": topic,
        "title": title,
        "size": 0,
        "touched": True,
        "version": 0,
        "shown_hash": b"",
        "changed_at": writer.now,
        "updated_at": writer.now,
    }


def _memberships(connection: Connection, entry_ids: Collection[int]) -> dict[int, dict[int, AnyRow]]:
    """Open and closed memberships, by entry and feed."""
    found: dict[int, dict[int, AnyRow]] = defaultdict(dict)
    if entry_ids:
        columns = (feed_entry.c.entry_id, feed_entry.c.feed_id, feed_entry.c.left_at, feed_entry.c.left_by)
        for row in connection.execute(select(*columns).where(feed_entry.c.entry_id.in_(entry_ids))):
            found[row.entry_id][row.feed_id] = row
    return found


def _set_left(connection: Connection, keys: list[tuple[int, int]], at: int | None, by: str | None) -> None:
    if keys:
        connection.execute(
            update(feed_entry)
            .where(feed_entry.c.entry_id == bindparam("of_entry"), feed_entry.c.feed_id == bindparam("of_feed"))
            .values(left_at=at, left_by=by),
            [{"of_entry": entry_id, "of_feed": feed_id} for entry_id, feed_id in keys],
        )
