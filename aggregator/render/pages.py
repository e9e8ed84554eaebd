"""HTML pages: a list of the feeds, and a page for each feed. No scripts."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aggregator.documents import ALL, FEED_LIST, PAGE
from aggregator.model import Document, Enclosure, Entry, Feed, FeedSummary, Image, Topic
from aggregator.render.assembly import document
from aggregator.render.cache import CACHED_TOPICS, EntryCache
from aggregator.render.content import Scope, foreign_language, provider_of, provider_url
from aggregator.render.links import MEDIA_TYPES, feed_url
from aggregator.render.xml_safe import xml_safe_entry
from aggregator.settings import FILE_NAMES, OutputOptions, Site
from aggregator.unicode import xml_text

# %B depends on the locale of the process
_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
CACHE_BYTES = 20_000_000


def render_feed_page(
    feed: Feed, entries: Iterable[Entry], site: Site, options: OutputOptions, linked: frozenset[str]
) -> Document:
    """The page of a feed; `linked` are the slugs that have a page to link to."""
    scope = Scope(site.base_url, feed.language, full=False)
    articles, has_media = [], False
    for entry in entries:
        has_media = has_media or bool(entry.content.enclosures)
        article_scope = _ArticleScope(scope, tuple([topic.slug for topic in entry.topics if topic.slug in linked]))
        articles.append(_CACHE.get(entry, article_scope, (PAGE,))[PAGE])
    body = _template("feed").render(
        site=site,
        feed=feed,
        alternates=_alternates(feed.slug, feed.title, site, options),
        articles=articles,
        has_media=has_media,
    )
    return document(f"{feed.slug}/{PAGE}", "text/html", body.encode())


def render_index_page(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The list of feeds, in the order given; the feed `all` is set apart."""
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


class _ArticleScope(NamedTuple):
    """The inputs of an article besides the entry."""

    feed: Scope
    # Slugs of topics that have a page.
    linked: tuple[str, ...]


def _render_entry(entry: Entry, scope: _ArticleScope, kinds: Iterable[str]) -> dict[str, Markup]:
    """The article as HTML. Not a template, because that takes several times as long."""
    entry = xml_safe_entry(entry)
    content = entry.content
    language = foreign_language(content, scope.feed)
    title, summary = escape(content.title), escape(content.summary)
    parts = (
        f'<article class="entry" lang="{escape(language)}">' if language else '<article class="entry">',
        _picture(content.images[0]) if content.images else "",
        _meta(entry),
        f'<h2 dir="auto">{_outside_link(content.link, title) if content.link else title}</h2>',
        f'<p class="summary" dir="auto">{summary}</p>' if summary else "",
        *map(_player, content.enclosures),
        _topics(entry.topics, scope.linked) if entry.topics else "",
        "</article>",
    )
    return dict.fromkeys(kinds, Markup("\n".join(filter(None, parts))))  # noqa: S704 (all texts in it are escaped)


def _picture(image: Image) -> str:
    size = f' width="{image.width}" height="{image.height}"' if image.width > 0 and image.height > 0 else ""
    loading = 'alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer"'
    return f'<img src="{escape(image.url)}" {loading}{size}>'


def _player(enclosure: Enclosure) -> str:
    """A player for audio and video, which loads nothing by itself; a link for other files."""
    kind = enclosure.type.partition("/")[0]
    url = escape(enclosure.url)
    if kind in ("audio", "video"):
        return f'<{kind} class="media" controls preload="none" src="{url}"></{kind}>'
    name = escape(xml_text(unquote(enclosure.url.partition("?")[0].rstrip("/").rpartition("/")[2])))
    return f'<p class="media">{_outside_link(enclosure.url, name)}</p>'


def _meta(entry: Entry) -> str:
    """Provider, date and video; empty if all are unknown."""
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


@lru_cache(maxsize=CACHED_TOPICS)
def _chip(slug: str, name: str, *, linked: bool) -> str:
    text = escape(name)
    chip = f'<a href="../{escape(slug)}/" dir="auto">{text}</a>' if linked else f'<span dir="auto">{text}</span>'
    return f'<li class="plain">{chip}</li>'


_CACHE = EntryCache(_render_entry, CACHE_BYTES)


def _alternates(slug: str, title: str, site: Site, options: OutputOptions) -> list[dict[str, str]]:
    """The feed links of a page: type, title and URL for each format."""
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
