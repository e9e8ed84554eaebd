"""Paths below a folder, opened part by part from its descriptor.

What is opened is what was checked: a link in any part is refused by the system itself, so no exchange of files or
folders by rename, however quick, leads out of the folder.
"""

from __future__ import annotations

import codecs
import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Self
from urllib.parse import unquote_to_bytes

HAS_DIR_FD = {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd
"""Whether the system opens files relative to a folder; where it does not (Windows), `Folder` checks and then opens."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The errors of a path that leads to nothing, or to nothing without a link."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_PASSED = _FOLDER | getattr(os, "O_PATH", 0) | _NO_LINK
"""Opens a folder on the way, which need not be readable."""
_KEPT = 32
"""Folders on the way to the last file that stay open."""


def open_beneath(root_fd: int, path: str, flags: int, mode: int = 0o666) -> int:
    """A descriptor of what is at `path`, relative to the folder `root_fd`.

    Raises OSError: ELOOP or ENOTDIR where a part is a link, EXDEV where `path` is absolute or goes up.
    """
    with _parent(root_fd, path) as (folder, name):
        return os.open(name, flags | _NO_LINK, mode, dir_fd=folder)


def stat_beneath(root_fd: int, path: str) -> os.stat_result:
    """The stat of what is at `path`, relative to the folder `root_fd`: of a link itself, never of its target.

    Raises the same errors as `open_beneath`.
    """
    with _parent(root_fd, path) as (folder, name):
        return os.lstat(name, dir_fd=folder)


class Folder:
    """A folder, held open to open what is below it. Paths are relative and have slashes; "" is the folder itself.

    Keeps open the way to what was opened last, because neighbours are mostly opened one after another.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._fd = os.open(self.root, _FOLDER) if HAS_DIR_FD else None
        self._way: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._shorten("/")
        if self._fd is not None:
            os.close(self._fd)

    def enter(self, path: str) -> tuple[str, int | None]:
        """How to name what is in the folder at `path`: what goes before a name, and its `dir_fd`.

        Both hold until the next call of a method but `stat`. Raises NotADirectoryError if a part of `path` is a link.
        """
        if self._fd is None:
            return os.path.join(self._checked(path), ""), None
        self._shorten(path)
        above, folder = self._way[-1] if self._way else ("", self._fd)
        for part in _parts(path[len(above) :].lstrip("/")) if path != above else ():
            above = f"{above}/{part}" if above else part
            folder = _open_folder(part, folder)
            self._way.append((above, folder))
            if len(self._way) > _KEPT:
                os.close(self._way.pop(-2)[1])
        return "", folder

    def list(self, path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """What is in the folder at `path`."""
        before, folder = self.enter(path)
        return os.scandir(before if folder is None else folder)

    def open(self, path: str, flags: int) -> int:
        """A descriptor of the file at `path`. Raises OSError (ELOOP) if that is a link."""
        above, _, name = path.rpartition("/")
        before, folder = self.enter(above)
        if folder is None and stat.S_ISLNK(os.lstat(before + name).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(before + name, flags | _NO_LINK, dir_fd=folder)

    def stat(self, path: str) -> os.stat_result:
        """The stat of what is at `path`: of a link itself, never of its target."""
        if self._fd is not None:
            return stat_beneath(self._fd, path)
        above, _, name = path.rpartition("/")
        return os.lstat(os.path.join(self._checked(above), name))

    def resolve(self, path: str, is_wanted: Callable[[str], object]) -> str:
        """Where the link at `path` ends, as a path below this folder that has no links.

        Raises FileNotFoundError if that is outside, or if no scan would read it: a part of it begins with a dot, or its
        name is not wanted.
        """
        target = os.path.realpath(os.path.join(self.root, path))
        start = os.path.join(self.root, "")
        parts = target[len(start) :].split(os.sep)
        if not target.startswith(start) or any(part.startswith(".") for part in parts) or not is_wanted(parts[-1]):
            raise FileNotFoundError(errno.ENOENT, "not a record of the folder", path)
        return "/".join(parts)

    def _shorten(self, path: str) -> None:
        """Closes what is kept of the way but does not lead to `path`."""
        while self._way and path != self._way[-1][0] and not path.startswith(f"{self._way[-1][0]}/"):
            os.close(self._way.pop()[1])

    def _checked(self, path: str) -> str:
        """The full path of a folder, if no part of it is a link now."""
        full = os.path.join(self.root, *_parts(path)) if path else self.root
        if os.path.realpath(full) != full:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return full


@contextmanager
def _parent(root_fd: int, path: str) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that `path` is in, and its name there."""
    *folders, name = _parts(path)
    folder = root_fd
    try:
        for part in folders:
            above, folder = folder, os.open(part, _PASSED, dir_fd=folder)
            if above != root_fd:
                os.close(above)
        yield folder, name
    finally:
        if folder != root_fd:
            with suppress(OSError):
                os.close(folder)


def _open_folder(name: str, above: int) -> int:
    try:
        return os.open(name, _FOLDER | _NO_LINK, dir_fd=above)
    except OSError as error:
        if error.errno == errno.ELOOP:  # what a link gives here outside Linux; in `open` it stands for the file itself
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
        raise


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise OSError(errno.EXDEV, "not a path below the folder", path)
    return parts


_OLDEST_NS, _NEWEST = -(2**63), 2**63 - 1


def escape_name(name: str) -> str:
    """A file name as it stands in the store and in ids: `%` and bytes that are not UTF-8 as `%XX`."""
    if "%" not in name and (name.isascii() or _is_unicode(name)):
        return name
    raw = os.fsencode(name.replace("%", "%25"))
    return raw.decode("utf-8", "percent-bytes")


def unescape_path(path: str) -> str:
    """The path to open for an escaped one."""
    return os.fsdecode(unquote_to_bytes(path)) if "%" in path else path


def kept_stat(size: int, mtime_ns: int, ctime_ns: int, inode: int) -> tuple[int, int, int, int]:
    """The same numbers as 64 bits can hold them: a file may be dated beyond the year 2262."""
    if _OLDEST_NS <= mtime_ns <= _NEWEST and _OLDEST_NS <= ctime_ns <= _NEWEST and inode <= _NEWEST:
        return size, mtime_ns, ctime_ns, inode
    mtime_ns, ctime_ns = (max(_OLDEST_NS, min(one, _NEWEST)) for one in (mtime_ns, ctime_ns))
    return size, mtime_ns, ctime_ns, inode & _NEWEST


def record_filter(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], object]:
    """A test of whether a file of this name is a record, by shell patterns."""
    # plain `*.ext`, the usual case, is a suffix test
    if all(pattern[:2] == "*." and not set("*?[") & set(pattern[1:]) for pattern in include):
        is_included = _any_suffix(tuple(pattern[1:] for pattern in include))
    else:
        is_included = _any_pattern(include)
    if not exclude:
        return is_included
    is_excluded = _any_pattern(exclude)
    return lambda name: is_included(name) and not is_excluded(name)


def _any_suffix(suffixes: tuple[str, ...]) -> Callable[[str], object]:
    return lambda name: name.endswith(suffixes)


def _any_pattern(patterns: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """Decoding error handler: each bad byte as `%XX`."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in bad), error.end


codecs.register_error("percent-bytes", _escape_bytes)
