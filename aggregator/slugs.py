"""Keys and slugs of topics (docs/spec.md, Topics and slugs). Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container

from aggregator.unicode import normal_form

RESERVED_SLUGS = frozenset("all archive assets status healthz readyz metrics index opml theme search".split())
MAX_SLUG = 80
"""Characters of a slug without its suffix: names of folders have a limit."""
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def topic_key(name: str) -> str:
    """The identity of a topic: NFC, white space collapsed, case folded."""
    if name.isascii():
        return " ".join(name.split()).lower()
    return " ".join(normal_form(name).split()).casefold()


def topic_slug(key: str, taken: Container[str] = (), *, is_own: bool = False) -> str:
    """The slug of the topic with this key. A slug that is reserved or `taken` gets a suffix from the key's SHA-256;
    with `is_own` also a slug that other keys have too, because it leaves out what tells them apart ("C++" and "C#")."""
    # letters and marks beyond ASCII are left out; anything else between words becomes a hyphen
    kept = (char for char in normal_form(key, "NFKD") if char.isascii() or unicodedata.category(char)[0] not in "LM")
    slug = _NOT_SLUG.sub("-", "".join(kept).lower()).strip("-")[:MAX_SLUG].rstrip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()
    is_shared = is_own and slug != "" and plain_key(slug) != key
    if not slug:
        slug = f"t-{digest[:8]}"
    base, length = slug, 4
    while slug in RESERVED_SLUGS or slug in taken or (is_shared and slug == base):
        slug = f"{base}-{digest[:length]}"
        length += 4
    return slug


def plain_key(slug: str) -> str:
    """The key whose slug leaves out nothing of it."""
    return slug.replace("-", " ")
