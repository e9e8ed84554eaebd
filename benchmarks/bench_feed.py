"""The time to render a feed of 50 entries, all new or one new, compared with plain feedgen and a hand-built floor.

    python benchmarks/bench_feed.py [ROUNDS]

Medians of ROUNDS (default 200), in milliseconds of CPU. Every variant runs in every round, so a busy machine affects
all of them. Compare only figures of one run. Plain feedgen and the floor write the same titles, texts, links, dates,
authors and categories, and omit media, dc and type. feedgen uses our function for dates here, which is faster than
its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import count
from statistics import median
from time import process_time
from xml.sax.saxutils import escape, quoteattr

from feedgen.feed import FeedGenerator

from aggregator.model import Content, Entry, Feed, Image, Provider, Topic
from aggregator.render import render_feed
from aggregator.settings import Format, OutputOptions, Site

ENTRIES = 50
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SITE = Site("Bench", "https://feeds.example.org/", "en", "", "https://feeds.example.org/icon.png", "", 15)
TOPICS = tuple(Topic(name.lower().replace(" ", "-"), name) for name in ("Power Apps", "Dataverse", "AI"))
WORDS = "a record of the kind people write each day & publish in the morning, with <tags> and “quotes”".split()

fresh = count()


def make_entry() -> Entry:
    """A new entry with a title of about 60 characters and a summary of about 250."""
    number = next(fresh)
    words = [WORDS[(number * 7 + step) % len(WORDS)] for step in range(60)]
    content = Content(
        title=f"{' '.join(words[:11])} no{number}",
        summary=" ".join(words[11:]),
        body_html="",
        link=f"https://news.example.com/2026/stories/{number}?from=feed&u={number}",
        original_link=None,
        provider=Provider("Example News", "news.example.com"),
        topics=(),
        category="",
        type="article",
        language="en",
        images=(Image(f"https://news.example.com/images/{number}.jpg", 1200, 675),),
        video_url=None,
        related=(),
    )
    return Entry(f"urn:uuid:{number:032}", NOON - timedelta(minutes=number), NOON, TOPICS, content)


def make_feed(entries: list[Entry]) -> Feed:
    updated = NOON + timedelta(seconds=next(fresh))
    return Feed("ai", "urn:uuid:0", "AI", "On AI", "en", updated, False, 1, tuple(entries), ())


def product(*formats: Format) -> Callable[[list[Entry]], object]:
    options = OutputOptions(formats, pages=False, max_bytes=10**7)
    return lambda entries: render_feed(make_feed(entries), SITE, options)


def plain_feedgen(entries: list[Entry], *, rich: bool = False) -> None:
    """Both formats from one FeedGenerator; `rich` adds provider, type and image with feedgen's own extensions."""
    feed = FeedGenerator()
    if rich:
        feed.load_extension("dc")
        feed.load_extension("media")
    feed.id("urn:uuid:0")
    feed.title("AI")
    feed.description("On AI")
    feed.link(href="https://feeds.example.org/ai/", rel="alternate")
    feed.updated(NOON)
    for entry in entries:
        made = feed.add_entry(order="append")
        made.id(entry.id)
        made.title(entry.content.title)
        made.link(href=entry.content.link, rel="alternate")
        made.published(entry.published)
        made.updated(entry.updated)
        made.summary(entry.content.summary)
        made.author(name="Example News", uri="https://news.example.com/")
        made.category(
            [{"term": topic.slug, "label": topic.name, "scheme": f"{SITE.base_url}#topic"} for topic in TOPICS]
        )
        if rich:
            made.dc.dc_creator("Example News")
            made.dc.dc_type(entry.content.type)
            image = entry.content.images[0]
            size = {"width": str(image.width), "height": str(image.height)}
            made.media.content({"url": image.url, "medium": "image", **size}, group=None)
            made.media.thumbnail({"url": image.url, **size}, group=None)
    feed.rss_str(pretty=True)
    feed.atom_str(pretty=True)


def floor(entries: list[Entry]) -> None:
    scheme = quoteattr(f"{SITE.base_url}#topic")
    items, atoms = [], []
    for entry in entries:
        content, published = entry.content, entry.published or NOON
        title, summary, link = escape(content.title), escape(content.summary), content.link or ""
        domains = "".join(f"<category domain={scheme}>{escape(topic.name)}</category>" for topic in TOPICS)
        date = format_datetime(published)
        items.append(
            f"<item><title>{title}</title><link>{escape(link)}</link><description>{escape(summary)}</description>"
            f'<guid isPermaLink="false">{entry.id}</guid>{domains}<pubDate>{date}</pubDate></item>\n'
        )
        terms = "".join(
            f"<category term={quoteattr(topic.slug)} scheme={scheme} label={quoteattr(topic.name)}/>"
            for topic in TOPICS
        )
        dates = f"<updated>{entry.updated.isoformat()}</updated><published>{published.isoformat()}</published>"
        atoms.append(
            f"<entry><id>{entry.id}</id><title>{title}</title>{dates}<author>"
            f"<name>Example News</name><uri>https://news.example.com/</uri></author><link href={quoteattr(link)}"
            f' rel="alternate"/><summary>{summary}</summary>{terms}</entry>\n'
        )
    for open_tag, body, close_tag in (
        ('<rss version="2.0"><channel><title>AI</title>', items, "</channel></rss>"),
        ('<feed xmlns="http://www.w3.org/2005/Atom"><title>AI</title>', atoms, "</feed>"),
    ):
        f'<?xml version="1.0" encoding="UTF-8"?>\n{open_tag}{"".join(body)}{close_tag}'.encode()


WAYS: dict[str, tuple[Callable[[list[Entry]], object], bool]] = {
    "plain feedgen, RSS + Atom": (plain_feedgen, False),
    "feedgen with its dc and media, RSS + Atom": (partial(plain_feedgen, rich=True), False),
    "text templates, RSS + Atom": (floor, False),
    "aggregator, RSS + Atom, all new": (product("rss", "atom"), False),
    "aggregator, RSS + Atom, one new": (product("rss", "atom"), True),
    "aggregator, RSS + Atom + JSON, all new": (product("rss", "atom", "json"), False),
    "aggregator, RSS + Atom + JSON, one new": (product("rss", "atom", "json"), True),
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each variant in each round."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, (render, seen) in WAYS.items():
            entries = [make_entry() for _ in range(ENTRIES)]
            if seen:
                render(entries[1:])
            start = process_time()
            render(entries)
            times[name].append((process_time() - start) * 1000)
    return times


def main() -> None:
    times = {name: median(all_of_it) for name, all_of_it in measure(int((sys.argv[1:] or ["200"])[0])).items()}
    reference = times["plain feedgen, RSS + Atom"]
    print(f"{'a feed of 50':42}{'ms':>8}{'x feedgen':>12}")
    for name, took in times.items():
        print(f"{name:42}{took:8.2f}{took / reference:12.2f}")


if __name__ == "__main__":
    main()
