"""Records -> entries: rows in, and what that changes for published entries."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from aggregator.feeds.membership import Placing, close_memberships, place_entries
from aggregator.feeds.rules import read_facts
from aggregator.model import Facts, Record, Rejection, SourceFile, Unchanged, duplicate_id, late_update, read_content
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.store.events import EXPIRED, FLAG, UNUSABLE, tell_withdrawn
from aggregator.store.files import _KNOWN, RACY_NS, TICK_NS
from aggregator.store.schema import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_DUPLICATE,
    FILE_READ,
    FILE_REJECTED,
    FILE_UNFINISHED,
    AnyRow,
    body,
    entry,
    file,
)
from aggregator.store.session import Writer, execute_many, from_us, span_us, to_us_or_none, upsert
from aggregator.topics import TopicTables

Outcome = Record | Rejection | Unchanged


_NEW_ENTRY, _NEW_FILE = insert(entry), insert(file)


def store_outcomes(
    writer: Writer, source: Source, outcomes: Sequence[Outcome], read_at_ns: int, *, unseen: bool = False
) -> None:
    """Stores one batch in one transaction; entries that are out move or leave their feeds in it.

    With `unseen`, this is the first scan, and no file of the source was known when it began: whatever has a date that
    has come is released at once, since it can be no vanished one under another name.
    """
    with writer.write() as connection:
        _Batch(connection, writer, source, read_at_ns, unseen=unseen).store(outcomes)


class _Batch:
    """The rows that one batch adds and changes."""

    def __init__(
        self, connection: Connection, writer: Writer, source: Source, read_at_ns: int, *, unseen: bool
    ) -> None:
        self.connection, self.writer, self.source, self.read_at_ns = connection, writer, source, read_at_ns
        self.unseen, self.now = unseen, from_us(writer.now)
        self.files: list[dict[str, object]] = []
        self.inserts: list[dict[str, object]] = []
        self.updates: list[dict[str, Any]] = []
        self.bodies: dict[int, str] = {}
        self.placings: list[Placing] = []
        self.releases: list[Placing] = []
        self.withdrawals: dict[int, str] = {}
        self.hides: list[int] = []

    def store(self, outcomes: Sequence[Outcome]) -> None:
        paths = [] if self.unseen else [outcome.file.path for outcome in outcomes]
        known = _known_rows(self.connection, self.source.name, paths)
        holders = _Holders(self.connection, self.writer, self.source, outcomes, known)
        for outcome in outcomes:
            row = known.get(outcome.file.path)
            if isinstance(outcome, Unchanged):
                self._keep(outcome, row)
            elif isinstance(outcome, Rejection):
                self._reject(outcome, row)
            elif rival := holders.rival(outcome, row):
                self._refuse_duplicate(outcome, row, rival)
            else:
                self._accept(outcome, row, holders)
        self._flush()

    def _keep(self, outcome: Unchanged, row: AnyRow | None) -> None:
        """The same bytes under a new stat; an unfinished file may have become one that is not."""
        if row is not None:
            wanted = (row.wanted_id, row.wanted_at)
            self._file(outcome.file, outcome.digest, row.file_state, row.id, row.problems, wanted)

    def _reject(self, outcome: Rejection, row: AnyRow | None) -> None:
        state = FILE_UNFINISHED if outcome.unfinished else FILE_REJECTED
        entry_id = row.id if row else None
        # an unfinished file has no digest, so that it is read again until it has an end or is too old
        digest = b"" if outcome.unfinished else outcome.digest
        self._file(outcome.file, digest, state, entry_id, _problems((outcome.problem,)))
        self._stay_or_hide(row, UNUSABLE if outcome.hides else None)

    def _refuse_duplicate(self, record: Record, row: AnyRow | None, rival: str) -> None:
        problem = duplicate_id(record, rival)
        entry_id = row.id if row else None
        waits = row is not None and row.file_state == FILE_DUPLICATE and row.wanted_id == record.explicit_id
        wanted = (record.explicit_id, row.wanted_at if row is not None and waits else self.writer.now)
        self._file(record.file, record.digest, FILE_DUPLICATE, entry_id, _problems((problem,)), wanted)
        self._stay_or_hide(row, None if record.public else FLAG)

    def _stay_or_hide(self, row: AnyRow | None, hidden_by: str | None) -> None:
        """An entry whose file says nothing usable stays out as it was, unless its flags say or may say otherwise; one
        that waits for its time must not come out by a date that no longer stands."""
        if row is None or row.id is None:
            return
        if row.entry_state == ENTRY_OUT and hidden_by is not None:
            self.withdrawals[row.id] = hidden_by
        elif row.entry_state == ENTRY_WAITING:
            self.hides.append(row.id)

    def _accept(self, record: Record, row: AnyRow | None, holders: _Holders) -> None:
        if row is None or row.id is None:
            entry_id = self.writer.new_entry_id()
            values = _new_entry(self.writer, record, entry_id, holders.mint(record, entry_id))
            if self.unseen and _is_due(values, self.writer.now):
                self._release(record, values)
            self.inserts.append(values)
            self.writer.new += 1
            self.bodies[entry_id] = record.body_html
        else:
            entry_id = row.id
            self._update(record, row)
        late = late_update(record, self.now)
        warnings = (*record.warnings, late) if late else record.warnings
        problems = _problems(warnings) if warnings else None
        self._file(record.file, record.digest, FILE_READ, entry_id, problems)

    def _release(self, record: Record, values: dict[str, Any]) -> None:
        dated = values["dated_at"]
        values |= {"state": ENTRY_OUT, "released_at": dated, "published_at": dated}
        self.releases.append(
            Placing(
                values["id"], dated, dated, record.content_json, record.topics, record.quality, record.heat, first=True
            )
        )

    def _update(self, record: Record, row: AnyRow) -> None:
        values = changed_entry(self.writer, _stated(self.writer, record), row, row.entry_state)
        shown = record.visible_hash != row.visible_hash or values["updated_at"] != row.updated_at
        if record.visible_hash != row.visible_hash:
            self.bodies[row.id] = record.body_html
        if row.entry_state == ENTRY_OUT and values["state"] == ENTRY_OUT:
            if shown or record.selection_hash != row.selection_hash:
                self.placings.append(
                    Placing(
                        row.id,
                        row.released_at,
                        row.published_at,
                        record.content_json,
                        record.topics,
                        record.quality,
                        record.heat,
                        shown=shown,
                    )
                )
        elif row.entry_state == ENTRY_OUT:
            values["state"] = ENTRY_OUT
            self.withdrawals[row.id] = EXPIRED if record.public else FLAG
        if shown or record.selection_hash != row.selection_hash:
            self.writer.changed += 1
        self.updates.append(values)

    def _file(
        self,
        seen: SourceFile,
        digest: bytes,
        state: int,
        entry_id: int | None,
        problems: str | None,
        wanted: tuple[str | None, int | None] = (None, None),
    ) -> None:
        # a file that changed just before it was read may change again within the same tick of its clock; one without
        # a digest has not been read to its end
        recheck = (
            not digest
            or abs(self.read_at_ns - seen.mtime_ns) < RACY_NS
            or abs(self.read_at_ns - seen.ctime_ns) < TICK_NS
        )
        self.files.append(
            {
                "source": seen.source,
                "path": seen.path,
                "size": seen.size,
                "mtime_ns": seen.mtime_ns,
                "ctime_ns": seen.ctime_ns,
                "inode": seen.inode,
                "digest": digest,
                "state": state,
                "recheck": recheck,
                "gone_at": None,
                "entry_id": entry_id,
                "wanted_id": wanted[0],
                "wanted_at": wanted[1],
                "problems": problems,
            }
        )

    def _flush(self) -> None:
        execute_many(self.connection, _NEW_ENTRY, self.inserts)
        placings = self._with_facts_before()
        update_entries(self.connection, self.updates)
        self._flush_bodies()
        if self.unseen:
            execute_many(self.connection, _NEW_FILE, self.files)
        else:
            upsert(self.connection, file, self.files)
        place_entries(self.connection, self.writer, [*placings, *self.releases])
        withdraw_entries(self.connection, self.writer, self.withdrawals)
        if self.hides:
            self.connection.execute(update(entry).where(entry.c.id.in_(self.hides)).values(state=ENTRY_HIDDEN))

    def _with_facts_before(self) -> list[Placing]:
        """The placings, each with what rules read of its entry until now."""
        if not self.placings:
            return []
        columns = (entry.c.id, entry.c.content, entry.c.quality, entry.c.heat)
        mine = entry.c.id.in_([placing.entry_id for placing in self.placings])
        rows = {row.id: row for row in self.connection.execute(select(*columns).where(mine))}
        return [
            replace(placing, before=facts_of(rows[placing.entry_id], self.writer.policy.tables))
            for placing in self.placings
        ]

    def _flush_bodies(self) -> None:
        """Keeps the bodies of records while a feed shows bodies; a record without one has no row."""
        if self.source.body_base is not None and self.bodies:
            self.connection.execute(delete(body).where(body.c.entry_id.in_(self.bodies)))
            rows = [{"entry_id": key, "html": html} for key, html in self.bodies.items() if html]
            if rows:
                self.connection.execute(insert(body), rows)


class _Holders:
    """Who holds the ids that the records of a batch ask for."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        source: Source,
        outcomes: Sequence[Outcome],
        known: dict[str, AnyRow],
    ) -> None:
        self._connection, self._writer, self._source = connection, writer, source.name
        until = writer.now - span_us(source.removal_grace)
        records = [outcome for outcome in outcomes if isinstance(outcome, Record)]
        explicit = {record.explicit_id for record in records if record.explicit_id is not None}
        new = (record for record in records if getattr(known.get(record.file.path), "id", None) is None)
        self._choices = {record.file.path: self._first_choice(record) for record in new}
        asked = {*self._choices.values(), *map(writer.mint.explicit_entry_id, explicit)}
        found = select(
            entry.c.id, entry.c.uid, entry.c.explicit_id, entry.c.source, entry.c.path, file.c.gone_at
        ).outerjoin(file, file.c.entry_id == entry.c.id)
        rows = list(connection.execute(found.where(entry.c.uid.in_(asked)))) if asked else []
        if explicit:
            rows += connection.execute(found.where(entry.c.explicit_id.in_(explicit)))
        rows.sort(key=lambda row: row.gone_at is None)  # of two that state one id, the file that is there has it
        self._free = {row.id for row in rows if row.gone_at is not None and row.gone_at <= until}
        self._uids: dict[str, tuple[int, str]] = {row.uid: (row.id, _place(row.source, row.path)) for row in rows}
        self._explicit: dict[str, tuple[int, str]] = {
            row.explicit_id: (row.id, _place(row.source, row.path)) for row in rows if row.explicit_id is not None
        }

    def rival(self, record: Record, row: AnyRow | None) -> str | None:
        """The place of the entry, another than that of `row`, that has the explicit id of `record`."""
        if record.explicit_id is None:
            return None
        own = row.id if row else None
        uid = self._writer.mint.explicit_entry_id(record.explicit_id)
        for holder in (self._explicit.get(record.explicit_id), self._uids.get(uid)):
            # one that vanished long ago leaves its entry to a file that has none, and is no hindrance to one that has
            if holder is not None and holder[0] != own and not (own is not None and holder[0] in self._free):
                return holder[1]
        if own is not None:
            self._explicit[record.explicit_id] = (own, _place(self._source, record.file.path))
        return None

    def mint(self, record: Record, entry_id: int) -> str:
        """The id of a new entry, now held by it."""
        uid = self._choices[record.file.path]
        take = 1
        while uid in self._uids or (take > 1 and self._is_taken(uid)):
            take += 1
            uid = self._writer.mint.path_entry_id(self._source, record.file.path, take)
        place = (entry_id, _place(self._source, record.file.path))
        self._uids[uid] = place
        if record.explicit_id is not None:
            self._explicit[record.explicit_id] = place
        return uid

    def _first_choice(self, record: Record) -> str:
        if record.explicit_id is not None:
            return self._writer.mint.explicit_entry_id(record.explicit_id)
        return self._writer.mint.path_entry_id(self._source, record.file.path)

    def _is_taken(self, uid: str) -> bool:
        return self._connection.scalar(select(entry.c.id).where(entry.c.uid == uid)) is not None


def update_entries(connection: Connection, changes: list[dict[str, Any]]) -> None:
    """Changes columns of entries; each map has the same names, and the key of its entry as `entry_key`."""
    if changes:
        names = [name for name in changes[0] if name != "entry_key"]
        connection.execute(
            update(entry).where(entry.c.id == bindparam("entry_key")).values({name: bindparam(name) for name in names}),
            changes,
        )


def facts_of(row: AnyRow, tables: TopicTables) -> Facts:
    """What rules read of the entry of `row`."""
    return read_facts(read_content(row.content), row.quality, row.heat, tables)


def withdraw_entries(connection: Connection, writer: Writer, reasons: Mapping[int, str]) -> None:
    """Takes entries that are out off the whole site, by their keys, each for its reason."""
    if not reasons:
        return
    connection.execute(update(entry).where(entry.c.id.in_(reasons)).values(state=ENTRY_HIDDEN, withdrawn_at=writer.now))
    close_memberships(connection, writer, reasons.keys())
    tell_withdrawn(connection, writer, reasons)
    writer.removed += len(reasons)


def shown_update(
    published_at: int | None, stated: int | None, edited: int | None, returned: int | None, stored: int
) -> int:
    """An entry's `updated` (field map, Dates): the latest of what is known of it, else when it was first stored."""
    return max((at for at in (published_at, stated, edited, returned) if at is not None), default=stored)


def _new_entry(writer: Writer, record: Record, entry_id: int, uid: str) -> dict[str, Any]:
    values = _stated(writer, record)
    stated = values["stated_update_at"]
    return values | {
        "id": entry_id,
        "uid": uid,
        "stored_at": writer.now,
        "updated_at": shown_update(values["dated_at"], stated, None, None, writer.now),
        "released_at": None,
        "published_at": None,
    }


def _is_due(values: Mapping[str, Any], now: int) -> bool:
    """Whether a new entry comes out by its date, which is no later than `now`."""
    return values["state"] == ENTRY_WAITING and values["dated_at"] is not None and values["dated_at"] <= now


def changed_entry(writer: Writer, stated: dict[str, Any], row: AnyRow, state: int) -> dict[str, Any]:
    """The columns of the entry of `row`, so far in `state`, when its record comes to say what is `stated`."""
    values = stated | {"entry_key": row.id}
    if state == ENTRY_OUT and values["state"] == ENTRY_WAITING:
        # once out, a date that moves changes nothing; only flags and an expiry do
        values["state"] = ENTRY_OUT
    elif state == values["state"] == ENTRY_WAITING and row.embargo_at == values["dated_at"]:
        # a rewrite while it waited, even after its time, takes nothing from an embargo
        values["embargo_at"] = row.embargo_at
    edited = max(writer.now, row.edited_at or 0) if values["text_hash"] != row.text_hash else row.edited_at
    published = values["dated_at"] if row.released_at is None else row.published_at
    updated = shown_update(published, values["stated_update_at"], edited, row.returned_at, row.stored_at)
    return values | {"edited_at": edited, "updated_at": updated}


def _stated(writer: Writer, record: Record) -> dict[str, Any]:
    """The columns that follow from the record alone and the time; `state` is WAITING or HIDDEN."""
    dated, expires = to_us_or_none(record.published), to_us_or_none(record.expires)
    stated_update = to_us_or_none(record.updated)
    waits = record.public and (expires is None or expires > writer.now)
    return {
        "source": record.file.source,
        "path": record.file.path,
        "explicit_id": record.explicit_id,
        "state": ENTRY_WAITING if waits else ENTRY_HIDDEN,
        "content": record.content_json,
        "content_hash": record.content_hash,
        "visible_hash": record.visible_hash,
        "selection_hash": record.selection_hash,
        "text_hash": record.text_hash,
        "sketch": record.sketch,
        "quality": record.quality,
        "heat": record.heat,
        "dated_at": dated,
        "stated_update_at": None if stated_update is None or stated_update > writer.now else stated_update,
        "expires_at": expires,
        "embargo_at": dated if waits and dated is not None and dated > writer.now else None,
    }


def _known_rows(connection: Connection, source: str, paths: Sequence[str]) -> dict[str, AnyRow]:
    """The files at `paths` with their entries; `id` is None for a file without one."""
    rows = connection.execute(
        select(*_KNOWN)
        .select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))
        .where(file.c.source == source, file.c.path.in_(paths))
    )
    return {row.path: row for row in rows}


def _place(source: str, path: str) -> str:
    return f"{source}/{path}" if source else path


def _problems(problems: Collection[Problem]) -> str:
    return json.dumps([[one.line, one.column, one.what, one.value, one.todo, one.level] for one in problems])
