"""The files of a source in a folder: listed in byte order of paths, and read without leaving the folder."""

from __future__ import annotations

import errno
import os
import stat
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from aggregator.concurrency.processes import PROGRESS
from aggregator.errors import ShortageError
from aggregator.files import LISTED_BATCH, MAX_PATH, FileBytes, FolderError, Kind, Listed, ListedFile, Unreadable
from aggregator.files.index_files import listed_filter
from aggregator.model import SourceFile
from aggregator.paths import ABSENT, ListedFolder, clamped_stat, escape_name, unescape_path
from aggregator.settings import Source

READ_STEP = 16_384
_NO_STAT = (-1, 0, 0, 0)
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_FolderToList = tuple[str, str]
"""The path to open, and the escaped prefix of what is below it."""


class _Listing(NamedTuple):
    """The escaped names in one folder, sorted."""

    path: str  # relative to the folder of the source
    prefix: str  # the same escaped, with a slash at its end
    files: list[str]
    folders: list[str]  # with a slash at their end, or without one if the path is too long
    special: set[str]  # files with an escaped name, and files that are not regular, such as links


class FolderFiles:
    """The files of a folder, which is held open.

    Linked folders are not entered. A linked file counts only if its target is inside the folder and would count itself.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._is_record = source, listed_filter(source)
        try:
            self._folder = ListedFolder(source.root)
        except OSError as error:
            raise _folder_error(error) from error

    def __enter__(self) -> Self:
        self._folder.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.__exit__()

    def check(self) -> None:
        try:
            with self._folder.list(""):
                pass
        except OSError as error:
            raise _folder_error(error) from error

    def list_all(self) -> Listed:
        try:
            top = self._list_folder("", "")
        except OSError as error:
            raise _folder_error(error) from error
        yield from self._list_tree(self._split_listing(top))

    def list_at(self, path: str) -> Listed:
        real_path = unescape_path(path)
        above, _, name = real_path.rpartition("/")
        if any(part.startswith(".") for part in path.split("/")):
            return
        try:
            is_folder = stat.S_ISDIR(self._folder.stat(real_path).st_mode)
            if sys.platform != "linux":  # case-insensitive file systems: `A` and `a` are one file
                with self._folder.list(above) as entries:
                    if all(entry.name != name for entry in entries):
                        return
        except OSError as error:
            ShortageError.check(error)
            if error.errno not in ABSENT:
                yield Unreadable(path, _reason(error))
            return
        if is_folder:
            yield from self._list_tree(iter([(real_path, path + "/")]))
        elif len(path.encode()) > MAX_PATH:
            yield _too_long(path)
        elif self._is_record(real_path):
            prefix, slash, escaped = path.rpartition("/")
            yield from self._stat_batches(_Listing(above, prefix + slash, [escaped], [], {escaped}), 0, 1)

    def kind(self, path: str) -> Kind | None:
        try:
            mode = self._folder.stat(unescape_path(path)).st_mode
        except OSError:
            return None
        return "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"

    def index_names(self, folder: str) -> Iterator[str]:
        from aggregator.parse.hugo import INDEX_INITIALS, read_index_name

        languages, above = self._source.known_languages, unescape_path(folder.rstrip("/"))
        with self._folder.list(above) as entries:
            for entry in entries:
                name = entry.name
                if name[0] in INDEX_INITIALS and read_index_name(name, languages):
                    if entry.is_symlink():
                        try:
                            self._folder.resolve(f"{above}/{name}" if above else name, self._is_record)
                        except FileNotFoundError:
                            continue
                    elif not entry.is_file(follow_symlinks=False):
                        continue
                    yield name

    def read(self, file: SourceFile, most: int) -> FileBytes:
        descriptor = self._open(unescape_path(file.path))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            # the expected size first: a buffer of the largest size costs more than parsing
            raw = os.read(descriptor, min(status.st_size + 1, most))
            while len(raw) < most and (more := os.read(descriptor, min(READ_STEP, most - len(raw)))):
                raw += more
        finally:
            os.close(descriptor)
        seen = clamped_stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        return raw, file if seen == file[2:] else SourceFile(file.source, file.path, *seen)

    def read_ahead(self, files: Iterable[SourceFile], most: int) -> Iterator[FileBytes | OSError]:
        for file in files:
            try:
                yield self.read(file, most)
            except OSError as error:
                yield error

    def _open(self, path: str) -> int:
        """A descriptor of the file at `path`, or of the target of a link there, if a scan would read that."""
        try:
            return self._folder.open(path, _OPEN_FLAGS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return self._folder.open(self._folder.resolve(path, self._is_record), _OPEN_FLAGS)

    def _list_tree(self, top: Iterator[list[ListedFile] | Unreadable | _FolderToList]) -> Listed:
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
                    stack.append(self._split_listing(self._list_folder(*item)))
                except OSError as error:
                    ShortageError.check(error)
                    if error.errno not in ABSENT:  # else it was removed, or replaced by a link, meanwhile
                        yield Unreadable(item[1], _reason(error))

    def _list_folder(self, path: str, prefix: str) -> _Listing:
        PROGRESS.show()
        files, folders, special = [], [], set()
        is_record_name = self._is_record.of_names(path)
        surely_short = MAX_PATH // 4 - len(prefix)  # a character has at most four bytes
        with self._folder.list(path) as entries:
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

    def _split_listing(self, listing: _Listing) -> Iterator[list[ListedFile] | Unreadable | _FolderToList]:
        """The files of one folder in batches, and between them its sub-folders."""
        start = 0
        above = listing.path and f"{listing.path}/"
        for name in listing.folders:
            end = bisect_left(listing.files, name, start)
            yield from self._stat_batches(listing, start, end)
            path, start = listing.prefix + name, end
            if name[-1] == "/":
                yield above + unescape_path(name[:-1]), path
            else:
                yield _too_long(path)
        yield from self._stat_batches(listing, start, len(listing.files))

    def _stat_batches(self, listing: _Listing, start: int, end: int) -> Iterator[list[ListedFile]]:
        for first in range(start, end, LISTED_BATCH):
            if batch := self._stat_files(listing, listing.files[first : min(end, first + LISTED_BATCH)]):
                yield batch

    def _stat_files(self, listing: _Listing, names: list[str]) -> list[ListedFile]:
        """The regular files with these names, and the links to files that a scan would read.

        A file whose stat fails gets an impossible stat, so it is read, and the read reports the error.
        """
        files: list[ListedFile] = []
        prefix, special = listing.prefix, listing.special
        try:
            folder_fd = self._folder.enter(listing.path)
        except OSError as error:
            return [] if error.errno in ABSENT else [(prefix + name, *_NO_STAT) for name in names]
        for name in names:
            try:
                if special and name in special:
                    status = self._stat_special(listing.path, unescape_path(name))
                else:
                    status = os.lstat(name, dir_fd=folder_fd)
            except OSError as error:
                if error.errno not in ABSENT:
                    files.append((prefix + name, *_NO_STAT))
                continue
            if stat.S_ISREG(status.st_mode):
                files.append((prefix + name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        return files

    def _stat_special(self, above: str, name: str) -> os.stat_result:
        """The stat of a file, or of the target of a link."""
        path = f"{above}/{name}" if above else name
        status = self._folder.stat(path)
        if stat.S_ISLNK(status.st_mode):
            return self._folder.stat(self._folder.resolve(path, self._is_record))
        return status


def _folder_error(error: OSError) -> FolderError:
    ShortageError.check(error)
    return FolderError(_reason(error), is_missing=error.errno in ABSENT)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _too_long(path: str) -> Unreadable:
    return Unreadable(path, f"its path is over {MAX_PATH} bytes", "shorten it")
