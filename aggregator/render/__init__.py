"""Renders what the store publishes. Pure: the same input gives the same bytes.

    Feed          -> rss | atom | jsonfeed | pages -> Documents of a slug
    ArchivePage   -> atom                          -> Document of a slug's archive
    FeedSummaries -> opml | pages                  -> Documents of the whole site

Each entry is rendered once and used in all feeds (`entries`); a document is a frame around entries (`frames`).
"""

from __future__ import annotations

from dataclasses import replace

from aggregator.documents import ALL, archive_path
from aggregator.model import NO_RELATIVES, ArchivePage, Document, Feed, FeedSummary, Relatives
from aggregator.render import atom, opml
from aggregator.render.assembly import assemble
from aggregator.render.assets import render_assets, render_feed_style
from aggregator.render.content import reader_title
from aggregator.render.entries import page_kinds, render_columns, scope_of
from aggregator.render.fitting import fit_entries, shorten_entries, split_fitting
from aggregator.render.frames import feed_frames, heading_of
from aggregator.settings import FILE_NAMES, OutputOptions, Site
from aggregator.unicode import is_visible

__all__ = [
    "fit_entries",
    "render_archive_page",
    "render_feed",
    "render_index",
    "shorten_entries",
    "split_fitting",
]


def render_feed(
    feed: Feed,
    site: Site,
    options: OutputOptions,
    *,
    linked: frozenset[str] = frozenset(),
    relatives: Relatives = NO_RELATIVES,
    pages: bool = True,
) -> tuple[Document, ...]:
    """The documents of a feed, in the order of `feed_paths`, with all of its entries (see `fit_entries`).

    `linked` are the slugs that have a page to link to, `relatives` the feeds of topics above and below; without `pages`
    its page is left out. Raises RenderError.
    """
    heading = heading_of(feed)
    columns = render_columns(feed.entries, scope_of(heading, site), options.formats)
    documents = []
    for form, frame, entries in zip(options.formats, feed_frames(heading, site, options), columns, strict=True):
        tombstones = atom.render_tombstones(feed.withdrawn) if form == "atom" else ()
        body = assemble(frame, entries, tombstones, options.max_bytes)
        documents.append(Document(f"{feed.slug}/{FILE_NAMES[form]}", body))
    if options.pages and pages:
        from aggregator.render.pages import render_feed_page  # its templates take long to import

        documents.append(render_feed_page(heading, feed.entries, site, options, linked, relatives))
    return tuple(documents)


def render_archive_page(feed: Feed, page: ArchivePage, site: Site, options: OutputOptions) -> tuple[Document, ...]:
    """A page of the feed's archive (RFC 5005 section 4), always Atom, and the same for people, in the order of
    `archive_paths`. Ignores the entries of `feed`.

    Raises RenderError.
    """
    heading = heading_of(feed)
    for_readers = replace(heading, title=reader_title(heading.title, site))
    frame = atom.render_page_frame(for_readers, replace(page, entries=()), site, options)
    entries, *lines = render_columns(page.entries, scope_of(heading, site), page_kinds(options))
    body = assemble(frame, entries, (), options.max_bytes)
    sealed = Document(archive_path(feed.slug, page.number), body)
    if not options.pages:
        return (sealed,)
    from aggregator.render import pages

    return (sealed, *pages.render_archive_list(heading, page, lines[0], site, options))


def render_index(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> tuple[Document, ...]:
    """The documents of the whole site, in the order of `index_paths`. Feeds keep their order, but `all` comes first.

    Raises RenderError.
    """
    titled = (feed if is_visible(feed.title) else replace(feed, title=feed.slug) for feed in feeds)
    feeds = tuple(sorted(titled, key=lambda feed: feed.slug != ALL))
    documents = (opml.render_opml(feeds, site, options), render_feed_style())
    if not options.pages:
        return documents
    from aggregator.render import crawlers, pages

    home = pages.render_index_page(feeds, site, options)
    more = (crawlers.render_robots(site), crawlers.render_sitemap(feeds, site))
    return (*documents, home, *render_assets(site.stylesheet), *more)
