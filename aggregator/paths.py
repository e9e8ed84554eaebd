"""Paths below a folder: opened part by part from its descriptor, and how their names and stats are stored.

The system itself refuses a link in any part. So what was checked is what is opened, and no file or folder that is
exchanged meanwhile leads out of the folder.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Self
from urllib.parse import unquote_to_bytes

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The errors of a path without a file, or with a link in it."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY
"""Opens a folder."""
_PARENT = FOLDER | getattr(os, "O_PATH", 0) | os.O_NOFOLLOW
"""Opens a parent folder, which on Linux need not be readable."""
_MAX_OPEN = 32
"""Parent folders of the last file that stay open."""
_RAW_BYTE = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, as `os.fsdecode` returns it."""
_OLDEST_NS, _NEWEST = -(2**63), 2**63 - 1


def is_bucket_url(path: str) -> bool:
    """Whether a path of the config is the URL of a bucket."""
    return path.startswith("s3://")


def file_identity(path: str | None) -> tuple[int, int] | None:
    """Device and inode of the file or folder at `path`; None if nothing is there. Raises OSError if that is unknown."""
    try:
        status = os.stat(path or "")
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return status.st_dev, status.st_ino


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of a regular file. Raises OSError, also for one of over `most` bytes, and for anything else: a pipe
    would block, and a device may have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is over {most:,} bytes")
    return content


class Folder:
    """A folder that is held open. Paths below it are relative and have slashes; "" is the folder itself.

    The parent folders of the last file stay open, because neighbours are mostly opened one after another. On Linux they
    need not be readable.
    """

    _flags = _PARENT

    def __init__(self, root: str | os.PathLike[str], descriptor: int | None = None) -> None:
        """`descriptor` is of the folder, if it is open already."""
        self.root = os.path.realpath(root)
        self._fd = os.open(self.root, FOLDER) if descriptor is None else descriptor
        self._parents: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_parents("/")
        os.close(self._fd)

    def enter(self, path: str) -> int:
        """A descriptor of the folder at `path`, which stays open until the next call of a method other than `stat`.

        Raises OSError: NotADirectoryError if a part of `path` is a link, EXDEV if it is absolute or contains `..`.
        """
        self._close_parents(path)
        above, folder = self._parents[-1] if self._parents else ("", self._fd)
        if path == above:
            return folder
        for part in _parts(path[len(above) + 1 :] if above else path):
            above = f"{above}/{part}" if above else part
            folder = self._open_folder(part, folder)
            self._parents.append((above, folder))
            if len(self._parents) > _MAX_OPEN:
                os.close(self._parents.pop(-2)[1])
        return folder

    def open(self, path: str, flags: int) -> int:
        """A descriptor of the file at `path`.

        Raises OSError: ELOOP if it is a link, and those of `enter`.
        """
        *_, name = _parts(path)
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=self.enter(path.rpartition("/")[0]))

    def stat(self, path: str) -> os.stat_result:
        """The stat of the file at `path`: of a link itself, never of its target."""
        *folders, name = _parts(path)
        folder = self._fd
        try:
            for part in folders:
                above, folder = folder, os.open(part, _PARENT, dir_fd=folder)
                if above != self._fd:
                    os.close(above)
            return os.lstat(name, dir_fd=folder)
        finally:
            if folder != self._fd:
                os.close(folder)

    def resolve(self, path: str, is_allowed: Callable[[str], object]) -> str:
        """The target of the link at `path`, as a path below this folder without links.

        Raises FileNotFoundError if the target is outside, if a part of it begins with a dot, or if its path is not
        allowed.
        """
        target = os.path.realpath(os.path.join(self.root, path))
        start = os.path.join(self.root, "")
        parts = target[len(start) :].split(os.sep)
        found = "/".join(parts)
        if not target.startswith(start) or any(part.startswith(".") for part in parts) or not is_allowed(found):
            raise FileNotFoundError(errno.ENOENT, "not a file of the folder", path)
        return found

    def _open_folder(self, name: str, above: int) -> int:
        try:
            return os.open(name, self._flags, dir_fd=above)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a linked folder, outside Linux; of `open` it means a linked file
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
            raise

    def _close_parents(self, path: str) -> None:
        """Closes the open folders that are not parents of `path`."""
        while self._parents and path != self._parents[-1][0] and not path.startswith(f"{self._parents[-1][0]}/"):
            os.close(self._parents.pop()[1])


class ListedFolder(Folder):
    """A folder whose folders are listed, so each of them must be readable."""

    _flags = FOLDER | os.O_NOFOLLOW

    def list(self, path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The entries of the folder at `path`."""
        return os.scandir(self.enter(path))


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise OSError(errno.EXDEV, "not a path below the folder", path)
    return parts


def escape_name(name: str) -> str:
    """A file name as stored and used in ids: `%` and bytes that are not UTF-8 become `%XX`."""
    if "%" not in name and (name.isascii() or not _RAW_BYTE.search(name)):
        return name
    text = os.fsencode(name.replace("%", "%25")).decode("utf-8", "surrogateescape")
    return _RAW_BYTE.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def unescape_path(path: str) -> str:
    """The real path of an escaped path."""
    return os.fsdecode(unquote_to_bytes(path)) if "%" in path else path


def clamped_stat(size: int, mtime_ns: int, ctime_ns: int, inode: int) -> tuple[int, int, int, int]:
    """The numbers of a stat within 64 bits: a file may be dated beyond the year 2262."""
    if _OLDEST_NS <= mtime_ns <= _NEWEST and _OLDEST_NS <= ctime_ns <= _NEWEST and inode <= _NEWEST:
        return size, mtime_ns, ctime_ns, inode
    mtime_ns, ctime_ns = (max(_OLDEST_NS, min(time_ns, _NEWEST)) for time_ns in (mtime_ns, ctime_ns))
    return size, mtime_ns, ctime_ns, inode & _NEWEST
