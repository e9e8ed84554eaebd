"""Scan: a folder and what is known of it -> the files that differ.

A merge join: the walk yields paths in byte order (a folder sorts as its name and `/`), the known files come from the
store in the same order, so neither side is ever held in memory; only the names of one folder are, some 80 bytes each.
Both come in batches, and batches that are equal are done with: most of a walk is one comparison of two lists.
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
from aggregator.model import KnownFile, SourceFile
from aggregator.paths import ABSENT, Folder, escape_name, kept_stat, record_filter, unescape_path
from aggregator.settings import Source

BATCH = 1000
"""Files that are statted, and compared, at a time."""
MAX_PATH = 1500
"""Bytes of an escaped path; PostgreSQL indexes no key over some 2,700."""

_NO_STAT = (-1, 0, 0, 0)
_Found = tuple[str, int, int, int, int]
"""The escaped path of a file, its size, its mtime and ctime in ns, and its inode."""


@dataclass(frozen=True, slots=True)
class Differs:
    """A file to read; `known` if the store has its path."""

    file: SourceFile
    known: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """A known file that is not in the folder."""

    path: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder inside the source that cannot be read; what is known of it stays. `path` ends with a slash."""

    path: str
    reason: str


class FolderError(Exception):
    """The folder of a source is missing or cannot be read."""


def scan_folder(
    source: Source, known: Iterator[list[KnownFile]], count: Callable[[int], None]
) -> Iterator[Differs | Missing | Unreadable]:
    """What differs between the folder of `source` and `known`, in byte order of paths.

    `known` must come in that order, in lists of any length. `count` is told how many files were seen. Raises
    FolderError before anything else.
    """
    return _join(source, _walk(source), known, count)


def scan_paths(
    source: Source,
    paths: Collection[str],
    known: Callable[[str], Iterator[list[KnownFile]]],
    count: Callable[[int], None],
) -> Iterator[Differs | Missing | Unreadable]:
    """What `scan_folder` would tell of `paths` (escaped) and, where there are or were folders, of all below them.

    A file at one of `paths` differs whatever its stat says. The order is the same. `known` gives what is known at and
    below one path, in byte order. Raises FolderError before anything else.
    """
    wanted = record_filter(source.include, source.exclude)
    with _open_root(source) as folder:
        parts = [
            _join(source, _walk_path(folder, path, wanted), _without_size(known(path), path), count)
            for path in _outermost(set(paths))
        ]
        yield from heapq.merge(*parts, key=_path_of)


def path_locator(source: Source) -> Callable[[str], str | None]:
    """Where something happened, by the real path of it: "" for the folder itself, else a path for `scan_paths`; None
    where no scan would look, such as a file that `source` does not include."""
    wanted = record_filter(source.include, source.exclude)
    root = os.path.realpath(source.root)
    start = root.rstrip(os.sep) + os.sep

    def locate(place: str) -> str | None:
        if not place.startswith(start):
            return "" if place == root else None
        names = place[len(start) :].split(os.sep)
        if any(name.startswith(".") for name in names) or not (wanted(names[-1]) or _may_be_folder(place)):
            return None
        return "/".join(map(escape_name, names))

    return locate


def _join(
    source: Source,
    walk: Iterator[list[_Found] | Unreadable],
    known: Iterator[list[KnownFile]],
    count: Callable[[int], None],
) -> Iterator[Differs | Missing | Unreadable]:
    """The merge join of what is there and what is known."""
    stored = _Stored(known)
    for found in walk:
        if isinstance(found, Unreadable):
            yield found
            yield from stored.missing_before(found.path)
            stored.skip_below(found.path)
            continue
        count(len(found))
        if not stored.has_next(found):
            yield from _compare(source, found, stored)
    yield from stored.missing_before(None)


def walk_folder(source: Source) -> Iterator[SourceFile | Unreadable]:
    """Every record file of `source`, in byte order of escaped paths, and the folders that cannot be read.

    Names that begin with a dot are skipped, linked folders are not walked, a linked file counts only if it ends at a
    file inside the folder that would count itself. Raises FolderError if the folder itself cannot be listed.
    """
    for found in _walk(source):
        if isinstance(found, Unreadable):
            yield found
        else:
            yield from (SourceFile(source.name, path, *kept_stat(*numbers)) for path, *numbers in found)


class _Stored:
    """What is known, and how far the walk has come in it."""

    def __init__(self, known: Iterator[list[KnownFile]]) -> None:
        self._pages = known
        self._rows: list[KnownFile] = []
        self._at = 0

    def has_next(self, found: list[_Found]) -> bool:
        """Whether the next rows are just these, none of them to be read again; they are done with then."""
        while len(self._rows) - self._at < len(found) and (page := next(self._pages, None)):
            self._rows, self._at = self._rows[self._at :] + page, 0
        end = self._at + len(found)
        if self._rows[self._at : end] != found:
            return False
        self._at = end
        return True

    def next(self) -> KnownFile | None:
        """The next row; None after the last."""
        if self._at == len(self._rows):
            self._rows, self._at = next(self._pages, []), 0
        return self._rows[self._at] if self._rows else None

    def advance(self) -> None:
        """Is done with the next row."""
        self._at += 1

    def missing_before(self, path: str | None) -> Iterator[Missing]:
        """Is done with the rows that come before `path`, or with all: the files that are no more, if that is new."""
        while (old := self.next()) is not None and (path is None or old[0] < path):
            if old[2] is not None:
                yield Missing(old[0])
            self.advance()

    def skip_below(self, folder: str) -> None:
        """Is done with the rows of a folder, whose path ends with a slash."""
        while (old := self.next()) is not None and old[0].startswith(folder):
            self.advance()


def _compare(source: Source, found: list[_Found], stored: _Stored) -> Iterator[Differs | Missing]:
    """What differs, file by file."""
    for path, *numbers in found:
        yield from stored.missing_before(path)
        old = stored.next()
        known = old is not None and old[0] == path
        kept = kept_stat(*numbers)
        if old != (path, *kept):
            yield Differs(SourceFile(source.name, path, *kept), known)
        if known:
            stored.advance()


class _Listing(NamedTuple):
    """The escaped names in one folder, sorted: those of `files`, and of `folders` with a slash, or without one where
    the path is too long. `odd` are the files that stand escaped, and what is no file, such as a link. `place` is the
    path of the folder below the source's, `prefix` the same escaped, with a slash at its end."""

    place: str
    prefix: str
    files: list[str]
    folders: list[str]
    odd: set[str]


def _open_root(source: Source) -> Folder:
    """The folder of `source`. Raises FolderError."""
    try:
        return Folder(source.root)
    except OSError as error:
        ShortageError.check(error)
        raise FolderError(error.strerror or type(error).__name__) from error


def _walk(source: Source) -> Iterator[list[_Found] | Unreadable]:
    """Every record file in byte order of paths, in batches that are never empty, and the folders that cannot be read.
    Raises FolderError."""
    wanted = record_filter(source.include, source.exclude)
    with _open_root(source) as folder:
        try:
            top = _list_folder(folder, "", "", wanted)
        except OSError as error:
            ShortageError.check(error)
            raise FolderError(error.strerror or type(error).__name__) from error
        yield from _descend(_walk_listing(folder, top, wanted), folder, wanted)


def _walk_path(folder: Folder, path: str, wanted: Callable[[str], object]) -> Iterator[list[_Found] | Unreadable]:
    """What a walk would yield at `path`, or below it if that is a folder."""
    place = unescape_path(path)
    above, _, name = place.rpartition("/")
    if any(part.startswith(".") for part in path.split("/")):
        return
    try:
        is_folder = stat.S_ISDIR(folder.stat(place).st_mode)
        if sys.platform != "linux":  # where `A` opens `a`, there are not two files
            with folder.list(above) as entries:
                if all(entry.name != name for entry in entries):
                    return
    except OSError as error:
        ShortageError.check(error)
        if error.errno not in ABSENT:
            yield Unreadable(path, error.strerror or type(error).__name__)
        return
    if is_folder:
        yield from _descend(iter([(place, path + "/")]), folder, wanted)
    elif len(path.encode()) > MAX_PATH:
        yield _too_long(path)
    elif wanted(name):
        prefix, slash, escaped = path.rpartition("/")
        yield from _stat_batches(folder, _Listing(above, prefix + slash, [escaped], [], {escaped}), 0, 1, wanted)


def _descend(
    top: Iterator[list[_Found] | Unreadable | tuple[str, str]], folder: Folder, wanted: Callable[[str], object]
) -> Iterator[list[_Found] | Unreadable]:
    """The files and unreadable folders of a listing, and of all that is below it."""
    stack = [top]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif not isinstance(item, tuple):
            yield item
        else:
            try:
                stack.append(_walk_listing(folder, _list_folder(folder, *item, wanted), wanted))
            except OSError as error:
                ShortageError.check(error)
                if error.errno not in ABSENT:  # by now it may be gone, or a link
                    yield Unreadable(item[1], error.strerror or type(error).__name__)


def _list_folder(folder: Folder, place: str, prefix: str, wanted: Callable[[str], object]) -> _Listing:
    files, folders, odd = [], [], set()
    room = MAX_PATH // 4 - len(prefix)  # characters that are surely no more bytes than there may be
    with folder.list(place) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            escaped = name if "%" not in name and name.isascii() else escape_name(name)
            is_file = entry.is_file(follow_symlinks=False)
            if not is_file and entry.is_dir(follow_symlinks=False):
                folders.append(escaped + "/")
            elif len(name) > room and len((prefix + escaped).encode()) > MAX_PATH:
                folders.append(escaped)
            elif wanted(name):
                files.append(escaped)
                if escaped is not name or not is_file:
                    odd.add(escaped)
    return _Listing(place, prefix, sorted(files), sorted(folders), odd)


def _walk_listing(
    folder: Folder, listing: _Listing, wanted: Callable[[str], object]
) -> Iterator[list[_Found] | Unreadable | tuple[str, str]]:
    """The files of one folder in batches, and in their places its sub-folders as (path to open, escaped prefix)."""
    start = 0
    above = listing.place and f"{listing.place}/"
    for name in listing.folders:
        end = bisect_left(listing.files, name, start)
        yield from _stat_batches(folder, listing, start, end, wanted)
        path, start = listing.prefix + name, end
        if name[-1] == "/":
            yield above + unescape_path(name[:-1]), path
        else:
            yield _too_long(path)
    yield from _stat_batches(folder, listing, start, len(listing.files), wanted)


def _stat_batches(
    folder: Folder, listing: _Listing, start: int, end: int, wanted: Callable[[str], object]
) -> Iterator[list[_Found]]:
    for first in range(start, end, BATCH):
        if found := _stat_files(folder, listing, listing.files[first : min(end, first + BATCH)], wanted):
            yield found


def _stat_files(folder: Folder, listing: _Listing, names: list[str], wanted: Callable[[str], object]) -> list[_Found]:
    """The regular files of these names, links among them only where they end at one that a scan reads.

    A file that is there and gives no stat has an impossible one, so that it is read, which says what is wrong with it.
    """
    found: list[_Found] = []
    prefix, odd = listing.prefix, listing.odd
    read_stat, is_regular, add = os.lstat, stat.S_ISREG, found.append  # looked up once, and not for each of very many
    try:
        before, opened = folder.enter(listing.place)
    except OSError as error:
        return [] if error.errno in ABSENT else [(prefix + name, *_NO_STAT) for name in names]
    for name in names:
        try:
            if odd and name in odd:
                status = _stat_odd(folder, listing.place, unescape_path(name), wanted)
            else:
                status = read_stat(before + name, dir_fd=opened)
        except OSError as error:
            if error.errno not in ABSENT:
                add((prefix + name, *_NO_STAT))
            continue
        if is_regular(status.st_mode):
            add((prefix + name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return found


def _stat_odd(folder: Folder, above: str, name: str, wanted: Callable[[str], object]) -> os.stat_result:
    """The stat of a file, or of the file that a link ends at."""
    path = f"{above}/{name}" if above else name
    status = folder.stat(path)
    return folder.stat(folder.resolve(path, wanted)) if stat.S_ISLNK(status.st_mode) else status


def _without_size(pages: Iterator[list[KnownFile]], path: str) -> Iterator[list[KnownFile]]:
    """What is known, so that the file at `path` is read again."""
    for page in pages:
        yield [(path, None, *row[2:]) if row[0] == path else row for row in page]


def _too_long(path: str) -> Unreadable:
    return Unreadable(path, f"its path is over {MAX_PATH} bytes")


def _outermost(paths: set[str]) -> Iterator[str]:
    """The paths that no other one leads to."""
    for path in paths:
        parts = path.split("/")
        if not any("/".join(parts[:size]) in paths for size in range(1, len(parts))):
            yield path


def _path_of(item: Differs | Missing | Unreadable) -> str:
    return item.file.path if isinstance(item, Differs) else item.path


def _may_be_folder(place: str) -> bool:
    """Whether a folder is there, or may have been."""
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return True
