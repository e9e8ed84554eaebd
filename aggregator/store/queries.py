"""What the store knows of one record, for `explain`: its file, its entry, the feeds it is or was in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select, union

from aggregator.model import Content, Facts, read_content
from aggregator.store.entries import facts_of
from aggregator.store.events import Event, read_history
from aggregator.store.schema import (
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_DUPLICATE,
    FILE_GONE,
    FILE_READ,
    FILE_REJECTED,
    FILE_UNFINISHED,
    AnyRow,
    entry,
    feed,
    feed_entry,
    file,
)
from aggregator.store.schema import source as source_table
from aggregator.store.session import ALL_FEED
from aggregator.topics import TopicTables

MAX_FOUND = 20
_STATES = {
    FILE_READ: "read",
    FILE_REJECTED: "rejected",
    FILE_UNFINISHED: "unfinished",
    FILE_DUPLICATE: "duplicate",
    FILE_GONE: "gone",
}


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it is stored; `state` is out, waiting or hidden, times are in µs."""

    key: int
    id: str
    state: str
    content: Content
    facts: Facts
    dated_at: int | None
    published_at: int | None
    released_at: int | None
    expires_at: int | None
    withdrawn_at: int | None
    history: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is known of one path. `file_state` is read, rejected, unfinished, duplicate, gone, or None if the file is
    not known; `problem` is what is wrong with it: line, what, value, what to do. `gone_at`: since when the file is
    missed, in µs. `held`: withdrawals of its source wait."""

    source: str
    path: str
    file_state: str | None
    digest: bytes
    problem: tuple[int, str, str | None, str] | None
    gone_at: int | None
    held: bool
    entry: StoredEntry | None


@dataclass(frozen=True, slots=True)
class Membership:
    """An entry in a feed, or out of it again: `topic` is the key of the topic whose feed it is, `ruled` says that the
    feed has a rule of the config; `left_by` is None while the entry is in, `page` its archive page."""

    feed_id: int
    slug: str | None
    topic: str | None
    ruled: bool
    page: int | None
    left_by: str | None


def find_by_id(connection: Connection, text: str) -> list[tuple[str, str]]:
    """Source and path of the records with this id, minted or stated, and of those that are refused for it; the entry
    that holds it first."""
    held = select(entry.c.source, entry.c.path).where(or_(entry.c.uid == text, entry.c.explicit_id == text))
    refused = select(file.c.source, file.c.path).where(
        file.c.state == FILE_DUPLICATE, file.c.problems.is_not(None), file.c.wanted_id == text
    )
    found = [
        *connection.execute(held.order_by(entry.c.id).limit(MAX_FOUND)),
        *connection.execute(refused.order_by(file.c.source, file.c.path).limit(MAX_FOUND)),
    ]
    return [(row.source, row.path) for row in found]


def known_paths(connection: Connection, places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the sources and paths that the store knows, in the order given."""
    return [place for place in places if connection.execute(_paths(*place)).first() is not None]


def _paths(source: str, path: str) -> Any:
    known = select(file.c.path).where(file.c.source == source, file.c.path == path)
    return union(known, select(entry.c.path).where(entry.c.source == source, entry.c.path == path))


def find_by_text(connection: Connection, text: str) -> Iterator[tuple[str, str, Content]]:
    """Source, path and content of the entries whose content holds the text anywhere, case aside, oldest first.

    It reads every entry there is, so it is for people who ask."""
    stated = json.dumps(text, ensure_ascii=True)[1:-1]
    rows = connection.execute(
        select(entry.c.source, entry.c.path, entry.c.content)
        .where(entry.c.content.icontains(stated, autoescape=True))
        .order_by(entry.c.id)
        .execution_options(yield_per=500)
    )
    for row in rows:
        yield row.source, row.path, read_content(row.content)


def read_stored(connection: Connection, source: str, path: str, tables: TopicTables) -> StoredRecord:
    """What is known of the record at a path."""
    seen = connection.execute(select(file).where(file.c.source == source, file.c.path == path)).first()
    mine: ColumnElement[bool] = (entry.c.source == source) & (entry.c.path == path)
    if seen is not None and seen.entry_id is not None:
        mine = entry.c.id == seen.entry_id
    # a path may have had other entries before the one that it has; the newest is what it is about
    row = connection.execute(select(entry).where(mine).order_by(entry.c.id.desc()).limit(1)).first()
    held = connection.scalar(select(source_table.c.held_since).where(source_table.c.name == source))
    problems = json.loads(seen.problems) if seen is not None and seen.problems else []
    first = next((one for one in problems if one[5] == "error"), None)
    return StoredRecord(
        source=source,
        path=path,
        file_state=None if seen is None else _STATES[seen.state],
        digest=b"" if seen is None else seen.digest,
        problem=None if first is None else (first[0], first[2], first[3], first[4]),
        gone_at=None if seen is None else seen.gone_at,
        held=held is not None,
        entry=None if row is None else _stored_entry(connection, row, tables),
    )


def _stored_entry(connection: Connection, row: AnyRow, tables: TopicTables) -> StoredEntry:
    states = {ENTRY_OUT: "out", ENTRY_WAITING: "waiting"}
    return StoredEntry(
        key=row.id,
        id=row.uid,
        state=states.get(row.state, "hidden"),
        content=read_content(row.content),
        facts=facts_of(row, tables),
        dated_at=row.dated_at,
        published_at=row.published_at,
        released_at=row.released_at,
        expires_at=row.expires_at,
        withdrawn_at=row.withdrawn_at,
        history=tuple(read_history(connection, row)),
    )


def read_memberships(connection: Connection, key: int) -> list[Membership]:
    """The feeds that the entry with this key is in or was in: `all`, those of topics by slug, then the others."""
    rows = connection.execute(
        select(feed_entry, feed.c.slug, feed.c.topic, feed.c.rule)
        .join(feed, feed.c.id == feed_entry.c.feed_id)
        .where(feed_entry.c.entry_id == key)
        .order_by(feed.c.id != ALL_FEED, feed.c.rule.is_not(None), feed.c.slug)
    )
    return [Membership(row.feed_id, row.slug, row.topic, row.rule is not None, row.page, row.left_by) for row in rows]


def rule_texts(connection: Connection, slugs: Collection[str]) -> dict[str, str | None]:
    """The rule that is in force for each of the feeds that there are, by slug."""
    rows: Select[Any] = select(feed.c.slug, feed.c.rule).where(feed.c.slug.in_(slugs))
    return {row.slug: row.rule for row in connection.execute(rows)}
