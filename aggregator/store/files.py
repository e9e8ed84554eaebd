"""What the store knows of record files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ColumnElement, case, insert, select, update

from aggregator.errors import StoreMismatchError
from aggregator.model import KnownFile
from aggregator.settings import Source
from aggregator.store.database import plain_rows
from aggregator.store.schema import FileState, file
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer

PAGE = 5000


def open_source(writer: Writer, source: Source, parsed_with: str) -> bool:
    """Makes the row of a source; True if one scan of it was complete.

    `parsed_with` names all that the reading of its files depends on: when that changed, every file is read again.
    """
    with writer.read() as connection:
        row = connection.execute(select(source_table).where(source_table.c.name == source.name)).first()
    if row is None:
        with writer.write() as connection:
            connection.execute(insert(source_table).values(name=source.name, parsed_with=parsed_with, scanned=False))
        return False
    if row.parsed_with != parsed_with:
        _ask_for_all_again(writer, source)
        with writer.write() as connection:
            changed = update(source_table).where(source_table.c.name == source.name)
            connection.execute(changed.values(parsed_with=parsed_with))
    return bool(row.scanned)


def _ask_for_all_again(writer: Writer, source: Source) -> None:
    asked = (file.c.source == source.name, file.c.state != FileState.REMOVED, file.c.digest != b"")
    while True:
        with writer.write() as connection:
            paths = list(connection.scalars(select(file.c.path).where(*asked).limit(PAGE)))
            if not paths:
                return
            chosen = update(file).where(file.c.source == source.name, file.c.path.in_(paths))
            connection.execute(chosen.values(recheck=True, digest=b""))


def dropped_sources(writer: Writer, names: Collection[str]) -> list[str]:
    """The sources with records in the store that the config no longer names.

    Raises StoreMismatchError when it also names one that the store has never seen: that is a source with another name,
    under which every record would be another, and its subscribers would get it again.
    """
    theirs = select(file.c.path).where(file.c.source == source_table.c.name, file.c.state != FileState.REMOVED).exists()
    with writer.read() as connection:
        seen = set(connection.scalars(select(source_table.c.name)))
        others = seen.difference(names)
        asked = select(source_table.c.name).where(source_table.c.name.in_(others), theirs)
        dropped = sorted(connection.scalars(asked)) if others else []
    if dropped and not seen.issuperset(names):
        told = f"name = {dropped[0]!r}" if dropped[0] else "no name"
        raise StoreMismatchError(
            f"the store holds records of a source with {told}, which the config does not have: under another name they"
            f" would all get new ids (give [records] {told} again; if the source is to go, first take it out alone)"
        )
    return dropped


def known_files(writer: Writer, source: Source) -> Iterator[list[KnownFile]]:
    """What is known of the files of a source, in byte order of paths, page by page."""
    return _known_between(writer, source, "")


def known_at(writer: Writer, source: Source, path: str) -> Iterator[list[KnownFile]]:
    """What is known of the file at `path` and of those in a folder of that name, in byte order of paths."""
    yield from _known_between(writer, source, "", file.c.path == path)
    yield from _known_between(writer, source, f"{path}/", file.c.path < f"{path}0")  # 0 comes after the slash


def _known_between(writer: Writer, source: Source, last: str, *more: ColumnElement[bool]) -> Iterator[list[KnownFile]]:
    """What is known of the files after `last`, as far as `more` is so."""
    gone = file.c.missing_since.is_not(None)
    size, mtime_ns = case((file.c.recheck | gone, None), else_=file.c.size), case((~gone, file.c.mtime_ns))
    mine = (file.c.source == source.name, *more)
    pages = (
        select(file.c.path, size, mtime_ns, file.c.ctime_ns, file.c.inode)
        .where(*mine)
        .order_by(file.c.path)
        .limit(PAGE)
    )
    while True:
        with writer.store.read() as connection:
            page = plain_rows(connection, pages.where(file.c.path > last))
        if page:
            yield page
        if len(page) < PAGE:
            return
        last = page[-1][0]


def known_digests(writer: Writer, source: Source, paths: Collection[str]) -> dict[str, bytes]:
    """The digests of the bytes that are stored, of those of `paths` that are known."""
    # a withdrawn record is judged anew when its file comes back, whatever it says
    digest = case((file.c.state == FileState.REMOVED, b""), else_=file.c.digest).label("digest")
    with writer.store.read() as connection:
        asked = select(file.c.path, digest).where(file.c.source == source.name, file.c.path.in_(paths))
        return {row.path: row.digest for row in connection.execute(asked)}


def mark_missing(writer: Writer, source: Source, paths: Sequence[str]) -> None:
    """Notes that known files are not there; what follows from that is decided when the scan is complete."""
    with writer.write() as connection:
        connection.execute(
            update(file).where(file.c.source == source.name, file.c.path.in_(paths)).values(missing_since=writer.now)
        )


def has_files(writer: Writer, source: Source) -> bool:
    """Whether a file of a source is known, or was once."""
    with writer.read() as connection:
        return connection.execute(select(file.c.path).where(file.c.source == source.name).limit(1)).first() is not None
