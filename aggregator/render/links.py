"""URLs of documents, and the links that feeds and archive pages have."""

from __future__ import annotations

from collections.abc import Iterator

from aggregator.documents import archive_path
from aggregator.model import Feed
from aggregator.settings import FILE_NAMES, Format, OutputOptions, Site

MEDIA_TYPES: dict[Format, str] = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
}


def feed_url(slug: str, form: Format, site: Site, query: str = "") -> str:
    """The URL that people subscribe to."""
    return f"{site.base_url}{slug}/{FILE_NAMES[form]}{'?' if query else ''}{query}"


def page_url(slug: str, site: Site, options: OutputOptions, query: str = "") -> str:
    """The URL of the feed's page, or of the site if there are no pages."""
    return f"{site.base_url}{slug}/{'?' if query else ''}{query}" if options.pages else site.base_url


def feed_links(feed: Feed, site: Site, options: OutputOptions, form: Format) -> Iterator[dict[str, str]]:
    """The links of a feed: itself, the hubs, its archive (RFC 5005 section 4), its page."""
    yield {"rel": "self", "href": feed_url(feed.slug, form, site, feed.query), "type": MEDIA_TYPES[form]}
    yield from ({"rel": "hub", "href": hub} for hub in site.hub_urls)
    if feed.pages and (feed.rss_archive or form != "rss"):
        yield _archive_link("prev-archive", feed.slug, feed.pages, site)
    yield _page_link(feed.slug, site, options, feed.query)


def archive_links(slug: str, number: int, site: Site, options: OutputOptions) -> Iterator[dict[str, str]]:
    """The links of an archive page: itself, the feed, the page before, the feed's page.

    No `next-archive`, because a page must not change for its successor, and no hub, because a page is never new.
    """
    form = options.published_format("atom")
    yield _archive_link("self", slug, number, site)
    yield {"rel": "current", "href": feed_url(slug, form, site), "type": MEDIA_TYPES[form]}
    if number > 1:
        yield _archive_link("prev-archive", slug, number - 1, site)
    yield _page_link(slug, site, options)


def _archive_link(rel: str, slug: str, number: int, site: Site) -> dict[str, str]:
    return {"rel": rel, "href": f"{site.base_url}{archive_path(slug, number)}", "type": MEDIA_TYPES["atom"]}


def _page_link(slug: str, site: Site, options: OutputOptions, query: str = "") -> dict[str, str]:
    return {"rel": "alternate", "href": page_url(slug, site, options, query), "type": "text/html"}
