"""Duplicates: in a feed that merges, the first released of the entries with one canonical link represents the others.

The memberships of the others are closed by `duplicates`. The representative shows their links as related.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

from sqlalchemy import Connection, bindparam, or_, select, update

from aggregator.links import link_key
from aggregator.store.schema import AnyRow, EntryState, entry, feed_entry
from aggregator.store.session import execute_many

DUPLICATES = "duplicates"
MAX_RELATED = 20
"""Duplicates whose links a representative shows."""

_first = entry.alias("first")
_OTHERS = (
    select(_first.c.id.label("first_id"), entry.c.id, entry.c.visible_hash)
    .join(entry, entry.c.link_key == _first.c.link_key)
    .join(feed_entry, feed_entry.c.entry_id == entry.c.id)
    .where(
        _first.c.id.in_(bindparam("ids", expanding=True)),
        feed_entry.c.feed_id == bindparam("feed_id"),
        feed_entry.c.left_by == DUPLICATES,
        entry.c.state == EntryState.PUBLISHED,
    )
    .order_by(_first.c.id, entry.c.released_at, entry.c.id)
)

_NOTE_LINK = update(entry).where(entry.c.id == bindparam("of_entry")).values(link_key=bindparam("new"))


def note_links(connection: Connection, links: Mapping[int, str | None]) -> set[bytes]:
    """Stores the canonical links of entries; returns the keys of these links and of those they had before."""
    rows = connection.execute(select(entry.c.id, entry.c.link_key).where(entry.c.id.in_(links)))
    before: dict[int, bytes | None] = {row.id: row.link_key for row in rows}
    after = {entry_id: link_key(link) for entry_id, link in links.items()}
    changes = [{"of_entry": key, "new": after[key]} for key, old in before.items() if after[key] != old]
    execute_many(connection, _NOTE_LINK, changes)
    return _existing(before.values()) | _existing(after.values())


def links_of(connection: Connection, entry_ids: Collection[int]) -> set[bytes]:
    """The keys of the links of these entries."""
    return _existing(connection.scalars(select(entry.c.link_key).where(entry.c.id.in_(entry_ids))))


def read_groups(
    connection: Connection, feed_ids: Collection[int], links: Collection[bytes]
) -> Iterator[tuple[AnyRow, ...]]:
    """Groups of memberships with one feed and one link, of published entries that the rule of the feed takes, in order
    of release: the first of each group is the representative."""
    rows = connection.execute(
        select(feed_entry, entry.c.link_key)
        .join(entry, entry.c.id == feed_entry.c.entry_id)
        .where(
            entry.c.link_key.in_(links),
            entry.c.state == EntryState.PUBLISHED,
            feed_entry.c.feed_id.in_(feed_ids),
            or_(feed_entry.c.left_at.is_(None), feed_entry.c.left_by == DUPLICATES),
        )
        .order_by(feed_entry.c.feed_id, entry.c.link_key, entry.c.released_at, entry.c.id)
    )
    for _, group in groupby(rows, key=lambda row: (row.feed_id, row.link_key)):
        yield tuple(group)


def read_representative(connection: Connection, feed_id: int, entry_id: int) -> int:
    """The key of the entry that represents a duplicate in a feed."""
    group = next(read_groups(connection, [feed_id], links_of(connection, [entry_id])))
    return int(group[0].entry_id)


def read_others(connection: Connection, feed_id: int, entry_ids: Collection[int]) -> dict[int, list[AnyRow]]:
    """The entries that each of these entries represents in a feed, by its key, in order of release."""
    duplicates: dict[int, list[AnyRow]] = {}
    if entry_ids:
        for row in connection.execute(_OTHERS, {"ids": list(entry_ids), "feed_id": feed_id}):
            others = duplicates.setdefault(row.first_id, [])
            if len(others) < MAX_RELATED:
                others.append(row)
    return duplicates


def _existing(keys: Iterable[bytes | None]) -> set[bytes]:
    return {key for key in keys if key is not None}
