"""Removals: vanished and expired records are withdrawn."""

from __future__ import annotations

from sqlalchemy import ColumnElement, TextClause, delete, func, select, update

from aggregator.settings import Source
from aggregator.store.entries import withdraw_entries
from aggregator.store.events import EXPIRED, VANISHED
from aggregator.store.releases import CHUNK
from aggregator.store.schema import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_GONE,
    FILE_VANISHED,
    entry,
    file,
)
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer, span_us

MASS_REMOVAL = 20
"""Vanished files from which on a removal of more than half is doubted."""


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
