"""Membership: which entries are in which feeds, since when, and who put them out. Rows are closed, never deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, bindparam, insert, select, update

from aggregator.feeds.duplicates import DUPLICATES, links_of, note_links, read_groups
from aggregator.feeds.rules import FeedRules, fold, read_facts
from aggregator.model import Facts, read_content
from aggregator.store.events import JOINED, LEFT, WITHDRAWN, Event, add_events
from aggregator.store.schema import NEVER, AnyRow, archive_page, feed, feed_entry
from aggregator.store.session import Writer, add_to_sizes, execute_many
from aggregator.topics import TopicTables

_JOIN, _NEW_FEED = insert(feed_entry), insert(feed)


@dataclass(frozen=True, slots=True)
class Placing:
    """An entry that is out and what rules read of it, its content as it is stored.

    `first`: it was never in a feed; `shown`: readers can see that it changed; `before`: what rules read of it before
    the change, if that is why it is placed.
    """

    entry_id: int
    released_at: int
    published_at: int | None
    content: str
    topics: tuple[str, ...]
    quality: float
    heat: float
    first: bool = False
    shown: bool = False
    before: Facts | None = None


def place_entries(connection: Connection, writer: Writer, placings: Collection[Placing]) -> None:
    """Puts entries into the feeds that they belong in now and out of the others, and marks those feeds touched."""
    meet_topics(connection, writer, placings)
    memberships = _memberships(connection, [placing.entry_id for placing in placings if not placing.first])
    moves = _Moves(writer, writer.rules)
    for placing in placings:
        rows = memberships.get(placing.entry_id, {})
        moves.add(placing, {feed_id: row for feed_id, row in rows.items() if feed_id not in writer.idle})
    moves.write(connection)
    _merge_placed(connection, writer, placings, writer.rules.merging)


def try_entries(
    connection: Connection, writer: Writer, placings: Collection[Placing], rules: FeedRules, feeds: Collection[int]
) -> None:
    """Puts entries in and out of these `feeds` alone, as their new `rules` say, each by its own time of release."""
    memberships = _memberships(connection, [placing.entry_id for placing in placings])
    moves = _Moves(writer, rules, own_times=True)
    for placing in placings:
        rows = memberships.get(placing.entry_id, {})
        moves.add(placing, {feed_id: row for feed_id, row in rows.items() if feed_id in feeds})
    moves.write(connection)
    _merge_placed(connection, writer, placings, rules.merging)


class _Moves:
    """The rows of `feed_entry` that are added and changed together, and what that does to feeds and archive pages."""

    def __init__(self, writer: Writer, rules: FeedRules, *, own_times: bool = False) -> None:
        self._writer, self._rules, self._own_times = writer, rules, own_times
        self._joins: list[dict[str, object]] = []
        self._returns: list[dict[str, object]] = []
        self._leaves: list[dict[str, object]] = []
        self._places: list[dict[str, object]] = []
        self._pages: set[tuple[int, int]] = set()
        self._sizes: Counter[int] = Counter()
        self._events: list[tuple[int, Event]] = []

    def add(self, placing: Placing, rows: Mapping[int, AnyRow]) -> None:
        """One entry, with its memberships in the feeds that may change, by feed."""
        tables = self._writer.policy.tables
        wanted = self._rules.matching_feeds(tables.all_of(map(fold, placing.topics)), partial(_facts, placing, tables))
        for feed_id in sorted(wanted - rows.keys()):
            self._joins.append(self._joining(placing, feed_id))
            if not placing.first and not self._own_times:
                self._tell_joined(placing, feed_id, None)
            self._sizes[feed_id] += 1
        for feed_id, row in rows.items():
            key: dict[str, object] = {"of_entry": placing.entry_id, "of_feed": feed_id}
            inside = row.left_at is None
            moved = feed_id in wanted and self._move_place(placing, row)
            if feed_id not in wanted and (inside or row.left_by in (WITHDRAWN, DUPLICATES)):
                # an entry that was withdrawn is back on the site, so that it is no longer what keeps it out of here
                clause = self._rules.clause_against(_facts(placing, tables), feed_id)
                self._leaves.append(key | {"clause": clause})
                self._events.append((placing.entry_id, Event(self._writer.now, LEFT, feed_id, clause)))
            elif feed_id in wanted and row.left_by == DUPLICATES and feed_id in self._rules.merging:
                continue  # whether it comes back, all that share its link decide
            elif feed_id in wanted and not inside:
                self._returns.append(key)
                self._events.append((placing.entry_id, Event(row.joined_at, JOINED, feed_id)))
                if row.left_by != WITHDRAWN:
                    self._tell_joined(placing, feed_id, row.left_by)
            elif not (inside and (placing.shown or moved)):
                continue
            self._sizes[feed_id] += (feed_id in wanted) - inside
            if row.page is not None:
                self._pages.add((feed_id, row.page))

    def _joining(self, placing: Placing, feed_id: int) -> dict[str, object]:
        """The row of an entry that comes into a feed for the first time.

        In a feed that stands already, an entry that was out before and is not old comes on top, or its subscribers
        would never see it; a rule that is new changes the time of no entry.
        """
        writer, released = self._writer, self._own_time(placing, feed_id)
        stands = feed_id in writer.standing and feed_id not in self._rules.by_date and not self._own_times
        if stands and not placing.first and released >= writer.now - writer.late:
            released = max(released, writer.now)
        return {
            "entry_id": placing.entry_id,
            "feed_id": feed_id,
            "released_at": released,
            "published_at": NEVER if placing.published_at is None else placing.published_at,
            "joined_at": writer.now,
        }

    def _tell_joined(self, placing: Placing, feed_id: int, kept_out_by: str | None) -> None:
        """Tells that an entry joins a feed, by the clause that it did not meet before."""
        if placing.before is not None and not self._own_times:
            kept_out_by = self._rules.clause_against(placing.before, feed_id)
        self._events.append((placing.entry_id, Event(self._writer.now, JOINED, feed_id, kept_out_by)))

    def _own_time(self, placing: Placing, feed_id: int) -> int:
        """The place that an entry has in a feed by itself: its date where those order the feed, else its release."""
        if feed_id in self._rules.by_date and placing.published_at is not None:
            return placing.published_at
        return placing.released_at

    def _move_place(self, placing: Placing, row: AnyRow) -> bool:
        """Moves an entry that has another place than the order of the feed gives it; what came on top stays there."""
        place = self._own_time(placing, row.feed_id)
        if row.released_at == place or (row.feed_id not in self._rules.by_date and row.released_at > place):
            return False
        self._places.append({"of_entry": placing.entry_id, "of_feed": row.feed_id, "place": place})
        return True

    def write(self, connection: Connection) -> None:
        """Changes the rows, and marks feeds and pages touched."""
        execute_many(connection, _JOIN, self._joins)
        now = self._writer.now
        _update_memberships(connection, self._returns, left_at=None, left_by=None, joined_at=now)
        _update_memberships(connection, self._leaves, left_at=now, left_by=bindparam("clause"))
        _update_memberships(connection, self._places, released_at=bindparam("place"))
        _touch_pages(connection, self._pages)
        add_to_sizes(connection, self._sizes)
        add_events(connection, self._events)


def close_memberships(connection: Connection, writer: Writer, entry_ids: Collection[int]) -> None:
    """Takes withdrawn entries out of all their feeds, and marks those feeds touched."""
    memberships = _memberships(connection, entry_ids)
    closing = [row for rows in memberships.values() for row in rows.values() if row.left_at is None]
    keys: list[dict[str, object]] = [{"of_entry": row.entry_id, "of_feed": row.feed_id} for row in closing]
    _update_memberships(connection, keys, left_at=writer.now, left_by=WITHDRAWN)
    _touch_pages(connection, {(row.feed_id, row.page) for row in closing if row.page is not None})
    sizes = Counter({row.feed_id: 0 for row in closing})
    sizes.subtract(row.feed_id for row in closing)
    add_to_sizes(connection, sizes)
    if writer.rules.merging:
        _merge(connection, writer, writer.rules.merging, links_of(connection, entry_ids))


def _merge_placed(
    connection: Connection, writer: Writer, placings: Collection[Placing], feeds: Collection[int]
) -> None:
    """Has one entry stand for each link that these entries have, or had when they were placed last."""
    if feeds and placings:
        links = note_links(connection, {placing.entry_id: read_content(placing.content).link for placing in placings})
        _merge(connection, writer, feeds, links)


def _merge(connection: Connection, writer: Writer, feeds: Collection[int], links: Collection[bytes]) -> None:
    """Has the first released of each of these links stand in each of the feeds, and closes the others."""
    returns: list[dict[str, object]] = []
    leaves: list[dict[str, object]] = []
    pages: set[tuple[int, int]] = set()
    sizes: Counter[int] = Counter()
    events: list[tuple[int, Event]] = []
    for group in read_groups(connection, feeds, links) if links else ():
        for row in group:
            stands, inside = row is group[0], row.left_at is None
            if stands != inside:
                key: dict[str, object] = {"of_entry": row.entry_id, "of_feed": row.feed_id}
                (returns if stands else leaves).append(key)
                what = JOINED if stands else LEFT
                events.append((row.entry_id, Event(writer.now, what, row.feed_id, DUPLICATES)))
            if row.page is not None and (stands or inside):
                pages.add((row.feed_id, row.page))
            sizes[row.feed_id] += stands - inside
    _update_memberships(connection, returns, left_at=None, left_by=None, joined_at=writer.now)
    _update_memberships(connection, leaves, left_at=writer.now, left_by=DUPLICATES)
    _touch_pages(connection, pages)
    add_to_sizes(connection, sizes)
    add_events(connection, events)


def meet_topics(connection: Connection, writer: Writer, placings: Collection[Placing]) -> None:
    """Gives topics that are new their rows, named as they are spelled here, or else in the config."""
    tables, known = writer.policy.tables, writer.rules.topic_feeds.keys() | writer.covered
    met: list[dict[str, object]] = []
    for placing in placings:
        if known.issuperset(tables.all_of(map(fold, placing.topics))):
            continue
        named = tables.named(placing.topics, fold)
        for key in named:
            for topic in tables.lineage(key):
                if topic not in writer.rules.topic_feeds and topic not in writer.covered:
                    writer.rules.topic_feeds[topic] = feed_id = writer.new_feed_id()
                    name = named.get(topic) or tables.names[topic]
                    title = tables.titles.get(topic, name)
                    row = new_feed(writer, feed_id, topic, title) | {"topic_title": None if title == name else name}
                    met.append(row)
                    known.add(topic)
    execute_many(connection, _NEW_FEED, met)


def new_feed(writer: Writer, feed_id: int, topic: str | None, title: str) -> dict[str, object]:
    """The row of a feed that has no slug and no entry yet."""
    return {
        "id": feed_id,
        "topic": topic,
        "title": title,
        "size": 0,
        "touched": True,
        "version": 0,
        "shown_hash": b"",
        "changed_at": writer.now,
        "updated_at": writer.now,
    }


def _facts(placing: Placing, tables: TopicTables) -> Facts:
    return read_facts(read_content(placing.content), placing.quality, placing.heat, tables)


_MEMBERSHIP = tuple(
    getattr(feed_entry.c, name)
    for name in ("entry_id", "feed_id", "released_at", "page", "joined_at", "left_at", "left_by")
)


def _memberships(connection: Connection, entry_ids: Collection[int]) -> dict[int, dict[int, AnyRow]]:
    """Open and closed memberships, by entry and feed."""
    found: dict[int, dict[int, AnyRow]] = defaultdict(dict)
    if entry_ids:
        for row in connection.execute(select(*_MEMBERSHIP).where(feed_entry.c.entry_id.in_(entry_ids))):
            found[row.entry_id][row.feed_id] = row
    return found


def _update_memberships(connection: Connection, rows: list[dict[str, object]], **values: object) -> None:
    """Changes the membership of the entry `of_entry` in the feed `of_feed` of each row."""
    if rows:
        connection.execute(
            update(feed_entry)
            .where(feed_entry.c.entry_id == bindparam("of_entry"), feed_entry.c.feed_id == bindparam("of_feed"))
            .values(values),
            rows,
        )


def _touch_pages(connection: Connection, pages: Collection[tuple[int, int]]) -> None:
    """Marks archive pages, each a feed and a number, in which an entry changed, left or came back."""
    if pages:
        connection.execute(
            update(archive_page)
            .where(archive_page.c.feed_id == bindparam("of_feed"), archive_page.c.number == bindparam("of_number"))
            .values(touched=True),
            [{"of_feed": feed_id, "of_number": number} for feed_id, number in sorted(pages)],
        )
