"""What the end of a scan decides: withdrawals, and who is released when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, delete, func, or_, select, update

from aggregator.content import read_content
from aggregator.model import Source
from aggregator.store.history import EXPIRED, VANISHED, tell_released
from aggregator.store.membership import Placing, place_entries
from aggregator.store.records import shown_update, update_entries, withdraw_entries
from aggregator.store.tables import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_GONE,
    FILE_VANISHED,
    AnyRow,
    entry,
    feed,
    file,
)
from aggregator.store.tables import source as source_table
from aggregator.store.writer import Writer, span_us

CHUNK = 2000
MOVES = 500
MASS_REMOVAL = 20
"""Vanished files from which on a removal of more than half is doubted."""
UNDATED_STEP_US = 1_000_000


def undecided_files(source: Source) -> tuple[ColumnElement[bool], TextClause]:
    """Files that are gone and not withdrawn yet. By the plain name of a source, SQLite would read all that it has."""
    return file.c.source.concat("") == source.name, FILE_VANISHED


def count_vanished(writer: Writer, source: Source) -> int:
    """How many files of a source are gone and not withdrawn yet."""
    with writer.read() as connection:
        return connection.scalar(select(func.count()).select_from(file).where(*undecided_files(source))) or 0


def count_known(writer: Writer, source: Source) -> int:
    """How many files of a source are known and not withdrawn. Reads them all."""
    known = (file.c.source == source.name, file.c.state != FILE_GONE)
    with writer.read() as connection:
        return connection.scalar(select(func.count()).select_from(file).where(*known)) or 0


def withdraw_vanished(writer: Writer, source: Source, known: int, *, accept: bool, folder_missing: bool) -> int:
    """Withdraws the entries of vanished files; returns how many wait instead.

    They wait when the folder is missing or more than half of the `known` files, and at least 20, are gone at once,
    until a scan `removal_grace` later agrees or `accept` says so.
    """
    gone = known if folder_missing else count_vanished(writer, source)
    with writer.read() as connection:
        held_since = connection.scalar(select(source_table.c.held_since).where(source_table.c.name == source.name))
    if gone and not accept and (folder_missing or (gone >= MASS_REMOVAL and 2 * gone > known)):
        since = writer.now if held_since is None else held_since
        if writer.now - since < span_us(source.removal_grace):
            if held_since is None:
                _set_held(writer, source, since)
            return gone
    if held_since is not None:
        _set_held(writer, source, None)
    if gone:
        _accept_removals(writer, source, everything=folder_missing)
    return 0


def _set_held(writer: Writer, source: Source, since: int | None) -> None:
    with writer.write() as connection:
        connection.execute(update(source_table).where(source_table.c.name == source.name).values(held_since=since))


def _accept_removals(writer: Writer, source: Source, *, everything: bool) -> None:
    gone = (file.c.source == source.name, file.c.state != FILE_GONE) if everything else undecided_files(source)
    while True:
        with writer.write() as connection:
            rows = connection.execute(
                select(file.c.path, file.c.entry_id, entry.c.state)
                .select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))
                .where(*gone)
                .order_by(file.c.path)
                .limit(CHUNK)
            ).all()
            if not rows:
                return
            out = [row.entry_id for row in rows if row.state == ENTRY_OUT]
            withdraw_entries(connection, writer, dict.fromkeys(out, VANISHED))
            waiting = [row.entry_id for row in rows if row.state == ENTRY_WAITING]
            connection.execute(update(entry).where(entry.c.id.in_(waiting)).values(state=ENTRY_HIDDEN))
            paths = [row.path for row in rows if row.entry_id is not None]
            connection.execute(
                update(file)
                .where(file.c.source == source.name, file.c.path.in_(paths))
                .values(
                    state=FILE_GONE,
                    gone_at=func.coalesce(file.c.gone_at, writer.now),
                    problems=None,
                    wanted_id=None,
                )
            )
            nameless = [row.path for row in rows if row.entry_id is None]
            connection.execute(delete(file).where(file.c.source == source.name, file.c.path.in_(nameless)))


def withdraw_expired(writer: Writer) -> None:
    """Withdraws the entries whose expiry has come."""
    over = (
        select(entry.c.id)
        .where(entry.c.state == ENTRY_OUT, entry.c.expires_at <= writer.now)
        .order_by(entry.c.expires_at, entry.c.id)
        .limit(CHUNK)
    )
    while True:
        with writer.read() as connection:
            expired = list(connection.scalars(over))
        if not expired:
            return
        with writer.write() as connection:
            withdraw_entries(connection, writer, dict.fromkeys(expired, EXPIRED))


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
