"""Links to pages: which links bodies have, and the URL that each leads to, which depends on other entries.

    a body is stored -> its links are stale -> they are resolved before feeds are refreshed
    the page of an entry appears, changes or goes -> the links with its name are stale

So a cycle resolves only links whose page may be another than before. A link leads only to the page of a published
entry: the URL of another one must not become known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from aggregator.model import read_content
from aggregator.parse.page_links import page_targets, read_reference
from aggregator.parse.references import Lookup, page_lookup, page_name
from aggregator.settings import Source
from aggregator.store.changes import EntryChanges, Step
from aggregator.store.schema import LINK_STALE, AnyRow, EntryState, entry, page_link
from aggregator.store.session import Writer, execute_many, parts

MAX_LINKS = 1000
"""Links to pages that one body can have; further ones show their text. It bounds the memory of a step."""
MAX_TARGET = 1000
"""Characters of the longest target, because databases limit what they put into an index."""
RESOLVED_AT_ONCE = 100
"""Entries whose links are resolved in one transaction."""
KEYS_AT_ONCE = 500

_NEW_LINK = insert(page_link)
_NEW_URL = (
    update(page_link)
    .where(page_link.c.entry_id == bindparam("of_entry"), page_link.c.target == bindparam("of_target"))
    .values(url=bindparam("new"))
)
_NEW_HASH = update(entry).where(entry.c.id == bindparam("of_entry")).values(links_hash=bindparam("new"))
_STALE_ENTRIES = (
    select(page_link.c.entry_id).where(LINK_STALE).distinct().order_by(page_link.c.entry_id).limit(RESOLVED_AT_ONCE)
)
_URLS = select(page_link.c.entry_id, page_link.c.target, page_link.c.url).where(
    page_link.c.entry_id.in_(bindparam("ids", expanding=True)), page_link.c.url.is_not(None)
)
_PAGES = select(entry.c.lookup_key, entry.c.path, entry.c.content).where(
    entry.c.source == bindparam("source"), entry.c.state == EntryState.PUBLISHED
)
_PAGES_AT = _PAGES.where(entry.c.lookup_key.in_(bindparam("keys", expanding=True))).order_by(entry.c.path)
_PAGES_NAMED = (
    _PAGES.where(entry.c.lookup_key >= bindparam("first"), entry.c.lookup_key < bindparam("end"))
    .order_by(entry.c.lookup_key)
    .limit(2)
)


# what changes


def store_links(
    connection: Connection, source: Source, bodies: Mapping[int, tuple[str, str]], changed: Collection[int]
) -> None:
    """Replaces the links of entries by those in their `bodies`: path and HTML by entry. They are stale.

    `changed` are the entries that may have had links.
    """
    if changed:
        connection.execute(delete(page_link).where(page_link.c.entry_id.in_(changed)))
        without = [key for key in changed if key not in bodies]
        had_links = (entry.c.id.in_(without), entry.c.links_hash.is_not(None))
        connection.execute(update(entry).where(*had_links).values(links_hash=None))
    rows: list[dict[str, object]] = []
    for entry_id, (path, html) in bodies.items():
        targets = sorted(target for target in page_targets(html) if len(target) <= MAX_TARGET)
        for target in targets[:MAX_LINKS]:
            lookup = page_lookup(target, path, source.root)
            name = page_name(lookup.keys[0]) if lookup.keys else ""
            rows.append({"entry_id": entry_id, "target": target, "name": name, "url": None, "stale": True})
    execute_many(connection, _NEW_LINK, rows)


def move_links(connection: Connection, entry_ids: Mapping[int, int]) -> None:
    """Gives the links of entries to others, which lose their own; `entry_ids` maps the old keys to the new ones."""
    connection.execute(delete(page_link).where(page_link.c.entry_id.in_(entry_ids.values())))
    connection.execute(
        update(page_link)
        .where(page_link.c.entry_id == bindparam("of_old"))
        .values(entry_id=bindparam("of_new"), stale=True),
        [{"of_old": old, "of_new": new} for old, new in entry_ids.items()],
    )


def mark_links(connection: Connection, keys: Iterable[str | None]) -> None:
    """Marks the links that may lead to pages with these keys as stale, because the pages appeared, changed or went."""
    names = sorted({page_name(key) for key in keys if key is not None})
    if names:
        connection.execute(update(page_link).where(page_link.c.name.in_(names), ~page_link.c.stale).values(stale=True))


# what links lead to


def resolve_links(writer: Writer, sources: Iterable[Source]) -> Iterator[Step]:
    """Resolves the stale links, in order of their entries."""
    roots = {source.name: source.root for source in sources}
    while True:
        with writer.read() as connection:
            entry_ids = list(connection.scalars(_STALE_ENTRIES))
        if not entry_ids:
            return
        yield partial(_resolve, entry_ids=entry_ids, roots=roots)


def _resolve(connection: Connection, *, entry_ids: Sequence[int], roots: Mapping[str, str]) -> EntryChanges:
    columns = (page_link.c.entry_id, page_link.c.target, page_link.c.url, entry.c.source, entry.c.path)
    rows = connection.execute(
        select(*columns, page_link.c.stale, entry.c.links_hash)
        .join(entry, entry.c.id == page_link.c.entry_id)
        .where(page_link.c.entry_id.in_(entry_ids))
        .order_by(page_link.c.entry_id, page_link.c.target)
    ).all()
    stale = {row: page_lookup(row.target, row.path, roots.get(row.source, "")) for row in rows if row.stale}
    pages = _Pages(connection, [(row.source, lookup) for row, lookup in stale.items()])
    urls = {row: pages.url(row.source, stale[row]) if row.stale else row.url for row in rows}
    moved = [row for row in rows if urls[row] != row.url]
    changes = [{"of_entry": row.entry_id, "of_target": row.target, "new": urls[row]} for row in moved]
    execute_many(connection, _NEW_URL, changes)
    connection.execute(update(page_link).where(page_link.c.entry_id.in_(entry_ids)).values(stale=False))
    return EntryChanges(relinked=_note_hashes(connection, rows, urls))


def _note_hashes(connection: Connection, rows: Sequence[AnyRow], urls: Mapping[AnyRow, str | None]) -> frozenset[int]:
    """Stores the hashes of the links of entries, and returns the entries whose hash is another one now."""
    changes = []
    for entry_id, group in groupby(rows, key=lambda row: row.entry_id):
        links = list(group)
        shown = [f"{row.target} {urls[row]}" for row in links if urls[row] is not None]
        links_hash = blake2b("\n".join(shown).encode(), digest_size=16).digest() if shown else None
        if links_hash != links[0].links_hash:
            changes.append({"of_entry": entry_id, "new": links_hash})
    execute_many(connection, _NEW_HASH, changes)
    return frozenset(change["of_entry"] for change in changes)


class _Pages:
    """The published pages that some lookups can find."""

    def __init__(self, connection: Connection, lookups: Sequence[tuple[str, Lookup]]) -> None:
        self._connection = connection
        self._at: dict[tuple[str, str], str | None] = {}  # URLs by source and key
        self._named: dict[tuple[str, str], str | None] = {}  # URLs by source and name
        keys: dict[str, set[str]] = {}
        for source, lookup in lookups:
            keys.setdefault(source, set()).update(lookup.keys)
        for source, wanted in keys.items():
            self._read(source, sorted(wanted))

    def url(self, source: str, lookup: Lookup) -> str | None:
        """The URL of the page that a lookup in a source finds."""
        for key in lookup.keys:
            if (source, key) in self._at:
                return self._at[source, key]
        return next(filter(None, (self._url_of_only(source, name) for name in lookup.names)), None)

    def _read(self, source: str, keys: Sequence[str]) -> None:
        for part in parts(keys, KEYS_AT_ONCE):
            for row in self._connection.execute(_PAGES_AT, {"source": source, "keys": part}):
                self._at.setdefault((source, row.lookup_key), read_content(row.content).link)

    def _url_of_only(self, source: str, name: str) -> str | None:
        """The URL of the page with this name, if there is only one."""
        if (source, name) not in self._named:
            values = {"source": source, "first": f"{name}/", "end": f"{name}0"}  # 0 comes after the slash
            rows = self._connection.execute(_PAGES_NAMED, values).all()
            self._named[source, name] = read_content(rows[0].content).link if len(rows) == 1 else None
        return self._named[source, name]


# what is asked about them


def read_urls(connection: Connection, entry_ids: Collection[int]) -> dict[int, dict[str, str]]:
    """The URLs of the pages that entries link to, by entry and target."""
    urls: dict[int, dict[str, str]] = {}
    for row in connection.execute(_URLS, {"ids": list(entry_ids)}):
        urls.setdefault(row.entry_id, {})[row.target] = row.url
    return urls


def unresolved_links(connection: Connection, entry_id: int) -> list[str]:
    """The references of an entry that lead to no published page."""
    targets = _unresolved(page_link.c.target).where(page_link.c.entry_id == entry_id).order_by(page_link.c.target)
    return [read_reference(target) for target in connection.scalars(targets)]


class BrokenLinks(NamedTuple):
    """The links of a published entry that lead to no published page."""

    source: str
    path: str
    links: int  # how many
    target: str  # of one of them


def read_broken_links(connection: Connection, limit: int) -> list[BrokenLinks]:
    """The first published entries with links that lead to no published page."""
    first, links = func.min(page_link.c.target).label("target"), func.count().label("links")
    rows = connection.execute(
        _unresolved(entry.c.source, entry.c.path, first, links)
        .join(entry, entry.c.id == page_link.c.entry_id)
        .where(entry.c.state == EntryState.PUBLISHED)
        .group_by(page_link.c.entry_id, entry.c.source, entry.c.path)
        .order_by(page_link.c.entry_id)
        .limit(limit)
    )
    return [BrokenLinks(row.source, row.path, row.links, row.target) for row in rows]


def _unresolved(*columns: Any) -> Select[Any]:
    """Links without a URL; links that the next cycle resolves are no news."""
    return select(*columns).where(page_link.c.url.is_(None), ~page_link.c.stale)
