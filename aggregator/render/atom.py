"""Atom 1.0 (RFC 4287), with tombstones (RFC 6721) and archives (RFC 5005 section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from aggregator.model import ArchivePage, Content, Enclosure, Entry, Feed, Withdrawal
from aggregator.render import xml
from aggregator.render.assembly import Frame
from aggregator.render.content import Scope, author_name, content_html, foreign_language, provider_url
from aggregator.render.links import archive_links, feed_links
from aggregator.render.markup import (
    SharedMarkup,
    attribute,
    empty_element,
    escaped,
    optional_element,
    quoted,
    rfc3339_date,
)
from aggregator.settings import OutputOptions, Site

TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The feed without entries. Raises RenderError."""
    return _frame(feed, site, feed_links(feed, site, options, "atom"), lambda _: None)


def render_page_frame(feed: Feed, page: ArchivePage, site: Site, options: OutputOptions) -> Frame:
    """An archive page without entries. Raises RenderError."""
    links = archive_links(feed.slug, page.number, site, options)
    return _frame(replace(feed, updated=page.updated), site, links, xml.mark_as_archive)


def _frame(feed: Feed, site: Site, links: Iterable[dict[str, str]], extend: xml.Extend) -> Frame:
    with xml.render_errors(f"feed {feed.slug!r}"):
        made = xml.new_feed(feed, site, "atom", links, extend)
        made.id(feed.id)
        made.subtitle(feed.description)
        # RFC 4287 4.1.1: "atom:feed elements MUST contain one or more atom:author elements, unless all of the
        # atom:feed element's child atom:entry elements contain at least one atom:author element."
        made.author(name=author_name(site))
        made.icon(site.icon)
        made.logo(feed.image)
        return xml.frame(made.atom_str(pretty=True), b"</feed>", site)


def updated_element(time: datetime) -> bytes:
    """The date of the feed."""
    return f"<updated>{rfc3339_date(time)}</updated>".encode()


def render_tombstones(withdrawn: Iterable[Withdrawal]) -> list[bytes]:
    """The tombstones, newest first."""
    stones = [
        {"xmlns:at": TOMBSTONES, "ref": item.id, "when": rfc3339_date(item.at)}
        for item in sorted(withdrawn, key=lambda item: (item.at, item.id), reverse=True)
    ]
    return [f"{empty_element('at:deleted-entry', **attributes)}\n".encode() for attributes in stones]


def render_entry(entry: Entry, scope: Scope, shared: SharedMarkup) -> bytes:
    """The entry as one line."""
    content = entry.content
    parts = (
        f"<entry{attribute('xml:lang', foreign_language(content, scope))}>",
        f"<id>{shared.id}</id><title>{shared.title}</title><updated>{shared.updated}</updated>",
        *[_author(author.name, provider_url(author)) for author in shared.authors],
        # RFC 4287 4.1.2: "atom:entry elements that contain no child atom:content element MUST contain at least one
        # atom:link element with a rel attribute value of "alternate"."
        _text("content", content_html(content, scope), "html") if scope.full or not content.link else "",
        f'<link href={quoted(content.link)} rel="alternate"/>' if content.link else "",
        _text("summary", content.summary, "text") if content.summary else "",
        *[_category("topic", topic.slug, topic.name, scope.base_url) for topic in entry.topics],
        _category("category", content.category, "", scope.base_url) if content.category else "",
        _category("type", content.type, "", scope.base_url) if content.type else "",
        optional_element("published", shared.published),
        _other_links(content),
        f"{shared.media}</entry>\n",
    )
    return "".join(parts).encode()


def _text(tag: str, text: str, kind: str) -> str:
    """A text construct (RFC 4287 section 3.1), or content of the same type."""
    return f'<{tag} type="{kind}">{escaped(text)}</{tag}>' if text else f'<{tag} type="{kind}"/>'


def _author(name: str, uri: str) -> str:
    return f"<author>{optional_element('name', name)}{optional_element('uri', uri)}</author>"


def _category(scheme: str, term: str, label: str, base_url: str) -> str:
    # RFC 4287 4.2.2.1: "Category elements MUST have a "term" attribute", even an empty one.
    return f"<category term={quoted(term)} scheme={quoted(f'{base_url}#{scheme}')}{attribute('label', label)}/>"


def _other_links(content: Content) -> str:
    via = empty_element("link", rel="via", href=content.original_link) if content.original_link else ""
    related = [empty_element("link", rel="related", href=story.url, title=story.title) for story in content.related]
    video = empty_element("link", rel="related", href=content.video_url) if content.video_url else ""
    enclosures = [_enclosure(enclosure) for enclosure in content.enclosures]
    return f"{via}{''.join(related)}{video}{''.join(enclosures)}"


def _enclosure(enclosure: Enclosure) -> str:
    length = str(enclosure.length) if enclosure.length else ""
    return empty_element("link", rel="enclosure", href=enclosure.url, type=enclosure.type, length=length)
