"""RSS 2.0: a channel, and an item for each entry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Any

from aggregator.model import Entry, Feed, OutputOptions, Site
from aggregator.render import xmlfeed
from aggregator.render.parts import (
    Frame,
    Scope,
    author_name,
    content_html,
    feed_links,
    foreign_language,
    page_url,
    provider_of,
)
from aggregator.render.xmlfeed import ATOM, DC, addition

_NO_PICTURE = (".avif", ".ico", ".svg", ".webp")


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The channel without its items; raises RenderError."""
    links = list(feed_links(feed, site, options, "rss"))

    def extend(channel: Any) -> None:
        # RSS wants e-mail addresses of people who answer for a channel.
        xmlfeed.element(f"{DC}creator", channel, author_name(site))
        # feedgen writes only the self link of a channel. WebSub section 4 wants the hub beside it, RFC 5005 section 4
        # the way to what the feed held before.
        for link in links:
            if link["rel"] in {"hub", "prev-archive"}:
                xmlfeed.element(f"{ATOM}link", channel, **link)

    with xmlfeed.render_errors(f"feed {feed.slug!r}"):
        channel = xmlfeed.new_feed(feed, site, "rss", links, extend)
        # RSS 2.0, "required channel elements": title, link, description.
        channel.description(feed.description or feed.title)
        channel.ttl(site.ttl)
        if picture := _picture(feed, site):
            channel.image(picture, title=feed.title, link=page_url(feed.slug, site, options))
        return xmlfeed.frame(channel.rss_str(pretty=True), b"</channel>")


def _picture(feed: Feed, site: Site) -> str:
    """The address of the feed's picture, else of the site's, else empty; RSS 2.0 wants "a GIF, JPEG or PNG image"."""
    pictures = (
        one for one in (feed.image, site.icon) if one and not one.lower().partition("?")[0].endswith(_NO_PICTURE)
    )
    return next(pictures, "")


def updated_element(time: datetime) -> bytes:
    """The element that says when the feed changed."""
    return f"<lastBuildDate>{xmlfeed.rfc822_date(time)}</lastBuildDate>".encode()


def render_entry(entry: Entry, scope: Scope) -> bytes:
    """The item as bytes; raises what feedgen and lxml do."""
    item = xmlfeed.new_entry(entry)
    if entry.content.summary:
        # Readers take a description for HTML, so plain text is escaped here and once more by lxml.
        item.description(escape(entry.content.summary, quote=False))
    item.category([{"term": topic.name, "scheme": f"{scope.base_url}#topic"} for topic in entry.topics])
    return xmlfeed.fragment(item.rss_entry(), _additions(entry, scope))


def _additions(entry: Entry, scope: Scope) -> Iterator[str]:
    content = entry.content
    if scope.full and (html := content_html(content, scope)):
        # feedgen would put it into `description` where there is no summary.
        yield addition("content:encoded", html)
    # RSS knows no date of change.
    yield addition("atom:updated", entry.updated.isoformat())
    if provider := provider_of(content):
        # RSS wants an e-mail address in `author`, and feedgen leaves a name without one out.
        yield addition("dc:creator", provider.name)
    if content.type:
        yield addition("dc:type", content.type)
    if language := foreign_language(content, scope):
        yield addition("dc:language", language)
    yield from xmlfeed.media_additions(content)
