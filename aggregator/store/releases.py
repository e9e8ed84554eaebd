"""Releases: when an entry becomes public."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from aggregator.feeds.membership import Placing, place_entries
from aggregator.model import read_content
from aggregator.settings import Source
from aggregator.store.entries import shown_update, update_entries
from aggregator.store.events import tell_released
from aggregator.store.schema import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    AnyRow,
    entry,
    feed,
)
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer

CHUNK = 2000


MOVES = 500


UNDATED_STEP_US = 1_000_000


def release_entries(writer: Writer, source: Source, *, first_scan: bool, stopped: Callable[[], None]) -> None:
    """Releases every entry of a source that waits and whose time has come, in order of path."""
    due = (
        entry.c.source == source.name,
        entry.c.state == ENTRY_WAITING,
        or_(entry.c.dated_at.is_(None), entry.c.dated_at <= writer.now),
        or_(entry.c.expires_at.is_(None), entry.c.expires_at > writer.now),
    )
    undated = _UndatedRank(writer, source) if first_scan else None
    while True:
        stopped()
        with writer.read() as connection:
            rows = connection.execute(select(entry).where(*due).order_by(entry.c.path).limit(CHUNK)).all()
        if rows:
            with writer.write() as connection:
                _release(connection, writer, rows, undated)
        if len(rows) < CHUNK:
            break
    if first_scan:
        with writer.write() as connection:
            connection.execute(update(source_table).where(source_table.c.name == source.name).values(scanned=True))


class _UndatedRank:
    """Where the undated entries of a first scan stand: below all dated ones, by path."""

    def __init__(self, writer: Writer, source: Source) -> None:
        theirs = (entry.c.source == source.name, entry.c.state != ENTRY_HIDDEN)
        with writer.read() as connection:
            oldest = connection.scalar(
                select(func.min(entry.c.dated_at)).where(*theirs, entry.c.dated_at <= writer.now)
            )
            self._rank = (
                connection.scalar(
                    select(func.count()).where(*theirs, entry.c.dated_at.is_(None), entry.c.released_at.is_not(None))
                )
                or 0
            )
        self._base = writer.now if oldest is None else oldest

    def next(self) -> int:
        self._rank += 1
        return self._base - self._rank * UNDATED_STEP_US


def _release(connection: Connection, writer: Writer, rows: list[AnyRow] | Any, undated: _UndatedRank | None) -> None:
    changes, placings = [], []
    for row in rows:
        first = row.released_at is None
        released = _release_time(writer, row, undated) if first else row.released_at
        published = row.dated_at if first else row.published_at
        returned = row.returned_at if first else max(writer.now, row.returned_at or 0)
        updated = shown_update(published, row.stated_update_at, row.edited_at, returned, row.stored_at)
        changes.append(
            {
                "entry_key": row.id,
                "state": ENTRY_OUT,
                "released_at": released,
                "published_at": published,
                "returned_at": returned,
                "withdrawn_at": None,
                "updated_at": updated,
            }
        )
        topics = read_content(row.content).topics
        placings.append(
            Placing(row.id, released, published, row.content, topics, row.quality, row.heat, first=first, shown=True)
        )
    update_entries(connection, changes)
    place_entries(connection, writer, placings)
    tell_released(connection, writer, [row.id for row in rows if row.released_at is not None])


def _release_time(writer: Writer, row: AnyRow, undated: _UndatedRank | None) -> int:
    """When an entry that was never out counts as released (field map, States)."""
    if row.dated_at is None:
        return writer.now if undated is None else undated.next()
    if row.embargo_at is not None:
        return int(row.embargo_at)
    if undated is not None or row.dated_at < writer.now - writer.late:
        return int(row.dated_at)
    return max(int(row.dated_at), writer.now)


def next_due(connection: Connection, now: int) -> int | None:
    """When the next entry is due, expires or is too old for a feed by itself, in µs."""
    times = (
        connection.scalar(
            select(func.min(entry.c.dated_at)).where(entry.c.state == ENTRY_WAITING, entry.c.dated_at > now)
        ),
        connection.scalar(
            select(func.min(entry.c.expires_at)).where(
                entry.c.state == ENTRY_OUT, entry.c.expires_at.is_not(None), entry.c.expires_at > now
            )
        ),
        connection.scalar(select(func.min(feed.c.stale_at)).where(feed.c.stale_at > now)),
    )
    return min((at for at in times if at is not None), default=None)
