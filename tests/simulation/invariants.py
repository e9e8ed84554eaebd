"""What must be so of the published documents after every cycle, whatever happened before it."""

from __future__ import annotations

import html
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from lxml import etree
from simulation.oracle import FeedView, Item, Oracle
from simulation.world import SIZES, SLUGS, SPANS, Config, Step, Story

from aggregator.documents import ASSETS, FEED_STYLE, ROBOTS
from aggregator.render.articles import anchor_of

ATOM = "{http://www.w3.org/2005/Atom}"
BASE = "https://feeds.example.org/"
FORMATS = ("atom.xml", "rss.xml", "feed.json")
MEDIA = "{http://search.yahoo.com/mrss/}"
MOST = 9
"""Entries of the largest archive page."""
TOMBSTONE = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
View = tuple[Any, ...]


# documents as a reader sees them


@dataclass(frozen=True)
class Document:
    """An Atom document: its entries as (id, title, updated), and where its links lead as paths."""

    entries: tuple[tuple[str, str, str], ...]
    links: dict[str, str]

    @property
    def ids(self) -> list[str]:
        return [one[0] for one in self.entries]

    @property
    def tokens(self) -> list[str]:
        return [title.rpartition(" ")[2] for _, title, _ in self.entries]


@lru_cache(maxsize=1000)
def read(body: bytes) -> Document:
    """A document of a feed or a page of its archive."""
    root = etree.fromstring(body)
    tags = [f"{ATOM}{name}" for name in ("id", "title", "updated")]
    entries = (tuple(one.findtext(tag) or "" for tag in tags) for one in root.iterfind(f"{ATOM}entry"))
    links = {one.get("rel", ""): one.get("href", "").removeprefix(BASE) for one in root.iterfind(f"{ATOM}link")}
    return Document(tuple((uid, title, updated) for uid, title, updated in entries), links)


@lru_cache(maxsize=1000)
def ids_in(path: str, body: bytes) -> list[str]:
    """The ids of a document of any format, in the order shown."""
    if path.endswith(".json"):
        return [item["id"] for item in json.loads(body)["items"]]
    return (
        [one.text or "" for one in etree.fromstring(body).iter("guid")] if path.endswith("rss.xml") else read(body).ids
    )


def looks(body: bytes, *, with_topics: bool = True) -> bytes:
    """The time and the entries of a page, less what other feeds decide: the slugs of topics are the terms of categories."""
    head, _, entries = body.partition(b"<entry")
    time = head[head.find(b"<updated>") : head.find(b"</updated>")]
    entries = re.sub(rb'<category term="[^"]*"', b"<category", entries)
    return time + (entries if with_topics else re.sub(rb'<category scheme="[^"]*#topic"[^>]*>', b"", entries))


class Subscriber:
    """Polls a feed now and then, reads the archive pages that are new to it, and forgets what a tombstone names."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.pages: set[str] = set()

    def poll(self, documents: dict[str, bytes], slug: str) -> None:
        path: str | None = f"{slug}/atom.xml"
        gone: set[str] = set()
        while path and path not in self.pages:
            self.known |= set(read(documents[path]).ids)
            gone |= {stone.get("ref", "") for stone in etree.fromstring(documents[path]).iter(TOMBSTONE)}
            if "/archive/" in path:
                self.pages.add(path)
            path = read(documents[path]).links.get("prev-archive")
        self.known -= gone

    def check(self, oracle: Oracle) -> None:
        """No entry is missed. One that came back may be in a page that was read before."""
        entries = oracle.members("all") or []
        missed = {entry.uid for entry in entries if entry.returned is None} - self.known
        assert not missed
        assert self.known <= {entry.uid for entry in entries}


# after each cycle, whatever the config is


@dataclass
class Page:
    """An archive page as it was last seen, and what may have changed in it since."""

    body: bytes | None
    tokens: set[str]
    members: set[str]
    is_newest: bool = False
    changed: set[str] = field(default_factory=set)
    restyled: bool = False


class Watch:
    """What the public saw of a site until now; `check` compares it with what is published after a whole cycle."""

    def __init__(self, oracle: Oracle, *, exact: bool) -> None:
        self.oracle, self.exact = oracle, exact
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.updated: dict[str, str] = {}
        self.pages: dict[str, Page] = {}
        self.empty: dict[str, datetime] = {}
        self.topics: set[str] = set()
        self.had: set[str] = set()
        self.uncertain: set[str] = set()  # feeds with another order: removed once, or made by a cycle that was stopped
        self.stories: dict[str, tuple[str, Story]] = {}
        self.places: dict[str, str] = {}  # where the file of a token was last
        self.config = Config()
        self.links: dict[str, set[str | None]] = defaultdict(set)  # all that a token ever had
        self.due: set[str] = set()
        self.retold: set[str] = set()  # tokens whose text may differ from what was seen
        self.renewed: set[str] = set()  # tokens that may get another id
        self.led_away: set[str] = set()  # slugs that once led to another feed: a topic may have got another for that
        self.whole = True
        self._begin()

    def _begin(self) -> None:
        self.shown: set[str] = set()  # tokens that may look different since the last whole cycle
        self.written: set[str] = set()
        self.moved: set[str] = set()
        self.restyled = False  # any page may look different

    def note(self, step: Step) -> None:
        """Notes what a step changes, before the cycle that may see it."""
        stories = {story.token: (path, story) for path, story in step.folder.items()}
        for token in self.stories.keys() | stories.keys():
            before, after = self.stories.get(token), stories.get(token)
            if before is None or after is None or before[1].published != after[1].published:
                self._change(token, retold=True)
            elif before[1].visible != after[1].visible:
                self._change(token, retold=before[1].words != after[1].words)
            if before and after and before[0] != after[0]:
                self.moved.add(token)
            if before is None or after is None or before[1] != after[1]:
                self.written.add(token)
            if after and before is None and self.places.get(token, after[0]) != after[0]:
                self.renewed.add(token)  # deleted, and back under another name
            if after:
                self.places[token] = after[0]
                self.links[token].add(after[1].link_key)
                if after[1].date and after[1].date <= step.now and token not in self.due:
                    self.due.add(token)
                    self._change(token, retold=True)
        # a file with another name and other bytes is another record
        self.renewed |= self.written & self.moved
        self.led_away |= step.config.moved().keys()
        self._note_config(step.config)
        self.stories = stories

    def _change(self, token: str, *, retold: bool) -> None:
        self.shown.add(token)
        self.retold |= {token} if retold else set()

    def _note_config(self, config: Config) -> None:
        before = self.config
        self.restyled |= (config.feeds, config.alias, config.parent) != (before.feeds, before.alias, before.parent)
        self.uncertain |= before.feeds.keys() - config.feeds.keys()
        for key, table in config.feeds.items():
            if key in before.feeds and table["slug"] != before.feeds[key]["slug"]:
                self._move_pages(before.feeds[key]["slug"], table["slug"])
        self.config = config

    def check(self, documents: dict[str, bytes]) -> None:
        """Everything that must be so after a whole cycle of the site and of the oracle."""
        for page in self.pages.values():
            page.changed |= self.shown
            page.restyled |= self.restyled
        seen: dict[str, str] = {}
        slugs = {path.split("/")[0] for path in documents if path.endswith("/atom.xml")}
        moved = self.config.moved()
        if self.config.alias and not self.config.table("rail"):
            moved["rail"] = "ai"
        unknown = {"rail"} if moved.get("rail") == "ai" and self.led_away & {"ai", "rail"} else set()
        missing = self._wanted() - slugs - moved.keys()
        assert not missing, f"{missing}: {self.config.text()}"
        self._check_topics(slugs)
        for slug in sorted(slugs - unknown):
            if slug in moved:
                assert _under(documents, slug) == _under(documents, moved[slug])
            else:
                self._check_feed(documents, slug, seen)
        self.updated |= seen
        self.retold -= {self.tokens[uid] for uid in seen}
        self.whole = True
        self._begin()

    def members(self, slug: str) -> set[str] | None:
        """The tokens of the entries of a feed, if it is known which these are."""
        if slug in self.led_away and not self.config.table(slug):
            return None
        entries = self.oracle.members(slug)
        return None if entries is None else {entry.story.token for entry in entries}

    def _wanted(self) -> set[str]:
        """The slugs that must be there."""
        wanted = {"all", *(table["slug"] for table in self.config.feeds.values())}
        if self.config.topics["auto"]:
            least, enough = self.config.topics["min_entries"], self.config.topics["max_feeds"] < len(SLUGS)
            wanted |= {
                slug
                for slug in self._own_slugs()
                if len(self.members(slug) or ()) >= least and (slug in self.topics or not enough)
            }
        return wanted

    def _own_slugs(self) -> set[str]:
        """The slugs that are known to be those of topics."""
        slugs = {slug for topic, slug in SLUGS.items() if slug and topic not in self.config.alias}
        return {slug for slug in slugs - self.led_away if not self.config.table(slug)}

    def _check_topics(self, slugs: set[str]) -> None:
        """The feed of a topic without entries ends in time, and there are no more of them than may be."""
        own, topics = self._own_slugs(), self.config.topics
        self.empty = {slug: since for slug, since in self.empty.items() if slug in own}
        for slug in own:
            if slug not in slugs or self.members(slug):
                self.empty.pop(slug, None)
            elif topics["auto"]:
                now = self.oracle.now
                assert now - self.empty.setdefault(slug, now) < SPANS[topics["keep_empty"]], slug
        self.topics = slugs & own
        came = self.topics - self.had
        assert not came or len(self.topics) <= topics["max_feeds"] or not self.whole, came
        self.had |= self.topics

    def _check_feed(self, documents: dict[str, bytes], slug: str, seen: dict[str, str]) -> None:
        ids, *others = [ids_in(path, documents[path]) for path in (f"{slug}/{name}" for name in FORMATS)]
        assert others == [ids, ids], slug
        most = self._max_bytes
        assert not ids or max(len(documents[f"{slug}/{name}"]) for name in FORMATS) <= most, slug
        chain = _chain(documents, slug)
        archive = sorted(_under(documents, f"{slug}/archive", whole=True), reverse=True)
        assert chain[1:] == [path for path in archive if path.endswith(".xml")], slug
        lists = [path.replace(".xml", ".html") for path in chain[1:]]
        assert [path for path in archive if path.endswith(".html")] == (
            [f"{slug}/archive/index.html", *lists] if lists else []
        )
        _check_older(documents, slug, ids, lists)
        found: dict[str, str] = {}
        for path in chain:
            for uid, title, updated in read(documents[path]).entries:
                self._check_entry(uid, title, updated, path)
                assert seen.setdefault(uid, updated) == updated, f"{title} in {path}"
                found[uid] = self.tokens[uid]
        assert len(set(found.values())) == len(found), f"one record has two ids in {slug}"
        self._check_members(slug, set(found.values()))
        self._check_window(slug, read(documents[f"{slug}/atom.xml"]).tokens)
        for path in chain[1:]:
            self._check_page(path, documents[path], self.members(slug) or set(), slug, is_newest=path == chain[1])

    @property
    def _max_bytes(self) -> int:
        return SIZES[self.config.output.get("max_bytes", "1MB")]

    @property
    def _has_archives(self) -> bool:
        return bool(self.config.output.get("archive", True))

    def _check_entry(self, uid: str, title: str, updated: str, path: str) -> None:
        """The id is that of one record for good, the title the newest, and the time moved only with the text."""
        token = self.tokens.setdefault(uid, title.rpartition(" ")[2])
        assert self.stories[token][1].words[0] == title, f"{title} in {path}"
        assert self.ids.setdefault(token, uid) == uid or token in self.renewed, f"{title} has a new id"
        self.ids[token] = uid
        assert self.updated.get(uid, updated) == updated or token in self.retold, f"{title} is updated in {path}"

    def _check_members(self, slug: str, found: set[str]) -> None:
        members = self.members(slug)
        if members is None:
            return
        if self.config.table(slug).get("duplicates") == "merge" and not self.exact:
            # which of them was released first depends on the cycle that was stopped
            links = Counter(self.stories[token][1].link_key for token in found)
            assert max(links.values(), default=0) < 2 or not self._has_archives, slug
            found = members if len(links) == len(members) else found
        assert found == members if self._has_archives else found <= members, (
            f"{slug}: missing {sorted(members - found)}, too many {sorted(found - members)}"
        )

    def _check_window(self, slug: str, tokens: list[str]) -> None:
        """The document shows what is young enough, of no provider too much, in the order asked for."""
        table, records = self.config.table(slug), [self.stories[token][1] for token in tokens]
        if age := SPANS.get(table.get("max_age", "")):
            assert all(story.date and story.date + age > self.oracle.now for story in records), slug
        if most := table.get("per_provider"):
            counts = Counter(story.provider for story in records if story.provider)
            assert max(counts.values(), default=0) <= most, slug
        if table.get("order") == "published":
            dates = [story.date for story in records if story.date]
            assert dates == sorted(dates, reverse=True), slug
        key = self.oracle.key_of(slug)
        if self.exact and (slug == "all" or table) and str(key).removeprefix("/") not in self.uncertain:
            assert tokens == [entry.story.token for entry in self.oracle.window(slug)], slug

    def _check_page(self, path: str, body: bytes, members: set[str], slug: str, *, is_newest: bool) -> None:
        """A page is small enough when it is new, and written again only for what changed in it, or because it is the
        newest no longer: then it shows topics by the aliases that there are now."""
        tokens = set(read(body).tokens)
        assert len(tokens) <= MOST, path
        before = self.pages.get(path)
        if before is None:
            most = self._max_bytes
            assert len(body) <= most or len(tokens) == 1 or not self.whole, f"{path} has {len(body)} bytes"
        elif before.body is not None and not before.restyled and self._differ(before, body, is_newest=is_newest):
            allowed = before.changed | (before.members ^ members)
            if self.config.table(slug).get("duplicates") == "merge":
                links = set().union(*(self.links[token] for token in allowed))
                allowed = {token for token, its in self.links.items() if its & links}
            assert (tokens | before.tokens) & allowed, f"{path} was written again for nothing"
        self.pages[path] = Page(body, tokens, members, is_newest)

    def _differ(self, before: Page, body: bytes, *, is_newest: bool) -> bool:
        with_topics = before.is_newest == is_newest
        return looks(before.body or b"", with_topics=with_topics) != looks(body, with_topics=with_topics)

    def _move_pages(self, old: str, new: str) -> None:
        """The pages of a feed that moved are those of its new slug; their links are not what they were."""
        pages = {path: page for path, page in self.pages.items() if not path.startswith(f"{new}/")}
        self.pages = pages | {
            f"{new}/{path.removeprefix(f'{old}/')}": Page(None, page.tokens, page.members)
            for path, page in self.pages.items()
            if path.startswith(f"{old}/")
        }


def _under(documents: dict[str, bytes], slug: str, *, whole: bool = False) -> dict[str, bytes]:
    """The documents of a feed, by their paths below its slug, or `whole` ones."""
    start = f"{slug}/"
    return {
        path if whole else path.removeprefix(start): one for path, one in documents.items() if path.startswith(start)
    }


def _check_older(documents: dict[str, bytes], slug: str, ids: list[str], lists: list[str]) -> None:
    """On the page of a feed, "Older stories" leads to an entry that is not there, below others that are."""
    links = re.findall(
        f'href="../{slug}/archive/([0-9]+[.]html)?(?:#([^"]+))?"', documents[f"{slug}/index.html"].decode()
    )
    archived = {path: read(documents[path.replace(".html", ".xml")]).ids for path in lists}
    unseen = {uid for page in archived.values() for uid in page} - set(ids)
    assert len(links) == bool(unseen), slug
    for name, anchor in links:
        page = archived[f"{slug}/archive/{name}" if name else lists[0]]
        first = next(place for place, uid in enumerate(page) if uid in unseen)
        assert anchor == (anchor_of(page[first]) if first else ""), slug


def _chain(documents: dict[str, bytes], slug: str) -> list[str]:
    """The paths of a feed's document and of the pages that it leads to; every link leads somewhere."""
    path: str | None = f"{slug}/atom.xml"
    found: list[str] = []
    while path:
        links = read(documents[path]).links
        assert links["self"] == path
        assert not found or links["current"] == found[0]
        found.append(path)
        path = links.get("prev-archive")
    rss = etree.fromstring(documents[f"{slug}/rss.xml"])[0].iterfind(f"{ATOM}link")
    previous = [one.get("href").removeprefix(BASE) for one in rss if one.get("rel") == "prev-archive"]
    assert previous == found[1:2], slug
    return found


# every document in full


def difference(seen: View, view: View) -> str:
    """The first part of a view that is not what it must be."""
    for name, ours, theirs in (("seen", seen, view), ("missing", view, seen)):
        flat = [part for one in theirs for part in (one if isinstance(one, tuple) else (one,))]
        for one in ours:
            for part in one if isinstance(one, tuple) else (one,):
                if part not in flat:
                    return f"  {name}: {part}\n  seen:     {_short(seen)}\n  expected: {_short(view)}"
    return f"  another order\n  seen:     {_short(seen)}\n  expected: {_short(view)}"


def _short(view: View) -> list[Any]:
    """A view with its entries as ids and titles."""
    shorten = lambda one: (one[0][-6:], one[1]) if isinstance(one, tuple) else one  # noqa: E731
    return [[shorten(one) for one in part] if isinstance(part, tuple) else part for part in view]


def _reader_title(feed: FeedView) -> str:
    """The title of a feed in readers, by the default of `site.feed_title`."""
    return feed.title if feed.title == "Feeds" else f"{feed.title} – Feeds"


def views_of(feeds: tuple[FeedView, ...]) -> dict[str, View]:
    """What each file of the output folder says to a reader."""
    views: dict[str, View] = {"opml.xml": tuple((feed.slug, _reader_title(feed)) for feed in feeds)}
    views |= dict.fromkeys((*ASSETS, FEED_STYLE, ROBOTS), ())
    views["sitemap.xml"] = tuple(feed.slug for feed in feeds)
    views["index.html"] = tuple((feed.slug, feed.title, feed.size, feed.newest) for feed in feeds)
    for feed in feeds:
        views[f"{feed.slug}/feed.json"] = _json_view(feed)
        views[f"{feed.slug}/atom.xml"] = _atom_view(feed)
        views[f"{feed.slug}/rss.xml"] = _rss_view(feed)
        views[f"{feed.slug}/index.html"] = _page_view(feed)
        for number, page in enumerate(feed.pages, 1):
            items = tuple(map(_atom_item, page.items))
            archive, is_newest = f"{feed.slug}/archive", number == len(feed.pages)
            views[f"{archive}/{number:04}.xml"] = _reader_title(feed), page.updated, items, (), number - 1
            lines = tuple((one.title, one.link, one.published) for one in page.items)
            views[f"{archive}/{number:04}.html"] = _reader_title(feed), lines, number, is_newest
            if is_newest:
                views[f"{archive}/index.html"] = _reader_title(feed), lines, number
    return views


def _json_view(feed: FeedView) -> View:
    return _reader_title(feed), tuple(
        (
            one.id,
            one.title,
            one.link,
            one.summary,
            one.published,
            one.updated,
            _names(one.topics),
            one.image,
            one.original,
        )
        for one in feed.items
    )


def _atom_view(feed: FeedView) -> View:
    return _reader_title(feed), feed.updated, tuple(map(_atom_item, feed.items)), feed.withdrawn, len(feed.pages)


def _atom_item(one: Item) -> View:
    return one.id, one.title, one.link, one.summary, one.published, one.updated, one.topics, one.image, one.original


def _rss_view(feed: FeedView) -> View:
    items = tuple(
        (one.id, one.title, one.link, one.summary, one.published, one.updated, _names(one.topics), one.image)
        for one in feed.items
    )
    return _reader_title(feed), feed.updated, items, len(feed.pages)


def _page_view(feed: FeedView) -> View:
    items = tuple((one.title, one.link, one.summary, one.published, one.topics, one.image) for one in feed.items)
    older = None
    if feed.older:
        number, uid, is_first = feed.older
        older = "" if number == len(feed.pages) else number, "" if is_first else uid
    return feed.title, feed.updated, items, older


def _names(topics: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(name for _, name in topics)


def read_view(path: str, body: bytes) -> View | None:
    """The view of a file as it was written; None for a page."""
    readers = {"feed.json": _read_json, "atom.xml": _read_atom, "rss.xml": _read_rss, "opml.xml": _read_opml}
    reader = _read_atom if "/archive/" in path and path.endswith(".xml") else readers.get(Path(path).name)
    return reader(body) if reader else None


def _read_json(body: bytes) -> View:
    feed = json.loads(body)
    return feed["title"], tuple(
        (
            one["id"],
            one["title"],
            one.get("url"),
            one.get("summary", ""),
            _moment(one.get("date_published")),
            _moment(one.get("date_modified") or one.get("date_published")),
            tuple(one.get("tags", ())),
            one.get("image"),
            one.get("_aggregator", {}).get("original_url"),
        )
        for one in feed["items"]
    )


def _read_atom(body: bytes) -> View:
    feed = etree.fromstring(body)
    tombstones = tuple((one.get("ref"), _moment(one.get("when"))) for one in feed.iter(TOMBSTONE))
    items = tuple(map(_read_atom_entry, feed.iter(f"{ATOM}entry")))
    updated = _moment(feed.findtext(f"{ATOM}updated"))
    return feed.findtext(f"{ATOM}title"), updated, items, tombstones, _previous(feed)


def _previous(parent: Any) -> int:
    """The number of the archive page that a document points back to; 0 is none."""
    links = {link.get("rel"): link.get("href") for link in parent.findall(f"{ATOM}link")}
    assert "next-archive" not in links
    return int(links["prev-archive"].rpartition("/")[2].removesuffix(".xml")) if "prev-archive" in links else 0


def _read_atom_entry(entry: Any) -> View:
    links = {link.get("rel"): link.get("href") for link in entry.iter(f"{ATOM}link")}
    assert links.get("alternate") or entry.find(f"{ATOM}content") is not None
    return (
        entry.findtext(f"{ATOM}id"),
        entry.findtext(f"{ATOM}title"),
        links.get("alternate"),
        entry.findtext(f"{ATOM}summary", ""),
        _moment(entry.findtext(f"{ATOM}published")),
        _moment(entry.findtext(f"{ATOM}updated")),
        tuple((one.get("term"), one.get("label")) for one in entry.iter(f"{ATOM}category")),
        _image(entry),
        links.get("via"),
    )


def _read_rss(body: bytes) -> View:
    channel = etree.fromstring(body)[0]
    built = parsedate_to_datetime(channel.findtext("lastBuildDate"))
    return channel.findtext("title"), built, tuple(map(_read_rss_item, channel.iter("item"))), _previous(channel)


def _read_rss_item(item: Any) -> View:
    published = item.findtext("pubDate")
    return (
        item.findtext("guid"),
        item.findtext("title"),
        item.findtext("link"),
        html.unescape(item.findtext("description", "")),
        parsedate_to_datetime(published) if published else None,
        _moment(item.findtext(f"{ATOM}updated")),
        tuple(one.text for one in item.iter("category")),
        _image(item),
    )


def _image(parent: Any) -> str | None:
    found = parent.find(f"{MEDIA}content")
    return None if found is None else str(found.get("url"))


def _read_opml(body: bytes) -> View:
    outlines = etree.fromstring(body).iter("outline")
    return tuple((one.get("xmlUrl").removeprefix(BASE).removesuffix("/rss.xml"), one.get("text")) for one in outlines)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
