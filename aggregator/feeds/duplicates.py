"""Duplicates: in a feed that merges, the first released of the entries with one canonical link stands for the others.

The others keep their memberships, closed by `duplicates`; the standing entry shows their links as related ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

from sqlalchemy import Connection, bindparam, or_, select, update

from aggregator.links import link_key
from aggregator.store.schema import AnyRow, EntryState, entry, feed_entry

DUPLICATES = "duplicates"
MOST_RELATED = 20
"""Other entries of its link that an entry shows at most."""

_standing = entry.alias("standing")
_OTHERS = (
    select(_standing.c.id.label("standing_id"), entry.c.id, entry.c.visible_hash)
    .join(entry, entry.c.link_key == _standing.c.link_key)
    .join(feed_entry, feed_entry.c.entry_id == entry.c.id)
    .where(
        _standing.c.id.in_(bindparam("ids", expanding=True)),
        feed_entry.c.feed_id == bindparam("feed_id"),
        feed_entry.c.left_by == DUPLICATES,
        entry.c.state == EntryState.PUBLISHED,
    )
    .order_by(_standing.c.id, entry.c.released_at, entry.c.id)
)


def note_links(connection: Connection, links: Mapping[int, str | None]) -> set[bytes]:
    """Keeps what link each of these entries has now; returns the keys of all that they have and had."""
    rows = connection.execute(select(entry.c.id, entry.c.link_key).where(entry.c.id.in_(links)))
    had: dict[int, bytes | None] = {row.id: row.link_key for row in rows}
    now = {entry_id: link_key(link) for entry_id, link in links.items()}
    changes = [{"of_entry": key, "given": now[key]} for key, before in had.items() if now[key] != before]
    if changes:
        connection.execute(
            update(entry).where(entry.c.id == bindparam("of_entry")).values(link_key=bindparam("given")), changes
        )
    return _known(had.values()) | _known(now.values())


def links_of(connection: Connection, entry_ids: Collection[int]) -> set[bytes]:
    """The keys of the links of these entries."""
    return _known(connection.scalars(select(entry.c.link_key).where(entry.c.id.in_(entry_ids))))


def read_groups(
    connection: Connection, feed_ids: Collection[int], links: Collection[bytes]
) -> Iterator[tuple[AnyRow, ...]]:
    """The memberships that share a feed and a link, of entries that are out and that the feed's rule takes, in order of
    release: the first is the one to stand."""
    rows = connection.execute(
        select(feed_entry.c.feed_id, feed_entry.c.entry_id, feed_entry.c.page, feed_entry.c.left_at, entry.c.link_key)
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


def read_others(connection: Connection, feed_id: int, entry_ids: Collection[int]) -> dict[int, list[AnyRow]]:
    """The entries that each of these stands for in a feed, by its key, in order of release."""
    found: dict[int, list[AnyRow]] = {}
    if entry_ids:
        for row in connection.execute(_OTHERS, {"ids": list(entry_ids), "feed_id": feed_id}):
            others = found.setdefault(row.standing_id, [])
            if len(others) < MOST_RELATED:
                others.append(row)
    return found


def _known(keys: Iterable[bytes | None]) -> set[bytes]:
    return {key for key in keys if key is not None}
