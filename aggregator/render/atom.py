"""Atom 1.0 (RFC 4287), with tombstones (RFC 6721) and archives (RFC 5005 section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from aggregator.model import ArchivePage, Content, Entry, Feed, OutputOptions, Site, Withdrawal
from aggregator.render import xmlfeed
from aggregator.render.parts import (
    Frame,
    Scope,
    archive_links,
    author_name,
    content_html,
    feed_links,
    foreign_language,
    presentable,
    provider_of,
    provider_url,
)
from aggregator.render.xmlfeed import addition

TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
KEPT_TOMBSTONES = 4096


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The feed without its entries; raises RenderError."""
    return _frame(feed, site, feed_links(feed, site, options, "atom"), lambda _: None)


def render_page_frame(feed: Feed, page: ArchivePage, site: Site, options: OutputOptions) -> Frame:
    """A page of its archive without its entries; raises RenderError."""
    links = archive_links(feed.slug, page.number, site, options)
    return _frame(replace(feed, updated=page.updated), site, links, xmlfeed.mark_as_archive)


def _frame(feed: Feed, site: Site, links: Iterable[dict[str, str]], extend: xmlfeed.Extend) -> Frame:
    with xmlfeed.render_errors(f"feed {feed.slug!r}"):
        made = xmlfeed.new_feed(feed, site, "atom", links, extend)
        made.id(feed.id)
        made.subtitle(feed.description)
        # RFC 4287 4.1.1: "atom:feed elements MUST contain one or more atom:author elements, unless all of the
        # atom:feed element's child atom:entry elements contain at least one atom:author element."
        made.author(name=author_name(site))
        made.icon(site.icon)
        made.logo(feed.image)
        return xmlfeed.frame(made.atom_str(pretty=True), b"</feed>")


def updated_element(time: datetime) -> bytes:
    """The element that says when the feed changed."""
    return f"<updated>{time.isoformat()}</updated>".encode()


def render_tombstones(withdrawn: Iterable[Withdrawal]) -> list[bytes]:
    """A tombstone for each, the latest first."""
    return [_tombstone(one) for one in sorted(withdrawn, key=lambda one: (one.at, one.id), reverse=True)]


@lru_cache(maxsize=KEPT_TOMBSTONES)
def _tombstone(withdrawal: Withdrawal) -> bytes:
    withdrawal = presentable(withdrawal)
    facts = {"xmlns:at": TOMBSTONES, "ref": withdrawal.id, "when": withdrawal.at.isoformat()}
    return f"{addition('at:deleted-entry', **facts)}\n".encode()


def render_entry(entry: Entry, scope: Scope) -> bytes:
    """The entry as bytes; raises what feedgen and lxml do."""
    content = entry.content
    made = xmlfeed.new_entry(entry)
    if content.summary:
        made.summary(content.summary, type="text")
    # RFC 4287 4.1.2: "atom:entry elements that contain no child atom:content element MUST contain at least one
    # atom:link element with a rel attribute value of "alternate"."
    if scope.full or not content.link:
        made.content(content_html(content, scope), type="html")
    if provider := provider_of(content):
        made.author(name=provider.name, uri=provider_url(provider))
    made.category(_categories(entry, scope))
    element = made.atom_entry()
    # feedgen loses rel and title of an entry's links (python-feedgen#135), so it is given the alternate one alone.
    for link in element.iterfind("link"):
        link.set("rel", "alternate")
    return xmlfeed.fragment(element, _additions(content), foreign_language(content, scope))


def _categories(entry: Entry, scope: Scope) -> list[dict[str, str]]:
    content = entry.content
    topics = [{"term": topic.slug, "scheme": f"{scope.base_url}#topic", "label": topic.name} for topic in entry.topics]
    others = (("category", content.category), ("type", content.type))
    return topics + [{"term": term, "scheme": f"{scope.base_url}#{name}"} for name, term in others if term]


def _additions(content: Content) -> Iterator[str]:
    if content.original_link:
        yield addition("link", rel="via", href=content.original_link)
    for story in content.related:
        yield addition("link", rel="related", href=story.url, title=story.title)
    if content.video_url:
        yield addition("link", rel="related", href=content.video_url)
    yield from xmlfeed.media_additions(content)
