"""Archives (RFC 5005 section 4): entries that leave the document of a feed stay in a sealed page.

Invariant: every published entry is, for each of its feeds, in the document or in an archive page. A page is sealed when
an unsealed entry is about to leave the document. It takes all unsealed entries of the document, oldest first, so pages
are full. A backfill, which never was in the document, gets pages of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from sqlalchemy import Connection, bindparam, func, insert, select, update

from aggregator.feeds.feed_list import TopicTerms
from aggregator.feeds.window import (
    FEED_ENTRIES,
    WINDOW_FACTOR,
    FeedLoader,
    Merged,
    Window,
    json_digest,
    links_facts,
    merged_facts,
)
from aggregator.model import ArchivePage, Entry, Feed
from aggregator.settings import FeedPolicy
from aggregator.store.database import plain_rows
from aggregator.store.events import WITHDRAWN
from aggregator.store.schema import FEED_DIRTY, PAGE_DIRTY, AnyRow, archive_page, entry, feed, feed_entry
from aggregator.store.session import Writer, execute_many, from_us, parts

REFRESHED_PAGES = 100
MAX_SEALED = 2000
"""Most entries sealed in one transaction, except for the last feed."""
PageKey = tuple[str, int]
"""The slug of the feed and the number of an archive page."""
Keep = Callable[[Feed, ArchivePage, str], None]
"""Gets a sealed page, with the heading of its feed and its version (see `page_versions`)."""
_Waiting = tuple[int, int, int]
"""When the oldest unsealed entry of a feed was released, the key of the feed, how many pages to seal."""

_UNSEALED = (
    FEED_ENTRIES.add_columns(feed_entry.c.joined_at)
    .where(feed_entry.c.page.is_(None))
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
_OLDEST = _UNSEALED.limit(bindparam("most"))
_WAITING = (
    select(
        feed.c.id,
        feed.c.slug,
        feed.c.version,
        func.count().label("unsealed"),
        func.min(feed_entry.c.released_at).label("oldest"),
    )
    .join(feed_entry, feed_entry.c.feed_id == feed.c.id)
    .where(FEED_DIRTY, feed.c.slug.is_not(None), feed_entry.c.page.is_(None), feed_entry.c.left_at.is_(None))
    .group_by(feed.c.id, feed.c.slug, feed.c.version)
)
_SET_PAGES = update(feed).where(feed.c.id == bindparam("of_feed")).values(pages=bindparam("number"))
_ADD_PAGE = insert(archive_page)
_PUT_INTO_PAGE = (
    update(feed_entry)
    .where(feed_entry.c.feed_id == bindparam("of_feed"), feed_entry.c.entry_id == bindparam("of_entry"))
    .values(page=bindparam("number"))
)


def is_complete(connection: Connection, row: AnyRow, window: Window) -> bool:
    """Whether every entry of the feed is in `window` or in a page."""
    shown = {row.id for row in window.rows}
    return all(key in shown for key in connection.scalars(_UNSEALED_KEYS, {"feed_id": row.id}))


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals archive pages, and gives each to `keep` while its entries are in memory."""

    loader: FeedLoader
    terms: TopicTerms
    keep: Keep

    def seal_leaving(self, connection: Connection, row: AnyRow, window: Window) -> int:
        """Seals the entries that are not in `window`; returns how many pages the feed of `row` then has."""
        shown = {row.id for row in window.rows}
        unsealed = connection.execute(_UNSEALED, {"feed_id": row.id}).all()
        leaving = [member for member in unsealed if member.id not in shown]
        backfill = [member for member in leaving if _is_new(member, row)]
        # if an entry of the old document leaves now, all of that document is sealed
        seals_document = len(backfill) < len(leaving)
        pages = self._seal(connection, row, row.pages, backfill, is_end=not seals_document)
        if seals_document:
            document = [member for member in unsealed if not _is_new(member, row)]
            pages = self._seal(connection, row, pages, document, is_end=True)
        return pages

    def seal_backfills(self, writer: Writer, stopped: Callable[[], None]) -> set[PageKey]:
        """Seals most of a large backfill in transactions of its own, and returns the new pages. `seal_leaving` does the
        rest.

        The pages of all feeds are sealed in order of time, so that an entry is read and rendered once for all feeds
        that have it. The sealed entries are in no document, because so many newer ones are in the feed.
        """
        with writer.read() as connection:
            waiting = list(self._waiting(connection))
        heapify(waiting)
        sealed: set[PageKey] = set()
        while waiting:
            stopped()
            with writer.write() as connection:
                sealed |= self._seal_oldest(connection, waiting)
        return sealed

    def _waiting(self, connection: Connection) -> Iterator[_Waiting]:
        """The feeds with more unsealed entries than a document may show. What leaves a document that subscribers have
        is sealed together, so such a feed counts only if that is too much for one transaction."""
        for row in connection.execute(_WAITING):
            limit = self.loader.limit(row)
            leaving = row.unsealed - WINDOW_FACTOR * limit - (MAX_SEALED if row.version else 0)
            if leaving >= limit:
                yield row.oldest, row.id, leaving // limit

    def _seal_oldest(self, connection: Connection, waiting: list[_Waiting]) -> set[PageKey]:
        """Seals the first of the waiting pages, about `MAX_SEALED` entries. Changes the heap."""
        rows: dict[int, AnyRow] = {}
        pages: dict[int, int] = {}
        room = MAX_SEALED
        while waiting and room > 0:
            _, key, left = heappop(waiting)
            if key not in rows:
                rows[key] = connection.execute(select(feed).where(feed.c.id == key)).one()
                pages[key] = rows[key].pages
            limit = self.loader.limit(rows[key])
            *members, following = connection.execute(_OLDEST, {"feed_id": key, "most": limit + 1}).all()
            pages[key] = self._seal(connection, rows[key], pages[key], members, is_end=False)
            if left > 1:
                heappush(waiting, (following.released_at, key, left - 1))
            room -= limit
        execute_many(connection, _SET_PAGES, [{"of_feed": key, "number": number} for key, number in pages.items()])
        return {page for key, number in pages.items() for page in new_pages(rows[key], number)}

    def _seal(self, connection: Connection, row: AnyRow, pages: int, members: Sequence[AnyRow], *, is_end: bool) -> int:
        """Seals `members`, oldest first, after page number `pages`. Returns the new number of pages. `is_end`: the last
        one stays the newest page of the feed."""
        sealed, places, heading, left = [], [], self.loader.heading(row), len(members)
        for group, entries, merged in self._page_groups(connection, row, heading, members):
            pages, left = pages + 1, left - len(group)
            is_newest = is_end and not left
            places += [{"of_feed": row.id, "of_entry": member.id, "number": pages} for member in group]
            digest = _page_digest(group[::-1], merged, full=heading.full)
            updated_at = max(max(member.updated_at, member.released_at) for member in group)
            sealed.append(
                {
                    "feed_id": row.id,
                    "number": pages,
                    "dirty": False,
                    "version": 1,
                    "shown_hash": digest,
                    "updated_at": updated_at,
                }
            )
            page = ArchivePage(pages, from_us(updated_at), entries[::-1])
            shown = replace(heading, pages=pages) if is_newest else heading
            self.keep(shown, page, _version(1, digest, full=heading.full, newest=is_newest))
        execute_many(connection, _ADD_PAGE, sealed)
        execute_many(connection, _PUT_INTO_PAGE, places)
        return pages

    def _page_groups(
        self, connection: Connection, row: AnyRow, heading: Feed, members: Sequence[AnyRow]
    ) -> Iterator[tuple[Sequence[AnyRow], tuple[Entry, ...], Merged]]:
        """The members in groups that fit into one page each, as entries, and with the duplicates that they
        represent."""
        loader, limit = self.loader, self.loader.limit(row)
        for start in range(0, len(members), limit):
            group = members[start : start + limit]
            merged = loader.read_merged(connection, row, group)
            entries = loader.load_page_entries(connection, heading, group, self.terms, merged)
            for size in loader.split_pages(heading, entries, limit):
                yield group[:size], entries[:size], merged
                group, entries = group[size:], entries[size:]


def new_pages(row: AnyRow, pages: int) -> set[PageKey]:
    """The pages of a feed after those that `row` counts, up to the number `pages`; and the newest before, which is the
    newest no longer."""
    return {(row.slug, number) for number in range(max(1, row.pages), pages + 1) if pages > row.pages}


def refresh_pages(writer: Writer, loader: FeedLoader, stopped: Callable[[], None]) -> set[PageKey]:
    """Gives a new version to every dirty page that a reader sees changed, and returns these pages."""
    dirty = (
        select(archive_page, feed.c.slug, feed.c.id)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .where(PAGE_DIRTY)
        .order_by(archive_page.c.feed_id, archive_page.c.number)
        .limit(REFRESHED_PAGES)
    )
    changed: set[PageKey] = set()
    while True:
        stopped()
        with writer.read() as connection:
            pages = connection.execute(dirty).all()
        if not pages:
            return changed
        with writer.write() as connection:
            changed.update((page.slug, page.number) for page in pages if _refresh_page(connection, loader, page))


def _refresh_page(connection: Connection, loader: FeedLoader, page: AnyRow) -> bool:
    """Whether the page got a new version."""
    rows = loader.page_rows(connection, page)
    values: dict[str, object] = {"dirty": False}
    digest = _page_digest(rows, loader.read_merged(connection, page, rows), full=loader.policy.is_full(page.slug))
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
) -> Iterator[tuple[str, int, str, bool]]:
    """Slug, number and version of every archive page of these feeds, or `only` of these pages, and whether it is the
    newest of its feed; oldest content first, so that pages of several feeds with the same entries are rendered close
    together. The version says whether the page has bodies and whether it is the newest."""
    if not policy.archive or (only is not None and not only):
        return
    query = (
        select(feed.c.slug, feed.c.pages, archive_page.c.number, archive_page.c.version, archive_page.c.shown_hash)
        .join(feed, feed.c.id == archive_page.c.feed_id)
        .order_by(archive_page.c.updated_at, archive_page.c.feed_id, archive_page.c.number)
    )
    if only is not None and len(only) <= REFRESHED_PAGES:
        numbers = {number for _, number in only}
        query = query.where(feed.c.slug.in_({slug for slug, _ in only}), archive_page.c.number.in_(numbers))
    for slug, pages, number, version, shown_hash in plain_rows(connection, query):
        if slug in slugs and (only is None or (slug, number) in only):
            is_newest = number == pages
            yield slug, number, _version(version, shown_hash, full=policy.is_full(slug), newest=is_newest), is_newest


def _version(number: int, shown_hash: bytes, *, full: bool, newest: bool) -> str:
    return f"{number}-{shown_hash.hex()[:12]}{'-full' if full else ''}{'-newest' if newest else ''}"


def load_pages(
    connection: Connection, loader: FeedLoader, terms: TopicTerms, keys: Sequence[PageKey]
) -> Iterator[tuple[Feed, ArchivePage]]:
    """These archive pages in the order given, each with the heading of its feed."""
    feeds: dict[str, AnyRow] = {}
    for slugs in parts({slug for slug, _ in keys}, REFRESHED_PAGES):
        feeds.update((row.slug, row) for row in connection.execute(select(feed).where(feed.c.slug.in_(slugs))))
    for slug, number in keys:
        row = feeds[slug]
        key = (archive_page.c.feed_id == row.id, archive_page.c.number == number)
        page = connection.execute(select(archive_page).where(*key)).one()
        yield loader.heading(row), loader.load_page(connection, row, page, terms)


def _is_new(member: AnyRow, row: AnyRow) -> bool:
    """Whether an entry joined the feed of `row` after its last version."""
    return bool(row.version == 0 or member.joined_at > row.changed_at)


def _page_digest(rows: Sequence[AnyRow], merged: Merged, *, full: bool) -> bytes:
    """The digest of what a page shows of these entries, newest first; `full`: with their bodies."""
    facts = ((row, [row.uid, row.visible_hash.hex(), row.updated_at, row.published_at]) for row in rows)
    return json_digest([[*own, *merged_facts(merged, row), *links_facts(row, full=full)] for row, own in facts])
