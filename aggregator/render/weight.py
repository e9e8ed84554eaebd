"""How large an entry can be in any format, found without making it."""

from __future__ import annotations

from collections.abc import Iterable

from aggregator.model import Content

LONGEST_BASE_URL = 200
"""Bytes of the longest `base_url` that a weight holds for, escaped."""
LONGEST_SLUG = 160
"""Characters of the longest slug that a weight holds for; ASCII letters, digits and hyphens."""

# What is written around the texts, in bytes: tags, names of members, dates, and one address of a category each.
_ENTRY = 1400 + 2 * LONGEST_BASE_URL
_TOPIC = 100 + LONGEST_BASE_URL + LONGEST_SLUG
_IMAGE = 160
_RELATED = 160
_SPECIAL = "&<>\"'\\\t\n\r"


def weight(entry_id: str, topics: Iterable[str], content: Content, *, full: bool = False) -> int:
    """The most bytes that an entry takes in a document of any format, the separator behind it included.

    `topics` are the names that it shows. It holds for a `base_url` of at most LONGEST_BASE_URL bytes and, unless
    `full`, for documents without bodies. A text counts as often as a format may repeat it,
    each time with all special characters escaped at their longest.
    """
    link, provider = content.link or "", content.provider
    # The id or the link stands for a title that is not printable.
    plain = [entry_id, entry_id, content.title, link, link, content.original_link or "", content.category]
    plain += [content.type, content.language, *[content.video_url or ""] * 2]
    plain += [provider.name, provider.domain] if provider else []
    names = list(topics)
    plain += names
    for image in content.images:
        plain += [image.url, image.url, f"{image.width}{image.height}" * 2]
    # HTML in XML: what is escaped there is escaped twice.
    nested = [content.summary, content.summary]
    for story in content.related:
        plain += [story.url, story.title]
        nested += [story.url, story.title or story.url] if full else []
    markup = _ENTRY + _TOPIC * len(names) + _IMAGE * len(content.images) + _RELATED * len(content.related)
    body = escaped_bytes(content.body_html, 6) if full else 0
    return markup + escaped_bytes("".join(plain), 6) + escaped_bytes("".join(nested), 10) + body


def escaped_bytes(text: str, longest: int = 6) -> int:
    """The bytes of the text in UTF-8 where each special character takes `longest` bytes instead of one."""
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    return size + (longest - 1) * sum(map(text.count, _SPECIAL))
