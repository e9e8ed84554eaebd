"""Reads and writes below a folder through its descriptor, so that no link in it leads elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from aggregator.paths import open_beneath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# a pipe in place of a file must not block
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """An open folder. Paths are relative to it and POSIX; no link below it is followed.

    All methods raise OSError. The descriptor of the last folder stays open, because the documents of a feed follow each
    other.
    """

    def __init__(self, descriptor: int) -> None:
        self._root = descriptor
        self._last: tuple[str, int | None] = ("", descriptor)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The folder at a path, which may be a link, because the operator chooses it."""
        return cls(os.open(path, _FOLDER))

    def subtree(self, path: str) -> Tree:
        """A folder below this one, as a tree."""
        return Tree(open_beneath(self._root, path, _FOLDER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_last()
        os.close(self._root)

    def kind(self, path: str) -> int | None:
        """The kind of file at a path, by `stat.S_IFMT`; None if there is none."""
        folder, _, name = path.rpartition("/")
        try:
            return stat.S_IFMT(os.stat(name, dir_fd=self._folder(folder), follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return None

    def inode(self, path: str) -> int:
        """The inode of a file or folder."""
        folder, name = _split(path)
        return os.stat(name, dir_fd=self._folder(folder), follow_symlinks=False).st_ino

    def read(self, path: str, *, size: int | None = None) -> bytes | None:
        """The bytes of a regular file; None for another kind of file, or a size other than `size`."""
        folder, name = _split(path)
        return _read(name, self._folder(folder), size)

    def write(self, path: str, body: bytes) -> None:
        """Writes a new file to the disk. Thread-safe for paths without a folder. Raises FileExistsError."""
        folder, name = _split(path)
        descriptor = os.open(name, _NEW, 0o666, dir_fd=self._folder(folder))
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(body)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(descriptor)

    def replace(self, path: str, body: bytes) -> None:
        """Writes a file so that the path has either all old or all new bytes, also after a crash."""
        folder, name = _split(path)
        waiting = f"{folder}/.{name}.new" if folder else f".{name}.new"
        self.remove(waiting)  # left by a crash
        try:
            self.write(waiting, body)
            at = self._folder(folder)
            os.replace(f".{name}.new", name, src_dir_fd=at, dst_dir_fd=at)
        except OSError:
            with suppress(OSError):
                self.remove(waiting)
            raise

    def take(self, other: Tree, name: str, path: str, modified: int) -> None:
        """Moves a file of another tree to the path, replacing what is there; its mtime is `modified` (seconds since
        1970), or now if that is 0. Copies between file systems."""
        folder, target = _split(path)
        times = (modified, modified) if modified else None
        try:
            os.utime(name, times, dir_fd=other._root)
            os.replace(name, target, src_dir_fd=other._root, dst_dir_fd=self._folder(folder))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self.replace(path, _read(name, other._root, None) or b"")
            os.utime(target, times, dir_fd=self._folder(folder))

    def make_folder(self, path: str) -> None:
        """Makes a folder and its missing parents."""
        if self._last[1] is None:
            self._close_last()
        try:
            self._folder(path)
        except FileNotFoundError:
            above, name = _split(path)
            self.make_folder(above)
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._folder(above))

    def remove(self, path: str) -> None:
        """Deletes a file or a link, if there is one."""
        folder, name = _split(path)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder(folder))

    def remove_all(self, path: str) -> None:
        """Deletes a folder with its content, or the file in its place. Ignores errors."""
        folder, name = _split(path)
        with suppress(OSError):
            shutil.rmtree(name, ignore_errors=True, dir_fd=self._folder(folder))
            self.remove(path)

    def remove_folder(self, path: str) -> None:
        """Deletes an empty folder."""
        above, name = _split(path)
        os.rmdir(name, dir_fd=self._folder(above))

    def _folder(self, path: str) -> int:
        """The descriptor of a folder, open until the next call. Also caches that a folder is missing."""
        known, descriptor = self._last
        if path == known and descriptor is not None:
            return descriptor
        if path != known:
            self._close_last()
            if not path:
                return self._root
            try:
                descriptor = open_beneath(self._root, path, _FOLDER)
            except FileNotFoundError:
                descriptor = None
            self._last = path, descriptor
        if descriptor is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return descriptor

    def _close_last(self) -> None:
        if self._last[0] and self._last[1] is not None:
            os.close(self._last[1])
        self._last = "", self._root


def _split(path: str) -> tuple[str, str]:
    """The folder of a path ("" is the tree itself), and the name in it."""
    folder, _, name = path.rpartition("/")
    return folder, name


def _read(name: str, folder: int, size: int | None) -> bytes | None:
    descriptor = os.open(name, _READ, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or size not in (None, status.st_size):
            return None
        return file.read()
