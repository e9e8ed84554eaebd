"""Moves that a batch shows by itself: an entry continues in another file, although its own is not known to be missing.

Its file has another record now, as after `mv today.md 2026-03-27.md` and a new `today.md`; or it is gone, and the scan
could not see that, because it had looked there before or looks at the new file only. So the files that new ones may
have been are read together with these (`former_files`). `renames` finds the other moves, once a scan has told what is
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select

from aggregator.model import Outcome, Record, Unchanged
from aggregator.settings import Source
from aggregator.sketch import ALIKE, SAME_TITLE, likeness, link_part, read_sketch
from aggregator.store.schema import SHOWABLE, STATED_LINK, AnyRow, FileState, entry, file

SAME_CONTENT, SAME_LINK = "the same content", "the same link"

_STORED = select(
    file.c.path,
    file.c.state.label("file_state"),
    file.c.problems,
    file.c.wanted_id,
    file.c.wanted_at,
    file.c.rejected_at,
    entry.c.id,
    entry.c.state.label("entry_state"),
    entry.c.explicit_id,
    entry.c.content_hash,
    entry.c.visible_hash,
    entry.c.selection_hash,
    entry.c.text_hash,
    entry.c.sketch,
    entry.c.embargo_at,
    entry.c.stored_at,
    entry.c.edited_at,
    entry.c.released_at,
    entry.c.published_at,
    entry.c.returned_at,
    entry.c.updated_at,
    entry.c.lookup_key,
).select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))


@dataclass(slots=True)
class Continued:
    """What the files of a batch continue."""

    rows: dict[str, AnyRow]  # what is stored, by path; `id` is None for a file without an entry
    renamed: dict[int, tuple[str, str]] = field(default_factory=dict)  # old path and reason, by the key of the entry
    left: list[str] = field(default_factory=list)  # old paths that are gone


def former_files(connection: Connection, source: Source, outcomes: Sequence[Outcome]) -> dict[str, bytes]:
    """The known files with the content or the link of records of a batch that is not theirs, each with its digest. One
    of them may have become one of these records, so they are to be read with the batch. Of very many only some."""
    records = [outcome for outcome in outcomes if isinstance(outcome, Record)]
    if not records:
        return {}
    paths = [outcome.file.path for outcome in outcomes]
    links = {link for record in records if (link := link_part(record.sketch))}
    alike = [entry.c.content_hash.in_({record.content_hash for record in records})]
    alike += [STATED_LINK.in_(links)] if links else []
    is_elsewhere = (entry.c.source == source.name, file.c.missing_since.is_(None), file.c.path.not_in(paths))
    columns = select(file.c.path, file.c.digest).join(entry, file.c.entry_id == entry.c.id)
    rows = [
        row
        for condition in alike
        for row in connection.execute(columns.where(condition, *is_elsewhere).limit(2 * len(records)))
    ]
    return {row.path: row.digest for row in rows}


def read_continued(
    connection: Connection, source: Source, outcomes: Sequence[Outcome], gone: Collection[str]
) -> Continued:
    """What is stored of the files of a batch, or of the files that they were before; of these, `gone` are not there."""
    paths = [*(outcome.file.path for outcome in outcomes), *gone]
    stored = _STORED.where(file.c.source == source.name, file.c.path.in_(paths))
    rows = {row.path: row for row in connection.execute(stored)}
    records = {outcome.file.path: outcome for outcome in outcomes if isinstance(outcome, Record)}
    same = {outcome.file.path for outcome in outcomes if isinstance(outcome, Unchanged)}
    lost = [
        path
        for path, row in rows.items()
        if _has_entry(row) and path not in records and not (path in same and row.file_state == FileState.READ)
    ]
    moves = _find_moves(connection, records, rows, lost)
    continued = Continued({path: row for path, row in rows.items() if path not in moves and path not in gone})
    for path, (target, reason) in moves.items():
        continued.rows[target] = rows[path]
        continued.renamed[rows[path].id] = path, reason
        if path in gone:
            continued.left.append(path)
    return continued


def forget_left(connection: Connection, source: Source, continued: Continued) -> None:
    """Deletes what is known of files that are gone."""
    if continued.left:
        connection.execute(delete(file).where(file.c.source == source.name, file.c.path.in_(continued.left)))


def links_of_others(connection: Connection, links: Collection[bytes], ours: Collection[int]) -> set[bytes]:
    """Which of the links (see `link_part`) other records have too."""
    others = select(STATED_LINK).where(STATED_LINK.in_(links), entry.c.state.in_(SHOWABLE), entry.c.id.not_in(ours))
    return set(connection.scalars(others)) if links else set()


def can_be_same(old_id: str | None, new_id: str | None) -> bool:
    """Whether two records do not state different ids."""
    return old_id is None or new_id is None or old_id == new_id


def _has_entry(row: AnyRow | None) -> bool:
    return row is not None and row.id is not None


def _find_moves(
    connection: Connection, records: Mapping[str, Record], rows: Mapping[str, AnyRow], lost: Collection[str]
) -> dict[str, tuple[str, str]]:
    """The files that have another record now, or none (`lost`), each with the file that has its old one, and the
    reason."""
    free = {path: row for path, row in rows.items() if path in lost or _is_changed(row, records.get(path))}
    by_content = _by_mark(records, lambda record: record.content_hash)
    by_link = _unique_links(connection, records, free)
    moves = dict[str, tuple[str, str]]()
    taken = set[str]()
    for path, row in sorted(free.items()):
        found = [(target, SAME_CONTENT) for target in by_content.get(row.content_hash, ())]
        found += [(target, SAME_LINK) for target in by_link.get(link_part(row.sketch), ())]
        for target, reason in found:
            is_open = target in free or not _has_entry(rows.get(target))
            is_same = target != path and can_be_same(row.explicit_id, records[target].explicit_id)
            if is_open and is_same and target not in taken:
                moves[path] = target, reason
                taken.add(target)
                break
    return _without_edits(moves, records, rows)


def _unique_links(
    connection: Connection, records: Mapping[str, Record], free: Mapping[str, AnyRow]
) -> dict[bytes, Sequence[str]]:
    """The old links of the `free` files that now one other file has, and no other record, each with that file."""
    by_link = _by_mark(records, lambda record: link_part(record.sketch))
    links = {link_part(row.sketch): path for path, row in free.items()}
    moved = {
        link: paths for link, path in links.items() if len(paths := by_link.get(link, ())) == 1 and path not in paths
    }
    others = links_of_others(connection, moved.keys(), [row.id for row in free.values()])
    return {link: paths for link, paths in moved.items() if link not in others}


def _is_changed(row: AnyRow, record: Record | None) -> bool:
    """Whether the record has other content than the entry of `row`, and not the id that this states."""
    if record is None:
        return False
    states_id = row.explicit_id is not None and record.explicit_id == row.explicit_id
    is_read = row.id is not None and row.file_state == FileState.READ
    return is_read and not states_id and record.content_hash != row.content_hash


def _by_mark(records: Mapping[str, Record], mark: Callable[[Record], bytes]) -> dict[bytes, list[str]]:
    """The paths of the records with each mark; an empty one is none."""
    paths: dict[bytes, list[str]] = {}
    for path, record in records.items():
        if found := mark(record):
            paths.setdefault(found, []).append(path)
    return paths


def _without_edits(
    moves: Mapping[str, tuple[str, str]], records: Mapping[str, Record], rows: Mapping[str, AnyRow]
) -> dict[str, tuple[str, str]]:
    """The moves from files that really have another record: an edit leaves the entry where it is, even if there is a
    copy of what was there before. So does a move to a file whose own entry stays."""
    while True:
        targets = {target for target, _ in moves.values()}
        kept = {
            path: (target, reason)
            for path, (target, reason) in moves.items()
            if (path in targets or path not in records or _is_other(rows[path], records[path]))
            and (target in moves or not _has_entry(rows.get(target)))
        }
        if len(kept) == len(moves):
            return kept
        moves = kept


def _is_other(row: AnyRow, record: Record) -> bool:
    """Whether the record is clearly another one than that of `row`: by its link, else by its lines."""
    links = link_part(row.sketch), link_part(record.sketch)
    if all(links):
        return links[0] != links[1]
    before, now = read_sketch(row.sketch), read_sketch(record.sketch)
    return bool(before.hashes and now.hashes) and likeness(before, now) < ALIKE - SAME_TITLE
