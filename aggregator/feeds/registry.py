"""Which feeds exist, and what they are called: rows, slugs, titles and ids, from topics and the config.

    prepare_feeds -> sync_configured_feeds -> (entries are placed) -> give_slugs, retire_empty

A slug stays with its topic. A feed leaves its slug in `old_slug` when it moves, when it was empty for `keep_empty`,
when its topic becomes an alias, and when a configured feed takes the slug along. No other topic gets that slug. It
redirects to the present feed of the topic, and is given back to the topic when its feed returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, or_, select, update

from aggregator.documents import ALL
from aggregator.feeds.active import ActiveFeeds, ActiveRules
from aggregator.feeds.feed_list import OF_TOPIC, read_old_slugs, topic_titles, waiting_topics
from aggregator.feeds.membership import meet_topics, new_feed, try_entries
from aggregator.feeds.rules import FeedRules, rule_text
from aggregator.feeds.window import json_digest
from aggregator.ids import IdMint
from aggregator.settings import FeedPolicy, FeedSpec, Rule
from aggregator.slugs import plain_key, topic_slug
from aggregator.store.entries import published_entry
from aggregator.store.schema import ALL_FEED, AnyRow, EntryState, entry, feed, feed_entry, old_slug
from aggregator.store.session import Writer, parts, read_meta, span_us, upsert, write_meta
from aggregator.topic_tables import TopicTables

BATCH = 1000
"""How many entries are evaluated in one transaction, and topics asked for in one statement."""
REEVALUATING = ""
"""The value of `feed.rule` during a re-evaluation: neither the old nor the new rule holds."""
# keys of `meta`
_SETTINGS, _TABLES, _PINS, _PARTED = "shape", "topic_links", "topic_names", "parted_topics"
_NEW_RULES = "new_rules"


# after a change of the config


def prepare_feeds(writer: Writer, settings: str) -> None:
    """Creates `all` in a new store, and marks feeds dirty after a change of the config or when an entry reaches
    `max_age`.

    `settings` is the fingerprint of all settings that affect documents, except rules.
    """
    mark_stale_feeds(writer)
    with writer.read() as connection:
        is_new = connection.execute(select(feed.c.id).where(feed.c.id == ALL_FEED)).first() is None
        changed = read_meta(connection, _SETTINGS) != settings
    if not (is_new or changed):
        return
    with writer.write() as connection:
        if is_new:
            row = new_feed(writer, ALL_FEED, None, ALL) | {"slug": ALL, "uid": writer.mint.feed_id(ALL)}
            connection.execute(insert(feed).values(row))
        if changed:
            connection.execute(update(feed).values(dirty=True))
            write_meta(connection, _SETTINGS, settings)


def mark_stale_feeds(writer: Writer) -> None:
    """Marks the feeds dirty in which an entry reaches `max_age`."""
    stale = (feed.c.stale_at <= writer.now, ~feed.c.dirty)
    with writer.read() as connection:
        any_stale = connection.execute(select(feed.c.id).where(*stale).limit(1)).first() is not None
    if any_stale:
        with writer.write() as connection:
            connection.execute(update(feed).where(*stale).values(dirty=True))


def sync_configured_feeds(
    writer: Writer, feeds: ActiveFeeds, specs: Collection[FeedSpec], stopped: Callable[[], None]
) -> ActiveRules:
    """Applies the feeds and topics of the config to the store. Activates their rules in `feeds`, and returns them.

        rows are created, moved, taken from topics, given back -> entries are evaluated in batches -> rules are stored

    A configured feed takes over the row of the topic with its slug, or the row of the feed that it moved from. A topic
    gets its row back when the table is gone, and a new row when the table has another slug than the topic. New rules
    and new rows are evaluated for all published entries. A stop between two batches only repeats the evaluation.
    """
    changes = _FeedChanges(writer, feeds, specs)
    if changes.added or changes.changed or changes.moved:
        with writer.write() as connection:
            changes.write_rows(connection)
        feeds.reload(writer)
    if changes.evaluated or changes.moved or changes.parted:
        _evaluate_all(writer, feeds, changes, stopped)
        with writer.write() as connection:
            changes.write_evaluated(connection)
        feeds.reload(writer)
    active = ActiveRules(changes.rules, changes.old_slugs)
    feeds.use_rules(active)
    if alias := feeds.tables.alias:
        _retire(writer, feed.c.topic.in_(alias))  # the slugs of aliases redirect to the topic itself
    _apply_pins(writer, feeds, [spec.slug for spec in specs])
    return active


class _FeedChanges:
    """The differences between the rows of feeds and the config."""

    def __init__(self, writer: Writer, feeds: ActiveFeeds, specs: Collection[FeedSpec]) -> None:
        self._writer, self._feeds, self._mint, self._tables = writer, feeds, writer.mint, feeds.tables
        self.old_slugs = frozenset(old for spec in specs for old in spec.old_slugs)
        self._slugs = frozenset(spec.slug for spec in specs)
        # new rows, each with the slug that its id is made from
        self.added: list[tuple[dict[str, Any], str | None]] = []
        self.changed: dict[int, dict[str, Any]] = {}  # values by feed, written before the evaluation
        self.evaluated: dict[int, dict[str, Any]] = {}  # values by feed with a new rule, written after the evaluation
        self.rules: dict[int, Rule] = {}  # rules of configured feeds
        self.returning: dict[str, int] = {}  # feeds that are given back to their topics, by topic
        self._left: list[tuple[int, int, str]] = []  # slugs that topics lose: the row of each before and after
        with writer.read() as connection:
            self.moved = _moved_topics(connection, self._tables)  # topics whose members may differ
            # topics that got a new row, because a configured feed kept theirs; it begins with those of a cycle that was
            # stopped
            self.parted = frozenset[str](json.loads(read_meta(connection, _PARTED) or "[]"))
            rows = {row.slug: row for row in connection.execute(self._affected_rows())}
            for spec in specs:
                self._configure(connection, spec, rows)
            for row in rows.values():
                self._release(connection, row)

    def write_rows(self, connection: Connection) -> None:
        """Writes what comes before the evaluation."""
        if self.moved:
            _store_tables(connection, self._tables, self.moved)
        if self.parted:
            write_meta(connection, _PARTED, json.dumps(sorted(self.parted), ensure_ascii=False))
        # freed slugs first: the unique constraint holds within the transaction
        for feed_id, values in sorted(self.changed.items(), key=lambda item: item[1].get("slug", "") is not None):
            connection.execute(update(feed).where(feed.c.id == feed_id).values(values))
        if self.added:
            used = _ids_in_use(connection)
            rows = [row | {"uid": slug and _mint_feed_id(self._mint, slug, used)} for row, slug in self.added]
            connection.execute(insert(feed), rows)
        for old_id, new_id, slug in self._left:
            connection.execute(update(old_slug).where(old_slug.c.feed_id == old_id).values(feed_id=new_id))
            upsert(connection, old_slug, [{"slug": slug, "feed_id": new_id, "since": self._writer.now}])

    def write_evaluated(self, connection: Connection) -> None:
        """Writes what comes after the evaluation."""
        for feed_id, values in self.evaluated.items():
            free = values
            if slug := values.get("slug"):  # another feed may have got it in the meantime
                others = select(feed.c.id).where(feed.c.slug == slug, feed.c.id != feed_id)
                free = values if connection.scalar(others) is None else values | {"slug": None}
            connection.execute(update(feed).where(feed.c.id == feed_id).values(free))
        if self.evaluated:
            evaluated = dict.fromkeys(self.evaluated, self._writer.now)
            write_new_rules(connection, read_new_rules(connection) | evaluated)
        if self.moved:
            _store_tables(connection, self._tables)
        if self.parted:
            write_meta(connection, _PARTED, "[]")

    def _affected_rows(self) -> Select[Any]:
        """The rows of configured feeds, of removed feeds that may return, and of feeds whose slug is needed."""
        names = self._slugs | self.old_slugs
        ids = [self._mint.feed_id(name) for name in names]
        names_of = (feed.c.slug, feed.c.uid, feed.c.topic, feed.c.topic_name)
        columns = (feed.c.id, *names_of, feed.c.rule)
        mine = or_(feed.c.rule.is_not(None), feed.c.slug.in_(names), feed.c.uid.in_(ids))
        return select(*columns).where(mine, feed.c.slug.is_not(None), feed.c.id != ALL_FEED).order_by(feed.c.id)

    def _configure(self, connection: Connection, spec: FeedSpec, rows: dict[str, AnyRow]) -> None:
        """Assigns a row to a configured feed, and removes it from `rows`."""
        row = rows.pop(self._stored_slug(spec, rows), None)
        text = rule_text(spec.rule)
        is_applied = row is not None and row.rule == text and not _names_any(spec.rule, self.moved)
        if row is None:
            feed_id = self._feeds.new_id()
            new_row = new_feed(self._writer, feed_id, None, spec.slug) | {"slug": spec.slug, "rule": REEVALUATING}
            self.added.append((new_row, next(iter(spec.old_slugs), spec.slug)))
        else:
            feed_id = row.id
            parted = {} if self._replaces_topic(connection, spec, row) else self._part_from_topic(connection, row)
            self._change(row, {"slug": spec.slug} | parted | ({} if is_applied else {"rule": REEVALUATING}))
        self.rules[feed_id] = spec.rule
        if not is_applied:
            self.evaluated[feed_id] = {"rule": text, "dirty": True}

    def _replaces_topic(self, connection: Connection, spec: FeedSpec, row: AnyRow) -> bool:
        """Whether a configured feed has the slug of the topic of its row, or its row has none."""
        if row.topic is None:
            return True
        if (pin := self._tables.slugs.get(row.topic)) is not None:
            return pin == spec.slug
        if row.rule is None:
            return bool(row.slug == spec.slug)
        is_plain = spec.slug == topic_slug(row.topic) or row.uid == self._mint.feed_id(spec.slug)
        return is_plain or spec.slug == self._slug_of_topic(connection, row)

    def _part_from_topic(self, connection: Connection, row: AnyRow) -> dict[str, Any]:
        """The values of a row that a configured feed keeps, with its id, archive and subscribers. Its topic gets a new
        row, with the slugs that it had as old slugs."""
        feed_id = self._feeds.new_id()
        new_row = new_feed(self._writer, feed_id, row.topic, row.topic_name) | {"slug": None, "rule": None}
        self.added.append((new_row, None))
        slug = row.slug if row.rule is None else self._slug_of_topic(connection, row)
        self._left.append((row.id, feed_id, slug))
        self.parted |= {row.topic}
        return {"topic": None, "topic_name": None}

    def _stored_slug(self, spec: FeedSpec, rows: dict[str, AnyRow]) -> str:
        """The slug of the feed in the store: its own, an old slug, or one that it had in between."""
        free = {slug: row for slug, row in rows.items() if slug not in self._slugs}
        moved = [old for old in spec.old_slugs if old in free and free[old].rule is not None]
        own = rows.get(spec.slug)
        is_removed = own is not None and own.topic is None and own.rule is None  # the config had no such feed lately
        if own is not None and not (moved and is_removed):
            return spec.slug
        names = (spec.slug, *spec.old_slugs)
        ids = {self._mint.feed_id(name) for name in names}
        moved += [name for name in names if name in free]
        moved += [slug for slug, row in free.items() if row.uid in ids and (row.rule is not None or row.topic is None)]
        return moved[0] if moved else spec.slug

    def _release(self, connection: Connection, row: AnyRow) -> None:
        """Handles a row without a configured feed: gives it back to its topic, or keeps it as a removed feed."""
        if row.rule is None:
            if row.slug in self._slugs or (row.topic is not None and row.slug in self.old_slugs):
                self._change(row, _without_slug(row, self._mint))  # another feed has or redirects its slug
                if row.topic is not None:
                    self._left.append((row.id, row.id, row.slug))
        elif row.topic is None:
            self._change(row, {"rule": None})
        else:
            self.returning[row.topic] = row.id
            pins = self._tables.slugs
            slug = pins.get(row.topic) or self._slug_of_topic(connection, row)
            others = self._slugs | self.old_slugs | ({*pins.values()} - {pins.get(row.topic)})
            self._change(row, {"rule": REEVALUATING})
            self.evaluated[row.id] = {"rule": None, "slug": None if slug in others else slug, "dirty": True}
            if slug in others:
                self._left.append((row.id, row.id, slug))

    def _slug_of_topic(self, connection: Connection, row: AnyRow) -> str:
        """The slug that the topic had before a configured feed took it over: the slug that the id is made from."""
        plain = topic_slug(row.topic)
        own = [slug for slug in (plain, topic_slug(row.topic, {plain})) if self._mint.feed_id(slug) == row.uid]
        left = {*connection.scalars(select(old_slug.c.slug).where(old_slug.c.feed_id == row.id))}
        return own[0] if own and own[0] not in left else str(row.slug)

    def _change(self, row: AnyRow, values: dict[str, Any]) -> None:
        differing = {name: value for name, value in values.items() if value != getattr(row, name)}
        if differing:
            self.changed[row.id] = differing | {"dirty": True}


def read_new_rules(connection: Connection) -> dict[int, int]:
    """The feeds that were not refreshed since they got another rule, and when they got it, in µs."""
    return {int(feed_id): at for feed_id, at in json.loads(read_meta(connection, _NEW_RULES) or "{}").items()}


def write_new_rules(connection: Connection, rules: dict[int, int]) -> None:
    """Stores what `read_new_rules` returns."""
    write_meta(connection, _NEW_RULES, json.dumps(rules))


def _without_slug(row: AnyRow, mint: IdMint) -> dict[str, Any]:
    """The values of a feed that loses its slug for good. An id that is made from the slug goes to its next feed."""
    return {"slug": None} | ({"uid": None} if row.uid == mint.feed_id(row.slug) else {})


def _evaluate_all(writer: Writer, feeds: ActiveFeeds, changes: _FeedChanges, stopped: Callable[[], None]) -> None:
    """Evaluates every published entry for changed rules, moved topics and new rows of topics."""
    topics = dict(changes.returning)
    rules = FeedRules({key: rule for key, rule in changes.rules.items() if key in changes.evaluated}, topics)
    last = -1
    while True:
        stopped()
        with writer.write() as connection:
            rows = connection.execute(
                select(entry)
                .where(entry.c.state == EntryState.PUBLISHED, entry.c.id > last)
                .order_by(entry.c.id)
                .limit(BATCH)
            ).all()
            entries = [published_entry(row) for row in rows]
            if changes.moved:
                meet_topics(connection, writer, feeds, [entry.topics for entry in entries])
            known = ((key, feeds.rules.topic_feeds.get(key)) for key in changes.moved | changes.parted)
            topics.update((key, feed_id) for key, feed_id in known if feed_id and feed_id not in changes.rules)
            try_entries(connection, writer, feeds, entries, rules, {*changes.evaluated, *topics.values()})
        if len(rows) < BATCH:
            return
        last = rows[-1].id


# tables of topics, and topics that need another evaluation


def _moved_topics(connection: Connection, tables: TopicTables) -> frozenset[str]:
    """The topics whose members may differ between the stored and the new tables."""
    stored = json.loads(read_meta(connection, _TABLES) or "{}")
    before = TopicTables(alias=stored.get("alias", {}), parents=stored.get("parents", {}))
    spellings = {*before.alias, *before.parents, *tables.alias, *tables.parents}
    moved = (frozenset(before.lineage(key)) ^ frozenset(tables.lineage(key)) for key in spellings)
    return frozenset(stored.get("doubt", ())).union(*moved)


def _store_tables(connection: Connection, tables: TopicTables, unevaluated: Collection[str] = ()) -> None:
    """Stores the tables that memberships follow, and the topics that still need evaluation."""
    stored = {"alias": tables.alias, "parents": tables.parents, "doubt": sorted(unevaluated)}
    write_meta(connection, _TABLES, json.dumps(stored, ensure_ascii=False))


def _names_any(rule: Rule, topics: Collection[str]) -> bool:
    """Whether the rule names one of the topics."""
    return any(key in topics for values in (rule.topics.any, rule.topics.all, rule.topics.none) for key in values)


def _apply_pins(writer: Writer, feeds: ActiveFeeds, configured: Collection[str]) -> None:
    """Moves feeds of topics after a change of the pins. Feeds keep their ids.

    A pin replaces the slug of its topic and takes it from any other topic. `configured` are slugs of configured feeds.
    """
    pins = feeds.tables.slugs
    digest = json_digest(sorted(pins.items())).hex()
    with writer.read() as connection:
        known = read_meta(connection, _PINS)
    if digest == known or (known is None and not pins):
        return
    with writer.write() as connection:
        _move_to_pins(connection, writer, feeds, configured)
        write_meta(connection, _PINS, digest)


def _move_to_pins(connection: Connection, writer: Writer, feeds: ActiveFeeds, configured: Collection[str]) -> None:
    pins = feeds.tables.slugs
    columns = (feed.c.id, feed.c.topic, feed.c.slug, feed.c.uid)
    with_slug = (feed.c.slug.is_not(None), feed.c.rule.is_(None), feed.c.id != ALL_FEED)
    rows = connection.execute(select(*columns).where(*with_slug).order_by(feed.c.topic)).all()
    pinned = frozenset(pins.values())
    moving = [row for row in rows if pins.get(row.topic, "" if row.slug in pinned else row.slug) != row.slug]
    for row in moving:
        values = _without_slug(row, writer.mint) if row.topic is None else {"slug": None}
        connection.execute(update(feed).where(feed.c.id == row.id).values(values))
    moving = [row for row in moving if row.topic is not None]
    if not moving:
        return
    taken = {*connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None))), *pinned, *configured}
    taken |= feeds.old_slugs
    _keep_old_slugs(connection, writer, moving)
    old = read_old_slugs(connection)
    slugs = {}
    for row in moving:
        slugs[row.id] = pins.get(row.topic) or old.choose(row.topic, taken, feeds.tables.alias)
        taken.add(slugs[row.id])
    moved = update(feed).where(feed.c.id == bindparam("feed_id")).values(slug=bindparam("given"), dirty=True)
    connection.execute(moved, [{"feed_id": feed_id, "given": slug} for feed_id, slug in slugs.items()])
    _forget_old_slugs(connection, [*slugs.values()])


# slugs and ids


def give_slugs(writer: Writer, feeds: ActiveFeeds) -> list[str]:
    """Gives slugs to the topics that have enough entries now, pins first, then by name.

    At most `max_feeds` topics have a feed. Returns the titles of the others.
    """
    policy, pins = feeds.policy, feeds.tables.slugs
    with writer.read() as connection:
        waiting = waiting_topics(connection, policy)
        number = connection.scalar(select(func.count()).select_from(feed).where(*OF_TOPIC)) if waiting else 0
    room = max(policy.max_feeds - (number or 0), 0)
    waiting.sort(key=lambda row: row.topic not in pins)
    rows, without_feed = waiting[:room], topic_titles(waiting[room:], policy)
    if not rows:
        return without_feed
    with writer.write() as connection:
        _free_slugs(connection, writer, {pins.get(row.topic) or topic_slug(row.topic) for row in rows})
        in_use = {*connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None)))}
        taken = {*in_use, *policy.specs, *feeds.old_slugs, *pins.values(), *_terms_of_others(connection, rows)}
        used_ids, old = _ids_in_use(connection), read_old_slugs(connection)
        changes = []
        for row in rows:
            slug = pins.get(row.topic)
            if slug is None or slug in in_use:
                slug = old.choose(row.topic, taken, policy.tables.alias)
            taken.add(slug)
            uid = row.uid or _mint_feed_id(writer.mint, slug, used_ids)
            changes.append({"feed_id": row.id, "new_slug": slug, "new_uid": uid})
        connection.execute(
            update(feed)
            .where(feed.c.id == bindparam("feed_id"))
            .values(
                slug=bindparam("new_slug"),
                uid=bindparam("new_uid"),
                dirty=True,
                changed_at=writer.now,
                updated_at=writer.now,
            ),
            changes,
        )
        if old.topics:
            _forget_old_slugs(connection, [change["new_slug"] for change in changes])
        if waited := [row.id for row in rows if row.changed_at != writer.now]:  # else all feeds of its entries changed
            _mark_companions_dirty(connection, waited)
    return without_feed


def _terms_of_others(connection: Connection, rows: Collection[AnyRow]) -> set[str]:
    """The slugs of the topics in `rows` that are the terms of other topics, whose feeds are still to come."""
    topics = {row.topic for row in rows}
    plain = {plain_key(slug): slug for slug in map(topic_slug, topics)}
    without_feed = select(feed.c.topic).where(feed.c.slug.is_(None), feed.c.size > 0)
    found: set[str] = set()
    for part in parts(plain.keys() - topics, BATCH):
        found.update(plain[key] for key in connection.scalars(without_feed.where(feed.c.topic.in_(part))))
    return found


def _free_slugs(connection: Connection, writer: Writer, wanted: Collection[str]) -> None:
    """Takes the wanted slugs from removed feeds."""
    removed = (feed.c.topic.is_(None), feed.c.id != ALL_FEED, feed.c.rule.is_(None), feed.c.slug.in_(wanted))
    for row in connection.execute(select(feed.c.id, feed.c.slug, feed.c.uid).where(*removed)).all():
        connection.execute(update(feed).where(feed.c.id == row.id).values(_without_slug(row, writer.mint)))


def _mark_companions_dirty(connection: Connection, feed_ids: list[int]) -> None:
    """Marks the feeds dirty that have entries of these feeds: entries link to the feeds of their topics."""
    members = select(feed_entry.c.entry_id).where(feed_entry.c.feed_id.in_(feed_ids), feed_entry.c.left_at.is_(None))
    companions = select(feed_entry.c.feed_id).where(feed_entry.c.entry_id.in_(members), feed_entry.c.left_at.is_(None))
    connection.execute(update(feed).where(feed.c.id.in_(companions)).values(dirty=True))


def _ids_in_use(connection: Connection) -> set[str]:
    return {*connection.scalars(select(feed.c.uid).where(feed.c.uid.is_not(None)))}


def _mint_feed_id(mint: IdMint, slug: str, used: set[str]) -> str:
    """The id of a new feed: made from its slug, or from `slug~2` if another feed has that id. Adds it to `used`."""
    uid, take = mint.feed_id(slug), 1
    while uid in used:
        take += 1
        uid = mint.feed_id(f"{slug}~{take}")
    used.add(uid)
    return uid


def _keep_old_slugs(connection: Connection, writer: Writer, rows: Collection[AnyRow]) -> None:
    upsert(connection, old_slug, [{"slug": row.slug, "feed_id": row.id, "since": writer.now} for row in rows])


def _forget_old_slugs(connection: Connection, slugs: Collection[str]) -> None:
    """Removes slugs that are in use again."""
    connection.execute(delete(old_slug).where(old_slug.c.slug.in_(slugs)))


def retire_empty(writer: Writer, policy: FeedPolicy) -> bool:
    """Takes the slugs of topics that have had no entry for `keep_empty`; True if there are any."""
    since = writer.now - span_us(policy.keep_empty)
    return _retire(writer, feed.c.unused_since <= since, feed.c.size == 0)


def _retire(writer: Writer, *conditions: ColumnElement[bool]) -> bool:
    """Moves the slugs of these feeds of topics to `old_slug`. The feeds keep their ids."""
    with writer.read() as connection:
        query = select(feed.c.id, feed.c.slug).where(*OF_TOPIC, *conditions).order_by(feed.c.id)
        rows = connection.execute(query).all()
    if rows:
        with writer.write() as connection:
            _keep_old_slugs(connection, writer, rows)
            retired = update(feed).where(feed.c.id.in_([row.id for row in rows]))
            connection.execute(retired.values(slug=None, unused_since=None))
    return bool(rows)
