"""Generated records with the sizes, kinds and keys of real records, in meaningless words.

200 topics, one to four per record, the i-th with frequency 1/i; 85 % published; folders by year and month. A record
depends only on its number, so a corpus of 1,000 is the beginning of a corpus of 10,000, on every machine.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 5
FIRST, SPAN_S = datetime(2017, 1, 1, tzinfo=UTC), 3560 * 86_400
PUBLISHED = 0.85
FIELDS = "Bridges,Canals,Choirs,Ferries,Gardens,Kites,Lanterns,Maps,Night trains,Orchards".split(",")
TOPICS = [f"{FIELDS[number % len(FIELDS)]} {number:03}" for number in range(200)]
TOPIC_WEIGHTS = list(itertools.accumulate(1 / number for number in range(1, len(TOPICS) + 1)))
TOPICS_A_RECORD = (30, 35, 20, 15)
KINDS = {"video": 536, "download": 171, "course": 131, "article": 106, "collection": 56}
WORDS = (
    "a the of and in to for on with from by over under after before along harbour lantern orchard kite ferry tide mill"
    " bell bridge canal choir garden ladder market meadow night pepper quarry river signal stone summer tower train"
    " valley village walk water weather window winter wool workshop yard young old quiet early late slow bright narrow"
    " opens closes returns carries repairs counts gathers measures paints prints sings turns grows holds learns builds"
).split()
ACCENTED = "Åre café Göteborg jardín São naïve “quoted” – résumé".split()


@dataclass(frozen=True, slots=True)
class MadeRecord:
    """A record of the corpus: its path and its text. Its `link` is in no other record."""

    path: str
    text: str
    topics: tuple[str, ...]
    published: bool
    link: str


def make_corpus(count: int, folder: Path) -> Path:
    """Writes the first `count` records below `folder` and returns `folder`."""
    return write_records(range(count), folder)


def write_records(numbers: Iterable[int], folder: Path) -> Path:
    """Writes the records with these numbers below `folder` and returns `folder`."""
    made: set[Path] = set()
    for record in map(make_record, numbers):
        target = folder / record.path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.write_text(record.text, encoding="utf-8")
    return folder


def make_records(count: int) -> Iterator[MadeRecord]:
    """The first `count` records."""
    return map(make_record, range(count))


def make_record(number: int, *, new_at: datetime | None = None) -> MadeRecord:
    """The record with this number. With `new_at`, a published article with that date."""
    draw = random.Random(f"{SEED}-{number}")
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    moment = FIRST + timedelta(seconds=draw.randrange(SPAN_S))
    published = draw.random() < PUBLISHED
    if new_at is not None:
        kind, moment, published = "article", new_at, True
    return _Draft(draw, number, kind, moment, published=published).record()


class _Draft:
    """Builds one record from random choices."""

    def __init__(self, draw: random.Random, number: int, kind: str, moment: datetime, *, published: bool) -> None:
        self.draw, self.number, self.kind, self.moment, self.published = draw, number, kind, moment, published
        self.domain = f"{draw.choice(WORDS[6:])}-{draw.randrange(40)}.example.org"
        self.link = f"https://www.{self.domain}/{kind}s/{self.slug(5)}/?record={number}"
        self.topics = self._draw_topics()

    def record(self) -> MadeRecord:
        """The record, with its keys in the order that crawlers use."""
        lines = ["---", *self._head(), *self._facts(), *self._provider(), *self._images(), *self._links(), "topics:"]
        lines += [f"  - {topic}" for topic in self.topics]
        text = "\n".join([*lines, "---", ""]) + self._body()
        day = self.moment
        path = f"{day:%Y}/{day:%m}/{day:%Y-%m-%d}-{self.slug(7)}-{self.number:07}.md"
        return MadeRecord(path, text, self.topics, self.published, self.link)

    def words(self, least: int, most: int) -> str:
        """Random words, a few of them not ASCII."""
        words = self.draw.choices(WORDS, k=self.draw.randint(least, most))
        if self.draw.random() < 0.032:
            words[0] = self.draw.choice(ACCENTED)
        return " ".join(words)

    def slug(self, count: int) -> str:
        """Random words as a slug."""
        return "-".join(self.draw.choices(WORDS, k=count))

    def _draw_topics(self) -> tuple[str, ...]:
        many = self.draw.choices((1, 2, 3, 4), TOPICS_A_RECORD)[0]
        topics: dict[str, None] = {}
        while len(topics) < many:
            topics.setdefault(self.draw.choices(TOPICS, cum_weights=TOPIC_WEIGHTS)[0])
        return tuple(topics)

    def _head(self) -> Iterator[str]:
        yield f'title: "{self.words(4, 13).capitalize()} #{self.number:07}"'
        yield f"publishedDateTime: {_text(self.moment)}"
        yield f"published: {str(self.published).lower()}"
        yield f'excerpt: "{self.words(10, 72).capitalize()}"'
        if self.kind in ("course", "article"):
            yield f"webUrl: {self.link}"
        if self.kind in ("video", "download", "article"):
            yield f"originalUrl: {self.link}"
        yield f"type: {self.kind}"

    def _facts(self) -> Iterator[str]:
        draw = self.draw
        if self.kind in ("video", "course", "collection"):
            yield from ("price: Free", f"length: PT{draw.randint(2, 59)}M{draw.randint(0, 59)}S")
        if self.kind == "course":
            yield from ("ratings:", f"  count: {draw.randint(3, 900)}", f"  average: {draw.uniform(3, 5):.7f}")
        if self.kind == "article":
            yield from ("category: news", f"quality: {draw.randint(20, 99)}")
        yield from (f"heat: {draw.randint(20, 99)}", "")
        if self.kind == "video":
            source = f"https://www.youtube-nocookie.com/embed/{draw.randrange(10**9)}"
            allowed = "accelerometer; autoplay; encrypted-media; gyroscope; picture-in-picture"
            frame = (
                f'<iframe width="800" height="500" frameborder="0" src="{source}" allow="{allowed}" allowfullscreen>'
            )
            yield from (f"featuredContent: {json.dumps(frame + '</iframe>')}", "")
        if self.kind == "download":
            file = f"https://files.{self.domain}/{self.slug(4)}/{draw.randrange(10**6)}/{self.slug(2)}.zip"
            yield from ("actions:", f'  - url: "{file}"', '    type: "download"', '    title: "Download the source"')
            yield from ('    attribution: "A community of makers"', "")
        if self.kind == "course" or (self.kind == "collection" and draw.random() < 0.7):
            yield from ("levels:", f"  - {draw.choice(('Beginner', 'Intermediate', 'Advanced'))}", "")
        if self.kind == "collection":
            yield from ("items:", *(f"  - courses/{self.slug(5)}" for _ in range(draw.randint(2, 18))), "")

    def _provider(self) -> Iterator[str]:
        yield from ("provider:", f"  name: {self.words(1, 3).title()}", f"  domain: {self.domain}")
        if self.kind in ("download", "course", "collection") or self.draw.random() < 0.15:
            yield from ("  images:", f"    - url: /assets/images/{self.domain}-50x50.jpg")
            yield from ("      width: 50", "      height: 50")
        if self.kind == "download":
            yield from ("  authors:", f"    - name: {self.draw.choice(WORDS).title()}")
        yield ""

    def _images(self) -> Iterator[str]:
        if self.draw.random() < 0.963:
            picture = f"{self.slug(2)}/{self.draw.randrange(10**9)}.jpg"
            yield from (
                "images:",
                f"  - url: https://img.{self.domain}/{picture}",
                "    width: 1280",
                "    height: 720",
                "    isCached: true",
                "",
            )
        if self.draw.random() < 0.99:
            opaque = base64.b64encode(self.draw.randbytes(self.draw.randint(288, 352))).decode()
            yield f'secured: "{opaque};{opaque[:22]}=="'

    def _links(self) -> Iterator[str]:
        if self.draw.random() >= 0.203:
            return
        yield "related:"
        for place in range(self.draw.randint(1, 3)):
            story = f"{self.slug(9)}-{self.number}-{place}"
            yield f'  - title: "{self.words(8, 12).capitalize()}"'
            yield f'    excerpt: "{self.words(36, 44).capitalize()}"'
            yield f"    publishedDateTime: {_text(self.moment - timedelta(days=place + 1))}"
            yield f'    webUrl: "https://www.{self.domain}/article/{story}/"'
            yield f'    ampWebUrl: "https://www.{self.domain}/google-amp/article/{story}/"'
            yield f'    cdnAmpWebUrl: "https://cdn.example.net/c/s/www.{self.domain}/google-amp/article/{story}/"'
            yield from ("    type: article", "    provider:", "      name: Example Wire", "      domain: example.net")
            yield from (f"    quality: {self.draw.randint(20, 99)}", "    images:")
            picture = f"{self.draw.getrandbits(128):032x}/thumbnail/1200x675/{self.draw.getrandbits(128):032x}"
            yield f'      - url: "https://img.example.net/hub/i/r/2020/05/20/{picture}/{self.slug(2)}.png"'
            yield from ("        width: 1200", "        height: 675")

    def _body(self) -> str:
        """The body: HTML for downloads, some of it very long, else empty."""
        if self.kind != "download":
            return "\n"
        many = min(60, max(1, round(self.draw.lognormvariate(1.6, 0.95))))
        return "".join(f"<p><span>{self.words(20, 70).capitalize()}.</span></p>\n" for _ in range(many))


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
