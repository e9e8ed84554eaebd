"""What the documents of a feed have no room for: kept with the feed, shown the same until it changes, and said."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from aggregator.model import Fitting
from aggregator.paths import unescape_path
from aggregator.problems import Problem
from aggregator.store.schema import entry, feed

MOST_SAID = 20
"""Entries that are named one by one."""
HINT = "make it shorter, or raise output.max_bytes"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Keys of entries of a window that its documents do not show in full."""

    entries: frozenset[int] = frozenset()  # not shown
    too_large: frozenset[int] = frozenset()  # of these, larger than a whole document
    shortened: frozenset[int] = frozenset()  # shown by their summary, because their full text is too large

    @classmethod
    def of(cls, fitting: Fitting, ids: Sequence[int]) -> LeftOut:
        """The same by the keys of the entries of the window."""
        places = (fitting.left_out, fitting.too_large, fitting.shortened)
        return cls(*(frozenset(ids[place] for place in group) for group in places))

    def stored(self) -> str | None:
        """As the store has it; None where all is shown."""
        if self == FULL_ROOM:
            return None
        return json.dumps([sorted(self.entries), sorted(self.too_large), sorted(self.shortened)])


FULL_ROOM = LeftOut()
"""Every entry of the window is shown as it is."""


def read_left_out(stored: str | None) -> LeftOut:
    """What `LeftOut.stored` wrote."""
    return FULL_ROOM if stored is None else LeftOut(*map(frozenset, json.loads(stored)))


def say_left_out(connection: Connection, roots: Mapping[str, str]) -> list[str]:
    """What is too large for the documents of feeds, a line for each entry; `roots` are the folders of sources."""
    large: dict[int, list[str]] = {}
    shortened: dict[int, list[str]] = {}
    columns = (feed.c.slug, feed.c.left_out)
    for row in connection.execute(select(*columns).where(feed.c.left_out.is_not(None)).order_by(feed.c.id)):
        left_out = read_left_out(row.left_out)
        for keys, found in ((left_out.too_large, large), (left_out.shortened, shortened)):
            for key in keys if row.slug is not None else ():
                found.setdefault(key, []).append(row.slug)
    what = "the entry is larger than output.max_bytes and is left out of"
    instead = "the full text is larger than output.max_bytes; its summary is shown in"
    return [*_say(connection, roots, large, what), *_say(connection, roots, shortened, instead)]


def _say(connection: Connection, roots: Mapping[str, str], found: dict[int, list[str]], what: str) -> Iterator[str]:
    """A line for each entry, by the path of its record, with the slugs of its feeds."""
    keys = sorted(found)[:MOST_SAID]
    columns = (entry.c.id, entry.c.source, entry.c.path)
    rows = connection.execute(select(*columns).where(entry.c.id.in_(keys)).order_by(entry.c.id))
    for row in rows.all() if keys else ():
        slugs = found[row.id]
        feeds = ", ".join(slugs[:3]) + (f" and {len(slugs) - 3} more feeds" if len(slugs) > 3 else "")
        path = os.path.join(roots.get(row.source, ""), unescape_path(row.path))
        yield str(Problem(path, 0, 0, f"{what} {feeds}", hint=HINT))
    if len(found) > len(keys):
        yield f"{len(found) - len(keys)} more entries are too large for the documents of their feeds ({HINT})"
