"""Reads and writes below a folder through its descriptor, so that no link in it leads elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress

from aggregator.paths import FOLDER, Folder

# a pipe in place of a file must not block
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree(Folder):
    """A folder that is written to. All methods raise OSError."""

    def __init__(self, path: str | os.PathLike[str], descriptor: int | None = None) -> None:
        # opened by the path that the operator knows, which an error names; it may be a link
        super().__init__(path, os.open(path, FOLDER) if descriptor is None else descriptor)

    def subtree(self, path: str) -> Tree:
        """A folder below this one, held open by itself, so that threads may write there."""
        return Tree(f"{self.root}/{path}", os.dup(self.enter(path)))

    def kind(self, path: str) -> int | None:
        """The kind of file at a path, by `stat.S_IFMT`; None if there is none."""
        folder, _, name = path.rpartition("/")
        try:
            return stat.S_IFMT(os.stat(name, dir_fd=self.enter(folder), follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return None

    def inode(self, path: str) -> int:
        """The inode of a file or folder."""
        folder, name = _split(path)
        return os.stat(name, dir_fd=self.enter(folder), follow_symlinks=False).st_ino

    def read(self, path: str, *, size: int | None = None) -> bytes | None:
        """The bytes of a regular file; None for another kind of file, or a size other than `size`."""
        folder, name = _split(path)
        return _read(name, self.enter(folder), size)

    def write(self, path: str, body: bytes) -> None:
        """Writes a new file to the disk. Thread-safe for paths without a folder. Raises FileExistsError."""
        folder, name = _split(path)
        descriptor = os.open(name, _NEW, 0o666, dir_fd=self.enter(folder))
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
            at = self.enter(folder)
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
            os.utime(name, times, dir_fd=other._fd)
            os.replace(name, target, src_dir_fd=other._fd, dst_dir_fd=self.enter(folder))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self.replace(path, _read(name, other._fd, None) or b"")
            os.utime(target, times, dir_fd=self.enter(folder))

    def make_folder(self, path: str) -> None:
        """Makes a folder and its missing parents."""
        try:
            self.enter(path)
        except FileNotFoundError:
            above, name = _split(path)
            self.enter("")  # a folder that is still open may have been deleted
            self.make_folder(above)
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self.enter(above))

    def remove(self, path: str) -> None:
        """Deletes a file or a link, if there is one."""
        folder, name = _split(path)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.enter(folder))

    def remove_all(self, path: str) -> None:
        """Deletes a folder with its content, or the file in its place. Ignores errors."""
        folder, name = _split(path)
        with suppress(OSError):
            shutil.rmtree(name, ignore_errors=True, dir_fd=self.enter(folder))
            self.remove(path)

    def remove_folder(self, path: str) -> None:
        """Deletes an empty folder."""
        above, name = _split(path)
        os.rmdir(name, dir_fd=self.enter(above))


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
