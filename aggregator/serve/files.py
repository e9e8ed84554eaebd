"""The output folder as it is served: published files in memory, anything else read when asked for."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from hashlib import blake2b
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from aggregator.errors import ShortageError
from aggregator.paths import open_beneath

Headers = tuple[tuple[bytes, bytes], ...]

MANIFEST = ".aggregator/manifest.json"
MANIFEST_FORMAT = 1
HAND_PUT_MAX_BYTES = 16 * 1024 * 1024
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
# An instance knows the types of the standard library only, whatever the machine's own tables say.
_TYPES = MimeTypes()
_READ = os.O_RDONLY | os.O_NONBLOCK  # a pipe put into the folder must not hold a thread
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding of a file: `ok` are the header fields of a 200, `unchanged` those of a 304, without caching and
    without a date."""

    etag: bytes
    ok: Headers
    unchanged: Headers
    body: bytes


class ServedFile:
    """One file with everything that its answers need; only `gzip` comes later, on first demand.

    A file that `may_vary` says so also while it is too small to be `compressible`. `last_modified`, in seconds, is the
    end of the second in which it changed: that of `mtime_ns`, or this one if it `replaces` what was served until now.

    RFC 9110 section 8.8.2.2: a date tells two versions apart only if none was sent with it in the second that it
    covers. So for a second after `last_modified` the answers have no date, and no date is taken for a validator; two
    versions of one path then never have the same. One second is enough, where a cache has to allow a minute, because
    only one clock is involved, ours. It also keeps the date from being later than the answer's own (section 8.8.2.1),
    which the server takes up to half a second before.
    """

    __slots__ = ("_common", "_lock", "_type", "compressible", "date", "digest", "gzip", "identity", "last_modified")

    def __init__(self, path: str, body: bytes, mtime_ns: int, *, may_vary: bool, replaces: bool = False) -> None:
        self.digest = blake2b(body, digest_size=16).hexdigest()
        next_second = int(time.time()) + 1
        self.last_modified = next_second if replaces else min(-(-mtime_ns // 10**9), next_second)
        self.date: Headers = ((b"last-modified", formatdate(self.last_modified, usegmt=True).encode()),)
        self.compressible = may_vary and len(body) >= GZIP_MIN_BYTES
        self._type = content_type(path).encode()
        self._common = (
            NOSNIFF,
            *([_VARY] if may_vary else []),
            *([CORS] if is_feed(path) else []),
        )
        self._lock = threading.Lock()
        self.identity = self._variant(body, "")
        self.gzip: Variant | None = None

    def is_dated(self, now: float) -> bool:
        """Whether its date may be sent and compared with."""
        return now >= self.last_modified + 1

    def compress(self) -> Variant:
        """The gzip variant, made once; takes milliseconds, so not for the event loop."""
        with self._lock:
            if self.gzip is None:
                body = gzip.compress(self.identity.body, 6, mtime=0)
                self.gzip = self._variant(body, "-gz", (b"content-encoding", b"gzip"))
            return self.gzip

    def _variant(self, body: bytes, suffix: str, *encoding: tuple[bytes, bytes]) -> Variant:
        # RFC 9110 section 8.8.3.3: a strong tag differs for each encoding. Section 15.4.5: what a 304 repeats.
        etag = f'"{self.digest}{suffix}"'.encode()
        unchanged = ((b"etag", etag), *self._common)
        described = ((b"content-type", self._type), (b"content-length", b"%d" % len(body)), *encoding)
        return Variant(etag, described + unchanged, unchanged, body)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the manifest named when it was read, by URL path: `/all/rss.xml`, and `/all/` for its index.html. Archive
    pages are not in it.

    `folders` are the paths that want a slash, `gone` those that will not come back. `moved` leads from copies at the
    old slug of a feed to the paths of the folder where they are now. `problem` is why the manifest cannot be used now.
    """

    files: Mapping[str, ServedFile] = field(default_factory=lambda: MappingProxyType({}))
    folders: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stamp: tuple[int, int, int] | None = None
    problem: str = ""


EMPTY_SNAPSHOT = Snapshot()


class _Root(NamedTuple):
    """The folder, without a link in its path, and open."""

    path: str
    descriptor: int


class _Manifest(NamedTuple):
    digests: dict[str, str]
    gone: list[str]
    moved: dict[str, str]


def load_snapshot(folder: Path, previous: Snapshot | None) -> Snapshot:
    """The folder as its manifest names it; `previous` itself while the manifest is the same file.

    Reads only what differs from `previous`. A named file that is missing is left out. A manifest that cannot be
    read keeps the files of `previous`, and is not tried again until it changes. Raises ShortageError.
    """
    previous = previous or EMPTY_SNAPSHOT
    stamp = None
    try:
        with _opened(folder) as root, open(open_beneath(root.descriptor, MANIFEST, _READ), "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == previous.stamp:
                return previous
            manifest = _parse_manifest(file.read())
            if previous.problem:
                _logger.info("%s can be used again", folder / MANIFEST)
            return _build_snapshot(root, manifest, previous, stamp)
    except FileNotFoundError:  # a folder that is away, such as a disk, is not an empty one
        return EMPTY_SNAPSHOT if folder.is_dir() or not previous.files else replace(previous, stamp=None)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            ShortageError.check(error)
        if (problem := str(error)) != previous.problem:
            _logger.warning("%s cannot be used, what was read before is served on: %s", folder / MANIFEST, problem)
        return replace(previous, stamp=stamp, problem=problem)


def read_from_disk(folder: Path, path: str) -> ServedFile | None:
    """A file that is not kept in memory: an archive page, or one put there by hand; None unless it may be served.
    Blocks."""
    page = is_archive_page(path)
    with suppress(OSError), _opened(folder) as root:
        found = _read_inside(root, path, None if page else HAND_PUT_MAX_BYTES)
        return ServedFile(path, *found, may_vary=page) if found else None
    return None


def content_type(path: str) -> str:
    """The media type of a path; feeds by their fixed names, the rest by suffix."""
    pure = PurePosixPath(path)
    if known := _FEED_TYPES.get(pure.name):
        return known
    if is_archive_page(path):
        return _FEED_TYPES["atom.xml"]
    guessed, encoding = _TYPES.guess_type(pure.name, strict=False)
    if guessed is None or encoding:
        return "application/octet-stream"
    # XML says its own encoding, which a charset here would overrule.
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") and guessed != "text/xml" else guessed


def is_archive_page(path: str) -> bool:
    """Whether it is a page of a feed's archive: of those there may be very many, and they are seldom asked for."""
    return path.endswith(".xml") and path.rpartition("/")[0].rpartition("/")[2] == "archive"


def is_feed(path: str) -> bool:
    """Whether pages of other sites may read it."""
    return path.endswith((".xml", ".json", ".opml"))


def addresses(path: str) -> tuple[str, ...]:
    """The URL paths of a path in the folder; an index.html has that of its folder too."""
    url = f"/{path}"
    return (url, url.removesuffix("index.html")) if url.endswith("/index.html") else (url,)


def _parse_manifest(raw: bytes) -> _Manifest:
    """What serving needs of the manifest; ValueError if it is not one of ours."""
    try:
        manifest = json.loads(raw)
        if manifest["format"] != MANIFEST_FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, not {MANIFEST_FORMAT}")
        digests = {str(path): str(line["digest"]) for path, line in manifest["files"].items()}
        feeds = ((str(path), str(line.get("feed", ""))) for path, line in manifest["files"].items())
        moved = {path: new for path, feed in feeds if (new := _new_path(path, feed)) in digests and new != path}
        return _Manifest(digests, [str(path) for path in manifest["gone"]], moved)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a manifest ({error!r})") from error


def _new_path(path: str, feed: str) -> str:
    """Where a document of this feed, or of a page of its archive, is when it has not moved."""
    return f"{feed.partition('/')[0]}/{path.partition('/')[2]}"


def _build_snapshot(root: _Root, manifest: _Manifest, previous: Snapshot, stamp: tuple[int, int, int]) -> Snapshot:
    files: dict[str, ServedFile] = {}
    for path, digest in manifest.digests.items():
        if is_archive_page(path):
            continue
        file = previous.files.get(f"/{path}")
        if file is None or file.digest != digest:
            found = _read_inside(root, path, None)
            if found is None:
                continue
            served = ServedFile(path, *found, may_vary=True, replaces=file is not None)
            if file is None or file.digest != served.digest:
                file = served
        files.update(dict.fromkeys(addresses(path), file))
    gone = {url for path in manifest.gone for url in addresses(path)}
    moved: dict[str, str] = {}
    for path, new in manifest.moved.items():
        moved.update(dict.fromkeys(addresses(path), new.removesuffix("index.html")))
    return Snapshot(MappingProxyType(files), _folders(files), frozenset(gone), MappingProxyType(moved), stamp)


def _folders(urls: Iterable[str]) -> frozenset[str]:
    """Every folder above the addresses, without its slash."""
    folders: set[str] = set()
    for url in urls:
        folder = url.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(folders)


@contextmanager
def _opened(folder: Path) -> Iterator[_Root]:
    """The folder, which itself may be a link."""
    path = os.path.realpath(folder)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _Root(path, descriptor)
    finally:
        os.close(descriptor)


def _read_inside(root: _Root, path: str, max_bytes: int | None) -> tuple[bytes, int] | None:
    """Bytes and mtime in ns of a regular file inside the folder; links are followed as long as they end there.

    None if there is none, it is hidden (also where a link leads to), too large or may not be read.
    """
    if not _is_plain(path.split("/")):
        return None
    try:
        try:
            return _read_regular(root, path, max_bytes)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        # What the link leads to now is opened as a path without links: what comes in between is not followed.
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
