"""The files of a source in a bucket: the objects below a prefix, listed and read by requests.

    listing, in the order of the server -> a sorted spool on disk -> batches in byte order of paths
    files to read -> requests in parallel -> contents in the order of the files

An object has no ctime and no inode; its ETag tells its versions apart. A digest of the ETag is stored in two halves,
one as the ctime and one as the inode, so that one comparison serves folders and buckets.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import unquote

from aggregator.buckets import Bucket, ObjectFacts, open_bucket, parse_bucket_url
from aggregator.concurrency.processes import PROGRESS, CallLostError, start_call, wait_for
from aggregator.errors import BucketAwayError, BucketError
from aggregator.files import (
    LISTED_BATCH,
    MAX_PATH,
    CheckStop,
    FileBytes,
    FolderError,
    Kind,
    Listed,
    ListedFile,
    Unreadable,
)
from aggregator.files.index_files import listed_filter
from aggregator.model import SourceFile
from aggregator.settings import Source

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_S, ATTEMPTS = 10.0, 3
"""How long a request waits for each answer, and how often it is made."""
REQUEST_S = 120.0
"""How long a request may take in all: a server could answer a byte at a time."""
PARALLEL = 32
"""Objects that are read at a time, fewer if they are large."""
READ_AHEAD_BYTES = 64_000_000
SPOOL_KB = 32_768
"""Memory of the spool; the rest of it is in a temporary file."""
_OF_ONE_OBJECT = frozenset(("AccessDenied", "403", "InvalidObjectState", "KeyTooLongError"))
"""Codes of errors that say nothing about other objects."""
_INDEX_STARTS = ("in", "In", "iN", "IN", "_i", "_I")
"""How names of index files begin: so long that few other names begin like it, such as names of pictures."""
Result = TypeVar("Result")


class BucketFiles:
    """The files of a bucket. Nothing in it is ever written.

    A key that ends with a slash is a folder that some program made, and no file.
    """

    def __init__(self, source: Source, check_stop: CheckStop | None) -> None:
        self._source, self._check_stop = source, check_stop
        self._is_record = listed_filter(source)
        try:
            self._bucket = _open(source.root, _environment())
        except BucketError as error:
            raise _folder_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The connections stay open for the next one."""

    def check(self) -> None:
        self._ask(lambda: self._bucket.page(limit=1))

    def list_all(self) -> Listed:
        return self._list_below("")

    def list_at(self, path: str) -> Listed:
        key = unquote(path)
        if _is_skipped(key):
            return
        found = self._ask(lambda: self._bucket.head(key)) if self._is_record(key) else None
        if found is not None:
            yield [_listed(found)]
        yield from self._list_below(f"{key}/")

    def kind(self, path: str) -> Kind | None:
        key = unquote(path)
        if key and self._ask(lambda: self._bucket.head(key)) is not None:
            return "file"
        below = f"{key}/" if key else ""
        return "folder" if self._ask(lambda: self._bucket.page(below, limit=1)) else None

    def index_names(self, folder: str) -> Iterator[str]:
        from aggregator.parse.hugo import read_index_name

        above, languages = unquote(folder), self._source.known_languages
        listings = [start_call(self._names, above, start) for start in _INDEX_STARTS]
        for listing in listings:
            for name in self._wait(listing):
                if read_index_name(name, languages):
                    yield name

    def read(self, file: SourceFile, most: int) -> FileBytes:
        return self._wait(start_call(self._read, file, most))

    def read_ahead(self, files: Iterable[SourceFile], most: int) -> Iterator[FileBytes | OSError]:
        waiting: deque[tuple[int, Future[FileBytes]]] = deque()
        bytes_ahead = 0
        for file in files:
            size = min(file.size or most, most)
            while waiting and (len(waiting) >= PARALLEL or bytes_ahead + size > READ_AHEAD_BYTES):
                done, reading = waiting.popleft()
                bytes_ahead -= done
                yield self._content(reading)
            waiting.append((size, start_call(self._read, file, most)))
            bytes_ahead += size
        for _, reading in waiting:
            yield self._content(reading)

    def _content(self, reading: Future[FileBytes]) -> FileBytes | OSError:
        try:
            return self._wait(reading)
        except OSError as error:
            return error

    def _read(self, file: SourceFile, most: int) -> FileBytes:
        try:
            found = self._bucket.get(unquote(file.path), most=most)
        except BucketError as error:
            if error.code in _OF_ONE_OBJECT:
                raise OSError(errno.EACCES, error.reason) from error
            raise
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        # the answer itself says which version it has, however often the object was replaced since it was listed
        facts = ObjectFacts("", found.size, found.etag, found.modified)
        return found.body, SourceFile(file.source, file.path, *_stat(facts))

    def _names(self, folder: str, start: str) -> list[str]:
        """The names in a folder that begin with `start`."""
        pages = self._bucket.pages(folder + start, delimiter="/")
        return [facts.path[len(folder) :] for page in pages for facts in page]

    def _list_below(self, below: str) -> Listed:
        """The record files whose keys begin with `below`."""
        with closing(_Spool()) as spool:
            pages = self._bucket.pages(below)
            while (page := self._ask(lambda: next(pages, None))) is not None:
                PROGRESS.show()
                spool.add(
                    _listed(facts) for facts in page if not _is_skipped(facts.path) and self._is_record(facts.path)
                )
            yield from spool.batches()

    def _ask(self, request: Callable[[], Result]) -> Result:
        return self._wait(start_call(request))

    def _wait(self, request: Future[Result]) -> Result:
        """The result of a request. Raises FolderError, unless the error is that of one object."""
        try:
            return wait_for(request, self._check_stop, REQUEST_S)
        except BucketError as error:
            raise _folder_error(error) from error
        except CallLostError:
            reason = f"the server takes over {REQUEST_S:g} s for a request"
            raise FolderError(reason, hint="see its log, and the network") from None


class _Spool:
    """Sorts a listing, on disk if it is large. Not every server lists in byte order: some list a folder `a` with all
    that is in it before `a-b`."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # a temporary file
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(f"PRAGMA cache_size = -{SPOOL_KB}")
        columns = "path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER"
        self._database.execute(f"CREATE TABLE listed ({columns}) WITHOUT ROWID")

    def add(self, files: Iterable[ListedFile]) -> None:
        """Adds a page of the listing."""
        try:
            self._database.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?)", files)
        except sqlite3.OperationalError as error:
            hint = "make room in the folder for temporary files, or set SQLITE_TMPDIR"
            raise FolderError(f"its listing cannot be sorted: {error}", hint=hint) from error

    def batches(self) -> Listed:
        """The files in order, without those whose paths no record can have."""
        rows = self._database.execute("SELECT * FROM listed ORDER BY path")
        while batch := rows.fetchmany(LISTED_BATCH):
            start = 0
            for index, (path, *_) in enumerate(batch):
                if fault := _fault(path):
                    if batch[start:index]:
                        yield batch[start:index]
                    yield Unreadable(path, fault, "give it another key")
                    start = index + 1
            if batch[start:]:
                yield batch[start:]

    def close(self) -> None:
        self._database.close()


def _is_skipped(key: str) -> bool:
    """Whether a key names a folder, or a part of it begins with a dot."""
    return key.endswith("/") or key.startswith(".") or "/." in key


def _fault(path: str) -> str | None:
    """Why no record can have an escaped path."""
    if path.startswith("/") or "//" in path:
        return "its key has nothing between two slashes, or before the first (give it another key)"
    if "\0" in path:
        return "its key has a NUL (give it another key)"
    return f"its path is over {MAX_PATH} bytes" if len(path.encode()) > MAX_PATH else None


def _listed(facts: ObjectFacts) -> ListedFile:
    return (facts.path.replace("%", "%25"), *_stat(facts))


def _stat(facts: ObjectFacts) -> tuple[int, int, int, int]:
    """What takes the place of a stat: size, mtime, ctime, inode. Without an ETag, the time of the last change."""
    if not facts.etag:
        return facts.size, int(facts.modified.timestamp()) * 10**9, 0, 0
    # proxies may call it weak in the answer to a request
    digest = blake2b(facts.etag.removeprefix("W/").strip('"').encode(), digest_size=16).digest()
    first, second = (
        int.from_bytes(half) >> 1 for half in (digest[:8], digest[8:])
    )  # databases have 63 bits and a sign
    return facts.size, 0, first, second


def _environment() -> tuple[tuple[str, str], ...]:
    """What the opening of a bucket depends on."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@lru_cache(maxsize=16)
def _open(root: str, _environment: tuple[tuple[str, str], ...]) -> Bucket:
    """An open bucket. It is kept, because opening one takes as long as a listing."""
    return open_bucket(parse_bucket_url(root), timeout_s=TIMEOUT_S, attempts=ATTEMPTS)


def _folder_error(error: BucketError) -> FolderError:
    if not isinstance(error, BucketAwayError):
        _open.cache_clear()  # keys and roles may be other ones next time
    return FolderError(error.reason, is_missing=error.code == "NoSuchBucket", hint=error.hint)
