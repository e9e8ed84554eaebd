"""Removals: entries whose file is missing, or whose expiry has come, are withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, Connection, TextClause, bindparam, delete, func, select, update

from aggregator.parse_attempts import DIGEST_BYTES
from aggregator.store.changes import EntryChanges, Step
from aggregator.store.entries import hide_scheduled, withdraw_entries
from aggregator.store.events import EXPIRED
from aggregator.store.schema import FILE_MISSING, EntryState, FileState, entry, file
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer, span_us

REMOVAL_BATCH = 2000
MASS_REMOVAL = 20
"""Files whose removal is a mass removal if they are more than half of the known ones."""

IS_MISSING = (file.c.source.concat("") == bindparam("of_source"), FILE_MISSING)
"""Conditions: files `of_source` that are missing and not withdrawn yet. The concatenation keeps SQLite from using the
primary key, with which it would read every file of the source."""
IS_KNOWN = (file.c.source == bindparam("of_source"), file.c.state != FileState.REMOVED)
"""Conditions: files `of_source` that are not withdrawn."""
_COUNT_MISSING = select(func.count()).select_from(file).where(*IS_MISSING)
_COUNT_KNOWN = select(func.count()).select_from(file).where(*IS_KNOWN)
_FIRST_MISSING = select(func.min(file.c.missing_since)).where(*IS_MISSING)
_MISSING_PATHS = select(file.c.path).where(*IS_MISSING)
_ANY_MISSING = _MISSING_PATHS.limit(1)
_HELD_SINCE = select(source_table.c.removals_held_since).where(source_table.c.name == bindparam("of_source"))


def is_any_missing(connection: Connection, source: str) -> bool:
    """Whether a file of a source is missing and not withdrawn yet."""
    return connection.execute(_ANY_MISSING, {"of_source": source}).first() is not None


def count_missing(writer: Writer, source: str) -> int:
    """How many files of a source are missing and not withdrawn yet."""
    with writer.read() as connection:
        return connection.scalar(_COUNT_MISSING, {"of_source": source}) or 0


def first_missing(connection: Connection, source: str) -> int | None:
    """Since when (µs) the first of the missing files of a source is missing, withdrawn ones aside; None without any."""
    since: int | None = connection.scalar(_FIRST_MISSING, {"of_source": source})
    return since


def missing_paths(writer: Writer, source: str) -> list[str]:
    """The paths of the files of a source that are missing and not withdrawn yet."""
    with writer.read() as connection:
        return list(connection.scalars(_MISSING_PATHS, {"of_source": source}))


def count_known(writer: Writer, source: str) -> int:
    """How many files of a source are known and not withdrawn. Reads them all."""
    with writer.read() as connection:
        return connection.scalar(_COUNT_KNOWN, {"of_source": source}) or 0


def unread_new_file(connection: Connection, source: str, since: int) -> str | None:
    """The path of a file that came into a source after `since` (µs) and could never be read; None without one."""
    never_read = (
        file.c.entry_id.is_(None),
        file.c.state == FileState.REJECTED,
        func.length(file.c.digest) != DIGEST_BYTES,
    )
    is_here = file.c.missing_since.is_(None), file.c.rejected_at >= since
    # by the index of problems, see IS_MISSING
    mine = select(file.c.path).where(
        file.c.source.concat("") == source, file.c.problems.is_not(None), *never_read, *is_here
    )
    return connection.scalar(mine.order_by(file.c.path).limit(1))


def is_mass_removal(missing: int, known: int) -> bool:
    """Whether so many missing files of the known ones may be a mishap."""
    return missing >= MASS_REMOVAL and 2 * missing > known


def hold_withdrawals(
    writer: Writer, source: str, grace: timedelta, *, is_massive: bool, is_accepted: bool
) -> tuple[int | None, bool]:
    """Until when (µs) the entries of the missing files of a source are kept, None if they are withdrawn now; and
    whether an earlier cycle kept them.

    A missing folder and a mass removal (`is_massive`) are held for `removal_grace`, unless they are accepted. The grace
    counts from the first scan that finds them, which the row of the source remembers.
    """
    with writer.read() as connection:
        held = connection.scalar(_HELD_SINCE, {"of_source": source})
    since = writer.now if held is None else held
    is_held = is_massive and not is_accepted and writer.now - since < span_us(grace)
    if is_held != (held is not None):
        with writer.write() as connection:
            mine = update(source_table).where(source_table.c.name == source)
            connection.execute(mine.values(removals_held_since=since if is_held else None))
    return since + span_us(grace) if is_held else None, is_massive and held is not None


def withdraw_missing(
    writer: Writer, source: str, reason: Callable[[str], str], *, is_folder_missing: bool
) -> Iterator[Step]:
    """Withdraws the entries of missing files, in order of path; of all files if the whole folder is missing. `reason`
    says why, by path, for their history."""
    conditions = IS_KNOWN if is_folder_missing else IS_MISSING
    some = select(file.c.path).where(*conditions).limit(1)
    while True:
        with writer.read() as connection:
            if connection.execute(some, {"of_source": source}).first() is None:
                return
        yield partial(_withdraw_missing, writer=writer, source=source, reason=reason, conditions=conditions)


def _withdraw_missing(
    connection: Connection,
    *,
    writer: Writer,
    source: str,
    reason: Callable[[str], str],
    conditions: tuple[ColumnElement[bool] | TextClause, ...],
) -> EntryChanges:
    rows = connection.execute(
        select(file.c.path, file.c.entry_id, entry.c.state)
        .select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))
        .where(*conditions)
        .order_by(file.c.path)
        .limit(REMOVAL_BATCH),
        {"of_source": source},
    ).all()
    published = {row.entry_id: reason(row.path) for row in rows if row.state == EntryState.PUBLISHED}
    withdrawn = withdraw_entries(connection, writer, published)
    scheduled = [row.entry_id for row in rows if row.state == EntryState.SCHEDULED]
    hide_scheduled(connection, scheduled)
    with_entry = [row.path for row in rows if row.entry_id is not None]
    connection.execute(
        update(file)
        .where(file.c.source == source, file.c.path.in_(with_entry))
        .values(
            state=FileState.REMOVED,
            missing_since=func.coalesce(file.c.missing_since, writer.now),
            problems=None,
            wanted_id=None,
        )
    )
    without_entry = [row.path for row in rows if row.entry_id is None]
    connection.execute(delete(file).where(file.c.source == source, file.c.path.in_(without_entry)))
    return EntryChanges(withdrawn=withdrawn)


def withdraw_expired(writer: Writer) -> Iterator[Step]:
    """Withdraws the published entries whose expiry has come."""
    expired = (
        select(entry.c.id)
        .where(entry.c.state == EntryState.PUBLISHED, entry.c.expires_at <= writer.now)
        .order_by(entry.c.expires_at, entry.c.id)
        .limit(REMOVAL_BATCH)
    )
    while True:
        with writer.read() as connection:
            ids = list(connection.scalars(expired))
        if not ids:
            return
        yield partial(_withdraw_expired, writer=writer, ids=ids)


def _withdraw_expired(connection: Connection, *, writer: Writer, ids: list[int]) -> EntryChanges:
    return EntryChanges(withdrawn=withdraw_entries(connection, writer, dict.fromkeys(ids, EXPIRED)))
