"""The files of a source and its known files -> the files that differ.

A merge join: files are listed in the byte order of their paths (a folder sorts as its name and `/`), and the store
yields known files in the same order, so neither side is held in memory, except the names in one folder (some 80 bytes
each). Both sides come in batches. Equal batches need no further work, so most of a scan compares two lists.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from aggregator.files import CheckStop, Listed, ListedFile, Unreadable, open_files
from aggregator.files.index_files import listed_filter
from aggregator.model import KnownFile, SourceFile
from aggregator.paths import clamped_stat, escape_name
from aggregator.settings import Source


@dataclass(frozen=True, slots=True)
class Differs:
    """A file to read."""

    file: SourceFile
    known: bool  # the store has its path


@dataclass(frozen=True, slots=True)
class Missing:
    """A known file that the scan did not find."""

    path: str


def scan_source(
    source: Source, known: Iterator[list[KnownFile]], count: Callable[[int], None], check_stop: CheckStop | None = None
) -> Iterator[Differs | Missing | Unreadable]:
    """The differences between the files of `source` and `known`, in byte order of paths.

    `known` must have that order, in lists of any length. `count` is called with the number of files of each batch.
    Raises FolderError before the first difference.
    """
    with open_files(source, check_stop) as files:
        yield from _join(source, files.list_all(), known, count)


def scan_paths(
    source: Source,
    paths: Collection[str],
    known: Callable[[str], Iterator[list[KnownFile]]],
    count: Callable[[int], None],
    check_stop: CheckStop | None = None,
) -> Iterator[Differs | Missing | Unreadable]:
    """The differences that `scan_source` would yield for `paths` (escaped) and everything below them, in its order.

    A file at one of `paths` always differs, whatever its stat. `known` returns the known files at and below a path, in
    byte order. Raises FolderError, for a folder before the first difference.
    """
    with open_files(source, check_stop) as files:
        parts = [
            _join(source, files.list_at(path), _without_size(known(path), path), count)
            for path in _without_nested(set(paths))
        ]
        yield from heapq.merge(*parts, key=lambda item: item.file.path if isinstance(item, Differs) else item.path)


def path_locator(source: Source) -> Callable[[str], str | None]:
    """A function from a real path to a path for `scan_paths`: "" for the folder itself, None if no scan would read it,
    such as a file that `source` does not include."""
    is_record = listed_filter(source)
    root = os.path.realpath(source.root)
    start = root.rstrip(os.sep) + os.sep

    def locate(path: str) -> str | None:
        if not path.startswith(start):
            return "" if path == root else None
        names = path[len(start) :].split(os.sep)
        if any(name.startswith(".") for name in names) or not (is_record("/".join(names)) or _may_be_folder(path)):
            return None
        return "/".join(map(escape_name, names))

    return locate


def _join(
    source: Source, listed: Listed, known: Iterator[list[KnownFile]], count: Callable[[int], None]
) -> Iterator[Differs | Missing | Unreadable]:
    cursor = _KnownCursor(known)
    for batch in listed:
        if isinstance(batch, Unreadable):
            yield batch
            yield from cursor.missing_before(batch.path)
            cursor.skip_below(batch.path)
            continue
        count(len(batch))
        if not cursor.skip_if_equal(batch):
            yield from _compare(source, batch, cursor)
    yield from cursor.missing_before(None)


def _compare(source: Source, batch: list[ListedFile], cursor: _KnownCursor) -> Iterator[Differs | Missing]:
    for path, *numbers in batch:
        yield from cursor.missing_before(path)
        row = cursor.peek()
        known = row is not None and row[0] == path
        stat_values = clamped_stat(*numbers)
        if row != (path, *stat_values):
            yield Differs(SourceFile(source.name, path, *stat_values), known)
        if known:
            cursor.skip()


def list_records(source: Source, at: str = "") -> Iterator[SourceFile | Unreadable]:
    """Every record file of `source`, or the one `at` an escaped path, in byte order of paths, and what cannot be read.

    Raises FolderError if the source itself cannot be listed.
    """
    with open_files(source) as files:
        for batch in files.list_at(at) if at else files.list_all():
            if isinstance(batch, Unreadable):
                yield batch
            else:
                yield from (SourceFile(source.name, path, *clamped_stat(*numbers)) for path, *numbers in batch)


class _KnownCursor:
    """A cursor over the known files."""

    def __init__(self, known: Iterator[list[KnownFile]]) -> None:
        self._pages = known
        self._rows: list[KnownFile] = []
        self._at = 0

    def skip_if_equal(self, batch: list[ListedFile]) -> bool:
        """True if the next rows equal `batch`; then skips them."""
        while len(self._rows) - self._at < len(batch) and (page := next(self._pages, None)):
            self._rows, self._at = self._rows[self._at :] + page, 0
        end = self._at + len(batch)
        if self._rows[self._at : end] != batch:
            return False
        self._at = end
        return True

    def peek(self) -> KnownFile | None:
        """The next row; None after the last."""
        if self._at == len(self._rows):
            self._rows, self._at = next(self._pages, []), 0
        return self._rows[self._at] if self._rows else None

    def skip(self) -> None:
        self._at += 1

    def missing_before(self, path: str | None) -> Iterator[Missing]:
        """Skips the rows before `path` (None: all rows), and yields the files that are newly missing."""
        while (row := self.peek()) is not None and (path is None or row[0] < path):
            if row[2] is not None:
                yield Missing(row[0])
            self.skip()

    def skip_below(self, folder: str) -> None:
        """Skips the rows of a folder, whose path ends with a slash."""
        while (row := self.peek()) is not None and row[0].startswith(folder):
            self.skip()


def _without_size(pages: Iterator[list[KnownFile]], path: str) -> Iterator[list[KnownFile]]:
    """The known files, with the size of `path` removed, so that it is read again."""
    for page in pages:
        yield [(path, None, *row[2:]) if row[0] == path else row for row in page]


def _without_nested(paths: set[str]) -> Iterator[str]:
    """The paths that are not below another path of the set."""
    for path in paths:
        parts = path.split("/")
        if not any("/".join(parts[:size]) in paths for size in range(1, len(parts))):
            yield path


def _may_be_folder(path: str) -> bool:
    """True if there is a folder, or nothing: it may have been a folder."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return True
