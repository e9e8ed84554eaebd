"""Releases: when an entry becomes public for the first time, or again."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, or_, select, text, update

from aggregator.settings import Source
from aggregator.store.changes import EntryChanges, Step
from aggregator.store.entries import hide_scheduled, published_entry, shown_update, update_entries
from aggregator.store.events import RELEASED, Event, add_events
from aggregator.store.page_links import mark_links
from aggregator.store.queries import last_finished_at
from aggregator.store.schema import SHOWABLE, AnyRow, EntryState, FileState, entry, file
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer, span_us

RELEASE_BATCH = 2000
UNDATED_STEP_US = 1_000_000
MAX_DUE_PATHS = 1000

_DUE = (
    select(entry)
    .where(
        entry.c.source == bindparam("of_source"),
        entry.c.state == EntryState.SCHEDULED,
        or_(
            entry.c.dated_at.is_(None),
            entry.c.dated_at <= bindparam("now"),
            entry.c.expires_at <= bindparam("now"),
        ),
    )
    .order_by(entry.c.path)
    .limit(RELEASE_BATCH)
)

_FILE_READ = (file.c.entry_id == entry.c.id, file.c.state == FileState.READ)
_WITH_DUE_STORY = (entry.c.stories_at <= bindparam("now"), entry.c.state.in_(SHOWABLE))
_DUE_PATHS = (
    select(entry.c.source, entry.c.path)
    .where(text("entry.state = 'scheduled'"), entry.c.dated_at <= bindparam("now"))
    .union_all(select(entry.c.source, entry.c.path).where(*_WITH_DUE_STORY, exists().where(*_FILE_READ)))
    .limit(MAX_DUE_PATHS + 1)
)
# without those of files that are read again anyway, or that give no record now
_DUE_STORIES = select(entry.c.id).where(*_WITH_DUE_STORY, exists().where(*_FILE_READ, file.c.digest != b""))
_ANY_DUE_STORY = _DUE_STORIES.limit(1)


def recheck_expired(writer: Writer) -> None:
    """Makes the next scan read the files of hidden entries with an expiry that is still to come, if the clock is behind
    the last cycle: that one may have hidden them for an expiry that had come by its clock."""
    with writer.read() as connection:
        if writer.now >= last_finished_at(connection):
            return
    hidden = entry.c.state.in_((EntryState.HIDDEN, EntryState.WITHDRAWN))
    theirs = select(entry.c.id).where(hidden, entry.c.expires_at > writer.now)
    with writer.write() as connection:
        chosen = update(file).where(file.c.state == FileState.READ, file.c.entry_id.in_(theirs))
        connection.execute(chosen.values(digest=b"", recheck=True))


def recheck_stories(writer: Writer) -> None:
    """Makes the next scan read the files of entries with a related story that comes or goes now: their records have all
    stories."""
    with writer.read() as connection:
        if connection.execute(_ANY_DUE_STORY, {"now": writer.now}).first() is None:
            return
    with writer.write() as connection:
        chosen = update(file).where(file.c.state == FileState.READ, file.c.entry_id.in_(_DUE_STORIES))
        connection.execute(chosen.values(digest=b"", recheck=True), {"now": writer.now})


def due_paths(writer: Writer) -> Mapping[str, AbstractSet[str]] | None:
    """The paths of entries that are due, and of those with a related story that comes or goes now, by source; None if
    there are more than MAX_DUE_PATHS."""
    with writer.read() as connection:
        rows = connection.execute(_DUE_PATHS, {"now": writer.now}).all()
    if len(rows) > MAX_DUE_PATHS:
        return None
    paths = defaultdict[str, set[str]](set)
    for row in rows:
        paths[row.source].add(row.path)
    return paths


def release_due(
    writer: Writer,
    source: Source,
    late: timedelta,
    *,
    is_first_scan: bool,
    is_failed: bool = False,
    bulk: tuple[int, int] | None = None,
) -> Iterator[Step]:
    """Releases the scheduled entries of a source whose time has come, in order of path; hides them if their expiry came
    before.

    `late` is `output.late`. Ends the first scan of a source, whose undated entries are ordered by path. `bulk` is the
    first entry of a bulk and when the bulk began, which is the time of its entries. After a scan that failed
    (`is_failed`), only entries are released that waited for their date: every other one may be a renamed file.
    """
    due = _DUE.where(entry.c.embargo_at.is_not(None)) if is_failed else _DUE
    undated = _undated_times(writer, source) if is_first_scan else None
    rows: Sequence[AnyRow] | None = None
    while rows is None or len(rows) == RELEASE_BATCH:
        with writer.read() as connection:
            rows = connection.execute(due, {"of_source": source.name, "now": writer.now}).all()
        if rows:
            yield partial(_release, writer=writer, rows=rows, late_us=span_us(late), undated=undated, bulk=bulk)
    if is_first_scan:
        with writer.write() as connection:
            connection.execute(update(source_table).where(source_table.c.name == source.name).values(scanned=True))


def _undated_times(writer: Writer, source: Source) -> Iterator[int]:
    """The release times of the undated entries of a first scan, by path: each a step before the one above it, and all
    before those of dated entries. Continues where a first scan was interrupted."""
    theirs = (entry.c.source == source.name, entry.c.state.in_(SHOWABLE))
    dated = select(func.min(entry.c.dated_at)).where(*theirs, entry.c.dated_at <= writer.now)
    released = select(func.count()).where(*theirs, entry.c.dated_at.is_(None), entry.c.released_at.is_not(None))
    with writer.read() as connection:
        oldest, already = connection.scalar(dated), connection.scalar(released) or 0
    base = writer.now if oldest is None else oldest
    return count(base - (already + 1) * UNDATED_STEP_US, -UNDATED_STEP_US)


def _release(
    connection: Connection,
    *,
    writer: Writer,
    rows: Sequence[AnyRow],
    late_us: int,
    undated: Iterator[int] | None,
    bulk: tuple[int, int] | None,
) -> EntryChanges:
    first, since = bulk or (math.inf, writer.now)
    expired = {row.id for row in rows if row.expires_at is not None and row.expires_at <= writer.now}
    hide_scheduled(connection, expired)
    rows = [row for row in rows if row.id not in expired] if expired else rows
    changes = [_released_values(row, writer.now if row.id < first else since, late_us, undated) for row in rows]
    update_entries(connection, changes)
    mark_links(connection, (row.lookup_key for row in rows))
    add_events(connection, ((row.id, Event(writer.now, RELEASED)) for row in rows if row.released_at is not None))
    return EntryChanges(
        tuple(
            published_entry(row, is_new=row.released_at is None, is_visible=True)._replace(
                released_at=values["released_at"], published_at=values["published_at"]
            )
            for row, values in zip(rows, changes, strict=True)
        )
    )


def _released_values(row: AnyRow, now: int, late_us: int, undated: Iterator[int] | None) -> dict[str, Any]:
    """What a release changes of an entry. A second release keeps the times of the first."""
    if row.released_at is None:
        released, published, returned = _release_time(row, now, late_us, undated), row.dated_at, row.returned_at
    else:
        released, published, returned = row.released_at, row.published_at, max(now, row.returned_at or 0)
    return {
        "entry_key": row.id,
        "state": EntryState.PUBLISHED,
        "released_at": released,
        "published_at": published,
        "returned_at": returned,
        "withdrawn_at": None,
        "updated_at": shown_update(published, row.stated_update_at, row.edited_at, returned, row.stored_at),
    }


def _release_time(row: AnyRow, now: int, late_us: int, undated: Iterator[int] | None) -> int:
    """The time at which an entry counts as released for the first time (docs/spec.md, States)."""
    if row.dated_at is None:
        return now if undated is None else next(undated)
    if row.embargo_at is not None:
        return int(row.embargo_at)
    if undated is not None or row.dated_at < now - late_us:
        return int(row.dated_at)
    return max(int(row.dated_at), now)
