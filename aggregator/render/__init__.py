"""What the store publishes, as documents: the same input gives the same bytes.

    Feed          -> rss | atom | jsonfeed | pages -> Documents of a slug
    FeedSummaries -> opml | pages                  -> Documents of the whole site

Each entry is made into bytes once for all feeds that hold it, and a document is a frame around those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from aggregator.model import FILE_NAMES, Document, Entry, Feed, FeedSummary, Format, OutputOptions, Site
from aggregator.render import atom, jsonfeed, opml, pages, rss
from aggregator.render.parts import (
    MEDIA_TYPES,
    PAGE,
    Frame,
    Scope,
    document,
    filled,
    fitting,
    presentable,
    presentable_entry,
    remembered,
)

__all__ = ["FINGERPRINT", "feed_paths", "index_paths", "render_feed", "render_index"]

Titled = TypeVar("Titled", Feed, FeedSummary)

# The version of the shape of the output: a new one has every document written again.
FINGERPRINT = "1"


class _Writer(NamedTuple):
    render_frame: Callable[[Feed, Site, OutputOptions], Frame]
    render_entry: Callable[[Entry, Scope], bytes]


_WRITERS: dict[Format, _Writer] = {
    "rss": _Writer(rss.render_frame, rss.render_entry),
    "atom": _Writer(atom.render_frame, atom.render_entry),
    "json": _Writer(jsonfeed.render_frame, jsonfeed.render_entry),
}


def render_feed(
    feed: Feed, site: Site, options: OutputOptions, *, linked: frozenset[str] = frozenset()
) -> tuple[Document, ...]:
    """The documents of one feed, as `feed_paths` lists them; raises RenderError.

    All hold the same entries: the oldest are left out of each until every format fits into `options.max_bytes`. A
    feed that is too large without any entry stays so. `linked` are the slugs that have a page.
    """
    site = presentable(site)
    heading = _titled(replace(feed, entries=()))
    scope = Scope(site.base_url, heading.language, heading.full)
    rows = [_render_entry(entry, scope, options.formats) for entry in feed.entries]
    columns = [[row[number] for row in rows] for number in range(len(options.formats))]
    frames = [_WRITERS[form].render_frame(heading, site, options) for form in options.formats]
    count = min(map(_count_that_fits, frames, columns, [options.max_bytes] * len(frames)), default=len(rows))
    documents = [
        document(f"{feed.slug}/{FILE_NAMES[form]}", MEDIA_TYPES[form], filled(frame, column[:count], options.max_bytes))
        for form, frame, column in zip(options.formats, frames, columns, strict=True)
    ]
    if options.pages:
        documents.append(pages.render_feed_page(heading, feed.entries[:count], site, options, linked))
    return tuple(documents)


def render_index(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> tuple[Document, ...]:
    """The documents of the whole site, as `index_paths` lists them: feeds as given, save that `all` comes first.

    Raises RenderError.
    """
    site = presentable(site)
    feeds = tuple(sorted(map(_titled, feeds), key=lambda feed: feed.slug != pages.ALL))
    documents = (opml.render_opml(feeds, site, options),)
    return (*documents, pages.render_index_page(feeds, site, options)) if options.pages else documents


def feed_paths(slug: str, options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents that `render_feed` makes."""
    names = [FILE_NAMES[form] for form in options.formats] + [PAGE] * options.pages
    return tuple(f"{slug}/{name}" for name in names)


def index_paths(options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents that `render_index` makes."""
    return (opml.FILE_NAME, PAGE) if options.pages else (opml.FILE_NAME,)


@remembered
def _render_entry(entry: Entry, scope: Scope, formats: tuple[Format, ...]) -> tuple[bytes, ...]:
    entry = presentable_entry(entry)
    return tuple(_WRITERS[form].render_entry(entry, scope) for form in formats)


def _count_that_fits(frame: Frame, entries: list[bytes], max_bytes: int) -> int:
    return fitting(entries, frame.separator, max_bytes - len(frame.head) - len(frame.tail))


def _titled(feed: Titled) -> Titled:
    """The feed fit to print; one whose title holds nothing printable is called by its slug."""
    feed = presentable(feed)
    return feed if feed.title.strip() else replace(feed, title=feed.slug)
