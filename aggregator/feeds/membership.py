"""Membership: which entries are in which feeds, since when, and what took them out. Rows are closed, never deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from sqlalchemy import Connection, bindparam, insert, literal_column, null, select, update

from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.duplicates import DUPLICATES, links_of, note_links, read_groups
from aggregator.feeds.rules import FeedRules, fold, read_facts
from aggregator.model import Facts, read_content
from aggregator.store.changes import EntryChanges, PublishedEntry, Selectable
from aggregator.store.events import JOINED, LEFT, WITHDRAWN, Event, add_events
from aggregator.store.schema import NEVER, AnyRow, archive_page, feed, feed_entry
from aggregator.store.session import Writer, execute_many
from aggregator.topic_tables import TopicTables

_JOIN, _NEW_FEED = insert(feed_entry), insert(feed)
_MEMBERSHIP = update(feed_entry).where(
    feed_entry.c.entry_id == bindparam("of_entry"), feed_entry.c.feed_id == bindparam("of_feed")
)
_RETURN = _MEMBERSHIP.values(left_at=null(), left_by=null(), joined_at=bindparam("now"))
_LEAVE = _MEMBERSHIP.values(left_at=bindparam("now"), left_by=bindparam("clause"))
_SET_TIME = _MEMBERSHIP.values(released_at=bindparam("time"))
_ADD_TO_SIZE = (
    update(feed)
    .where(feed.c.id == bindparam("feed_id"))
    .values(size=feed.c.size + bindparam("delta"), dirty=literal_column("true"))
)
_MARK_PAGE = (
    update(archive_page)
    .where(archive_page.c.feed_id == bindparam("of_feed"), archive_page.c.number == bindparam("of_number"))
    .values(dirty=literal_column("true"))
)


def apply_changes(connection: Connection, writer: Writer, feeds: ActiveFeeds, changes: EntryChanges) -> None:
    """Brings memberships up to date with what a transaction changed about entries, in the same transaction."""
    if named := changes.named or [entry.topics for entry in changes.published]:
        meet_topics(connection, writer, feeds, named)
    if changes.published:
        place_entries(connection, writer, feeds, changes.published)
    if changes.withdrawn:
        close_memberships(connection, writer, feeds, changes.withdrawn)
    if changes.relinked:
        _mark_full_feeds(connection, writer, feeds, changes.relinked)


def place_entries(
    connection: Connection, writer: Writer, feeds: ActiveFeeds, entries: Collection[PublishedEntry]
) -> None:
    """Puts entries into the feeds that they match and takes them out of the others; these feeds become dirty."""
    memberships = _memberships(connection, [entry.id for entry in entries if not entry.is_new])
    moves = _Moves(writer, feeds, feeds.rules)
    for entry in entries:
        rows = memberships.get(entry.id, {})
        moves.add(entry, {feed_id: row for feed_id, row in rows.items() if feed_id not in feeds.idle})
    moves.write(connection)
    _merge_placed(connection, writer, entries, feeds.rules.merging)


def try_entries(
    connection: Connection,
    writer: Writer,
    feeds: ActiveFeeds,
    entries: Collection[PublishedEntry],
    rules: FeedRules,
    feed_ids: Collection[int],
) -> None:
    """Puts entries into some feeds and takes them out, by new `rules`; each keeps its own time of release."""
    memberships = _memberships(connection, [entry.id for entry in entries])
    moves = _Moves(writer, feeds, rules, is_reevaluation=True)
    for entry in entries:
        rows = memberships.get(entry.id, {})
        moves.add(entry, {feed_id: row for feed_id, row in rows.items() if feed_id in feed_ids})
    moves.write(connection)
    _merge_placed(connection, writer, entries, rules.merging)


class _Changes:
    """Changes of memberships, which are collected and then written a table at a time."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._joins: list[dict[str, object]] = []
        self._returns: list[dict[str, object]] = []
        self._leaves: list[dict[str, object]] = []
        self._times: list[dict[str, object]] = []
        self._dirty_pages: set[tuple[int, int]] = set()
        self._sizes: Counter[int] = Counter()
        self._events: list[tuple[int, Event]] = []

    def reopen(self, row: AnyRow) -> None:
        """The entry of a membership is in the feed again."""
        self._returns.append({"of_entry": row.entry_id, "of_feed": row.feed_id, "now": self._now})
        self._events.append((row.entry_id, Event(row.joined_at, JOINED, row.feed_id)))  # the row gets another time
        self.touch(row, 1)

    def close(self, row: AnyRow, clause: str) -> None:
        """The entry of a membership is out of the feed by this clause, whether it was in it or not."""
        self._leaves.append({"of_entry": row.entry_id, "of_feed": row.feed_id, "now": self._now, "clause": clause})
        if clause != WITHDRAWN:  # which is an event of the entry itself
            self._events.append((row.entry_id, Event(self._now, LEFT, row.feed_id, clause)))
        self.touch(row, -1 if row.left_at is None else 0)

    def touch(self, row: AnyRow, delta: int = 0) -> None:
        """The feed of a membership, whose size changes by `delta`, and the page with its entry become dirty."""
        self._sizes[row.feed_id] += delta
        if row.page is not None:
            self._dirty_pages.add((row.feed_id, row.page))

    def add_joined(self, entry_id: int, feed_id: int, kept_out_by: str | None) -> None:
        """Adds the event that an entry joins a feed, with the clause that kept it out before."""
        self._events.append((entry_id, Event(self._now, JOINED, feed_id, kept_out_by)))

    def write(self, connection: Connection) -> None:
        """Writes all of it."""
        pages = [{"of_feed": feed_id, "of_number": number} for feed_id, number in sorted(self._dirty_pages)]
        sizes = [{"feed_id": feed_id, "delta": delta} for feed_id, delta in sorted(self._sizes.items())]
        execute_many(connection, _JOIN, self._joins)
        execute_many(connection, _RETURN, self._returns)
        execute_many(connection, _LEAVE, self._leaves)
        execute_many(connection, _SET_TIME, self._times)
        execute_many(connection, _MARK_PAGE, pages)
        execute_many(connection, _ADD_TO_SIZE, sizes)
        add_events(connection, self._events)


class _Moves(_Changes):
    """Entries that join and leave feeds by rules."""

    def __init__(self, writer: Writer, feeds: ActiveFeeds, rules: FeedRules, *, is_reevaluation: bool = False) -> None:
        super().__init__(writer.now)
        self._feeds, self._rules, self._is_reevaluation = feeds, rules, is_reevaluation

    def add(self, entry: PublishedEntry, rows: Mapping[int, AnyRow]) -> None:
        """An entry, with its memberships in the feeds that may change, by feed."""
        tables = self._feeds.tables
        matching = self._rules.matching_feeds(
            tables.with_parents(map(fold, entry.topics)), partial(_facts, entry, tables)
        )
        for feed_id in sorted(matching - rows.keys()):
            self._joins.append(self._new_membership(entry, feed_id))
            self._sizes[feed_id] += 1
            if not entry.is_new and not self._is_reevaluation:
                self._add_joined_by_rule(entry, feed_id, None)
        for feed_id, row in rows.items():
            is_member, is_matching = row.left_at is None, feed_id in matching
            is_moved = is_matching and self._correct_time(entry, row)
            if not is_matching and (is_member or row.left_by in (WITHDRAWN, DUPLICATES)):
                # a withdrawn entry is published again, so the withdrawal no longer keeps it out of this feed
                self.close(row, self._rules.clause_against(_facts(entry, tables), feed_id))
            elif is_matching and row.left_by == DUPLICATES and feed_id in self._rules.merging:
                pass  # it returns if it is the first of its link, which `_merge` decides
            elif is_matching and not is_member:
                self.reopen(row)
                if row.left_by != WITHDRAWN:
                    self._add_joined_by_rule(entry, feed_id, row.left_by)
            elif is_member and (entry.is_visible or is_moved):
                self.touch(row)

    def _new_membership(self, entry: PublishedEntry, feed_id: int) -> dict[str, object]:
        """The row of an entry that joins a feed for the first time.

        An already published entry that newly matches an existing feed is dated now, so that subscribers see it, unless
        it is older than `late`. A new rule keeps the original times.
        """
        released = self._own_time(entry, feed_id)
        if (
            not entry.is_new
            and not self._is_reevaluation
            and feed_id in self._feeds.had_slug_at_start
            and feed_id not in self._rules.by_date
            and released >= self._now - self._feeds.late_us
        ):
            released = max(released, self._now)
        return {
            "entry_id": entry.id,
            "feed_id": feed_id,
            "released_at": released,
            "published_at": NEVER if entry.published_at is None else entry.published_at,
            "joined_at": self._now,
        }

    def _add_joined_by_rule(self, entry: PublishedEntry, feed_id: int, kept_out_by: str | None) -> None:
        """Adds the event that an entry joins a feed; what it was before the change says which clause kept it out."""
        if entry.before is not None and not self._is_reevaluation:
            kept_out_by = self._rules.clause_against(_facts(entry.before, self._feeds.tables), feed_id)
        self.add_joined(entry.id, feed_id, kept_out_by)

    def _own_time(self, entry: PublishedEntry, feed_id: int) -> int:
        """The time that orders an entry in a feed: its published date in feeds by date, else its release."""
        if feed_id in self._rules.by_date and entry.published_at is not None:
            return entry.published_at
        return entry.released_at

    def _correct_time(self, entry: PublishedEntry, row: AnyRow) -> bool:
        """Whether a membership gets another time, because the order of its feed changed. In a feed by release an entry
        keeps a later time, which it got by joining after its release."""
        time = self._own_time(entry, row.feed_id)
        if row.released_at == time or (row.feed_id not in self._rules.by_date and row.released_at > time):
            return False
        self._times.append({"of_entry": entry.id, "of_feed": row.feed_id, "time": time})
        return True


def close_memberships(connection: Connection, writer: Writer, feeds: ActiveFeeds, entry_ids: Collection[int]) -> None:
    """Takes withdrawn entries out of all their feeds, which become dirty."""
    memberships = _memberships(connection, entry_ids)
    changes = _Changes(writer.now)
    for row in (row for rows in memberships.values() for row in rows.values() if row.left_at is None):
        changes.close(row, WITHDRAWN)
    changes.write(connection)
    if feeds.rules.merging:
        _merge(connection, writer, feeds.rules.merging, links_of(connection, entry_ids))


def _mark_full_feeds(connection: Connection, writer: Writer, feeds: ActiveFeeds, entry_ids: Collection[int]) -> None:
    """Marks the feeds and archive pages that show the bodies of these entries as dirty."""
    policy = feeds.policy
    slugs = [spec.slug for spec in policy.specs.values() if spec.full != policy.full]
    is_full = feed.c.slug.not_in(slugs) if policy.full else feed.c.slug.in_(slugs)
    rows = connection.execute(
        select(feed_entry.c.feed_id, feed_entry.c.page)
        .join(feed, feed.c.id == feed_entry.c.feed_id)
        .where(feed_entry.c.entry_id.in_(entry_ids), feed_entry.c.left_at.is_(None), is_full)
    )
    changes = _Changes(writer.now)
    for row in rows:
        changes.touch(row)
    changes.write(connection)


def _merge_placed(
    connection: Connection, writer: Writer, entries: Collection[PublishedEntry], feed_ids: Collection[int]
) -> None:
    """Merges duplicates for each link that these entries have, or had when they were last placed."""
    if feed_ids and entries:
        links = note_links(connection, {entry.id: read_content(entry.content).link for entry in entries})
        _merge(connection, writer, feed_ids, links)


def _merge(connection: Connection, writer: Writer, feed_ids: Collection[int], links: Collection[bytes]) -> None:
    """Opens the membership of the first released entry of each link in each feed, and closes those of the others."""
    changes = _Changes(writer.now)
    for group in read_groups(connection, feed_ids, links) if links else ():
        for row in group:
            is_first, is_member = row is group[0], row.left_at is None
            if is_first and not is_member:
                changes.reopen(row)
                changes.add_joined(row.entry_id, row.feed_id, DUPLICATES)
            elif is_member and not is_first:
                changes.close(row, DUPLICATES)
            elif is_first:
                changes.touch(row)
    changes.write(connection)


def meet_topics(connection: Connection, writer: Writer, feeds: ActiveFeeds, spelled: Iterable[tuple[str, ...]]) -> None:
    """Adds the rows of new topics, named as the first entry spells them, or else as the config does. `spelled` are the
    topics of each entry."""
    tables, topic_feeds = feeds.tables, feeds.rules.topic_feeds
    known = topic_feeds.keys() | feeds.covered
    rows: list[dict[str, object]] = []
    for topics in spelled:
        if known.issuperset(tables.with_parents(map(fold, topics))):
            continue
        named = tables.shown_names(topics, fold)
        for topic in (topic for key in named for topic in tables.lineage(key)):
            if topic in known:
                continue
            topic_feeds[topic] = feed_id = feeds.new_id()
            name = named.get(topic) or tables.names[topic]
            rows.append(new_feed(writer, feed_id, topic, name))
            known.add(topic)
    execute_many(connection, _NEW_FEED, rows)


def new_feed(writer: Writer, feed_id: int, topic: str | None, name: str) -> dict[str, object]:
    """The row of a feed without slug and entries. Each refresh computes its title."""
    return {
        "id": feed_id,
        "topic": topic,
        "topic_name": None if topic is None else name,
        "title": name,
        "size": 0,
        "dirty": True,
        "version": 0,
        "shown_hash": b"",
        "changed_at": writer.now,
        "updated_at": writer.now,
    }


def _facts(entry: PublishedEntry | Selectable, tables: TopicTables) -> Facts:
    return read_facts(read_content(entry.content), entry.quality, entry.heat, tables)


def _memberships(connection: Connection, entry_ids: Collection[int]) -> dict[int, dict[int, AnyRow]]:
    """Open and closed memberships, by entry and feed."""
    memberships: dict[int, dict[int, AnyRow]] = defaultdict(dict)
    if entry_ids:
        for row in connection.execute(select(feed_entry).where(feed_entry.c.entry_id.in_(entry_ids))):
            memberships[row.entry_id][row.feed_id] = row
    return memberships
