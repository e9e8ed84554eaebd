"""A content as the JSON array that it is hashed and stored as. Pure; the same on every Python."""

from __future__ import annotations

import json

from aggregator.model import Content, Image, Provider, Related


def content_json(content: Content) -> str:
    """The content as the JSON array it is hashed and stored as; stable across Python versions."""
    provider = content.provider
    return json.dumps(
        [
            content.title,
            content.summary,
            content.body_html,
            content.link,
            content.original_link,
            [provider.name, provider.domain] if provider else None,
            content.topics,
            content.category,
            content.type,
            content.language,
            [[image.url, image.width, image.height] for image in content.images],
            content.video_url,
            [[related.url, related.title] for related in content.related],
        ],
        ensure_ascii=True,
        separators=(",", ":"),
    )


def read_content(stored: str) -> Content:
    """A content from the JSON array that `content_json` made of it."""
    (title, summary, body, link, original, provider, topics, category, kind, language, images, video, related) = (
        json.loads(stored)
    )
    return Content(
        title=title,
        summary=summary,
        body_html=body,
        link=link,
        original_link=original,
        provider=Provider(*provider) if provider else None,
        topics=tuple(topics),
        category=category,
        type=kind,
        language=language,
        images=tuple(Image(*image) for image in images),
        video_url=video,
        related=tuple(Related(*one) for one in related),
    )
