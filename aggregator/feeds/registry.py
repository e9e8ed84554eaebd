"""Feeds: which there are, what each shows now, and when that changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from aggregator.documents import ALL
from aggregator.feeds.active import ActiveFeeds
from aggregator.feeds.archives import SEALED_AT_ONCE, is_complete, seal_backfills, seal_outside, settle_pages
from aggregator.feeds.membership import new_feed
from aggregator.feeds.slugs import OF_TOPIC, forget_old_slugs, published_feeds, read_old_slugs
from aggregator.feeds.topics import free_id, ids_in_use
from aggregator.feeds.window import FeedReader, TopicTerms, describe, feed_digest, json_digest
from aggregator.model import Feed, FeedSummary
from aggregator.settings import FeedPolicy
from aggregator.slugs import topic_slug
from aggregator.store.database import Store
from aggregator.store.entries import shown_update, update_entries
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import ALL_FEED, FEED_TOUCHED, AnyRow, archive_page, entry, feed, feed_entry
from aggregator.store.session import Writer, execute_many, from_us, read_meta, to_us, write_meta

CHUNK = 100

_SETTLED_COLUMNS = "version shown_hash changed_at updated_at newest_at left_out pages stale_at unused_since".split()
_SETTLED = (
    update(feed)
    .where(feed.c.id == bindparam("feed_id"))
    .values({name: bindparam(name) for name in _SETTLED_COLUMNS} | {"touched": literal_column("false")})
)
_LAST_WITHDRAWAL = (
    select(feed_entry.c.left_at)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.left_by == WITHDRAWN)
    .order_by(feed_entry.c.left_at.desc())
    .limit(1)
)


def prepare_feeds(writer: Writer, title: str, shape: str) -> None:
    """Makes the feed `all` in a new store, and marks the feeds touched that a change of config or an age concerns.

    `shape` names what of the config decides what feeds show.
    """
    stale = (feed.c.stale_at <= writer.now, ~feed.c.touched)
    with writer.read() as connection:
        row = connection.execute(select(feed.c.title, feed.c.updated_at).where(feed.c.id == ALL_FEED)).first()
        reshaped = read_meta(connection, "shape") != shape
        aged = connection.execute(select(feed.c.id).where(*stale).limit(1)).first() is not None
    if not (row is None or row.title != title or reshaped or aged):
        return
    with writer.write() as connection:
        if row is None:
            connection.execute(insert(feed).values(**new_feed(writer, ALL_FEED, None, title), slug=ALL))
        elif row.title != title:
            values = {"title": title, "touched": True, "updated_at": max(row.updated_at, writer.now)}
            connection.execute(update(feed).where(feed.c.id == ALL_FEED).values(values))
        if reshaped:
            connection.execute(update(feed).values(touched=True))
            write_meta(connection, "shape", shape)
            _forget_late_updates(connection, writer)
        connection.execute(update(feed).where(*stale).values(touched=True))


def _forget_late_updates(connection: Connection, writer: Writer) -> None:
    """Takes back, once in the life of a store, updates that are still to come: older versions believed a record that
    stated such a time, and its feeds kept it for good."""
    if read_meta(connection, "late_updates") is not None:
        return
    write_meta(connection, "late_updates", "forgotten")
    columns = "id dated_at released_at published_at edited_at returned_at stored_at".split()
    late = (entry.c.stated_update_at > writer.now, entry.c.updated_at > writer.now)
    changes = []
    for row in connection.execute(select(*(entry.c[name] for name in columns)).where(*late)):
        published = row.dated_at if row.released_at is None else row.published_at
        updated = shown_update(published, None, row.edited_at, row.returned_at, row.stored_at)
        changes.append({"entry_key": row.id, "stated_update_at": None, "updated_at": updated})
    update_entries(connection, changes)
    for table in (feed, archive_page):  # without a hash of what they showed, they are shown anew
        changed = update(table).where(table.c.updated_at > writer.now)
        connection.execute(changed.values(updated_at=writer.now, shown_hash=b"", touched=True))


def settle_feeds(writer: Writer, feeds: ActiveFeeds, reader: FeedReader, stopped: Callable[[], None]) -> bool:
    """Gives slugs to topics with enough entries, and a new version to every touched feed that shows something new;
    returns whether any was touched."""
    reader.forget()
    policy = feeds.policy
    if policy.auto:
        _give_slugs(writer, feeds)
    with writer.read() as connection:
        terms = read_terms(connection, policy)
    if policy.archive:
        seal_backfills(writer, reader, terms, stopped)
    settled = False
    touched = select(feed).where(FEED_TOUCHED, feed.c.slug.is_not(None)).order_by(feed.c.id).limit(CHUNK)
    while True:
        stopped()
        with writer.read() as connection:
            rows = connection.execute(touched).all()
        if not rows:
            break
        settled, sealed = True, 0
        changes = []
        with writer.write() as connection:
            for row in rows:
                changes.append(_settle(connection, writer, policy, reader, row, terms))
                sealed += (changes[-1]["pages"] - row.pages) * reader.limit(row)
                if sealed >= SEALED_AT_ONCE:  # the others stay touched, or this would take too long
                    break
            execute_many(connection, _SETTLED, changes)
        if sealed >= SEALED_AT_ONCE:
            writer.commit()
    if policy.archive:
        settle_pages(writer, reader, stopped)
    return settled


def _settle(
    connection: Connection, writer: Writer, policy: FeedPolicy, reader: FeedReader, row: AnyRow, terms: TopicTerms
) -> dict[str, Any]:
    """Compares what the feed would show with what it shows, both cut at its last change: time alone changes no feed,
    save when it makes an entry too old. Returns the row's values for `_SETTLED`."""
    at = row.changed_at
    shown = reader.read(connection, row, at, terms)
    if shown.stale_at is not None and shown.stale_at <= writer.now:
        at = writer.now
        shown = reader.read(connection, row, at, terms)
    values = {"feed_id": row.id} | {name: getattr(row, name) for name in _SETTLED_COLUMNS}
    values |= {"changed_at": at}
    archive, digest = policy.archive, feed_digest(shown, terms)
    if digest != row.shown_hash or (archive and not is_complete(connection, row, shown)):
        read_again = at != writer.now
        if read_again:
            shown = reader.read(connection, row, writer.now, terms)
        if archive:
            values["pages"] = seal_outside(connection, reader, row, shown, terms)
            shown = replace(shown, feed=replace(shown.feed, pages=values["pages"]))
        if read_again or values["pages"] != row.pages:
            digest = feed_digest(shown, terms)
        times = [from_us(row.updated_at), *(one.updated for one in shown.feed.entries)]
        times += [from_us(at) for at in connection.scalars(_LAST_WITHDRAWAL, {"feed_id": row.id})]
        if shown.last_release is not None:
            times.append(from_us(shown.last_release))
        values |= {
            "version": row.version + 1,
            "shown_hash": digest,
            "changed_at": writer.now,
            "updated_at": to_us(max(times)),
        }
        reader.keep(replace(shown.feed, version=row.version + 1, updated=max(times)))
    unused = row.topic is not None and row.rule is None and not row.size
    values["unused_since"] = row.unused_since or writer.now if unused else None
    return values | {"left_out": shown.left_out.stored(), "newest_at": shown.newest_at, "stale_at": shown.stale_at}


def _give_slugs(writer: Writer, feeds: ActiveFeeds) -> None:
    """Slugs for the topics that have enough entries now, in order of names, pins first; one once given stays.

    No more than `max_feeds` topics have a feed: `feeds` knows which of those with enough entries have none.
    """
    policy, pins = feeds.policy, feeds.tables.slugs
    with writer.read() as connection:
        waiting = _waiting_topics(connection, policy)
        room = policy.max_feeds - _count_topic_feeds(connection) if waiting else 0
    waiting.sort(key=lambda row: row.topic not in pins)
    rows, feeds.without_feed = waiting[: max(room, 0)], [row.title for row in waiting[max(room, 0) :]]
    if not rows:
        return
    with writer.write() as connection:
        _free_slugs(connection, {pins.get(row.topic) or topic_slug(row.topic, ()) for row in rows})
        given = {*connection.scalars(select(feed.c.slug).where(feed.c.slug.is_not(None)))}
        taken = {*given, *policy.specs, *feeds.old_slugs, *pins.values()}
        used, old = ids_in_use(connection), read_old_slugs(connection)
        changes = []
        for row in rows:
            pin = pins.get(row.topic)
            slug = pin or ""
            if pin is None or pin in given:
                slug = old.choose(row.topic, taken, feeds.tables.alias)
            taken.add(slug)
            minted = free_id(slug, used) if row.minted_from is None else row.minted_from
            changes.append({"feed_id": row.id, "given": slug, "minted": None if minted == slug else minted})
        connection.execute(
            update(feed)
            .where(feed.c.id == bindparam("feed_id"))
            .values(
                slug=bindparam("given"),
                minted_from=bindparam("minted"),
                touched=True,
                changed_at=writer.now,
                updated_at=writer.now,
            ),
            changes,
        )
        if old.topics:
            forget_old_slugs(connection, [one["given"] for one in changes])
        if policy.min_entries > 1:
            _touch_companions(connection, [row.id for row in rows])


def topics_without_feed(connection: Connection, policy: FeedPolicy) -> list[str]:
    """The names of topics that have enough entries and no feed, because too many have one."""
    return [row.title for row in _waiting_topics(connection, policy)] if policy.auto else []


def _waiting_topics(connection: Connection, policy: FeedPolicy) -> list[AnyRow]:
    """Topics that have enough entries and no feed, by name.

    A topic whose slug is that of a feed of the config is none of them: that one stands for its feed. A pin goes before.
    """
    pins = policy.tables.slugs
    enough = (feed.c.slug.is_(None), feed.c.topic.is_not(None), feed.c.size >= policy.min_entries)
    columns = (feed.c.id, feed.c.topic, feed.c.title, feed.c.minted_from)
    rows = connection.execute(select(*columns).where(*enough).order_by(feed.c.topic)).all()
    return [row for row in rows if row.topic in pins or topic_slug(row.topic, ()) not in policy.specs]


def _count_topic_feeds(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(feed).where(*OF_TOPIC)) or 0


def _free_slugs(connection: Connection, wanted: Collection[str]) -> None:
    """Takes the wanted slugs from feeds that the config names no more."""
    dropped = (feed.c.topic.is_(None), feed.c.id != ALL_FEED, feed.c.rule.is_(None), feed.c.slug.in_(wanted))
    connection.execute(update(feed).where(*dropped).values(slug=None))


def _touch_companions(connection: Connection, feed_ids: list[int]) -> None:
    """Entries link the feeds of their topics: when a topic gets one, every feed that shows an entry of it changes."""
    members = select(feed_entry.c.entry_id).where(feed_entry.c.feed_id.in_(feed_ids), feed_entry.c.left_at.is_(None))
    companions = select(feed_entry.c.feed_id).where(feed_entry.c.entry_id.in_(members), feed_entry.c.left_at.is_(None))
    connection.execute(update(feed).where(feed.c.id.in_(companions)).values(touched=True))


def topic_slugs(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The slug of every topic whose feed is published, by topic key."""
    rows = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug).where(feed.c.topic.is_not(None)))
    return {row.topic: row.slug for row in rows}


def topic_terms(store: Store, policy: FeedPolicy) -> TopicTerms:
    """What entries call their topics now."""
    with store.read() as connection:
        return read_terms(connection, policy)


def read_terms(connection: Connection, policy: FeedPolicy) -> TopicTerms:
    """What entries call their topics, as this transaction sees them."""
    return TopicTerms(topic_slugs(connection, policy), frozenset(policy.specs), policy.tables.slugs)


def feed_versions(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The version of every feed that is published, by slug, with a mark of what it shows: a store that was set back and
    went on has the same numbers again, for something else."""
    rows = connection.execute(published_feeds(policy, feed.c.slug, feed.c.version, feed.c.shown_hash))
    return {row.slug: f"{row.version}-{row.shown_hash.hex()[:12]}" for row in rows}


def read_feeds(connection: Connection, reader: FeedReader, terms: TopicTerms, slugs: Sequence[str]) -> Iterator[Feed]:
    """The feeds with these slugs as they are shown, in that order."""
    for start in range(0, len(slugs), CHUNK):
        chunk = slugs[start : start + CHUNK]
        rows = {row.slug: row for row in connection.execute(select(feed).where(feed.c.slug.in_(chunk)))}
        for slug in chunk:
            row = rows[slug]
            yield reader.take(slug, row.version) or reader.read_settled(connection, row, terms).feed


def find_feeds(connection: Connection, policy: FeedPolicy) -> dict[str, AnyRow]:
    """The rows of the feeds that are published, by slug."""
    return {row.slug: row for row in connection.execute(published_feeds(policy, feed))}


def summarise_feeds(connection: Connection, policy: FeedPolicy, site_title: str) -> tuple[FeedSummary, ...]:
    """The list of published feeds: `all`, then the others by title."""
    rows = connection.execute(published_feeds(policy, feed)).all()
    ordered = sorted(rows, key=lambda row: (row.id != ALL_FEED, row.title.casefold(), row.slug))
    return tuple(
        FeedSummary(
            row.slug,
            row.title,
            describe(row, policy, site_title),
            row.size,
            None if row.newest_at is None else from_us(row.newest_at),
            from_us(row.updated_at),
        )
        for row in ordered
    )


def settle_index(writer: Writer, policy: FeedPolicy, site_title: str, *, pages: bool) -> None:
    """Gives the list of feeds a new version when what it shows has changed."""
    with writer.read() as connection:
        summaries = summarise_feeds(connection, policy, site_title)
        version, _, before = (read_meta(connection, "index") or "0 ").partition(" ")
    shown = [
        [one.slug, one.title, one.description, *([one.entries, str(one.newest)] if pages else [])] for one in summaries
    ]
    digest = json_digest(shown).hex()
    if digest != before:
        with writer.write() as connection:
            write_meta(connection, "index", f"{int(version) + 1} {digest}")


def index_version(connection: Connection) -> str:
    """The version of the list of feeds, with a mark of what it shows."""
    version, _, digest = (read_meta(connection, "index") or "0 ").partition(" ")
    return f"{version}-{digest[:12]}"
