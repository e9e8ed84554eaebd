"""Search over HTTP: `/search` for people, and the same query as a feed in every format."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from aggregator.config import Config
from aggregator.documents import ALL, PAGE
from aggregator.feeds.published import topic_slugs
from aggregator.feeds.search import LIMIT, Found, QueryError, parse_query, search
from aggregator.feeds.window import FeedLoader
from aggregator.ids import IdMint
from aggregator.model import Document, Feed
from aggregator.problems import local_time
from aggregator.serve.app import Answer
from aggregator.serve.files import ServedFile, make_file
from aggregator.settings import FILE_NAMES
from aggregator.store.database import Store
from aggregator.store.revision import read_mark
from aggregator.unicode import xml_text

SLUG = "search"
MAX_CACHED_BYTES = 8_000_000
MAX_QUERY_STRING = 2_000


class Search:
    """Answers searches from the store. Thread-safe; answers are cached until a cycle changes something. `site_id`
    returns the site id once the store is open."""

    def __init__(self, config: Config, store: Store, site_id: Callable[[], str]) -> None:
        self._store, self._site_id = store, site_id
        self._lock = threading.Lock()
        self.activate(config)

    def activate(self, config: Config) -> None:
        """Searches by this config from now on."""
        # no hub gets a ping for a search, so no reader may wait for one
        site, options = replace(config.site_facts(), hub_urls=()), config.output_options()
        with self._lock:
            self._site, self._options = site, options
            self._loader = FeedLoader(config.feed_policy(), site, options)
            self._cache: OrderedDict[tuple[str, str], tuple[Hashable, ServedFile]] = OrderedDict()
            self._cached_bytes = 0

    def paths(self) -> frozenset[str]:
        """The URL paths that this answers."""
        pages = {f"/{SLUG}", f"/{SLUG}/"} if self._options.pages else set()
        return frozenset(pages | {f"/{SLUG}/{FILE_NAMES[form]}" for form in self._options.formats})

    def answer(self, path: str, query_string: bytes, published: Hashable) -> Answer:
        """The answer for a URL path of `paths`. `published` differs once something is published. Blocks. Raises
        StoreError.

        An entry can also change without a publish, if it is in no document; then the store has another revision.
        """
        values = parse_qs(query_string[:MAX_QUERY_STRING].decode("ascii", "replace"))
        text = " ".join(xml_text(" ".join(values.get("q", [""]))).split())
        key, loader = (path, text), self._loader
        with self._store.read() as connection:
            state = published, read_mark(connection)
        with self._lock:
            cached = self._cache.get(key)
            if cached and cached[0] == state:
                self._cache.move_to_end(key)
                return Answer(200, cached[1])
        answer = self._search(path, text, loader)
        if answer.status == 200 and answer.file is not None:
            self._keep(key, state, answer.file, loader)
        return answer

    def _search(self, path: str, text: str, loader: FeedLoader) -> Answer:
        name = path.removeprefix(f"/{SLUG}").removeprefix("/") or PAGE
        problem, found = "", Found((), 0, None)
        try:
            query = parse_query(text)
        except QueryError as error:
            problem = str(error)
            if name != PAGE:
                return Answer(400, None, problem[:1].upper() + problem[1:] or "Write the words to search for as ?q=…")
        else:
            with self._store.read() as connection:
                found = search(connection, loader, query)
        document = self._page(path, text, problem, found) if name == PAGE else self._feed(name, text, found)
        file = make_file(document.path, document.body)
        return Answer(400 if problem else 200, file)

    def _feed(self, name: str, text: str, found: Found) -> Document:
        from aggregator.render import render_feed

        documents = render_feed(self._heading(text, found), self._site, self._options, pages=False)
        return next(document for document in documents if document.path == f"{SLUG}/{name}")

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

    def _keep(self, key: tuple[str, str], state: Hashable, file: ServedFile, loader: FeedLoader) -> None:
        with self._lock:
            if loader is not self._loader:  # of an older config
                return
            before = self._cache.pop(key, None)
            self._cache[key] = (state, file)
            self._cached_bytes += _size(file) - (_size(before[1]) if before else 0)
            while self._cached_bytes > MAX_CACHED_BYTES:
                _, (_, dropped) = self._cache.popitem(last=False)
                self._cached_bytes -= _size(dropped)


def _size(file: ServedFile) -> int:
    return sum(variant.size for variant in file.held())


def _reach(found: Found, zone: ZoneInfo) -> str:
    """How far back a search looked; empty if it looked through all stories."""
    if found.back_to is None:
        return ""
    from aggregator.render.articles import date_in_words

    day = date_in_words(local_time(found.back_to, zone))
    return f"The search went back to {day}, through {found.read:,} stories."
