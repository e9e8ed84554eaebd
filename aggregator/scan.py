"""A folder and the known files of its source -> the files that differ.

A merge join: files are listed in the byte order of their paths (a folder sorts as its name and `/`), and the store
yields known files in the same order, so neither side is held in memory, except the names in one folder (some 80 bytes
each). Both sides come in batches. Equal batches need no further work, so most of a scan compares two lists.
"""

from __future__ import annotations

import heapq
import os
import stat
import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aggregator.errors import ShortageError
from aggregator.index_files import listed_filter
from aggregator.model import KnownFile, SourceFile
from aggregator.paths import ABSENT, Folder, RecordFilter, clamped_stat, escape_name, unescape_path
from aggregator.processes import PROGRESS
from aggregator.settings import Source

BATCH = 1000
"""Files per stat batch and comparison."""
MAX_PATH = 1500
"""Bytes of an escaped path. PostgreSQL cannot index keys over some 2,700."""

_NO_STAT = (-1, 0, 0, 0)
_ListedFile = tuple[str, int, int, int, int]
"""Escaped path, size, mtime and ctime in ns, inode."""


@dataclass(frozen=True, slots=True)
class Differs:
    """A file to read."""

    file: SourceFile
    known: bool  # the store has its path


@dataclass(frozen=True, slots=True)
class Missing:
    """A known file that the scan did not find."""

    path: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder inside the source that cannot be read. Its known files stay as they are."""

    path: str  # ends with a slash, except if the path is too long
    reason: str


_Listed = Iterator[list[_ListedFile] | Unreadable]
"""Record files in byte order of their paths, in batches that are never empty, and folders that cannot be read."""


class FolderError(Exception):
    """The folder of a source is missing or cannot be read."""


def scan_folder(
    source: Source, known: Iterator[list[KnownFile]], count: Callable[[int], None]
) -> Iterator[Differs | Missing | Unreadable]:
    """The differences between the folder of `source` and `known`, in byte order of paths.

    `known` must have that order, in lists of any length. `count` is called with the number of files of each batch.
    Raises FolderError before the first difference.
    """
    return _join(source, _list_source(source), known, count)


def scan_paths(
    source: Source,
    paths: Collection[str],
    known: Callable[[str], Iterator[list[KnownFile]]],
    count: Callable[[int], None],
) -> Iterator[Differs | Missing | Unreadable]:
    """The differences that `scan_folder` would yield for `paths` (escaped) and everything below them, in its order.

    A file at one of `paths` always differs, whatever its stat. `known` returns the known files at and below a path, in
    byte order. Raises FolderError before the first difference.
    """
    is_record = listed_filter(source)
    with _open_root(source) as folder:
        parts = [
            _join(source, _list_path(folder, path, is_record), _without_size(known(path), path), count)
            for path in _without_nested(set(paths))
        ]
        yield from heapq.merge(*parts, key=_path_of)


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
    source: Source,
    listed: _Listed,
    known: Iterator[list[KnownFile]],
    count: Callable[[int], None],
) -> Iterator[Differs | Missing | Unreadable]:
    """The merge join of listed and known files."""
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


def _compare(source: Source, batch: list[_ListedFile], cursor: _KnownCursor) -> Iterator[Differs | Missing]:
    """The differences of a batch, file by file."""
    for path, *numbers in batch:
        yield from cursor.missing_before(path)
        row = cursor.peek()
        known = row is not None and row[0] == path
        stat_values = clamped_stat(*numbers)
        if row != (path, *stat_values):
            yield Differs(SourceFile(source.name, path, *stat_values), known)
        if known:
            cursor.skip()


def list_records(source: Source) -> Iterator[SourceFile | Unreadable]:
    """Every record file of `source`, in byte order of escaped paths, and the folders that cannot be read.

    Names that begin with a dot and linked folders are skipped. A linked file counts only if its target is inside the
    folder and would count itself. Raises FolderError if the folder itself cannot be listed.
    """
    for batch in _list_source(source):
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

    def skip_if_equal(self, batch: list[_ListedFile]) -> bool:
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
        """Skips the next row."""
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


class _Listing(NamedTuple):
    """The escaped names in one folder, sorted."""

    path: str  # of the folder, below that of the source
    prefix: str  # the same escaped, with a slash at its end
    files: list[str]
    folders: list[str]  # with a slash at their end, or without one if the path is too long
    special: set[str]  # the files whose names are escaped, or which are not regular files, such as links


def _open_root(source: Source) -> Folder:
    """The folder of `source`. Raises FolderError."""
    try:
        return Folder(source.root)
    except OSError as error:
        ShortageError.check(error)
        raise FolderError(error.strerror or type(error).__name__) from error


def _list_source(source: Source) -> _Listed:
    """All record files of a source. Raises FolderError."""
    is_record = listed_filter(source)
    with _open_root(source) as folder:
        try:
            top = _list_folder(folder, "", "", is_record)
        except OSError as error:
            ShortageError.check(error)
            raise FolderError(error.strerror or type(error).__name__) from error
        yield from _list_tree(_split_listing(folder, top, is_record), folder, is_record)


def _list_path(folder: Folder, path: str, is_record: RecordFilter) -> _Listed:
    """The record file at the escaped `path`, or all files below it if it is a folder."""
    real_path = unescape_path(path)
    above, _, name = real_path.rpartition("/")
    if any(part.startswith(".") for part in path.split("/")):
        return
    try:
        is_folder = stat.S_ISDIR(folder.stat(real_path).st_mode)
        if sys.platform != "linux":  # case-insensitive file systems: `A` and `a` are one file
            with folder.list(above) as entries:
                if all(entry.name != name for entry in entries):
                    return
    except OSError as error:
        ShortageError.check(error)
        if error.errno not in ABSENT:
            yield Unreadable(path, error.strerror or type(error).__name__)
        return
    if is_folder:
        yield from _list_tree(iter([(real_path, path + "/")]), folder, is_record)
    elif len(path.encode()) > MAX_PATH:
        yield _too_long(path)
    elif is_record(real_path):
        prefix, slash, escaped = path.rpartition("/")
        yield from _stat_batches(folder, _Listing(above, prefix + slash, [escaped], [], {escaped}), 0, 1, is_record)


def _list_tree(
    top: Iterator[list[_ListedFile] | Unreadable | tuple[str, str]], folder: Folder, is_record: RecordFilter
) -> _Listed:
    """The files of a listing and of all folders below it, without recursion: the tree may be deep."""
    stack = [top]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif not isinstance(item, tuple):
            yield item
        else:
            try:
                stack.append(_split_listing(folder, _list_folder(folder, *item, is_record), is_record))
            except OSError as error:
                ShortageError.check(error)
                if error.errno not in ABSENT:  # else it was removed, or replaced by a link, meanwhile
                    yield Unreadable(item[1], error.strerror or type(error).__name__)


def _list_folder(folder: Folder, path: str, prefix: str, is_record: RecordFilter) -> _Listing:
    PROGRESS.show()
    files, folders, special = [], [], set()
    is_record_name = is_record.of_names(path)
    surely_short = MAX_PATH // 4 - len(prefix)  # a character has at most four bytes
    with folder.list(path) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            escaped = name if "%" not in name and name.isascii() else escape_name(name)
            is_file = entry.is_file(follow_symlinks=False)
            if not is_file and entry.is_dir(follow_symlinks=False):
                folders.append(escaped + "/")
            elif len(name) > surely_short and len((prefix + escaped).encode()) > MAX_PATH:
                folders.append(escaped)
            elif is_record_name(name):
                files.append(escaped)
                if escaped is not name or not is_file:
                    special.add(escaped)
    return _Listing(path, prefix, sorted(files), sorted(folders), special)


def _split_listing(
    folder: Folder, listing: _Listing, is_record: RecordFilter
) -> Iterator[list[_ListedFile] | Unreadable | tuple[str, str]]:
    """The files of one folder in batches, and between them its sub-folders as (path to open, escaped prefix)."""
    start = 0
    above = listing.path and f"{listing.path}/"
    for name in listing.folders:
        end = bisect_left(listing.files, name, start)
        yield from _stat_batches(folder, listing, start, end, is_record)
        path, start = listing.prefix + name, end
        if name[-1] == "/":
            yield above + unescape_path(name[:-1]), path
        else:
            yield _too_long(path)
    yield from _stat_batches(folder, listing, start, len(listing.files), is_record)


def _stat_batches(
    folder: Folder, listing: _Listing, start: int, end: int, is_record: RecordFilter
) -> Iterator[list[_ListedFile]]:
    for first in range(start, end, BATCH):
        if batch := _stat_files(folder, listing, listing.files[first : min(end, first + BATCH)], is_record):
            yield batch


def _stat_files(folder: Folder, listing: _Listing, names: list[str], is_record: RecordFilter) -> list[_ListedFile]:
    """The regular files with these names, and the links to files that a scan would read.

    A file whose stat fails gets an impossible stat, so it is read, and the read reports the error.
    """
    files: list[_ListedFile] = []
    prefix, special = listing.prefix, listing.special
    read_stat, is_regular, add = os.lstat, stat.S_ISREG, files.append  # local names: the hot loop of a scan
    try:
        name_prefix, folder_fd = folder.enter(listing.path)
    except OSError as error:
        return [] if error.errno in ABSENT else [(prefix + name, *_NO_STAT) for name in names]
    for name in names:
        try:
            if special and name in special:
                status = _stat_special(folder, listing.path, unescape_path(name), is_record)
            else:
                status = read_stat(name_prefix + name, dir_fd=folder_fd)
        except OSError as error:
            if error.errno not in ABSENT:
                add((prefix + name, *_NO_STAT))
            continue
        if is_regular(status.st_mode):
            add((prefix + name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return files


def _stat_special(folder: Folder, above: str, name: str, is_record: RecordFilter) -> os.stat_result:
    """The stat of a file, or of the target of a link."""
    path = f"{above}/{name}" if above else name
    status = folder.stat(path)
    return folder.stat(folder.resolve(path, is_record)) if stat.S_ISLNK(status.st_mode) else status


def _without_size(pages: Iterator[list[KnownFile]], path: str) -> Iterator[list[KnownFile]]:
    """The known files, with the size of `path` removed, so that it is read again."""
    for page in pages:
        yield [(path, None, *row[2:]) if row[0] == path else row for row in page]


def _too_long(path: str) -> Unreadable:
    return Unreadable(path, f"its path is over {MAX_PATH} bytes")


def _without_nested(paths: set[str]) -> Iterator[str]:
    """The paths that are not below another path of the set."""
    for path in paths:
        parts = path.split("/")
        if not any("/".join(parts[:size]) in paths for size in range(1, len(parts))):
            yield path


def _path_of(item: Differs | Missing | Unreadable) -> str:
    return item.file.path if isinstance(item, Differs) else item.path


def _may_be_folder(path: str) -> bool:
    """True if there is a folder, or nothing: it may have been a folder."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return True
