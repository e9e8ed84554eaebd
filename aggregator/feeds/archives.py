"""Archives (RFC 5005 section 4): what leaves the document of a feed stays in a sealed page.

At all times every entry that is out is, in each of its feeds, in the document or in a page. Pages are sealed when an
entry that is in none is about to leave the document, and take all of the document's that are in none, oldest first,
so that they are full; what never was in the document, a backfill, gets pages of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence

from sqlalchemy import Connection, bindparam, insert, select, update

from aggregator.feeds.window import STAY_FACTOR, FeedReader, Merged, Shown, TopicTerms, digested, json_digest
from aggregator.model import ArchivePage, Feed
from aggregator.settings import FeedPolicy
from aggregator.store.database import plain_rows
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import FEED_TOUCHED, PAGE_TOUCHED, AnyRow, archive_page, entry, feed, feed_entry
from aggregator.store.session import Writer

CHUNK = 100
SEALED_AT_ONCE = 2000
"""Entries that one transaction seals at most, the last of a feed aside."""

_UNSEALED = (
    select(
        feed_entry.c.entry_id.label("id"),
        feed_entry.c.released_at,
        feed_entry.c.joined_at,
        entry.c.uid,
        entry.c.visible_hash,
        entry.c.published_at,
        entry.c.updated_at,
    )
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.page.is_(None), feed_entry.c.left_at.is_(None))
    .order_by(feed_entry.c.released_at, feed_entry.c.published_at, entry.c.uid)
)
_UNSEALED_KEYS = select(feed_entry.c.entry_id).where(
    feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.page.is_(None), feed_entry.c.left_at.is_(None)
)
_LAST_WITHDRAWAL = (
    select(feed_entry.c.left_at)
    .where(
        feed_entry.c.feed_id == bindparam("feed_id"),
        feed_entry.c.page == bindparam("number"),
        feed_entry.c.left_by == WITHDRAWN,
    )
    .order_by(feed_entry.c.left_at.desc())
    .limit(1)
)
_PUT_INTO_PAGE = (
    update(feed_entry)
    .where(feed_entry.c.feed_id == bindparam("of_feed"), feed_entry.c.entry_id == bindparam("of_entry"))
    .values(page=bindparam("number"))
)


def is_complete(connection: Connection, row: AnyRow, shown: Shown) -> bool:
    """Whether every entry of the feed is in the document `shown` or in a page."""
    inside = {one.id for one in shown.rows}
    return all(key in inside for key in connection.scalars(_UNSEALED_KEYS, {"feed_id": row.id}))


def seal_outside(connection: Connection, reader: FeedReader, row: AnyRow, shown: Shown, terms: TopicTerms) -> int:
    """Seals what the document `shown` leaves out; returns how many pages the feed of `row` then has."""
    inside = {one.id for one in shown.rows}
    unsealed = connection.execute(_UNSEALED, {"feed_id": row.id}).all()
    outside = [one for one in unsealed if one.id not in inside]
    backfill = [one for one in outside if _is_new(one, row)]
    pages = _seal(connection, reader, row, row.pages, backfill, terms)
    if len(backfill) < len(outside):
        # the document as it was before this cycle, from which one is about to go
        pages = _seal(connection, reader, row, pages, [one for one in unsealed if not _is_new(one, row)], terms)
    return pages


def seal_backfills(writer: Writer, reader: FeedReader, terms: TopicTerms, stopped: Callable[[], None]) -> None:
    """Seals large backfills in transactions of their own, all but what `seal_outside` can do at once.

    With so many newer ones in the feed, these are in no document.
    """
    with writer.read() as connection:
        large = (FEED_TOUCHED, feed.c.slug.is_not(None), feed.c.size > SEALED_AT_ONCE)
        feed_ids = list(connection.scalars(select(feed.c.id).where(*large).order_by(feed.c.id)))
    for feed_id in feed_ids:
        while _has_backfill(writer, feed_id):
            stopped()
            with writer.write() as connection:
                row = connection.execute(select(feed).where(feed.c.id == feed_id)).one()
                limit = reader.limit(row)
                most = SEALED_AT_ONCE + STAY_FACTOR * limit
                oldest = connection.execute(_UNSEALED.limit(most), {"feed_id": feed_id}).all()
                if len(oldest) < most:
                    break
                full = oldest[: SEALED_AT_ONCE - SEALED_AT_ONCE % limit or limit]
                pages = _seal(connection, reader, row, row.pages, full, terms)
                connection.execute(update(feed).where(feed.c.id == feed_id).values(pages=pages))


def _has_backfill(writer: Writer, feed_id: int) -> bool:
    """Whether so much is unsealed that one transaction should not seal it; asked without one, which costs a sync."""
    with writer.read() as connection:
        return (
            len(connection.execute(_UNSEALED_KEYS.limit(SEALED_AT_ONCE), {"feed_id": feed_id}).all()) == SEALED_AT_ONCE
        )


def settle_pages(writer: Writer, reader: FeedReader, stopped: Callable[[], None]) -> None:
    """Gives a new version to every touched page that shows something new."""
    touched = (
        select(archive_page, feed.c.slug, feed.c.id)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .where(PAGE_TOUCHED)
        .order_by(archive_page.c.feed_id, archive_page.c.number)
        .limit(CHUNK)
    )
    with writer.read() as connection:
        more = connection.execute(touched).first() is not None
    while more:
        stopped()
        with writer.write() as connection:
            pages = connection.execute(touched).all()
            for page in pages:
                _settle_page(connection, reader, page)
        more = len(pages) == CHUNK


def _settle_page(connection: Connection, reader: FeedReader, page: AnyRow) -> None:
    rows = reader.page_rows(connection, page)
    values: dict[str, object] = {"touched": False}
    if (digest := _page_digest(rows, reader.read_merged(connection, page, rows))) != page.shown_hash:
        key = {"feed_id": page.feed_id, "number": page.number}
        times = [page.updated_at, *connection.scalars(_LAST_WITHDRAWAL, key), *(row.updated_at for row in rows)]
        values |= {"version": page.version + 1, "shown_hash": digest, "updated_at": max(times)}
        reader.changed_pages.add((page.slug, page.number))
    mine = (archive_page.c.feed_id == page.feed_id, archive_page.c.number == page.number)
    connection.execute(update(archive_page).where(*mine).values(values))


def page_versions(
    connection: Connection, policy: FeedPolicy, slugs: Container[str], only: Collection[tuple[str, int]] | None = None
) -> Iterator[tuple[str, int, str]]:
    """Slug, number and version of every archive page of these feeds, or of `only` these, by slug and number, oldest
    content first: entries that stand in pages of several feeds come close together. A page with bodies is another than
    one without."""
    if not policy.archive or (only is not None and not only):
        return
    asked = (
        select(feed.c.slug, archive_page.c.number, archive_page.c.version, archive_page.c.shown_hash)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .order_by(archive_page.c.updated_at, archive_page.c.feed_id, archive_page.c.number)
    )
    if only is not None and len(only) <= CHUNK:
        numbers = {number for _, number in only}
        asked = asked.where(feed.c.slug.in_({slug for slug, _ in only}), archive_page.c.number.in_(numbers))
    for slug, number, version, shown_hash in plain_rows(connection, asked):
        if slug in slugs and (only is None or (slug, number) in only):
            spec = policy.specs.get(slug)
            yield slug, number, f"{version}-{shown_hash.hex()[:12]}{'-full' if spec is not None and spec.full else ''}"


def read_pages(
    connection: Connection, reader: FeedReader, terms: TopicTerms, keys: Sequence[tuple[str, int]]
) -> Iterator[tuple[Feed, ArchivePage]]:
    """The archive pages with these slugs and numbers, in that order, each with the heading of its feed."""
    slugs = sorted({slug for slug, _ in keys})
    feeds = {}
    for start in range(0, len(slugs), CHUNK):
        for row in connection.execute(select(feed).where(feed.c.slug.in_(slugs[start : start + CHUNK]))):
            feeds[row.slug] = row
    for slug, number in keys:
        row = feeds[slug]
        mine = (archive_page.c.feed_id == row.id, archive_page.c.number == number)
        page = connection.execute(select(archive_page).where(*mine)).one()
        yield reader.heading(row), reader.read_page(connection, row, page, terms)


def _is_new(one: AnyRow, row: AnyRow) -> bool:
    """Whether an entry came into the feed after its document was last made."""
    return bool(row.version == 0 or one.joined_at > row.changed_at)


def _seal(
    connection: Connection,
    reader: FeedReader,
    row: AnyRow,
    pages: int,
    rows: Sequence[AnyRow],
    terms: TopicTerms,
) -> int:
    """Seals `rows`, oldest first, behind the `pages` there are; returns how many there are then."""
    sealed, places = [], []
    for group, merged in _groups(connection, reader, row, rows, terms):
        pages += 1
        reader.changed_pages.add((row.slug, pages))
        places += [{"of_feed": row.id, "of_entry": one.id, "number": pages} for one in group]
        sealed.append(
            {
                "feed_id": row.id,
                "number": pages,
                "touched": False,
                "version": 1,
                "shown_hash": _page_digest(group[::-1], merged),
                "updated_at": max(max(one.updated_at, one.released_at) for one in group),
            }
        )
    if sealed:
        connection.execute(insert(archive_page), sealed)
        connection.execute(_PUT_INTO_PAGE, places)
    return pages


def _groups(
    connection: Connection, reader: FeedReader, row: AnyRow, rows: Sequence[AnyRow], terms: TopicTerms
) -> Iterator[tuple[Sequence[AnyRow], Merged]]:
    """The rows in groups of which each fits into one page, and what they stand for."""
    limit, heading = reader.limit(row), reader.heading(row)
    for start in range(0, len(rows), limit):
        group = rows[start : start + limit]
        merged = reader.read_merged(connection, row, group)
        entries = reader.read_entries(connection, group, terms, merged, full=heading.full)
        entries = reader.space.shorten(heading, entries)
        for size in reader.space.split(heading, entries, limit):
            yield group[:size], merged
            group = group[size:]


def _page_digest(rows: Sequence[AnyRow], merged: Merged) -> bytes:
    """A digest of what a page with these entries shows, newest first."""
    return json_digest(
        [[row.uid, row.visible_hash.hex(), row.updated_at, row.published_at, *digested(merged, row)] for row in rows]
    )
