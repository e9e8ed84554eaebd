"""Names and ids: what a file and a topic are called, where a feed lives, what an entry is known by.

Pure. The rules are the contract's ("Slugs") and the field map's ("Identity").
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import unicodedata
import uuid
from collections.abc import Container
from urllib.parse import unquote_to_bytes

RESERVED_SLUGS = frozenset("all archive assets status healthz readyz metrics index opml theme".split())
MAX_SLUG = 80
"""Characters of a slug before a suffix; a folder's name has a limit that a topic's name has not."""

_ABSOLUTE_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def topic_key(name: str) -> str:
    """The identity of a topic: NFC, white space collapsed, case folded."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def topic_slug(key: str, taken: Container[str] = ()) -> str:
    """The slug of the topic with this key; one that is reserved or in `taken` gets a suffix from the key's SHA-256."""
    # marks and letters that ASCII has not are left out, all else between words is a hyphen
    plain = (one for one in unicodedata.normalize("NFKD", key) if one.isascii() or not _is_letter(one))
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


def escape_name(name: str) -> str:
    """A file name as it stands in the store and in ids: `%` and bytes that are not UTF-8 as `%XX`."""
    if "%" not in name and (name.isascii() or _is_unicode(name)):
        return name
    raw = os.fsencode(name.replace("%", "%25"))
    return raw.decode("utf-8", "percent-bytes")


def unescape_path(path: str) -> str:
    """The path to open for an escaped one."""
    return os.fsdecode(unquote_to_bytes(path)) if "%" in path else path


def kept_mtime(status: os.stat_result) -> int:
    """The mtime in ns as 64 bits can hold it: a file may be dated beyond the year 2262."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


class IdMint:
    """Makes ids from a site's id. Ids are the same wherever and whenever they are made."""

    def __init__(self, site_id: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)

    def entry_id(self, key: str) -> str:
        """The `urn:uuid:` of an entry with this key."""
        return f"urn:uuid:{uuid.uuid5(self._namespace, key)}"

    def explicit_entry_id(self, explicit_id: str) -> str:
        """The id of a record that states one: an absolute IRI as it stands, else minted from it."""
        if _ABSOLUTE_IRI.fullmatch(explicit_id):
            return explicit_id
        return self.entry_id(f"id:{explicit_id}")

    def path_entry_id(self, source: str, path: str, take: int = 1) -> str:
        """The id of the record at `path` (escaped, POSIX); `take` above 1 when an earlier record holds that id."""
        key = f"path:{source}/{unicodedata.normalize('NFC', path)}"
        return self.entry_id(key if take == 1 else f"{key}~{take}")

    def feed_id(self, slug: str) -> str:
        """The Atom id of a feed, the same when the feed's address changes."""
        return self.entry_id(f"feed:{slug}")


def _is_letter(one: str) -> bool:
    """Whether it is a letter or a mark on one."""
    return unicodedata.category(one)[0] in "LM"


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """Decoding error handler: each bad byte as `%XX`."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in bad), error.end


codecs.register_error("percent-bytes", _escape_bytes)
