"""What the store publishes, as documents: the same input gives the same bytes.

    Feed          -> rss | atom | jsonfeed | pages -> Documents of a slug
    ArchivePage   -> atom                          -> Document of a slug's archive
    FeedSummaries -> opml | pages                  -> Documents of the whole site

Each entry is made into bytes once for all feeds that hold it, and a document is a frame around those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

from aggregator.documents import ALL, archive_path
from aggregator.errors import RenderError
from aggregator.model import ALL_FIT, ArchivePage, Document, Entry, Feed, FeedSummary, Fitting
from aggregator.render import atom, jsonfeed, opml, rss
from aggregator.render.markup import Common, write_common
from aggregator.render.parts import (
    MEDIA_TYPES,
    Frame,
    Rendered,
    Scope,
    document,
    filled,
    fitting,
    presentable,
    presentable_entry,
)
from aggregator.render.weight import LONGEST_BASE_URL, escaped_bytes, weigh_entries, weigh_frame
from aggregator.settings import FILE_NAMES, Format, OutputOptions, Site

__all__ = [
    "fit_entries",
    "render_archive_page",
    "render_feed",
    "render_index",
    "shorten_entries",
    "split_fitting",
]

Titled = TypeVar("Titled", Feed, FeedSummary)

KEPT_BYTES = 40_000_000
KEPT_FRAMES = 2048
# Stands in a kept frame for when the feed changed.
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
# A page whose links are as long as any will be: what fits must not depend on how many pages there are.
_LAST_PAGE = 10**8


class _Writer(NamedTuple):
    render_frame: Callable[[Feed, Site, OutputOptions], Frame]
    updated_element: Callable[[datetime], bytes]
    render_entry: Callable[[Entry, Scope, Common], bytes]


_WRITERS: dict[Format, _Writer] = {
    "rss": _Writer(rss.render_frame, rss.updated_element, rss.render_entry),
    "atom": _Writer(atom.render_frame, atom.updated_element, atom.render_entry),
    "json": _Writer(jsonfeed.render_frame, jsonfeed.updated_element, jsonfeed.render_entry),
}


def render_feed(
    feed: Feed, site: Site, options: OutputOptions, *, linked: frozenset[str] = frozenset()
) -> tuple[Document, ...]:
    """The documents of one feed, as `feed_paths` lists them; raises RenderError.

    All hold all of its entries; `fit_entries` says before which those should be. `linked` are the slugs that have
    a page.
    """
    site, heading = presentable(site), _heading(feed)
    columns = _columns(feed.entries, _scope(heading, site), options.formats)
    documents = []
    for form, frame, entries in zip(options.formats, _frames(heading, site, options), columns, strict=True):
        tombstones = atom.render_tombstones(feed.withdrawn) if form == "atom" else ()
        body = filled(frame, entries, tombstones, options.max_bytes)
        documents.append(document(f"{feed.slug}/{FILE_NAMES[form]}", MEDIA_TYPES[form], body))
    if options.pages:
        from aggregator.render import pages  # its templates take long to import

        documents.append(pages.render_feed_page(heading, feed.entries, site, options, linked))
    return tuple(documents)


def render_archive_page(feed: Feed, page: ArchivePage, site: Site, options: OutputOptions) -> Document:
    """A page of the feed's archive, always Atom (RFC 5005 section 4); the feed's own entries are not in it.

    Raises RenderError.
    """
    site, heading = presentable(site), _heading(feed)
    frame = atom.render_page_frame(heading, presentable(replace(page, entries=())), site, options)
    (entries,) = _columns(page.entries, _scope(heading, site), ("atom",))
    body = filled(frame, entries, (), options.max_bytes)
    return document(archive_path(feed.slug, page.number), MEDIA_TYPES["atom"], body)


def fit_entries(feed: Feed, site: Site, options: OutputOptions) -> Fitting:
    """Which of the feed's entries fit into `options.max_bytes` in every format: each in turn that has room left.

    Raises RenderError.
    """
    if _most_bytes(feed, site, options) + weigh_entries(feed.entries, full=feed.full) <= options.max_bytes:
        return ALL_FIT
    site, heading = presentable(site), replace(_heading(feed), pages=_LAST_PAGE)
    frames, scope = _frames(heading, site, options), _scope(heading, site)
    whole = [frame.room(options.max_bytes) + len(frame.separator) for frame in frames]
    left = whole
    left_out, too_large, shortened = set(), set(), set()
    for place, entry in enumerate(feed.entries):
        sizes = _sizes(entry, scope, options.formats, frames)
        if scope.full and entry.content.body_html and not _has_room(sizes, whole):
            shortened.add(place)
            sizes = _sizes(_without_body(entry), scope, options.formats, frames)
        if _has_room(sizes, left):
            left = [room - size for room, size in zip(left, sizes, strict=True)]
            continue
        left_out.add(place)
        if not _has_room(sizes, whole):
            too_large.add(place)
    return Fitting(frozenset(left_out), frozenset(too_large), frozenset(shortened - left_out))


def shorten_entries(feed: Feed, entries: Sequence[Entry], site: Site, options: OutputOptions) -> tuple[Entry, ...]:
    """The entries, without the full text of those that would not fit into a page of the feed's archive with it.

    Raises RenderError.
    """
    room = options.max_bytes - _most_bytes(feed, site, options)
    if not feed.full or weigh_entries(entries, full=True) <= room:
        return tuple(entries)
    site, heading = presentable(site), _heading(feed)
    page, scope = _page_frame(_undated(heading), site, options), _scope(heading, site)
    whole = page.room(options.max_bytes)
    (column,) = _columns(entries, scope, ("atom",))
    return tuple(
        entry if len(text) <= whole else _without_body(entry) for entry, text in zip(entries, column, strict=True)
    )


def split_fitting(feed: Feed, entries: Sequence[Entry], site: Site, options: OutputOptions, limit: int) -> list[int]:
    """The sizes of the pages of the feed's archive that would hold the entries in the order given.

    A page takes as many as fit into `options.max_bytes`, at most `limit` and at least one. Raises RenderError.
    """
    room = options.max_bytes - _most_bytes(feed, site, options)
    site, heading = presentable(site), _heading(feed)
    scope = _scope(heading, site)
    sizes: list[int] = []
    start = 0
    while start < len(entries):
        group = entries[start : start + limit]
        if weigh_entries(group, full=feed.full) > room:
            page = _page_frame(_undated(heading), site, options)
            (column,) = _columns(group, scope, ("atom",))
            group = group[: max(1, fitting(column, page.separator, page.room(options.max_bytes)))]
        sizes.append(len(group))
        start += len(group)
    return sizes


def render_index(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> tuple[Document, ...]:
    """The documents of the whole site, as `index_paths` lists them: feeds as given, save that `all` comes first.

    Raises RenderError.
    """
    site = presentable(site)
    feeds = tuple(sorted(map(_titled, feeds), key=lambda feed: feed.slug != ALL))
    documents = (opml.render_opml(feeds, site, options),)
    if not options.pages:
        return documents
    from aggregator.render import pages

    return (*documents, pages.render_index_page(feeds, site, options))


def _sizes(entry: Entry, scope: Scope, forms: tuple[Format, ...], frames: Sequence[Frame]) -> list[int]:
    """The bytes of the entry in each of the formats, with the separator behind it."""
    row = _RENDERED.get(entry, scope, forms)
    return [len(row[form]) + len(frame.separator) for form, frame in zip(forms, frames, strict=True)]


def _has_room(sizes: Sequence[int], rooms: Sequence[int]) -> bool:
    return all(size <= room for size, room in zip(sizes, rooms, strict=True))


def _without_body(entry: Entry) -> Entry:
    return entry._replace(content=entry.content._replace(body_html=""))


def _most_bytes(feed: Feed, site: Site, options: OutputOptions) -> int:
    """The most bytes that a document of the feed or its archive takes without entries and tombstones.

    More than `options.max_bytes` if the weights of entries do not hold for the site.
    """
    return options.max_bytes + 1 if escaped_bytes(site.base_url) > LONGEST_BASE_URL else weigh_frame(feed, site)


def _heading(feed: Feed) -> Feed:
    return _titled(replace(feed, entries=(), withdrawn=()))


def _titled(feed: Titled) -> Titled:
    """The feed fit to print; one whose title holds nothing printable is called by its slug."""
    feed = presentable(feed)
    return feed if feed.title.strip() else replace(feed, title=feed.slug)


def _scope(heading: Feed, site: Site) -> Scope:
    return Scope(site.base_url, heading.language, heading.full)


def _frames(heading: Feed, site: Site, options: OutputOptions) -> list[Frame]:
    """The frame of each format."""
    undated = _undated(heading)
    frames = []
    for form in options.formats:
        frame, say_updated = _undated_frame(form, undated, site, options), _WRITERS[form].updated_element
        # Once: the first is the feed's own, and no text can hold a tag.
        head = frame.head.replace(say_updated(_ANY_TIME), say_updated(heading.updated), 1)
        frames.append(frame._replace(head=head))
    return frames


@lru_cache(maxsize=KEPT_FRAMES)
def _undated_frame(form: Format, heading: Feed, site: Site, options: OutputOptions) -> Frame:
    return _WRITERS[form].render_frame(heading, site, options)


@lru_cache(maxsize=KEPT_FRAMES)
def _page_frame(heading: Feed, site: Site, options: OutputOptions) -> Frame:
    """The frame of a page of the archive, with links as long as any will be."""
    return atom.render_page_frame(heading, ArchivePage(_LAST_PAGE, _ANY_TIME, ()), site, options)


def _undated(heading: Feed) -> Feed:
    """The same for all versions of a feed between which its frame stays but for its date."""
    return replace(heading, updated=_ANY_TIME, version=0)


def _columns(entries: Sequence[Entry], scope: Scope, forms: tuple[Format, ...]) -> list[list[bytes]]:
    """The entries in each of the formats."""
    rows = [_RENDERED.get(entry, scope, forms) for entry in entries]
    return [[row[form] for row in rows] for form in forms]


def _render_entry(entry: Entry, scope: Scope, forms: Sequence[Format]) -> dict[Format, bytes]:
    entry = presentable_entry(entry)
    if not entry.id:
        raise RenderError(f"an entry without an id cannot be written: {entry.content.title!r}")
    try:
        common = write_common(entry)
        return {form: _WRITERS[form].render_entry(entry, scope, common) for form in forms}
    except ValueError as error:
        raise RenderError(f"entry {entry.id} cannot be written: {error}") from error


_RENDERED = Rendered(_render_entry, KEPT_BYTES)
