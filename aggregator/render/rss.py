"""RSS 2.0: a channel, and an item for each entry."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from aggregator.model import Entry, Feed
from aggregator.render import xmlfeed
from aggregator.render.markup import Common, escaped, escaped_twice, quoted, rfc822_date, stated
from aggregator.render.parts import (
    KEPT_PROVIDERS,
    KEPT_TOPICS,
    Frame,
    Scope,
    author_name,
    content_html,
    feed_links,
    foreign_language,
    kept,
    page_url,
)
from aggregator.render.xmlfeed import ATOM, DC
from aggregator.settings import OutputOptions, Site

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
    return f"<lastBuildDate>{rfc822_date(time)}</lastBuildDate>".encode()


def render_entry(entry: Entry, scope: Scope, common: Common) -> bytes:
    """The item as a line of bytes; raises ValueError for a time without a zone."""
    content = entry.content
    parts = (
        f"<item><title>{common.title}</title>",
        stated("link", content.link or ""),
        # Readers take a description for HTML, so plain text is escaped as that too.
        f"<description>{escaped_twice(content.summary)}</description>" if content.summary else "",
        f'<guid isPermaLink="false">{common.id}</guid>',
        *[_category(topic.name, scope.base_url) for topic in entry.topics],
        f"<pubDate>{rfc822_date(entry.published)}</pubDate>" if entry.published else "",
        stated("content:encoded", content_html(content, scope)) if scope.full else "",
        # RSS knows no date of change.
        f"<atom:updated>{common.updated}</atom:updated>",
        _dublin_core(common.provider.name if common.provider else "", content.type, foreign_language(content, scope)),
        f"{common.media}</item>\n",
    )
    return "".join(parts).encode()


@kept(KEPT_PROVIDERS)
def _dublin_core(creator: str, kind: str, language: str) -> str:
    # RSS wants an e-mail address in `author`.
    return stated("dc:creator", creator) + stated("dc:type", kind) + stated("dc:language", language)


@lru_cache(maxsize=KEPT_TOPICS)
def _category(name: str, base_url: str) -> str:
    return f"<category domain={quoted(f'{base_url}#topic')}>{escaped(name)}</category>"
