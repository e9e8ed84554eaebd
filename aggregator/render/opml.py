"""OPML 2.0 (http://opml.org/spec2.opml): the list of feeds, which readers can import."""

from __future__ import annotations

from functools import lru_cache

from aggregator.documents import FEED_LIST
from aggregator.model import Document, FeedSummary
from aggregator.render import xml
from aggregator.render.content import reader_title
from aggregator.render.links import feed_url, page_url
from aggregator.settings import OutputOptions, Site


def render_opml(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The list, in the order given. Raises RenderError.

    It has one format of each feed, so that readers do not subscribe twice, and no date, so that it changes only with
    the feeds.
    """
    return _render_titles(tuple([(feed.slug, feed.title) for feed in feeds]), site, options)


@lru_cache(maxsize=1)
def _render_titles(feeds: tuple[tuple[str, str], ...], site: Site, options: OutputOptions) -> Document:
    form = options.published_format()
    with xml.render_errors("the list of feeds"):
        root = xml.element("opml", version="2.0")
        head = xml.element("head", root)
        xml.element("title", head, site.title)
        if site.author:
            xml.element("ownerName", head, site.author)
        body = xml.element("body", root)
        for slug, feed_title in feeds:
            urls = {"xmlUrl": feed_url(slug, form, site), "htmlUrl": page_url(slug, site, options)}
            title = reader_title(feed_title, site)
            xml.element("outline", body, type="rss", text=title, title=title, **urls)
        return Document(FEED_LIST, xml.document_bytes(root))
