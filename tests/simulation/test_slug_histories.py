"""Random histories of feeds, topics, pins and old URLs: after every cycle each URL leads to what docs/spec.md says."""

from __future__ import annotations

import os
import random
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import SiteFolder, at
from documents import ATOM, atom_id
from lxml import etree

from aggregator.errors import ConfigError
from aggregator.feeds.url_changes import lost_url_notices
from aggregator.slugs import topic_slug

SEED = int(os.environ.get("HISTORY_SEED", "1"))  # another number, other histories by the same rules
STEPS = 30
RECORDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("AI",), 90), (("AI", "Maps"), 50), (("Maps",), 70), (("C",), 10), (("C#", "AI"), 80), (("C#",), 0), (("AI!",), 5),
)  # fmt: skip
"""The topics and the quality of each record."""
TOPICS = sorted({topic for topics, _ in RECORDS for topic in topics})
SLUGS = ("ai", "maps", "c", "best", "picks", "news")
MOVED_FROM = (*SLUGS, topic_slug("ai", {"ai"}))
PINS = ("ai", "maps", "see", "cartography")


@dataclass
class Tables:
    """What the config says, and how it changes at random."""

    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)  # by title
    pins: dict[str, str] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    auto: bool = True

    def text(self) -> str:
        """The tables of the config file."""
        lines = ["[topics]", f"auto = {str(self.auto).lower()}", "[topics.slugs]"]
        lines += [f'"{name}" = "{slug}"' for name, slug in self.pins.items()]
        lines += ["[topics.alias]", *(f'"{name}" = "{topic}"' for name, topic in self.alias.items())]
        for title, table in self.feeds.items():
            lines += ["[[feed]]", f'title = "{title}"', *(f"{key} = {value!r}" for key, value in table.items())]
        return "\n".join(lines) + "\n"

    def change(self, chance: random.Random) -> None:
        """One change, which may contradict something."""
        acts = [self._add] * 3 + [self._drop] * 2 + [self._move] * 4 + [self._pin] * 3 + [self._claim] * 2
        chance.choice([*acts, self._forget, self._switch_alias, self._switch_auto])(chance)

    def _add(self, chance: random.Random) -> None:
        title = chance.choice(("One", "Two", "Three"))
        self.feeds.setdefault(title, {"slug": chance.choice(SLUGS), "min_quality": 20 * len(title), "moved_from": []})

    def _drop(self, chance: random.Random) -> None:
        self.feeds.pop(chance.choice(("One", "Two", "Three")), None)

    def _move(self, chance: random.Random) -> None:
        """Another slug; the old URL is kept, or not."""
        for table in chance.sample(list(self.feeds.values()), min(1, len(self.feeds))):
            old, table["slug"] = table["slug"], chance.choice(SLUGS)
            kept = [*table["moved_from"], old] if chance.random() < 0.7 else table["moved_from"]
            table["moved_from"] = [slug for slug in dict.fromkeys(kept) if slug != table["slug"]]

    def _claim(self, chance: random.Random) -> None:
        for table in chance.sample(list(self.feeds.values()), min(1, len(self.feeds))):
            table["moved_from"] = [*table["moved_from"], chance.choice(MOVED_FROM)]

    def _forget(self, chance: random.Random) -> None:
        for table in chance.sample(list(self.feeds.values()), min(1, len(self.feeds))):
            table["moved_from"] = []

    def _pin(self, chance: random.Random) -> None:
        topic = chance.choice(TOPICS)
        if self.pins.pop(topic, None) is None or chance.random() < 0.5:
            self.pins[topic] = chance.choice(PINS)

    def _switch_alias(self, _: random.Random) -> None:
        self.alias = {} if self.alias else {"Maps": "AI"}

    def _switch_auto(self, _: random.Random) -> None:
        self.auto = not self.auto

    @property
    def slugs(self) -> dict[str, str]:
        """The title of each [[feed]], by its slug."""
        return {table["slug"]: title for title, table in self.feeds.items()}

    @property
    def old_slugs(self) -> dict[str, str]:
        """The slug of the [[feed]] that each old slug leads to."""
        return {old: table["slug"] for table in self.feeds.values() for old in table["moved_from"]}

    @property
    def slug_of(self) -> dict[str, str]:
        """The pinned slug of each topic; a pin of an alias is that of its topic."""
        return {self.alias.get(name, name): slug for name, slug in self.pins.items()}

    def titles(self, title: str) -> set[str]:
        """The entries of a feed with this title."""
        least = self.feeds[title]["min_quality"] if title in self.feeds else 0
        return {
            f"{number}.md"
            for number, (topics, quality) in enumerate(RECORDS)
            if (title in self.feeds and quality >= least) or title in {self.alias.get(name, name) for name in topics}
        }


@dataclass
class Feeds:
    """The feeds that the output folder has."""

    titles: dict[str, str] = field(default_factory=dict)  # by slug
    ids: dict[str, str] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)  # the slug of the feed that a copy at an old slug shows

    def own(self, topic: str, tables: Tables) -> str | None:
        """The slug of the feed of a topic."""
        slugs = [slug for slug, title in self.titles.items() if title == topic and slug not in tables.slugs]
        assert len(slugs) < 2, f"{topic} has two feeds: {slugs}"
        return slugs[0] if slugs else None


def read_feeds(site: SiteFolder) -> Feeds:
    """The feeds of the output folder, except `all`."""
    feeds, documents = Feeds(), site.documents()
    for slug in {path.partition("/")[0] for path in documents if path.endswith("/atom.xml")} - {"all"}:
        links = etree.fromstring(documents[f"{slug}/atom.xml"]).iterfind(f"{ATOM}link")
        (itself,) = [link.get("href").split("/")[-2] for link in links if link.get("rel") == "self"]
        if itself == slug:
            feeds.titles[slug] = site.feed(slug)["title"].removesuffix(" – Feeds")
            feeds.ids[slug] = atom_id(site, slug)
        else:
            feeds.leads[slug] = itself
            assert documents[f"{slug}/atom.xml"] == documents[f"{itself}/atom.xml"]
    return feeds


class Reader:
    """What was published until now, and what must be so after the next cycle."""

    def __init__(self) -> None:
        self.tables, self.feeds = Tables(), Feeds()
        self.last: dict[str, str] = {}  # the slug that a topic has, or had last
        self.had: dict[str, str] = {}  # the topic that had each slug

    def check(self, site: SiteFolder, tables: Tables, now: datetime) -> None:
        """Everything that docs/spec.md#topics-and-slugs says about URLs and ids."""
        feeds = read_feeds(site)
        for slug, title in feeds.titles.items():
            assert set(site.titles(slug)) == tables.titles(title), slug
        assert {slug: feeds.titles.get(slug) for slug in tables.slugs} == tables.slugs
        assert {old: feeds.leads.get(old) for old in tables.old_slugs} == tables.old_slugs
        assert len({*feeds.ids.values()}) == len(feeds.ids), "two feeds have one id"
        self._check_topics(tables, feeds)
        self._check_old_slugs(tables, feeds)
        self._check_ids(tables, feeds)
        self._check_notices(site, feeds, now)
        self.tables, self.feeds = deepcopy(tables), feeds

    def _check_topics(self, tables: Tables, feeds: Feeds) -> None:
        """A topic has a feed unless a [[feed]] replaces it; it keeps its slug unless that is needed elsewhere."""
        pins, replaced = tables.slug_of, self._replaced(tables)
        assert {*feeds.titles.values()} <= {*TOPICS, *tables.feeds}
        for topic in TOPICS:
            own, last = feeds.own(topic, tables), self.last.get(topic, topic_slug(topic.casefold()))
            has_feed = tables.auto and topic not in tables.alias and topic not in replaced
            assert (own is not None) == has_feed, topic
            if own is None:
                continue
            others = {*tables.slugs, *tables.old_slugs, *(pin for name, pin in pins.items() if name != topic)}
            if topic in pins:
                assert own == pins[topic]
            elif topic in self.last and last not in others:
                assert own == last, topic
            else:
                assert self.had.get(own, topic) == topic, f"{topic} has the slug of {self.had[own]}: {own}"
        for topic in TOPICS:
            if own := feeds.own(topic, tables):
                self.last[topic], self.had[own] = own, topic
            elif topic in pins and topic in self.last and not tables.auto:
                self.last[topic] = pins[topic]  # for the time when topics have feeds again

    def _replaced(self, tables: Tables) -> set[str]:
        """The topic that each [[feed]] replaces: the one that has its slug, else the first that would get it."""
        topics = [topic for topic in TOPICS if topic not in tables.slug_of and topic not in tables.alias]
        holders = {self.last[topic]: topic for topic in topics if topic in self.last}
        for topic in sorted(topics, key=str.casefold):
            if topic not in self.last:
                holders.setdefault(topic_slug(topic.casefold()), topic)
        return {holders[slug] for slug in tables.slugs if slug in holders}

    def _check_old_slugs(self, tables: Tables, feeds: Feeds) -> None:
        """The slugs that a topic had lead to its feed."""
        for slug, owner in self.had.items():
            topic = tables.alias.get(owner, owner)
            last = self.last.get(topic, "")
            target = feeds.own(topic, tables) or (last if last in tables.slugs else tables.old_slugs.get(last))
            if slug not in feeds.titles and slug not in tables.old_slugs:
                assert feeds.leads.get(slug) == target, f"{slug} of {owner}"

    def _check_ids(self, tables: Tables, feeds: Feeds) -> None:
        """An id stays with a [[feed]] that stays or moves, with a topic, and with the URL that one takes from the other."""
        before = self.feeds
        for title in tables.feeds.keys() & self.tables.feeds.keys():
            old, new = self.tables.feeds[title]["slug"], tables.feeds[title]["slug"]
            if old == new or (old in tables.feeds[title]["moved_from"] and new not in {*before.titles, *self.had}):
                assert feeds.ids[new] == before.ids[old], f"{title} from {old} to {new}"
        for slug in tables.slugs.keys() - self.tables.slugs.keys():
            if slug in before.titles:
                assert feeds.ids[slug] == before.ids[slug], f"a feed took {slug}"
        for topic in TOPICS:
            old, new = before.own(topic, self.tables), feeds.own(topic, tables)
            if old and new and old not in {*tables.slugs, *tables.old_slugs}:
                assert feeds.ids[new] == before.ids[old], topic
            elif new and new in self.tables.slugs and new not in tables.pins.values():
                assert feeds.ids[new] == before.ids[new], f"{topic} got {new} back"

    def _check_notices(self, site: SiteFolder, feeds: Feeds, now: datetime) -> None:
        """Each URL that ended, and no other, is named."""
        before, after = ({*some.titles, *some.leads} for some in (self.feeds, feeds))
        with site.store.read() as connection:
            config = site.pipeline.active_config
            notices = [*lost_url_notices(connection, config, int(now.timestamp() * 1e6), UTC)]
        named = {notice.removeprefix("/").partition("/")[0].partition(" ")[0] for notice in notices}
        assert not named & after
        assert before - after <= named


@pytest.mark.parametrize("seed", range(4 * SEED, 4 * SEED + 4))
def test_every_url_of_feeds_leads_to_what_its_subscribers_expect(seed: int, site: SiteFolder) -> None:
    chance, tables, reader, now = random.Random(seed), Tables(), Reader(), at("2024-05-01 12:00")
    for number, (topics, quality) in enumerate(RECORDS):
        site.record(
            f"{number}.md", topics=list(topics), quality=quality, publishedDateTime=f"2024-05-01T0{number}:00:00Z"
        )
    for _ in range(STEPS):
        changed = deepcopy(tables)
        for _ in range(chance.choice((1, 1, 2))):
            changed.change(chance)
        site.configure(changed.text())
        try:
            site.load_config()
        except ConfigError:
            continue
        now, tables = now + timedelta(hours=1), changed
        site.run(now)
        try:
            reader.check(site, tables, now)
        except AssertionError as error:
            error.add_note(
                f"before:\n{reader.tables.text()}\nnow:\n{tables.text()}\nfeeds: {reader.feeds}\nlast: {reader.last}"
            )
            raise
