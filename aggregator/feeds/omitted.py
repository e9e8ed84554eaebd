"""What `output.max_bytes` keeps out of the documents of a feed."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Omitted:
    """The keys of entries of a window that `output.max_bytes` keeps out of the documents, in whole or in part."""

    entries: frozenset[int] = frozenset()  # not shown
    too_large: frozenset[int] = frozenset()  # of these, larger than a whole document
    shortened: frozenset[int] = frozenset()  # shown by their summary, because their full text is too large

    def to_json(self) -> str | None:
        """The value of `feed.left_out`; None if nothing is omitted."""
        if self == NOTHING_OMITTED:
            return None
        return json.dumps([sorted(self.entries), sorted(self.too_large), sorted(self.shortened)])

    @classmethod
    def from_json(cls, stored: str | None) -> Omitted:
        """The inverse of `to_json`."""
        return NOTHING_OMITTED if stored is None else cls(*map(frozenset, json.loads(stored)))


NOTHING_OMITTED = Omitted()
