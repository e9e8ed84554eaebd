"""A records folder and a config that change at random: what is there before each cycle."""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from conftest import SiteFolder

DAY = timedelta(days=1)
GRACE = timedelta(minutes=10)
SPANS = {"0s": timedelta(), "1h": timedelta(hours=1), "24h": DAY, "2d": 2 * DAY, "30d": 30 * DAY}
SIZES = {"10KB": 10_000, "12KB": 12_000, "20KB": 20_000, "1MB": 1_000_000}
TRACKING = "?utm_source=x"
SLUGS = {"AI": "ai", "Chips": "chips", "Rail": "rail", "C#": None, "C": None}
"""The topics of varied stories with the slugs of their feeds; None where another topic may get it first."""
VARIED = ("topics", "type", "provider", "locale", "quality", "heat", "url")
RULES: dict[str, list[dict[str, Any]]] = {
    "words": [
        {"topics": {"any": ["AI", "Chips"]}},
        {"topics": {"any": ["chips", "rail"], "none": ["Rail"]}},
        {"text": {"any": ["chips", "re:mark.ts.+(sea|cloud)"], "none": ["café"]}},
    ],
    "good": [
        {"min_quality": 10},
        {"min_quality": 60, "provider": {"none": ["blog"]}},
        {"topics": {"all": ["AI", "Rail"]}},
        {"min_heat": 1, "language": {"any": ["en"]}},
    ],
    "still": [
        {"type": {"none": ["video"]}},
        {"type": {"any": ["video", "note"]}, "text": {"none": ["rail"]}},
        {"provider": {"any": ["example.org"]}},
    ],
    "window": [{}],
}


@dataclass(frozen=True, slots=True)
class Story:
    """The content of one file."""

    token: str  # tells stories apart, whatever is edited; the end of the title
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
    type: str | None = None
    provider: str | None = None
    locale: str | None = None
    secured: int = 0
    crlf: bool = False
    trouble: str = ""  # why the file is rejected

    def text(self) -> bytes:
        """The bytes of the file."""
        fields: dict[str, Any] = {"title": f"{self.title} {self.token}", "excerpt": self.excerpt, "id": self.id}
        fields |= {"publishedDateTime": _stamp(self.date), "updatedDateTime": _stamp(self.updated)}
        fields |= {"webUrl": self.url, "originalUrl": self.original, "topics": list(self.topics) or None}
        fields |= {"images": [{"url": self.image}] if self.image else None, "published": self.published}
        fields |= {"quality": self.quality, "heat": self.heat, "secured": f"{self.secured:06}"}
        fields |= {"type": self.type, "locale": self.locale}
        fields |= {"provider": {"name": self.provider, "domain": self.provider} if self.provider else None}
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
        """Whether a rejected file hides its record: its flag is false, or is neither true nor false."""
        return self.trouble == "flag" or (self.trouble != "fence" and self.published is False)

    @property
    def link_key(self) -> str | None:
        """What the link has in common with other spellings of it."""
        return self.link and self.link.removesuffix(TRACKING)

    @property
    def words(self) -> tuple[str, str, str]:
        """Title and excerpt as plain text, and the body."""
        return plain(f"{self.title} {self.token}"), plain(self.excerpt), self.body

    @property
    def lines(self) -> list[str]:
        """The lines that tell stories apart."""
        return [line.strip() for text in self.words for line in text.split("\n") if len(line.strip()) >= 20]

    @property
    def visible(self) -> tuple[object, ...]:
        """The fields that readers can see."""
        texts = (*self.words, self.link, self.original, self.type, self.provider, self.locale)
        return (*texts, self.topics, self.image, self.date, self.updated)


def plain(text: str) -> str:
    """A text without markup."""
    return " ".join(html.unescape(text).split())


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Config:
    """What the config says, and how it changes at random."""

    def __init__(self, **output: Any) -> None:
        self.output: dict[str, Any] = {"limit": 8, "min_stay": "24h", "late": "30d", "tombstones": "30d"} | output
        self.topics: dict[str, Any] = {"auto": True, "min_entries": 1, "max_feeds": 10_000, "keep_empty": "2d"}
        self.alias: dict[str, str] = {}
        self.parent: dict[str, str] = {}
        self.feeds: dict[str, dict[str, Any]] = {}

    def copy(self) -> Config:
        """A copy that no change reaches."""
        return deepcopy(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def text(self) -> str:
        """The tables of the config file."""
        tables = [("[output]", self.output), ("[topics]", self.topics)]
        tables += [("[topics.alias]", self.alias), ("[topics.parent]", self.parent)]
        tables += [("[[feed]]", table) for table in self.feeds.values()]
        lines = []
        for head, table in tables:
            lines += [head, *(f"{json.dumps(key)} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines)

    def table(self, slug: str) -> dict[str, Any]:
        """The `[[feed]]` with this slug; empty if there is none."""
        return next((table for table in self.feeds.values() if table["slug"] == slug), {})

    def moved(self) -> dict[str, str]:
        """The slugs of feeds that have another one now, by the old one."""
        return {old: table["slug"] for table in self.feeds.values() for old in table.get("moved_from", [])}

    def change(self, chance: random.Random) -> None:
        """A few keys get other values; feeds come, go, or move."""
        acts: list[Callable[[random.Random], None]] = [
            self._set_feed, self._set_feed, self._set_feed, self._take_topic, self._move_feed, self._switch_full,
            lambda chance: self.output.update(limit=chance.choice((2, 3, 5, 9))),
            lambda chance: self.output.update(min_stay=chance.choice(("0s", "1h", "24h", "30d"))),
            lambda chance: self.output.update(max_bytes=chance.choice(list(SIZES))),
            lambda _: self.output.update(archive=not self.output.get("archive", True)),
            lambda chance: self.output.update(tombstones=chance.choice(("0s", "1h", "30d"))),
            lambda _: self.topics.update(auto=not self.topics["auto"]),
            lambda chance: self.topics.update(min_entries=chance.choice((1, 3, 10))),
            lambda chance: self.topics.update(max_feeds=chance.choice((1, 3, 10_000))),
            lambda chance: self.topics.update(keep_empty=chance.choice(("1h", "2d", "30d"))),
            self._switch_topics,
            self._switch_topics,
        ]  # fmt: skip
        for _ in range(chance.choice((1, 1, 2, 3))):
            chance.choice(acts)(chance)

    def change_feeds(self, chance: random.Random) -> None:
        """Rules, windows and merging of feeds get other values, feeds move, topics get other names or parents."""
        chance.choice([self._change_feed] * 6 + [self._move_feed, self._switch_topics])(chance)

    def _change_feed(self, chance: random.Random) -> None:
        self._set_feed(chance, drop=0.1)

    def _set_feed(self, chance: random.Random, drop: float = 0.35) -> None:
        key = chance.choice(list(RULES))
        old = self.feeds.pop(key, None)
        if old and chance.random() < drop:
            return
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
        self.feeds[key] = kept | chance.choice(RULES[key]) | chosen

    def _take_topic(self, chance: random.Random) -> None:
        slug = chance.choice(("ai", "rail"))
        if not self.feeds.pop(slug, None) or chance.random() < 0.4:
            topics = chance.choice((["AI", "Rail"], ["Rail"], ["Chips", "AI"]))
            self.feeds[slug] = {"slug": slug, "topics": {"any": topics}, "title": chance.choice(("T1", "T2"))}

    def _move_feed(self, chance: random.Random) -> None:
        if self.feeds:
            key = chance.choice(list(self.feeds))
            old = self.feeds[key]["slug"]
            self.feeds[key] |= {"slug": key if old != key else f"{key}-moved", "moved_from": [old]}

    def _switch_topics(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self.alias = {} if self.alias else {"Rail": "AI"}
        else:
            self.parent = chance.choice(({}, {"Chips": "AI"}, {"Chips": "C#", "C#": "AI"}))

    def _switch_full(self, chance: random.Random) -> None:
        table = chance.choice([self.output, *self.feeds.values()])
        table["content"] = "summary" if table.get("content") == "full" else "full"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Step:
    """The folder and the config before one cycle, and what has changed in the folder since the last step."""

    now: datetime
    writes: Mapping[str, Story]
    touches: frozenset[str]
    deletes: frozenset[str]
    folder: Mapping[str, Story]
    config: Config
    accept: bool
    what: str


TOPICS = ("AI", "Power Apps", "Künstliche Intelligenz", "C", "C#", "status", "日本", "R&D")
SPELLINGS = {"AI": "ai", "Power Apps": "power  apps", "R&D": "r&d"}
WORDS = "cloud chips &amp; robots vote on 5 &lt; 6 markets café quantum seas rail solar Q&A orbit".split()


class NothingFitsError(Exception):
    """No file is as a change needs one."""


class World:
    """A folder of records and a config that change at random, the same for the same seed."""

    def __init__(self, seed: int, config: Config | None = None) -> None:
        self.random = random.Random(seed)
        self.now = datetime(2023, 3, 1, 6, 0, tzinfo=UTC)
        self.config = config or Config()
        self.folder: dict[str, Story] = {}
        self.bin: dict[str, Story] = {}
        self.broken: dict[str, Story] = {}
        self.scripted: dict[int, list[Callable[[], str]]] = {}
        self.gaps: dict[int, timedelta] = {}
        self.accepting: set[int] = set()
        self.number = 0
        self.reused: set[str] = set()
        """Tokens of stories that may have several ids: copies, and moves that nobody can follow."""
        self._before: dict[str, Story] = {}
        self._touched: set[str] = set()
        self._made = 0

    def play_year(self, cycles: int) -> Iterable[Step]:
        """A year in small under one config: the folder before each cycle."""
        self._script()
        for self.number in range(cycles):
            self.now += self.gaps.get(self.number, self._gap())
            what = [action() for action in self.scripted.get(self.number, ())]
            if self.number and not what:
                what = self._some_actions()
            yield self._step(", ".join(what))

    def _step(self, what: str) -> Step:
        deletes = frozenset(self._before.keys() - self.folder.keys())
        writes = {path: story for path, story in self.folder.items() if self._before.get(path) != story}
        touches = frozenset(self._touched & self.folder.keys() - writes.keys())
        accept, config = self.number in self.accepting, self.config.copy()
        self._before, self._touched = dict(self.folder), set()
        return Step(self.now, writes, touches, deletes, self._before, config, accept, what)

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
        what = [self._try(self._rewrite_unseen) for _ in range(self.random.randint(1, 6))]
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
        return what + [self._try(action) for action in actions]

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

    def _try(self, action: Callable[[], object]) -> str:
        """What the action did."""
        try:
            return str(action())
        except NothingFitsError:
            return "nothing"

    def _pick(self, fits: Callable[[Story], bool] = lambda _: True) -> str:
        """A file for a change. Raises NothingFitsError."""
        usable = [
            path
            for path, story in self.folder.items()
            if not story.trouble and not story.id and path != "embargoed.md" and fits(story)
        ]
        return self._choose(usable)

    def _choose(self, usable: list[str]) -> str:
        if not usable:
            raise NothingFitsError
        return self.random.choice(usable)

    def _change(self, **values: Any) -> str:
        path = self._pick()
        self.folder[path] = replace(self.folder[path], **values)
        return f"{self.folder[path].token} {' '.join(values)}"

    def _rewrite_unseen(self) -> str:
        roll = self.random.random()
        if roll < 0.7:
            return self._change(secured=self.random.randint(0, 10**6 - 1))
        if roll < 0.9:
            return self._change(quality=self.random.randint(-1, 99), heat=self.random.randint(-1, 99))
        self._touched.add(self._pick())
        return "touched"

    def _change_line_ends(self) -> str:
        path = self._pick()
        self.folder[path] = replace(self.folder[path], crlf=not self.folder[path].crlf)
        return "line ends"

    def _change_url(self) -> str:
        """There and back: one of two addresses."""
        path = self._pick(lambda story: story.url is not None)
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
        story = self.folder[path]
        assert story.date
        self.folder[path] = replace(story, date=story.date + timedelta(hours=hours))
        return f"{story.token} date {hours}"

    def _embargo(self) -> str:
        self._add(self._story(date=self.now + timedelta(minutes=self.random.randint(10, 6 * 24 * 60))))
        return "embargo"

    def _move_embargo(self) -> str:
        path = self._pick(lambda story: bool(story.date and story.date > self.now))
        date = self.now + timedelta(hours=self.random.choice([-5, 1, 20, 90]))
        self.folder[path] = replace(self.folder[path], date=date)
        return f"{self.folder[path].token} embargo moved"

    def _flip_flag(self) -> str:
        path = self._pick()
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
        hours = self.random.choice([-2000, -30, -1, 0])
        self.folder[path] = replace(self.folder[path], updated=self.now + timedelta(hours=hours))
        return f"{self.folder[path].token} updatedDateTime {hours}"

    def _add_id(self) -> str:
        return self._change(id=f"own-{self.number}-{self.random.randint(0, 10**6)}")

    def _break(self) -> str:
        path = self._pick()
        story = self.broken[path] = self.folder[path]
        self.folder[path] = replace(story, trouble=self.random.choice(["date", "flag", "fence"]))
        return f"{story.token} broken: {self.folder[path].trouble}"

    def _repair(self) -> str:
        path = min((path for path in self.broken if self.folder.get(path, Story("", "")).trouble), default="")
        if not path:
            raise NothingFitsError
        story = self.broken.pop(path)
        self.folder[path] = replace(story, excerpt=self._phrase(5)) if self.random.random() < 0.3 else story
        return f"{story.token} repaired"

    # what happens to places

    def _rename(self) -> str:
        story = self.folder.pop(self._pick())
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
        if self.number + 1 in self.scripted:
            raise NothingFitsError
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
        # the link of a deleted file would make a new one with that link its record
        path = self._pick(lambda story: "/story" not in (story.url or ""))
        self.bin[path] = self.folder.pop(path)
        return f"{self.bin[path].token} deleted"

    def _bring_back(self) -> str:
        path = self._choose(sorted(self.bin.keys() - self.folder.keys()))
        self.folder[path] = self.bin.pop(path)
        return f"{self.folder[path].token} back"

    def _replace_deleted(self) -> str:
        """A file at the path of a withdrawn record is that record, so it keeps the token."""
        path = self._choose(sorted(self.bin.keys() - self.folder.keys()))
        self.folder[path] = replace(self._story(self._late_date()), token=self.bin.pop(path).token)
        return f"{self.folder[path].token} replaced"

    def _new_at_old_path(self) -> str:
        """One file moves away and another comes to where it was."""
        path = self._pick()
        story = self.folder.pop(path)
        self.folder[self._free_path(story)] = story
        if self.random.random() < 0.5:
            self.folder[path] = new = self._story(self._late_date())
            # the id goes along only if the new story is clearly another one
            self.reused |= {story.token, new.token}
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
        story = self.folder[self._pick()]
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

    # records and config at random

    def step(self, change: Callable[[Config, random.Random], None] | None = None) -> Step:
        """Some changes of records, and of the config by `change`."""
        self.now += timedelta(minutes=self.random.choice((1, 5, 60, 600, 3000)))
        self._change_records()
        if change:
            change(self.config, self.random)
        return self._step("")

    def move_folder(self, old: str, new: str) -> None:
        """Says that a folder was moved, with all that is in it, after the last step."""
        for folder in (self.folder, self._before, self.bin):
            for path in [path for path in folder if path.startswith(f"{old}/")]:
                folder[f"{new}/{path.removeprefix(f'{old}/')}"] = folder.pop(path)

    def wait(self) -> Step:
        """Nothing changes but the time."""
        return self._step("no change")

    def _change_records(self) -> None:
        """Some records come, some change, now and then a lot come at once."""
        count = self.random.choice((0, 1, 1, 1, 2, 4))
        for _ in range(self.random.choice((12, 30)) if self.random.random() < 0.05 else count):
            self._add(self._varied_story())
        acts = (self._vary, self._vary, self._vary, self._flip_flag, self._delete, self._bring_back, self._rename_alone)
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            self._try(self.random.choice(acts))

    def _varied_story(self) -> Story:
        chance = self.random
        age = chance.choice((2, 29, 31, 400)) * DAY if chance.random() < 0.25 else DAY * chance.random() / 5
        if chance.random() < 0.1:
            age = -timedelta(minutes=chance.choice((5, 100, 3000)))
        story = replace(self._story(self.now - age), original=None, published=None, excerpt="")
        varied = {name: self._value(name, story) for name in VARIED}
        return replace(story, **varied, body=chance.choice(("", "Hello *world*", f"<p>{story.token} bo & dy</p>" * 40)))

    def _value(self, name: str, story: Story) -> Any:
        """Another value of a field."""
        chance = self.random
        link = f"https://e.example/{chance.choice((story.token[1:], f'story{chance.randrange(6)}'))}"
        values: dict[str, Callable[[], Any]] = {
            "title": lambda: self._phrase(3).capitalize(),
            "body": lambda: f"New body {chance.random()}",
            "excerpt": lambda: f"{self._phrase(2)} {story.token}" + " y" * chance.choice((1, 250, 450, 1500, 10_000)),
            "topics": lambda: tuple(chance.sample(list(SLUGS), chance.randint(0, 3))),
            "type": lambda: chance.choice(("article", "video", "note")),
            "provider": lambda: chance.choice(("Blog", "news.example.org", None)),
            "locale": lambda: chance.choice((None, "en-GB", "de")),
            "quality": lambda: chance.choice((-1, 10, 60, 90)),
            "heat": lambda: chance.choice((-1, 5)),
            "url": lambda: link + TRACKING * (chance.random() < 0.2),
        }
        return values[name]()

    def _vary(self) -> None:
        path = self._pick()
        name = self.random.choice(("title", "body", "excerpt", *VARIED))
        story = self.folder[path]
        changed: dict[str, Any] = {name: self._value(name, story)}
        self.folder[path] = replace(story, **changed)

    def _rename_alone(self) -> None:
        """A file moves and stays as it is: with other bytes it would be another record."""
        story = self.folder.pop(self._pick(lambda story: story in self._before.values()))
        self.folder[self._free_path(story)] = story


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def apply(step: Step, site: SiteFolder) -> None:
    """Makes the folder of a site what a step says."""
    site.remove(*step.deletes)
    mtime_ns = int(step.now.timestamp()) * 10**9
    for path, story in step.writes.items():
        site.write(path, story.text(), mtime_ns=mtime_ns)
    for path in step.touches:
        site.touch(path, mtime_ns)
