"""The output folder: the manifest that it has, and publishing into it.

Our files are those that the manifest or the journal names. Any other file is left alone; where a document belongs, it
is an obstacle. A problem of one file or folder costs its feed; a problem of the whole folder is a PublishError.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from aggregator.concurrency.processes import PROGRESS
from aggregator.concurrency.threads import Threads
from aggregator.errors import PublishError, ShortageError
from aggregator.output.destination import Destination, InTheWayError, PlaceError, Staged, State, tried
from aggregator.output.journal import Journal
from aggregator.output.manifest import JOURNAL_PATH, MANIFEST_PATH, MARK_PATH, OWN_FOLDER, Manifest, ManifestEntry
from aggregator.output.obstacles import reason
from aggregator.output.publisher import Publisher
from aggregator.output.tree import Tree

LOCK_WAIT_S = 30
WRITE_THREADS = 8
"""Threads that write and sync documents while the next ones are rendered; the file system flushes several at a time.
They are started once in a process, and publishing continues without them."""
MAX_WRITING, MAX_WRITING_BYTES = 64, 32_000_000
"""Most documents that wait for these threads, and most bytes of them."""
_STAGING = f"{OWN_FOLDER}/staging"
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_Stamp = tuple[int, int, int]
"""Inode, mtime_ns and size of the manifest; a replaced file has another one."""


class OutputFolder(Publisher):
    """The folder that feeds are published in."""

    compare_every_s = 60.0
    compares_with_scans = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path: Path = path
        self._stamp: _Stamp | None = None

    def is_unchanged(self) -> bool:
        return self._stamp is not None and self._stamp == self._read_stamp()

    def is_marked(self, token: str | None) -> bool:
        try:
            with Tree(self.path) as tree:
                return token is not None and tree.read(MARK_PATH) == _mark(tree, token)
        except OSError:
            return False

    def _read_manifest(self) -> bytes | None:
        self._stamp = self._read_stamp()
        try:
            with Tree(self.path) as tree:
                return tree.read(MANIFEST_PATH) or b""
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._stamp = None
            raise PublishError(f"{self.path / MANIFEST_PATH} cannot be read: {error.strerror or error}") from error

    @contextmanager
    def _opened(self, *, full: bool) -> Iterator[Destination]:  # noqa: ARG002 - a stat of each file needs no listing
        folder = self.path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                tree = stack.enter_context(Tree(folder))
                if tree.kind(OWN_FOLDER) not in (None, stat.S_IFDIR):
                    raise PublishError(f"{folder / OWN_FOLDER} must be a folder, and is a file or a link; move it away")
                tree.make_folder(OWN_FOLDER)
                stack.enter_context(_locked(folder))
                before, raw = self.manifest(), None
                with suppress(FileNotFoundError):
                    raw = tree.read(JOURNAL_PATH)
                yield _OpenFolder(self.path, tree, before, Journal(raw, self._remembered))
                self._stamp = self._read_stamp()
        except OSError as error:
            # an error of a single document is a problem of its feed; relative names are our own files
            path = Path(error.filename) if os.path.isabs(error.filename or "") else folder / OWN_FOLDER
            raise PublishError(reason(path, "written", error, folder)) from error

    def _read_stamp(self) -> _Stamp | None:
        try:
            status = os.stat(self.path / MANIFEST_PATH)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


class _OpenFolder(Destination):
    """The locked folder. Readers see all new documents within moments, because all are renamed in one pass."""

    may_stop_anywhere = False

    def __init__(self, root: Path, tree: Tree, before: Manifest, journal: Journal) -> None:
        super().__init__(before, journal)
        self._root, self._tree = root, tree
        self._staging = tree
        self._writing: deque[tuple[Future[None], int]] = deque()  # each with its bytes
        self._writing_bytes = 0

    def mark(self, token: str) -> None:
        mark = _mark(self._tree, token)
        with suppress(FileNotFoundError):
            if self._tree.read(MARK_PATH) == mark:
                return
        self._tree.replace(MARK_PATH, mark)

    def has(self, path: str) -> bool:
        try:
            return self._tree.kind(path) == stat.S_IFREG
        except OSError:  # the folder is a file, or not accessible; writing the document reports that
            return False

    def compare(self, path: str, body: bytes, entry: ManifestEntry) -> tuple[State, ManifestEntry]:
        with self._explained(path, "written"):
            kind = self._tree.kind(path)
            if kind is None:
                return State.ABSENT, entry
            if kind == stat.S_IFREG and self._has_bytes(path, body):
                return State.SAME, entry
            return State.OURS if self._is_ours(path, kind) else State.FOREIGN, entry

    @contextmanager
    def staging(self) -> Iterator[None]:
        self._tree.remove_all(_STAGING)
        self._tree.make_folder(_STAGING)
        try:
            with self._tree.subtree(_STAGING) as self._staging:
                try:
                    yield
                finally:
                    while self._writing:  # after an error, or a stop
                        with suppress(Exception):
                            self._finish_oldest()
        finally:
            self._tree.remove_all(_STAGING)

    def stage(self, name: str, body: bytes) -> None:
        try:
            self._writing.append((_writers().submit(self._staging.write, name, body), len(body)))
        except ShortageError:  # not even one thread
            self._staging.write(name, body)
            return
        self._writing_bytes += len(body)
        while len(self._writing) > MAX_WRITING or self._writing_bytes > MAX_WRITING_BYTES:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        """Waits until the document that was staged first is written."""
        writing, size = self._writing.popleft()
        self._writing_bytes -= size
        _writers().help(writing)

    def begin(self, staged: Sequence[Staged]) -> None:
        while self._writing:
            self._finish_oldest()
            PROGRESS.show()
        # the bytes of other files are compared, so the journal need not name them
        self.journal.begin(
            (document.path, document.entry) for document in staged if document.path not in self.before.files
        )
        self._store_journal()

    def place(self, staged: Iterable[Staged]) -> Iterator[tuple[Staged, ManifestEntry | PlaceError]]:
        for document in staged:
            yield document, tried(self._place, document)

    def delete(self, paths: Iterable[str]) -> Iterator[tuple[str, PlaceError | None]]:
        for path in paths:
            yield path, tried(self._delete, path)

    def replace_manifest(self, body: bytes) -> None:
        self._tree.replace(MANIFEST_PATH, body)

    def complete(self, files: Mapping[str, ManifestEntry]) -> None:
        self.journal.forget(files)
        self._store_journal()

    def _store_journal(self) -> None:
        if self.journal.is_stored:
            return
        if self.journal.paths():
            self._tree.replace(JOURNAL_PATH, self.journal.encode())
        else:
            self._tree.remove(JOURNAL_PATH)

    def _has_bytes(self, path: str, body: bytes) -> bool:
        try:
            return self._tree.read(path, size=len(body)) == body
        except PermissionError:
            return False

    def _is_ours(self, path: str, kind: int) -> bool:
        """True if the file at the path may be replaced or deleted: the manifest names it, or an unfinished publish
        wrote it."""
        if path in self.before.files:
            return kind != stat.S_IFDIR
        if path not in self.journal or kind != stat.S_IFREG:
            return False
        body = self._tree.read(path)
        return body is not None and self.journal.has_begun(path, body)

    def _place(self, staged: Staged) -> ManifestEntry:
        path = staged.path
        with self._explained(path, "written"):
            self._tree.make_folder(path.rpartition("/")[0])
            if staged.is_new and self._tree.kind(path) is not None:  # created since the comparison
                raise InTheWayError(path)
            self._tree.take(self._staging, staged.name, path, staged.entry.modified)
        return staged.entry

    def _delete(self, path: str) -> None:
        """Deletes our file, and folders that are empty afterwards."""
        try:
            kind = self._tree.kind(path)
            if kind is not None and self._is_ours(path, kind):
                self._tree.remove(path)
        except OSError as error:
            if error.errno in _SHORTAGE:
                raise
            if error.errno not in _NO_FOLDER:  # otherwise the file does not exist
                raise PlaceError(reason(self._root / path, "deleted", error, self._root)) from error
        with suppress(OSError):
            while path := path.rpartition("/")[0]:
                self._tree.remove_folder(path)

    @contextmanager
    def _explained(self, path: str, action: str) -> Iterator[None]:
        """Turns errors about the place of one document into PlaceError."""
        try:
            yield
        except OSError as error:
            if error.errno in _SHORTAGE:
                raise
            if error.errno in _NO_FOLDER and (foreign := self._foreign_parent(path)):
                raise InTheWayError(foreign) from error
            raise PlaceError(reason(self._root / path, action, error, self._root)) from error

    def _foreign_parent(self, path: str) -> str | None:
        """The part of a path that should be a folder and is not."""
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((folder for folder in folders if self._tree.kind(folder) not in (None, stat.S_IFDIR)), None)


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Locks the folder until the end of the block."""
    lock = folder / OWN_FOLDER / "lock"
    try:
        return FileLock(lock, timeout=LOCK_WAIT_S).acquire()
    except Timeout:
        raise PublishError(f"another process has been writing to {folder} for more than {LOCK_WAIT_S} s") from None
    except OSError as error:
        if error.filename:
            raise
        raise PublishError(reason(lock, "locked", error, folder)) from error


@cache
def _writers() -> Threads:
    return Threads(WRITE_THREADS)


def _mark(tree: Tree, token: str) -> bytes:
    """The token, and the inode of OWN_FOLDER, by which a copy of the folder differs."""
    return f"{token} {tree.inode(OWN_FOLDER)}".encode()
