"""The served files: what a 304 needs in memory, and bodies as far as they fit; the rest is read on request."""

from __future__ import annotations

import gzip
import itertools
import logging
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType

from aggregator.documents import content_type, is_archive_page
from aggregator.errors import BucketError, ShortageError
from aggregator.output.manifest import MANIFEST_PATH, Manifest, ManifestEntry, digest_of, parse_manifest
from aggregator.serve.bodies import OVERHEAD_BYTES, Bodies, Headers, Variant
from aggregator.serve.source import Content, DocumentSource, FileFacts, OpenSource

GZIP_MIN_BYTES = 512
NOSNIFF = (b"x-content-type-options", b"nosniff")
CORS = (b"access-control-allow-origin", b"*")
_EXPOSED = (b"access-control-expose-headers", b"ETag, Link")  # scripts see the other fields without it

_VARY = (b"vary", b"accept-encoding")
_FEED_VARY = (b"vary", b"accept-encoding, sec-fetch-dest")
_GZIP = (b"content-encoding", b"gzip")
_logger = logging.getLogger(__name__)


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
        replaces: bool,
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

    def date_at(self, now: float) -> Headers:
        """`Last-Modified`; empty while it may neither be sent nor compared with If-Modified-Since."""
        return _date_header(self.last_modified) if now >= self.last_modified + 1 else ()

    def etag(self, *, packed: bool = False, as_text: bool = False) -> bytes:
        """The ETag of the identity, or of the gzip variant; `as_text`: with the type that browsers show. Each has a
        strong one (RFC 9110 sections 8.8.1 and 8.8.3.3)."""
        return f'"{self.digest}{"-xml" if as_text else ""}{"-gz" if packed else ""}"'.encode()

    def unchanged(self, *, packed: bool, as_text: bool = False) -> Headers:
        """Header fields of a 304 (RFC 9110 section 15.4.5), without `Cache-Control` and `Last-Modified`."""
        return ((b"etag", self.etag(packed=packed, as_text=as_text)), *self._common)

    def compress(self) -> None:
        """Makes the gzip variant, if it has one, of a file whose identity is in memory. Takes milliseconds, so call it
        outside the event loop."""
        if self.compressible and self.identity is not None and self.gzip is None:
            packed = gzip.compress(self.identity.body, 6, mtime=0)
            self.gzip = self.make_variant(packed, packed=True)

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

    def make_variant(self, body: bytes, *, packed: bool = False) -> Variant:
        """The variant with this body."""
        described = ((b"content-type", content_type(self.path).encode()), (b"content-length", b"%d" % len(body)))
        encoding = (_GZIP,) if packed else ()
        return Variant((*described, *encoding, *self.unchanged(packed=packed)), body)


@lru_cache(maxsize=8)
def _common_headers(may_vary: bool, is_feed: bool, shared: bool) -> Headers:
    vary = _FEED_VARY if is_feed else _VARY
    return (NOSNIFF, *([vary] if may_vary else []), *([CORS, _EXPOSED] if shared else []))


@lru_cache(maxsize=4096)
def _date_header(seconds: int) -> Headers:
    return ((b"last-modified", formatdate(seconds, usegmt=True).encode()),)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a manifest, by URL path: `/all/rss.xml`, and `/all/` for its index.html; without archive pages."""

    files: Mapping[str, ServedFile] = field(default_factory=lambda: MappingProxyType({}))
    entries: Mapping[str, ManifestEntry] = field(default_factory=lambda: MappingProxyType({}))  # of the manifest
    folders: frozenset[str] = frozenset()  # every folder above the files, as a URL path without a slash at its end
    removed: frozenset[str] = frozenset()  # URL paths that answer 410
    # URL paths of copies at the old slug of a feed -> paths in the folder where the documents are now.
    redirects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stamp: Hashable | None = None  # of the manifest; another one has another stamp
    problem: str = ""  # why the manifest cannot be used; the files are then those of the previous one
    # The stamp of a manifest whose files were being replaced when it was read; `files` are of the one before.
    busy: Hashable | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no manifest was ever read."""
        return self.stamp is None and not self.files


EMPTY_SNAPSHOT = Snapshot()


def load_snapshot(source: DocumentSource, previous: Snapshot, bodies: Bodies, *, is_polled: bool = False) -> Snapshot:
    """The files that the manifest names now. Returns `previous` itself while the manifest is unchanged.

    Looks only at files with a new digest, and skips missing files. Reads them as long as `bodies` has room. If the
    manifest cannot be read, or its folder is missing, the files of `previous` are kept until that changes. If the next
    publish is replacing files, and this is called again soon (`is_polled`), `previous` is kept once, so that no
    snapshot has files of two publishes. Raises ShortageError.
    """
    stamp = None
    try:
        with source.opened() as opened:
            found = opened.manifest(previous.stamp)
            if found is None:
                return previous
            stamp = found.stamp
            manifest = parse_manifest(found.raw)
            if previous.problem:
                _logger.info("%s/%s can be used again", source.where, MANIFEST_PATH)
            return _build_snapshot(opened, manifest, previous, stamp, bodies, source.read_ahead, can_wait=is_polled)
    except (OSError, ValueError, BucketError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        if is_missing and (source.exists() or not previous.files):
            return EMPTY_SNAPSHOT
        if isinstance(error, OSError):
            ShortageError.check(error)
        # a missing folder, such as an unmounted disk, keeps its files
        problem = f"{source.where} is missing" if is_missing else str(error)
        if problem == previous.problem and stamp == previous.stamp:
            return previous
        what = f"{source.where}/{MANIFEST_PATH} cannot be used; the previous files are still served"
        _logger.warning("%s: %s", what, problem)
        return replace(previous, stamp=stamp, problem=problem)


def read_body(source: DocumentSource, file: ServedFile, bodies: Bodies, *, packed: bool) -> ServedFile | None:
    """The file with the variants in memory that one response needs; None if it cannot be read. Blocks.

    `bodies` keeps the variant for more responses. If the source has other bytes by now, because a publish is about to
    write its manifest, the result is what is there, with its own ETag and without a date, and nothing is kept. Raises
    BucketError.
    """
    whole, identity = copy(file), file.identity
    if identity is None:
        content = source.document(file.path)
        if content is None:
            return None
        if digest_of(content.body) != file.digest:
            return _whole_file(file.path, content, replaces=True, packed=packed)
        identity = file.make_variant(content.body)
    whole.identity = identity
    if packed:
        whole.compress()
    bodies.keep(file, (packed and whole.gzip) or identity)
    return whole


def read_other(source: DocumentSource, snapshot: Snapshot, path: str, *, packed: bool) -> ServedFile | None:
    """An archive page or a foreign file, with its gzip variant if `packed` and if it has one; None if there is none or
    it must not be served. Blocks. Raises BucketError."""
    is_page = is_archive_page(path) and f"/{path.partition('/')[0]}" in snapshot.folders
    content = source.other(path) if is_page or source.has_others else None
    entry = snapshot.entries.get(path)
    return content and _whole_file(path, content, may_vary=is_archive_page(path), entry=entry, packed=packed)


def _whole_file(
    path: str,
    content: Content,
    *,
    packed: bool,
    may_vary: bool = True,
    entry: ManifestEntry | None = None,
    replaces: bool = False,
) -> ServedFile:
    """The file with its variants. If it has other bytes than its `entry` in the manifest, a publish is about to write
    the next one."""
    body, facts = content
    digest = digest_of(body)
    modified = entry.modified if entry is not None and entry.digest == digest else 0
    replaces = replaces or (entry is not None and entry.digest != digest)
    file = ServedFile(path, digest, facts, may_vary=may_vary, modified=modified, replaces=replaces)
    file.identity = file.make_variant(body)
    if packed:
        file.compress()
    return file


def make_file(path: str, body: bytes) -> ServedFile:
    """A document that is made for a request, with all its variants."""
    return _whole_file(path, Content(body, FileFacts(len(body), 0)), packed=True, replaces=True)


def is_shared(path: str) -> bool:
    """True if scripts of other sites may read the path (CORS)."""
    return path.endswith((".xml", ".json", ".opml"))


def _url_paths(path: str) -> tuple[str, ...]:
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
            redirects.update(dict.fromkeys(_url_paths(path), new.removesuffix("index.html")))
    return redirects


def _build_snapshot(
    opened: OpenSource,
    manifest: Manifest,
    previous: Snapshot,
    stamp: Hashable,
    bodies: Bodies,
    read_ahead: float,
    *,
    can_wait: bool,
) -> Snapshot:
    """The snapshot of a manifest; with the files of `previous` if files differ from it for the first time, and it
    `can_wait`."""
    found: dict[str, ServedFile] = {}
    changed: dict[str, FileFacts] = {}
    for path, entry in manifest.files.items():
        if is_archive_page(path):
            continue
        file = previous.files.get(f"/{path}")
        if file is None or file.digest != entry.digest or entry.modified not in (0, file.last_modified):
            facts = opened.facts(path, entry)
            if facts is None:
                continue
            changed[path] = facts
            file = ServedFile(path, entry.digest, facts, modified=entry.modified, replaces=file is not None)
        found[path] = file
    useful = _useful(changed, previous, bodies.room)
    read = _read_changed(opened, itertools.islice(useful, int(min(read_ahead, len(changed)))), found, previous)
    differs = any(found[path].digest != manifest.files[path].digest for path in changed)
    if differs and can_wait and previous.files and stamp != previous.busy:
        return replace(previous, stamp=None, busy=stamp, problem="")
    files = {url: file for path, file in found.items() for url in _url_paths(path)}
    bodies.forget(set(previous.files.values()).difference(files.values()))
    for file, variant in read:
        bodies.keep(file, variant)
    removed = frozenset(url for path in manifest.removed for url in _url_paths(path))
    redirects = MappingProxyType(_redirects(manifest))
    return Snapshot(MappingProxyType(files), manifest.files, _folders(files), removed, redirects, stamp)


def _useful(changed: Mapping[str, FileFacts], previous: Snapshot, room: float) -> Iterator[str]:
    """The files for which there is room, the most useful first: those whose last version is in memory because readers
    asked for it, then feeds, then pages, each from the smallest on.

    The versions before have their room until the snapshot is swapped: responses are still made from them. So with full
    memory nothing is read here, and the first response of a changed file reads it, which takes a tenth of its gzip.
    """

    def use(path: str) -> tuple[bool, bool, int]:
        before = previous.files.get(f"/{path}")
        return before is None or not any(before.held()), path.endswith(".html"), changed[path].size

    for path in sorted(changed, key=use):
        if (size := changed[path].size + OVERHEAD_BYTES) <= room:
            room -= size
            yield path


def _read_changed(
    opened: OpenSource, paths: Iterable[str], found: dict[str, ServedFile], previous: Snapshot
) -> list[tuple[ServedFile, Variant]]:
    """Reads files. `found` gets what was read."""
    read = []
    for path, content in opened.contents(paths):
        if content is None:
            continue
        digest, before = digest_of(content.body), previous.files.get(f"/{path}")
        if before is not None and before.digest == digest:  # not what the manifest names, but still the same
            found[path] = before
            continue
        file = found[path]
        if digest != file.digest:
            file = found[path] = ServedFile(path, digest, content.facts, replaces=before is not None)
        read.append((file, file.make_variant(content.body)))
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
