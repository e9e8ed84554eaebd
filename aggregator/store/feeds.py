"""Feeds: which there are, what each shows now, and when that changed."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from aggregator.content import read_content
from aggregator.model import Content, Entry, Feed, FeedPolicy, FeedSummary, Topic, Withdrawal
from aggregator.naming import IdMint, topic_key, topic_slug
from aggregator.store.membership import WITHDRAWN, new_feed
from aggregator.store.tables import AnyRow, entry, feed, feed_entry
from aggregator.store.writer import ALL_FEED, Writer, from_us, read_meta, span_us, to_us, write_meta

STAY_FACTOR = 4
"""How many times `limit` the window may be while its entries are new."""
CHUNK = 100
MAX_CACHED = 20_000
MAX_SETTLED = 500
ALL = "all"


# Built once: SQLAlchemy takes longer to build and to look up a statement than SQLite takes to run it.
_WINDOW = (
    select(
        feed_entry.c.released_at,
        entry.c.id,
        entry.c.uid,
        entry.c.visible_hash,
        entry.c.published_at,
        entry.c.updated_at,
    )
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_at.is_(None))
    .order_by(feed_entry.c.released_at.desc(), feed_entry.c.published_at.desc(), entry.c.uid.desc())
    .limit(bindparam("most"))
    .offset(bindparam("after"))
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
_LAST_WITHDRAWAL = (
    select(feed_entry.c.left_at)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_by == WITHDRAWN)
    .order_by(feed_entry.c.left_at.desc())
    .limit(1)
)
_CONTENTS = select(entry.c.id, entry.c.content).where(entry.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a feed shows at one moment, the visible hashes of its entries, and its newest release in µs."""

    feed: Feed
    hashes: tuple[bytes, ...]
    newest_at: int | None


class TopicTerms:
    """What entries call their topics: the slug of the topic's feed, else one that no feed has."""

    def __init__(self, slugs: Mapping[str, str]) -> None:
        self.published = frozenset(slugs.values())
        self._terms = dict(slugs)

    def term(self, key: str) -> str:
        """The term of the topic with this key."""
        if key not in self._terms:
            self._terms[key] = topic_slug(key, self.published)
        return self._terms[key]


class FeedReader:
    """Reads feeds as they are shown; keeps the contents it has read, which most feeds share and few cycles change."""

    def __init__(self, policy: FeedPolicy, site_id: str, site_title: str, language: str) -> None:
        self._policy, self._mint = policy, IdMint(site_id)
        self._title, self._language = site_title, language
        self._contents: OrderedDict[tuple[int, bytes], tuple[Content, tuple[str, ...]]] = OrderedDict()
        self._settled: dict[str, Feed] = {}

    def read(self, connection: Connection, row: AnyRow, at: int, terms: TopicTerms) -> Shown:
        """The feed of `row` with its window cut at `at` (µs); `terms` names the topics of its entries."""
        rows = self._read_window(connection, row.id, at)
        contents = self._read_contents(connection, rows)
        feed_now = Feed(
            slug=row.slug,
            id=self._mint.feed_id(row.slug),
            title=row.title,
            description=_describe(row, self._title),
            language=self._language,
            updated=from_us(row.updated_at),
            full=False,
            version=row.version,
            entries=tuple(_make_entry(one, *contents[one.id], terms) for one in rows),
            withdrawn=self._read_withdrawn(connection, row.id, at),
        )
        return Shown(feed_now, tuple(one.visible_hash for one in rows), rows[0].released_at if rows else None)

    def forget(self) -> None:
        """Drops what `keep` was given: of a settling that was rolled back, say, whose versions will be given again."""
        self._settled.clear()

    def keep(self, settled: Feed) -> None:
        """Remembers a feed that was read to be settled and is about to be rendered."""
        if len(self._settled) < MAX_SETTLED:
            self._settled[settled.slug] = settled

    def take(self, slug: str, version: int) -> Feed | None:
        """The feed that `keep` was given, once, if it is of this version."""
        settled = self._settled.pop(slug, None)
        return settled if settled is not None and settled.version == version else None

    def _read_window(self, connection: Connection, feed_id: int, at: int) -> Sequence[AnyRow]:
        """The newest `limit` entries and, beyond, those released within `min_stay` before `at`."""
        limit = self._policy.limit
        rows: Sequence[AnyRow] = connection.execute(_WINDOW, {"feed_id": feed_id, "most": limit, "after": 0}).all()
        stay_since = at - span_us(self._policy.min_stay)
        if len(rows) == limit and rows[-1].released_at > stay_since:
            beyond = {"feed_id": feed_id, "most": (STAY_FACTOR - 1) * limit, "after": limit}
            more = connection.execute(_WINDOW, beyond)
            return [*rows, *(one for one in more if one.released_at > stay_since)]
        return rows

    def _read_withdrawn(self, connection: Connection, feed_id: int, at: int) -> tuple[Withdrawal, ...]:
        since = at - span_us(self._policy.tombstones)
        most = STAY_FACTOR * self._policy.limit
        rows = connection.execute(_WITHDRAWN, {"feed_id": feed_id, "since": since, "most": most})
        return tuple(Withdrawal(one.uid, from_us(one.left_at)) for one in rows)

    def _read_contents(
        self, connection: Connection, rows: Sequence[AnyRow]
    ) -> dict[int, tuple[Content, tuple[str, ...]]]:
        """The content and topic keys of each entry."""
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
                found[row.id] = self._contents[unread[row.id]] = (content, tuple(map(topic_key, content.topics)))
        while len(self._contents) > MAX_CACHED:
            self._contents.popitem(last=False)
        return found


def prepare_feeds(writer: Writer, title: str, shape: str) -> None:
    """Makes the feed `all` in a new store, and marks the feeds touched that a change of config concerns.

    `shape` names what of the config decides what feeds show.
    """
    with writer.write() as connection:
        row = connection.execute(select(feed.c.title, feed.c.updated_at).where(feed.c.id == ALL_FEED)).first()
        if row is None:
            connection.execute(insert(feed).values(**new_feed(writer, ALL_FEED, None, title), slug=ALL))
        elif row.title != title:
            values = {"title": title, "touched": True, "updated_at": max(row.updated_at, writer.now)}
            connection.execute(update(feed).where(feed.c.id == ALL_FEED).values(values))
        if read_meta(connection, "shape") != shape:
            connection.execute(update(feed).values(touched=True))
            write_meta(connection, "shape", shape)


def settle_feeds(writer: Writer, reader: FeedReader, stopped: Callable[[], None]) -> None:
    """Gives slugs to topics with enough entries, and a new version to every touched feed that shows something new."""
    reader.forget()
    if writer.policy.auto:
        _give_slugs(writer)
    with writer.store.read() as connection:
        terms = TopicTerms(topic_slugs(connection, writer.policy))
    while True:
        stopped()
        with writer.write() as connection:
            rows = connection.execute(
                select(feed).where(feed.c.touched, feed.c.slug.is_not(None)).order_by(feed.c.id).limit(CHUNK)
            ).all()
            for row in rows:
                _settle(connection, writer, reader, row, terms)
        if len(rows) < CHUNK:
            return


def _settle(connection: Connection, writer: Writer, reader: FeedReader, row: AnyRow, terms: TopicTerms) -> None:
    """Compares what the feed would show with what it shows, both cut at its last change: time alone changes no feed."""
    shown = reader.read(connection, row, row.changed_at, terms)
    values: dict[str, Any] = {"touched": False, "newest_at": shown.newest_at}
    digest = _digest(shown, terms)
    if digest != row.shown_hash:
        if row.changed_at != writer.now:
            shown = reader.read(connection, row, writer.now, terms)
            digest = _digest(shown, terms)
        times = [from_us(row.updated_at), *(one.updated for one in shown.feed.entries)]
        times += [from_us(at) for at in connection.scalars(_LAST_WITHDRAWAL, {"feed_id": row.id})]
        if shown.newest_at is not None:
            times.append(from_us(shown.newest_at))
        values |= {
            "version": row.version + 1,
            "shown_hash": digest,
            "changed_at": writer.now,
            "updated_at": to_us(max(times)),
        }
        reader.keep(replace(shown.feed, version=row.version + 1, updated=max(times)))
    connection.execute(update(feed).where(feed.c.id == row.id).values(values))


def _give_slugs(writer: Writer) -> None:
    """Slugs for the topics that have enough entries now, in order of names; one once given stays."""
    enough = (feed.c.slug.is_(None), feed.c.topic.is_not(None), feed.c.size >= writer.policy.min_entries)
    with writer.write() as connection:
        rows = connection.execute(select(feed.c.id, feed.c.topic).where(*enough).order_by(feed.c.topic)).all()
        if not rows:
            return
        taken = set(connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None))))
        changes = []
        for row in rows:
            slug = topic_slug(row.topic, taken)
            taken.add(slug)
            changes.append({"feed_id": row.id, "given": slug})
        connection.execute(
            update(feed)
            .where(feed.c.id == bindparam("feed_id"))
            .values(slug=bindparam("given"), touched=True, changed_at=writer.now, updated_at=writer.now),
            changes,
        )
        if writer.policy.min_entries > 1:
            _touch_companions(connection, [row.id for row in rows])


def _touch_companions(connection: Connection, feed_ids: list[int]) -> None:
    """Entries link the feeds of their topics: when a topic gets one, every feed that shows an entry of it changes."""
    members = select(feed_entry.c.entry_id).where(feed_entry.c.feed_id.in_(feed_ids), feed_entry.c.left_at.is_(None))
    companions = select(feed_entry.c.feed_id).where(feed_entry.c.entry_id.in_(members), feed_entry.c.left_at.is_(None))
    connection.execute(update(feed).where(feed.c.id.in_(companions)).values(touched=True))


def topic_slugs(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The slug of every topic whose feed is published, by topic key."""
    if not policy.auto:
        return {}
    rows = connection.execute(
        select(feed.c.topic, feed.c.slug).where(feed.c.topic.is_not(None), feed.c.slug.is_not(None))
    )
    return {row.topic: row.slug for row in rows}


def feed_versions(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The version of every feed that is published, by slug, with a mark of what it shows: a store that was set back and
    went on has the same numbers again, for something else."""
    rows = connection.execute(_published(policy, feed.c.slug, feed.c.version, feed.c.shown_hash))
    return {row.slug: f"{row.version}-{row.shown_hash.hex()[:12]}" for row in rows}


def read_feeds(connection: Connection, reader: FeedReader, policy: FeedPolicy, slugs: Sequence[str]) -> Iterator[Feed]:
    """The feeds with these slugs as they are shown, in that order."""
    terms = TopicTerms(topic_slugs(connection, policy))
    for start in range(0, len(slugs), CHUNK):
        chunk = slugs[start : start + CHUNK]
        rows = {row.slug: row for row in connection.execute(select(feed).where(feed.c.slug.in_(chunk)))}
        for slug in chunk:
            row = rows[slug]
            yield reader.take(slug, row.version) or reader.read(connection, row, row.changed_at, terms).feed


def summarise_feeds(connection: Connection, policy: FeedPolicy, site_title: str) -> tuple[FeedSummary, ...]:
    """The list of published feeds: `all`, then topics by title."""
    rows = connection.execute(_published(policy, feed)).all()
    ordered = sorted(rows, key=lambda row: (row.topic is not None, row.title.casefold(), row.slug))
    return tuple(
        FeedSummary(
            row.slug,
            row.title,
            _describe(row, site_title),
            row.size,
            None if row.newest_at is None else from_us(row.newest_at),
            from_us(row.updated_at),
        )
        for row in ordered
    )


def settle_index(writer: Writer, site_title: str, *, pages: bool) -> None:
    """Gives the list of feeds a new version when what it shows has changed."""
    with writer.write() as connection:
        summaries = summarise_feeds(connection, writer.policy, site_title)
        shown = [
            [one.slug, one.title, one.description, *([one.entries, str(one.newest)] if pages else [])]
            for one in summaries
        ]
        digest = _json_digest(shown).hex()
        version, _, before = (read_meta(connection, "index") or "0 ").partition(" ")
        if digest != before:
            write_meta(connection, "index", f"{int(version) + 1} {digest}")


def index_version(connection: Connection) -> str:
    """The version of the list of feeds, with a mark of what it shows."""
    version, _, digest = (read_meta(connection, "index") or "0 ").partition(" ")
    return f"{version}-{digest[:12]}"


def _published(policy: FeedPolicy, *columns: Any) -> Select[Any]:
    statement = select(*columns).where(feed.c.slug.is_not(None)).order_by(feed.c.slug)
    return statement if policy.auto else statement.where(feed.c.id == ALL_FEED)


def _describe(row: AnyRow, site_title: str) -> str:
    """The description of a feed."""
    return f"Everything from {site_title}" if row.topic is None else f"{row.title} from {site_title}"


def _make_entry(row: AnyRow, content: Content, keys: tuple[str, ...], terms: TopicTerms) -> Entry:
    return Entry(
        id=row.uid,
        published=None if row.published_at is None else from_us(row.published_at),
        updated=from_us(row.updated_at),
        topics=tuple(Topic(terms.term(key), name) for key, name in zip(keys, content.topics, strict=True)),
        content=content,
    )


def _digest(shown: Shown, terms: TopicTerms) -> bytes:
    """A digest of all that a reader of the feed can see, but for its time of change."""
    entries = [
        [
            one.id,
            seen.hex(),
            one.updated.isoformat(),
            one.published.isoformat() if one.published else None,
            [[topic.slug, topic.slug in terms.published] for topic in one.topics],
        ]
        for seen, one in zip(shown.hashes, shown.feed.entries, strict=True)
    ]
    withdrawn = [[one.id, one.at.isoformat()] for one in shown.feed.withdrawn]
    return _json_digest([shown.feed.title, shown.feed.description, shown.feed.language, entries, withdrawn])


def _json_digest(value: object) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()
