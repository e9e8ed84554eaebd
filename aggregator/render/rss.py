"""RSS 2.0: a channel, and an item for each entry."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from aggregator.model import Entry, Feed, OutputOptions, Site
from aggregator.render import xmlfeed
from aggregator.render.parts import Frame, Scope, content_html, foreign_language, page_url, provider_of
from aggregator.render.xmlfeed import ATOM, CONTENT, DC, Addition, addition


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The channel without its items; raises RenderError."""
    # feedgen writes only the self link of a channel; WebSub section 4 wants the hub beside it.
    hub = (addition(f"{ATOM}link", rel="hub", href=site.hub_url),) if site.hub_url else ()
    with xmlfeed.render_errors(f"feed {feed.slug!r}"):
        channel = xmlfeed.new_feed(feed, site, options, "rss", hub)
        # RSS 2.0, "required channel elements": title, link, description.
        channel.description(feed.description or feed.title)
        channel.ttl(site.ttl)
        if site.icon:
            channel.image(site.icon, title=feed.title, link=page_url(feed.slug, site, options))
        return xmlfeed.frame(channel.rss_str(pretty=True), b"</channel>")


def render_entry(entry: Entry, scope: Scope) -> bytes:
    """The item as bytes; raises RenderError."""
    with xmlfeed.render_errors(f"entry {entry.id}"):
        item = xmlfeed.new_entry(entry, _additions(entry, scope))
        if entry.content.summary:
            # Readers take a description for HTML, so plain text is escaped here and once more by lxml.
            item.description(escape(entry.content.summary, quote=False))
        item.category([{"term": topic.name, "scheme": f"{scope.base_url}#topic"} for topic in entry.topics])
        return xmlfeed.fragment(item.rss_entry(), "rss")


def _additions(entry: Entry, scope: Scope) -> Iterator[Addition]:
    content = entry.content
    html = content_html(content, scope) if scope.full else ""
    if html:
        # feedgen would put it into `description` where there is no summary.
        yield addition(f"{CONTENT}encoded", html)
    # RSS knows no date of change.
    yield addition(f"{ATOM}updated", entry.updated.isoformat())
    if provider := provider_of(content):
        # RSS wants an e-mail address in `author`, and feedgen leaves a name without one out.
        yield addition(f"{DC}creator", provider.name)
    if content.type:
        yield addition(f"{DC}type", content.type)
    if language := foreign_language(content, scope):
        yield addition(f"{DC}language", language)
    yield from xmlfeed.media_additions(content)
