"""Random histories: after every cycle each feed, as its files tell, holds what a reading of our own says, and no more
was written than that took."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

import pytest
from conftest import SiteFolder
from histories import DAY, LIMITS, SIZES, SPANS, TOPICS, History
from lxml import etree
from sqlalchemy import select

from aggregator.errors import StoppedError
from aggregator.feeds import archives
from aggregator.store.schema import EntryState, entry

SEED = int(os.environ.get("HISTORY_SEED", "1"))  # another number, other histories by the same rules
STEPS = 30
ATOM = "{http://www.w3.org/2005/Atom}"
BASE = "https://feeds.example.org/"
FORMATS = ("atom.xml", "rss.xml", "feed.json")


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
        return [title.split()[0] for _, title, _ in self.entries]


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


def looks(body: bytes) -> bytes:
    """The time and the entries of a page, less what other feeds decide: the slugs of topics are the terms of categories."""
    head, _, entries = body.partition(b"<entry")
    time = head[head.find(b"<updated>") : head.find(b"</updated>")]
    return time + re.sub(rb'<category term="[^"]*"', b"<category", entries)


@dataclass
class Page:
    """An archive page as it was last seen, and what may have changed in it since."""

    body: bytes | None
    tokens: set[str]
    members: set[str]
    changed: set[str] = field(default_factory=set)
    relooked: bool = False


class Watch:
    """What the public saw of a history until now, held against it after each whole cycle."""

    def __init__(self, history: History) -> None:
        self.history, self.site = history, history.site
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.updated: dict[str, str] = {}
        self.retold: set[str] = set()
        self.pages: dict[str, Page] = {}
        self.empty: dict[str, datetime] = {}
        self.topics: set[str] = set()
        self.had: set[str] = set()
        self.whole = True

    def check(self, documents: dict[str, bytes]) -> None:
        """Everything that must be so after a whole cycle."""
        history = self.history
        self._move_pages()
        for page in self.pages.values():
            page.changed |= history.shown
            page.relooked |= history.relooked
        self.retold |= history.retold
        seen: dict[str, str] = {}
        slugs = {path.split("/")[0] for path in documents if path.endswith("/atom.xml")}
        moved = {old: table["slug"] for table in history.feeds.values() for old in table.get("moved_from", [])}
        if history.alias and not history.table("rail"):
            moved["rail"] = "ai"
        assert self._wanted() <= slugs | moved.keys()
        self._check_topics(slugs)
        for slug in sorted(slugs):
            if slug in moved:
                assert _under(documents, slug) == _under(documents, moved[slug])
            else:
                self._check_feed(documents, slug, seen)
        self.updated |= seen
        self.retold -= {self.tokens[uid] for uid in seen}
        self.whole = True
        history.begin()

    def _wanted(self) -> set[str]:
        """The slugs that must be there."""
        history = self.history
        wanted = {"all", *(table["slug"] for table in history.feeds.values())}
        if history.topics["auto"]:
            out = [history.records[token] for token in history.members("all") or ()]
            sizes = Counter(topic for one in out for topic in history.topics_of(one))
            least, enough = history.topics["min_entries"], history.topics["max_feeds"] < len(TOPICS)
            wanted |= {
                slug
                for topic, slug in history.slugs().items()
                if sizes[topic] >= least and (slug in self.topics or not enough)
            }
        return wanted

    def _check_topics(self, slugs: set[str]) -> None:
        """The feed of a topic that has had no entry for long is gone, and no more than the most have one."""
        history = self.history
        own = {slug for slug in history.slugs().values() if not history.table(slug)}
        keep = SPANS[history.topics["keep_empty"]]
        self.empty = {slug: since for slug, since in self.empty.items() if slug in own}
        for slug in own:
            if slug not in slugs or history.members(slug):
                self.empty.pop(slug, None)
            elif history.topics["auto"]:
                assert history.now - self.empty.setdefault(slug, history.now) < keep, slug
        self.topics = slugs & own
        came = self.topics - self.had
        assert not came or len(self.topics) <= history.topics["max_feeds"] or not self.whole, came
        self.had |= self.topics

    def _check_feed(self, documents: dict[str, bytes], slug: str, seen: dict[str, str]) -> None:
        ids, *others = [ids_in(path, documents[path]) for path in (f"{slug}/{name}" for name in FORMATS)]
        assert others == [ids, ids], slug
        most = SIZES[self.history.output["max_bytes"]]
        assert not ids or max(len(documents[f"{slug}/{name}"]) for name in FORMATS) <= most, slug
        chain = _chain(documents, slug)
        assert chain[1:] == sorted(_under(documents, f"{slug}/archive", whole=True), reverse=True), slug
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
            self._check_page(path, documents[path], self.history.members(slug) or set(), slug)

    def _check_entry(self, uid: str, title: str, updated: str, path: str) -> None:
        """The id is this record's for good, the title the newest, and the time moved only with the text."""
        token = self.tokens.setdefault(uid, title.split()[0])
        assert self.history.records[token].title == title, f"{title} in {path}"
        assert self.ids.setdefault(token, uid) == uid or token in self.history.renewed, f"{title} has a new id"
        self.ids[token] = uid
        assert self.updated.get(uid, updated) == updated or token in self.retold, f"{title} is updated in {path}"

    def _check_members(self, slug: str, found: set[str]) -> None:
        members = self.history.members(slug)
        if members is None:
            return
        if self.history.table(slug).get("duplicates") == "merge":
            members = self._first_of_each_story(members)
        assert found == members if self.history.output["archive"] else found <= members, (
            f"{slug}: missing {sorted(members - found)}, too many {sorted(found - members)}"
        )

    def _first_of_each_story(self, tokens: set[str]) -> set[str]:
        """Of those with one link the first released: when that was says the store alone."""
        released = (
            select(entry.c.path).where(entry.c.state == EntryState.PUBLISHED).order_by(entry.c.released_at, entry.c.id)
        )
        with self.site.store.read() as connection:
            order = {path: place for place, path in enumerate(connection.scalars(released))}
        first: dict[str, str] = {}
        for token in sorted(tokens, key=lambda token: order[self.history.records[token].path]):
            first.setdefault(self.history.records[token].story, token)
        return set(first.values())

    def _check_window(self, slug: str, tokens: list[str]) -> None:
        """The document shows what is young enough, of no provider too much, in the order asked for."""
        table, records = self.history.table(slug), [self.history.records[token] for token in tokens]
        if age := table.get("max_age"):
            assert all(one.date + int(age[:-1]) * DAY > self.history.now for one in records), slug
        if most := table.get("per_provider"):
            assert all(count <= most for name, count in Counter(one.provider for one in records).items() if name), slug
        if table.get("order") == "published":
            assert [one.date for one in records] == sorted((one.date for one in records), reverse=True), slug

    def _check_page(self, path: str, body: bytes, members: set[str], slug: str) -> None:
        """A page is small enough when it is new, and written again only for what changed in it."""
        tokens = set(read(body).tokens)
        assert len(tokens) <= max(LIMITS), path
        before = self.pages.get(path)
        if before is None:
            most = SIZES[self.history.output["max_bytes"]]
            assert len(body) <= most or len(tokens) == 1 or not self.whole, f"{path} has {len(body)} bytes"
        elif before.body is not None and looks(before.body) != looks(body) and not before.relooked:
            allowed = before.changed | (before.members ^ members)
            if self.history.table(slug).get("duplicates") == "merge":
                allowed = self.history.kin(allowed)
            assert (tokens | before.tokens) & allowed, f"{path} was written again for nothing"
        self.pages[path] = Page(body, tokens, members)

    def _move_pages(self) -> None:
        """The pages of a feed that moved are those of its new slug; their links are not what they were."""
        for old, new in self.history.moves:
            self.pages = {path: page for path, page in self.pages.items() if not path.startswith(f"{new}/")}
            self.pages |= {
                f"{new}/{path.removeprefix(f'{old}/')}": Page(None, page.tokens, page.members)
                for path, page in self.pages.items()
                if path.startswith(f"{old}/")
            }
        self.history.moves.clear()


def _under(documents: dict[str, bytes], slug: str, *, whole: bool = False) -> dict[str, bytes]:
    """The documents of a feed, by their paths below its slug, or `whole` ones."""
    start = f"{slug}/"
    return {
        path if whole else path.removeprefix(start): one for path, one in documents.items() if path.startswith(start)
    }


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


class Chronicle:
    """Plays a history with all that goes wrong around it: stops, restarts, a folder that is deleted."""

    def __init__(self, site: SiteFolder, seed: int) -> None:
        self.site, self.random = site, random.Random(-seed)
        self.history = History(site, seed)
        self.watch = Watch(self.history)

    def step(self) -> None:
        """Some changes, then a cycle; one that is stopped is followed by another, or by more changes."""
        history, chance = self.history, self.random
        history.now += timedelta(minutes=chance.choice((1, 5, 60, 600, 3000)))
        history.change_records()
        if chance.random() < 0.2:
            history.change_config()
        if chance.random() < 0.1:
            self.site.close()
        if chance.random() < 0.06:
            shutil.rmtree(self.site.output, ignore_errors=True)
        if chance.random() < 0.15 and self._stops(chance.choice((1, 2, 3, 5, 8, 12, 20, 40))):
            self.watch.whole = False
            if chance.random() < 0.4:
                return
            history.now += timedelta(minutes=1)
        self._run()
        self.watch.check(self.site.documents())
        if chance.random() < 0.3 and not self.watch.empty:
            self._wait()
        if chance.random() < 0.08:
            self._heal()

    def _run(self) -> None:
        self.history.come_due()
        result = self.site.run(self.history.now)
        assert result.published
        assert not result.problems

    def _stops(self, checks: int) -> bool:
        """Whether a cycle came to so many questions if it is to stop; it then published nothing."""
        before, left = self.site.documents(), iter(range(checks))

        def check_stop() -> None:
            if next(left, None) is None:
                raise StoppedError("stopped")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.site.pipeline, "check_stop", check_stop)
            try:
                self.history.come_due()
                self.site.run(self.history.now)
            except StoppedError:
                assert self.site.documents() == before
                return True
        return False

    def _wait(self) -> None:
        """Time alone writes nothing until something is due."""
        history = self.history
        later = history.now + timedelta(minutes=self.random.choice((1, 1000, 50_000)))
        due = history.next_due()
        history.now = max(history.now, min(later, due - timedelta(seconds=1)) if due else later)
        before = self.site.snapshot()
        assert self.site.run(history.now).files_written == 0
        assert self.site.snapshot() == before

    def _heal(self) -> None:
        """A folder that is gone is written again as it was."""
        before = self.site.documents()
        shutil.rmtree(self.site.output)
        self._run()
        after = self.site.documents()
        assert after.keys() == before.keys()
        assert [path for path in after if "/archive/" not in path and after[path] != before[path]] == []
        for path, page in self.watch.pages.items():
            page.body = after.get(path)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_any_history_loses_nothing_and_writes_no_page_without_a_reason(
    seed: int, site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no test pulls the plug, and half the time would go there
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(archives, "MAX_SEALED", (12, 25, 5000)[seed % 3])
    chronicle = Chronicle(site, seed)
    for _ in range(STEPS):
        chronicle.step()
