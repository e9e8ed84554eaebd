"""Windows: the entries that the documents of a feed show, loaded from the store."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, or_, select

from aggregator.errors import RenderError
from aggregator.feeds.duplicates import read_others
from aggregator.feeds.feed_list import TopicTerms, describe, topic_title
from aggregator.feeds.rules import fold
from aggregator.model import (
    NOTHING_OMITTED,
    ArchivePage,
    Content,
    Entry,
    Feed,
    Older,
    Omitted,
    Related,
    Withdrawal,
    read_content,
)
from aggregator.parse.page_links import fill_page_links, has_page_links
from aggregator.settings import FeedPolicy, FeedSpec, OutputOptions, Site
from aggregator.slugs import topic_key
from aggregator.store.adopted import format_ids_of
from aggregator.store.events import WITHDRAWN
from aggregator.store.page_links import read_urls
from aggregator.store.schema import ALL_FEED, NEVER, AnyRow, body, entry, feed_entry
from aggregator.store.session import from_us, span_us

WINDOW_FACTOR = 4
"""A window has at most this many times `limit` entries while they are newer than `min_stay`."""
CANDIDATE_FACTOR = 20
"""With `per_provider`, the window considers this many times `limit` entries."""
MAX_CANDIDATES = 10_000
"""Upper bound of considered entries, to keep transactions short; a larger window has priority."""
ENTRY_BATCH = 1000
MAX_CACHED = 20_000

_ENTRY_COLUMNS = (
    entry.c.id,
    entry.c.uid,
    entry.c.format_ids,
    entry.c.visible_hash,
    entry.c.published_at,
    entry.c.updated_at,
)
"""The first columns of every row that becomes an entry: the same values give the same entry."""

# Built once: SQLAlchemy takes longer to build and to look up a statement than SQLite takes to run it.
FEED_ENTRIES = (
    select(
        *_ENTRY_COLUMNS, feed_entry.c.released_at, entry.c.released_at.label("first_released_at"), entry.c.links_hash
    )
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_at.is_(None))
)
"""The entries of a feed."""
NEWEST_FIRST = (feed_entry.c.released_at.desc(), feed_entry.c.published_at.desc(), entry.c.uid.desc())
_WINDOW = FEED_ENTRIES.order_by(*NEWEST_FIRST).limit(bindparam("most")).offset(bindparam("after"))
_YOUNG_WINDOW = _WINDOW.where(
    # an entry is never placed before its date, so the index bounds the search
    feed_entry.c.released_at > bindparam("since"),
    or_(feed_entry.c.published_at > bindparam("since"), feed_entry.c.published_at == NEVER),
    or_(feed_entry.c.published_at != NEVER, entry.c.released_at > bindparam("since")),
)
_PAGE = FEED_ENTRIES.where(feed_entry.c.page == bindparam("number")).order_by(
    # an expression, or SQLite would choose the index that sorts, and read the whole feed for each page
    (feed_entry.c.released_at + 0).desc(),
    *NEWEST_FIRST[1:],
)
_MEMBERS = (
    FEED_ENTRIES.with_only_columns(entry.c.id, entry.c.uid, feed_entry.c.page)
    .order_by(*NEWEST_FIRST)
    .limit(bindparam("most"))
)
_WITHDRAWN = (
    select(entry.c.uid, feed_entry.c.left_at)
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(
        feed_entry.c.feed_id == bindparam("feed_id"),
        feed_entry.c.left_by == WITHDRAWN,
        feed_entry.c.left_at > bindparam("since"),
    )
    .order_by(feed_entry.c.left_at.desc(), entry.c.uid.desc())
    .limit(bindparam("most"))
)
_CONTENTS = select(entry.c.id, entry.c.content).where(entry.c.id.in_(bindparam("ids", expanding=True)))
_BODIES = select(body.c.entry_id, body.c.html).where(body.c.entry_id.in_(bindparam("ids", expanding=True)))

Merged = Mapping[int, tuple[Related, ...]]
"""The links of merged duplicates, by the key of the entry that represents them."""
NamedTopics = tuple[tuple[str, str], ...]
"""The topics of an entry as (key, shown name)."""
Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Window:
    """A feed at one moment."""

    feed: Feed  # as its documents show it
    rows: Sequence[AnyRow]  # of its entries, in the same order
    all_rows: Sequence[AnyRow]  # the same with those of omitted entries
    omitted: Omitted
    merged: Merged
    cut_at: int  # in µs
    stale_at: int | None  # when its oldest entry reaches `max_age`, in µs

    @property
    def last_release(self) -> int | None:
        """Its newest release, in µs."""
        return max((max(row.released_at, row.first_released_at) for row in self.rows), default=None)

    @property
    def newest_at(self) -> int | None:
        """The published date of its first entry, in µs."""
        return self.rows[0].published_at if self.rows else None


class FeedLoader:
    """Loads windows and archive pages. Caches the contents of entries, which feeds share and few cycles change."""

    def __init__(self, policy: FeedPolicy, site: Site, options: OutputOptions) -> None:
        self.policy, self._site, self._options = policy, site, options
        self._contents: OrderedDict[tuple[int, bytes], tuple[Content, NamedTopics]] = OrderedDict()
        self._named_topics = lru_cache(MAX_CACHED)(
            lambda stated: tuple(policy.tables.shown_names(stated, topic_key).items())
        )
        self._make_entry = lru_cache(MAX_CACHED)(_make_entry)

    def limit(self, row: AnyRow) -> int:
        """How many entries the documents of a feed have, and each of its archive pages."""
        spec = self._spec(row)
        return (spec.limit if spec else None) or self.policy.limit

    def _spec(self, row: AnyRow) -> FeedSpec | None:
        return self.policy.specs.get(row.slug)

    def load(
        self, connection: Connection, row: AnyRow, cut_at: int, terms: TopicTerms, other: Window | None = None
    ) -> Window:
        """The feed of `row` with its window cut at `cut_at` (µs) and limited to what its documents have room for.

        `other` is its window cut at another time; it is the result if it has the same entries.
        """
        earlier = other if other is not None and other.cut_at <= cut_at else None
        rows = self._read_window(connection, row, cut_at, earlier)
        withdrawn = self._read_withdrawn(connection, row, cut_at, earlier)
        if other is not None and other.all_rows == rows and other.feed.withdrawn == withdrawn:
            return other
        feed, merged = self._load_feed(connection, row, rows, withdrawn, terms)
        omitted = self._measure(
            lambda render: render.fit_entries(feed, self._site, self._options), otherwise=NOTHING_OMITTED
        )
        if omitted is not NOTHING_OMITTED:
            omitted = omitted.keyed([row.id for row in rows])
        return self._omit(row, cut_at, rows, feed, omitted, merged)

    def load_last(self, connection: Connection, row: AnyRow, terms: TopicTerms) -> Window:
        """The feed of `row` as of its last refresh."""
        cut_at = row.changed_at
        rows, withdrawn = self._read_window(connection, row, cut_at), self._read_withdrawn(connection, row, cut_at)
        feed, merged = self._load_feed(connection, row, rows, withdrawn, terms)
        window = self._omit(row, cut_at, rows, feed, Omitted.from_json(row.left_out), merged)
        return self.find_older(connection, row, window)

    def _load_feed(
        self,
        connection: Connection,
        row: AnyRow,
        rows: Sequence[AnyRow],
        withdrawn: tuple[Withdrawal, ...],
        terms: TopicTerms,
    ) -> tuple[Feed, Merged]:
        """The feed with the entries of all rows, and the duplicates that they represent."""
        merged = self.read_merged(connection, row, rows)
        heading = self.heading(row)
        entries = self.load_entries(connection, rows, terms, merged, full=heading.full)
        return replace(heading, entries=entries, withdrawn=withdrawn), merged

    def _omit(
        self, row: AnyRow, cut_at: int, all_rows: Sequence[AnyRow], feed: Feed, omitted: Omitted, merged: Merged
    ) -> Window:
        rows = all_rows
        if omitted is not NOTHING_OMITTED:
            pairs = [pair for pair in zip(rows, feed.entries, strict=True) if pair[0].id not in omitted.left_out]
            rows = [row for row, _ in pairs]
            entries = tuple(entry.without_body() if row.id in omitted.shortened else entry for row, entry in pairs)
            feed = replace(feed, entries=entries)
        return Window(feed, rows, all_rows, omitted, merged, cut_at, self._stale_at(row, rows))

    def _measure(self, measure: Callable[[Any], Measured], otherwise: Measured) -> Measured:
        """What a function of `render` returns; `otherwise` if an entry cannot be rendered, which rendering reports."""
        from aggregator import render  # takes long to import

        try:
            return measure(render)
        except RenderError:
            return otherwise

    @staticmethod
    def find_older(connection: Connection, row: AnyRow, window: Window) -> Window:
        """The window of the feed of `row`, and where its archive continues: the newest entry that it does not show."""
        older = None
        if window.feed.pages:
            shown, pages = {member.id for member in window.rows}, set[int]()
            # what is not shown is sealed by now, so the newest of it is among one member more than is shown
            for member in connection.execute(_MEMBERS, {"feed_id": row.id, "most": len(shown) + 1}):
                if member.id not in shown and member.page is not None:
                    older = Older(member.page, member.uid, member.page not in pages)
                    break
                pages.add(member.page)
        return window if older == window.feed.older else replace(window, feed=replace(window.feed, older=older))

    def load_page(self, connection: Connection, row: AnyRow, page: AnyRow, terms: TopicTerms) -> ArchivePage:
        """One archive page of the feed of `row`."""
        rows = self.page_rows(connection, page)
        merged = self.read_merged(connection, row, rows)
        entries = self.load_page_entries(connection, self.heading(row), rows, terms, merged)
        return ArchivePage(page.number, from_us(page.updated_at), entries)

    def load_page_entries(
        self, connection: Connection, heading: Feed, rows: Sequence[AnyRow], terms: TopicTerms, merged: Merged
    ) -> tuple[Entry, ...]:
        """The entries of `rows` as archive pages show them: without bodies that are too large."""
        entries = self.load_entries(connection, rows, terms, merged, full=heading.full)
        if not heading.full:
            return entries
        return self._measure(
            lambda render: render.shorten_entries(heading, entries, self._site, self._options), otherwise=entries
        )

    def split_pages(self, heading: Feed, entries: tuple[Entry, ...], limit: int) -> list[int]:
        """How many of the entries go into each archive page, in the order given, at most `limit` into each."""
        return self._measure(
            lambda render: render.split_fitting(heading, entries, self._site, self._options, limit),
            otherwise=[min(limit, len(entries) - start) for start in range(0, len(entries), limit)],
        )

    @staticmethod
    def page_rows(connection: Connection, page: AnyRow) -> Sequence[AnyRow]:
        """The rows of the entries that an archive page has now, newest first."""
        return connection.execute(_PAGE, {"feed_id": page.feed_id, "number": page.number}).all()

    def heading(self, row: AnyRow) -> Feed:
        """The feed of `row` without entries."""
        spec = self._spec(row)
        title = self._site.title if row.id == ALL_FEED else topic_title(row, self.policy)
        return Feed(
            slug=row.slug,
            id=row.uid,
            title=title,
            description=describe(row, self.policy, title, self._site),
            language=(spec.language if spec else "") or self._site.language,
            updated=from_us(row.updated_at),
            full=self.policy.is_full(row.slug),
            version=row.version,
            entries=(),
            withdrawn=(),
            image=spec.image if spec else "",
            pages=row.pages if self.policy.archive else 0,
        )

    def load_entries(
        self, connection: Connection, rows: Sequence[AnyRow], terms: TopicTerms, merged: Merged, *, full: bool
    ) -> tuple[Entry, ...]:
        """The entries of `rows`, with the links of the duplicates that they represent, and with bodies if `full`."""
        contents = self._read_contents(connection, rows)
        bodies: dict[int, str] = {}
        if full and rows:
            found = connection.execute(_BODIES, {"ids": [row.id for row in rows]})
            bodies = _with_urls(connection, {row.entry_id: row.html for row in found})
        # the same object as before, because caches of rendered entries look for it
        entries = [self._make_entry(row[: len(_ENTRY_COLUMNS)], *contents[row.id], terms) for row in rows]
        for place, row in enumerate(rows if bodies or merged else ()):
            body_html, others = bodies.get(row.id), merged.get(row.id, ())
            if body_html or others:
                content = entries[place].content
                related = (*content.related, *others)
                content = content._replace(body_html=body_html or content.body_html, related=related)
                entries[place] = entries[place]._replace(content=content)
        return tuple(entries)

    def read_merged(self, connection: Connection, row: AnyRow, rows: Sequence[AnyRow]) -> Merged:
        """The links of the duplicates that the entries of `rows` represent in the feed of `row`."""
        spec = self._spec(row)
        if spec is None or spec.rule.duplicates == "keep":
            return {}
        others = read_others(connection, row.id, [row.id for row in rows])
        shown = [row for row in rows if row.id in others]
        contents = self._read_contents(connection, [*shown, *(row for group in others.values() for row in group)])
        return {
            key: _related_links(contents[key][0], [contents[row.id][0] for row in group])
            for key, group in others.items()
        }

    def _read_window(
        self, connection: Connection, row: AnyRow, cut_at: int, earlier: Window | None = None
    ) -> Sequence[AnyRow]:
        """The newest `limit` entries, and more while they were released within `min_stay` before `cut_at`; of each
        provider at most `per_provider`. `earlier`: the window of the same rows, cut at an earlier time."""
        limit, spec = self.limit(row), self._spec(row)
        by_date = spec is not None and spec.rule.order == "published"
        per_provider = spec.per_provider if spec is not None else None
        stay_since = cut_at - span_us(self.policy.min_stay)
        rows: list[AnyRow] = []
        counts: Counter[str] = Counter()
        for place, (candidate, provider) in enumerate(self._candidates(connection, row, cut_at, earlier), 1):
            is_new = (candidate.first_released_at if by_date else candidate.released_at) > stay_since
            if (len(rows) < limit or is_new) and not (provider and counts[provider] == per_provider):
                rows.append(candidate)
                counts[provider] += 1
            # sorted by date, a new entry may be below old ones
            last = place >= WINDOW_FACTOR * limit if by_date else not is_new
            if len(rows) >= limit and (last or len(rows) == WINDOW_FACTOR * limit):
                break
        return rows

    def _candidates(
        self, connection: Connection, row: AnyRow, cut_at: int, earlier: Window | None
    ) -> Iterator[tuple[AnyRow, str]]:
        """The newest entries within `max_age`, each with its provider if the feed has `per_provider`, else with ""."""
        limit, spec = self.limit(row), self._spec(row)
        most = WINDOW_FACTOR * limit
        if earlier is not None and (spec is None or (spec.max_age is None and spec.rule.order == "released")):
            yield from ((row, "") for row in earlier.all_rows)  # sorted by release, time adds no entry
            return
        if spec is None or spec.per_provider is None:
            for rows in self._newest(connection, row, cut_at, (limit, most)):
                yield from ((row, "") for row in rows)
            return
        farthest = max(most, min(CANDIDATE_FACTOR * limit, MAX_CANDIDATES))
        for rows in self._newest(connection, row, cut_at, (limit, most, farthest)):
            for start in range(0, len(rows), ENTRY_BATCH):
                batch = rows[start : start + ENTRY_BATCH]
                contents = self._read_contents(connection, batch)
                yield from ((row, provider_key(contents[row.id][0])) for row in batch)

    def _newest(
        self, connection: Connection, row: AnyRow, cut_at: int, steps: Sequence[int]
    ) -> Iterator[Sequence[AnyRow]]:
        """The newest entries within `max_age`, read lazily up to each of these numbers."""
        spec = self._spec(row)
        values, statement = {"feed_id": row.id}, _WINDOW
        if spec is not None and spec.max_age is not None:
            values["since"] = cut_at - span_us(spec.max_age)
            statement = _YOUNG_WINDOW
        after = 0
        for step in steps:
            most = step - after
            rows = connection.execute(statement, values | {"most": most, "after": after}).all()
            yield rows
            if len(rows) < most:
                return
            after += most

    def _stale_at(self, row: AnyRow, rows: Sequence[AnyRow]) -> int | None:
        spec = self._spec(row)
        if spec is None or spec.max_age is None or not rows:
            return None
        oldest = min(row.first_released_at if row.published_at is None else row.published_at for row in rows)
        return int(oldest + span_us(spec.max_age))

    def _read_withdrawn(
        self, connection: Connection, row: AnyRow, cut_at: int, earlier: Window | None = None
    ) -> tuple[Withdrawal, ...]:
        since = cut_at - span_us(self.policy.tombstones)
        if earlier is not None:
            return tuple(withdrawal for withdrawal in earlier.feed.withdrawn if withdrawal.at > from_us(since))
        values = {"feed_id": row.id, "since": since, "most": WINDOW_FACTOR * self.limit(row)}
        return tuple(Withdrawal(row.uid, from_us(row.left_at)) for row in connection.execute(_WITHDRAWN, values))

    def _read_contents(self, connection: Connection, rows: Sequence[AnyRow]) -> dict[int, tuple[Content, NamedTopics]]:
        """The content and the topics of each entry."""
        contents = {}
        unread = {}
        for row in rows:
            key = (row.id, row.visible_hash)
            if key in self._contents:
                self._contents.move_to_end(key)
                contents[row.id] = self._contents[key]
            else:
                unread[row.id] = key
        if unread:
            for row in connection.execute(_CONTENTS, {"ids": list(unread)}):
                content = read_content(row.content)
                named = self._named_topics(content.topics)
                contents[row.id] = self._contents[unread[row.id]] = (content, named)
        while len(self._contents) > MAX_CACHED:
            self._contents.popitem(last=False)
        return contents


def merged_facts(merged: Merged, row: AnyRow) -> list[list[str]]:
    """What digests contain of the duplicates that the entry of `row` represents."""
    return [[link.url, link.title] for link in merged.get(row.id, ())]


def json_digest(value: object) -> bytes:
    """The digest of a JSON value, 16 bytes."""
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


def links_facts(row: AnyRow, *, full: bool) -> list[str]:
    """What digests of a feed with bodies contain of the pages that the entry of `row` links to."""
    return [row.links_hash.hex()] if full and row.links_hash is not None else []


def _with_urls(connection: Connection, bodies: dict[int, str]) -> dict[int, str]:
    """Bodies by entry, their links to pages with the URLs of these pages."""
    linking = [key for key, html in bodies.items() if has_page_links(html)]
    if not linking:
        return bodies
    urls = read_urls(connection, linking)
    return bodies | {key: fill_page_links(bodies[key], urls.get(key, {})) for key in linking}


def _make_entry(values: Sequence[Any], content: Content, named: NamedTopics, terms: TopicTerms) -> Entry:
    """The entry of the values of `_ENTRY_COLUMNS`, without its body."""
    _, uid, format_ids, _, published_at, updated_at = values
    updated = from_us(updated_at)
    return Entry(
        id=uid,
        published=None if published_at is None else updated if published_at == updated_at else from_us(published_at),
        updated=updated,
        topics=tuple([terms.topic(topic) for topic in named]),
        content=content,
        format_ids=format_ids_of(format_ids),
    )


def _related_links(content: Content, others: Sequence[Content]) -> tuple[Related, ...]:
    """The links of the others that `content` does not have itself, each once."""
    known = {content.link, *(link.url for link in content.related)}
    titles: dict[str, str] = {}
    for other in others:
        if other.link is not None and other.link not in known:
            titles.setdefault(other.link, other.title)
    return tuple(Related(link, title) for link, title in titles.items())


def provider_key(content: Content) -> str:
    """The folded name or domain of the provider; empty for none."""
    provider = content.provider
    return fold(provider.name or provider.domain) if provider else ""


def cutting_clause(spec: FeedSpec, content: Content, age_from: int | None, rivals: int, at: int) -> str | None:
    """The clause that keeps a member out of the window at `at` (µs): `max_age` or `per_provider`; None if neither.

    `age_from` is its published date, else its release, in µs; `rivals` is how many entries of its provider are shown.
    """
    if spec.max_age is not None and age_from is not None and age_from <= at - span_us(spec.max_age):
        return "max_age"
    is_cut = spec.per_provider is not None and provider_key(content) and rivals >= spec.per_provider
    return "per_provider" if is_cut else None
