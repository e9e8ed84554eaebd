"""The ASGI applications: published files from memory, redirects and probes; and what only operators see."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import posixpath
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from time import time
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from aggregator.concurrency.threads import Threads
from aggregator.documents import SEARCH_STYLE, SHOWS_SEARCH, cache_control, content_security_policy
from aggregator.errors import BucketError, ShortageError, StoreError, crash_report
from aggregator.serve.bodies import Bodies, Headers
from aggregator.serve.direct import is_direct
from aggregator.serve.files import CORS, NOSNIFF, ServedFile, Snapshot, is_shared, make_file, read_body, read_other
from aggregator.serve.request_headers import (
    accepts_html,
    is_precondition_met,
    matches_etag,
    parse_http_date,
    prefers_gzip,
)
from aggregator.serve.source import DocumentSource
from aggregator.settings import FILE_NAMES, OutputOptions, Site

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Response = tuple[int, Headers, bytes]
Made = TypeVar("Made")
Probe = Callable[[], tuple[bool, dict[str, Any]]]
"""Returns whether all is well, and the facts for the response. Runs in a thread."""
Page = Callable[[], tuple[int, bytes, bytes]]
"""Returns status, media type and body of a page that is made on request. Runs in a thread."""


SEARCH_THREADS, MAX_SEARCHES = 2, 16
"""Searches that run at a time, and those that run or wait."""
READ_THREADS, PAGE_THREADS = 16, 6
"""Files that are read at a time, and probes and pages that are made at a time."""
MAX_DEPTH = 100
"""Most folders of a URL with a page for an error, which repeats `../` for each in each link."""


class Searcher(Protocol):
    """Answers searches."""

    paths: frozenset[str]
    """The URL paths that it answers."""

    def answer(self, path: str, query_string: bytes, published: Hashable) -> ServedFile | tuple[bytes, bytes]:
        """The answer; if there is none, a media type and a text that says why. `published` is another value after each
        publish. Runs in a thread. Raises StoreError."""


_TEXT = b"text/plain; charset=utf-8"
_HTML = b"text/html; charset=utf-8"
_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")
_NOTHING = b"There is nothing at this URL.\n"
# Of a feed that somebody opens in a browser: browsers show the types of feeds as plain text, without the stylesheet.
_READABLE = (b"content-type", b"text/xml; charset=utf-8")
_UNREADABLE = b"This cannot be read at the moment.\n"
_RETRY = (b"retry-after", b"10")
_NOTHING_YET = b"Nothing is published here yet.\n"
_BUSY = b"Too many searches at once; try again in a moment.\n"
_NO_STORE = (b"cache-control", b"no-store")
# Fetch standard, "CORS-preflight": browsers send one before a request with validators.
_PREFLIGHT: Headers = (
    CORS,
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"If-None-Match, If-Modified-Since"),
    (b"access-control-max-age", b"86400"),
)
# An encoded slash would give one file two URLs; backslash and NUL are in no path.
_FORBIDDEN_ESCAPE = re.compile(rb"%(?:2f|5c|00)", re.IGNORECASE)
_POLICY, _FRAMES = b"content-security-policy", b"frame-ancestors 'self'"
_CONDITIONS = frozenset(
    (b"accept-encoding", b"if-none-match", b"if-modified-since", b"sec-fetch-dest", b"if-match", b"if-unmodified-since")
)
_ICON = "/assets/icon.svg"
_ERRORS = {404: "There is nothing at this URL.", 410: "This was removed."}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedState:
    """Everything that responses depend on. The app swaps it as a whole, so a request never sees half of a change."""

    snapshot: Snapshot
    bodies: Bodies  # what is in memory of its files
    source: DocumentSource  # where other files, and bodies that are not in memory, are read from
    caching: Headers  # `Cache-Control` of responses that caches may keep
    redirects: Mapping[str, bytes]  # old URL paths -> values of `Location`
    moved_folders: Mapping[str, str]  # old folders -> new ones, with everything below them
    links: Mapping[str, Headers]  # URL paths of feeds -> `Link` with the WebSub hubs
    page: Headers  # header fields of our own pages: what they may load, and what they tell other sites
    replaced: Mapping[str, ServedFile]  # URL paths of files -> what is served in their place
    searcher: Searcher | None
    # Renders the page for a status, with the relative path to the home page; None: the site has no pages.
    error_page: Callable[[int, str], bytes] | None


def make_state(
    snapshot: Snapshot,
    *,
    source: DocumentSource,
    bodies: Bodies,
    max_age_s: int,
    moved: Mapping[str, str],
    moved_folders: Mapping[str, str],
    site: Site,
    options: OutputOptions,
    searcher: Searcher | None = None,
) -> ServedState:
    """The state for a snapshot. `moved` maps old paths of the output folder to new ones, both with or without a final
    slash; a new one that begins with a slash becomes the `Location` as it is. Redirects go before files. With a
    `searcher`, pages show a box to search.
    """
    return ServedState(
        snapshot=snapshot,
        bodies=bodies,
        source=source,
        caching=((b"cache-control", cache_control(max_age_s).encode()),),
        redirects={f"/{old}": _location(f"/{old}", new) for old, new in moved.items()},
        moved_folders=moved_folders,
        links=hub_links(snapshot, site),
        page=(
            (_POLICY, f"{content_security_policy(site.icon, options)}; ".encode() + _FRAMES),
            (b"referrer-policy", b"strict-origin-when-cross-origin"),
        ),
        replaced={f"/{SEARCH_STYLE}": make_file(SEARCH_STYLE, SHOWS_SEARCH)} if searcher else {},
        searcher=searcher,
        error_page=_error_pages(site, options) if options.pages else None,
    )


def _error_pages(site: Site, options: OutputOptions) -> Callable[[int, str], bytes]:
    """Renders pages for errors; the latest are cached."""

    @lru_cache(maxsize=64)
    def render(status: int, root: str) -> bytes:
        from aggregator.render.pages import render_error_page  # its templates take long to import

        return render_error_page(status, site, options, root=root)

    return render


def hub_links(snapshot: Snapshot, site: Site) -> Mapping[str, Headers]:
    """`Link` of each feed (WebSub section 4): its hubs, and itself as the topic to subscribe to. Empty without hubs."""
    if not site.hub_urls:
        return {}
    hubs = "".join(f'<{hub}>; rel="hub", ' for hub in site.hub_urls)
    feeds = (path for path in snapshot.files if path.rpartition("/")[2] in FILE_NAMES.values())
    return {path: ((b"link", f'{hubs}<{site.base_url}{path[1:]}>; rel="self"'.encode()),) for path in feeds}


class Application(ABC):
    """What both applications have in common; `responses` counts by status."""

    def __init__(self) -> None:
        self.responses: dict[int, int] = defaultdict(int)
        _page_threads()  # they start now, and not when memory is short

    def respond_at_once(self, _scope: Scope) -> Response | None:
        """The response, if it needs no thread. The caller sends and counts it."""
        return None

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            status, headers, body = await self._respond(scope)
        except Exception as error:  # noqa: BLE001 - the next request may succeed
            _logger.error("%s %r failed. %s", scope["method"], scope["path"], crash_report(error))  # noqa: TRY400
            status, headers, body = _page(500, _TEXT, b"Something went wrong here; it was logged.\n", _NO_STORE)
        self.responses[status] += 1
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    @abstractmethod
    async def _respond(self, scope: Scope) -> Response: ...


class AdminApp(Application):
    """Pages for operators, without the feeds: the application of `serve.admin_port`."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        super().__init__()
        self._pages = pages

    async def _respond(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return _respond_to_other_method(scope["method"], scope["path"])
        page = self._pages.get(scope["path"])
        return await _respond_with_page(page) if page else _page(404, _TEXT, _NOTHING, _NO_STORE)


class FeedsApp(Application):
    """Responds from `state`, which may be replaced while requests run.

    `private` are pages that show what is not public. Only direct requests get them, and only if `shows_private`, which
    is for a socket that listens on loopback.
    """

    def __init__(self, state: ServedState, *, health: Probe, ready: Probe) -> None:
        super().__init__()
        self.state = state
        self._searches, self._search_threads = 0, Threads(SEARCH_THREADS)
        self.private: dict[str, Page] = {}
        self.shows_private = False
        self._reads, self._read_threads = 0, Threads(READ_THREADS)
        self._readings: dict[tuple[ServedFile, bool], asyncio.Task[ServedFile | None]] = {}
        self._probes = {"/healthz": _probe_page(health), "/readyz": _probe_page(ready)}

    def admin_app(self) -> AdminApp:
        """The application with the private pages and the probes."""
        home = {"/": self.private["/status"]} if "/status" in self.private else {}
        return AdminApp(self._probes | self.private | home)

    def respond_at_once(self, scope: Scope) -> Response | None:
        """The response for a published file whose body is in memory, or a redirect."""
        state, path = self.state, scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            return _respond_to_other_method(scope["method"], path)
        if _is_forbidden(scope):
            return None
        if (location := _find_redirect(state, path)) is not None:
            return _redirect(scope, location, state)
        if (file := state.snapshot.files.get(path)) is not None:
            return _respond_with_file(scope, state.replaced.get(path, file), state)
        return _redirect_to_folder(scope, state) if f"{path}/" in state.snapshot.files else None

    async def _respond(self, scope: Scope) -> Response:
        if (response := self.respond_at_once(scope)) is not None:
            return response
        try:
            response = await self._respond_later(scope)
        except (ShortageError, BucketError, StoreError):  # readers are not told where the bucket or the database is
            response = None
        return response or _page(503, _TEXT, _UNREADABLE, _RETRY, _NO_STORE)

    async def _respond_later(self, scope: Scope) -> Response | None:
        """The response; None if the file cannot be read."""
        state, path = self.state, scope["path"]
        if _is_forbidden(scope):
            return await _respond_with_error(404, scope, state, _NO_STORE)
        if (file := state.snapshot.files.get(path)) is not None:
            whole = await self._whole(file, state, packed=_takes_gzip(scope))
            return _respond_with_file(scope, whole, state) if whole else None
        if state.searcher is not None and path in state.searcher.paths:
            return await self._respond_to_search(scope, state, state.searcher)
        return await self._respond_without_file(scope, state)

    async def _respond_to_search(self, scope: Scope, state: ServedState, searcher: Searcher) -> Response | None:
        """In threads of its own, so that no probe and no other file waits for searches."""
        if self._searches >= MAX_SEARCHES:
            return _page(503, _TEXT, _BUSY, CORS, _RETRY, _NO_STORE)
        self._searches += 1
        try:
            query = scope["query_string"]
            answering = self._search_threads.submit(searcher.answer, scope["path"], query, state.snapshot.stamp)
            answer = await asyncio.wrap_future(answering)
        finally:
            self._searches -= 1
        if isinstance(answer, ServedFile):
            return _respond_with_file(scope, answer, state)
        media_type, text = answer
        return _page(400, media_type, text, *((CORS,) if media_type == _TEXT else state.page), _NO_STORE)

    async def _respond_without_file(self, scope: Scope, state: ServedState) -> Response:
        """The response for a path that is not in the snapshot."""
        path = scope["path"]
        if page := self._probes.get(path):
            return await _respond_with_page(page)
        private = self.private.get(path) if self.shows_private else None
        if private and is_direct(scope["headers"], scope["http_version"]):
            return await _respond_with_page(private)
        response = None
        if path.startswith("/"):
            name = path[1:] if path[-1] != "/" else f"{path[1:]}index.html"
            whole = await self._read_other(state, name, scope)
            response = _respond_with_file(scope, whole, state) if whole else None
            # of one of our folders, which may have a page of others
            if path in state.snapshot.folders and await self._read_other(state, f"{name}/index.html", scope):
                response = _redirect_to_folder(scope, state)
        return response or await self._respond_without_anything(scope, state)

    async def _read_other(self, state: ServedState, path: str, scope: Scope) -> ServedFile | None:
        read = partial(read_other, state.source, state.snapshot, path, packed=_takes_gzip(scope))
        return await self._read(state.source, read)

    async def _respond_without_anything(self, scope: Scope, state: ServedState) -> Response:
        """The response for a path at which there is nothing."""
        path = scope["path"]
        if path == "/favicon.ico" and _ICON in state.snapshot.files:  # browsers ask for it when they show a feed
            return _redirect(scope, _location(path, _ICON[1:]), state)
        cors = (CORS,) if is_shared(path) else ()
        if path in state.snapshot.removed:
            return await _respond_with_error(410, scope, state, *cors, *state.caching)
        if state.snapshot.is_empty:  # nobody knows yet what there is
            return _page(503, _TEXT, _NOTHING_YET, _RETRY, _NO_STORE)
        return await _respond_with_error(404, scope, state, *cors, _NO_STORE)

    async def _whole(self, file: ServedFile, state: ServedState, *, packed: bool) -> ServedFile | None:
        """What `read_body` returns. Requests for the same body share one reading."""
        key = file, packed and file.compressible
        if (reading := self._readings.get(key)) is None:
            read = partial(read_body, state.source, file, state.bodies, packed=packed)
            reading = asyncio.ensure_future(self._read(state.source, read))
            self._readings[key] = reading
            reading.add_done_callback(lambda _: self._readings.pop(key))
        return await asyncio.shield(reading)

    async def _read(self, source: DocumentSource, read: Callable[[], ServedFile | None]) -> ServedFile | None:
        """What `read` returns. In threads of its own, so that no probe waits for a slow bucket or disk."""
        if self._reads >= source.max_waiting:
            raise ShortageError("too many requests wait for documents")
        self._reads += 1
        try:
            return await asyncio.wrap_future(self._read_threads.submit(read))
        finally:
            self._reads -= 1


def _is_forbidden(scope: Scope) -> bool:
    """Whether the URL has an escape that no path of a file has."""
    raw_path = scope["raw_path"]
    return b"%" in raw_path and _FORBIDDEN_ESCAPE.search(raw_path) is not None


def _respond_with_file(scope: Scope, file: ServedFile, state: ServedState) -> Response | None:
    """200, 304 or 412; None if that takes a body that is not in memory. If-Match and If-Unmodified-Since count first,
    and If-None-Match takes precedence over If-Modified-Since (RFC 9110 section 13.2.2)."""
    fields = _conditions(scope)
    if (b"if-match" in fields or b"if-unmodified-since" in fields) and not _is_met(fields, file):
        cors = (CORS,) if is_shared(scope["path"]) else ()
        return _page(412, _TEXT, b"The file at this URL is another one.\n", *cors, _NO_STORE)
    packed = file.compressible and b"accept-encoding" in fields and prefers_gzip(fields[b"accept-encoding"])
    as_text = file.is_feed and fields.get(b"sec-fetch-dest") == b"document"
    date = file.date_at(time())
    more = date + (state.page if file.is_page else state.links.get(scope["path"], ()))
    more += state.caching
    if tags := fields.get(b"if-none-match"):
        # Section 13.1.2 compares with the representation that would be sent now. A reader that has the other encoding
        # gets the whole file once, because a 304 would name an ETag that it does not have.
        unchanged = matches_etag(tags, file.etag(packed=packed, as_text=as_text))
    else:
        since = fields.get(b"if-modified-since", b"")
        unchanged = bool(date and since) and (parse_http_date(since) or -1) >= file.last_modified
    if unchanged:
        return 304, file.unchanged(packed=packed, as_text=as_text) + more, b""
    variant = file.gzip if packed else file.identity
    if variant is None:
        return None
    variant.is_used = True
    if as_text:
        described = variant.headers[1 : 3 if packed else 2]  # length and encoding
        return 200, (_READABLE, *described, *file.unchanged(packed=packed, as_text=True), *more), variant.body
    return 200, variant.headers + more, variant.body


def _conditions(scope: Scope) -> dict[bytes, bytes]:
    """The header fields that a representation depends on. The lines of a field are one list (RFC 9110 section 5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _CONDITIONS:
            fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


def _is_met(fields: Mapping[bytes, bytes], file: ServedFile) -> bool:
    forms = itertools.product({False, file.compressible}, {False, file.is_feed})
    etags = {file.etag(packed=packed, as_text=as_text) for packed, as_text in forms}
    match, since = fields.get(b"if-match", b""), fields.get(b"if-unmodified-since", b"")
    return is_precondition_met(match, since, etags, file.last_modified)


def _takes_gzip(scope: Scope) -> bool:
    return prefers_gzip(_field(scope, b"accept-encoding"))


def _field(scope: Scope, name: bytes) -> bytes:
    """The value of a header field, from all of its lines."""
    return b",".join(value for key, value in scope["headers"] if key == name)


def _probe_page(probe: Probe) -> Page:
    def page() -> tuple[int, bytes, bytes]:
        well, facts = probe()
        return 200 if well else 503, b"application/json", json.dumps(facts).encode()

    return page


@cache
def _page_threads() -> Threads:
    return Threads(PAGE_THREADS)


async def _make_page(make: Callable[..., Made], *args: object) -> Made:
    """What `make` returns, in a thread."""
    return await asyncio.wrap_future(_page_threads().submit(make, *args))


async def _respond_with_page(page: Page) -> Response:
    status, media_type, body = await _make_page(page)
    policy = ((_POLICY, _FRAMES),) if media_type.startswith(b"text/html") else ()  # the page says the rest itself
    return _page(status, media_type, body, *policy, _NO_STORE)


def _find_redirect(state: ServedState, path: str) -> bytes | None:
    """The `Location` for an old URL. The folder may have a copy there, for servers without redirects."""
    if state.moved_folders:
        slug, _, name = path[1:].partition("/")
        if slug in state.moved_folders and posixpath.normpath(path) == path.rstrip("/"):
            return _location(path, f"{state.moved_folders[slug]}/{name}")
    if (target := state.snapshot.redirects.get(path)) is not None:
        return _location(path, target)
    return state.redirects.get(path)


def _redirect(scope: Scope, location: bytes, state: ServedState) -> Response:
    query = scope["query_string"]
    target = (b"location", location + b"?" + query if query else location)
    cors = (CORS,) if is_shared(scope["path"]) else ()
    return _page(301, _TEXT, b"Moved to another URL.\n", target, *cors, *state.caching)


def _redirect_to_folder(scope: Scope, state: ServedState) -> Response:
    """To the page of the folder at this path."""
    return _redirect(scope, _location(scope["path"], f"{scope['path'][1:]}/"), state)


def _page(status: int, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> Response:
    return status, ((b"content-type", media_type), (b"content-length", b"%d" % len(body)), NOSNIFF, *more), body


def _respond_to_other_method(method: str, path: str) -> Response:
    if method == "OPTIONS":
        return 204, (_ALLOW, NOSNIFF, *(_PREFLIGHT if is_shared(path) else ())), b""
    return _page(405, _TEXT, b"Only GET and HEAD work here.\n", _ALLOW, _NO_STORE)


async def _respond_with_error(status: int, scope: Scope, state: ServedState, *more: tuple[bytes, bytes]) -> Response:
    """404 or 410: a page for people, a line for programs."""
    vary = (b"vary", b"accept")
    depth = scope["raw_path"].count(b"/") - 1
    if state.error_page is None or depth > MAX_DEPTH or not accepts_html(_field(scope, b"accept")):
        return _page(status, _TEXT, f"{_ERRORS[status]}\n".encode(), vary, *more)
    # A relative link also works where a proxy serves the folder under a prefix. The page does not repeat the URL.
    body = await _make_page(state.error_page, status, "../" * depth)
    return _page(status, _HTML, body, vary, *state.page, *more)


def _location(url: str, target: str) -> bytes:
    """The `Location` of a 301 at `url`: relative for a path of the folder, for proxies that add a prefix."""
    if target.startswith("/"):
        return quote(target).encode()
    relative = posixpath.relpath(f"/{target}", posixpath.dirname(url))
    return quote(f"{relative}/" if target.endswith("/") else relative).encode()
