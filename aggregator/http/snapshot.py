"""The output folder as it is served: published files in memory, anything else read when asked for."""

from __future__ import annotations

import gzip
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from hashlib import blake2b
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from aggregator.errors import ShortageError

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
# A pipe put into the folder must not hold a thread; the flags do not exist everywhere.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding of a file: `ok` are the header fields of a 200, `unchanged` those of a 304, without caching."""

    etag: bytes
    ok: Headers
    unchanged: Headers
    body: bytes


class ServedFile:
    """One file with everything that its answers need; only `gzip` comes later, on first demand.

    `last_modified` is in seconds. A file that `may_vary` says so also while it is too small to be `compressible`.
    """

    __slots__ = ("_common", "_lock", "_type", "compressible", "digest", "gzip", "identity", "last_modified")

    def __init__(self, path: str, body: bytes, mtime: int, *, may_vary: bool) -> None:
        self.digest = blake2b(body, digest_size=16).hexdigest()
        # RFC 9110 section 8.8.2.1: never later than the answer's own Date.
        self.last_modified = min(mtime, int(time.time()))
        self.compressible = may_vary and len(body) >= GZIP_MIN_BYTES
        self._type = content_type(path).encode()
        self._common = (
            (b"last-modified", formatdate(self.last_modified, usegmt=True).encode()),
            NOSNIFF,
            *([_VARY] if may_vary else []),
            *([CORS] if is_feed(path) else []),
        )
        self._lock = threading.Lock()
        self.identity = self._variant(body, "")
        self.gzip: Variant | None = None

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
    old slug of a feed to the paths of the folder where they are now.
    """

    files: Mapping[str, ServedFile] = field(default_factory=lambda: MappingProxyType({}))
    folders: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stamp: tuple[int, int, int] | None = None


EMPTY_SNAPSHOT = Snapshot()


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
    stamp = previous.stamp
    try:
        with open(folder / MANIFEST, "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == previous.stamp:
                return previous
            manifest = _parse_manifest(file.read())
    except FileNotFoundError:  # a folder that is away, such as a disk, is not an empty one
        return EMPTY_SNAPSHOT if folder.is_dir() or not previous.files else replace(previous, stamp=None)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            ShortageError.check(error)
        _logger.warning("%s cannot be used, what was read before is served on: %s", folder / MANIFEST, error)
        return replace(previous, stamp=stamp)
    return _build_snapshot(os.path.realpath(folder), manifest, previous, stamp)


def read_from_disk(folder: Path, path: str) -> ServedFile | None:
    """A file that is not kept in memory: an archive page, or one put there by hand; None unless it may be served.
    Blocks."""
    page = is_archive_page(path)
    found = _read_inside(os.path.realpath(folder), path, None if page else HAND_PUT_MAX_BYTES)
    return ServedFile(path, *found, may_vary=page) if found else None


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


def _build_snapshot(root: str, manifest: _Manifest, previous: Snapshot, stamp: tuple[int, int, int]) -> Snapshot:
    files: dict[str, ServedFile] = {}
    for path, digest in manifest.digests.items():
        if is_archive_page(path):
            continue
        file = previous.files.get(f"/{path}")
        if file is None or file.digest != digest:
            found = _read_inside(root, path, None)
            if found is None:
                continue
            file = ServedFile(path, *found, may_vary=True)
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


def _read_inside(root: str, path: str, max_bytes: int | None) -> tuple[bytes, int] | None:
    """Bytes and mtime of a regular file that ends inside `root`, a resolved path, with its links followed.

    None if there is none, it is hidden (also where a link leads to), too large or may not be read.
    """
    if not _is_plain(path.split("/")):
        return None
    try:
        real = os.path.realpath(os.path.join(root, path), strict=True)
        inside = os.path.relpath(real, root).split(os.sep)
        if not _is_plain(inside):  # ".." begins with a dot too
            return None
        with open(os.open(real, _OPEN_FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or (max_bytes is not None and status.st_size > max_bytes):
                return None
            return file.read(), int(status.st_mtime)
    except OSError as error:
        ShortageError.check(error)
        return None


def _is_plain(parts: list[str]) -> bool:
    return all(part and part[0] != "." and "\\" not in part and "\0" not in part for part in parts)
