"""OPML 2.0 (http://opml.org/spec2.opml): the list of feeds, for a reader to take over at once."""

from __future__ import annotations

from aggregator.documents import FEED_LIST
from aggregator.model import Document, FeedSummary
from aggregator.render import xmlfeed
from aggregator.render.parts import document, feed_url, page_url
from aggregator.settings import OutputOptions, Site


def render_opml(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The list, in the order given; raises RenderError.

    It names one format of each feed, or readers would subscribe to the same stories several times, and no date, or
    it would change when no feed does.
    """
    form = next(form for form in ("rss", "atom", "json") if form in options.formats)
    with xmlfeed.render_errors("the list of feeds"):
        root = xmlfeed.element("opml", version="2.0")
        head = xmlfeed.element("head", root)
        xmlfeed.element("title", head, site.title)
        if site.author:
            xmlfeed.element("ownerName", head, site.author)
        body = xmlfeed.element("body", root)
        for feed in feeds:
            addresses = {"xmlUrl": feed_url(feed.slug, form, site), "htmlUrl": page_url(feed.slug, site, options)}
            xmlfeed.element("outline", body, type="rss", text=feed.title, title=feed.title, **addresses)
        return document(FEED_LIST, "text/x-opml", xmlfeed.written(root))
