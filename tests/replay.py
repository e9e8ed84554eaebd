"""A year of a records folder in small, and what its feeds must be after every cycle.

`make_history` plays what happens to the files, by a seed. `Reading` is the field map read aloud: slow, in memory, and
made from that text alone, so that it can tell when the program is wrong.
"""

from __future__ import annotations

import hashlib
import html
import json
import random
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

LIMIT = 8
MIN_STAY = timedelta(hours=24)
LATE = timedelta(days=30)
TOMBSTONES = timedelta(days=30)
GRACE = timedelta(minutes=10)
MASS = 20
STAY_FACTOR = 4
CONFIG = f"""
[output]
limit = {LIMIT}
min_stay = "24h"
late = "30d"
tombstones = "30d"
"""
ALL = ""
"""The key, among topics, of the feed of every record."""
RESERVED = frozenset("all archive assets status healthz readyz metrics index opml theme".split())


# what files say


@dataclass(frozen=True, slots=True)
class Story:
    """What one file says. `trouble` is what makes it unusable; `token` tells stories apart whatever is edited."""

    token: str
    title: str
    excerpt: str = ""
    body: str = ""
    date: datetime | None = None
    updated: datetime | None = None
    url: str | None = None
    original: str | None = None
    topics: tuple[str, ...] = ()
    published: bool | None = None
    id: str | None = None
    image: str | None = None
    quality: int = -1
    heat: int = -1
    secured: int = 0
    crlf: bool = False
    trouble: str = ""

    def text(self) -> bytes:
        """The bytes of the file."""
        fields: dict[str, Any] = {"title": f"{self.title} {self.token}", "excerpt": self.excerpt, "id": self.id}
        fields |= {"publishedDateTime": _stamp(self.date), "updatedDateTime": _stamp(self.updated)}
        fields |= {"webUrl": self.url, "originalUrl": self.original, "topics": list(self.topics) or None}
        fields |= {"images": [{"url": self.image}] if self.image else None, "published": self.published}
        fields |= {"quality": self.quality, "heat": self.heat, "secured": f"{self.secured:06}"}
        if self.trouble == "date":
            fields["publishedDateTime"] = "soon"
        if self.trouble == "flag":
            fields["published"] = "perhaps"
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items() if value is not None]
        end = [] if self.trouble == "fence" else ["---"]
        newline = "\r\n" if self.crlf else "\n"
        return newline.join(["---", *lines, *end, self.body, ""]).encode()

    @property
    def link(self) -> str | None:
        """`webUrl`, else `originalUrl`."""
        return self.url or self.original

    @property
    def words(self) -> tuple[str, str, str]:
        """Title and excerpt as plain text, and the body."""
        return _plain(f"{self.title} {self.token}"), _plain(self.excerpt), self.body

    @property
    def visible(self) -> tuple[object, ...]:
        """The visible fields as the file states them."""
        return (*self.words, self.link, self.original, self.topics, self.image, self.date, self.updated)


def _plain(text: str) -> str:
    return " ".join(html.unescape(text).split())


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# what feeds must be


@dataclass(slots=True)
class Entry:
    """One record for good. `waits`: its file is there, usable, and says that it is public."""

    uid: str
    path: str
    story: Story
    explicit_id: str | None
    stored: datetime
    waits: bool = False
    out: bool = False
    edited: datetime | None = None
    embargo: datetime | None = None
    released: datetime | None = None
    published: datetime | None = None
    returned: datetime | None = None
    withdrawn: datetime | None = None
    withdrawn_from: frozenset[str] = frozenset()
    joined: dict[str, datetime] = field(default_factory=dict)

    @property
    def updated(self) -> datetime:
        """Field map, Dates."""
        published = self.published if self.released else self.story.date
        return max((at for at in (published, self.story.updated, self.edited, self.returned) if at), default=self.stored)

    @property
    def feeds(self) -> frozenset[str]:
        """The feeds that its record belongs in."""
        return frozenset({ALL, *map(topic_key, self.story.topics)})


@dataclass(slots=True)
class File:
    """What is known of a path; `forgotten`: it is gone for good and its record withdrawn."""

    story: Story
    entry: Entry | None = None
    refused: bool = False
    gone: datetime | None = None
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """What a reader sees of an entry; topics as (slug, name)."""

    id: str
    title: str
    link: str | None
    original: str | None
    summary: str
    published: datetime | None
    updated: datetime
    topics: tuple[tuple[str, str], ...]
    image: str | None


@dataclass(frozen=True, slots=True)
class FeedView:
    """What a feed is to be: its entries in order, and the withdrawn ones as (id, when), the latest first.

    `size` and `newest` are what the list of feeds says of it.
    """

    slug: str
    title: str
    items: tuple[Item, ...]
    withdrawn: tuple[tuple[str, datetime], ...]
    updated: datetime
    size: int
    newest: datetime | None


@dataclass(slots=True)
class Feed:
    """A feed that stands; `cut` is when its window was last cut, `shown` what came of that."""

    slug: str
    title: str
    cut: datetime
    updated: datetime
    shown: tuple[object, ...] | None = None
    view: FeedView | None = None


class Reading:
    """The field map's rules over a folder, cycle by cycle, with one unnamed source."""

    def __init__(self, site_id: str, site_title: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)
        self.files: dict[str, File] = {}
        self.entries: list[Entry] = []
        self.feeds: dict[str, Feed] = {}
        self.now = datetime.min.replace(tzinfo=UTC)
        self._title, self._scanned = site_title, False
        self._held: datetime | None = None

    def cycle(self, now: datetime, folder: Mapping[str, Story], *, accept: bool) -> tuple[FeedView, ...]:
        """What every feed shows after a cycle at `now` over `folder`."""
        self.now = now
        known = sum(not one.forgotten for one in self.files.values())
        for path in sorted(folder, key=str.encode):
            self._read(path, folder[path])
        for path, one in self.files.items():
            if path not in folder and one.gone is None:
                one.gone = now
        self._pair_renames(lambda story: story.text())
        self._pair_renames(lambda story: story.visible)
        self._let_duplicates_in()
        self._withdraw_vanished(known, accept=accept)
        self._release()
        self._scanned = True
        return self._settle()

    @property
    def rejected(self) -> int:
        """How many files give no record."""
        return sum(one.refused and not one.forgotten for one in self.files.values())

    def _read(self, path: str, story: Story) -> None:
        one = self.files.setdefault(path, File(story))
        again = one.forgotten or one.story != story or (one.entry is None and not one.refused)
        one.gone, one.forgotten = None, False
        if not again:
            return
        one.story = story
        one.refused = bool(story.trouble) or self._holder(story, one.entry) is not None
        if not one.refused:
            self._take(path, one)
        elif one.entry and (not one.entry.out or story.trouble == "flag"):
            self._hide(one.entry)

    def _holder(self, story: Story, own: Entry | None) -> Entry | None:
        """Who else has the explicit id of a story."""
        if story.id is None:
            return None
        uid = self._explicit(story.id)
        return next((one for one in self.entries if one is not own and (one.explicit_id == story.id or one.uid == uid)), None)

    def _take(self, path: str, one: File) -> None:
        """The record at a path, new or changed."""
        entry, story = one.entry, one.story
        if entry is None:
            entry = one.entry = Entry(self._mint(path, story), path, story, story.id, self.now)
            self.entries.append(entry)
        if entry.story.words != story.words:
            entry.edited = self.now
        entry.path, entry.story, entry.explicit_id = path, story, story.id
        if story.published is False:
            self._hide(entry)
        else:
            entry.waits = True

    def _hide(self, entry: Entry) -> None:
        entry.waits, entry.embargo = False, None
        if entry.out:
            entry.out = False
            entry.withdrawn, entry.withdrawn_from = self.now, frozenset(entry.joined) & entry.feeds_before
            entry.feeds_before = frozenset()
