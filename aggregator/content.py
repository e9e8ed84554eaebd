"""A content as the JSON array that it is hashed and stored as. Pure; the same on every Python."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii

from aggregator.model import Content, Image, Provider, Related

json_text = encode_basestring_ascii
"""The JSON of a text."""


def content_json(content: Content) -> str:
    """The content as the JSON array it is hashed and stored as; stable across Python versions."""
    provider = content.provider
    parts = (
        json_text(content.title),
        json_text(content.summary),
        json_text(content.body_html),
        _text_or_null(content.link),
        _text_or_null(content.original_link),
        f"[{json_text(provider.name)},{json_text(provider.domain)}]" if provider else "null",
        f"[{','.join(map(json_text, content.topics))}]",
        json_text(content.category),
        json_text(content.type),
        json_text(content.language),
        f"[{','.join([f'[{json_text(url)},{width},{height}]' for url, width, height in content.images])}]",
        _text_or_null(content.video_url),
        f"[{','.join([f'[{json_text(url)},{json_text(title)}]' for url, title in content.related])}]",
    )
    return f"[{','.join(parts)}]"


def _text_or_null(text: str | None) -> str:
    return "null" if text is None else json_text(text)


def read_content(stored: str) -> Content:
    """A content from the JSON array that `content_json` made of it."""
    (title, summary, body, link, original, provider, topics, category, kind, language, images, video, related) = (
        json.loads(stored)
    )
    return Content(
        title,
        summary,
        body,
        link,
        original,
        Provider(*provider) if provider else None,
        tuple(topics),
        category,
        kind,
        language,
        tuple([Image(*image) for image in images]),
        video,
        tuple([Related(*one) for one in related]),
    )
