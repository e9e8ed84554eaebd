"""Files: what is known about each path, and about each source."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, insert, select, update

from aggregator.errors import SourceRenamedError
from aggregator.model import KnownFile
from aggregator.settings import Source
from aggregator.store.database import plain_rows
from aggregator.store.schema import FileState, file
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer

PAGE = 5000


def open_source(writer: Writer, source: Source, parsed_with: str) -> bool:
    """Adds the row of a source; returns whether a scan of it was ever complete.

    `parsed_with` is a digest of all that the reading of its files depends on. If it changed, every file is read again.
    """
    with writer.read() as connection:
        row = connection.execute(select(source_table).where(source_table.c.name == source.name)).first()
    if row is None:
        with writer.write() as connection:
            connection.execute(insert(source_table).values(name=source.name, parsed_with=parsed_with, scanned=False))
        return False
    if row.parsed_with != parsed_with:
        _recheck_all(writer, source)
        with writer.write() as connection:
            changed = update(source_table).where(source_table.c.name == source.name)
            connection.execute(changed.values(parsed_with=parsed_with))
    return bool(row.scanned)


def _recheck_all(writer: Writer, source: Source) -> None:
    read = (file.c.source == source.name, file.c.state != FileState.REMOVED, file.c.digest != b"")
    while True:
        with writer.write() as connection:
            paths = list(connection.scalars(select(file.c.path).where(*read).limit(PAGE)))
            if not paths:
                return
            chosen = update(file).where(file.c.source == source.name, file.c.path.in_(paths))
            connection.execute(chosen.values(recheck=True, digest=b""))


def recheck_files(writer: Writer, source: Source, paths: Collection[str]) -> None:
    """Makes the next scan read these files again, unless they are read before it."""
    with writer.write() as connection:
        chosen = update(file).where(file.c.source == source.name, file.c.path.in_(paths))
        connection.execute(chosen.values(recheck=True))


def recheck_below(writer: Writer, source: Source, folder: str) -> None:
    """Does what `recheck_files` does for the files that `known_below` returns."""
    with writer.write() as connection:
        connection.execute(update(file).where(*_below(source, folder)).values(recheck=True))


def dropped_sources(connection: Connection, sources: Sequence[Source]) -> list[str]:
    """The sources with records in the store that the config no longer names.

    Raises SourceRenamedError if the config also names a source that is new to the store. That is a renamed source: all
    its records would get new ids, and subscribers would get them again.
    """
    theirs = select(file.c.path).where(file.c.source == source_table.c.name, file.c.state != FileState.REMOVED).exists()
    names, seen = [source.name for source in sources], set(connection.scalars(select(source_table.c.name)))
    others = seen.difference(names)
    with_files = select(source_table.c.name).where(source_table.c.name.in_(others), theirs)
    dropped = sorted(connection.scalars(with_files)) if others else []
    if dropped and (new := [name for name in names if name not in seen]):
        raise SourceRenamedError(new[0], dropped[0])
    return dropped


def source_names(connection: Connection) -> list[str]:
    """The sources that the config names, or did once."""
    return list(connection.scalars(select(source_table.c.name).order_by(source_table.c.name)))


def paths_of(connection: Connection, source: str) -> list[str]:
    """The paths of the files of a source that are not withdrawn."""
    mine = (file.c.source == source, file.c.state != FileState.REMOVED)
    return list(connection.scalars(select(file.c.path).where(*mine)))


_AFTER = (file.c.source == bindparam("of_source"), file.c.path > bindparam("last"))
_IS_MISSING = file.c.missing_since.is_not(None)
_KNOWN = (
    select(
        file.c.path,
        case((file.c.recheck | _IS_MISSING, None), else_=file.c.size),
        case((~_IS_MISSING, file.c.mtime_ns)),
        file.c.ctime_ns,
        file.c.inode,
    )
    .where(*_AFTER)
    .order_by(file.c.path)
    .limit(PAGE)
)
_KNOWN_AT = _KNOWN.where(file.c.path == bindparam("path"))
_KNOWN_BELOW = _KNOWN.where(file.c.path < bindparam("end"))


def known_files(writer: Writer, source: Source) -> Iterator[list[KnownFile]]:
    """The known files of a source in byte order of paths, in pages."""
    return _pages(writer, source, _KNOWN, "")


def known_at(writer: Writer, source: Source, path: str) -> Iterator[list[KnownFile]]:
    """The known file at `path` and those in a folder of that name, in byte order of paths, in pages."""
    yield from _pages(writer, source, _KNOWN_AT, "", path=path)
    yield from _pages(writer, source, _KNOWN_BELOW, f"{path}/", end=f"{path}0")  # 0 comes after the slash


def known_below(writer: Writer, source: Source, folder: str) -> Iterator[list[tuple[str, bytes]]]:
    """The known files below a folder (escaped, with a slash at its end; empty for that of the source) that are not
    missing, each with its digest, in pages."""
    digests = select(file.c.path, file.c.digest).where(*_below(source, folder), *_AFTER)
    return _pages(writer, source, digests.order_by(file.c.path).limit(PAGE), folder)


def _pages(writer: Writer, source: Source, rows: Select[Any], last: str, **values: str) -> Iterator[list[Any]]:
    """The rows of a source after the path `last` in byte order of paths, their first column, in pages. `rows` has the
    conditions `_AFTER`, and perhaps others with these values."""
    while True:
        with writer.store.read() as connection:
            page = plain_rows(connection, rows, {"of_source": source.name, "last": last, **values})
        if page:
            yield page
        if len(page) < PAGE:
            return
        last = page[-1][0]


def _below(source: Source, folder: str) -> list[ColumnElement[bool]]:
    mine = [file.c.source == source.name, file.c.missing_since.is_(None), file.c.state != FileState.REMOVED]
    return [*mine, file.c.path > folder, file.c.path < f"{folder[:-1]}0"] if folder else mine  # 0 is after the slash


def known_digests(writer: Writer, source: Source, paths: Collection[str]) -> dict[str, bytes]:
    """The stored digests of the known files among `paths`."""
    # a file that comes back is parsed again, even with the same bytes
    digest = case((file.c.state == FileState.REMOVED, b""), else_=file.c.digest).label("digest")
    with writer.store.read() as connection:
        rows = connection.execute(
            select(file.c.path, digest).where(file.c.source == source.name, file.c.path.in_(paths))
        )
        return {row.path: row.digest for row in rows}


def mark_missing(writer: Writer, source: Source, paths: Sequence[str]) -> None:
    """Stores that known files are missing. What follows from that is decided at the end of the scan."""
    with writer.write() as connection:
        connection.execute(
            update(file).where(file.c.source == source.name, file.c.path.in_(paths)).values(missing_since=writer.now)
        )


def has_files(writer: Writer, source: Source) -> bool:
    """Whether a file of a source is known, or was once."""
    with writer.read() as connection:
        return connection.execute(select(file.c.path).where(file.c.source == source.name).limit(1)).first() is not None
