"""Renames that a batch shows by itself, before a scan has told what is missing.

The file of an entry has another record now, as after `mv today.md 2026-03-27.md` and a new `today.md`. Or it is gone,
and the scan could not see that, because it had looked there before or looks at the new file only. So the files that new
ones may have been are read together with these (`former_files`). `renames` finds the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from sqlalchemy import Connection, delete, or_, select

from aggregator.model import Outcome, Record, Rejection
from aggregator.settings import Source
from aggregator.sketch import ALIKE, SAME_TITLE, likeness, link_part, read_sketch
from aggregator.store.schema import SHOWABLE, STATED_LINK, AnyRow, FileState, entry, file

SAME_CONTENT, SAME_LINK = "the same content", "the same link"

_READ_ONCE = (FileState.READ, FileState.REJECTED, FileState.UNFINISHED)
"""States of files whose entries are as they were read once."""
_STORED = select(
    file.c.path,
    file.c.inode,
    file.c.state.label("file_state"),
    file.c.problems,
    file.c.wanted_id,
    file.c.wanted_at,
    file.c.rejected_at,
    file.c.unread,
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
    has_content = entry.c.content_hash.in_({record.content_hash for record in records})
    is_elsewhere = (entry.c.source == source.name, file.c.missing_since.is_(None), file.c.path.not_in(paths))
    rows = connection.execute(
        select(file.c.path, file.c.digest)
        .join(entry, file.c.entry_id == entry.c.id)
        .where(or_(has_content, STATED_LINK.in_(links)) if links else has_content, *is_elsewhere)
        .limit(100 + 2 * len(records))
    )
    return {row.path: row.digest for row in rows}


def read_continued(
    connection: Connection, source: Source, outcomes: Sequence[Outcome], gone: Collection[str]
) -> Continued:
    """What is stored of the files of a batch, or of the files that they were before; of these, `gone` are not there."""
    paths = [*(outcome.file.path for outcome in outcomes), *gone]
    stored = _STORED.where(file.c.source == source.name, file.c.path.in_(paths))
    rows = {row.path: row for row in connection.execute(stored)}
    records = {outcome.file.path: outcome for outcome in outcomes if isinstance(outcome, Record)}
    unfinished = {outcome.file.path for outcome in outcomes if isinstance(outcome, Rejection) and outcome.unfinished}
    moves = _Search(connection, records, rows, gone, unfinished).moves()
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


def _by_mark(records: Mapping[str, Record], mark: Callable[[Record], bytes]) -> dict[bytes, list[str]]:
    """The paths of the records with each mark; records without a mark are left out."""
    paths: dict[bytes, list[str]] = {}
    for path, record in records.items():
        if found := mark(record):
            paths.setdefault(found, []).append(path)
    return paths


Moves = Mapping[str, tuple[str, str]]
"""Where the records of files went: the path of another file, and the reason."""


@dataclass(frozen=True, slots=True)
class _Search:
    """Searches the records of a batch for those that were in other files until now."""

    connection: Connection
    records: Mapping[str, Record]
    rows: Mapping[str, AnyRow]
    gone: Collection[str]
    unfinished: Collection[str]

    def moves(self) -> Moves:
        """Each file that has another record now, or none, with the file that has its old one."""
        free = {path: row for path, row in self.rows.items() if _has_entry(row) and self._may_have_lost(row)}
        by_content = _by_mark(self.records, lambda record: record.content_hash)
        by_link = self._unique_links(free)
        moves = dict[str, tuple[str, str]]()
        taken = set[str]()
        for path, row in sorted(free.items()):
            same_content = ((target, SAME_CONTENT) for target in by_content.get(row.content_hash, ()))
            same_link = ((target, SAME_LINK) for target in by_link.get(link_part(row.sketch), ()))
            for target, reason in chain(same_content, same_link):
                is_open = target in free or not _has_entry(self.rows.get(target))
                is_same = target != path and can_be_same(row.explicit_id, self.records[target].explicit_id)
                if target not in taken and is_open and is_same and self._has_passed_on(path, target):
                    moves[path] = target, reason
                    taken.add(target)
                    break
        return self._to_open_files(moves)

    def _may_have_lost(self, row: AnyRow) -> bool:
        """Whether the record of the file of `row` may be elsewhere: the file is gone, is being written, or has a record
        with other content that does not state the id of its entry."""
        record = self.records.get(row.path)
        if record is None:
            return row.path in self.gone or row.path in self.unfinished
        states_id = row.explicit_id is not None and record.explicit_id == row.explicit_id
        return row.file_state in _READ_ONCE and not states_id and record.content_hash != row.content_hash

    def _unique_links(self, free: Mapping[str, AnyRow]) -> dict[bytes, Sequence[str]]:
        """The links that only one of the `free` files had and only one other file has, with the path of that file."""
        by_link = _by_mark(self.records, lambda record: link_part(record.sketch))
        had: dict[bytes, list[str]] = {}
        for path, row in free.items():
            had.setdefault(link_part(row.sketch), []).append(path)
        moved = {
            link: by_link[link]
            for link, paths in had.items()
            if len(paths) == len(by_link.get(link, ())) == 1 and paths != by_link[link]
        }
        others = links_of_others(self.connection, moved.keys(), [row.id for row in free.values()])
        return {link: paths for link, paths in moved.items() if link not in others}

    def _to_open_files(self, moves: Moves) -> Moves:
        """The moves without those to files whose own entries stay."""
        while True:
            kept = {
                path: (target, reason)
                for path, (target, reason) in moves.items()
                if target in moves or not _has_entry(self.rows.get(target))
            }
            if len(kept) == len(moves):
                return kept
            moves = kept

    def _has_passed_on(self, path: str, target: str) -> bool:
        """Whether the record of `path` is not there any more: the file is gone; or it was moved to `target` and another
        one is being written in its place; or it has another record. An edit passes nothing on, even if there is a copy
        of what was there before."""
        if path in self.records:
            return self._is_other(path)
        inode = self.rows[path].inode
        return path in self.gone or (bool(inode) and inode == self.records[target].file.inode)

    def _is_other(self, path: str) -> bool:
        """Whether a file clearly has another record than before: by its lines, and by its link if both have one."""
        row, record = self.rows[path], self.records[path]
        links = link_part(row.sketch), link_part(record.sketch)
        before, now = read_sketch(row.sketch), read_sketch(record.sketch)
        is_told = links[0] != links[1] if all(links) else bool(before.hashes or now.hashes)
        return is_told and likeness(before, now) < ALIKE - SAME_TITLE
