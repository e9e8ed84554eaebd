"""Ids that subscribers have from the feeds of another system, by the links of their entries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, tuple_, update

from aggregator.ids import FormatIds, IdMint
from aggregator.store.schema import adopted_id, entry
from aggregator.store.session import Writer, parts, read_meta, write_meta

LOOKUP = 500
_RSS_IDS = "rss_ids"
Ids = Mapping[str, str]
"""The ids of one entry in saved feeds, by format."""


class Place(NamedTuple):
    """Where a record is."""

    source: str
    path: str


class StoredId(NamedTuple):
    """The id of a stored entry."""

    key: int
    uid: str
    format_ids: FormatIds | None
    is_released: bool  # subscribers may have it


def read_adopted(connection: Connection, link_keys: Collection[bytes]) -> dict[bytes, Ids]:
    """The adopted ids of these links."""
    found: dict[bytes, dict[str, str]] = defaultdict(dict)
    for keys in parts(link_keys, LOOKUP):
        query = select(adopted_id).where(adopted_id.c.link_key.in_(keys)).order_by(adopted_id.c.format)
        for row in connection.execute(query):
            found[row.link_key][row.format] = row.id
    return dict(found)


def has_rss_ids(connection: Connection) -> bool:
    """Whether there are adopted ids that only RSS shows, so that RSS and Atom name stories by different ids."""
    noted = read_meta(connection, _RSS_IDS)
    return _has_rss_ids(connection) if noted is None else bool(noted)


def note_rss_ids(writer: Writer) -> None:
    """Notes `has_rss_ids`, so that no cycle reads all adopted ids; a store of an older version did not note it."""
    with writer.read() as connection:
        if read_meta(connection, _RSS_IDS) is not None:
            return
    with writer.write() as connection:
        _note_rss_ids(connection)


def _note_rss_ids(connection: Connection) -> None:
    write_meta(connection, _RSS_IDS, "1" if _has_rss_ids(connection) else "")


def _has_rss_ids(connection: Connection) -> bool:
    ids, mint = defaultdict[bytes, dict[str, str]](dict), IdMint("")
    for row in connection.execute(select(adopted_id)):
        ids[row.link_key][row.format] = row.id
    shown = (mint.adopted_entry_id(by_form)[1] for by_form in ids.values())
    return any(own is not None and own.rss for own in shown)


def add_adopted(connection: Connection, ids: Mapping[bytes, Ids]) -> None:
    """Stores ids for links. What is stored for a link and a format stays."""
    stored = read_adopted(connection, ids)
    rows = [
        {"link_key": key, "format": form, "id": text}
        for key, by_form in ids.items()
        for form, text in by_form.items()
        if form not in stored.get(key, {})
    ]
    if rows:
        connection.execute(insert(adopted_id), rows)
        _note_rss_ids(connection)


def read_ids(connection: Connection, places: Collection[Place]) -> dict[Place, StoredId]:
    """The ids of the stored entries of records."""
    found = {}
    columns = (entry.c.source, entry.c.path, entry.c.id, entry.c.uid, entry.c.format_ids, entry.c.released_at)
    for part in parts(places, LOOKUP):
        for row in connection.execute(select(*columns).where(tuple_(entry.c.source, entry.c.path).in_(part))):
            stored = StoredId(row.id, row.uid, format_ids_of(row.format_ids), row.released_at is not None)
            found[Place(row.source, row.path)] = stored
    return found


def taken_ids(connection: Connection, uids: Collection[str]) -> dict[str, Place]:
    """The records that have these ids."""
    holders = {}
    for part in parts(uids, LOOKUP):
        for row in connection.execute(select(entry.c.uid, entry.c.source, entry.c.path).where(entry.c.uid.in_(part))):
            holders[row.uid] = Place(row.source, row.path)
    return holders


def give_id(connection: Connection, key: int, uid: str, format_ids: FormatIds | None) -> None:
    """Gives an entry that was never released another id."""
    unreleased = update(entry).where(entry.c.id == key, entry.c.released_at.is_(None))
    connection.execute(unreleased.values(uid=uid, format_ids=format_ids_json(format_ids)))


def format_ids_json(ids: FormatIds | None) -> str | None:
    """The value of `entry.format_ids`."""
    return None if ids is None else json.dumps(ids)


def shows_id(wanted: str) -> ColumnElement[bool]:
    """Whether an entry shows the id in a format instead of its own id."""
    column, shown = entry.c.format_ids, json.dumps(wanted)
    first, last = f"[{shown}, ", f", {shown}]"  # no LIKE, which ignores the case in SQLite
    return or_(
        func.substr(column, 1, len(first)) == first,
        func.substr(column, func.length(column) - (len(last) - 1)) == last,
    )


def format_ids_of(stored: str | None) -> FormatIds | None:
    """The inverse of `format_ids_json`."""
    return None if stored is None else FormatIds(*json.loads(stored))
