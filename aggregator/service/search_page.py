"""Search over HTTP: `/search` for people, and the same query as a feed in every format."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from aggregator.config import Config
from aggregator.documents import ALL, PAGE
from aggregator.feeds.feed_list import topic_slugs
from aggregator.feeds.search import LIMIT, Found, QueryError, parse_query, search
from aggregator.feeds.window import FeedLoader
from aggregator.ids import IdMint
from aggregator.model import Document, Feed
from aggregator.problems import local_time
from aggregator.serve.files import ServedFile, make_file
from aggregator.settings import FILE_NAMES
from aggregator.store.database import Store
from aggregator.store.revision import read_mark
from aggregator.unicode import xml_text

SLUG = "search"
MAX_QUERY_STRING = 2_000
MAX_CACHED = 32
"""Answers that are kept."""


class Search:
    """Answers searches from the store, by one config. Thread-safe; the latest answers are cached until a cycle changes
    something. `site_id` returns the site id once the store is open."""

    def __init__(self, config: Config, store: Store, site_id: Callable[[], str]) -> None:
        self._store, self._site_id = store, site_id
        # no hub gets a ping for a search, so no reader may wait for one
        self._site, self._options = replace(config.site_facts(), hub_urls=()), config.output_options()
        self._loader = FeedLoader(config.feed_policy(), self._site, self._options)
        pages = {f"/{SLUG}", f"/{SLUG}/"} if self._options.pages else set()
        self.paths = frozenset(pages | {f"/{SLUG}/{FILE_NAMES[form]}" for form in self._options.formats})
        searches: Search = weakref.proxy(self)  # so that the cache goes with the config, without a garbage collection

        @lru_cache(maxsize=MAX_CACHED)
        def cached(path: str, text: str, state: Hashable) -> ServedFile | tuple[bytes, bytes]:
            return searches._search(path, text, state)

        self._cached = cached

    def answer(self, path: str, query_string: bytes, published: Hashable) -> ServedFile | tuple[bytes, bytes]:
        """The answer for a URL path of `paths`; if there is none, a media type and a text that says why. `published` is
        another value after each publish. Blocks. Raises StoreError.

        An entry can also change without a publish, if it is in no document; then the store has another revision.
        """
        values = parse_qs(query_string[:MAX_QUERY_STRING].decode("ascii", "replace"))
        text = " ".join(xml_text(" ".join(values.get("q", [""]))).split())
        with self._store.read() as connection:
            state = published, read_mark(connection)
        return self._cached(path, text, state)

    def _search(self, path: str, text: str, _state: Hashable) -> ServedFile | tuple[bytes, bytes]:
        name = path.removeprefix(f"/{SLUG}").removeprefix("/") or PAGE
        problem, found = "", Found((), 0, None)
        try:
            query = parse_query(text)
        except QueryError as error:
            problem = str(error)
            if name != PAGE:
                reason = problem[:1].upper() + problem[1:] or "Write the words to search for as ?q=…"
                return b"text/plain; charset=utf-8", f"{reason}\n".encode()
        else:
            with self._store.read() as connection:
                found = search(connection, self._loader, query)
        document = self._page(path, text, problem, found) if name == PAGE else self._feed(name, text, found)
        if problem:
            return b"text/html; charset=utf-8", document.body
        return make_file(document.path, document.body)

    def _feed(self, name: str, text: str, found: Found) -> Document:
        from aggregator.render import render_feed

        forms = tuple(form for form in self._options.formats if FILE_NAMES[form] == name)
        options = replace(self._options, formats=forms)
        (document,) = render_feed(self._heading(text, found), self._site, options, pages=False)
        return document

    def _heading(self, text: str, found: Found) -> Feed:
        """The search as a feed. Its id is made from the query, its date is that of its newest entry."""
        return Feed(
            slug=SLUG,
            id=IdMint(self._site_id()).feed_id(f"{SLUG}:{text}"),
            title=f"Search: {text}",
            description=f"Stories of {self._site.title} with {text}",
            language=self._site.language,
            updated=max((entry.updated for entry in found.entries), default=datetime(2000, 1, 1, tzinfo=UTC)),
            full=False,
            version=0,
            entries=found.entries,
            withdrawn=(),
            query=urlencode({"q": text}),
        )

    def _page(self, path: str, text: str, problem: str, found: Found) -> Document:
        from aggregator.render.pages import render_search_page

        with self._store.read() as connection:
            linked = frozenset(topic_slugs(connection, self._loader.policy).values()) | {ALL}
        root = "../" if path.endswith("/") else "./"
        return render_search_page(
            self._heading(text, found), self._site, self._options, linked, root=root, query=text, problem=problem,
            reach=_reach(found, self._site.timezone), newest_only=len(found.entries) == LIMIT,
        )  # fmt: skip


def _reach(found: Found, zone: ZoneInfo) -> str:
    """How far back a search looked; empty if it looked through all stories."""
    if found.back_to is None:
        return ""
    from aggregator.render.articles import date_in_words

    day = date_in_words(local_time(found.back_to, zone))
    return f"The search went back to {day}, through {found.read:,} stories."
