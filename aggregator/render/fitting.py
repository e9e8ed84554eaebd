"""How many entries fit into a document of `options.max_bytes`. Entries are measured as they are rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aggregator.documents import archive_path
from aggregator.model import NOTHING_OMITTED, Entry, Feed, Omitted
from aggregator.render.assembly import Frame, count_fitting
from aggregator.render.content import Scope
from aggregator.render.entries import page_kinds, render_columns, scope_of
from aggregator.render.frames import LAST_PAGE, feed_frames, heading_of, longest_page_frame
from aggregator.settings import Format, OutputOptions, Site

MARKUP_BYTES = 200
"""No link to an archive page has more bytes beside its URL, in any format."""
ESCAPED_BYTES = 6
"""Most bytes of a character of a URL in a document."""


def fit_entries(feed: Feed, site: Site, options: OutputOptions) -> Omitted:
    """The entries of the feed, by position, that do not fit into every format. One that is too large leaves room for
    smaller ones. Raises RenderError.
    """
    heading = heading_of(feed)
    frames, scope = feed_frames(heading, site, options), scope_of(heading, site)
    columns = render_columns(feed.entries, scope, options.formats)
    totals = [
        sum(map(len, column)) + len(frame.separator) * len(column)
        for column, frame in zip(columns, frames, strict=True)
    ]
    url = f"{site.base_url}{archive_path(feed.slug, LAST_PAGE)}"
    if _have_room(totals, _rooms(frames, options.max_bytes - MARKUP_BYTES - ESCAPED_BYTES * len(url))):
        return NOTHING_OMITTED  # the usual case, with the frames that the documents have
    # with the longest possible link to the archive: what fits must not depend on the number of its pages
    frames = feed_frames(replace(heading, pages=LAST_PAGE), site, options)
    left = whole = _rooms(frames, options.max_bytes)
    if _have_room(totals, whole):
        return NOTHING_OMITTED
    left_out, too_large, shortened = set(), set(), set()
    for place, entry in enumerate(feed.entries):
        sizes = _sizes(entry, scope, options.formats, frames)
        if scope.full and entry.content.body_html and not _have_room(sizes, whole):
            shortened.add(place)
            sizes = _sizes(entry.without_body(), scope, options.formats, frames)
        if _have_room(sizes, left):
            left = [room - size for room, size in zip(left, sizes, strict=True)]
            continue
        left_out.add(place)
        if not _have_room(sizes, whole):
            too_large.add(place)
    return Omitted(frozenset(left_out), frozenset(too_large), frozenset(shortened - left_out))


def shorten_entries(feed: Feed, entries: Sequence[Entry], site: Site, options: OutputOptions) -> tuple[Entry, ...]:
    """The entries of a full feed, without the bodies that do not fit into an archive page of their own. Raises
    RenderError."""
    heading = heading_of(feed)
    room = longest_page_frame(heading, site, options).room(options.max_bytes)
    (column,) = render_columns(entries, scope_of(heading, site), ("atom",))
    return tuple(
        entry if len(text) <= room else entry.without_body() for entry, text in zip(entries, column, strict=True)
    )


def split_fitting(feed: Feed, entries: Sequence[Entry], site: Site, options: OutputOptions, limit: int) -> list[int]:
    """The numbers of entries of the archive pages that hold the entries, in the order given.

    A page has as many as fit, at most `limit` and at least one. Raises RenderError.
    """
    if not entries:
        return []
    heading = heading_of(feed)
    page, scope = longest_page_frame(heading, site, options), scope_of(heading, site)
    room = page.room(options.max_bytes)
    counts: list[int] = []
    start = 0
    while start < len(entries):
        column, *_ = render_columns(entries[start : start + limit], scope, page_kinds(options))
        counts.append(max(1, count_fitting(column, page.separator, room)))
        start += counts[-1]
    return counts


def _sizes(entry: Entry, scope: Scope, forms: tuple[Format, ...], frames: Sequence[Frame]) -> list[int]:
    """The bytes of the entry with a separator, in each format."""
    columns = render_columns([entry], scope, forms)
    return [len(text) + len(frame.separator) for (text,), frame in zip(columns, frames, strict=True)]


def _rooms(frames: Sequence[Frame], max_bytes: int) -> list[int]:
    """How many bytes the entries may take in each frame, with a separator behind each."""
    return [frame.room(max_bytes) + len(frame.separator) for frame in frames]


def _have_room(sizes: Sequence[int], rooms: Sequence[int]) -> bool:
    return all(size <= room for size, room in zip(sizes, rooms, strict=True))
