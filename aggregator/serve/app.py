"""The ASGI application: published files from memory, probes and private pages beside them."""

from __future__ import annotations

import asyncio
import json
import logging
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote

from aggregator.errors import crash_report
from aggregator.serve.conditional import accepts_html, matches_etag, parse_http_date, prefers_gzip
from aggregator.serve.files import CORS, NOSNIFF, Headers, ServedFile, Snapshot, is_feed, read_from_disk

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Response = tuple[int, Headers, bytes]
Probe = Callable[[], tuple[bool, dict[str, Any]]]

_TEXT = b"text/plain; charset=utf-8"
_HTML = b"text/html; charset=utf-8"
_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")
_NO_STORE = (b"cache-control", b"no-store")
# Fetch standard, "CORS-preflight": a page that sends validators of its own asks first.
_PREFLIGHT: Headers = (
    CORS,
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"If-None-Match, If-Modified-Since"),
    (b"access-control-max-age", b"86400"),
)
# An encoded slash would make two addresses of one; the others are never part of an address.
_FORBIDDEN_ESCAPE = re.compile(rb"%(?:2f|5c|00)", re.IGNORECASE)
_FORWARDED = re.compile(rb"forwarded|x-forwarded-.*|x-real-ip|via")
_NOT_FOUND_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Not found</title>
<style>body {{ margin: 15vh auto; max-width: 36rem; padding: 0 1.25rem; font: 1rem/1.6 system-ui, sans-serif }}</style>
<h1>There is nothing at this address</h1>
<p>It may be misspelt, or the feed may have another name now. <a href="{home}">All feeds</a> are on the first page.
</html>
"""
_logger = logging.getLogger(__name__)


class FeedsApp:
    """Answers from `snapshot`, which is replaced by assignment while requests run.

    `max_age_s` is how long caches may keep an answer. `moved` maps old paths of the folder to new ones, `old/` to
    `new/` as much as `old/rss.xml` to `new/rss.xml`; a new one with a leading slash is sent as it is. `moved_folders`
    maps folders with all that is below them, `old` to `new`. Both go before files. Without `folder`, nothing is read
    from disk.
    `status_page` and `metrics` are shown only on the ports in `private_ports`, those of loopback listeners
    (`make_server` adds them), and only to requests that nobody forwarded. All callables run in threads.
    """

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        max_age_s: int,
        health: Probe,
        ready: Probe,
        status_page: Callable[[], bytes] | None = None,
        metrics: Callable[[], tuple[str, bytes]] | None = None,
        moved: Mapping[str, str] | None = None,
        moved_folders: Mapping[str, str] | None = None,
        folder: Path | None,
    ) -> None:
        self.snapshot = snapshot
        self.private_ports: set[int] = set()
        self._folder = folder
        self._caching: Headers = ((b"cache-control", b"public, max-age=%d" % max_age_s),)
        self._moved = {f"/{old}": _location(f"/{old}", new) for old, new in (moved or {}).items()}
        self._moved_folders = dict(moved_folders or {})
        self._probes = {"/healthz": partial(_report, health), "/readyz": partial(_report, ready)}
        self._private: dict[str, Callable[[], Response]] = {}
        if status_page is not None:
            self._private["/status"] = lambda: _page(200, _HTML, status_page(), _NO_STORE)
        if metrics is not None:
            self._private["/metrics"] = partial(_measure, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _decline(scope["type"], receive, send)
            return
        try:
            status, headers, body = await self._answer(scope)
        except Exception as error:  # noqa: BLE001 - the next request may succeed
            _logger.error("%s %r failed. %s", scope["method"], scope["path"], crash_report(error))  # noqa: TRY400
            status, headers, body = _page(500, _TEXT, b"Something went wrong here; it was logged.\n", _NO_STORE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> Response:
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            return _answer_other_method(scope["method"], path)
        raw_path = scope["raw_path"]
        if b"%" in raw_path and _FORBIDDEN_ESCAPE.search(raw_path):
            return _not_found(scope)
        if (location := self._find_move(path)) is not None:
            return self._redirect(scope, location)
        file = self.snapshot.files.get(path)
        return await (self._answer_beside(scope, path) if file is None else self._answer_file(scope, file))

    async def _answer_file(self, scope: Scope, file: ServedFile) -> Response:
        """200 or 304. If-None-Match beats If-Modified-Since (RFC 9110 section 13.2.2)."""
        encodings = tags = since = b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                encodings = encodings + b"," + value if encodings else value
            elif name == b"if-none-match":
                tags = tags + b"," + value if tags else value
            elif name == b"if-modified-since":
                since = since + b"," + value if since else value
        variant = file.identity
        if file.compressible and encodings and prefers_gzip(encodings):
            variant = file.gzip if file.gzip is not None else await asyncio.to_thread(file.compress)
        dated = file.is_dated(time())
        date = file.date if dated else ()
        # Section 13.1.2 compares with the representation that would be sent now. A reader that holds the other
        # encoding therefore gets the whole file once; to say 304 would name a tag that it does not hold.
        if tags:
            unchanged = matches_etag(tags, variant.etag)
        else:
            unchanged = dated and bool(since) and (parse_http_date(since) or -1) >= file.last_modified
        if unchanged:
            return 304, variant.unchanged + date + self._caching, b""
        return 200, variant.ok + date + self._caching, variant.body

    async def _answer_beside(self, scope: Scope, path: str) -> Response:
        """For everything that is not a published file."""
        if path in self.snapshot.folders:
            return self._redirect(scope, _location(path, f"{path[1:]}/"))
        if path in self.snapshot.gone:
            cors = (CORS,) if is_feed(path) else ()
            return _page(410, _TEXT, b"This was withdrawn and will not come back.\n", *cors, *self._caching)
        page = self._probes.get(path) or (self._private.get(path) if self._is_private(scope) else None)
        if page is not None:
            return await asyncio.to_thread(page)
        if self._folder is not None and path.startswith("/"):
            name = path[1:] if path[-1] != "/" else f"{path[1:]}index.html"
            file = await asyncio.to_thread(read_from_disk, self._folder, name)
            if file is not None:
                return await self._answer_file(scope, file)
        return _not_found(scope)

    def _find_move(self, path: str) -> bytes | None:
        """Where an old address leads. The folder may hold a copy there too, for servers that know no moves."""
        if self._moved_folders:
            slug, _, name = path[1:].partition("/")
            if slug in self._moved_folders:
                return _location(path, f"{self._moved_folders[slug]}/{name}")
        if (target := self.snapshot.moved.get(path)) is not None:
            return _location(path, target)
        return self._moved.get(path)

    def _redirect(self, scope: Scope, location: bytes) -> Response:
        query = scope["query_string"]
        target = (b"location", location + b"?" + query if query else location)
        cors = (CORS,) if is_feed(scope["path"]) else ()
        return _page(301, _TEXT, b"Moved to another address.\n", target, *cors, *self._caching)

    def _is_private(self, scope: Scope) -> bool:
        """Whether the request was made on this machine, to a listener that only this machine reaches."""
        server, client = scope["server"], scope["client"]
        return (
            bool(server and client)
            and server[1] in self.private_ports
            and ip_address(client[0]).is_loopback
            and not any(_FORWARDED.fullmatch(name) for name, _ in scope["headers"])
        )


class SwitchedApp:
    """Answers as `current` does, which `switch` replaces while requests run: each is answered by one of them alone."""

    def __init__(self, app: FeedsApp) -> None:
        self.current = app

    @property
    def private_ports(self) -> set[int]:
        """Those of every app that it answers as."""
        return self.current.private_ports

    def switch(self, app: FeedsApp) -> None:
        """From now on answers as `app` does."""
        app.private_ports = self.private_ports
        self.current = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.current(scope, receive, send)


def _report(probe: Probe) -> Response:
    fine, facts = probe()
    return _page(200 if fine else 503, b"application/json", json.dumps(facts).encode(), _NO_STORE)


def _measure(metrics: Callable[[], tuple[str, bytes]]) -> Response:
    media_type, body = metrics()
    return _page(200, media_type.encode(), body, _NO_STORE)


def _page(status: int, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> Response:
    return status, ((b"content-type", media_type), (b"content-length", b"%d" % len(body)), NOSNIFF, *more), body


def _answer_other_method(method: str, path: str) -> Response:
    if method == "OPTIONS":
        return 204, (_ALLOW, NOSNIFF, *(_PREFLIGHT if is_feed(path) else ())), b""
    return _page(405, _TEXT, b"Only GET and HEAD work here.\n", _ALLOW, _NO_STORE)


def _not_found(scope: Scope) -> Response:
    vary = (b"vary", b"accept")
    if not accepts_html(b",".join(value for name, value in scope["headers"] if name == b"accept")):
        return _page(404, _TEXT, b"There is nothing at this address.\n", vary, _NO_STORE)
    # Relative, so that it leads home also where a proxy puts the folder under a prefix. What the address says is not
    # shown again.
    home = "../" * (scope["raw_path"].count(b"/") - 1) or "./"
    return _page(404, _HTML, _NOT_FOUND_PAGE.format(home=home).encode(), vary, _NO_STORE)


def _location(url: str, target: str) -> bytes:
    """What a 301 at `url` says: relative for a path of the folder, so that a proxy may put it under a prefix."""
    if target.startswith("/"):
        return quote(target).encode()
    relative = posixpath.relpath(f"/{target}", posixpath.dirname(url))
    return quote(f"{relative}/" if target.endswith("/") else relative).encode()


async def _decline(kind: str, receive: Receive, send: Send) -> None:
    """Says yes to start and stop, and closes a websocket."""
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    message: Message = {"type": ""}
    while message["type"] != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
