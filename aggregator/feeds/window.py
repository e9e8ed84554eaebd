"""Reading feeds as they are shown: their window, their entries, and a digest of all that a reader can see."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

from sqlalchemy import Connection, bindparam, or_, select

from aggregator.feeds.duplicates import read_others
from aggregator.feeds.room import FULL_ROOM, LeftOut, read_left_out
from aggregator.feeds.rules import fold
from aggregator.ids import IdMint
from aggregator.model import (
    ALL_FIT,
    ArchivePage,
    Content,
    Entry,
    Feed,
    Fitting,
    Related,
    Topic,
    Withdrawal,
    read_content,
)
from aggregator.settings import FeedPolicy, FeedSpec, Site
from aggregator.slugs import topic_key, topic_slug
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import NEVER, AnyRow, body, entry, feed_entry
from aggregator.store.session import ALL_FEED, from_us, span_us

STAY_FACTOR = 4
"""How many times `limit` the window may be while its entries are new."""
LOOK_BACK = 20
"""How many times `limit` the entries are that are looked at where only some of a provider are shown."""
MOST_LOOKED_AT = 10_000
"""And how many at most, unless the window itself may be larger: no transaction may take long."""
CHUNK = 1000
MAX_CACHED = 20_000
MAX_SETTLED = 500

# Built once: SQLAlchemy takes longer to build and to look up a statement than SQLite takes to run it.
_SHOWN = (
    feed_entry.c.released_at,
    entry.c.id,
    entry.c.uid,
    entry.c.visible_hash,
    entry.c.published_at,
    entry.c.updated_at,
    entry.c.released_at.label("out_at"),
)
_NEWEST_FIRST = (feed_entry.c.released_at.desc(), feed_entry.c.published_at.desc(), entry.c.uid.desc())
_WINDOW = (
    select(*_SHOWN)
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_at.is_(None))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("most"))
    .offset(bindparam("after"))
)
_YOUNG_WINDOW = _WINDOW.where(
    # no entry has its place before its date, so that the index ends the search
    feed_entry.c.released_at > bindparam("since"),
    or_(feed_entry.c.published_at > bindparam("since"), feed_entry.c.published_at == NEVER),
    or_(feed_entry.c.published_at != NEVER, entry.c.released_at > bindparam("since")),
)
_PAGE = (
    select(*_SHOWN)
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(
        feed_entry.c.feed_id == bindparam("feed_id"),
        feed_entry.c.page == bindparam("number"),
        feed_entry.c.left_at.is_(None),
    )
    .order_by(*_NEWEST_FIRST)
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


@dataclass(frozen=True, slots=True)
class Space:
    """How much room documents have, which render knows and the store asks.

    `fit` says which of a feed's entries fit into each of its documents, `split` how many of some entries go into each
    archive page, at most `limit`, and `shorten` gives those entries as its pages show them.
    """

    fit: Callable[[Feed], Fitting]
    shorten: Callable[[Feed, tuple[Entry, ...]], tuple[Entry, ...]]
    split: Callable[[Feed, tuple[Entry, ...], int], Sequence[int]]


Merged = Mapping[int, tuple[Related, ...]]
"""What entries show of those that they stand for, by key: links that they have not themselves."""


Named = tuple[tuple[str, str], ...]
"""The topics of an entry: the key of each, and what the entry calls it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a feed shows at one moment: the rows of its entries, and which of its window there is no room for.

    `stale_at` is when the first of them will be too old, in µs.
    """

    feed: Feed
    rows: Sequence[AnyRow]
    left_out: LeftOut
    merged: Merged
    stale_at: int | None

    @property
    def last_release(self) -> int | None:
        """Its newest release, in µs."""
        return max((max(row.released_at, row.out_at) for row in self.rows), default=None)

    @property
    def newest_at(self) -> int | None:
        """The own date of its first entry, in µs."""
        return self.rows[0].published_at if self.rows else None


class TopicTerms:
    """What entries call their topics: the slug of the topic's feed, else its pin, else one that no feed has."""

    def __init__(self, slugs: Mapping[str, str], stated: frozenset[str], pins: Mapping[str, str]) -> None:
        self.published = frozenset(slugs.values()) | stated
        self._terms, self._stated = {**pins, **slugs}, stated
        self._taken = self.published.union(pins.values())
        self._topics: dict[tuple[str, str], Topic] = {}

    def term(self, key: str) -> str:
        """The term of the topic with this key; a feed of the config with its slug stands for its feed."""
        if key not in self._terms:
            plain = topic_slug(key, ())
            self._terms[key] = plain if plain in self._stated else topic_slug(key, self._taken)
        return self._terms[key]

    def topic(self, named: tuple[str, str]) -> Topic:
        """The topic with this key as an entry shows it that calls it by this name."""
        known = self._topics.get(named)
        if known is None:
            key, name = named
            known = self._topics[named] = Topic(self.term(key), name)
        return known


class FeedReader:
    """Reads feeds as they are shown; keeps the contents it has read, which most feeds share and few cycles change."""

    def __init__(self, policy: FeedPolicy, site_id: str, site: Site, space: Space) -> None:
        self.policy, self._mint, self._site, self.space = policy, IdMint(site_id), site, space
        self._contents: OrderedDict[tuple[int, bytes], tuple[Content, Named]] = OrderedDict()
        self._name = lru_cache(MAX_CACHED)(self._name_topics)
        self._settled: dict[str, Feed] = {}
        self.changed_pages: set[tuple[str, int]] = set()
        """Slug and number of the archive pages that are new, or show something new, since `forget`."""

    def limit(self, row: AnyRow) -> int:
        """How many entries a feed has, and an archive page of it."""
        spec = self._spec(row)
        return (spec.limit if spec else None) or self.policy.limit

    def _spec(self, row: AnyRow) -> FeedSpec | None:
        return self.policy.specs.get(row.slug)

    def read(self, connection: Connection, row: AnyRow, at: int, terms: TopicTerms) -> Shown:
        """The feed of `row` with its window cut at `at` (µs) and to the room there is; `terms` names the topics of its
        entries."""
        rows = self._read_window(connection, row, at)
        merged = self.read_merged(connection, row, rows)
        feed_now = self._read_feed(connection, row, rows, at, terms, merged)
        left_out = FULL_ROOM
        if (fitting := self.space.fit(feed_now)) is not ALL_FIT:
            left_out = LeftOut.of(fitting, [one.id for one in rows])
        return self._cut(row, rows, feed_now, left_out, merged)

    def read_settled(self, connection: Connection, row: AnyRow, terms: TopicTerms) -> Shown:
        """The feed of `row` as it was settled last."""
        rows = self._read_window(connection, row, row.changed_at)
        merged = self.read_merged(connection, row, rows)
        feed_then = self._read_feed(connection, row, rows, row.changed_at, terms, merged)
        return self._cut(row, rows, feed_then, read_left_out(row.left_out), merged)

    def _cut(self, row: AnyRow, rows: Sequence[AnyRow], whole: Feed, left_out: LeftOut, merged: Merged) -> Shown:
        """The feed without what its documents have no room for."""
        if left_out is not FULL_ROOM:
            pairs = [pair for pair in zip(rows, whole.entries, strict=True) if pair[0].id not in left_out.entries]
            rows = [one for one, _ in pairs]
            entries = [_without_body(one) if row.id in left_out.shortened else one for row, one in pairs]
            whole = replace(whole, entries=tuple(entries))
        return Shown(whole, rows, left_out, merged, self._stale_at(row, rows))

    def read_page(self, connection: Connection, row: AnyRow, page: AnyRow, terms: TopicTerms) -> ArchivePage:
        """One archive page of the feed of `row`."""
        rows = self.page_rows(connection, page)
        merged = self.read_merged(connection, row, rows)
        heading = self.heading(row)
        entries = self.read_entries(connection, rows, terms, merged, full=heading.full)
        entries = self.space.shorten(heading, entries)
        return ArchivePage(page.number, from_us(page.updated_at), entries)

    @staticmethod
    def page_rows(connection: Connection, page: AnyRow) -> Sequence[AnyRow]:
        """The rows of the entries that an archive page has now, newest first."""
        return connection.execute(_PAGE, {"feed_id": page.feed_id, "number": page.number}).all()

    def heading(self, row: AnyRow) -> Feed:
        """The feed of `row` without anything in it."""
        spec = self._spec(row)
        return Feed(
            slug=row.slug,
            id=self._mint.feed_id(row.minted_from or row.born_slug or row.slug),
            title=row.title,
            description=describe(row, self.policy, self._site.title),
            language=(spec.language if spec else "") or self._site.language,
            updated=from_us(row.updated_at),
            full=spec is not None and spec.full,
            version=row.version,
            entries=(),
            withdrawn=(),
            image=spec.image if spec else "",
            pages=row.pages if self.policy.archive else 0,
        )

    def read_entries(
        self, connection: Connection, rows: Sequence[AnyRow], terms: TopicTerms, merged: Merged, *, full: bool
    ) -> tuple[Entry, ...]:
        """The entries of `rows`, with the links of those that they stand for, and with their bodies if `full`."""
        contents = self._read_contents(connection, rows)
        bodies: dict[int, str] = {}
        if full and rows:
            found = connection.execute(_BODIES, {"ids": [row.id for row in rows]})
            bodies = {one.entry_id: one.html for one in found}
        entries = [_make_entry(row, *contents[row.id], terms, bodies.get(row.id, "")) for row in rows]
        if merged:
            entries = [_with_related(one, merged.get(row.id, ())) for row, one in zip(rows, entries, strict=True)]
        return tuple(entries)

    def read_merged(self, connection: Connection, row: AnyRow, rows: Sequence[AnyRow]) -> Merged:
        """What the entries of `rows` stand for in the feed of `row`."""
        spec = self._spec(row)
        if spec is None or spec.rule.duplicates == "keep":
            return {}
        others = read_others(connection, row.id, [one.id for one in rows])
        known = [one for one in rows if one.id in others]
        contents = self._read_contents(connection, [*known, *(one for group in others.values() for one in group)])
        return {
            key: _related_links(contents[key][0], [contents[one.id][0] for one in group])
            for key, group in others.items()
        }

    def _name_topics(self, stated: tuple[str, ...]) -> Named:
        return tuple(self.policy.tables.named(stated, topic_key).items())

    def forget(self) -> None:
        """Drops what `keep` was given: of a settling that was rolled back, say, whose versions will be given again."""
        self._settled.clear()
        self.changed_pages.clear()

    def keep(self, settled: Feed) -> None:
        """Remembers a feed that was read to be settled and is about to be rendered."""
        if len(self._settled) < MAX_SETTLED:
            self._settled[settled.slug] = settled

    def take(self, slug: str, version: int) -> Feed | None:
        """The feed that `keep` was given, once, if it is of this version."""
        settled = self._settled.pop(slug, None)
        return settled if settled is not None and settled.version == version else None

    def _read_feed(
        self, connection: Connection, row: AnyRow, rows: Sequence[AnyRow], at: int, terms: TopicTerms, merged: Merged
    ) -> Feed:
        heading = self.heading(row)
        return replace(
            heading,
            entries=self.read_entries(connection, rows, terms, merged, full=heading.full),
            withdrawn=self._read_withdrawn(connection, row, at),
        )

    def _read_window(self, connection: Connection, row: AnyRow, at: int) -> Sequence[AnyRow]:
        """The newest `limit` entries and, beyond, those released within `min_stay` before `at`; of one provider no more
        than the feed shows, however new."""
        limit, spec = self.limit(row), self._spec(row)
        by_date = spec is not None and spec.rule.order == "published"
        of_one = spec.per_provider if spec is not None else None
        stay_since = at - span_us(self.policy.min_stay)
        rows: list[AnyRow] = []
        counts: Counter[str] = Counter()
        for place, (one, provider) in enumerate(self._candidates(connection, row, at), 1):
            is_new = (one.out_at if by_date else one.released_at) > stay_since
            if (len(rows) < limit or is_new) and not (provider and counts[provider] == of_one):
                rows.append(one)
                counts[provider] += 1
            # in order of dates, what has just come may stand below what came long ago
            last = place >= STAY_FACTOR * limit if by_date else not is_new
            if len(rows) >= limit and (last or len(rows) == STAY_FACTOR * limit):
                break
        return rows

    def _candidates(self, connection: Connection, row: AnyRow, at: int) -> Iterator[tuple[AnyRow, str]]:
        """The newest entries, none too old, each with its provider where the feed shows only some of one."""
        limit, spec = self.limit(row), self._spec(row)
        most = STAY_FACTOR * limit
        if spec is None or spec.per_provider is None:
            for rows in self._newest(connection, row, at, (limit, most)):
                yield from ((one, "") for one in rows)
            return
        farthest = max(most, min(LOOK_BACK * limit, MOST_LOOKED_AT))
        for rows in self._newest(connection, row, at, (limit, most, farthest)):
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                contents = self._read_contents(connection, chunk)
                yield from ((one, _provider_key(contents[one.id][0])) for one in chunk)

    def _newest(self, connection: Connection, row: AnyRow, at: int, steps: Sequence[int]) -> Iterator[Sequence[AnyRow]]:
        """The newest entries that are young enough, read when they are asked for, up to each of these numbers."""
        spec = self._spec(row)
        asked, statement = {"feed_id": row.id}, _WINDOW
        if spec is not None and spec.max_age is not None:
            asked["since"] = at - span_us(spec.max_age)
            statement = _YOUNG_WINDOW
        after = 0
        for step in steps:
            most = step - after
            rows = connection.execute(statement, asked | {"most": most, "after": after}).all()
            yield rows
            if len(rows) < most:
                return
            after += most

    def _stale_at(self, row: AnyRow, rows: Sequence[AnyRow]) -> int | None:
        """When the first of the entries will be too old for the feed, in µs."""
        spec = self._spec(row)
        if spec is None or spec.max_age is None or not rows:
            return None
        oldest = min(one.out_at if one.published_at is None else one.published_at for one in rows)
        return int(oldest + span_us(spec.max_age))

    def _read_withdrawn(self, connection: Connection, row: AnyRow, at: int) -> tuple[Withdrawal, ...]:
        since = at - span_us(self.policy.tombstones)
        asked = {"feed_id": row.id, "since": since, "most": STAY_FACTOR * self.limit(row)}
        return tuple(Withdrawal(one.uid, from_us(one.left_at)) for one in connection.execute(_WITHDRAWN, asked))

    def _read_contents(self, connection: Connection, rows: Sequence[AnyRow]) -> dict[int, tuple[Content, Named]]:
        """The content of each entry, and what it calls its topics."""
        found = {}
        unread = {}
        for row in rows:
            key = (row.id, row.visible_hash)
            if key in self._contents:
                self._contents.move_to_end(key)
                found[row.id] = self._contents[key]
            else:
                unread[row.id] = key
        if unread:
            for row in connection.execute(_CONTENTS, {"ids": list(unread)}):
                content = read_content(row.content)
                named = self._name(content.topics)
                found[row.id] = self._contents[unread[row.id]] = (content, named)
        while len(self._contents) > MAX_CACHED:
            self._contents.popitem(last=False)
        return found


def describe(row: AnyRow, policy: FeedPolicy, site_title: str) -> str:
    """The description of the feed of `row`."""
    spec = policy.specs.get(row.slug)
    if stated := (spec.description if spec else "") or policy.tables.descriptions.get(row.topic, ""):
        return stated
    return f"Everything from {site_title}" if row.id == ALL_FEED else f"{row.title} from {site_title}"


def feed_digest(shown: Shown, terms: TopicTerms) -> bytes:
    """A digest of all that a reader of the feed can see, but for its time of change."""
    entries = [
        [
            one.id,
            row.visible_hash.hex(),
            updated := one.updated.isoformat(),
            None if one.published is None else updated if one.published is one.updated else one.published.isoformat(),
            [
                [slug, slug in terms.published] if name in one.content.topics else [slug, slug in terms.published, name]
                for slug, name in one.topics
            ],
            *digested(shown.merged, row),
        ]
        for row, one in zip(shown.rows, shown.feed.entries, strict=True)
    ]
    withdrawn = [[one.id, one.at.isoformat()] for one in shown.feed.withdrawn]
    heading = shown.feed
    facts = [heading.title, heading.description, heading.language, heading.image, heading.full, heading.pages]
    shortened = [sorted(shown.left_out.shortened)] if shown.left_out.shortened else []
    return json_digest([facts, entries, withdrawn, *shortened])


def digested(merged: Merged, row: AnyRow) -> list[list[str]]:
    """What a digest of the entry of `row` has of those that it stands for."""
    return [[one.url, one.title] for one in merged.get(row.id, ())]


def json_digest(value: object) -> bytes:
    """16 bytes that stand for a value of JSON."""
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


def _make_entry(row: AnyRow, content: Content, named: Named, terms: TopicTerms, body_html: str) -> Entry:
    published_at, updated_at = row.published_at, row.updated_at
    updated = from_us(updated_at)
    return Entry(
        id=row.uid,
        published=None if published_at is None else updated if published_at == updated_at else from_us(published_at),
        updated=updated,
        topics=tuple([terms.topic(one) for one in named]),
        content=content._replace(body_html=body_html) if body_html else content,
    )


def _without_body(one: Entry) -> Entry:
    return one._replace(content=one.content._replace(body_html=""))


def _with_related(one: Entry, others: tuple[Related, ...]) -> Entry:
    return one._replace(content=one.content._replace(related=(*one.content.related, *others))) if others else one


def _related_links(content: Content, others: Sequence[Content]) -> tuple[Related, ...]:
    """The links of the others that a content has not itself, each once."""
    known = {content.link, *(one.url for one in content.related)}
    found: dict[str, str] = {}
    for one in others:
        if one.link is not None and one.link not in known:
            found.setdefault(one.link, one.title)
    return tuple(Related(link, title) for link, title in found.items())


def _provider_key(content: Content) -> str:
    """What tells providers apart; empty for none."""
    provider = content.provider
    return fold(provider.name or provider.domain) if provider else ""
