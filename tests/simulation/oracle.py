"""What every feed must show after each cycle, by a model of the rules that shares no code with the program."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from simulation.world import GRACE, SLUGS, SPANS, Config, Step, Story, plain

LATE = timedelta(days=30)
TOMBSTONES = timedelta(days=30)
KEEP_EMPTY = timedelta(days=2)
MASS = 20
STAY_FACTOR = 4
ALL = ""
"""The key, among topics, of the feed of every record."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
RESERVED = frozenset("all archive assets status healthz readyz metrics index opml theme".split())


@dataclass(slots=True)
class Entry:
    """What is known of one record for good."""

    uid: str
    path: str
    story: Story
    explicit_id: str | None
    stored: datetime
    waits: bool = False  # its file is there, gives a record, and says that it is public
    out: bool = False  # published
    edited: datetime | None = None
    embargo: datetime | None = None
    released: datetime | None = None
    published: datetime | None = None
    returned: datetime | None = None
    withdrawn: datetime | None = None
    member_of: frozenset[str] = frozenset()  # keys of feeds, as of the last cycle
    withdrawn_from: frozenset[str] = frozenset()
    joined: dict[str, datetime] = field(default_factory=dict)  # its `released_at` in each feed that it ever was in

    @property
    def updated(self) -> datetime:
        """docs/spec.md#dates."""
        published = self.published if self.released else self.story.date
        return max(
            (at for at in (published, self.story.updated, self.edited, self.returned) if at), default=self.stored
        )


@dataclass(slots=True)
class File:
    """What is known of a path."""

    story: Story
    entry: Entry | None = None
    refused: bool = False
    asked: datetime | None = None  # since when it is refused for the id of another
    gone: datetime | None = None  # since when it is missing
    forgotten: bool = False  # its record is withdrawn for that


@dataclass(frozen=True, slots=True)
class Item:
    """What a reader sees of an entry."""

    id: str
    title: str
    link: str | None
    original: str | None
    summary: str
    published: datetime | None
    updated: datetime
    topics: tuple[tuple[str, str], ...]  # slug and name
    image: str | None


@dataclass(frozen=True, slots=True)
class PageView:
    """What an archive page shows."""

    updated: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class FeedView:
    """What a feed shows."""

    slug: str
    title: str
    items: tuple[Item, ...]
    withdrawn: tuple[tuple[str, datetime], ...]  # id and time, the latest first
    updated: datetime
    size: int  # in the list of feeds, as `newest`
    newest: datetime | None
    pages: tuple[PageView, ...]  # the oldest first
    older: tuple[int, str, bool] | None = None  # the page and the id of the first entry that is not among `items`


@dataclass(slots=True)
class Page:
    """An archive page: the entries that were sealed in it, and what it shows now."""

    entries: list[Entry]
    view: PageView


@dataclass(slots=True)
class Feed:
    """A feed."""

    slug: str
    title: str
    cut: datetime  # when its window was last cut
    updated: datetime
    shown: tuple[object, ...] | None = None  # the items and tombstones that came of that
    view: FeedView | None = None
    document: list[Entry] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    empty: datetime | None = None  # since when its topic has no entry
    gone: bool = False  # ended for that
    older: tuple[int, str, bool] | None = None  # where the entries begin that its document does not show


def is_other(before: Story, now: Story) -> bool:
    """Whether two stories are clearly two records: by their lines, and by their links if both have one."""
    mine, theirs = set(before.lines), set(now.lines)
    is_told = before.link != now.link if before.link and now.link else bool(mine or theirs)
    return is_told and (not mine or not theirs or len(mine & theirs) / len(mine | theirs) < 0.15)


class Oracle:
    """The rules of docs/spec.md over one unnamed source, cycle by cycle: slow, in memory, made from that text alone.

    Whatever the config is, `members` and `window` say what is in a feed. Under the first config, `views` says everything
    that each document shows.
    """

    def __init__(self, site_id: str, site_title: str, *, views: bool = True) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)
        self._title, self._has_views, self._scanned = site_title, views, False
        self.config = Config()
        self.files: dict[str, File] = {}
        self.entries: list[Entry] = []
        self.feeds: dict[str, Feed] = {}
        self.now = LONG_AGO
        self._held: datetime | None = None

    def cycle(self, step: Step) -> None:
        """A cycle over the folder and the config of a step."""
        self.now, before, self.config = step.now, self.config, step.config
        standing = frozenset(key for key, feed in self.feeds.items() if not feed.gone) | {ALL} | _table_keys(before)
        if self.config != before:
            self._join(standing, own_times=True)
        self._scan(step)
        self._join(standing)
        self._merge()
        self._scanned = True
        if self._has_views:
            self._show_feeds()

    def _scan(self, step: Step) -> None:
        known = sum(not file.forgotten for file in self.files.values())
        self._follow_contents(step.folder)
        for path in sorted(step.folder, key=str.encode):
            self._read(path, step.folder[path])
        for path, file in self.files.items():
            if path not in step.folder and file.gone is None:
                file.gone = self.now
        self._pair_renames(lambda story: story.text())
        self._pair_renames(lambda story: story.visible)
        self._pair_links()
        self._pair_texts()
        self._let_duplicates_in()
        self._withdraw_missing(known, accept=step.accept)
        self._release()

    @property
    def rejected(self) -> int:
        """The number of files that give no record."""
        return sum(one.refused and not one.forgotten for one in self.files.values())

    def _follow_contents(self, folder: Mapping[str, Story]) -> None:
        """An entry goes with its content, or its link, to another file, if its own has clearly another record now."""
        said = {
            path: folder[path] for path in sorted(folder, key=str.encode) if self._says_something_else(path, folder)
        }
        changed = {path: self.files[path].entry for path in said if self._may_have_lost(path, said[path])}
        moves: dict[str, str] = {}
        for path, entry in changed.items():
            fits = [other for other in said if said[other].visible == entry.story.visible]
            for other in [*fits, *self._having_link(entry.story.link, said, changed.values())]:
                is_free = other in changed or not self._entry_at(other)
                is_same = len({entry.explicit_id, said[other].id} - {None}) < 2
                is_left = is_other(entry.story, said[path])
                if other != path and is_left and is_free and is_same and other not in moves.values():
                    moves[path] = other
                    break
        while spare := [path for path, other in moves.items() if other not in moves and self._entry_at(other)]:
            for path in spare:
                del moves[path]
        for path in moves:
            self.files[path].entry = None
        for path, other in moves.items():
            one = self.files.setdefault(other, File(said[other]))
            one.entry, one.forgotten = changed[path], True  # so it is read

    def _having_link(self, link: str | None, said: Mapping[str, Story], changed: Collection[Entry]) -> list[str]:
        """The file that has the link of one entry, if no other record has it."""
        paths = [path for path in said if link and said[path].link == link]
        others = [one for one in self.entries if one.story.link == link and (one.waits or one.out)]
        had = sum(one.story.link == link for one in changed)
        return paths if len(paths) == had == 1 and all(one in changed for one in others) else []

    def _says_something_else(self, path: str, folder: Mapping[str, Story]) -> bool:
        known = self.files.get(path)
        return not folder[path].trouble and (known is None or known.story != folder[path])

    def _may_have_lost(self, path: str, story: Story) -> bool:
        """Whether a file gave a record once, and now gives one with other content, and not with its id."""
        one = self.files.get(path)
        if one is None or one.entry is None or one.asked or one.forgotten:
            return False
        is_same = one.entry.story.visible == story.visible
        return not is_same and (story.id is None or story.id != one.entry.explicit_id)

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

    def _withdraw_missing(self, known: int, *, accept: bool) -> None:
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
        """docs/spec.md#release."""
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

    # membership

    def _keys(self, story: Story) -> frozenset[str]:
        """The keys of the feeds whose rule takes a story; those of the config begin with a slash."""
        return frozenset({ALL, *self.topics_of(story)}) | {
            f"/{key}" for key, table in self.config.feeds.items() if self._takes(table, story)
        }

    def topics_of(self, story: Story) -> set[str]:
        """The topics that a story is in: its own by alias, and their parents (docs/spec.md#topics-and-slugs)."""
        parents = {topic_key(child): topic_key(parent) for child, parent in self.config.parent.items()}
        found: set[str] = set()
        for name in story.topics:
            topic: str | None = self._aliased(name)
            while topic is not None and topic not in found:
                found.add(topic)
                topic = self._aliased(parents[topic]) if topic in parents else None
        return found

    def _aliased(self, name: str) -> str:
        alias = {topic_key(old): topic_key(new) for old, new in self.config.alias.items()}
        return alias.get(topic_key(name), topic_key(name))

    def _takes(self, table: dict[str, Any], story: Story) -> bool:
        """docs/spec.md#rules."""
        tests: dict[str, Callable[[str], bool]] = {
            "topics": lambda value: self._aliased(value) in self.topics_of(story),
            "type": lambda value: value == story.type,
            "provider": lambda value: f".{story.provider or ''}".casefold().endswith(f".{value}"),
            "language": lambda value: (story.locale or "en").partition("-")[0] == value,
            "text": lambda value: any(_has_phrase(text, value) for text in story.words[:2]),
        }
        for key, meets in tests.items():
            clause = {name: list(map(meets, values)) for name, values in table.get(key, {}).items()}
            if not any(clause.get("any", [True])) or not all(clause.get("all", [])) or any(clause.get("none", [])):
                return False
        return story.quality >= table.get("min_quality", -1) and story.heat >= table.get("min_heat", -1)

    def _join(self, standing: frozenset[str], *, own_times: bool = False) -> None:
        """Puts entries into the feeds that take them (docs/spec.md#joining-a-feed)."""
        for entry in self.entries:
            first, entry.member_of = not entry.joined, frozenset()
            if not entry.out:
                continue
            assert entry.released
            entry.member_of = self._keys(entry.story)
            for key in entry.member_of:
                by_date = self._table(key).get("order") == "published"
                own = entry.published if by_date and entry.published else entry.released
                if key not in entry.joined:
                    late = first or own_times or key not in standing or entry.released < self.now - LATE
                    entry.joined[key] = own if late or by_date else self.now
                elif by_date:
                    entry.joined[key] = own
                else:
                    entry.joined[key] = max(entry.joined[key], own)

    def _merge(self) -> None:
        """Of the entries with one link the first released one is in a feed that merges; the oldest of these by path."""
        for key in _table_keys(self.config):
            if self._table(key).get("duplicates") == "merge":
                links: set[str] = set()
                for entry in sorted(self._members(key), key=lambda entry: entry.released or LONG_AGO):
                    if link := entry.story.link_key:
                        entry.member_of -= {key} if link in links else set()
                        links.add(link)

    def _table(self, key: str) -> dict[str, Any]:
        return self.config.feeds.get(key.removeprefix("/"), {}) if key.startswith("/") else {}

    def key_of(self, slug: str) -> str | None:
        """The key of the feed with a slug; None if it is not known which one that is."""
        for key, table in self.config.feeds.items():
            if table["slug"] == slug:
                return f"/{key}"
        topic = next((topic for topic, its in SLUGS.items() if its == slug), None)
        return ALL if slug == "all" else topic_key(topic) if topic and topic not in self.config.alias else None

    def _members(self, key: str) -> list[Entry]:
        return [entry for entry in self.entries if key in entry.member_of]

    def members(self, slug: str) -> list[Entry] | None:
        """The entries of a feed; None if this is a feed that the oracle cannot name."""
        key = self.key_of(slug)
        return None if key is None else self._members(key)

    def window(self, slug: str) -> list[Entry]:
        """The entries that the document of a feed shows if all fit, in order (docs/spec.md#order-and-window)."""
        key = self.key_of(slug)
        return self._window(self._ranked(key), key, self.now)

    def _ranked(self, key: str) -> list[Entry]:
        return sorted(self._members(key), key=lambda entry: _rank(entry, key), reverse=True)

    def _window(self, ranked: list[Entry], key: str, at: datetime) -> list[Entry]:
        table, output = self._table(key), self.config.output
        limit = table.get("limit", output["limit"])
        if age := SPANS.get(table.get("max_age", "")):
            ranked = [entry for entry in ranked if (entry.published or entry.released or LONG_AGO) + age > at]
        if most := table.get("per_provider"):
            counts: Counter[str | None] = Counter()
            few = []
            for entry in ranked[: 20 * limit]:
                counts[entry.story.provider] += 1
                if entry.story.provider is None or counts[entry.story.provider] <= most:
                    few.append(entry)
            return few[:limit]
        beyond = ranked[limit : STAY_FACTOR * limit]
        return ranked[:limit] + [entry for entry in beyond if entry.joined[key] > at - SPANS[output["min_stay"]]]

    # what every document shows, under the first config

    def views(self) -> tuple[FeedView, ...]:
        """What every feed shows, in the order of the list of feeds."""
        views = [feed.view for feed in self.feeds.values() if feed.view and not feed.gone]
        return tuple(sorted(views, key=lambda view: (view.slug != "all", view.title.casefold(), view.slug)))

    def _show_feeds(self) -> None:
        self._make_feeds()
        for key, feed in self.feeds.items():
            self._keep_or_end(key, feed)
            if not feed.gone:
                self._show(key, feed)

    def _make_feeds(self) -> None:
        titles = {} if self.feeds else {ALL: self._title}
        out = sorted((one for one in self.entries if one.out), key=lambda one: one.path.encode())
        # an entry that was out before was released first
        out.sort(key=lambda one: not any(key in self.feeds for key in one.joined))
        for entry in out:
            for name in entry.story.topics:
                if topic_key(name) not in self.feeds:
                    titles.setdefault(topic_key(name), plain(name))
        for key in sorted(titles):
            slug = "all" if key == ALL else topic_slug(key, {feed.slug for feed in self.feeds.values()})
            self.feeds[key] = Feed(slug, titles[key], self.now, self.now)

    def _keep_or_end(self, key: str, feed: Feed) -> None:
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
        members = self._ranked(key)
        sealed = [id(one) for page in feed.pages for one in page.entries]
        left_out = [one for one in members if one not in self._window(members, key, feed.cut) and id(one) not in sealed]
        shown = self._shown(key, members, feed.cut)
        older = self._older(members, feed, self._window(members, key, feed.cut))
        if shown != feed.shown or left_out or older != feed.older:
            feed.cut = self.now
            feed.shown = shown = self._shown(key, members, self.now)
            window = self._window(members, key, self.now)
            self._seal(key, feed, [one for one in reversed(members) if id(one) not in sealed], window)
            feed.document, feed.older = window, self._older(members, feed, window)
            times = [feed.updated, *(one.updated for one in window), *(one.joined[key] for one in window)]
            feed.updated = max([*times, *(at for _, at in shown[1])])
        for page in feed.pages:
            self._show_page(key, page)
        newest = members[0].published if members else None
        pages = tuple(page.view for page in feed.pages)
        feed.view = FeedView(feed.slug, feed.title, *shown, feed.updated, len(members), newest, pages, feed.older)

    def _older(self, members: list[Entry], feed: Feed, window: list[Entry]) -> tuple[int, str, bool] | None:
        """Where the entries of the archive begin that the document does not show; whether a page begins there."""
        numbers = {id(one): number for number, page in enumerate(feed.pages, 1) for one in page.entries}
        seen = set()
        for one in members:
            number = numbers.get(id(one))
            if number and one not in window:
                return number, one.uid, number not in seen
            seen.add(number)
        return None

    def _seal(self, key: str, feed: Feed, unsealed: list[Entry], window: list[Entry]) -> None:
        """docs/spec.md#archives."""
        kept, before = [id(one) for one in window], [id(one) for one in feed.document]
        outside = [one for one in unsealed if id(one) not in kept]
        groups = [[one for one in outside if id(one) not in before]]
        if any(id(one) in before for one in outside):
            groups.append([one for one in unsealed if id(one) in before])
        for group in groups:
            for start in range(0, len(group), self.config.output["limit"]):
                entries = group[start : start + self.config.output["limit"]]
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
        items = tuple(map(self._item, self._window(members, key, at)))
        return items, tuple(tombstones[: STAY_FACTOR * self.config.output["limit"]])

    def _item(self, entry: Entry) -> Item:
        story = entry.story
        title, summary, _ = story.words
        original = story.original if story.original != story.link else None
        topics = tuple((self.feeds[topic_key(name)].slug, plain(name)) for name in story.topics)
        return Item(
            entry.uid, title, story.link, original, summary, entry.published, entry.updated, topics, story.image
        )


def _rank(entry: Entry, key: str) -> tuple[datetime, datetime, str]:
    return entry.joined[key], entry.published or LONG_AGO, entry.uid


def _table_keys(config: Config) -> frozenset[str]:
    return frozenset(f"/{key}" for key in config.feeds)


def _has_phrase(text: str, phrase: str) -> bool:
    if phrase.startswith("re:"):
        return bool(re.search(phrase.removeprefix("re:"), text, re.IGNORECASE))
    return f" {phrase} " in f" {re.sub(r'[^a-zé0-9]+', ' ', text.casefold())} "


def topic_key(name: str) -> str:
    """A topic: its name in NFC, white space collapsed, case folded."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def topic_slug(key: str, taken: Iterable[str]) -> str:
    """docs/spec.md#topics-and-slugs."""
    letters = "".join(char for char in unicodedata.normalize("NFKD", key) if char.isascii())
    slug = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()
    slug = slug or f"t-{digest[:8]}"
    return f"{slug}-{digest[:4]}" if slug in RESERVED | set(taken) else slug
