"""The history of entries after their first release. An event is stored in the transaction of the change it describes.

A first release, and the feeds that an entry joins with it or by a new rule, need no event: their times are in `entry`
and `feed_entry`. When a closed membership is opened again, the time at which it began becomes an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from aggregator.store.schema import AnyRow, event, feed, feed_entry
from aggregator.store.session import Writer, execute_many, span_us

STORED, RENAMED, RELEASED, JOINED, LEFT, WITHDRAWN = "stored", "renamed", "released", "joined", "left", "withdrawn"
_ORDER = (STORED, RENAMED, RELEASED, JOINED, LEFT, WITHDRAWN)
"""The order of events with the same time."""

FLAG = "flag"  # a flag says so
REJECTED = "rejected"  # a flag is neither true nor false
RESOURCE = "resource"  # its file became a resource of a bundle
EXPIRED = "expired"  # its expiry has come
MISSING = "missing"  # its file is missing
EXCLUDED = "exclude"  # `include` and `exclude` leave its file out
DROPPED = "records"  # the config does not name its source any more

_NEW_EVENT = insert(event)

KEEP_EVENTS = timedelta(days=400)
PRUNED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an entry."""

    at: int  # µs
    what: str  # stored, renamed, released, withdrawn, joined or left
    feed_id: int | None = None  # the feed that it joined or left
    clause: str | None = None  # why, as far as that is known; of `renamed` also the old path


def add_events(connection: Connection, events: Iterable[tuple[int, Event]]) -> None:
    """Stores events, each with the key of its entry."""
    rows = [
        {"entry_id": key, "at": new.at, "what": new.what, "feed_id": new.feed_id, "clause": new.clause}
        for key, new in events
    ]
    execute_many(connection, _NEW_EVENT, rows)


def add_withdrawals(connection: Connection, writer: Writer, reasons: Mapping[int, str]) -> None:
    """Stores that entries were withdrawn, each for its reason."""
    add_events(connection, ((key, Event(writer.now, WITHDRAWN, clause=reason)) for key, reason in reasons.items()))


def add_renames(connection: Connection, writer: Writer, renames: Mapping[int, tuple[str, str]]) -> None:
    """Stores that entries have another file now: the old path of each, and what the two files have in common."""
    clauses = {key: f"was {path}: {reason}" for key, (path, reason) in renames.items()}
    add_events(connection, ((key, Event(writer.now, RENAMED, clause=clause)) for key, clause in clauses.items()))


def prune_events(connection: Connection, writer: Writer) -> None:
    """Deletes some of the oldest events if they are too old. Keys grow with time, so this needs no index on times."""
    oldest = select(event.c.id).order_by(event.c.id).limit(PRUNED_AT_ONCE)
    is_old = event.c.at < writer.now - span_us(KEEP_EVENTS)
    connection.execute(delete(event).where(event.c.id.in_(oldest), is_old))


def read_history(connection: Connection, row: AnyRow) -> list[Event]:
    """The history of the entry of `row`, oldest first."""
    first = [Event(row.stored_at, STORED)]
    if row.released_at is not None:
        first.append(Event(row.released_at, RELEASED))
    stored = select(event).where(event.c.entry_id == row.id).order_by(event.c.id)
    events = [Event(item.at, item.what, item.feed_id, item.clause) for item in connection.execute(stored)]
    memberships = select(feed_entry).where(feed_entry.c.entry_id == row.id).order_by(feed_entry.c.feed_id)
    for membership in connection.execute(memberships):
        events.append(Event(membership.joined_at, JOINED, membership.feed_id))
        if membership.left_at is not None and membership.left_by != WITHDRAWN:
            events.append(Event(membership.left_at, LEFT, membership.feed_id, membership.left_by))
    if row.withdrawn_at is not None:
        events.append(Event(row.withdrawn_at, WITHDRAWN))
    # a stored event and the row that it describes are one: the event comes first and says more
    once: dict[tuple[int, str, int | None], Event] = {}
    for item in events:
        once.setdefault((item.at, item.what, item.feed_id), item)
    # the first release counts from the date of the record, which may be long before it was stored
    return sorted([*first, *once.values()], key=lambda item: (item.at, _ORDER.index(item.what)))


class FeedName(NamedTuple):
    """What names a feed: its slug, or without one, because it is not published, its topic."""

    slug: str | None
    topic: str | None


def feed_names(connection: Connection, feed_ids: Iterable[int]) -> dict[int, FeedName]:
    """The names of feeds, by key."""
    rows = connection.execute(select(feed.c.id, feed.c.slug, feed.c.topic).where(feed.c.id.in_(set(feed_ids))))
    return {row.id: FeedName(row.slug, row.topic) for row in rows}
