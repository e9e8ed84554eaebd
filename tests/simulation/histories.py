"""Folders of records and configs that change at random, and what each feed must hold after that."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from conftest import SiteFolder, at, record_text

TOPICS = {"AI": "ai", "Chips": "chips", "Rail": "rail", "C#": None, "C": None}
"""Topics and the slugs of their feeds; none where another topic may get it first."""
TYPES = ["article", "video", "note"]
PROVIDERS = ["One", "Two", None]
LIMITS = [2, 3, 5, 9]
SIZES = {"10KB": 10_000, "12KB": 12_000, "20KB": 20_000, "1MB": 1_000_000}
DAY = timedelta(days=1)
SPANS = {"1h": timedelta(hours=1), "2d": 2 * DAY, "30d": 30 * DAY}


@dataclass
class Record:
    """A record as its file says it; `kin` are the stories that its link ever led to."""

    token: str
    path: str
    date: datetime
    topics: list[str]
    type: str
    quality: int
    provider: str | None
    story: str
    excerpt: str
    body: str
    version: int = 0
    tracked: bool = False
    published: bool = True
    present: bool = True
    kin: set[str] = field(default_factory=set)

    @property
    def title(self) -> str:
        return f"{self.token} v{self.version}"

    def text(self) -> str:
        fields = {
            "title": self.title,
            "publishedDateTime": self.date.isoformat(),
            "topics": self.topics,
            "type": self.type,
            "quality": self.quality,
            "webUrl": f"https://e.example/{self.story}" + ("?utm_source=x" if self.tracked else ""),
            "excerpt": self.excerpt,
            "published": self.published,
        }
        if self.provider:
            fields["provider"] = {"name": self.provider}
        return record_text(fields, self.body)


class History:
    """One site, its records and its config, changed by acts that `seed` chooses.

    Since the last whole cycle: `shown` are the tokens whose look may differ, `retold` those whose text does, `written`
    and `moved` those whose files were. `renewed` are the tokens that may get another id, `relooked` says that any page
    may look different. `led_away` are slugs that once led to another feed: a topic may have got another slug for that.
    """

    def __init__(self, site: SiteFolder, seed: int) -> None:
        self.site, self.random = site, random.Random(seed)
        self.now = at("2026-03-01 12:00")
        self.records: dict[str, Record] = {}
        self.output: dict[str, Any] = {"limit": 5, "min_stay": "0s", "archive": True, "max_bytes": "1MB"}
        self.topics: dict[str, Any] = {"auto": True, "min_entries": 1, "max_feeds": 10_000, "keep_empty": "30d"}
        self.alias: dict[str, str] = {}
        self.feeds: dict[str, dict[str, Any]] = {}
        self.moves: list[tuple[str, str]] = []
        self.led_away: set[str] = set()
        self.been_out: set[str] = set()
        self.renewed: set[str] = set()
        self.begin()
        self.configure()

    def begin(self) -> None:
        """A cycle was whole: what counts is what changes from here on."""
        self.shown: set[str] = set()
        self.retold: set[str] = set()
        self.written: set[str] = set()
        self.moved: set[str] = set()
        self.relooked = False

    # what happens to records

    def change_records(self) -> None:
        """Some records come, some change, now and then a lot come at once."""
        count = self.random.choice((0, 1, 1, 1, 2, 4))
        for _ in range(self.random.choice((12, 30)) if self.random.random() < 0.05 else count):
            self._add()
        acts: list[Callable[[Record], None]] = [
            self._edit, self._edit, self._edit, self._withdraw, self._bring_back, self._delete, self._rename
        ]  # fmt: skip
        for _ in range(self.random.choice((0, 1, 1, 2, 3)) if self.records else 0):
            self.random.choice(acts)(self.random.choice(list(self.records.values())))

    def _add(self) -> None:
        token, chance = f"r{len(self.records):04}", self.random
        age = chance.choice((2, 29, 31, 400)) * DAY if chance.random() < 0.25 else DAY * chance.random() / 5
        if chance.random() < 0.1:
            age = -timedelta(minutes=chance.choice((5, 100, 3000)))
        record = Record(
            token,
            chance.choice(("", "d/")) + f"{token}.md",
            self.now - age,
            chance.sample(list(TOPICS), chance.randint(0, 3)),
            chance.choice(TYPES),
            chance.choice((-1, 10, 60, 90)),
            chance.choice(PROVIDERS),
            chance.choice((token, token, f"story{chance.randrange(6)}")),
            "x" * chance.choice((3, 200, 900)),
            chance.choice(("", "Hello *world*\n", "<p>bo & dy</p>" * 40)),
            tracked=chance.random() < 0.2,
        )
        self.records[token] = record
        self._write(record, retold=True)

    def _edit(self, record: Record) -> None:
        if not record.present:
            return
        chance = self.random
        values = {
            "version": record.version + 1,
            "body": f"New body {chance.random()}\n",
            "excerpt": "y" * chance.choice((1, 500, 900, 3000, 20_000)),
            "topics": chance.sample(list(TOPICS), chance.randint(0, 3)),
            "type": chance.choice(TYPES),
            "provider": chance.choice(PROVIDERS),
            "story": chance.choice((f"{record.token}x", f"story{chance.randrange(6)}")),
            "quality": chance.choice((-1, 10, 60, 90)),
        }
        key = chance.choice(list(values))
        setattr(record, key, values[key])
        self._write(record, shown=key != "quality", retold=key in {"version", "body", "excerpt"})

    def _withdraw(self, record: Record) -> None:
        if record.present:
            record.published = False
            self._write(record, retold=True)

    def _bring_back(self, record: Record) -> None:
        record.published = record.present = True
        self._write(record, retold=True)

    def _delete(self, record: Record) -> None:
        if record.present:
            (self.site.incoming / record.path).unlink()
            record.present = False
            self._mark(record, retold=True)

    def _rename(self, record: Record) -> None:
        if record.present and record.token not in self.moved:
            target = self.site.incoming / f"moved{self.random.randrange(10**6)}" / f"{record.token}.md"
            target.parent.mkdir(exist_ok=True)
            os.rename(self.site.incoming / record.path, target)
            record.path = target.relative_to(self.site.incoming).as_posix()
            self.moved.add(record.token)
            self.renewed |= self.written & self.moved

    def _write(self, record: Record, *, shown: bool = True, retold: bool = False) -> None:
        self.site.write(record.path, record.text())
        record.kin.add(record.story)
        self._mark(record, shown=shown, retold=retold)

    def _mark(self, record: Record, *, shown: bool = True, retold: bool = False) -> None:
        self.written.add(record.token)
        self.shown |= {record.token} if shown else set()
        self.retold |= {record.token} if retold else set()
        # a file with another name and other bytes is another record
        self.renewed |= self.written & self.moved

    def come_due(self) -> None:
        """What is out by now and never was changes by that."""
        due = {token for token, one in self.records.items() if one.date <= self.now} - self.been_out
        self.shown |= due
        self.retold |= due
        self.been_out |= due

    # what happens to the config

    def change_config(self) -> None:
        """A few keys of the config get other values, feeds come, go, or move."""
        chance = self.random
        acts: list[Callable[[], None]] = [
            self._set_feed, self._set_feed, self._set_feed, self._take_topic, self._move_feed, self._switch_full,
            lambda: self.output.update(limit=chance.choice(LIMITS)),
            lambda: self.output.update(min_stay=chance.choice(("0s", "1h", "24h", "30d"))),
            lambda: self.output.update(max_bytes=chance.choice(list(SIZES))),
            lambda: self.output.update(archive=not self.output["archive"]),
            lambda: self.output.update(tombstones=chance.choice(("0s", "1h", "30d"))),
            lambda: self.topics.update(auto=not self.topics["auto"]),
            lambda: self.topics.update(min_entries=chance.choice((1, 3, 10))),
            lambda: self.topics.update(max_feeds=chance.choice((1, 3, 10_000))),
            lambda: self.topics.update(keep_empty=chance.choice(("1h", "2d", "30d"))),
            self._switch_alias,
        ]  # fmt: skip
        for _ in range(chance.choice((1, 1, 2, 3))):
            chance.choice(acts)()
        self.configure()

    def _set_feed(self) -> None:
        chance = self.random
        key = chance.choice(("words", "good", "still", "window"))
        old = self.feeds.pop(key, None)
        if old and chance.random() < 0.35:
            return
        rules: dict[str, list[dict[str, Any]]] = {
            "words": [{"topics": {"any": ["AI", "Chips"]}}, {"topics": {"any": ["chips"], "none": ["Rail"]}}],
            "good": [{"min_quality": 10}, {"min_quality": 60}, {"topics": {"all": ["AI", "Rail"]}}],
            "still": [{"type": {"none": ["video"]}}, {"type": {"any": ["video", "note"]}}],
            "window": [{}],
        }
        keys: dict[str, Any] = {
            "limit": chance.choice((2, 4, 7)),
            "content": "full",
            "max_age": chance.choice(("2d", "30d")),
            "per_provider": chance.choice((1, 2)),
            "order": "published",
            "duplicates": "merge",
        }
        chosen = {name: value for name, value in keys.items() if chance.random() < 0.3}
        kept = {name: value for name, value in (old or {"slug": key}).items() if name in {"slug", "moved_from"}}
        self.feeds[key] = kept | chance.choice(rules[key]) | chosen
        self.relooked = True

    def _take_topic(self) -> None:
        chance = self.random
        slug = chance.choice(("ai", "rail"))
        if not self.feeds.pop(slug, None) or chance.random() < 0.4:
            topics = chance.choice((["AI", "Rail"], ["Rail"], ["Chips", "AI"]))
            self.feeds[slug] = {"slug": slug, "topics": {"any": topics}, "title": chance.choice(("T1", "T2"))}
        self.relooked = True

    def _move_feed(self) -> None:
        if self.feeds:
            key = self.random.choice(list(self.feeds))
            old = self.feeds[key]["slug"]
            new = key if old != key else f"{key}-moved"
            self.feeds[key] |= {"slug": new, "moved_from": [old]}
            self.moves.append((old, new))
            self.led_away.add(old)

    def _switch_full(self) -> None:
        if self.feeds:
            table = self.random.choice(list(self.feeds.values()))
            table["content"] = "summary" if table.get("content") == "full" else "full"
            self.relooked = True

    def _switch_alias(self) -> None:
        self.alias = {} if self.alias else {"Rail": "AI"}
        self.relooked = True

    def configure(self) -> None:
        """Writes the config."""
        tables = [("[output]", self.output), ("[topics]", self.topics), ("[topics.alias]", self.alias)]
        tables += [("[[feed]]", table) for table in self.feeds.values()]
        lines = []
        for head, table in tables:
            lines += [head, *(f"{key} = {_toml(value)}" for key, value in table.items())]
        self.site.configure("\n".join(lines))

    # what the feeds must hold

    def table(self, slug: str) -> dict[str, Any]:
        """The `[[feed]]` with this slug, empty if there is none."""
        return next((table for table in self.feeds.values() if table["slug"] == slug), {})

    def members(self, slug: str) -> set[str] | None:
        """The tokens that the rule of a feed takes; none if this reading knows no such feed."""
        out = {
            one.token: one for one in self.records.values() if one.present and one.published and one.date <= self.now
        }
        if slug == "all":
            return set(out)
        if table := self.table(slug):
            return {token for token, one in out.items() if self._takes(table, one)}
        topic = next((topic for topic, its in self.slugs().items() if its == slug), None)
        return {token for token, one in out.items() if topic in self.topics_of(one)} if topic else None

    def topics_of(self, record: Record) -> set[str]:
        """The topics of a record, as the config calls them."""
        return {self.alias.get(topic, topic) for topic in record.topics}

    def slugs(self) -> dict[str, str]:
        """The slugs of topics, of those that are known to have theirs."""
        known = {topic: slug for topic, slug in TOPICS.items() if slug and slug not in self.led_away}
        return {topic: slug for topic, slug in known.items() if topic not in self.alias}

    def _takes(self, table: dict[str, Any], record: Record) -> bool:
        alias = {old.lower(): new.lower() for old, new in self.alias.items()}
        topics = {topic.lower() for topic in self.topics_of(record)}
        for key, have in (("topics", topics), ("type", {record.type})):
            clause = {
                name: {alias.get(value.lower(), value.lower()) for value in values}
                for name, values in table.get(key, {}).items()
            }
            if "any" in clause and not have & clause["any"]:
                return False
            if not clause.get("all", set()) <= have or have & clause.get("none", set()):
                return False
        return bool(record.quality >= table.get("min_quality", -1))

    def kin(self, tokens: set[str]) -> set[str]:
        """These and all that ever had a link of theirs."""
        stories = {story for token in tokens for story in self.records[token].kin}
        return {token for token, one in self.records.items() if one.kin & stories}

    def next_due(self) -> datetime | None:
        """When time alone changes something next: a record comes due, or is too old for a feed that asks."""
        ages = {int(table["max_age"][:-1]) * DAY for table in self.feeds.values() if "max_age" in table}
        times = [one.date + age for one in self.records.values() for age in {timedelta(), *ages}]
        return min((time for time in times if time > self.now), default=None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)
