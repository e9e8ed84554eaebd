"""What the end of a scan decides: renames, duplicates that may come in, withdrawals, and who is released when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, bindparam, delete, func, or_, select, update

from aggregator.content import read_content
from aggregator.model import Source
from aggregator.store.history import EXPIRED, FLAG, VANISHED, tell_released
from aggregator.store.membership import Placing, place_entries
from aggregator.store.records import facts_of, shown_update, update_entries, withdraw_entries
from aggregator.store.tables import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_DUPLICATE,
    FILE_GONE,
    FILE_READ,
    FILE_VANISHED,
    AnyRow,
    body,
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


def pair_renames(writer: Writer, source: Source) -> None:
    """Gives the entries of vanished files to new files with the same bytes or, failing that, the same content.

    Several candidates pair in order of path. New is what came within `removal_grace` and was never released, so a
    cycle that was cut short goes on where it stopped, however long ago that was.
    """
    with writer.read() as connection:
        first_gone = connection.scalar(select(func.min(file.c.gone_at)).where(*_undecided(source)))
    since = (writer.now if first_gone is None else min(first_gone, writer.now)) - span_us(source.removal_grace)
    for mark in (file.c.digest, entry.c.content_hash):
        with writer.read() as connection:
            if connection.execute(_vanished(source, since, file.c.path).limit(1)).first() is None:
                return
            pairs = list(_pairs(connection, source, since, mark))
        for start in range(0, len(pairs), MOVES):
            with writer.write() as connection:
                _move_entries(connection, writer, pairs[start : start + MOVES])
        writer.new -= sum(new.stored_at == writer.now for _, new in pairs)
        writer.changed += len(pairs)


def _undecided(source: Source) -> tuple[ColumnElement[bool], TextClause]:
    """Files that are gone and not withdrawn yet. By the plain name of a source, SQLite would read all that it has."""
    return file.c.source.concat("") == source.name, FILE_VANISHED


def _vanished(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that are gone since `since` and have an entry."""
    return (
        select(*columns)
        .join(entry, entry.c.id == file.c.entry_id)
        .where(file.c.source == source.name, file.c.gone_at >= since)
    )


def _pairs(
    connection: Connection, source: Source, since: int, mark: ColumnElement[bytes]
) -> Iterator[tuple[AnyRow, AnyRow]]:
    """A vanished file and a new one each, alike in `mark`, in order of path."""
    wanted = (file.c.path.label("file_path"), mark.label("mark"), entry.c.id, entry.c.explicit_id, entry.c.stored_at)
    new = connection.execute(
        select(*wanted)
        .join(file, entry.c.id == file.c.entry_id)
        .where(
            file.c.source.concat("") == source.name,  # see _undecided
            file.c.gone_at.is_(None),
            file.c.entry_id.in_(select(entry.c.id).where(entry.c.stored_at >= since, entry.c.released_at.is_(None))),
            mark != b"",  # that of a file that was not read to its end
            mark.in_(_vanished(source, since, mark)),
        )
        .order_by(file.c.path)
    ).all()
    if not new:
        return
    marks = {row.mark for row in new}
    free: dict[bytes, list[AnyRow]] = {}
    for row in connection.execute(_vanished(source, since, *wanted).order_by(file.c.path)):
        if row.mark in marks:
            free.setdefault(row.mark, []).append(row)
    for row in new:
        candidates = free.get(row.mark, [])
        fits = next((one for one in candidates if _same_stated_id(one.explicit_id, row.explicit_id)), None)
        if fits is not None:
            candidates.remove(fits)
            yield fits, row


_CARRIED = (
    "path state content content_hash visible_hash selection_hash text_hash quality heat dated_at stated_update_at"
    " expires_at embargo_at"
).split()


def _same_stated_id(old: str | None, new: str | None) -> bool:
    return old is None or new is None or old == new


def _move_entries(connection: Connection, writer: Writer, pairs: list[tuple[AnyRow, AnyRow]]) -> None:
    """The entry of the first of each pair goes on at the path of the second, whose own was never released and goes."""
    rows = {}
    for row in connection.execute(select(entry).where(entry.c.id.in_([one.id for pair in pairs for one in pair]))):
        rows[row.id] = row
    files = {pair[0].id: (pair[0].file_path, pair[1].file_path) for pair in pairs}
    entries = [(rows[old.id], rows[new.id]) for old, new in pairs]
    moves = []
    withdrawn = {}
    for old, new in entries:
        values = {name: getattr(new, name) for name in _CARRIED}
        if old.state == ENTRY_OUT:
            if values["state"] != ENTRY_WAITING:
                lapsed = new.expires_at is not None and new.expires_at <= writer.now
                withdrawn[old.id] = EXPIRED if lapsed else FLAG
            values["state"] = ENTRY_OUT
        elif old.state == values["state"] == ENTRY_WAITING and old.embargo_at == values["dated_at"]:
            values["embargo_at"] = old.embargo_at
        moves.append(values | {"entry_key": old.id, "explicit_id": old.explicit_id or new.explicit_id})
    connection.execute(delete(entry).where(entry.c.id.in_([new.id for _, new in entries])))
    _move_bodies(connection, entries)
    update_entries(connection, moves)
    source = entries[0][0].source
    connection.execute(delete(file).where(file.c.source == source, file.c.path.in_([old for old, _ in files.values()])))
    connection.execute(
        update(file)
        .where(file.c.source == bindparam("of_source"), file.c.path == bindparam("of_path"))
        .values(entry_id=bindparam("held")),
        [{"of_source": source, "of_path": new_path, "held": key} for key, (_, new_path) in files.items()],
    )
    place_entries(
        connection,
        writer,
        [
            Placing(
                old.id,
                old.released_at,
                old.published_at,
                new.content,
                read_content(new.content).topics,
                new.quality,
                new.heat,
                shown=old.visible_hash != new.visible_hash,
                before=facts_of(old, writer.policy.tables),
            )
            for old, new in entries
            if old.state == ENTRY_OUT
            and (old.visible_hash, old.selection_hash) != (new.visible_hash, new.selection_hash)
        ],
    )
    withdraw_entries(connection, writer, withdrawn)


def _move_bodies(connection: Connection, entries: list[tuple[AnyRow, AnyRow]]) -> None:
    connection.execute(delete(body).where(body.c.entry_id.in_([old.id for old, _ in entries])))
    connection.execute(
        update(body).where(body.c.entry_id == bindparam("of_new")).values(entry_id=bindparam("of_old")),
        [{"of_new": new.id, "of_old": old.id} for old, new in entries],
    )


def free_duplicates(writer: Writer, source: Source) -> list[str]:
    """Paths of files to read again, because the explicit id that they were refused for has become free.

    The entry of a vanished file goes to the refused one with the same bytes, else to the first by path; a file that has
    an entry keeps it.
    """
    with writer.read() as connection:
        rows = connection.execute(_vanished_holders(source)).all()
    heirs: dict[int, AnyRow] = {}
    for row in rows:
        if row.entry_id is None and (row.held not in heirs or row.moved > heirs[row.held].moved):
            heirs[row.held] = row
    if heirs:
        with writer.write() as connection:
            for row in heirs.values():
                _inherit(connection, source, row)
    known = [row.path for row in rows if row.entry_id is not None]
    with writer.read() as connection:
        return sorted({*known, *(row.path for row in heirs.values()), *_unclaimed(connection, writer, source)})


def _inherit(connection: Connection, source: Source, row: AnyRow) -> None:
    """Gives a refused file the entry of the vanished one that held its id."""
    connection.execute(delete(file).where(file.c.source == row.from_source, file.c.path == row.from_path))
    connection.execute(
        update(file)
        .where(file.c.source == source.name, file.c.path == row.path)
        .values(entry_id=row.held, state=FILE_READ, digest=b"", wanted_id=None, recheck=True)
    )


_REFUSED = (file.c.state == FILE_DUPLICATE, file.c.problems.is_not(None), file.c.gone_at.is_(None))


def _vanished_holders(source: Source) -> Select[Any]:
    """Refused files whose id is that of a vanished one, in order of path; `moved` where the bytes are the same."""
    holder = file.alias("holder")
    return (
        select(
            file.c.path,
            file.c.entry_id,
            holder.c.source.label("from_source"),
            holder.c.path.label("from_path"),
            holder.c.entry_id.label("held"),
            (holder.c.digest == file.c.digest).label("moved"),
        )
        .join(entry, entry.c.explicit_id == file.c.wanted_id)
        .join(holder, holder.c.entry_id == entry.c.id)
        .where(*_REFUSED, file.c.source == source.name, holder.c.gone_at.is_not(None))
        .order_by(file.c.path)
        .limit(CHUNK)
    )


def _unclaimed(connection: Connection, writer: Writer, source: Source) -> list[str]:
    """Refused files whose id no record states any more, and no entry has."""
    claim = select(entry.c.id).where(entry.c.explicit_id == file.c.wanted_id).exists()
    rows = connection.execute(
        select(file.c.path, file.c.wanted_id)
        .where(*_REFUSED, file.c.source == source.name, ~claim)
        .order_by(file.c.path)
        .limit(CHUNK)
    ).all()
    wanted = {writer.mint.explicit_entry_id(row.wanted_id): row.path for row in reversed(rows)}
    taken = set(connection.scalars(select(entry.c.uid).where(entry.c.uid.in_(wanted))))
    return [path for uid, path in wanted.items() if uid not in taken]


def count_vanished(writer: Writer, source: Source) -> int:
    """How many files of a source are gone and not withdrawn yet."""
    with writer.read() as connection:
        return connection.scalar(select(func.count()).select_from(file).where(*_undecided(source))) or 0


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
    gone = (file.c.source == source.name, file.c.state != FILE_GONE) if everything else _undecided(source)
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
