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
KEEP_EMPTY = timedelta(days=2)
MASS = 20
STAY_FACTOR = 4
CONFIG = f"""
[output]
limit = {LIMIT}
min_stay = "24h"
late = "30d"
tombstones = "30d"
[topics]
keep_empty = "2d"
"""
ALL = ""
"""The key, among topics, of the feed of every record."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
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
        lines = [
            f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items() if value is not None
        ]
        end = [] if self.trouble == "fence" else ["---"]
        newline = "\r\n" if self.crlf else "\n"
        return newline.join(["---", *lines, *end, self.body, ""]).encode()

    @property
    def link(self) -> str | None:
        """`webUrl`, else `originalUrl`."""
        return self.url or self.original

    @property
    def hides(self) -> bool:
        """Whether the flag of an unusable file is unusable itself or, though the rest is of no use, says false."""
        return self.trouble == "flag" or (self.trouble != "fence" and self.published is False)

    @property
    def words(self) -> tuple[str, str, str]:
        """Title and excerpt as plain text, and the body."""
        return _plain(f"{self.title} {self.token}"), _plain(self.excerpt), self.body

    @property
    def lines(self) -> list[str]:
        """The lines that tell stories apart."""
        return [line.strip() for text in self.words for line in text.split("\n") if len(line.strip()) >= 20]

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
    """One record for good. `waits`: its file is there, usable, and says that it is public; `member_of`: its feeds as of
    the last cycle; `joined`: its `released_at` in each feed it ever was in."""

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
    member_of: frozenset[str] = frozenset()
    withdrawn_from: frozenset[str] = frozenset()
    joined: dict[str, datetime] = field(default_factory=dict)

    @property
    def updated(self) -> datetime:
        """Field map, Dates."""
        published = self.published if self.released else self.story.date
        return max(
            (at for at in (published, self.story.updated, self.edited, self.returned) if at), default=self.stored
        )

    @property
    def feeds(self) -> frozenset[str]:
        """The feeds that its record belongs in."""
        return frozenset({ALL, *map(topic_key, self.story.topics)})


@dataclass(slots=True)
class File:
    """What is known of a path; `asked`: since when it is refused for another's id; `forgotten`: it is gone for good and
    its record withdrawn."""

    story: Story
    entry: Entry | None = None
    refused: bool = False
    asked: datetime | None = None
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
class PageView:
    """What an archive page is to be."""

    updated: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class FeedView:
    """What a feed is to be: its entries in order, and the withdrawn ones as (id, when), the latest first.

    `size` and `newest` are what the list of feeds says of it; `pages` are its archive, the oldest first.
    """

    slug: str
    title: str
    items: tuple[Item, ...]
    withdrawn: tuple[tuple[str, datetime], ...]
    updated: datetime
    size: int
    newest: datetime | None
    pages: tuple[PageView, ...]


@dataclass(slots=True)
class Page:
    """An archive page: what was sealed in it, whatever became of that, and how it looks now."""

    entries: list[Entry]
    view: PageView


@dataclass(slots=True)
class Feed:
    """A feed; `cut` is when its window was last cut, `shown` what came of that, `document` its entries. It is `gone` for
    as long as its topic has no entry, some time after `empty` says when that began."""

    slug: str
    title: str
    cut: datetime
    updated: datetime
    shown: tuple[object, ...] | None = None
    view: FeedView | None = None
    document: list[Entry] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    empty: datetime | None = None
    gone: bool = False


class Reading:
    """The field map's rules over a folder, cycle by cycle, with one unnamed source."""

    def __init__(self, site_id: str, site_title: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)
        self.files: dict[str, File] = {}
        self.entries: list[Entry] = []
        self.feeds: dict[str, Feed] = {}
        self.now = LONG_AGO
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
        self._pair_links()
        self._pair_texts()
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
        claims = None if story.trouble else self._holder(story, one.entry)
        waited = one.asked if one.asked and one.story.id == story.id else self.now
        one.story, one.asked = story, waited if claims else None
        one.refused = bool(story.trouble) or claims is not None
        if not one.refused:
            self._take(path, one)
        elif one.entry and (not one.entry.out or story.hides):
            self._hide(one.entry)

    def _holder(self, story: Story, own: Entry | None) -> Entry | None:
        """Who else has the explicit id of a story."""
        if story.id is None:
            return None
        uid = self._explicit(story.id)
        return next(
            (one for one in self.entries if one is not own and (one.explicit_id == story.id or one.uid == uid)), None
        )

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
        entry.waits = False
        if entry.out:
            entry.out, entry.withdrawn, entry.withdrawn_from = False, self.now, entry.member_of

    def _explicit(self, stated: str) -> str:
        return stated if "://" in stated or stated.startswith(("urn:", "tag:")) else self._uuid(f"id:{stated}")

    def _uuid(self, key: str) -> str:
        return f"urn:uuid:{uuid.uuid5(self._namespace, key)}"

    def _mint(self, path: str, story: Story) -> str:
        if story.id is not None:
            return self._explicit(story.id)
        key = f"path:/{unicodedata.normalize('NFC', path.replace('%', '%25'))}"
        held = {one.uid for one in self.entries}
        keys = [key, *(f"{key}~{take}" for take in range(2, 2 + len(held)))]
        return next(uid for uid in map(self._uuid, keys) if uid not in held)

    def _pair_renames(self, mark: Callable[[Story], object]) -> None:
        """Gives the record of a vanished file to a new one that is like it."""
        gone, new = self._loose()
        for new_path in new:
            said = mark(self.files[new_path].story)
            fits = [one for one in gone if mark(self.files[one].story) == said and self._may_be_one(one, new_path)]
            if fits:
                self._pair(fits[0], new_path)
                gone.remove(fits[0])

    def _loose(self) -> tuple[list[str], list[str]]:
        """The paths of vanished files and of new ones that are no one's yet."""
        since = self.now - GRACE
        paths = sorted(self.files, key=str.encode)
        gone = [path for path in paths if self.files[path].entry and (self.files[path].gone or LONG_AGO) >= since]
        new = [path for path in paths if self._is_new(self.files[path], since)]
        return gone, new

    @staticmethod
    def _is_new(one: File, since: datetime) -> bool:
        return bool(one.entry and not one.gone and not one.refused and not one.entry.released) and (
            one.entry.stored >= since
        )

    def _pair(self, old_path: str, new_path: str) -> None:
        """What was at one path goes on at the other."""
        old, new = self.files.pop(old_path), self.files[new_path]
        assert old.entry
        assert new.entry
        self.entries.remove(new.entry)
        new.entry = old.entry
        self._move(old.entry, new_path, new.story)

    def _may_be_one(self, old_path: str, new_path: str) -> bool:
        old, new = self.files[old_path], self.files[new_path]
        assert old.entry
        return len({old.entry.explicit_id, new.story.id} - {None}) < 2

    def _pair_links(self) -> None:
        """Gives the record of a vanished file to a new one with its link, if no other record has it."""
        gone, new = self._loose()
        for new_path in new:
            link = self.files[new_path].story.link
            there = [one.story.link for one in self.entries if one.waits or one.out]
            olds = [path for path in gone if self.files[path].entry and self._story_of(path).link == link]
            news = [path for path in new if self.files[path].story.link == link]
            own = sum(bool(one and (one.waits or one.out)) for one in map(self._entry_at, (*olds, *news)))
            if (
                link
                and len(olds) == len(news) == 1
                and there.count(link) == own
                and self._may_be_one(olds[0], new_path)
            ):
                self._pair(olds[0], new_path)
                gone.remove(olds[0])

    def _entry_at(self, path: str) -> Entry | None:
        return self.files[path].entry if path in self.files else None

    def _story_of(self, path: str) -> Story:
        """What the entry of a path says; the file itself may be of no use."""
        entry = self.files[path].entry
        assert entry
        return entry.story

    def _pair_texts(self) -> None:
        """Gives the record of a vanished file to a new one that has most of its lines, or its title and some."""
        gone, new = self._loose()
        lines = {path: set(self._story_of(path).lines) for path in (*gone, *new)}
        loose = [self.files[path].entry for path in (*gone, *new)]
        others = [set(one.story.lines) for one in self.entries if one not in loose]

        def is_common(line: str) -> bool:
            before, after = (sum(line in lines[path] for path in paths) for paths in (gone, new))
            return sum(line in one for one in others) + max(before, after) > 2

        common = {line for line in set().union(*lines.values()) if is_common(line)}
        found = {}
        for old_path in gone:
            for new_path in new:
                mine, theirs = lines[old_path] - common, lines[new_path] - common
                if mine & theirs and self._may_be_one(old_path, new_path):
                    title = self._story_of(old_path).words[0] == self.files[new_path].story.words[0]
                    found[old_path, new_path] = len(mine & theirs) / len(mine | theirs) + 0.25 * title
        for pair in sorted(found, key=lambda pair: (-found[pair], *(path.encode() for path in pair))):
            rivals = [one for two, one in found.items() if two != pair and set(two) & set(pair)]
            if pair in found and found[pair] >= 0.4 and found[pair] - max(rivals, default=0) >= 0.1:
                self._pair(*pair)
                found = {two: one for two, one in found.items() if not set(two) & set(pair)}

    def _move(self, entry: Entry, path: str, story: Story) -> None:
        explicit_id = entry.explicit_id or story.id
        self._take(path, File(story, entry))
        entry.explicit_id = explicit_id

    def _let_duplicates_in(self) -> None:
        """The explicit id of a vanished file goes on with a file that came when it went and states it; after the grace
        with the first that does."""
        for holder_path in sorted(self.files, key=str.encode):
            holder = self.files[holder_path]
            if not holder.gone or not holder.entry:
                continue
            waiting = [path for path in sorted(self.files, key=str.encode) if self._waits_for(path, holder.entry)]
            moved = [path for path in waiting if (self.files[path].asked or LONG_AGO) >= holder.gone]
            moved.sort(key=lambda path: self.files[path].story.text() != holder.story.text())
            over = waiting if holder.gone <= self.now - GRACE else []
            for path in [*moved, *over][:1]:
                del self.files[holder_path]
                one = self.files[path]
                one.entry, one.refused, one.asked = holder.entry, False, None
                self._take(path, one)

    def _waits_for(self, path: str, entry: Entry) -> bool:
        """Whether a file is refused for the id of an entry."""
        one = self.files[path]
        refused = one.refused and not one.story.trouble and not one.entry and not one.gone
        return refused and self._holder(one.story, None) is entry

    def _withdraw_vanished(self, known: int, *, accept: bool) -> None:
        gone = {path: one for path, one in self.files.items() if one.gone and not one.forgotten}
        if len(gone) >= MASS and 2 * len(gone) > known and not accept:
            self._held = self._held or self.now
            if self.now - self._held < GRACE:
                return
        self._held = None
        for path, one in gone.items():
            if one.entry is None:
                del self.files[path]
            else:
                one.forgotten = True
                self._hide(one.entry)

    def _release(self) -> None:
        """Field map, Release."""
        waiting = sorted((one for one in self.entries if one.waits and not one.out), key=lambda one: one.path.encode())
        due = [one for one in waiting if one.story.date is None or one.story.date <= self.now]
        dates = [one.story.date for one in due if one.story.date]
        below = min(dates, default=self.now)
        for entry in due:
            entry.out, entry.withdrawn_from = True, frozenset()
            if entry.released:
                entry.returned = self.now
                continue
            entry.published = date = entry.story.date
            if date is None and not self._scanned:
                below -= timedelta(seconds=1)
                entry.released = below
            elif date is None:
                entry.released = self.now
            elif not self._scanned or date == entry.embargo or date < self.now - LATE:
                entry.released = date
            else:
                entry.released = self.now
        for entry in self.entries:
            later = entry.waits and entry.story.date and entry.story.date > self.now
            entry.embargo = entry.story.date if later else None

    def _settle(self) -> tuple[FeedView, ...]:
        """Puts entries into feeds, makes new feeds, and gives what all of them show."""
        standing = frozenset(key for key, feed in self.feeds.items() if not feed.gone)
        for entry in self.entries:
            first = not entry.joined
            for key in entry.feeds - entry.joined.keys() if entry.out else ():
                assert entry.released
                late = first or key not in standing or entry.released < self.now - LATE
                entry.joined[key] = entry.released if late else self.now
            entry.member_of = entry.feeds if entry.out else frozenset()
        self._make_feeds()
        for key, feed in self.feeds.items():
            self._keep_or_drop(key, feed)
            if not feed.gone:
                self._show(key, feed)
        views = [feed.view for feed in self.feeds.values() if feed.view and not feed.gone]
        return tuple(sorted(views, key=lambda one: (one.slug != "all", one.title.casefold(), one.slug)))

    def _make_feeds(self) -> None:
        titles = {} if self.feeds else {ALL: self._title}
        out = sorted((one for one in self.entries if one.out), key=lambda one: one.path.encode())
        # an entry that was out before was released first
        out.sort(key=lambda one: not any(key in self.feeds for key in one.joined))
        for entry in out:
            for name in entry.story.topics:
                if topic_key(name) not in self.feeds:
                    titles.setdefault(topic_key(name), _plain(name))
        for key in sorted(titles):
            slug = "all" if key == ALL else topic_slug(key, {feed.slug for feed in self.feeds.values()})
            self.feeds[key] = Feed(slug, titles[key], self.now, self.now)

    def _keep_or_drop(self, key: str, feed: Feed) -> None:
        """The feed of a topic goes when it has had no entry for some time, and comes back as it was."""
        if key == ALL or any(key in one.member_of for one in self.entries):
            feed.empty = None
            if feed.gone:
                feed.gone, feed.cut, feed.updated = False, self.now, self.now
        elif feed.empty is None and not feed.gone:
            feed.empty = self.now
        elif feed.empty is not None and feed.empty <= self.now - KEEP_EMPTY:
            feed.empty, feed.gone = None, True

    def _show(self, key: str, feed: Feed) -> None:
        """Time alone changes no feed: its window is cut anew only when it shows something else anyway."""
        members = sorted(
            (one for one in self.entries if key in one.member_of), key=lambda one: _rank(one, key), reverse=True
        )
        sealed = [id(one) for page in feed.pages for one in page.entries]
        left_out = [one for one in members if one not in _window(members, key, feed.cut) and id(one) not in sealed]
        shown = self._shown(key, members, feed.cut)
        if shown != feed.shown or left_out:
            feed.cut = self.now
            feed.shown = shown = self._shown(key, members, self.now)
            window = _window(members, key, self.now)
            self._seal(key, feed, [one for one in reversed(members) if id(one) not in sealed], window)
            feed.document = window
            times = [feed.updated, *(one.updated for one in window), *(one.joined[key] for one in window)]
            feed.updated = max([*times, *(at for _, at in shown[1])])
        for page in feed.pages:
            self._show_page(key, page)
        newest = members[0].published if members else None
        pages = tuple(page.view for page in feed.pages)
        feed.view = FeedView(feed.slug, feed.title, *shown, feed.updated, len(members), newest, pages)

    def _seal(self, key: str, feed: Feed, unsealed: list[Entry], window: list[Entry]) -> None:
        """Issue of the archives: what is about to leave the document takes all of it along, oldest first; a backfill
        has pages of its own."""
        kept, before = [id(one) for one in window], [id(one) for one in feed.document]
        outside = [one for one in unsealed if id(one) not in kept]
        groups = [[one for one in outside if id(one) not in before]]
        if any(id(one) in before for one in outside):
            groups.append([one for one in unsealed if id(one) in before])
        for group in groups:
            for start in range(0, len(group), LIMIT):
                entries = group[start : start + LIMIT]
                updated = max(max(one.updated, one.joined[key]) for one in entries)
                feed.pages.append(Page(entries, PageView(updated, ())))

    def _show_page(self, key: str, page: Page) -> None:
        """A page is written again when an entry in it is withdrawn, changes visibly, or leaves the feed."""
        shown = sorted((one for one in page.entries if key in one.member_of), key=lambda one: _rank(one, key))
        items = tuple(self._item(one) for one in reversed(shown))
        if items != page.view.items:
            withdrawn = [one.withdrawn for one in page.entries if key in one.withdrawn_from and one.withdrawn]
            page.view = PageView(max([page.view.updated, *(one.updated for one in shown), *withdrawn]), items)

    def _shown(self, key: str, members: list[Entry], at: datetime) -> tuple[Any, Any]:
        withdrawn = (
            (one.withdrawn, one.uid)
            for one in self.entries
            if key in one.withdrawn_from and one.withdrawn and one.withdrawn > at - TOMBSTONES
        )
        tombstones = [(uid, when) for when, uid in sorted(withdrawn, reverse=True)]
        items = tuple(map(self._item, _window(members, key, at)))
        return items, tuple(tombstones[: STAY_FACTOR * LIMIT])

    def _item(self, entry: Entry) -> Item:
        story = entry.story
        title, summary, _ = story.words
        original = story.original if story.original != story.link else None
        topics = tuple((self.feeds[topic_key(name)].slug, _plain(name)) for name in story.topics)
        return Item(
            entry.uid, title, story.link, original, summary, entry.published, entry.updated, topics, story.image
        )


def _rank(entry: Entry, key: str) -> tuple[datetime, datetime, str]:
    return entry.joined[key], entry.published or LONG_AGO, entry.uid


def _window(members: list[Entry], key: str, at: datetime) -> list[Entry]:
    """The newest ones, and those released lately, of what is sorted already."""
    beyond = members[LIMIT : STAY_FACTOR * LIMIT]
    return members[:LIMIT] + [one for one in beyond if one.joined[key] > at - MIN_STAY]


def topic_key(name: str) -> str:
    """A topic: its name in NFC, white space collapsed, case folded."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def topic_slug(key: str, taken: Iterable[str]) -> str:
    """The contract's slug of a topic."""
    letters = "".join(char for char in unicodedata.normalize("NFKD", key) if char.isascii())
    slug = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()
    slug = slug or f"t-{digest[:8]}"
    return f"{slug}-{digest[:4]}" if slug in RESERVED | set(taken) else slug


# what happens to the files


@dataclass(frozen=True, slots=True)
class Step:
    """The folder before one cycle: `writes` and `deletes` since the last one; None is a file touched only."""

    now: datetime
    writes: Mapping[str, Story]
    touches: frozenset[str]
    deletes: frozenset[str]
    folder: Mapping[str, Story]
    accept: bool
    what: str


TOPICS = ("AI", "Power Apps", "Künstliche Intelligenz", "C", "C#", "status", "日本", "R&D")
SPELLINGS = {"AI": "ai", "Power Apps": "power  apps", "R&D": "r&d"}
WORDS = "cloud chips &amp; robots vote on 5 &lt; 6 markets café quantum seas rail solar Q&A orbit".split()


class History:
    """What happens to a folder, by a seed; the same wherever and whenever it is played."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = datetime(2023, 3, 1, 6, 0, tzinfo=UTC)
        self.folder: dict[str, Story] = {}
        self.bin: dict[str, Story] = {}
        self.broken: dict[str, Story] = {}
        self.scripted: dict[int, list[Callable[[], str]]] = {}
        self.gaps: dict[int, timedelta] = {}
        self.accepting: set[int] = set()
        self.number = 0
        self.reused: set[str] = set()
        """Tokens of stories that more than one id may be of: copies, and moves that nobody could follow."""
        self._before: dict[str, Story] = {}
        self._touched: set[str] = set()
        self._made = 0

    def play(self, cycles: int) -> Iterable[Step]:
        """The folder before each cycle."""
        self._script()
        for self.number in range(cycles):
            self.now += self.gaps.get(self.number, self._gap())
            what = [action() for action in self.scripted.get(self.number, ())]
            if self.number and not what:
                what = self._some_actions()
            deletes = frozenset(self._before.keys() - self.folder.keys())
            writes = {path: story for path, story in self.folder.items() if self._before.get(path) != story}
            touches = frozenset(self._touched & self.folder.keys() - writes.keys())
            accept = self.number in self.accepting
            yield Step(self.now, writes, touches, deletes, dict(self.folder), accept, ", ".join(what))
            self._before, self._touched = dict(self.folder), set()

    def _gap(self) -> timedelta:
        roll = self.random.random()
        if roll < 0.6:
            return timedelta(seconds=self.random.randint(60, 90 * 60))
        if roll < 0.93:
            return timedelta(seconds=self.random.randint(2 * 3600, 30 * 3600))
        return timedelta(seconds=self.random.randint(2 * 86400, 11 * 86400))

    def _script(self) -> None:
        """What must happen at least once, and when."""
        script: list[tuple[int, timedelta | None, Callable[[], str]]] = [
            (0, None, self._import),
            *[(20 + turn, _minutes(60 * 9), self._flip_story) for turn in range(8)],
            (45, None, self._lose_most),
            (46, _minutes(5), lambda: "still gone"),
            (47, _minutes(4), self._restore),
            (60, None, lambda: self._arrive(56)),
            (61, _minutes(30), lambda: self._arrive(3)),
            (85, None, self._lose_most),
            (88, None, self._restore),
            (110, None, self._lose_most),
            (111, _minutes(4), lambda: "still gone"),
            (112, _minutes(7), lambda: "gone for good"),
            (115, None, self._restore),
            (130, None, lambda: self._state_id("wire-7")),
            (132, None, lambda: self._state_id("wire-7")),
            (133, None, lambda: self._state_id("wire-7")),
            (137, None, lambda: self._drop_holder("wire-7")),
            (140, None, lambda: self._state_id("tag:wire.example,2023:9")),
            (142, None, lambda: self._drop_holder("wire-7")),
            (143, None, lambda: "no change"),
            (
                190,
                None,
                lambda: self._put("embargoed.md", replace(self._story(self.now + _minutes(30)), published=True)),
            ),
            (191, _minutes(40), lambda: self._rewrite("embargoed.md", secured=1)),
            (195, _minutes(5), lambda: self._rewrite("embargoed.md", updated=self.now - timedelta(days=99))),
        ]
        self.accepting = {85}
        for number, gap, action in script:
            self.scripted.setdefault(number, []).append(action)
            if gap:
                self.gaps[number] = gap

    def _some_actions(self) -> list[str]:
        roll = self.random.random()
        if roll < 0.12:
            return ["no change"]
        what = [self._rewrite_unseen() for _ in range(self.random.randint(1, 6))]
        if roll < 0.5:
            return what
        visible = [
            (6, lambda: self._arrive(self.random.randint(1, 4))),
            (3, self._embargo),
            (3, self._move_embargo),
            (4, self._change_url),
            (4, self._edit_words),
            (3, self._move_date),
            (5, self._flip_flag),
            (4, self._change_topics),
            (3, self._rename),
            (2, self._rename_in_two_cycles),
            (1, self._rename_too_late),
            (2, self._delete),
            (3, self._bring_back),
            (1, self._replace_deleted),
            (2, self._new_at_old_path),
            (3, self._break),
            (4, self._repair),
            (2, self._state_update),
            (1, self._copy),
            (1, self._add_id),
            (1, self._change_image),
            (1, self._change_line_ends),
        ]
        actions = self.random.choices(
            [one for _, one in visible], [weight for weight, _ in visible], k=self.random.randint(1, 4)
        )
        return what + [action() for action in actions]

    # what arrives

    def _import(self) -> str:
        for _ in range(48):
            age = timedelta(minutes=self.random.randint(1, 400 * 24 * 60))
            self._add(self._story(date=None if self.random.random() < 0.15 else self.now - age))
        for hours in (3, 50, 400):
            self._add(self._story(date=self.now + timedelta(hours=hours)))
        return "import"

    def _arrive(self, count: int) -> str:
        for _ in range(count):
            self._add(self._story(date=self._late_date()))
        return f"{count} arrive"

    def _late_date(self) -> datetime | None:
        roll = self.random.random()
        if roll < 0.12:
            return None
        if roll < 0.75:
            return self.now - timedelta(minutes=self.random.randint(0, 18 * 60))
        if roll < 0.9:
            return self.now - timedelta(hours=self.random.randint(18, 16 * 24))
        return self.now - timedelta(days=self.random.randint(31, 90))

    def _story(self, date: datetime | None) -> Story:
        self._made += 1
        token = f"#{self._made:03}"
        roll = self.random.random()
        address = f"https://news.example/{self._made}?a=1&b=2"
        video = f"https://video.example/{self._made}"
        return Story(
            token=token,
            title=self._phrase(4).capitalize(),
            excerpt=self._phrase(9),
            body=self._phrase(12),
            date=date,
            url=address if roll < 0.8 else None,
            original=video if roll > 0.6 and roll < 0.95 else None,
            topics=self._topics(),
            published=self.random.choice([True, True, True, None, False]),
            quality=self.random.randint(-1, 99),
            secured=self._made,
            crlf=self.random.random() < 0.4,
        )

    def _phrase(self, count: int) -> str:
        return " ".join(self.random.choices(WORDS, k=count))

    def _topics(self) -> tuple[str, ...]:
        usable = TOPICS[: 4 + self.number // 20]
        names = self.random.sample(usable, k=self.random.choice([0, 1, 1, 2, 2, 3]))
        return tuple(
            SPELLINGS.get(name, name) if self.number and self.random.random() < 0.2 else name for name in names
        )

    def _add(self, story: Story) -> str:
        path = self._new_path(story)
        self.folder[path] = story
        return path

    def _new_path(self, story: Story) -> str:
        place = self.random.choice(["", "news/", "news/2023/", "video clips/", "100%/", "é/"])
        name = self.random.choice(["a", "b-b", "B", "ü", "z.z"])
        return f"{place}{name}{story.token[1:]}{self.random.choice(['.md', '.md', '.markdown'])}"

    # what happens to one file

    def _pick(self, fits: Callable[[Story], bool] = lambda _: True) -> str | None:
        usable = [
            path
            for path, story in self.folder.items()
            if not story.trouble and not story.id and path != "embargoed.md" and fits(story)
        ]
        return self.random.choice(usable) if usable else None

    def _change(self, fits: Callable[[Story], bool] = lambda _: True, **values: Any) -> str:
        path = self._pick(fits)
        if path is None:
            return "nothing"
        self.folder[path] = replace(self.folder[path], **values)
        return f"{self.folder[path].token} {' '.join(values)}"

    def _rewrite_unseen(self) -> str:
        roll = self.random.random()
        if roll < 0.7:
            return self._change(secured=self.random.randint(0, 10**6 - 1))
        if roll < 0.9:
            return self._change(quality=self.random.randint(-1, 99), heat=self.random.randint(-1, 99))
        path = self._pick()
        self._touched |= {path} if path else set()
        return "touched"

    def _change_line_ends(self) -> str:
        path = self._pick()
        if path:
            self.folder[path] = replace(self.folder[path], crlf=not self.folder[path].crlf)
        return "line ends"

    def _change_url(self) -> str:
        """There and back: one of two addresses."""
        path = self._pick(lambda story: story.url is not None)
        if path is None:
            return "nothing"
        story = self.folder[path]
        assert story.url
        url = story.url.removesuffix("#moved") if story.url.endswith("#moved") else f"{story.url}#moved"
        self.folder[path] = replace(story, url=None if story.original and self.random.random() < 0.2 else url)
        return f"{story.token} url"

    def _edit_words(self) -> str:
        name = self.random.choice(["title", "excerpt", "excerpt", "body"])
        values: dict[str, Any] = {name: self._phrase(6)}
        return self._change(**values)

    def _move_date(self) -> str:
        hours = self.random.choice([-900, -30, -2, 2, 30, 200])
        path = self._pick(lambda story: story.date is not None)
        if path is None:
            return "nothing"
        story = self.folder[path]
        assert story.date
        self.folder[path] = replace(story, date=story.date + timedelta(hours=hours))
        return f"{story.token} date {hours}"

    def _embargo(self) -> str:
        self._add(self._story(date=self.now + timedelta(minutes=self.random.randint(10, 6 * 24 * 60))))
        return "embargo"

    def _move_embargo(self) -> str:
        path = self._pick(lambda story: bool(story.date and story.date > self.now))
        if path is None:
            return "nothing"
        date = self.now + timedelta(hours=self.random.choice([-5, 1, 20, 90]))
        self.folder[path] = replace(self.folder[path], date=date)
        return f"{self.folder[path].token} embargo moved"

    def _flip_flag(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        story = self.folder[path]
        self.folder[path] = replace(story, published=story.published is False)
        return f"{story.token} published {story.published is False}"

    def _flip_story(self) -> str:
        """One story, four times in three days."""
        path = min(path for path, story in self.folder.items() if story.topics and not story.trouble)
        story = self.folder[path]
        self.folder[path] = replace(story, published=story.published is False)
        return f"{story.token} flips"

    def _change_topics(self) -> str:
        return self._change(topics=self._topics())

    def _change_image(self) -> str:
        return self._change(image=f"https://news.example/{self.random.randint(1, 99)}.png")

    def _state_update(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        hours = self.random.choice([-2000, -30, -1, 0])
        self.folder[path] = replace(self.folder[path], updated=self.now + timedelta(hours=hours))
        return f"{self.folder[path].token} updatedDateTime {hours}"

    def _add_id(self) -> str:
        return self._change(id=f"own-{self.number}-{self.random.randint(0, 10**6)}")

    def _break(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        story = self.broken[path] = self.folder[path]
        self.folder[path] = replace(story, trouble=self.random.choice(["date", "flag", "fence"]))
        return f"{story.token} broken: {self.folder[path].trouble}"

    def _repair(self) -> str:
        path = min((path for path in self.broken if self.folder.get(path, Story("", "")).trouble), default=None)
        if path is None:
            return "nothing"
        story = self.broken.pop(path)
        self.folder[path] = replace(story, excerpt=self._phrase(5)) if self.random.random() < 0.3 else story
        return f"{story.token} repaired"

    # what happens to places

    def _rename(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        story = self.folder.pop(path)
        changed = replace(story, secured=self.random.randint(0, 10**6 - 1), quality=self.random.randint(-1, 99))
        self.folder[self._free_path(story)] = changed if self.random.random() < 0.5 else story
        return f"{story.token} renamed"

    def _free_path(self, story: Story) -> str:
        while True:
            path = f"moved/{self.random.randint(0, 10**6)}-{self._new_path(story)}"
            if path not in self.folder and path not in self.bin:
                return path

    def _rename_in_two_cycles(self) -> str:
        return self._rename_later(timedelta(minutes=self.random.randint(1, 10)))

    def _rename_too_late(self) -> str:
        return self._rename_later(timedelta(minutes=self.random.randint(11, 99)))

    def _rename_later(self, gap: timedelta) -> str:
        path = self._pick()
        if path is None or self.number + 1 in self.scripted:
            return "nothing"
        story = self.folder.pop(path)
        if gap > GRACE:
            self.reused.add(story.token)

        def arrive() -> str:
            self.folder[self._free_path(story)] = story
            return f"{story.token} is back elsewhere"

        self.scripted[self.number + 1] = [arrive]
        self.gaps[self.number + 1] = gap
        return f"{story.token} on its way"

    def _delete(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        self.bin[path] = self.folder.pop(path)
        return f"{self.bin[path].token} deleted"

    def _bring_back(self) -> str:
        usable = sorted(self.bin.keys() - self.folder.keys())
        if not usable:
            return "nothing"
        path = self.random.choice(usable)
        self.folder[path] = self.bin.pop(path)
        return f"{self.folder[path].token} back"

    def _replace_deleted(self) -> str:
        """A file at the path of a withdrawn record is that record, so it keeps the token."""
        usable = sorted(self.bin.keys() - self.folder.keys())
        if not usable:
            return "nothing"
        path = self.random.choice(usable)
        self.folder[path] = replace(self._story(self._late_date()), token=self.bin.pop(path).token)
        return f"{self.folder[path].token} replaced"

    def _new_at_old_path(self) -> str:
        """One file moves away and another comes to where it was."""
        path = self._pick()
        if path is None:
            return "nothing"
        story = self.folder.pop(path)
        self.folder[self._free_path(story)] = story
        if self.random.random() < 0.5:
            self.folder[path] = self._story(self._late_date())
            # a file that is there is its record, whatever it says: the id stays, and so does the token
            self.folder[path] = replace(self.folder[path], token=story.token)
            self.reused.add(story.token)
        elif self.number + 1 not in self.scripted:
            self.scripted[self.number + 1] = [lambda: self._put(path, self._story(self._late_date()))]
        return f"{story.token} makes room"

    def _put(self, path: str, story: Story) -> str:
        self.folder[path] = story
        return f"{story.token} put"

    def _rewrite(self, path: str, **values: Any) -> str:
        self.folder[path] = replace(self.folder[path], **values)
        return f"{self.folder[path].token} {' '.join(values)}"

    def _copy(self) -> str:
        path = self._pick()
        if path is None:
            return "nothing"
        story = self.folder[path]
        self.reused.add(story.token)
        self.folder[self._free_path(story)] = story
        return f"{story.token} copied"

    def _lose_most(self) -> str:
        paths = sorted(self.folder)
        for path in self.random.sample(paths, k=len(paths) * 7 // 10):
            self.bin[path] = self.folder.pop(path)
        return "most are gone"

    def _restore(self) -> str:
        for path in sorted(self.bin):
            self.folder.setdefault(path, self.bin[path])
        self.bin.clear()
        return "all are back"

    def _state_id(self, stated: str) -> str:
        story = replace(self._story(self._late_date()), id=stated, published=True)
        self.reused.add(story.token)
        self._add(story)
        return f"{story.token} states {stated}"

    def _drop_holder(self, stated: str) -> str:
        """The file that came first with an explicit id goes."""
        path = min(
            (path for path, story in self.folder.items() if story.id == stated), key=lambda one: self.folder[one].token
        )
        del self.folder[path]
        return f"{stated} goes"


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def make_history(seed: int, cycles: int) -> tuple[list[Step], frozenset[str]]:
    """What happens before each cycle, and the tokens that may have several ids or an id with another token."""
    history = History(seed)
    steps = list(history.play(cycles))
    return steps, frozenset(history.reused)
