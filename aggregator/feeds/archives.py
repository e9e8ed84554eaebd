"""Archives (RFC 5005 section 4): entries that leave the document of a feed stay in a sealed page.

Invariant: every published entry is, for each of its feeds, in the document or in an archive page. A page is sealed when
an unsealed entry is about to leave the document. It takes all unsealed entries of the document, oldest first, so pages
are full. A backfill, which never was in the document, gets pages of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence

from sqlalchemy import Connection, bindparam, insert, select, update

from aggregator.feeds.window import (
    WINDOW_FACTOR,
    FeedLoader,
    Merged,
    TopicTerms,
    Window,
    json_digest,
    links_facts,
    merged_facts,
)
from aggregator.model import ArchivePage, Feed
from aggregator.settings import FeedPolicy
from aggregator.store.database import plain_rows
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import FEED_DIRTY, PAGE_DIRTY, AnyRow, archive_page, entry, feed, feed_entry
from aggregator.store.session import Writer

BATCH = 100
MAX_SEALED = 2000
"""Most entries sealed in one transaction, except for the last feed."""
PageKey = tuple[str, int]
"""The slug of the feed and the number of an archive page."""

_UNSEALED = (
    select(
        feed_entry.c.entry_id.label("id"),
        feed_entry.c.released_at,
        feed_entry.c.joined_at,
        entry.c.uid,
        entry.c.format_ids,
        entry.c.visible_hash,
        entry.c.links_hash,
        entry.c.published_at,
        entry.c.updated_at,
    )
    .join(entry, entry.c.id == feed_entry.c.entry_id)
    .where(feed_entry.c.feed_id == bindparam("feed_id"), feed_entry.c.page.is_(None), feed_entry.c.left_at.is_(None))
    # an expression, or SQLite would choose the index that sorts by both, and read the sealed entries too
    .order_by(feed_entry.c.released_at, feed_entry.c.published_at + 0, entry.c.uid)
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


def is_complete(connection: Connection, row: AnyRow, window: Window) -> bool:
    """Whether every entry of the feed is in `window` or in a page."""
    shown = {row.id for row in window.rows}
    return all(key in shown for key in connection.scalars(_UNSEALED_KEYS, {"feed_id": row.id}))


def seal_leaving(connection: Connection, loader: FeedLoader, row: AnyRow, window: Window, terms: TopicTerms) -> int:
    """Seals the entries that are not in `window`; returns how many pages the feed of `row` then has."""
    shown = {row.id for row in window.rows}
    unsealed = connection.execute(_UNSEALED, {"feed_id": row.id}).all()
    leaving = [member for member in unsealed if member.id not in shown]
    backfill = [member for member in leaving if _is_new(member, row)]
    pages = _seal(connection, loader, row, row.pages, backfill, terms)
    if len(backfill) < len(leaving):
        # seal the old document, because one of its entries leaves now
        document = [member for member in unsealed if not _is_new(member, row)]
        pages = _seal(connection, loader, row, pages, document, terms)
    return pages


def seal_backfills(writer: Writer, loader: FeedLoader, terms: TopicTerms, stopped: Callable[[], None]) -> set[PageKey]:
    """Seals most of a large backfill in transactions of its own, and returns the new pages. `seal_leaving` does the
    rest.

    The sealed entries are in no document, because so many newer ones are in the feed.
    """
    with writer.read() as connection:
        large = (FEED_DIRTY, feed.c.slug.is_not(None), feed.c.size > MAX_SEALED)
        feed_ids = list(connection.scalars(select(feed.c.id).where(*large).order_by(feed.c.id)))
    sealed: set[PageKey] = set()
    for feed_id in feed_ids:
        while _has_backfill(writer, feed_id):
            stopped()
            with writer.write() as connection:
                row = connection.execute(select(feed).where(feed.c.id == feed_id)).one()
                limit = loader.limit(row)
                most = MAX_SEALED + WINDOW_FACTOR * limit
                oldest = connection.execute(_UNSEALED.limit(most), {"feed_id": feed_id}).all()
                if len(oldest) < most:
                    break
                full = oldest[: MAX_SEALED - MAX_SEALED % limit or limit]
                pages = _seal(connection, loader, row, row.pages, full, terms)
                connection.execute(update(feed).where(feed.c.id == feed_id).values(pages=pages))
                sealed |= new_pages(row, pages)
    return sealed


def new_pages(row: AnyRow, pages: int) -> set[PageKey]:
    """The pages of a feed after those that `row` counts, up to the number `pages`."""
    return {(row.slug, number) for number in range(row.pages + 1, pages + 1)}


def _has_backfill(writer: Writer, feed_id: int) -> bool:
    """Whether too much is unsealed for one transaction. Checked in a read, because a write costs a sync."""
    with writer.read() as connection:
        return len(connection.execute(_UNSEALED_KEYS.limit(MAX_SEALED), {"feed_id": feed_id}).all()) == MAX_SEALED


def refresh_pages(writer: Writer, loader: FeedLoader, stopped: Callable[[], None]) -> set[PageKey]:
    """Gives a new version to every dirty page that a reader sees changed, and returns these pages."""
    dirty = (
        select(archive_page, feed.c.slug, feed.c.id)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .where(PAGE_DIRTY)
        .order_by(archive_page.c.feed_id, archive_page.c.number)
        .limit(BATCH)
    )
    changed: set[PageKey] = set()
    with writer.read() as connection:
        more = connection.execute(dirty).first() is not None
    while more:
        stopped()
        with writer.write() as connection:
            pages = connection.execute(dirty).all()
            changed.update((page.slug, page.number) for page in pages if _refresh_page(connection, loader, page))
        more = len(pages) == BATCH
    return changed


def _refresh_page(connection: Connection, loader: FeedLoader, page: AnyRow) -> bool:
    """Whether the page got a new version."""
    rows = loader.page_rows(connection, page)
    values: dict[str, object] = {"dirty": False}
    digest = _page_digest(rows, loader.read_merged(connection, page, rows), full=loader.is_full(page))
    is_changed = bool(digest != page.shown_hash)
    if is_changed:
        key = {"feed_id": page.feed_id, "number": page.number}
        times = [page.updated_at, *connection.scalars(_LAST_WITHDRAWAL, key), *(row.updated_at for row in rows)]
        values |= {"version": page.version + 1, "shown_hash": digest, "updated_at": max(times)}
    is_page = (archive_page.c.feed_id == page.feed_id, archive_page.c.number == page.number)
    connection.execute(update(archive_page).where(*is_page).values(values))
    return is_changed


def page_versions(
    connection: Connection, policy: FeedPolicy, slugs: Container[str], only: Collection[PageKey] | None = None
) -> Iterator[tuple[str, int, str]]:
    """Slug, number and version of every archive page of these feeds, or `only` of these pages, oldest content first, so
    that pages of several feeds with the same entries are rendered close together. The version says whether the page has
    bodies."""
    if not policy.archive or (only is not None and not only):
        return
    query = (
        select(feed.c.slug, archive_page.c.number, archive_page.c.version, archive_page.c.shown_hash)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .order_by(archive_page.c.updated_at, archive_page.c.feed_id, archive_page.c.number)
    )
    if only is not None and len(only) <= BATCH:
        numbers = {number for _, number in only}
        query = query.where(feed.c.slug.in_({slug for slug, _ in only}), archive_page.c.number.in_(numbers))
    for slug, number, version, shown_hash in plain_rows(connection, query):
        if slug in slugs and (only is None or (slug, number) in only):
            spec = policy.specs.get(slug)
            yield slug, number, f"{version}-{shown_hash.hex()[:12]}{'-full' if spec is not None and spec.full else ''}"


def load_pages(
    connection: Connection, loader: FeedLoader, terms: TopicTerms, keys: Sequence[PageKey]
) -> Iterator[tuple[Feed, ArchivePage]]:
    """These archive pages in the order given, each with the heading of its feed."""
    slugs = sorted({slug for slug, _ in keys})
    feeds = {}
    for start in range(0, len(slugs), BATCH):
        for row in connection.execute(select(feed).where(feed.c.slug.in_(slugs[start : start + BATCH]))):
            feeds[row.slug] = row
    for slug, number in keys:
        row = feeds[slug]
        key = (archive_page.c.feed_id == row.id, archive_page.c.number == number)
        page = connection.execute(select(archive_page).where(*key)).one()
        yield loader.heading(row), loader.load_page(connection, row, page, terms)


def _is_new(member: AnyRow, row: AnyRow) -> bool:
    """Whether an entry joined the feed of `row` after its last version."""
    return bool(row.version == 0 or member.joined_at > row.changed_at)


def _seal(
    connection: Connection, loader: FeedLoader, row: AnyRow, pages: int, members: Sequence[AnyRow], terms: TopicTerms
) -> int:
    """Seals `members`, oldest first, after page number `pages`. Returns the new number of pages."""
    sealed, places = [], []
    for group, merged in _page_groups(connection, loader, row, members, terms):
        pages += 1
        places += [{"of_feed": row.id, "of_entry": member.id, "number": pages} for member in group]
        sealed.append(
            {
                "feed_id": row.id,
                "number": pages,
                "dirty": False,
                "version": 1,
                "shown_hash": _page_digest(group[::-1], merged, full=loader.is_full(row)),
                "updated_at": max(max(member.updated_at, member.released_at) for member in group),
            }
        )
    if sealed:
        connection.execute(insert(archive_page), sealed)
        connection.execute(_PUT_INTO_PAGE, places)
    return pages


def _page_groups(
    connection: Connection, loader: FeedLoader, row: AnyRow, members: Sequence[AnyRow], terms: TopicTerms
) -> Iterator[tuple[Sequence[AnyRow], Merged]]:
    """The members in groups that fit into one page each, with the duplicates that they represent."""
    limit, heading = loader.limit(row), loader.heading(row)
    for start in range(0, len(members), limit):
        group = members[start : start + limit]
        merged = loader.read_merged(connection, row, group)
        entries = loader.load_page_entries(connection, heading, group, terms, merged)
        for size in loader.split_pages(heading, entries, limit):
            yield group[:size], merged
            group = group[size:]


def _page_digest(rows: Sequence[AnyRow], merged: Merged, *, full: bool) -> bytes:
    """The digest of what a page shows of these entries, newest first; `full`: with their bodies."""
    return json_digest([[*_page_facts(row), *merged_facts(merged, row), *links_facts(row, full=full)] for row in rows])


def _page_facts(row: AnyRow) -> list[object]:
    return [row.uid, row.visible_hash.hex(), row.updated_at, row.published_at]
