"""Ids: what an entry is known by, minted once. Pure (docs/spec.md, Identity)."""

from __future__ import annotations

import hashlib
import re
import uuid

from aggregator.unicode import normal_form

_ABSOLUTE_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")


class IdMint:
    """Makes ids from a site's id. Ids are the same wherever and whenever they are made."""

    def __init__(self, site_id: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id).bytes

    def entry_id(self, key: str) -> str:
        """The `urn:uuid:` of an entry with this key, its UUID a version 5 (RFC 9562 section 5.5) as `uuid.uuid5` makes
        it, at a fifth of the cost."""
        digest = hashlib.sha1(self._namespace + key.encode(), usedforsecurity=False).hexdigest()
        variant = "89ab"[int(digest[16], 16) & 3]
        return f"urn:uuid:{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"

    def explicit_entry_id(self, explicit_id: str) -> str:
        """The id of a record that states one: an absolute IRI as it stands, else minted from it."""
        if _ABSOLUTE_IRI.fullmatch(explicit_id):
            return explicit_id
        return self.entry_id(f"id:{explicit_id}")

    def path_entry_id(self, source: str, path: str, take: int = 1) -> str:
        """The id of the record at `path` (escaped, POSIX); `take` above 1 when an earlier record holds that id."""
        key = f"path:{source}/{normal_form(path)}"
        return self.entry_id(key if take == 1 else f"{key}~{take}")

    def feed_id(self, slug: str) -> str:
        """The Atom id of a feed, the same when the feed's address changes."""
        return self.entry_id(f"feed:{slug}")
