"""Entries: stores what was read from a batch of files, and decides what that changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, case, delete, insert, select, update

from aggregator.ids import FormatIds
from aggregator.links import page_key
from aggregator.model import (
    NoRecord,
    Outcome,
    Record,
    Rejection,
    SourceFile,
    Unchanged,
    duplicate_id,
    hide_stories,
    late_update,
    next_story_time,
    read_content,
)
from aggregator.parse.page_links import has_page_links
from aggregator.parse.references import reference_key
from aggregator.parse_attempts import is_settled
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.store.adopted import format_ids_json, read_adopted
from aggregator.store.batch_renames import Continued, forget_left, read_continued
from aggregator.store.changes import EntryChanges, PublishedEntry, Selectable
from aggregator.store.events import EXPIRED, FLAG, REJECTED, RESOURCE, add_renames, add_withdrawals
from aggregator.store.page_links import mark_links, store_links
from aggregator.store.schema import REJECTED_STATES, AnyRow, EntryState, FileState, body, entry, file
from aggregator.store.session import Writer, execute_many, from_us, span_us, to_us_or_none, upsert

RACY_NS = 2_000_000_000
"""The resolution of the coarsest file system that dates files."""
TICK_NS = 50_000_000
"""The resolution of the coarsest kernel clock that dates changes. Small, because every file of a copied folder has just
been changed."""

_NEW_ENTRY, _NEW_FILE, _NEW_BODY = insert(entry), insert(file), insert(body)


def store_outcomes(
    connection: Connection,
    writer: Writer,
    source: Source,
    outcomes: Sequence[Outcome],
    read_at_ns: int,
    *,
    is_import: bool = False,
    gone: Collection[str] = (),
) -> EntryChanges:
    """Stores a batch of outcomes. `gone`: known files that are missing, whose records new files may be.

    With `is_import` the store knew no file of the source when the scan began. No file can be a rename then, so a record
    whose date has come is released at once.
    """
    continued = Continued({}) if is_import else read_continued(connection, source, outcomes, gone)
    batch = _Batch(connection, writer, source, outcomes, continued, read_at_ns, is_import=is_import)
    for outcome in outcomes:
        batch.add(outcome)
    return batch.write()


AdoptedId = tuple[str, FormatIds | None]
"""An id from `IdMint.adopted_entry_id`."""
_NO_IDS = (None, None)


class _Batch:
    """The rows that a batch of outcomes adds and changes. Collects first, then writes a table at a time."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        source: Source,
        outcomes: Sequence[Outcome],
        continued: Continued,
        read_at_ns: int,
        *,
        is_import: bool,
    ) -> None:
        self._connection, self._writer, self._source = connection, writer, source
        self._read_at_ns, self._is_import, self._now = read_at_ns, is_import, from_us(writer.now)
        self._continued, self._stored = continued, continued.rows
        self._ids = _IdRegister(connection, writer, source, outcomes, self._stored)
        self._files: list[dict[str, object]] = []
        self._new_entries: list[dict[str, object]] = []
        self._changed_entries: list[dict[str, Any]] = []
        self._bodies: dict[int, str] = {}
        self._linking: dict[int, tuple[str, str]] = {}  # paths and bodies of entries that may link to pages
        self._pages: list[str | None] = []  # keys of pages that links may lead to, or no longer
        self._changed: list[PublishedEntry] = []
        self._released: list[PublishedEntry] = []
        self._named: list[tuple[str, ...]] = []  # topics of entries that are released in the cycle of an import
        self._withdrawn: dict[int, str] = {}
        self._unscheduled: list[int] = []

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, Record) and outcome.story_times:
            outcome = hide_stories(outcome, self._now)
        row = self._stored.get(outcome.file.path)
        if isinstance(outcome, Unchanged):
            if row is not None:
                wanted = (row.wanted_id, row.wanted_at)
                state, problems, unread = row.file_state, row.problems, row.unread
                self._add_file(outcome.file, outcome.digest, state, row.id, problems, wanted, unread)
        elif isinstance(outcome, Rejection):
            self._reject(outcome, row)
        elif isinstance(outcome, NoRecord):
            self._add_file(outcome.file, outcome.digest, FileState.RESOURCE, row.id if row else None, None)
            self._keep_or_hide(row, RESOURCE)
        elif holder := self._ids.find_holder(outcome, row):
            self._refuse_duplicate(outcome, row, holder)
        else:
            self._accept(outcome, row)

    def _reject(self, outcome: Rejection, row: AnyRow | None) -> None:
        state = FileState.UNFINISHED if outcome.unfinished else FileState.REJECTED
        # without a digest, an unfinished file is read again in every cycle until it has an end or is too old
        digest = b"" if outcome.unfinished else outcome.digest
        self._add_file(outcome.file, digest, state, row.id if row else None, _problems_json((outcome.problem,)))
        self._keep_or_hide(row, REJECTED if outcome.hides else None)

    def _refuse_duplicate(self, record: Record, row: AnyRow | None, holder: str) -> None:
        """Rejects a record with an id that another has; the time since when it wants the id survives edits."""
        wanted_at = self._writer.now
        if row is not None and row.file_state == FileState.DUPLICATE and row.wanted_id == record.explicit_id:
            wanted_at = row.wanted_at
        self._add_file(
            record.file,
            record.digest,
            FileState.DUPLICATE,
            row.id if row else None,
            _problems_json((duplicate_id(record, holder),)),
            (record.explicit_id, wanted_at),
        )
        self._keep_or_hide(row, None if record.public else FLAG)

    def _keep_or_hide(self, row: AnyRow | None, reason: str | None) -> None:
        """A published entry whose file is rejected stays as it was, unless there is a `reason` to withdraw it. A
        scheduled one is hidden: it must not be released by a date that its file may no longer state."""
        if row is None or row.id is None:
            return
        if row.entry_state == EntryState.PUBLISHED and reason is not None:
            self._withdrawn[row.id] = reason
        elif row.entry_state == EntryState.SCHEDULED:
            self._unscheduled.append(row.id)

    def _accept(self, record: Record, row: AnyRow | None) -> None:
        if row is None or row.id is None:
            entry_id = self._add_entry(record)
        else:
            entry_id = row.id
            self._change_entry(record, row)
        if has_page_links(record.body_html):
            self._linking[entry_id] = (record.file.path, record.body_html)
        late = late_update(record, self._now)
        warnings = (*record.warnings, late) if late else record.warnings
        problems = _problems_json(warnings) if warnings else None
        unread = " ".join(record.unread) or None
        self._add_file(record.file, record.digest, FileState.READ, entry_id, problems, unread=unread)

    def _add_entry(self, record: Record) -> int:
        now, entry_id = self._writer.now, self._writer.new_entry_id()
        values = _record_values(record, self._source, now)
        date = values["dated_at"]
        if self._is_import and values["state"] == EntryState.SCHEDULED and date is not None and date <= now:
            values |= {"state": EntryState.PUBLISHED, "released_at": date, "published_at": date}
            self._released.append(_entry_of_record(entry_id, date, date, record, is_new=True))
            self._pages.append(values["lookup_key"])
            self._named.append(record.topics)
        else:
            values |= {"released_at": None, "published_at": None}
            if self._is_import and values["state"] == EntryState.SCHEDULED and date is None:
                self._named.append(record.topics)  # it is released after the dated ones, but counts by its path
        updated = shown_update(date, values["stated_update_at"], None, None, now)
        uid, format_ids = self._ids.mint(record, entry_id)
        values |= {"id": entry_id, "uid": uid, "format_ids": format_ids, "stored_at": now, "updated_at": updated}
        self._new_entries.append(values)
        self._bodies[entry_id] = record.body_html
        self._writer.new += 1
        return entry_id

    def _change_entry(self, record: Record, row: AnyRow) -> None:
        values, is_withdrawn = changed_values(
            _record_values(record, self._source, self._writer.now), row, row.entry_state, self._writer.now
        )
        is_visible = record.visible_hash != row.visible_hash or values["updated_at"] != row.updated_at
        is_changed = is_visible or record.selection_hash != row.selection_hash
        if record.visible_hash != row.visible_hash:
            self._bodies[row.id] = record.body_html
        if row.entry_state == EntryState.PUBLISHED and (is_visible or row.lookup_key != values["lookup_key"]):
            self._pages += (row.lookup_key, values["lookup_key"])
        if is_withdrawn:
            self._withdrawn[row.id] = EXPIRED if record.public else FLAG
        elif row.entry_state == EntryState.PUBLISHED and is_changed:
            self._changed.append(
                _entry_of_record(row.id, row.released_at, row.published_at, record, is_visible=is_visible)
            )
        self._writer.changed += is_changed or row.id in self._continued.renamed
        self._changed_entries.append(values)

    def _add_file(
        self,
        seen: SourceFile,
        digest: bytes,
        state: FileState,
        entry_id: int | None,
        problems: str | None,
        wanted: tuple[str | None, int | None] = (None, None),
        unread: str | None = None,
    ) -> None:
        # a file that changed just before it was read may change again within the same tick of its clock
        is_racy = abs(self._read_at_ns - seen.mtime_ns) < RACY_NS or abs(self._read_at_ns - seen.ctime_ns) < TICK_NS
        self._files.append(
            {
                "source": seen.source,
                "path": seen.path,
                "size": seen.size,
                "mtime_ns": seen.mtime_ns,
                "ctime_ns": seen.ctime_ns,
                "inode": seen.inode,
                "digest": digest,
                "state": state,
                "recheck": not is_settled(digest) or is_racy,
                "missing_since": None,
                "entry_id": entry_id,
                "wanted_id": wanted[0],
                "wanted_at": wanted[1],
                "problems": problems,
                "unread": unread,
                "rejected_at": self._rejected_at(seen.path) if state in REJECTED_STATES else None,
            }
        )

    def _rejected_at(self, path: str) -> int:
        """Since when a rejected file is rejected."""
        row = self._stored.get(path)
        return row.rejected_at if row is not None and row.file_state in REJECTED_STATES else self._writer.now

    def write(self) -> EntryChanges:
        """Writes the rows; returns what became of published entries."""
        connection = self._connection
        forget_left(connection, self._source, self._continued)
        add_renames(connection, self._writer, self._continued.renamed)
        execute_many(connection, _NEW_ENTRY, self._new_entries)
        changed = self._with_former_values()
        if self._changed_entries:
            execute_many(connection, _updating(tuple(self._changed_entries[0])), self._changed_entries)
        self._write_bodies()
        self._write_links()
        if self._is_import:
            execute_many(connection, _NEW_FILE, self._files)
        else:
            upsert(connection, file, self._files)
        if self._unscheduled:
            hide_scheduled(connection, self._unscheduled)
        withdrawn = withdraw_entries(connection, self._writer, self._withdrawn)
        return EntryChanges((*changed, *self._released), withdrawn, named=tuple(self._named))

    def _with_former_values(self) -> list[PublishedEntry]:
        """The changed entries, each with what rules read of it until now."""
        if not self._changed:
            return []
        columns = (entry.c.id, entry.c.content, entry.c.quality, entry.c.heat)
        mine = entry.c.id.in_([changed.id for changed in self._changed])
        former = {
            row.id: Selectable(row.content, row.quality, row.heat)
            for row in self._connection.execute(select(*columns).where(mine))
        }
        return [changed._replace(before=former[changed.id]) for changed in self._changed]

    def _write_bodies(self) -> None:
        """Stores bodies while a feed shows bodies; a record without a body has no row."""
        if self._source.body_base is None or not self._bodies:
            return
        self._connection.execute(delete(body).where(body.c.entry_id.in_(self._bodies)))
        rows = [{"entry_id": entry_id, "html": html} for entry_id, html in self._bodies.items() if html]
        execute_many(self._connection, _NEW_BODY, rows)

    def _write_links(self) -> None:
        """Stores the links of bodies to pages, and which links may lead elsewhere because of this batch."""
        if self._source.body_base is not None:
            may_have_links = () if self._is_import else self._bodies.keys() | self._linking.keys()
            store_links(self._connection, self._source, self._linking, may_have_links)
        mark_links(self._connection, self._pages)


class _IdRegister:
    """Which entry has each of the ids that the records of a batch want."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        source: Source,
        outcomes: Sequence[Outcome],
        stored: Mapping[str, AnyRow],
    ) -> None:
        self._connection, self._mint, self._source = connection, writer.mint, source.name
        records = [outcome for outcome in outcomes if isinstance(outcome, Record)]
        explicit = {record.explicit_id for record in records if record.explicit_id is not None}
        new = [record for record in records if getattr(stored.get(record.file.path), "id", None) is None]
        self._adopted = self._find_adopted(new) if new and writer.has_adopted else {}
        self._first_choice = {record.file.path: self._id_of(record) for record in new}
        wanted = {*self._first_choice.values(), *map(self._mint.explicit_entry_id, explicit)}
        columns = (entry.c.id, entry.c.uid, entry.c.explicit_id, entry.c.source, entry.c.path, file.c.missing_since)
        entries = select(*columns).outerjoin(file, file.c.entry_id == entry.c.id)
        rows = list(connection.execute(entries.where(entry.c.uid.in_(wanted)))) if wanted else []
        if explicit:
            rows += connection.execute(entries.where(entry.c.explicit_id.in_(explicit)))
        rows.sort(key=lambda row: row.missing_since is None)  # if two entries state an id, the one with a file has it
        until = writer.now - span_us(source.removal_grace)
        self._inheritable = {row.id for row in rows if row.missing_since is not None and row.missing_since <= until}
        self._by_uid: dict[str, tuple[int, str]] = {row.uid: (row.id, _place(row.source, row.path)) for row in rows}
        self._by_explicit_id: dict[str, tuple[int, str]] = {
            row.explicit_id: (row.id, _place(row.source, row.path)) for row in rows if row.explicit_id is not None
        }

    def find_holder(self, record: Record, row: AnyRow | None) -> str | None:
        """The place of an entry, other than the entry of `row`, that has the explicit id of the record."""
        if record.explicit_id is None:
            return None
        own = row.id if row else None
        uid = self._mint.explicit_entry_id(record.explicit_id)
        for holder in (self._by_explicit_id.get(record.explicit_id), self._by_uid.get(uid)):
            # an entry without a file for long is inherited by a file without an entry, and is no obstacle to others
            if holder is not None and holder[0] != own and not (own is not None and holder[0] in self._inheritable):
                return holder[1]
        if own is not None:
            self._by_explicit_id[record.explicit_id] = (own, _place(self._source, record.file.path))
        return None

    def mint(self, record: Record, entry_id: int) -> tuple[str, str | None]:
        """The id of a new entry, which has it from now on; and the value of its column `format_ids`."""
        path = record.file.path
        first, adopted = self._first_choice[path], self._adopted.get(path, _NO_IDS)
        # after an adopted id comes the id that the path gives
        uid, attempt = first, 0 if record.explicit_id is None and adopted[0] is not None else 1
        while uid in self._by_uid or (uid != first and self._is_taken(uid)):
            attempt += 1
            uid = self._mint.path_entry_id(self._source, path, attempt)
        holder = (entry_id, _place(self._source, record.file.path))
        self._by_uid[uid] = holder
        if record.explicit_id is not None:
            self._by_explicit_id[record.explicit_id] = holder
        return uid, format_ids_json(adopted[1]) if uid == adopted[0] else None

    def _find_adopted(self, records: Sequence[Record]) -> dict[str, AdoptedId]:
        """The adopted ids of the links of records, by path."""
        keys = {record.file.path: page_key(read_content(record.content_json).link) for record in records}
        ids = read_adopted(self._connection, {key for key in keys.values() if key is not None})
        return {path: self._mint.adopted_entry_id(ids[key]) for path, key in keys.items() if key in ids}

    def _id_of(self, record: Record) -> str:
        if record.explicit_id is not None:
            return self._mint.explicit_entry_id(record.explicit_id)
        if adopted := self._adopted.get(record.file.path):
            return adopted[0]
        return self._mint.path_entry_id(self._source, record.file.path)

    def _is_taken(self, uid: str) -> bool:
        return self._connection.scalar(select(entry.c.id).where(entry.c.uid == uid)) is not None


def next_state(state: EntryState, *, is_public: bool, was_released: bool) -> EntryState:
    """The state of an entry whose record is read again; `is_public` is what its flags and expiry say now.

    A published entry stays published here: a date that moves does not end a publication, and `withdraw_entries` does
    what flags and an expiry demand.
    """
    if state == EntryState.PUBLISHED:
        return EntryState.PUBLISHED
    if is_public:
        return EntryState.SCHEDULED
    return EntryState.WITHDRAWN if was_released else EntryState.HIDDEN


def changed_values(values: dict[str, Any], row: AnyRow, state: EntryState, now: int) -> tuple[dict[str, Any], bool]:
    """The columns of the entry of `row`, now in `state`, once its record says `values`; and whether that withdraws it.

    Of an entry that is withdrawn, `withdraw_entries` changes the state.
    """
    values = values | {"entry_key": row.id}
    is_public = values["state"] == EntryState.SCHEDULED
    values["state"] = next_state(state, is_public=is_public, was_released=row.released_at is not None)
    if state == values["state"] == EntryState.SCHEDULED and row.embargo_at == values["dated_at"]:
        values["embargo_at"] = row.embargo_at  # an edit after the due time does not end the embargo
    edited = max(now, row.edited_at or 0) if values["text_hash"] != row.text_hash else row.edited_at
    published = values["dated_at"] if row.released_at is None else row.published_at
    updated = shown_update(published, values["stated_update_at"], edited, row.returned_at, row.stored_at)
    return values | {"edited_at": edited, "updated_at": updated}, state == EntryState.PUBLISHED and not is_public


def update_entries(connection: Connection, changes: list[dict[str, Any]]) -> None:
    """Changes columns of entries; each map has the same names, and the key of its entry as `entry_key`."""
    if changes:
        execute_many(connection, _updating(tuple(changes[0])), changes)


@lru_cache(maxsize=16)
def _updating(names: tuple[str, ...]) -> Update:
    """Changes the entry with the key `entry_key`; the other names are columns."""
    values: dict[str, Any] = {name: bindparam(name) for name in names if name != "entry_key"}
    return update(entry).where(entry.c.id == bindparam("entry_key")).values(values)


def withdraw_entries(connection: Connection, writer: Writer, reasons: Mapping[int, str]) -> frozenset[int]:
    """Withdraws published entries, each for its reason, by their keys; returns the keys."""
    if reasons:
        withdrawn = update(entry).where(entry.c.id.in_(reasons))
        connection.execute(withdrawn.values(state=EntryState.WITHDRAWN, withdrawn_at=writer.now))
        mark_links(connection, connection.scalars(select(entry.c.lookup_key).where(entry.c.id.in_(reasons))))
        add_withdrawals(connection, writer, reasons)
        writer.removed += len(reasons)
    return frozenset(reasons)


def hide_scheduled(connection: Connection, entry_ids: Collection[int]) -> None:
    """Takes back the schedule of entries, by their keys."""
    if entry_ids:
        state = case((entry.c.released_at.is_(None), EntryState.HIDDEN), else_=EntryState.WITHDRAWN)
        connection.execute(update(entry).where(entry.c.id.in_(entry_ids)).values(state=state))


def shown_update(
    published_at: int | None, stated: int | None, edited: int | None, returned: int | None, stored: int
) -> int:
    """An entry's `updated` (docs/spec.md, Dates): the latest of the times that are known, else when it was stored."""
    return max((at for at in (published_at, stated, edited, returned) if at is not None), default=stored)


def published_entry(row: AnyRow, *, is_new: bool = False, is_visible: bool = False) -> PublishedEntry:
    """The entry of a whole row."""
    topics = read_content(row.content).topics
    return PublishedEntry(
        row.id, row.released_at, row.published_at, row.content, topics, row.quality, row.heat, is_new, is_visible
    )


def _entry_of_record(
    entry_id: int, released_at: int, published_at: int | None, record: Record, **flags: Any
) -> PublishedEntry:
    """The published entry of a record that is being stored."""
    content, topics = record.content_json, record.topics
    return PublishedEntry(entry_id, released_at, published_at, content, topics, record.quality, record.heat, **flags)


def _record_values(record: Record, source: Source, now: int) -> dict[str, Any]:
    """The columns that follow from the record and the time alone; `state` is scheduled or hidden."""
    date, expires = to_us_or_none(record.published), to_us_or_none(record.expires)
    updated = to_us_or_none(record.updated)
    is_scheduled = record.public and (expires is None or expires > now)
    return {
        "source": record.file.source,
        "path": record.file.path,
        "explicit_id": record.explicit_id,
        "state": EntryState.SCHEDULED if is_scheduled else EntryState.HIDDEN,
        "content": record.content_json,
        "content_hash": record.content_hash,
        "visible_hash": record.visible_hash,
        "selection_hash": record.selection_hash,
        "text_hash": record.text_hash,
        "sketch": record.sketch,
        "lookup_key": reference_key(source, record.file.path),
        "quality": record.quality,
        "heat": record.heat,
        "dated_at": date,
        "stated_update_at": None if updated is None or updated > now else updated,
        "expires_at": expires,
        "stories_at": to_us_or_none(next_story_time(record, from_us(now))) if record.story_times else None,
        "embargo_at": date if is_scheduled and date is not None and date > now else None,
    }


def _place(source: str, path: str) -> str:
    return f"{source}/{path}" if source else path


def _problems_json(problems: Collection[Problem]) -> str:
    rows = [[item.line, item.column, item.what, item.value, item.hint, item.level] for item in problems]
    return json.dumps(rows)
