"""A feed as a config would make it, without writing: what it shows today, and what it would show.

Where its rule is in force the memberships are there to be read. Another rule is tried on every entry that is out, in
batches; the newest that it takes go into a small store of their own, so that there is one way to cut a window.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from aggregator.content import read_content
from aggregator.model import Entry, FeedPolicy, FeedSpec, Rule
from aggregator.naming import link_key, topic_slug
from aggregator.rules import matches, rule_text, topic_rule
from aggregator.store.duplicates import DUPLICATES
from aggregator.store.engine import Store, open_store
from aggregator.store.feeds import topic_terms
from aggregator.store.reader import FeedReader, Shown, TopicTerms, feed_digest
from aggregator.store.records import facts_of
from aggregator.store.tables import ENTRY_OUT, NEVER, AnyRow, body, entry, feed, feed_entry
from aggregator.store.topics import asks_for, moved_topics
from aggregator.store.writer import ALL_FEED

BATCH = 1000
LOOK_BACK = 20
"""How many times `limit` a window looks back at most."""


@dataclass(frozen=True, slots=True)
class FeedTrial:
    """What a feed shows `before` and would show `after`, newest first; `released` are the times, in µs, that the latter
    have in it. `size` is how many entries would be in it, its archive included."""

    slug: str
    title: str
    size: int
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]
    released: tuple[int, ...]


def try_feed(
    store: Store, today: FeedReader, reader: FeedReader, slug: str, now: int, folder: Path
) -> FeedTrial | None:
    """The feed with this slug as `today` has cut it and as `reader` would at `now` (µs); None if neither has it.

    Writes nothing to the store, and a file to `folder` if a rule has to be tried.
    """
    spec = reader.policy.specs.get(slug)
    terms = topic_terms(store, reader.policy)
    with store.read() as connection:
        row = _find(connection, slug, spec)
        topic = _coming_topic(reader.policy, slug) if row is None and spec is None else None
        if row is None and spec is None and topic is None:
            return None
        before = today.read_settled(connection, row, terms).entries if row is not None and row.version else ()
        rule = topic_rule(topic) if topic is not None else _next_rule(reader, row, spec)
        moved = moved_topics(connection, reader.policy.tables)
        if rule is None and (heir := _heir(connection, reader, slug)) is not None:
            size, shown = heir.size, reader.read(connection, heir, now, terms)
        elif rule is None:
            return FeedTrial(slug, row.title if row is not None else slug, 0, before, (), ())
        elif row is not None and row.rule == (rule_text(spec.rule) if spec else None) and not asks_for(rule, moved):
            size, shown = row.size, _shown(connection, reader, row, now, terms)
        else:
            size, shown = _try_rule(connection, reader, _next_row(row, spec, slug, now), rule, now, terms, folder)
    released = tuple(one.released_at for one in shown.rows)
    return FeedTrial(slug, shown.feed.title, size, before, shown.feed.entries, released)


def _find(connection: Connection, slug: str, spec: FeedSpec | None) -> AnyRow | None:
    """The row of the feed, under its slug or one that it moves from."""
    for name in (slug, *(spec.old_slugs if spec else ())):
        row = connection.execute(select(feed).where(feed.c.slug == name)).first()
        if row is not None and (row.topic is not None or row.rule is not None or row.id == ALL_FEED):
            return row
    return None


def _next_rule(reader: FeedReader, row: AnyRow | None, spec: FeedSpec | None) -> Rule | None:
    """The rule that the feed would have; None if it would be gone."""
    if spec is not None:
        return spec.rule
    if row is not None and row.id == ALL_FEED:
        return Rule()
    return topic_rule(row.topic) if row is not None and row.topic is not None and reader.policy.auto else None


def _heir(connection: Connection, reader: FeedReader, slug: str) -> AnyRow | None:
    """The topic that gets the slug once no feed of the config has it."""
    if not reader.policy.auto:
        return None
    enough = (feed.c.topic.is_not(None), feed.c.slug.is_(None), feed.c.size >= reader.policy.min_entries)
    rows = connection.execute(select(feed).where(*enough).order_by(feed.c.topic))
    return next((row for row in rows if topic_slug(row.topic) == slug), None)


def _coming_topic(policy: FeedPolicy, slug: str) -> str | None:
    """The topic that tables of the config bring up and whose feed would have this slug."""
    tables = policy.tables
    coming = (key for key in sorted(tables.names) if policy.auto and slug == (tables.slugs.get(key) or topic_slug(key)))
    return next(coming, None)


def _next_row(row: AnyRow | None, spec: FeedSpec | None, slug: str, now: int) -> dict[str, Any]:
    """The row of the feed as it would be."""
    made: dict[str, Any] = {"id": ALL_FEED + 1, "topic": None, "size": 0, "touched": False, "version": 0, "pages": 0}
    made |= {"shown_hash": b"", "changed_at": now, "updated_at": now, "slug": slug, "title": slug}
    if row is not None:
        made |= {column.name: getattr(row, column.name) for column in feed.c}
    title = spec.title or made.get("topic_title") or spec.slug if spec else made.get("topic_title")
    return made | {"slug": spec.slug if spec else made["slug"], "title": title or made["title"]}


def _shown(connection: Connection, reader: FeedReader, row: AnyRow, now: int, terms: TopicTerms) -> Shown:
    """What the feed would show: what it does, unless more than time has changed (`feeds`, settling)."""
    shown = reader.read(connection, row, row.changed_at, terms)
    return shown if feed_digest(shown, terms) == row.shown_hash else reader.read(connection, row, now, terms)


def _try_rule(
    connection: Connection,
    reader: FeedReader,
    made: dict[str, Any],
    rule: Rule,
    now: int,
    terms: TopicTerms,
    folder: Path,
) -> tuple[int, Shown]:
    """How many entries the rule takes, and what the feed of the row `made` would show of them."""
    spec = reader.policy.specs.get(made["slug"])
    keep = LOOK_BACK * ((spec.limit if spec else None) or reader.policy.limit)
    size = 0
    newest: list[tuple[int, int, str, int]] = []
    links = _Links() if rule.duplicates == "merge" else None
    tables = reader.policy.tables
    if links is not None:
        for row in _entries_out(connection, made["id"]):
            if matches(facts_of(row, tables), rule):
                links.meet(row)
    for row in _entries_out(connection, made["id"]):
        if matches(facts_of(row, tables), rule) and (links is None or links.stands(row)):
            size += 1
            published = NEVER if row.published_at is None else row.published_at
            put = heapq.heappush if len(newest) < keep else heapq.heappushpop
            put(newest, (_place(row, rule), published, row.uid, row.id))
    trial = open_store(f"sqlite:///{folder / 'trial.db'}", create=True)
    try:
        with trial.engine.begin() as ours:
            ours.execute(insert(feed), made)
            _copy_entries(connection, ours, made["id"], newest, now)
            if links is not None:
                _copy_merged(connection, ours, made["id"], links.merged({key for *_, key in newest}), now)
        with trial.read() as ours:
            return size, reader.read(ours, ours.execute(select(feed)).one(), now, terms)
    finally:
        trial.close()


def _place(row: AnyRow, rule: Rule) -> int:
    """The time that an entry has its place by."""
    if rule.order == "published" and row.published_at is not None:
        return int(row.published_at)
    return int(row.released_at if row.placed_at is None else row.placed_at)


class _Links:
    """Which of the entries with one link stands for them, in a rule that merges: the first released."""

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[int, int]] = {}
        self._others: list[tuple[bytes, int]] = []

    def meet(self, row: AnyRow) -> None:
        """Takes note of an entry."""
        if (key := link_key(read_content(row.content).link)) is not None:
            mine = (row.released_at, row.id)
            first = self._first.setdefault(key, mine)
            if first != mine:
                self._first[key] = min(first, mine)
                self._others.append((key, max(first, mine)[1]))

    def stands(self, row: AnyRow) -> bool:
        """Whether an entry stands for its link."""
        key = link_key(read_content(row.content).link)
        return key is None or self._first[key][1] == row.id

    def merged(self, standing: Container[int]) -> dict[int, bytes]:
        """The link of each entry that one of `standing` stands for, and of those themselves."""
        shared = {key for key, _ in self._others if self._first[key][1] in standing}
        found = {entry_id: key for key, entry_id in self._others if key in shared}
        return found | {self._first[key][1]: key for key in shared}


def _copy_merged(theirs: Connection, ours: Connection, feed_id: int, links: dict[int, bytes], now: int) -> None:
    """Puts the entries that others stand for into the feed of the trial, as it would have them: closed."""
    here = set(ours.scalars(select(entry.c.id)))
    for start in range(0, len(links), BATCH):
        chunk = dict(list(links.items())[start : start + BATCH])
        for row in theirs.execute(select(entry).where(entry.c.id.in_(chunk))).mappings().all():
            if row["id"] in here:
                ours.execute(update(entry).where(entry.c.id == row["id"]).values(link_key=chunk[row["id"]]))
                continue
            closed = {"left_at": now, "left_by": DUPLICATES, "joined_at": now, "published_at": NEVER}
            ours.execute(insert(entry), dict(row) | {"link_key": chunk[row["id"]]})
            ours.execute(insert(feed_entry), closed | {"entry_id": row["id"], "feed_id": feed_id, "released_at": now})


def _entries_out(connection: Connection, feed_id: int) -> Iterator[AnyRow]:
    """Every entry that is out, with the release that it has in the feed already if it was ever in it."""
    placed = and_(feed_entry.c.entry_id == entry.c.id, feed_entry.c.feed_id == feed_id)
    names = ("id", "uid", "content", "quality", "heat", "released_at", "published_at")
    columns = (*(getattr(entry.c, name) for name in names), feed_entry.c.released_at.label("placed_at"))
    last = -1
    while True:
        rows = connection.execute(
            select(*columns)
            .select_from(entry.outerjoin(feed_entry, placed))
            .where(entry.c.state == ENTRY_OUT, entry.c.id > last)
            .order_by(entry.c.id)
            .limit(BATCH)
        ).all()
        yield from rows
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def _copy_entries(
    theirs: Connection, ours: Connection, feed_id: int, newest: list[tuple[int, int, str, int]], now: int
) -> None:
    """Puts the entries into the feed of the trial, with their bodies."""
    for start in range(0, len(newest), BATCH):
        chunk = newest[start : start + BATCH]
        keys = [key for *_, key in chunk]
        for table, key in ((entry, entry.c.id), (body, body.c.entry_id)):
            if rows := [dict(row) for row in theirs.execute(select(table).where(key.in_(keys))).mappings()]:
                ours.execute(insert(table), rows)
        members = [
            {"entry_id": key, "feed_id": feed_id, "released_at": released, "published_at": published, "joined_at": now}
            for released, published, _, key in chunk
        ]
        ours.execute(insert(feed_entry), members)
