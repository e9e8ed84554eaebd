"""The pages that people open in a browser: one that lists the feeds, and one a feed. No scripts."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aggregator.documents import ALL, FEED_LIST, PAGE
from aggregator.model import Document, Entry, Feed, FeedSummary, Image, Topic
from aggregator.render.parts import (
    KEPT_TOPICS,
    MEDIA_TYPES,
    Rendered,
    Scope,
    document,
    feed_url,
    foreign_language,
    presentable_entry,
    provider_of,
    provider_url,
)
from aggregator.settings import FILE_NAMES, OutputOptions, Site

# Python's own %B follows the locale of the process.
_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
KEPT_BYTES = 20_000_000


def render_feed_page(
    feed: Feed, entries: Iterable[Entry], site: Site, options: OutputOptions, linked: frozenset[str]
) -> Document:
    """The page of a feed; `linked` are the slugs that have a page to link to."""
    scope = Scope(site.base_url, feed.language, full=False)
    articles = []
    for entry in entries:
        place = _Place(scope, tuple([topic.slug for topic in entry.topics if topic.slug in linked]))
        articles.append(_RENDERED.get(entry, place, (PAGE,))[PAGE])
    body = _template("feed").render(
        site=site, feed=feed, alternates=_alternates(feed.slug, feed.title, site, options), articles=articles
    )
    return document(f"{feed.slug}/{PAGE}", "text/html", body.encode())


def render_index_page(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The page that lists the feeds, in the order given; the one with everything is set apart."""
    everything = next((feed for feed in feeds if feed.slug == ALL), None)
    body = _template("index").render(
        site=site,
        opml=f"{site.base_url}{FEED_LIST}",
        alternates=_alternates(ALL, site.title, site, options) if everything else (),
        everything=everything,
        feeds=[feed for feed in feeds if feed is not everything],
        formats_of=lambda feed: _alternates(feed.slug, feed.title, site, options),
    )
    return document(PAGE, "text/html", body.encode())


class _Place(NamedTuple):
    """What the article of an entry depends on besides the entry."""

    scope: Scope
    linked: tuple[str, ...]


def _render_entry(entry: Entry, place: _Place, kinds: Iterable[str]) -> dict[str, Markup]:
    """The article as HTML: written here, because a template takes five times as long for one and pages are full of
    them."""
    entry = presentable_entry(entry)
    content = entry.content
    language = foreign_language(content, place.scope)
    title, summary = escape(content.title), escape(content.summary)
    parts = (
        f'<article class="entry" lang="{escape(language)}">' if language else '<article class="entry">',
        _picture(content.images[0]) if content.images else "",
        _meta(entry),
        f'<h2 dir="auto">{_outside_link(content.link, title) if content.link else title}</h2>',
        f'<p class="summary" dir="auto">{summary}</p>' if summary else "",
        _topics(entry.topics, place.linked) if entry.topics else "",
        "</article>",
    )
    return dict.fromkeys(kinds, Markup("\n".join(filter(None, parts))))  # noqa: S704 (all texts in it are escaped)


def _picture(image: Image) -> str:
    size = f' width="{image.width}" height="{image.height}"' if image.width > 0 and image.height > 0 else ""
    loading = 'alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer"'
    return f'<img src="{escape(image.url)}" {loading}{size}>'


def _meta(entry: Entry) -> str:
    """Who published it and when, and its video; empty if nothing of it is known."""
    content, provider = entry.content, provider_of(entry.content)
    parts = ""
    if provider:
        name = escape(provider.name)
        parts += f'<span dir="auto">{_outside_link(provider_url(provider), name) if provider.domain else name}</span>'
    if entry.published:
        time = entry.published
        parts += f'<time datetime="{time.isoformat()}">{_date_in_words(time)}</time>'
    if content.video_url:
        parts += f"<span>{_outside_link(content.video_url, 'Video')}</span>"
    return f'<p class="meta">{parts}</p>' if parts else ""


def _outside_link(url: str, html: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener">{html}</a>'


def _topics(topics: Iterable[Topic], linked: Container[str]) -> str:
    chips = [_chip(topic.slug, topic.name, linked=topic.slug in linked) for topic in topics]
    return "\n".join(('<ul class="chips">', *chips, "</ul>"))


@lru_cache(maxsize=KEPT_TOPICS)
def _chip(slug: str, name: str, *, linked: bool) -> str:
    text = escape(name)
    chip = f'<a href="../{escape(slug)}/" dir="auto">{text}</a>' if linked else f'<span dir="auto">{text}</span>'
    return f'<li class="plain">{chip}</li>'


_RENDERED = Rendered(_render_entry, KEPT_BYTES)


def _alternates(slug: str, title: str, site: Site, options: OutputOptions) -> list[dict[str, str]]:
    """What a browser or reader finds feeds by: a type, a title and an address for each format."""
    return [
        {
            "name": _FORMAT_NAMES[form],
            "type": MEDIA_TYPES[form],
            "title": f"{title} ({_FORMAT_NAMES[form]})",
            "url": feed_url(slug, form, site),
        }
        for form in FILE_NAMES
        if form in options.formats
    ]


def _template(name: str) -> Any:
    return _environment().get_template(f"{name}.html")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aggregator.render"),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["date"] = _date_in_words
    return environment


def _date_in_words(time: datetime) -> str:
    """The day in UTC, as in "20 May 2020"."""
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}"
