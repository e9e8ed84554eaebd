"""Frames of feeds and archive pages, cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from aggregator.model import ArchivePage, Feed
from aggregator.render import atom, jsonfeed, rss
from aggregator.render.assembly import Frame
from aggregator.render.content import reader_title
from aggregator.settings import Format, OutputOptions, Site
from aggregator.unicode import is_visible

CACHED_FRAMES = 2048
LAST_PAGE = 10**8
"""The longest possible number of an archive page."""
# The date in cached frames, replaced on use. Usually only the date differs between two versions of a feed, and making
# its frames takes longer than the rest of a feed with one new entry.
_PLACEHOLDER = datetime(2000, 1, 1, tzinfo=UTC)


_RENDERERS: dict[Format, Callable[[Feed, Site, OutputOptions], Frame]] = {
    "rss": rss.render_frame,
    "atom": atom.render_frame,
    "json": jsonfeed.render_frame,
}
_DATES: dict[Format, Callable[[datetime], bytes]] = {"rss": rss.updated_element, "atom": atom.updated_element}
"""The date of a feed; JSON Feed has none."""


def heading_of(feed: Feed) -> Feed:
    """The feed without entries; with its slug as the title if it has none that can be seen."""
    title = feed.title if is_visible(feed.title) else feed.slug
    return replace(feed, title=title, entries=(), withdrawn=())


def feed_frames(heading: Feed, site: Site, options: OutputOptions) -> list[Frame]:
    """The frame of each format. Raises RenderError."""
    undated = _undated(heading, site)
    # visitors make searches, and those would take the places of feeds
    make = _undated_frame.__wrapped__ if heading.query else _undated_frame
    frames = []
    for form in options.formats:
        frame = make(form, undated, site, options)
        if updated_element := _DATES.get(form):
            # the first is that of the feed, and no text contains a tag
            head = frame.head.replace(updated_element(_PLACEHOLDER), updated_element(heading.updated), 1)
            frame = frame._replace(head=head)
        frames.append(frame)
    return frames


def longest_page_frame(heading: Feed, site: Site, options: OutputOptions) -> Frame:
    """The frame of an archive page with the longest possible number. Raises RenderError."""
    return _undated_page_frame(_undated(heading, site), site, options)


@lru_cache(maxsize=CACHED_FRAMES)
def _undated_frame(form: Format, undated: Feed, site: Site, options: OutputOptions) -> Frame:
    return _RENDERERS[form](undated, site, options)


@lru_cache(maxsize=CACHED_FRAMES)
def _undated_page_frame(undated: Feed, site: Site, options: OutputOptions) -> Frame:
    return atom.render_page_frame(undated, ArchivePage(LAST_PAGE, _PLACEHOLDER, ()), site, options)


def _undated(heading: Feed, site: Site) -> Feed:
    """The heading with its title for readers, without date, version and what only its page shows, as a cache key."""
    return replace(heading, title=reader_title(heading.title, site), updated=_PLACEHOLDER, version=0, older=None)
