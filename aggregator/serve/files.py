"""The served files: what a 304 needs in memory, and bodies as far as they fit; the rest is read on request."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import lru_cache, partial
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from aggregator.errors import ShortageError
from aggregator.output.manifest import MANIFEST_PATH, Manifest, digest_of, parse_manifest
from aggregator.paths import open_beneath
from aggregator.serve.bodies import OVERHEAD_BYTES, Bodies, Headers, Variant

# Of files that the program did not write.
FOREIGN_MAX_BYTES = 16 * 1024 * 1024
GZIP_MIN_BYTES = 512
NOSNIFF = (b"x-content-type-options", b"nosniff")
CORS = (b"access-control-allow-origin", b"*")

_VARY = (b"vary", b"accept-encoding")
_FEED_VARY = (b"vary", b"accept-encoding, sec-fetch-dest")
_GZIP = (b"content-encoding", b"gzip")
_FEED_TYPES = {
    "rss.xml": "application/rss+xml; charset=utf-8",
    "atom.xml": "application/atom+xml; charset=utf-8",
    "feed.json": "application/feed+json",
    "opml.xml": "text/x-opml; charset=utf-8",
}
# An instance of its own has the types of the standard library, without those of the machine.
_TYPES = MimeTypes()
_READ = os.O_RDONLY | os.O_NONBLOCK  # a pipe in the folder must not block a thread
_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


class FileFacts(NamedTuple):
    """What the stat of a file says."""

    size: int
    mtime_ns: int


class _Content(NamedTuple):
    body: bytes
    facts: FileFacts


class ServedFile:
    """One file: what a 304 needs, and its variants as far as they are in memory.

    `digest` is that of the body. `compressible`: it has a gzip variant. `is_page`, `is_feed`: the program wrote it as a
    page, or as RSS or Atom. `last_modified`, in seconds, is what the manifest says, the same on every server. If it
    does not say: the end of the second of the change, of `mtime_ns`, or of now if the file `replaces` one that was
    served.

    RFC 9110 section 8.8.2.2: a date distinguishes two versions only if no response had that date during the second
    itself. Responses therefore have no `Last-Modified` within one second after `last_modified`, and requests with it
    are not answered 304. So two versions of a path never share a date; in a manifest they never do. The date is also
    never later than `Date` (section 8.8.2.1), which the server computes up to half a second before.
    """

    __slots__ = ("_common", "compressible", "digest", "gzip", "identity", "is_feed", "is_page", "last_modified", "path")

    def __init__(
        self,
        path: str,
        digest: str,
        facts: FileFacts,
        *,
        modified: int = 0,
        may_vary: bool = True,
        replaces: bool = False,
    ) -> None:
        """`modified` is the time in the manifest, 0 if it has none. `may_vary`: the file has a gzip variant, or would
        have one if it were larger."""
        self.path, self.digest = path, digest
        next_second = int(time.time()) + 1
        changed = next_second if replaces else min(-(-facts.mtime_ns // 10**9), next_second)
        self.last_modified = modified or changed
        self.compressible = may_vary and facts.size >= GZIP_MIN_BYTES
        self.is_page = may_vary and path.endswith(".html")
        self.is_feed = may_vary and content_type(path).startswith(("application/rss", "application/atom"))
        self._common = _common_headers(may_vary, self.is_feed, is_shared(path))
        self.identity: Variant | None = None
        self.gzip: Variant | None = None

    @property
    def date(self) -> Headers:
        """`Last-Modified`."""
        return _date_header(self.last_modified)

    def has_date(self, now: float) -> bool:
        """True if `last_modified` may be sent, and compared with If-Modified-Since."""
        return now >= self.last_modified + 1

    def etag(self, *, packed: bool = False) -> bytes:
        """The ETag of the identity, or of the gzip variant. Each has a strong one (RFC 9110 section 8.8.3.3)."""
        return f'"{self.digest}{"-gz" if packed else ""}"'.encode()

    def unchanged(self, etag: bytes) -> Headers:
        """Header fields of a 304 (RFC 9110 section 15.4.5), without `Cache-Control` and `Last-Modified`."""
        return ((b"etag", etag), *self._common)

    def make_identity(self, body: bytes) -> Variant:
        """The variant without an encoding."""
        return self._variant(body, self.etag())

    def compress(self) -> None:
        """Makes the gzip variant, if it has one, of a file whose identity is in memory. Takes milliseconds, so call it
        outside the event loop."""
        if self.compressible and self.identity is not None and self.gzip is None:
            packed = gzip.compress(self.identity.body, 6, mtime=0)
            self.gzip = self._variant(packed, self.etag(packed=True), _GZIP)

    def hold(self, variant: Variant) -> None:
        """Refers to one of its variants."""
        if _GZIP in variant.headers:
            self.gzip = variant
        else:
            self.identity = variant

    def drop(self, variant: Variant) -> None:
        """Forgets one of its variants."""
        if self.gzip is variant:
            self.gzip = None
        if self.identity is variant:
            self.identity = None

    def held(self) -> Iterator[Variant]:
        """The variants in memory."""
        return (variant for variant in (self.identity, self.gzip) if variant is not None)

    def _variant(self, body: bytes, etag: bytes, *encoding: tuple[bytes, bytes]) -> Variant:
        described = ((b"content-type", content_type(self.path).encode()), (b"content-length", b"%d" % len(body)))
        return Variant((*described, *encoding, *self.unchanged(etag)), body)


@lru_cache(maxsize=8)
def _common_headers(may_vary: bool, is_feed: bool, shared: bool) -> Headers:
    vary = _FEED_VARY if is_feed else _VARY
    return (NOSNIFF, *([vary] if may_vary else []), *([CORS] if shared else []))


@lru_cache(maxsize=4096)
def _date_header(seconds: int) -> Headers:
    return ((b"last-modified", formatdate(seconds, usegmt=True).encode()),)


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
    # Of the manifest whose files were being replaced when it was read; the files are then those of the previous one.
    busy: tuple[int, int, int] | None = None


EMPTY_SNAPSHOT = Snapshot()


class _Root(NamedTuple):
    """The open folder; `path` has no links."""

    path: str
    descriptor: int


def load_snapshot(
    folder: Path, previous: Snapshot | None, bodies: Bodies | None = None, *, is_polled: bool = False
) -> Snapshot:
    """The files that the manifest names now. Returns `previous` itself while the manifest file is unchanged.

    Looks only at files with a new digest, and skips missing files. Reads them as long as `bodies` has room; without
    `bodies`, all of them. If the manifest cannot be read, the files of `previous` are kept until it changes. If the
    next publish is replacing files, and this is called again soon (`is_polled`), `previous` is kept once, so that no
    snapshot has files of two publishes. Raises ShortageError.
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
            snapshot = _build_snapshot(root, manifest, previous, stamp, bodies or Bodies(), can_wait=is_polled)
            return snapshot or replace(previous, stamp=None, busy=stamp)
    except FileNotFoundError:  # a missing folder, such as an unmounted disk, keeps its files
        return EMPTY_SNAPSHOT if folder.is_dir() or not previous.files else replace(previous, stamp=None)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            ShortageError.check(error)
        if (problem := str(error)) != previous.problem:
            path = folder / MANIFEST_PATH
            _logger.warning("%s cannot be used; the previous files are still served: %s", path, problem)
        return replace(previous, stamp=stamp, problem=problem)


def read_body(folder: Path | None, file: ServedFile, bodies: Bodies, *, packed: bool) -> ServedFile | None:
    """The file with the variants in memory that one response needs; None if it cannot be read. Blocks.

    `bodies` keeps the variant for more responses. If the folder has other bytes by now, because a publish is about to
    write its manifest, the result is what is there, with its own ETag and without a date, and nothing is kept.
    """
    whole, identity = copy(file), file.identity
    if identity is None:
        content = _read_from(folder, file.path, None) if folder else None
        if content is None:
            return None
        if digest_of(content.body) != file.digest:
            return _whole_file(file.path, content, replaces=True, packed=packed)
        identity = file.make_identity(content.body)
    whole.identity = identity
    if packed:
        whole.compress()
    bodies.keep(file, (packed and whole.gzip) or identity)
    return whole


def read_from_disk(folder: Path, path: str, *, packed: bool) -> ServedFile | None:
    """An archive page or a foreign file, with its gzip variant if `packed` and if it has one; None if there is none or
    it must not be served. Blocks."""
    page = is_archive_page(path)
    content = _read_from(folder, path, None if page else FOREIGN_MAX_BYTES)
    return content and _whole_file(path, content, may_vary=page, packed=packed)


def _whole_file(
    path: str, content: _Content, *, packed: bool, may_vary: bool = True, replaces: bool = False
) -> ServedFile:
    body, facts = content
    file = ServedFile(path, digest_of(body), facts, may_vary=may_vary, replaces=replaces)
    file.identity = file.make_identity(body)
    if packed:
        file.compress()
    return file


def make_file(path: str, body: bytes) -> ServedFile:
    """A document that is made for a request, with all its variants."""
    return _whole_file(path, _Content(body, FileFacts(len(body), 0)), packed=True, replaces=True)


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


def _build_snapshot(
    root: _Root, manifest: Manifest, previous: Snapshot, stamp: tuple[int, int, int], bodies: Bodies, *, can_wait: bool
) -> Snapshot | None:
    """The snapshot of a manifest; None if files differ from it for the first time, and it `can_wait`."""
    found: dict[str, ServedFile] = {}
    changed: dict[str, FileFacts] = {}
    for path, entry in manifest.files.items():
        if is_archive_page(path):
            continue
        file = previous.files.get(f"/{path}")
        if file is None or file.digest != entry.digest:
            facts = _inside(root, path, _facts_of)
            if facts is None:
                continue
            changed[path] = facts
            file = ServedFile(path, entry.digest, facts, modified=entry.modified, replaces=file is not None)
        found[path] = file
    read = _read_changed(root, changed, found, previous, bodies.room)
    differs = any(found[path].digest != manifest.files[path].digest for path in changed)
    if differs and can_wait and previous.files and stamp != previous.busy:
        return None
    files = {url: file for path, file in found.items() for url in url_paths(path)}
    bodies.forget(set(previous.files.values()).difference(files.values()))
    for file, variant in read:
        bodies.keep(file, variant)
    removed = frozenset(url for path in manifest.removed for url in url_paths(path))
    redirects = MappingProxyType(_redirects(manifest))
    return Snapshot(MappingProxyType(files), _folders(files), removed, redirects, stamp)


def _read_changed(
    root: _Root, changed: dict[str, FileFacts], found: dict[str, ServedFile], previous: Snapshot, room: float
) -> list[tuple[ServedFile, Variant]]:
    """Reads files while there is room, the most useful first: those whose last version is in memory because readers
    asked for it, then feeds, then pages, each from the smallest on. `found` gets what was read.

    The versions before have their room until the snapshot is swapped: responses are still made from them. So with full
    memory nothing is read here, and the first response of a changed file reads it, which takes a tenth of its gzip.
    """

    def use(path: str) -> tuple[bool, bool, int]:
        before = previous.files.get(f"/{path}")
        return before is None or not any(before.held()), path.endswith(".html"), changed[path].size

    read = []
    for path in sorted(changed, key=use):
        content = _inside(root, path, _read_all) if changed[path].size + OVERHEAD_BYTES <= room else None
        if content is None:
            continue
        digest, before = digest_of(content.body), previous.files.get(f"/{path}")
        if before is not None and before.digest == digest:  # not what the manifest names, but still the same
            found[path] = before
            continue
        file = found[path]
        if digest != file.digest:
            file = found[path] = ServedFile(path, digest, content.facts, replaces=before is not None)
        read.append((file, file.make_identity(content.body)))
        room -= len(content.body) + OVERHEAD_BYTES
    return read


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


def _read_from(folder: Path, path: str, max_bytes: int | None) -> _Content | None:
    """What `_inside` gives; None also if the folder cannot be opened."""
    with suppress(OSError), _opened(folder) as root:
        return _inside(root, path, partial(_read_all, max_bytes=max_bytes))
    return None


def _inside(root: _Root, path: str, use: Callable[[int], _T | None]) -> _T | None:
    """What `use` returns for the descriptor of a regular file inside the folder. Follows links that end inside.

    None if the file is missing or not readable, or if its path or its target has a hidden part.
    """
    if not _is_plain(path.split("/")):
        return None
    try:
        try:
            return _use_regular(root, path, use)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        # the target is opened without following links, so a link that is swapped meanwhile has no effect
        target = os.path.relpath(os.path.realpath(os.path.join(root.path, path), strict=True), root.path)
        # ".." begins with a dot too
        return _use_regular(root, target, use) if _is_plain(target.split(os.sep)) else None
    except OSError as error:
        ShortageError.check(error)
        return None


def _use_regular(root: _Root, path: str, use: Callable[[int], _T | None]) -> _T | None:
    descriptor = open_beneath(root.descriptor, path, _READ)
    try:
        return use(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _facts_of(descriptor: int) -> FileFacts:
    status = os.fstat(descriptor)
    return FileFacts(status.st_size, status.st_mtime_ns)


def _read_all(descriptor: int, max_bytes: int | None = None) -> _Content | None:
    """None if the file is too large."""
    facts = _facts_of(descriptor)
    if max_bytes is not None and facts.size > max_bytes:
        return None
    with open(descriptor, "rb", closefd=False) as file:
        return _Content(file.read(), facts)


def _is_plain(parts: list[str]) -> bool:
    return all(part and part[0] != "." and "\\" not in part and "\0" not in part for part in parts)
