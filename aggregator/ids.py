"""Ids of entries and feeds, minted once (docs/spec.md, Identity). Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from aggregator.unicode import normal_form

# without characters that format bidirectional text (RFC 3987, section 4.1)
_ABSOLUTE_IRI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+"
)


class FormatIds(NamedTuple):
    """The ids that formats show instead of the id of the entry; empty: that id."""

    rss: str = ""
    json: str = ""


class IdMint:
    """Mints ids from the site id. The same input gives the same id on any machine, at any time."""

    def __init__(self, site_id: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)

    def explicit_entry_id(self, explicit_id: str) -> str:
        """The id of a record that states one: an absolute IRI is used as it is, another text is minted from."""
        return explicit_id if is_absolute_iri(explicit_id) else self._mint(f"id:{explicit_id}")

    def path_entry_id(self, source: str, path: str, attempt: int = 1) -> str:
        """The id of the record at `path` (escaped, POSIX); `attempt` is above 1 if another record has
        the id already."""
        key = f"path:{source}/{normal_form(path)}"
        return self._mint(key if attempt == 1 else f"{key}~{attempt}")

    def adopted_entry_id(self, ids: Mapping[str, str]) -> tuple[str, FormatIds | None]:
        """The id of a record with ids in saved feeds, by format; and what RSS and JSON show instead of it.

        The id is the first absolute IRI, because Atom allows no other (RFC 4287 section 4.2.6); it is Atom's own if
        that is one. Without an IRI it is minted. RSS and JSON allow any text.
        """
        stated = [ids[form] for form in ("atom", "rss", "json") if form in ids]
        uid = next(filter(is_absolute_iri, stated), None) or self.explicit_entry_id(stated[0])
        shown = FormatIds(*("" if ids.get(form, uid) == uid else ids[form] for form in FormatIds._fields))
        return uid, shown if any(shown) else None

    def feed_id(self, slug: str) -> str:
        """The Atom id of a feed, which stays the same if the URL of the feed changes."""
        return self._mint(f"feed:{slug}")

    def _mint(self, key: str) -> str:
        return uuid.uuid5(self._namespace, key).urn


def is_absolute_iri(text: str) -> bool:
    """Whether a text can be an Atom id."""
    return _ABSOLUTE_IRI.fullmatch(text) is not None
