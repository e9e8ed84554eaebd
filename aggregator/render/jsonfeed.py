"""JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""

from __future__ import annotations

import json
from typing import Any

from aggregator.model import Content, Entry, Feed
from aggregator.render.assembly import Frame
from aggregator.render.content import Scope, author_name, content_html, enclosure_type, foreign_language, provider_url
from aggregator.render.links import feed_url, page_url
from aggregator.render.markup import SharedMarkup
from aggregator.settings import OutputOptions, Site

_encode = json.JSONEncoder(ensure_ascii=False).encode


def render_frame(feed: Feed, site: Site, options: OutputOptions) -> Frame:
    """The feed without items."""
    top = _present(
        version="https://jsonfeed.org/version/1.1",
        title=feed.title,
        home_page_url=page_url(feed.slug, site, options, feed.query),
        feed_url=feed_url(feed.slug, "json", site, feed.query),
        description=feed.description,
        # "icon" is for the feed, "much the way an avatar might be used"; "favicon" is small, for lists of feeds
        icon=feed.image or site.icon,
        favicon=site.icon if feed.image else "",
        authors=[{"name": author_name(site)}],
        language=feed.language,
        hubs=[{"type": "WebSub", "url": hub} for hub in site.hub_urls],
    )
    head = json.dumps(top, ensure_ascii=False, indent=2).removesuffix("\n}")
    return Frame(f'{head},\n  "items": [\n'.encode(), b",\n", b"\n  ]\n}\n")


def render_entry(entry: Entry, scope: Scope, shared: SharedMarkup) -> bytes:
    """The item."""
    content = entry.content
    item = {
        "id": (entry.format_ids and entry.format_ids.json) or entry.id,
        "url": content.link,
        "title": content.title,
        "summary": content.summary,
        # "One or both of content_html and content_text must be present", even if empty
        "content_html": content_html(content, scope) if scope.full else None,
        "content_text": None if scope.full else content.summary,
        "image": content.images[0].url if content.images else None,
        "date_published": shared.published,
        "date_modified": shared.updated if shared.updated != shared.published else None,
        "authors": [_present(name=author.name, url=provider_url(author)) for author in shared.authors],
        "tags": [topic.name for topic in entry.topics],
        "attachments": [
            _present(url=file.url, mime_type=enclosure_type(file), size_in_bytes=file.length)
            for file in content.enclosures
        ],
        "language": foreign_language(content, scope),
        "_aggregator": _extension(content),
    }
    always = "content_html" if scope.full else "content_text"
    return _encode({name: value for name, value in item.items() if value or name == always}).encode()


def _extension(content: Content) -> dict[str, Any]:
    """Fields without a JSON Feed member."""
    return _present(
        original_url=content.original_link,
        category=content.category,
        type=content.type,
        video_url=content.video_url,
        related=[_present(url=story.url, title=story.title) for story in content.related],
    )


def _present(**members: Any) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value}
