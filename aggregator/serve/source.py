"""Where served files come from: an output folder, or an output bucket. Everything here blocks."""

from __future__ import annotations

import errno
import math
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from aggregator.buckets import Bucket, BucketUrl, open_quick_bucket
from aggregator.documents import is_archive_page
from aggregator.errors import BucketAwayError, BucketError, ShortageError
from aggregator.output.manifest import MANIFEST_PATH, ManifestEntry
from aggregator.paths import Folder

# Of files that the program did not write.
FOREIGN_MAX_BYTES = 16 * 1024 * 1024
PARALLEL = 16
"""Requests to a bucket at a time, when files are read ahead."""
_AWAY_S = 5.0
"""How long a bucket that gave no answer is asked for no document; otherwise each request would wait for it."""
_READ = os.O_RDONLY | os.O_NONBLOCK  # a pipe in the folder must not block a thread
_T = TypeVar("_T")


class FileFacts(NamedTuple):
    """What is known of a file without its bytes."""

    size: int
    mtime_ns: int


class Content(NamedTuple):
    """The bytes of a file."""

    body: bytes
    facts: FileFacts


class FoundManifest(NamedTuple):
    """The bytes of a manifest. Another one has another stamp."""

    stamp: Hashable
    raw: bytes


class OpenSource(ABC):
    """A source while files are read from it."""

    @abstractmethod
    def manifest(self, known: Hashable) -> FoundManifest | None:
        """The manifest; None if its stamp is `known`. Raises FileNotFoundError, OSError or BucketError."""

    @abstractmethod
    def facts(self, path: str, entry: ManifestEntry) -> FileFacts | None:
        """The facts of a document; None if it is not there."""

    @abstractmethod
    def contents(self, paths: Iterable[str]) -> Iterator[tuple[str, Content | None]]:
        """The paths, each with its content if it can be read."""


class DocumentSource(ABC):
    """A folder or a bucket."""

    poll_s: float
    """How often another process asks whether something was published."""
    read_ahead: float
    """Most files that are read before somebody asks for them."""
    max_waiting: float
    """Most requests that wait for files that are not in memory; more of them are refused."""
    has_others: bool
    """Whether files of others are served too."""

    def __init__(self, where: str) -> None:
        self.where = where

    @abstractmethod
    def opened(self) -> AbstractContextManager[OpenSource]:
        """The source, to read several files."""

    @abstractmethod
    def exists(self) -> bool:
        """False if a folder is missing as a whole, such as an unmounted disk."""

    @abstractmethod
    def document(self, path: str) -> Content | None:
        """The content of a document; None if it cannot be read."""

    @abstractmethod
    def other(self, path: str) -> Content | None:
        """The content of a file that no snapshot lists: an archive page, or in a folder a foreign file. None if it is
        missing or must not be served."""


class FolderSource(DocumentSource):
    """An output folder. No hidden file in it is served, and no file outside."""

    poll_s = 1.0
    read_ahead = max_waiting = math.inf
    has_others = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    @contextmanager
    def opened(self) -> Iterator[_OpenFolder]:
        with Folder(self._path) as folder:
            yield _OpenFolder(folder)

    def exists(self) -> bool:
        return self._path.is_dir()

    def document(self, path: str) -> Content | None:
        return self._content(path)

    def other(self, path: str) -> Content | None:
        return self._content(path, None if is_archive_page(path) else FOREIGN_MAX_BYTES)

    def _content(self, path: str, max_bytes: int | None = None) -> Content | None:
        try:
            with self.opened() as opened:
                return opened.content(path, max_bytes)
        except OSError as error:
            ShortageError.check(error)
            return None


class _OpenFolder(OpenSource):
    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def manifest(self, known: Hashable) -> FoundManifest | None:
        with open(self._folder.open(MANIFEST_PATH, _READ), "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            return None if stamp == known else FoundManifest(stamp, file.read())

    def facts(self, path: str, entry: ManifestEntry) -> FileFacts | None:  # noqa: ARG002 - the file itself says it
        return self._use(path, _facts_of)

    def contents(self, paths: Iterable[str]) -> Iterator[tuple[str, Content | None]]:
        return ((path, self.content(path)) for path in paths)

    def content(self, path: str, max_bytes: int | None = None) -> Content | None:
        """The content of a file that has at most `max_bytes`."""
        return self._use(path, partial(_read_all, max_bytes=max_bytes))

    def _use(self, path: str, use: Callable[[int], _T | None]) -> _T | None:
        """What `use` returns for the descriptor of a regular file inside the folder. Follows links that end inside.

        None if the file is missing or not readable, or if its path or its target has a hidden part.
        """
        if not _is_plain(path):
            return None
        try:
            try:
                return self._use_regular(path, use)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
            return self._use_regular(self._folder.resolve(path, _is_plain), use)
        except OSError as error:
            ShortageError.check(error)
            return None

    def _use_regular(self, path: str, use: Callable[[int], _T | None]) -> _T | None:
        descriptor = self._folder.open(path, _READ)
        try:
            return use(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)


class BucketSource(DocumentSource, OpenSource):
    """An output bucket. Only documents are served from it, because a request costs money and time also where there is
    nothing.

    Raises BucketError where it gives no answer.
    """

    poll_s = 5.0
    read_ahead = max_waiting = 256
    has_others = False

    def __init__(self, url: BucketUrl) -> None:
        super().__init__(str(url))
        self._url = url
        self._bucket: Bucket | None = None
        self._away_until = -math.inf

    @contextmanager
    def opened(self) -> Iterator[OpenSource]:
        yield self

    def exists(self) -> bool:
        return True

    def manifest(self, known: Hashable) -> FoundManifest | None:
        bucket = self._open()
        facts = bucket.head(MANIFEST_PATH)
        if facts is not None and facts.etag == known:
            return None
        found = bucket.get(MANIFEST_PATH)  # tells a missing bucket from a missing object
        if found is None:
            raise FileNotFoundError(MANIFEST_PATH)
        return FoundManifest(found.etag, found.body)

    def facts(self, path: str, entry: ManifestEntry) -> FileFacts | None:  # noqa: ARG002 - the manifest says it
        return FileFacts(entry.size, entry.modified * 10**9)

    def contents(self, paths: Iterable[str]) -> Iterator[tuple[str, Content | None]]:
        paths = tuple(paths)
        if not paths:
            return
        with ThreadPoolExecutor(min(PARALLEL, len(paths)), "read-ahead") as pool:
            yield from zip(paths, pool.map(self._content_or_none, paths), strict=True)

    def document(self, path: str) -> Content | None:
        if time.monotonic() < self._away_until:
            raise BucketAwayError(f"{self.where} cannot be read", "it gave no answer a moment ago", "ask again later")
        try:
            found = self._open().get(path)
        except BucketAwayError:
            self._away_until = time.monotonic() + _AWAY_S
            raise
        return found and Content(found.body, FileFacts(len(found.body), int(found.modified.timestamp()) * 10**9))

    def other(self, path: str) -> Content | None:
        return self.document(path) if _is_plain(path) else None

    def _content_or_none(self, path: str) -> Content | None:
        try:
            return self.document(path)
        except BucketError:
            return None

    def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = open_quick_bucket(self._url)
        return self._bucket


def make_source(place: Path | BucketUrl) -> DocumentSource:
    """The source for a folder or a bucket."""
    return FolderSource(place) if isinstance(place, Path) else BucketSource(place)


def _facts_of(descriptor: int) -> FileFacts:
    status = os.fstat(descriptor)
    return FileFacts(status.st_size, status.st_mtime_ns)


def _read_all(descriptor: int, max_bytes: int | None = None) -> Content | None:
    """None if the file is too large."""
    facts = _facts_of(descriptor)
    if max_bytes is not None and facts.size > max_bytes:
        return None
    with open(descriptor, "rb", closefd=False) as file:
        return Content(file.read(), facts)


def _is_plain(path: str) -> bool:
    return "\\" not in path and "\0" not in path and all(part and part[0] != "." for part in path.split("/"))
