"""The served files: published documents in memory; archive pages and foreign files are read on request."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from aggregator.errors import ShortageError
from aggregator.output.manifest import MANIFEST_PATH, Manifest, digest_of, parse_manifest
from aggregator.paths import open_beneath

Headers = tuple[tuple[bytes, bytes], ...]

# Of files that the program did not write.
FOREIGN_MAX_BYTES = 16 * 1024 * 1024
GZIP_MIN_BYTES = 512
NOSNIFF = (b"x-content-type-options", b"nosniff")
CORS = (b"access-control-allow-origin", b"*")

_VARY = (b"vary", b"accept-encoding")
_FEED_TYPES = {
    "rss.xml": "application/rss+xml; charset=utf-8",
    "atom.xml": "application/atom+xml; charset=utf-8",
    "feed.json": "application/feed+json",
    "opml.xml": "text/x-opml; charset=utf-8",
}
# An instance of its own has the types of the standard library, without those of the machine.
_TYPES = MimeTypes()
_READ = os.O_RDONLY | os.O_NONBLOCK  # a pipe in the folder must not block a thread
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding of a file."""

    etag: bytes
    # Header fields of a 200 and of a 304, without `Cache-Control` and `Last-Modified`.
    ok: Headers
    unchanged: Headers
    body: bytes


class ServedFile:
    """One file with everything that its responses need. `gzip` is made on first demand.

    `may_vary`: the file has a gzip variant, or would have one if it were larger. `last_modified`, in seconds, is the
    end of the second of the change: of `mtime_ns`, or of now if the file `replaces` one that was served.

    RFC 9110 section 8.8.2.2: a date distinguishes two versions only if no response had that date during the second
    itself. Responses therefore have no `Last-Modified` within one second after `last_modified`, and requests with it
    are not answered 304. So two versions of a path never share a date. One second is enough (caches must allow a
    minute), because only the clock of this machine is involved. The date is also never later than `Date` (section
    8.8.2.1), which the server computes up to half a second before.
    """

    __slots__ = ("_common", "_lock", "_type", "compressible", "date", "digest", "gzip", "identity", "last_modified")

    def __init__(self, path: str, body: bytes, mtime_ns: int, *, may_vary: bool, replaces: bool = False) -> None:
        self.digest = digest_of(body)
        next_second = int(time.time()) + 1
        self.last_modified = next_second if replaces else min(-(-mtime_ns // 10**9), next_second)
        self.date: Headers = ((b"last-modified", formatdate(self.last_modified, usegmt=True).encode()),)
        self.compressible = may_vary and len(body) >= GZIP_MIN_BYTES
        self._type = content_type(path).encode()
        self._common = (
            NOSNIFF,
            *([_VARY] if may_vary else []),
            *([CORS] if is_shared(path) else []),
        )
        self._lock = threading.Lock()
        self.identity = self._variant(body, "")
        self.gzip: Variant | None = None

    def has_date(self, now: float) -> bool:
        """True if `last_modified` may be sent, and compared with If-Modified-Since."""
        return now >= self.last_modified + 1

    def compress(self) -> Variant:
        """The gzip variant. The first call takes milliseconds, so call it outside the event loop."""
        with self._lock:
            if self.gzip is None:
                body = gzip.compress(self.identity.body, 6, mtime=0)
                self.gzip = self._variant(body, "-gz", (b"content-encoding", b"gzip"))
            return self.gzip

    def _variant(self, body: bytes, suffix: str, *encoding: tuple[bytes, bytes]) -> Variant:
        # RFC 9110 section 8.8.3.3: each encoding has its own strong ETag. Section 15.4.5: the fields of a 304.
        etag = f'"{self.digest}{suffix}"'.encode()
        unchanged = ((b"etag", etag), *self._common)
        described = ((b"content-type", self._type), (b"content-length", b"%d" % len(body)), *encoding)
        return Variant(etag, described + unchanged, unchanged, body)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a manifest, by URL path: `/all/rss.xml`, and `/all/` for its index.html; without archive pages."""

    files: Mapping[str, ServedFile] = field(default_factory=lambda: MappingProxyType({}))
    # URL paths that redirect to themselves with a slash.
    folders: frozenset[str] = frozenset()
    # URL paths that answer 410.
    removed: frozenset[str] = frozenset()
    # URL paths of copies at the old slug of a feed -> paths in the folder where the documents are now.
    redirects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    # mtime_ns, size and inode of the manifest.
    stamp: tuple[int, int, int] | None = None
    # Why the manifest cannot be used; the files are then those of the previous one.
    problem: str = ""


EMPTY_SNAPSHOT = Snapshot()


class _Root(NamedTuple):
    """The open folder; `path` has no links."""

    path: str
    descriptor: int


def load_snapshot(folder: Path, previous: Snapshot | None) -> Snapshot:
    """The files that the manifest names now. Returns `previous` itself while the manifest file is unchanged.

    Reads only files with a new digest, and skips missing files. If the manifest cannot be read, the files of
    `previous` are kept until it changes. Raises ShortageError.
    """
    previous = previous or EMPTY_SNAPSHOT
    stamp = None
    try:
        with _opened(folder) as root, open(open_beneath(root.descriptor, MANIFEST_PATH, _READ), "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == previous.stamp:
                return previous
            manifest = parse_manifest(file.read())
            if previous.problem:
                _logger.info("%s can be used again", folder / MANIFEST_PATH)
            return _build_snapshot(root, manifest, previous, stamp)
    except FileNotFoundError:  # a missing folder, such as an unmounted disk, keeps its files
        return EMPTY_SNAPSHOT if folder.is_dir() or not previous.files else replace(previous, stamp=None)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            ShortageError.check(error)
        if (problem := str(error)) != previous.problem:
            path = folder / MANIFEST_PATH
            _logger.warning("%s cannot be used; the previous files are still served: %s", path, problem)
        return replace(previous, stamp=stamp, problem=problem)


def read_from_disk(folder: Path, path: str) -> ServedFile | None:
    """An archive page or a foreign file; None if there is none or it must not be served. Blocks."""
    page = is_archive_page(path)
    with suppress(OSError), _opened(folder) as root:
        content = _read_inside(root, path, None if page else FOREIGN_MAX_BYTES)
        return ServedFile(path, *content, may_vary=page) if content else None
    return None


def content_type(path: str) -> str:
    """The media type of a path: fixed for the names of documents, else by suffix."""
    pure = PurePosixPath(path)
    if known := _FEED_TYPES.get(pure.name):
        return known
    if is_archive_page(path) and pure.suffix == ".xml":
        return _FEED_TYPES["atom.xml"]
    guessed, encoding = _TYPES.guess_type(pure.name, strict=False)
    if guessed is None or encoding:
        return "application/octet-stream"
    # an XML file declares its own encoding, and a charset here would override it
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") and guessed != "text/xml" else guessed


def is_archive_page(path: str) -> bool:
    """True for an archive page. There may be many, and readers seldom ask for them, so they stay on disk."""
    folder, _, name = path.rpartition("/")
    return name.endswith((".xml", ".html")) and name != "index.html" and folder.rpartition("/")[2] == "archive"


def is_shared(path: str) -> bool:
    """True if scripts of other sites may read the path (CORS)."""
    return path.endswith((".xml", ".json", ".opml"))


def url_paths(path: str) -> tuple[str, ...]:
    """The URL paths of a file; an index.html is also at the path of its folder."""
    url = f"/{path}"
    return (url, url.removesuffix("index.html")) if url.endswith("/index.html") else (url,)


def _redirects(manifest: Manifest) -> dict[str, str]:
    """URLs of copies at old slugs of feeds -> where in the folder the same document is now."""
    redirects: dict[str, str] = {}
    for path, entry in manifest.files.items():
        # an archive page has a name of its own: "feed/archive/0001.xml"
        new = f"{entry.feed.partition('/')[0]}/{path.partition('/')[2]}"
        if new != path and new in manifest.files:
            redirects.update(dict.fromkeys(url_paths(path), new.removesuffix("index.html")))
    return redirects


def _build_snapshot(root: _Root, manifest: Manifest, previous: Snapshot, stamp: tuple[int, int, int]) -> Snapshot:
    files: dict[str, ServedFile] = {}
    for path, entry in manifest.files.items():
        if is_archive_page(path):
            continue
        file = previous.files.get(f"/{path}")
        if file is None or file.digest != entry.digest:
            content = _read_inside(root, path, None)
            if content is None:
                continue
            served = ServedFile(path, *content, may_vary=True, replaces=file is not None)
            if file is None or file.digest != served.digest:
                file = served
        files.update(dict.fromkeys(url_paths(path), file))
    removed = frozenset(url for path in manifest.removed for url in url_paths(path))
    redirects = MappingProxyType(_redirects(manifest))
    return Snapshot(MappingProxyType(files), _folders(files), removed, redirects, stamp)


def _folders(urls: Iterable[str]) -> frozenset[str]:
    """Every folder above the URL paths, without its slash."""
    folders: set[str] = set()
    for url in urls:
        folder = url.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(folders)


@contextmanager
def _opened(folder: Path) -> Iterator[_Root]:
    """The folder, opened; its own path may have links."""
    path = os.path.realpath(folder)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _Root(path, descriptor)
    finally:
        os.close(descriptor)


def _read_inside(root: _Root, path: str, max_bytes: int | None) -> tuple[bytes, int] | None:
    """Bytes and mtime_ns of a regular file inside the folder. Follows links that end inside.

    None if the file is missing, too large or not readable, or if its path or its target has a hidden part.
    """
    if not _is_plain(path.split("/")):
        return None
    try:
        try:
            return _read_regular(root, path, max_bytes)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        # the target is opened without following links, so a link that is swapped meanwhile has no effect
        target = os.path.relpath(os.path.realpath(os.path.join(root.path, path), strict=True), root.path)
        # ".." begins with a dot too
        return _read_regular(root, target, max_bytes) if _is_plain(target.split(os.sep)) else None
    except OSError as error:
        ShortageError.check(error)
        return None


def _read_regular(root: _Root, path: str, max_bytes: int | None) -> tuple[bytes, int] | None:
    with open(open_beneath(root.descriptor, path, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or (max_bytes is not None and status.st_size > max_bytes):
            return None
        return file.read(), status.st_mtime_ns


def _is_plain(parts: list[str]) -> bool:
    return all(part and part[0] != "." and "\\" not in part and "\0" not in part for part in parts)
