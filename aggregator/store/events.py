"""History: what became of an entry after its first release. Rows are added with the change that they tell of.

A first release, and the feeds that come with it or with a new rule, cost no row: `entry` and `feed_entry` tell them. A
membership that is about to be opened again is told first, because its own row forgets when it began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from aggregator.store.schema import AnyRow, event, feed, feed_entry
from aggregator.store.session import Writer, span_us

RELEASED, LEFT, JOINED = "released", "left", "joined"
STORED = "stored"
RENAMED = "renamed"
WITHDRAWN = "withdrawn"

FLAG, REJECTED, EXPIRED, MISSING = "flag", "rejected", "expired", "missing"
"""Why entries are withdrawn: a flag says so, a flag says nothing usable, its expiry came, its file is gone."""

KEEP_EVENTS = timedelta(days=400)
PRUNED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that became of an entry, in µs: `what` is stored, renamed, released, withdrawn, joined or left.

    `feed_id` is of the feed that it joined or left. `clause` is why, where that is known, and the old path.
    """

    at: int
    what: str
    feed_id: int | None = None
    clause: str | None = None


_SEQUENCE = (STORED, RENAMED, RELEASED, JOINED, LEFT, WITHDRAWN)
"""What comes first of what one cycle did."""


def add_events(connection: Connection, events: Iterable[tuple[int, Event]]) -> None:
    """Keeps what became of entries, each with the key of its entry."""
    rows = [
        {"entry_id": key, "at": one.at, "what": one.what, "feed_id": one.feed_id, "clause": one.clause}
        for key, one in events
    ]
    if rows:
        connection.execute(insert(event), rows)


def add_withdrawals(connection: Connection, writer: Writer, reasons: Mapping[int, str]) -> None:
    """Keeps that entries were withdrawn, and why, by their keys."""
    add_events(connection, ((key, Event(writer.now, WITHDRAWN, clause=reason)) for key, reason in reasons.items()))


def add_renames(connection: Connection, writer: Writer, reasons: Mapping[int, tuple[str, str]]) -> None:
    """Keeps that entries go on with other files, by their keys: each with the old path, and what shows it."""
    told = {key: f"was {path}: {reason}" for key, (path, reason) in reasons.items()}
    add_events(connection, ((key, Event(writer.now, RENAMED, clause=clause)) for key, clause in told.items()))


def add_releases(connection: Connection, writer: Writer, entry_ids: Iterable[int]) -> None:
    """Keeps that entries were released again."""
    add_events(connection, ((key, Event(writer.now, RELEASED)) for key in entry_ids))


def prune_events(connection: Connection, writer: Writer) -> None:
    """Drops a few of the oldest events if they are past their age; keys grow with time, so no index is asked for."""
    oldest = select(event.c.id).order_by(event.c.id).limit(PRUNED_AT_ONCE)
    old = event.c.at < writer.now - span_us(KEEP_EVENTS)
    connection.execute(delete(event).where(event.c.id.in_(oldest), old))


def read_history(connection: Connection, row: AnyRow) -> list[Event]:
    """All that became of the entry of `row`, oldest first; at one time first what made it so."""
    found = [Event(row.stored_at, STORED)]
    if row.released_at is not None:
        found.append(Event(row.released_at, RELEASED))
    kept = select(event).where(event.c.entry_id == row.id).order_by(event.c.id)
    told = [Event(one.at, one.what, one.feed_id, one.clause) for one in connection.execute(kept)]
    stays = connection.execute(
        select(feed_entry).where(feed_entry.c.entry_id == row.id).order_by(feed_entry.c.feed_id)
    ).all()
    for stay in stays:
        told.append(Event(stay.joined_at, JOINED, stay.feed_id))
        if stay.left_at is not None and stay.left_by != WITHDRAWN:
            told.append(Event(stay.left_at, LEFT, stay.feed_id, stay.left_by))
    if row.withdrawn_at is not None:
        told.append(Event(row.withdrawn_at, WITHDRAWN))
    once: dict[tuple[int, str, int | None], Event] = {}
    for one in told:
        once.setdefault((one.at, one.what, one.feed_id), one)
    # an order of their own: the first release counts from the date of a record, which may be long before it was read
    return sorted([*found, *once.values()], key=lambda one: (one.at, _SEQUENCE.index(one.what)))


def feed_slugs(connection: Connection, feed_ids: Iterable[int]) -> dict[int, str]:
    """What feeds are called, by key: the slug, or the topic of one that is not published."""
    rows = connection.execute(select(feed.c.id, feed.c.slug, feed.c.topic).where(feed.c.id.in_(set(feed_ids))))
    return {row.id: row.slug or row.topic or "" for row in rows}
