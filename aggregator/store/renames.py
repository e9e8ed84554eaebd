"""Who a file is: records that moved, and explicit ids that go from one file to another.

A vanished file and a new one of the same source are one record if they have the same bytes; failing that the same
content; failing that the same link, which no other record has; failing that much of their text. One that states the id
of a vanished file has no entry of its own and waits as a duplicate, see `free_duplicates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, or_, select, update

from aggregator.feeds.membership import Placing, place_entries
from aggregator.model import read_content
from aggregator.settings import Source
from aggregator.sketch import LINK_BYTES, Candidate, is_alike, link_part, pair_alike, read_sketch, shared_lines
from aggregator.store.entries import changed_entry, facts_of, update_entries, withdraw_entries
from aggregator.store.events import EXPIRED, FLAG, tell_renamed
from aggregator.store.removals import undecided_files
from aggregator.store.schema import ENTRY_HIDDEN, ENTRY_OUT, FILE_DUPLICATE, FILE_READ, AnyRow, body, entry, file
from aggregator.store.session import Writer, span_us

MOVES = 500
FREED_AT_ONCE = 2000
MOST = 10_000
"""Files of each side that are compared by link and text; what goes beyond that, in one move with edits, is left out."""
SAMPLE, REACH = 5000, 50_000
"""How many of the newest entries of a source show what its records have in common, and among how many of all sources
they are looked for."""
Pair = tuple[AnyRow, AnyRow]


def pair_renames(writer: Writer, source: Source) -> None:
    """Gives the entries of vanished files to the new files that are the same records.

    New is what came within `removal_grace` and was never released, so a cycle that was cut short goes on where it
    stopped, however long ago that was.
    """
    with writer.read() as connection:
        first_gone = connection.scalar(select(func.min(file.c.gone_at)).where(*undecided_files(source)))
    since = (writer.now if first_gone is None else min(first_gone, writer.now)) - span_us(source.removal_grace)
    for find, reason in _REASONS:
        with writer.read() as connection:
            if connection.execute(_vanished(source, since, file.c.path).limit(1)).first() is None:
                return
            pairs = find(connection, source, since)
        for start in range(0, len(pairs), MOVES):
            with writer.write() as connection:
                _move_entries(connection, writer, pairs[start : start + MOVES], reason)
        writer.new -= sum(new.stored_at == writer.now for _, new in pairs)
        writer.changed += len(pairs)


def _vanished(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that are gone since `since` and have an entry."""
    return (
        select(*columns)
        .join(entry, entry.c.id == file.c.entry_id)
        .where(file.c.source == source.name, file.c.gone_at >= since)
    )


def _new(source: Source, since: int, *columns: Any) -> Select[Any]:
    """Files that came since `since`, with entries that were never released."""
    return (
        select(*columns)
        .join(file, entry.c.id == file.c.entry_id)
        .where(
            file.c.source.concat("") == source.name,  # see undecided_files
            file.c.gone_at.is_(None),
            file.c.state == FILE_READ,
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
    vanished = _vanished(source, since, *_COMPARED).order_by(file.c.gone_at, file.c.path)
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
    found = {link_part(row.sketch) for row in newest if row.id not in ours and row.state != ENTRY_HIDDEN}
    doubted = [link for link, pair in shared.items() if link not in found and not is_alike(*map(_candidate, pair))]
    if doubted:
        link = func.substr(entry.c.sketch, 1, LINK_BYTES, type_=entry.c.sketch.type)
        stated = select(link).where(link.in_(doubted), entry.c.state != ENTRY_HIDDEN, entry.c.id.not_in(ours))
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


_REASONS = (
    (_same_bytes, "the same bytes"),
    (_same_content, "the same content"),
    (_same_link, "the same link"),
    (_much_in_common, "much of its text"),
)
"""How files are paired, and what history says of it."""

_CARRIED = (
    "path state content content_hash visible_hash selection_hash text_hash sketch quality heat dated_at"
    " stated_update_at expires_at embargo_at"
).split()


def _move_entries(connection: Connection, writer: Writer, pairs: list[Pair], reason: str) -> None:
    """The entry of the first of each pair goes on at the path of the second, whose own was never released and goes."""
    rows = {}
    for row in connection.execute(select(entry).where(entry.c.id.in_([one.id for pair in pairs for one in pair]))):
        rows[row.id] = row
    entries = [(rows[old.id], rows[new.id]) for old, new in pairs]
    moves = []
    withdrawn = {}
    for old, new in entries:
        stated = {name: getattr(new, name) for name in _CARRIED}
        values = changed_entry(writer, stated, old, old.state)
        if old.state == ENTRY_OUT and values["state"] != ENTRY_OUT:
            lapsed = new.expires_at is not None and new.expires_at <= writer.now
            withdrawn[old.id] = EXPIRED if lapsed else FLAG
            values["state"] = ENTRY_OUT
        moves.append(values | {"explicit_id": old.explicit_id or new.explicit_id})
    connection.execute(delete(entry).where(entry.c.id.in_([new.id for _, new in entries])))
    _move_bodies(connection, entries)
    update_entries(connection, moves)
    _move_files(connection, entries[0][0].source, {old.id: (old.file_path, new.file_path) for old, new in pairs})
    placings = [
        Placing(
            old.id,
            old.released_at,
            old.published_at,
            new.content,
            read_content(new.content).topics,
            new.quality,
            new.heat,
            shown=shown,
            before=facts_of(old, writer.policy.tables),
        )
        for (old, new), values in zip(entries, moves, strict=True)
        if (shown := old.visible_hash != new.visible_hash or old.updated_at != values["updated_at"])
        or old.selection_hash != new.selection_hash
        if old.state == ENTRY_OUT
    ]
    tell_renamed(connection, writer, {old.id: (old.file_path, reason) for old, _ in pairs})
    place_entries(connection, writer, placings)
    withdraw_entries(connection, writer, withdrawn)


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
            tell_renamed(connection, writer, {row.held: (row.from_path, "the same id") for row in passed_on})
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
        .values(entry_id=row.held, state=FILE_READ, digest=b"", wanted_id=None, wanted_at=None, recheck=True)
    )


_REFUSED = (file.c.state == FILE_DUPLICATE, file.c.problems.is_not(None), file.c.gone_at.is_(None))


def _wanted_ids(writer: Writer, source: Source) -> Select[Any]:
    """Refused files that may have the id they ask for, in order of path. Its holder has vanished, and they came when it
    went or it is `over` by now; or the holder is refused itself, because it states another id."""
    holder, rival, its_file = file.alias("holder"), entry.alias("rival"), file.alias("its_file")
    stated_by_others = (
        select(rival.c.id)
        .join(its_file, its_file.c.entry_id == rival.c.id)
        .where(rival.c.explicit_id == file.c.wanted_id, its_file.c.gone_at.is_(None))
        .exists()
    )
    over = holder.c.gone_at <= writer.now - span_us(source.removal_grace)
    came = and_(holder.c.source == file.c.source, file.c.wanted_at >= holder.c.gone_at)
    refused = and_(holder.c.source == file.c.source, holder.c.state == FILE_DUPLICATE, holder.c.gone_at.is_(None))
    return (
        select(
            file.c.path,
            file.c.entry_id,
            holder.c.source.label("from_source"),
            holder.c.path.label("from_path"),
            holder.c.entry_id.label("held"),
            holder.c.gone_at.is_not(None).label("vanished"),
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
