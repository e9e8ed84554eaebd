"""Ids of entries and feeds, minted once (docs/spec.md, Identity). Pure."""

from __future__ import annotations

import re
import uuid

from aggregator.unicode import normal_form

_ABSOLUTE_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")


class IdMint:
    """Mints ids from the site id. The same input gives the same id on any machine, at any time."""

    def __init__(self, site_id: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)

    def explicit_entry_id(self, explicit_id: str) -> str:
        """The id of a record that states one: an absolute IRI is used as it is, another text is minted from."""
        return explicit_id if _ABSOLUTE_IRI.fullmatch(explicit_id) else self._mint(f"id:{explicit_id}")

    def path_entry_id(self, source: str, path: str, attempt: int = 1) -> str:
        """The id of the record at `path` (escaped, POSIX); `attempt` is above 1 if another record has
        the id already."""
        key = f"path:{source}/{normal_form(path)}"
        return self._mint(key if attempt == 1 else f"{key}~{attempt}")

    def feed_id(self, slug: str) -> str:
        """The Atom id of a feed, which stays the same if the URL of the feed changes."""
        return self._mint(f"feed:{slug}")

    def _mint(self, key: str) -> str:
        return uuid.uuid5(self._namespace, key).urn
