"""Scan: a folder and what is known of it -> the files that differ.

A merge join: the walk yields paths in byte order (a folder sorts as its name and `/`), the known files come from the
store in the same order, so neither side is ever held in memory.
"""

from __future__ import annotations

import errno
import fnmatch
import heapq
import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from aggregator.model import KnownFile, Source, SourceFile
from aggregator.naming import escape_name, kept_mtime, unescape_path

_NO_STAT = (-1, 0)


MAX_PATH = 1500
"""Bytes of an escaped path; PostgreSQL indexes no key over some 2,700."""


@dataclass(frozen=True, slots=True)
class Differs:
    """A file to read; `digest` is that of the bytes that are stored, if any."""

    file: SourceFile
    digest: bytes | None


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
    source: Source, known: Iterator[KnownFile], count: Callable[[], None]
) -> Iterator[Differs | Missing | Unreadable]:
    """What differs between the folder of `source` and `known`, in byte order of paths.

    `known` must come in that order. `count` is called for every file seen. Raises FolderError before anything else.
    """
    return _join(walk_folder(source), known, count)


def scan_paths(
    source: Source, paths: Collection[str], known: Callable[[str], Iterator[KnownFile]], count: Callable[[], None]
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
        raise FolderError(error.strerror or type(error).__name__) from error
    parts = [_join(_walk_path(source.name, root, path, wanted), known(path), count) for path in _outermost(set(paths))]
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
    walk: Iterator[SourceFile | Unreadable], known: Iterator[KnownFile], count: Callable[[], None]
) -> Iterator[Differs | Missing | Unreadable]:
    """The merge join of what is there and what is known."""
    old = next(known, None)
    for found in walk:
        if isinstance(found, Unreadable):
            yield found
            while old is not None and old.path < found.path:
                yield from _missing(old)
                old = next(known, None)
            while old is not None and old.path.startswith(found.path):
                old = next(known, None)
            continue
        count()
        while old is not None and old.path < found.path:
            yield from _missing(old)
            old = next(known, None)
        if old is None or old.path != found.path:
            yield Differs(found, None)
            continue
        if old.recheck or old.gone or old.size != found.size or old.mtime_ns != found.mtime_ns:
            yield Differs(found, old.digest)
        old = next(known, None)
    while old is not None:
        yield from _missing(old)
        old = next(known, None)


def walk_folder(source: Source) -> Iterator[SourceFile | Unreadable]:
    """Every record file of `source`, in byte order of escaped paths, and the folders that cannot be read.

    Names that begin with a dot are skipped, linked folders are not walked, a linked file counts only if it ends inside
    the folder. Raises FolderError if the folder itself cannot be listed.
    """
    wanted = _name_filter(source.include)
    root = os.path.realpath(source.root)
    try:
        top = _list_folder(source.name, root, root, "", wanted)
    except OSError as error:
        raise FolderError(error.strerror or type(error).__name__) from error
    yield from _descend(source.name, root, top, wanted)


def _walk_path(source: str, root: str, path: str, wanted: Callable[[str], object]) -> Iterator[SourceFile | Unreadable]:
    """What `walk_folder` would yield at `path`, or below it if that is a folder."""
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
        yield Unreadable(path, error.strerror or type(error).__name__)
        return
    if is_folder:
        yield from _descend(source, root, [(place, path + "/")], wanted)
    elif len(path.encode()) > MAX_PATH:
        yield _too_long(path)
    elif wanted(name) and (seen := _stat_record(Path(place), root)) is not None:
        yield SourceFile(source, path, *seen)


def _descend(
    source: str, root: str, top: list[SourceFile | Unreadable | tuple[str, str]], wanted: Callable[[str], object]
) -> Iterator[SourceFile | Unreadable]:
    """The files and unreadable folders of a listing, and of all that is below it."""
    stack = [iter(top)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif not isinstance(item, tuple):
            yield item
        else:
            try:
                stack.append(iter(_list_folder(source, root, item[0], item[1], wanted)))
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Unreadable(item[1], error.strerror or type(error).__name__)


def _list_folder(
    source: str, root: str, folder: str, prefix: str, wanted: Callable[[str], object]
) -> list[SourceFile | Unreadable | tuple[str, str]]:
    """The files of one folder and its sub-folders as (path to open, escaped prefix), sorted."""
    found: list[tuple[str, SourceFile | Unreadable | tuple[str, str]]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            path = prefix + escape_name(name)
            if entry.is_dir(follow_symlinks=False):
                found.append((path + "/", (entry.path, path + "/")))
            elif len(path) > MAX_PATH // 4 and len(path.encode()) > MAX_PATH:
                found.append((path, _too_long(path)))
            elif wanted(name):
                seen = _stat_record(entry, root)
                if seen is not None:
                    found.append((path, SourceFile(source, path, *seen)))
    found.sort(key=_first)
    return [item for _, item in found]


def _stat_record(entry: os.DirEntry[str] | Path, root: str) -> tuple[int, int] | None:
    """Size and mtime of a regular file, through a link only if it ends inside `root`; None for all else.

    A file that is there and gives no stat has impossible ones, so that it is read, which says what is wrong with it.
    """
    try:
        if entry.is_symlink():
            target = os.path.realpath(entry)
            if not target.startswith(root.rstrip(os.sep) + os.sep):
                return None
            status = os.stat(target)
        else:
            status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return None if error.errno == errno.ELOOP else _NO_STAT
    return (status.st_size, kept_mtime(status)) if stat.S_ISREG(status.st_mode) else None


def _too_long(path: str) -> Unreadable:
    return Unreadable(path, f"its path is over {MAX_PATH} bytes")


def _path_of(item: Differs | Missing | Unreadable) -> str:
    return item.file.path if isinstance(item, Differs) else item.path


def _outermost(paths: set[str]) -> Iterator[str]:
    """The paths that no other one leads to."""
    for path in paths:
        parts = path.split("/")
        if not any("/".join(parts[:size]) in paths for size in range(1, len(parts))):
            yield path


def _may_be_folder(place: str) -> bool:
    """Whether a folder is there, or may have been."""
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return True


def _missing(known: KnownFile) -> Iterator[Missing]:
    if not known.gone:
        yield Missing(known.path)


def _name_filter(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A test of a file name against shell patterns; plain `*.ext` ones, the usual case, are a suffix test."""
    if all(pattern[:2] == "*." and not set("*?[") & set(pattern[1:]) for pattern in patterns):
        suffixes = tuple(pattern[1:] for pattern in patterns)
        return lambda name: name.endswith(suffixes)
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match


def _first(pair: tuple[str, object]) -> str:
    return pair[0]
