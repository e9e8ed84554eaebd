"""Atom 1.0 (RFC 4287), with tombstones (RFC 6721)."""

from __future__ import annotations

from collections.abc import Iterator

from aggregator.model import Entry, Feed, OutputOptions, Site
from aggregator.render import xmlfeed
from aggregator.render.parts import (
    Frame,
    Scope,
    author_name,
    content_html,
    foreign_language,
    provider_of,
    provider_url,
)
from aggregator.render.xmlfeed import TOMBSTONES, Addition, addition


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The feed without its entries, the latest tombstones first; raises RenderError."""
    with xmlfeed.render_errors(f"feed {feed.slug!r}"):
        made = xmlfeed.new_feed(feed, site, options, "atom")
        made.id(feed.id)
        made.subtitle(feed.description)
        # RFC 4287 4.1.1: "atom:feed elements MUST contain one or more atom:author elements, unless all of the
        # atom:feed element's child atom:entry elements contain at least one atom:author element."
        made.author(name=author_name(site))
        made.icon(site.icon)
        withdrawn = sorted(feed.withdrawn, key=lambda one: (one.at, one.id), reverse=True)
        tombstones = (addition(f"{TOMBSTONES}deleted-entry", ref=one.id, when=one.at.isoformat()) for one in withdrawn)
        trailers = tuple(xmlfeed.added_fragment(one, "atom") for one in tombstones)
        return xmlfeed.frame(made.atom_str(pretty=True), b"</feed>", trailers)


def render_entry(entry: Entry, scope: Scope) -> bytes:
    """The entry as bytes; raises RenderError."""
    content = entry.content
    with xmlfeed.render_errors(f"entry {entry.id}"):
        made = xmlfeed.new_entry(entry, _additions(entry), foreign_language(content, scope))
        if content.summary:
            made.summary(content.summary, type="text")
        # RFC 4287 4.1.2: "atom:entry elements that contain no child atom:content element MUST contain at least one
        # atom:link element with a rel attribute value of "alternate"."
        if scope.full or not content.link:
            made.content(content_html(content, scope), type="html")
        if provider := provider_of(content):
            made.author(name=provider.name, uri=provider_url(provider))
        made.category(list(_categories(entry, scope)))
        return xmlfeed.fragment(made.atom_entry(), "atom")


def _categories(entry: Entry, scope: Scope) -> Iterator[dict[str, str]]:
    for topic in entry.topics:
        yield {"term": topic.slug, "scheme": f"{scope.base_url}#topic", "label": topic.name}
    for name in ("category", "type"):
        if term := getattr(entry.content, name):
            yield {"term": term, "scheme": f"{scope.base_url}#{name}"}


def _additions(entry: Entry) -> Iterator[Addition]:
    content = entry.content
    # feedgen loses rel and title of an entry's links (python-feedgen#135).
    if content.original_link:
        yield addition("link", rel="via", href=content.original_link)
    for story in content.related:
        yield addition("link", rel="related", href=story.url, title=story.title)
    if content.video_url:
        yield addition("link", rel="related", href=content.video_url)
    yield from xmlfeed.media_additions(content)
