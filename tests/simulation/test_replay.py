"""Two hundred cycles over a folder that lives like a real one, held against the field map after each."""

from __future__ import annotations

import hashlib
import html
import json
import os
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import BACKENDS, SITE_ID, SiteFolder
from lxml import etree
from simulation.replay import CONFIG, FeedView, Item, Reading, Step, make_history

SEED = int(os.environ.get("REPLAY_SEED", "2023"))  # another number, another history by the same rules
CYCLES = 200
RESTART_EACH = 25
BASE = "https://feeds.example.org/"
ATOM = "{http://www.w3.org/2005/Atom}"
MEDIA = "{http://search.yahoo.com/mrss/}"
TOMBSTONE = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
Snapshot = dict[str, tuple[bytes, int]]
View = tuple[Any, ...]


@cache
def expected() -> tuple[tuple[tuple[Step, tuple[FeedView, ...], int], ...], frozenset[str]]:
    """Each step with what every feed shows after it and how many files are rejected; the tokens with several ids."""
    steps, reused = make_history(SEED, CYCLES)
    reading = Reading(SITE_ID, "Feeds")
    return tuple(
        (step, reading.cycle(step.now, step.folder, accept=step.accept), reading.rejected) for step in steps
    ), reused


@pytest.fixture(scope="session")
def replayed(
    make_store_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[str, ...]]:
    """Plays the history on a kind of database, once a session; a digest of what the public saw after every cycle."""

    @cache
    def play(backend: str) -> tuple[str, ...]:
        site = SiteFolder(tmp_path_factory.mktemp("replay") / "site", make_store_url(backend), CONFIG)
        with pytest.MonkeyPatch.context() as patch:
            # no test pulls the plug, and half the time would go there
            patch.setattr(os, "fsync", lambda _: None)
            patch.setattr(os, "sync", lambda: None)
            try:
                return Replay(site).play()
            finally:
                site.close()

    return play


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cycle_shows_what_the_field_map_says_and_touches_nothing_else(
    backend: str, replayed: Callable[[str], tuple[str, ...]]
) -> None:
    assert len(replayed(backend)) == CYCLES


def test_both_databases_give_the_same_bytes_after_every_cycle(replayed: Callable[[str], tuple[str, ...]]) -> None:
    ours, theirs = map(replayed, BACKENDS)
    assert [number for number in range(CYCLES) if ours[number] != theirs[number]] == []


def test_the_history_has_the_shape_of_a_real_year() -> None:
    steps, _ = expected()
    views = [feeds for _, feeds, _ in steps]
    unchanged = sum(before == after for before, after in pairwise(views))
    assert unchanged > CYCLES / 3
    assert sum(bool(step.writes) for step, _, _ in steps) > CYCLES * 2 / 3
    assert max(len(feed.items) for feeds in views for feed in feeds) == 32
    assert any(feed.withdrawn for feed in views[-1])
    assert len(views[-1]) >= 8
    assert max(len(feed.pages) for feed in views[-1]) > 10
    assert sum(rejected > 0 for _, _, rejected in steps) > 10


class Replay:
    """One run of the history over one site, checked after each cycle."""

    def __init__(self, site: SiteFolder) -> None:
        self.site = site
        self.before: Snapshot = {}
        self.views: dict[str, View] = {}
        self.tokens: dict[str, set[str]] = defaultdict(set)
        self.ids: dict[str, set[str]] = defaultdict(set)

    def play(self) -> tuple[str, ...]:
        digests = []
        steps, reused = expected()
        for number, (step, feeds, rejected) in enumerate(steps):
            if number % RESTART_EACH == RESTART_EACH - 1:
                self.site.close()
            where = f"cycle {number} at {step.now:%Y-%m-%d %H:%M} ({step.what})"
            self._change_files(step)
            result = self.site.run(step.now, accept_removals=step.accept)
            assert result.published, f"{where}: {result.problems}"
            assert (result.scanned, result.rejected) == (len(step.folder), rejected), where
            after = self.site.snapshot()
            self._check(where, feeds, after)
            self._check_ids(where, reused)
            digests.append(_digest(after))
        return tuple(digests)

    def _change_files(self, step: Step) -> None:
        self.site.remove(*step.deletes)
        mtime_ns = int(step.now.timestamp()) * 10**9
        for path, story in step.writes.items():
            self.site.write(path, story.text(), mtime_ns=mtime_ns)
        for path in step.touches:
            os.utime(self.site.incoming / path, ns=(mtime_ns, mtime_ns))

    def _check(self, where: str, feeds: tuple[FeedView, ...], after: Snapshot) -> None:
        """What is written says what it must, and a file is written only when what it says has changed."""
        views = _views(feeds)
        public = {path for path in after if not path.startswith(".aggregator/")}
        assert public == views.keys(), f"{where}: files {sorted(public ^ views.keys())}"
        for path, view in views.items():
            body, mtime_ns = after[path]
            old_body, old_mtime_ns = self.before.get(path, (b"", 0))
            if view == self.views.get(path):
                assert body == old_body, f"{where}: {path} has other bytes and nothing in it changed"
                assert mtime_ns == old_mtime_ns, f"{where}: {path} was written again with the same bytes"
                continue
            seen = _read(path, body)
            if seen is not None and seen != view:
                pytest.fail(f"{where}: {path}\n{_difference(seen, view)}")
            assert body != old_body, f"{where}: {path} has the same bytes and something in it changed"
        if views == self.views:
            assert after == self.before, f"{where}: something was written and nothing changed"
        self.before, self.views = after, views

    def _check_ids(self, where: str, reused: frozenset[str]) -> None:
        """An id never goes to another record, and a record never gets another id."""
        for item in json.loads(self.before["all/feed.json"][0])["items"]:
            token = item["title"].rpartition(" ")[2]
            self.tokens[item["id"]].add(token)
            self.ids[token].add(item["id"])
            assert token in reused or len(self.ids[token]) == 1, f"{where}: {token} has ids {self.ids[token]}"
            others = self.tokens[item["id"]] - reused
            assert len(others) <= 1, f"{where}: {item['id']} was that of {sorted(others)}"


def _digest(snapshot: Snapshot) -> str:
    public = ((path, body) for path, (body, _) in sorted(snapshot.items()) if not path.startswith(".aggregator/"))
    made = hashlib.sha256()
    for path, body in public:
        made.update(f"{path} {len(body)}\n".encode() + body)
    return made.hexdigest()


def _difference(seen: View, view: View) -> str:
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


def _views(feeds: tuple[FeedView, ...]) -> dict[str, View]:
    """What each file of the output folder says to a reader."""
    views: dict[str, View] = {"opml.xml": tuple((feed.slug, feed.title) for feed in feeds)}
    views["index.html"] = tuple((feed.slug, feed.title, feed.size, feed.newest) for feed in feeds)
    for feed in feeds:
        views[f"{feed.slug}/feed.json"] = _json_view(feed)
        views[f"{feed.slug}/atom.xml"] = _atom_view(feed)
        views[f"{feed.slug}/rss.xml"] = _rss_view(feed)
        views[f"{feed.slug}/index.html"] = _page_view(feed)
        for number, page in enumerate(feed.pages, 1):
            items = tuple(map(_atom_item, page.items))
            views[f"{feed.slug}/archive/{number:04}.xml"] = feed.title, page.updated, items, (), number - 1
    return views


def _json_view(feed: FeedView) -> View:
    return feed.title, tuple(
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
    return feed.title, feed.updated, tuple(map(_atom_item, feed.items)), feed.withdrawn, len(feed.pages)


def _atom_item(one: Item) -> View:
    return one.id, one.title, one.link, one.summary, one.published, one.updated, one.topics, one.image, one.original


def _rss_view(feed: FeedView) -> View:
    items = tuple(
        (one.id, one.title, one.link, one.summary, one.published, one.updated, _names(one.topics), one.image)
        for one in feed.items
    )
    return feed.title, feed.updated, items, len(feed.pages)


def _page_view(feed: FeedView) -> View:
    items = tuple((one.title, one.link, one.summary, one.published, one.topics, one.image) for one in feed.items)
    return feed.title, feed.updated, items


def _names(topics: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(name for _, name in topics)


def _read(path: str, body: bytes) -> View | None:
    """The view of a file as it was written; None for a page."""
    readers = {"feed.json": _read_json, "atom.xml": _read_atom, "rss.xml": _read_rss, "opml.xml": _read_opml}
    reader = _read_atom if "/archive/" in path else readers.get(Path(path).name)
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
