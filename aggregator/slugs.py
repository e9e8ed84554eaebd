"""Slugs: the keys and URL names of topics. Pure (docs/spec.md, Topics and slugs)."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container

from aggregator.unicode import normal_form

RESERVED_SLUGS = frozenset("all archive assets status healthz readyz metrics index opml theme".split())


MAX_SLUG = 80
"""Characters of a slug before a suffix; a folder's name has a limit that a topic's name has not."""


_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def topic_key(name: str) -> str:
    """The identity of a topic: NFC, white space collapsed, case folded."""
    if name.isascii():
        return " ".join(name.split()).lower()
    return " ".join(normal_form(name).split()).casefold()


def topic_slug(key: str, taken: Container[str] = ()) -> str:
    """The slug of the topic with this key; one that is reserved or in `taken` gets a suffix from the key's SHA-256."""
    # marks and letters that ASCII has not are left out, all else between words is a hyphen
    plain = (one for one in normal_form(key, "NFKD") if one.isascii() or not _is_letter(one))
    slug = _NOT_SLUG.sub("-", "".join(plain).lower()).strip("-")[:MAX_SLUG].rstrip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()
    if not slug:
        slug = f"t-{digest[:8]}"
    if slug in RESERVED_SLUGS or slug in taken:
        base, length = slug, 4
        while slug in RESERVED_SLUGS or slug in taken:
            slug = f"{base}-{digest[:length]}"
            length += 4
    return slug


def _is_letter(one: str) -> bool:
    """Whether it is a letter or a mark on one."""
    return unicodedata.category(one)[0] in "LM"
