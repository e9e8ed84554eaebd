"""Scan: a folder and what is known of it -> the files that differ.

A merge join: the walk yields paths in byte order (a folder sorts as its name and `/`), the known files come from the
store in the same order, so neither side is ever held in memory; only the names of one folder are, some 80 bytes each.
Both come in batches, and batches that are equal are done with: most of a walk is one comparison of two lists.
"""

from __future__ import annotations

import errno
import fnmatch
import heapq
import os
import re
import stat
import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from aggregator.errors import ShortageError
from aggregator.model import KnownFile, Source, SourceFile
from aggregator.naming import escape_name, kept_mtime, unescape_path

BATCH = 1000
"""Files that are statted, and compared, at a time."""
MAX_PATH = 1500
"""Bytes of an escaped path; PostgreSQL indexes no key over some 2,700."""

_NO_STAT = (-1, 0)
_HAS_DIR_FD = os.stat in os.supports_dir_fd
_Found = tuple[str, int, int]
"""The escaped path of a file, its size and its mtime in ns."""


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

    The order is the same. `known` gives what is known at and below one path, in byte order. Raises FolderError before
    anything else.
    """
    wanted = _name_filter(source.include)
    root = os.path.realpath(source.root)
    try:
        os.scandir(root).close()
    except OSError as error:
        ShortageError.check(error)
        raise FolderError(error.strerror or type(error).__name__) from error
    parts = [_join(source, _walk_path(root, path, wanted), known(path), count) for path in _outermost(set(paths))]
    yield from heapq.merge(*parts, key=_path_of)


def path_locator(source: Source) -> Callable[[str], str | None]:
    """Where something happened, by the real path of it: "" for the folder itself, else a path for `scan_paths`; None
    where no scan would look, such as a file that `source` does not include."""
    wanted = _name_filter(source.include)
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

    Names that begin with a dot are skipped, linked folders are not walked, a linked file counts only if it ends inside
    the folder. Raises FolderError if the folder itself cannot be listed.
    """
    for found in _walk(source):
        if isinstance(found, Unreadable):
            yield found
        else:
            yield from (SourceFile(source.name, *one) for one in found)


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
    for one in found:
        yield from stored.missing_before(one[0])
        old = stored.next()
        known = old is not None and old[0] == one[0]
        if old != one:
            yield Differs(SourceFile(source.name, *one), known)
        if known:
            stored.advance()


class _Listing(NamedTuple):
    """The escaped names in one folder, sorted: those of `files`, and of `folders` with a slash, or without one where
    the path is too long. `odd` are the files that stand escaped, and what is no file, such as a link."""

    place: str
    prefix: str
    files: list[str]
    folders: list[str]
    odd: set[str]


def _walk(source: Source) -> Iterator[list[_Found] | Unreadable]:
    """Every record file in byte order of paths, in batches that are never empty, and the folders that cannot be read.
    Raises FolderError."""
    wanted = _name_filter(source.include)
    root = os.path.realpath(source.root)
    try:
        top = _list_folder(root, "", wanted)
    except OSError as error:
        ShortageError.check(error)
        raise FolderError(error.strerror or type(error).__name__) from error
    yield from _descend(_walk_listing(top, root), root, wanted)


def _walk_path(root: str, path: str, wanted: Callable[[str], object]) -> Iterator[list[_Found] | Unreadable]:
    """What a walk would yield at `path`, or below it if that is a folder."""
    place = os.path.join(root, unescape_path(path))
    folder, name = os.path.split(place)
    if any(part.startswith(".") for part in path.split("/")) or os.path.realpath(folder) != folder:
        return
    try:
        is_folder = stat.S_ISDIR(os.lstat(place).st_mode)
        if sys.platform != "linux" and name not in os.listdir(folder):  # where `A` opens `a`, there are not two files
            return
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        ShortageError.check(error)
        yield Unreadable(path, error.strerror or type(error).__name__)
        return
    above, _, escaped = path.rpartition("/")
    if is_folder:
        yield from _descend(iter([(place, path + "/")]), root, wanted)
    elif len(path.encode()) > MAX_PATH:
        yield _too_long(path)
    elif wanted(name):
        listing = _Listing(folder, above and above + "/", [escaped], [], {escaped})
        yield from _stat_batches(listing, 0, 1, root)


def _descend(
    top: Iterator[list[_Found] | Unreadable | tuple[str, str]], root: str, wanted: Callable[[str], object]
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
                stack.append(_walk_listing(_list_folder(*item, wanted), root))
            except FileNotFoundError:
                continue
            except OSError as error:
                ShortageError.check(error)
                yield Unreadable(item[1], error.strerror or type(error).__name__)


def _list_folder(place: str, prefix: str, wanted: Callable[[str], object]) -> _Listing:
    files, folders, odd = [], [], set()
    room = MAX_PATH // 4 - len(prefix)  # characters that are surely no more bytes than there may be
    with os.scandir(place) as entries:
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


def _walk_listing(listing: _Listing, root: str) -> Iterator[list[_Found] | Unreadable | tuple[str, str]]:
    """The files of one folder in batches, and in their places its sub-folders as (path to open, escaped prefix)."""
    start = 0
    for name in listing.folders:
        end = bisect_left(listing.files, name, start)
        yield from _stat_batches(listing, start, end, root)
        path, start = listing.prefix + name, end
        if name[-1] == "/":
            yield os.path.join(listing.place, unescape_path(name[:-1])), path
        else:
            yield _too_long(path)
    yield from _stat_batches(listing, start, len(listing.files), root)


def _stat_batches(listing: _Listing, start: int, end: int, root: str) -> Iterator[list[_Found]]:
    for first in range(start, end, BATCH):
        if found := _stat_files(listing, listing.files[first : min(end, first + BATCH)], root):
            yield found


def _stat_files(listing: _Listing, names: list[str], root: str) -> list[_Found]:
    """The regular files of these names, links among them only where they end inside `root`.

    A file that is there and gives no stat has an impossible one, so that it is read, which says what is wrong with it.
    """
    found = []
    prefix, odd = listing.prefix, listing.odd
    read_stat, is_regular = os.stat, stat.S_ISREG  # looked up once, and not for each of very many
    with _opened(listing.place) as (above, folder):
        for name in names:
            try:
                if odd and name in odd:
                    status = _stat_odd(os.path.join(listing.place, unescape_path(name)), root)
                else:
                    status = read_stat(above + name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.ELOOP:
                    found.append((prefix + name, *_NO_STAT))
                continue
            if is_regular(status.st_mode):
                found.append((prefix + name, status.st_size, kept_mtime(status)))
    return found


def _stat_odd(path: str, root: str) -> os.stat_result:
    """The stat of a file, through a link only if it ends inside `root`."""
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return status
    target = os.path.realpath(path)
    if not target.startswith(root.rstrip(os.sep) + os.sep):
        raise FileNotFoundError(errno.ENOENT, "not in the folder", path)
    return os.stat(target)


@contextmanager
def _opened(place: str) -> Iterator[tuple[str, int | None]]:
    """What to stat names of a folder with: what goes before them, and a descriptor to look them up from, which saves
    the way there."""
    folder = None
    if _HAS_DIR_FD:
        with suppress(OSError):  # the stats say what is wrong
            folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield os.path.join(place, "") if folder is None else "", folder
    finally:
        if folder is not None:
            os.close(folder)


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


def _name_filter(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A test of a file name against shell patterns; plain `*.ext` ones, the usual case, are a suffix test."""
    if all(pattern[:2] == "*." and not set("*?[") & set(pattern[1:]) for pattern in patterns):
        suffixes = tuple(pattern[1:] for pattern in patterns)
        return lambda name: name.endswith(suffixes)
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
