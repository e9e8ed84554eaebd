"""RSS 2.0: a channel, and an item for each entry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aggregator.model import Enclosure, Entry, Feed
from aggregator.render import xml
from aggregator.render.assembly import Frame
from aggregator.render.content import Scope, author_name, content_html, enclosure_type, foreign_language
from aggregator.render.links import feed_links, page_url
from aggregator.render.markup import (
    SharedMarkup,
    empty_element,
    escaped,
    escaped_twice,
    optional_element,
    quoted,
    rfc822_date,
)
from aggregator.render.xml import ATOM, DC
from aggregator.settings import OutputOptions, Site

_NO_PICTURE = (".avif", ".ico", ".svg", ".webp")


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The channel without items. Raises RenderError."""
    links = list(feed_links(feed, site, options, "rss"))

    def extend(channel: Any) -> None:
        # managingEditor requires an e-mail address
        xml.element(f"{DC}creator", channel, author_name(site))
        # feedgen writes only the self link. WebSub section 4 requires the hub, RFC 5005 section 4 the archive.
        for link in links:
            if link["rel"] in {"hub", "prev-archive"}:
                xml.element(f"{ATOM}link", channel, **link)

    with xml.render_errors(f"feed {feed.slug!r}"):
        channel = xml.new_feed(feed, site, "rss", links, extend)
        # RSS 2.0, "required channel elements": title, link, description.
        channel.description(feed.description or feed.title)
        channel.ttl(site.ttl)
        if picture := _picture(feed, site):
            channel.image(picture, title=feed.title, link=page_url(feed.slug, site, options, feed.query))
        return xml.frame(channel.rss_str(pretty=True), b"</channel>", site)


def _picture(feed: Feed, site: Site) -> str:
    """The URL of the picture of the feed or of the site, or empty. RSS 2.0 requires "a GIF, JPEG or PNG image"."""
    urls = (url for url in (feed.image, site.icon) if not url.lower().partition("?")[0].endswith(_NO_PICTURE))
    return next(filter(None, urls), "")


def updated_element(time: datetime) -> bytes:
    """The date of the channel."""
    return f"<lastBuildDate>{rfc822_date(time)}</lastBuildDate>".encode()


def render_entry(entry: Entry, scope: Scope, shared: SharedMarkup) -> bytes:
    """The item as one line. Raises ValueError for a time without a zone."""
    content, own_id = entry.content, entry.format_ids and entry.format_ids.rss
    parts = (
        f"<item><title>{shared.title}</title>",
        optional_element("link", content.link or ""),
        # readers parse a description as HTML
        f"<description>{escaped_twice(content.summary)}</description>" if content.summary else "",
        f'<guid isPermaLink="false">{escaped(own_id) if own_id else shared.id}</guid>',
        *[_category(topic.name, scope.base_url) for topic in entry.topics],
        f"<pubDate>{rfc822_date(entry.published)}</pubDate>" if entry.published else "",
        optional_element("content:encoded", content_html(content, scope)) if scope.full else "",
        # RSS has no element for the last change
        f"<atom:updated>{shared.updated}</atom:updated>",
        # `author` requires an e-mail address
        *[f"<dc:creator>{escaped(author.name)}</dc:creator>" for author in shared.authors],
        optional_element("dc:type", content.type),
        optional_element("dc:language", foreign_language(content, scope)),
        # RSS 2.0 has one enclosure; "length says how big it is in bytes"
        _enclosure(content.enclosures[0]) if content.enclosures else "",
        f"{shared.media}</item>\n",
    )
    return "".join(parts).encode()


def _enclosure(enclosure: Enclosure) -> str:
    return empty_element("enclosure", url=enclosure.url, length=str(enclosure.length), type=enclosure_type(enclosure))


def _category(name: str, base_url: str) -> str:
    return f"<category domain={quoted(f'{base_url}#topic')}>{escaped(name)}</category>"
