"""Who a file is: records that moved, and explicit ids that go from one file to another.

A vanished file and a new one of the same source are one record if they have the same bytes; failing that the same
content; failing that the same link, which no other record has; failing that much of their text. One that states the id
of a vanished file has no entry of its own and waits as a duplicate, see `free_duplicates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, or_, select, update

from aggregator.content import read_content
from aggregator.settings import Source
from aggregator.sketch import LINK_BYTES, Candidate, is_alike, link_part, pair_alike, read_sketch, shared_lines
from aggregator.store.changes import EntryChanges, PublishedEntry, Selectable, Step
from aggregator.store.entries import changed_values, published_entry, update_entries, withdraw_entries
from aggregator.store.events import EXPIRED, FLAG, add_renames
from aggregator.store.removals import missing_files
from aggregator.store.schema import SHOWABLE, AnyRow, EntryState, FileState, body, entry, file
from aggregator.store.session import Writer, span_us

RENAME_BATCH = 500
FREED_AT_ONCE = 2000
MOST = 10_000
"""Files of each side that are compared by link and text; what goes beyond that, in one move with edits, is left out."""
SAMPLE, REACH = 5000, 50_000
"""How many of the newest entries of a source show what its records have in common, and among how many of all sources
they are looked for."""
Pair = tuple[AnyRow, AnyRow]


def pair_renames(writer: Writer, source: Source) -> Iterator[Step]:
    """Gives the entries of missing files to the new files that are the same records.

    New are the files that came within `removal_grace` and whose entries were never released. So a cycle that was
    interrupted is continued, however long ago that was.
    """
    with writer.read() as connection:
        first_missing = connection.scalar(select(func.min(file.c.missing_since)).where(*missing_files(source.name)))
    since = (writer.now if first_missing is None else min(first_missing, writer.now)) - span_us(source.removal_grace)
    for find, reason in _TESTS:
        with writer.read() as connection:
            if connection.execute(_missing(source, since, file.c.path).limit(1)).first() is None:
                return
            pairs = find(connection, source, since)
        for start in range(0, len(pairs), RENAME_BATCH):
            batch = pairs[start : start + RENAME_BATCH]
            yield partial(_rename, writer=writer, pairs=batch, reason=reason)
        writer.new -= sum(new.stored_at == writer.now for _, new in pairs)
        writer.changed += len(pairs)


def _missing(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that are gone since `since` and have an entry."""
    return (
        select(*columns)
        .join(entry, entry.c.id == file.c.entry_id)
        .where(file.c.source == source.name, file.c.missing_since >= since)
    )


def _new(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that came since `since`, with entries that were never released."""
    return (
        select(*columns)
        .join(file, entry.c.id == file.c.entry_id)
        .where(
            file.c.source.concat("") == source.name,  # see undecided_files
            file.c.missing_since.is_(None),
            file.c.state == FileState.READ,
            file.c.entry_id.in_(select(entry.c.id).where(entry.c.stored_at >= since, entry.c.released_at.is_(None))),
        )
    )


def _same_bytes(connection: Connection, source: Source, since: int) -> list[Pair]:
    return list(_pairs(connection, source, since, file.c.digest))


def _same_content(connection: Connection, source: Source, since: int) -> list[Pair]:
    return list(_pairs(connection, source, since, entry.c.content_hash))


def _pairs(connection: Connection, source: Source, since: int, mark: ColumnElement[bytes]) -> Iterator[Pair]:
    """A vanished file and a new one each, alike in `mark`, in order of path."""
    wanted = (file.c.path.label("file_path"), mark.label("mark"), entry.c.id, entry.c.explicit_id, entry.c.stored_at)
    new = connection.execute(
        _new(source, since, *wanted)
        .where(
            mark != b"",  # that of a file that was not read to its end
            mark.in_(_missing(source, since, mark)),
        )
        .order_by(file.c.path)
    ).all()
    if not new:
        return
    marks = {row.mark for row in new}
    free: dict[bytes, list[AnyRow]] = {}
    for row in connection.execute(_missing(source, since, *wanted).order_by(file.c.path)):
        if row.mark in marks:
            free.setdefault(row.mark, []).append(row)
    for row in new:
        candidates = free.get(row.mark, [])
        fits = next((one for one in candidates if _same_stated_id(one, row)), None)
        if fits is not None:
            candidates.remove(fits)
            yield fits, row


def _same_stated_id(old: AnyRow, new: AnyRow) -> bool:
    return old.explicit_id is None or new.explicit_id is None or old.explicit_id == new.explicit_id


_COMPARED = (
    file.c.path.label("file_path"),
    entry.c.id,
    entry.c.explicit_id,
    entry.c.stored_at,
    entry.c.content,
    entry.c.sketch,
)
"""What two files are compared by, other than hashes of all that they say."""


def _candidates(connection: Connection, source: Source, since: int) -> tuple[list[AnyRow], list[AnyRow]]:
    """Vanished files and new ones that no hash paired; none at all where one side is empty."""
    new = connection.execute(_new(source, since, *_COMPARED).order_by(file.c.path).limit(MOST)).all()
    if not new:
        return [], []
    vanished = _missing(source, since, *_COMPARED).order_by(file.c.missing_since, file.c.path)
    gone = connection.execute(vanished.limit(MOST)).all()
    return list(gone), list(new)


def _same_link(connection: Connection, source: Source, since: int) -> list[Pair]:
    """Pairs that state a link which no other record has."""
    gone, new = (_by_link(rows) for rows in _candidates(connection, source, since))
    shared = {link: (gone[link], row) for link, row in new.items() if link in gone and _same_stated_id(gone[link], row)}
    elsewhere = _links_elsewhere(connection, source, shared) if shared else set()
    return [pair for link, pair in shared.items() if link not in elsewhere]


def _by_link(rows: Sequence[AnyRow]) -> dict[bytes, AnyRow]:
    """The rows by the links that they state, of links that only a single one states."""
    often = Counter(link_part(row.sketch) for row in rows)
    return {link: row for row in rows if (link := link_part(row.sketch)) and often[link] == 1}


def _links_elsewhere(connection: Connection, source: Source, shared: Mapping[bytes, Pair]) -> set[bytes]:
    """Those of the links that other records state too.

    A link that the newest records do not state, of files that are alike in their text too, is believed; for the others
    every entry is read.
    """
    ours = {row.id for pair in shared.values() for row in pair}
    newest = _newest(connection, source)
    found = {link_part(row.sketch) for row in newest if row.id not in ours and row.state in SHOWABLE}
    doubted = [link for link, pair in shared.items() if link not in found and not is_alike(*map(_candidate, pair))]
    if doubted:
        link = func.substr(entry.c.sketch, 1, LINK_BYTES, type_=entry.c.sketch.type)
        stated = select(link).where(link.in_(doubted), entry.c.state.in_(SHOWABLE), entry.c.id.not_in(ours))
        found.update(connection.scalars(stated))
    return found


def _much_in_common(connection: Connection, source: Source, since: int) -> list[Pair]:
    """Pairs that are clearly alike in their text, boilerplate of the source aside."""
    rows_gone, rows_new = ({row.id: row for row in rows} for rows in _candidates(connection, source, since))
    gone = {key: _candidate(row) for key, row in rows_gone.items()}
    new = {key: _candidate(row) for key, row in rows_new.items()}
    lines = shared_lines(gone.values(), new.values())
    if not lines:
        return []
    others = _count_lines(connection, source, lines, gone.keys() | new.keys())
    return [(rows_gone[old], rows_new[come]) for old, come in pair_alike(gone, new, others)]


def _candidate(row: AnyRow) -> Candidate:
    return Candidate(row.file_path, read_content(row.content).title, row.explicit_id, read_sketch(row.sketch))


def _count_lines(
    connection: Connection, source: Source, lines: frozenset[int], without: AbstractSet[int]
) -> Mapping[int, int]:
    """How many of the newest entries of a source, those of `without` aside, have each of the lines."""
    found: Counter[int] = Counter()
    for row in _newest(connection, source):
        if row.id not in without:
            found.update(lines & read_sketch(row.sketch).hashes)
    return found


def _newest(connection: Connection, source: Source) -> list[AnyRow]:
    last = connection.scalar(select(func.max(entry.c.id))) or 0
    columns = (entry.c.id, entry.c.state, entry.c.sketch)
    mine = (entry.c.source == source.name, entry.c.id > last - REACH)
    return list(connection.execute(select(*columns).where(*mine).order_by(entry.c.id.desc()).limit(SAMPLE)))


_TESTS = (
    (_same_bytes, "the same bytes"),
    (_same_content, "the same content"),
    (_same_link, "the same link"),
    (_much_in_common, "much of its text"),
)
"""How files are paired, the surest test first, and what the history of the entry says about it."""

_CARRIED = (
    "path state content content_hash visible_hash selection_hash text_hash sketch quality heat dated_at"
    " stated_update_at expires_at embargo_at"
).split()
"""The columns that a renamed entry takes from the entry of its new file."""


def _rename(connection: Connection, *, writer: Writer, pairs: list[Pair], reason: str) -> EntryChanges:
    """Continues the old entry of each pair at the path of the new one, which was never released and is deleted."""
    ids = [row.id for pair in pairs for row in pair]
    rows = {row.id: row for row in connection.execute(select(entry).where(entry.c.id.in_(ids)))}
    entries = [(rows[old.id], rows[new.id]) for old, new in pairs]
    changes: list[dict[str, Any]] = []
    changed: list[PublishedEntry] = []
    withdrawn = {}
    for old, new in entries:
        record = {name: getattr(new, name) for name in _CARRIED}
        values, is_withdrawn = changed_values(record, old, old.state, writer.now)
        changes.append(values | {"explicit_id": old.explicit_id or new.explicit_id})
        if is_withdrawn:
            is_expired = new.expires_at is not None and new.expires_at <= writer.now
            withdrawn[old.id] = EXPIRED if is_expired else FLAG
        is_visible = old.visible_hash != new.visible_hash or old.updated_at != values["updated_at"]
        if old.state == EntryState.PUBLISHED and (is_visible or old.selection_hash != new.selection_hash):
            changed.append(
                published_entry(new, is_visible=is_visible)._replace(
                    id=old.id,
                    released_at=old.released_at,
                    published_at=old.published_at,
                    before=Selectable(old.content, old.quality, old.heat),
                )
            )
    connection.execute(delete(entry).where(entry.c.id.in_([new.id for _, new in entries])))
    _move_bodies(connection, entries)
    update_entries(connection, changes)
    _move_files(connection, entries[0][0].source, {old.id: (old.file_path, new.file_path) for old, new in pairs})
    add_renames(connection, writer, {old.id: (old.file_path, reason) for old, _ in pairs})
    return EntryChanges(tuple(changed), withdraw_entries(connection, writer, withdrawn))


def _move_bodies(connection: Connection, entries: list[Pair]) -> None:
    connection.execute(delete(body).where(body.c.entry_id.in_([old.id for old, _ in entries])))
    connection.execute(
        update(body).where(body.c.entry_id == bindparam("of_new")).values(entry_id=bindparam("of_old")),
        [{"of_new": new.id, "of_old": old.id} for old, new in entries],
    )


def _move_files(connection: Connection, source: str, paths: Mapping[int, tuple[str, str]]) -> None:
    """Forgets the old paths, and gives the new ones the entries by whose keys they are given."""
    connection.execute(delete(file).where(file.c.source == source, file.c.path.in_([old for old, _ in paths.values()])))
    connection.execute(
        update(file)
        .where(file.c.source == bindparam("of_source"), file.c.path == bindparam("of_path"))
        .values(entry_id=bindparam("held")),
        [{"of_source": source, "of_path": new_path, "held": key} for key, (_, new_path) in paths.items()],
    )


def free_duplicates(writer: Writer, source: Source) -> list[str]:
    """Paths of files to read again, because the explicit id that they were refused for has become free.

    The id of a vanished file, and its entry, go to a file of the same source that states it and came no sooner than the
    other went: it has moved. Whoever waited for it, and other sources, get it only after `removal_grace`, so that a
    file that is saved by removal and writing loses its id to nobody. Of several files the one with the same bytes
    comes first, then the first by path; a file that has an entry keeps it, unless another takes that over in turn.
    """
    with writer.read() as connection:
        rows = connection.execute(_wanted_ids(writer, source)).all()
    heirs: dict[int, AnyRow] = {}
    for row in rows:
        if (row.entry_id is None or not row.over) and (row.held not in heirs or _comes_before(row, heirs[row.held])):
            heirs[row.held] = row
    passed_on = _successions(heirs.values())
    if passed_on:
        with writer.write() as connection:
            for row in passed_on:
                _inherit(connection, source, row)
            add_renames(connection, writer, {row.held: (row.from_path, "the same id") for row in passed_on})
    known = [row.path for row in rows if row.over and row.entry_id is not None]
    with writer.read() as connection:
        return sorted({*known, *(row.path for row in passed_on), *_unclaimed(connection, writer, source)})


def _comes_before(row: AnyRow, other: AnyRow) -> bool:
    """Whether a file that comes later by path inherits before the other: it has moved, or has the same bytes."""
    return (bool(row.came), bool(row.same)) > (bool(other.came), bool(other.same))


def _successions(heirs: Collection[AnyRow]) -> list[AnyRow]:
    """Those of the heirs that get what they ask for.

    A file without an entry takes over the entry of a vanished file, also through others that exchange theirs between
    the two (`1.md` became `2.md`, and that `3.md`); or all exchange theirs in a circle. So no entry is left without
    a file.
    """
    by_path = {row.path: row for row in heirs}
    found: dict[str, AnyRow] = {}
    for row in heirs:
        chain = [row]
        while not chain[-1].vanished and (following := by_path.get(chain[-1].from_path)) not in {None, row}:
            chain.append(following)
        in_circle = not chain[-1].vanished and chain[-1].from_path == row.path
        if in_circle or (row.entry_id is None and chain[-1].vanished):
            found |= {one.path: one for one in chain}
    return list(found.values())


def _inherit(connection: Connection, source: Source, row: AnyRow) -> None:
    """Gives a refused file the entry that has its id; a vanished file that had it is forgotten."""
    if row.vanished:
        connection.execute(delete(file).where(file.c.source == row.from_source, file.c.path == row.from_path))
    connection.execute(
        update(file)
        .where(file.c.source == source.name, file.c.path == row.path)
        .values(entry_id=row.held, state=FileState.READ, digest=b"", wanted_id=None, wanted_at=None, recheck=True)
    )


_REFUSED = (file.c.state == FileState.DUPLICATE, file.c.problems.is_not(None), file.c.missing_since.is_(None))


def _wanted_ids(writer: Writer, source: Source) -> Select[Any]:
    """Refused files that may have the id they ask for, in order of path. Its holder has vanished, and they came when it
    went or it is `over` by now; or the holder is refused itself, because it states another id."""
    holder, rival, its_file = file.alias("holder"), entry.alias("rival"), file.alias("its_file")
    stated_by_others = (
        select(rival.c.id)
        .join(its_file, its_file.c.entry_id == rival.c.id)
        .where(rival.c.explicit_id == file.c.wanted_id, its_file.c.missing_since.is_(None))
        .exists()
    )
    over = holder.c.missing_since <= writer.now - span_us(source.removal_grace)
    came = and_(holder.c.source == file.c.source, file.c.wanted_at >= holder.c.missing_since)
    refused = and_(
        holder.c.source == file.c.source, holder.c.state == FileState.DUPLICATE, holder.c.missing_since.is_(None)
    )
    return (
        select(
            file.c.path,
            file.c.entry_id,
            holder.c.source.label("from_source"),
            holder.c.path.label("from_path"),
            holder.c.entry_id.label("held"),
            holder.c.missing_since.is_not(None).label("vanished"),
            over.label("over"),
            came.label("came"),
            (holder.c.digest == file.c.digest).label("same"),
        )
        .join(entry, entry.c.explicit_id == file.c.wanted_id)
        .join(holder, holder.c.entry_id == entry.c.id)
        .where(*_REFUSED, file.c.source == source.name, or_(and_(or_(came, over), ~stated_by_others), refused))
        .order_by(file.c.path)
        .limit(FREED_AT_ONCE)
    )


def _unclaimed(connection: Connection, writer: Writer, source: Source) -> list[str]:
    """Refused files whose id no record states any more, and no entry has."""
    claim = select(entry.c.id).where(entry.c.explicit_id == file.c.wanted_id).exists()
    rows = connection.execute(
        select(file.c.path, file.c.wanted_id)
        .where(*_REFUSED, file.c.source == source.name, ~claim)
        .order_by(file.c.path)
        .limit(FREED_AT_ONCE)
    ).all()
    wanted = {writer.mint.explicit_entry_id(row.wanted_id): row.path for row in reversed(rows)}
    taken = set(connection.scalars(select(entry.c.uid).where(entry.c.uid.in_(wanted))))
    return [path for uid, path in wanted.items() if uid not in taken]
