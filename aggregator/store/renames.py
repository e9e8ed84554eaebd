"""Renames: a missing file and a new one that are the same record, and explicit ids that pass from file to file.

A missing file and a new file of a source are one record if they have the same bytes, else the same content, else the
same link, which no other record has, else much of their text. A new file that states the id of a missing file is a
duplicate without an entry, see `free_duplicates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, partial
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, false, func, or_, select, update

from aggregator.model import read_content
from aggregator.parse_attempts import DIGEST_BYTES
from aggregator.settings import Source
from aggregator.sketch import Candidate, is_alike, link_part, pair_alike, read_sketch, shared_lines
from aggregator.store.batch_renames import SAME_CONTENT, SAME_LINK, can_be_same, links_of_others
from aggregator.store.changes import EntryChanges, PublishedEntry, Selectable, Step
from aggregator.store.entries import changed_values, published_entry, update_entries, withdraw_entries
from aggregator.store.events import EXPIRED, FLAG, add_renames
from aggregator.store.page_links import mark_links, move_links
from aggregator.store.queries import last_finished_at
from aggregator.store.schema import FILE_BYTES, SHOWABLE, STATED_LINK, AnyRow, EntryState, FileState, body, entry, file
from aggregator.store.session import Writer, parts, span_us
from aggregator.store.withdrawals import first_missing, is_any_missing

RENAME_BATCH = 500
FREED_AT_ONCE = 2000
MAX_COMPARED = 10_000
"""How many missing and how many new files are compared by link and text; the others count as different records."""
SAMPLE = 5000
"""The newest entries of a source that show which lines its records share as boilerplate."""
SAMPLE_REACH = 50_000
"""The newest entries of all sources, among which the sample is taken."""
Pair = tuple[AnyRow, AnyRow]
"""The row of a missing file and the row of a new file."""

_FIRST_NEW = select(func.min(entry.c.stored_at)).where(entry.c.stored_at > bindparam("since"))


def pair_renames(writer: Writer, source: Source) -> Iterator[Step]:
    """Gives the entries of missing files to the new files that are the same records.

    New are the files that came within `removal_grace` and whose entries were never released.
    """
    with writer.read() as connection:
        since = _first_unresolved(connection, writer, source) - span_us(source.removal_grace)
    for find, reason in _TESTS:
        with writer.read() as connection:
            if connection.execute(_missing(source, since, file.c.path).limit(1)).first() is None:
                return
            pairs = list(find(connection, source, since))
        for batch in parts(pairs, RENAME_BATCH):
            yield partial(_rename, writer=writer, pairs=batch, reason=reason)
        writer.new -= sum(new.stored_at == writer.now for _, new in pairs)
        writer.changed += len(pairs)


def _first_unresolved(connection: Connection, writer: Writer, source: Source) -> int:
    """When the first file came or was missing that no cycle has decided about: now, or in a cycle that was interrupted,
    however long ago that was."""
    since = first_missing(connection, source.name)
    first_new = connection.scalar(_FIRST_NEW, {"since": last_finished_at(connection)})
    return min(moment for moment in (writer.now, since, first_new) if moment is not None)


def has_missing(connection: Connection, writer: Writer, source: Source) -> bool:
    """Whether a file is missing that a new one may continue, or whose removal is not decided yet."""
    since = writer.now - span_us(source.removal_grace)
    recent = _missing(source, since, file.c.path).limit(1)
    return is_any_missing(connection, source.name) or connection.execute(recent).first() is not None


def _missing(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that are missing since `since` or later, and have an entry."""
    return (
        select(*columns)
        .join(entry, entry.c.id == file.c.entry_id)
        .where(file.c.source == source.name, file.c.missing_since >= since)
    )


def _new(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that came at `since` or later, with entries that were never released."""
    return (
        select(*columns)
        .join(file, entry.c.id == file.c.entry_id)
        .where(
            file.c.source.concat("") == source.name,  # see is_missing
            file.c.missing_since.is_(None),
            file.c.state == FileState.READ,
            file.c.entry_id.in_(select(entry.c.id).where(entry.c.stored_at >= since, entry.c.released_at.is_(None))),
        )
    )


def _pairs(connection: Connection, source: Source, since: int, *, mark: ColumnElement[bytes]) -> Iterator[Pair]:
    """Pairs of files with the same `mark`, in order of path."""
    columns = (file.c.path.label("file_path"), mark.label("mark"), entry.c.id, entry.c.explicit_id, entry.c.stored_at)
    new = connection.execute(
        _new(source, since, *columns)
        .where(
            mark != b"",  # of files that were not read to their end
            mark.in_(_missing(source, since, mark)),
        )
        .order_by(file.c.path)
    ).all()
    if not new:
        return
    marks = {row.mark for row in new}
    free: dict[bytes, list[AnyRow]] = {}
    for row in connection.execute(_missing(source, since, *columns).order_by(file.c.path)):
        if row.mark in marks:
            free.setdefault(row.mark, []).append(row)
    for row in new:
        candidates = free.get(row.mark, [])
        old = next((candidate for candidate in candidates if can_be_same(candidate.explicit_id, row.explicit_id)), None)
        if old is not None:
            candidates.remove(old)
            yield old, row


_COMPARED = (
    file.c.path.label("file_path"),
    entry.c.id,
    entry.c.explicit_id,
    entry.c.stored_at,
    entry.c.sketch,
)
"""What two files are compared by, apart from hashes of everything and titles."""


def _new_candidates(connection: Connection, source: Source, since: int) -> Sequence[AnyRow]:
    """New files that no hash paired."""
    return connection.execute(_new(source, since, *_COMPARED).order_by(file.c.path).limit(MAX_COMPARED)).all()


def _missing_candidates(connection: Connection, source: Source, since: int, *which: Any) -> Sequence[AnyRow]:
    """Missing files that no hash paired; `which` are further conditions."""
    missing = _missing(source, since, *_COMPARED).where(*which).order_by(file.c.missing_since, file.c.path)
    return connection.execute(missing.limit(MAX_COMPARED)).all()


def _same_link(connection: Connection, source: Source, since: int) -> list[Pair]:
    """Pairs with a link that no other record has."""
    new = _by_link(_new_candidates(connection, source, since))
    missing = _by_link(_missing_candidates(connection, source, since, STATED_LINK.in_(new))) if new else {}
    shared = {
        link: (missing[link], row)
        for link, row in new.items()
        if link in missing and can_be_same(missing[link].explicit_id, row.explicit_id)
    }
    elsewhere = _links_elsewhere(connection, source, shared) if shared else set()
    return [pair for link, pair in shared.items() if link not in elsewhere]


def _by_link(rows: Sequence[AnyRow]) -> dict[bytes, AnyRow]:
    """The rows by their links, for links that only one row has."""
    counts = Counter(link_part(row.sketch) for row in rows)
    return {link: row for row in rows if (link := link_part(row.sketch)) and counts[link] == 1}


def _links_elsewhere(connection: Connection, source: Source, shared: Mapping[bytes, Pair]) -> set[bytes]:
    """The links of the pairs that other records have too.

    The newest records are asked first. Only for pairs whose texts differ, every entry is read.
    """
    ours = {row.id for pair in shared.values() for row in pair}
    newest = _newest(connection, source)
    elsewhere = {link_part(row.sketch) for row in newest if row.id not in ours and row.state in SHOWABLE}
    titles = _titles(connection, ours)
    unsure = [
        link
        for link, pair in shared.items()
        if link not in elsewhere and not is_alike(*(_candidate(row, titles) for row in pair))
    ]
    return elsewhere | links_of_others(connection, unsure, ours)


def _much_in_common(connection: Connection, source: Source, since: int) -> list[Pair]:
    """Pairs that share much of their text, apart from the boilerplate of the source."""
    new_rows = _new_candidates(connection, source, since)
    missing_rows = _missing_candidates(connection, source, since) if new_rows else ()
    sketches = {row.id: read_sketch(row.sketch) for row in chain(missing_rows, new_rows)}
    lines = shared_lines((sketches[row.id] for row in missing_rows), (sketches[row.id] for row in new_rows))
    if not lines:
        return []
    missing, new = (
        {row.id: row for row in rows if not lines.isdisjoint(sketches[row.id].hashes)}
        for rows in (missing_rows, new_rows)
    )
    titles = _titles(connection, missing.keys() | new.keys())
    others = _count_lines(connection, source, lines, titles.keys())
    alike = pair_alike(
        {key: _candidate(row, titles) for key, row in missing.items()},
        {key: _candidate(row, titles) for key, row in new.items()},
        others,
    )
    return [(missing[old], new[now]) for old, now in alike]


def _titles(connection: Connection, keys: Collection[int]) -> dict[int, str]:
    """The titles of the entries with these keys."""
    titles = dict[int, str]()
    for some in parts(list(keys), RENAME_BATCH):
        rows = connection.execute(select(entry.c.id, entry.c.content).where(entry.c.id.in_(some)))
        titles |= {row.id: read_content(row.content).title for row in rows}
    return titles


def _candidate(row: AnyRow, titles: Mapping[int, str]) -> Candidate:
    return Candidate(row.file_path, titles[row.id], row.explicit_id, read_sketch(row.sketch))


def _count_lines(
    connection: Connection, source: Source, lines: frozenset[int], excluded: AbstractSet[int]
) -> Mapping[int, int]:
    """How many of the newest entries of a source, except the excluded ones, have each of the lines."""
    counts: Counter[int] = Counter()
    for row in _newest(connection, source):
        if row.id not in excluded:
            counts.update(lines & read_sketch(row.sketch).hashes)
    return counts


def _newest(connection: Connection, source: Source) -> list[AnyRow]:
    last = connection.scalar(select(func.max(entry.c.id))) or 0
    columns = (entry.c.id, entry.c.state, entry.c.sketch)
    mine = (entry.c.source == source.name, entry.c.id > last - SAMPLE_REACH)
    return list(connection.execute(select(*columns).where(*mine).order_by(entry.c.id.desc()).limit(SAMPLE)))


_TESTS = (
    (partial(_pairs, mark=FILE_BYTES), "the same bytes"),
    (partial(_pairs, mark=entry.c.content_hash), SAME_CONTENT),
    (_same_link, SAME_LINK),
    (_much_in_common, "much of its text"),
)
"""How files are paired, the surest test first, and what the history of the entry says about it."""

_CARRIED = (
    "path state content content_hash visible_hash selection_hash text_hash sketch quality heat dated_at"
    " stated_update_at expires_at stories_at embargo_at lookup_key links_hash"
).split()
"""The columns that a renamed entry takes from the entry of its new file."""


def _rename(connection: Connection, *, writer: Writer, pairs: Sequence[Pair], reason: str) -> EntryChanges:
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
            continue
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
    move_links(connection, {new.id: old.id for old, new in entries})
    mark_links(connection, (row.lookup_key for pair in entries for row in pair))
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
    """Deletes the rows of the old paths, and gives their entries to the new paths; `paths` are both, by entry."""
    connection.execute(delete(file).where(file.c.source == source, file.c.path.in_([old for old, _ in paths.values()])))
    connection.execute(
        update(file)
        .where(file.c.source == bindparam("of_source"), file.c.path == bindparam("of_path"))
        .values(entry_id=bindparam("of_entry")),
        [{"of_source": source, "of_path": new_path, "of_entry": key} for key, (_, new_path) in paths.items()],
    )


def free_duplicates(writer: Writer, source: Source) -> list[str]:
    """Paths of duplicates to read again, because the id that they want has become free.

    A file of the same source inherits the id and the entry of a missing file if it came no sooner than the other went:
    it was renamed. All others get the id only after `removal_grace`, so that a file does not lose its id when an editor
    saves it by deleting and writing. Of several files the one with the same bytes comes first, then the first by path.
    A file with an entry keeps it, unless another file inherits that in turn.
    """
    with writer.read() as connection:
        over_since, last_finished = writer.now - span_us(source.removal_grace), last_finished_at(connection)
        values = {"of_source": source.name, "over_since": over_since, "last_finished": last_finished}
        rows = list(connection.execute(_wanted_ids(is_stated=True), values))
        unclaimed, former = _unstated(connection, writer, source)
        for wanted in former:
            rows += connection.execute(_wanted_ids(is_stated=False), values | wanted)
    heirs: dict[int, AnyRow] = {}
    for row in rows:
        if row.entry_id is None or not row.is_over:
            other = heirs.get(row.holder_entry)
            # the rows of an id are in order of path, so that the first of equal rows stays
            if other is None or (row.is_rename, row.has_same_bytes) > (other.is_rename, other.has_same_bytes):
                heirs[row.holder_entry] = row
    inheriting = _successions(heirs.values())
    if inheriting:
        with writer.write() as connection:
            for row in inheriting:
                _inherit(connection, source, row)
            add_renames(connection, writer, {row.holder_entry: (row.holder_path, "the same id") for row in inheriting})
    with_entry = [row.path for row in rows if row.is_over and row.entry_id is not None]
    return sorted({*with_entry, *(row.path for row in inheriting), *unclaimed})


def _successions(heirs: Collection[AnyRow]) -> list[AnyRow]:
    """The heirs that can inherit, so that no entry is left without a file.

    A file without an entry inherits from a missing file, also through files that pass on their own entries (`1.md`
    became `2.md`, which became `3.md`). Or the files of a circle exchange their entries.
    """
    by_path = {row.path: row for row in heirs}
    inheriting: dict[str, AnyRow] = {}
    for row in heirs:
        chain = [row]
        while not chain[-1].is_holder_missing:
            holder = by_path.get(chain[-1].holder_path)
            if holder is None or holder is row:
                break
            chain.append(holder)
        last = chain[-1]
        is_circle = not last.is_holder_missing and last.holder_path == row.path
        if is_circle or (row.entry_id is None and last.is_holder_missing):
            inheriting |= {link.path: link for link in chain}
    return list(inheriting.values())


def _inherit(connection: Connection, source: Source, row: AnyRow) -> None:
    """Gives a duplicate the entry with its id; the row of a missing holder is deleted."""
    if row.is_holder_missing:
        connection.execute(delete(file).where(file.c.source == row.holder_source, file.c.path == row.holder_path))
    connection.execute(
        update(file)
        .where(file.c.source == source.name, file.c.path == row.path)
        .values(
            entry_id=row.holder_entry,
            state=FileState.READ,
            digest=b"",
            wanted_id=None,
            wanted_at=None,
            recheck=True,
            rejected_at=None,
        )
    )


_DUPLICATE = (file.c.state == FileState.DUPLICATE, file.c.problems.is_not(None), file.c.missing_since.is_(None))

_UNSTATED = (
    select(file.c.path, file.c.entry_id, file.c.wanted_id)
    .where(
        *_DUPLICATE,
        file.c.source == bindparam("of_source"),
        ~select(entry.c.id).where(entry.c.explicit_id == file.c.wanted_id).exists(),
    )
    .order_by(file.c.path)
    .limit(FREED_AT_ONCE)
)


@cache
def _wanted_ids(*, is_stated: bool) -> Select[Any]:
    """Duplicates `of_source` whose id may be free, in order of path: its holder is missing, and they were renamed or
    the grace is over (`over_since`); or the holder states another id now and is a duplicate itself. After
    `last_finished`, it is not known whether a duplicate came before its holder went.

    The holder is the entry that states the id; without `is_stated` the entry `of_uid`, for the duplicates that want
    `wanted`."""
    of_uid = and_(entry.c.uid == bindparam("of_uid"), file.c.wanted_id == bindparam("wanted"))
    holder, rival, rival_file = file.alias("holder"), entry.alias("rival"), file.alias("rival_file")
    is_stated_by_others = (
        select(rival.c.id)
        .join(rival_file, rival_file.c.entry_id == rival.c.id)
        .where(rival.c.explicit_id == file.c.wanted_id, rival_file.c.missing_since.is_(None))
        .exists()
    )
    is_same_source = holder.c.source == file.c.source
    is_over = holder.c.missing_since <= bindparam("over_since")
    is_later = or_(file.c.wanted_at >= holder.c.missing_since, file.c.wanted_at > bindparam("last_finished"))
    is_rename = and_(is_same_source, is_later, holder.c.missing_since.is_not(None))
    is_duplicate = and_(
        is_same_source,
        holder.c.path != file.c.path,
        holder.c.state == FileState.DUPLICATE,
        holder.c.missing_since.is_(None),
    )
    return (
        select(
            file.c.path,
            file.c.entry_id,
            holder.c.source.label("holder_source"),
            holder.c.path.label("holder_path"),
            holder.c.entry_id.label("holder_entry"),
            holder.c.missing_since.is_not(None).label("is_holder_missing"),
            func.coalesce(is_over, false()).label("is_over"),
            func.coalesce(is_rename, false()).label("is_rename"),
            (func.substr(holder.c.digest, 1, DIGEST_BYTES) == FILE_BYTES).label("has_same_bytes"),
        )
        .join(entry, entry.c.explicit_id == file.c.wanted_id if is_stated else of_uid)
        .join(holder, holder.c.entry_id == entry.c.id)
        .where(
            *_DUPLICATE,
            file.c.source == bindparam("of_source"),
            or_(and_(or_(is_rename, is_over), ~is_stated_by_others), is_duplicate),
        )
        .order_by(file.c.path)
        .limit(FREED_AT_ONCE)
    )


def _unstated(connection: Connection, writer: Writer, source: Source) -> tuple[list[str], list[dict[str, str]]]:
    """Of the duplicates whose id no record states any more: the paths whose id no other entry has, and the ids that an
    entry still has, as values of `_wanted_ids`."""
    rows = connection.execute(_UNSTATED, {"of_source": source.name}).all()
    if not rows:
        return [], []
    wanted = {writer.mint.explicit_entry_id(row.wanted_id): row for row in reversed(rows)}
    having = select(entry.c.uid, entry.c.id).where(entry.c.uid.in_(wanted)).order_by(entry.c.id)
    holders = {row.uid: row.id for row in connection.execute(having)}
    free = [row.path for uid, row in wanted.items() if holders.get(uid, row.entry_id) == row.entry_id]
    return free, [{"of_uid": uid, "wanted": wanted[uid].wanted_id} for uid in holders]
