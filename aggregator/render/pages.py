"""HTML pages: the list of feeds, a page for each feed, and its archive. They need neither scripts nor our server."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aggregator.documents import ALL, PAGE, archive_paths
from aggregator.model import ArchivePage, Document, Enclosure, Entry, Feed, FeedSummary, Image, Related, Topic
from aggregator.render.assembly import document
from aggregator.render.assets import assets_version
from aggregator.render.cache import CACHED_TOPICS, EntryCache
from aggregator.render.content import Scope, foreign_language, provider_of, provider_url
from aggregator.render.links import MEDIA_TYPES, feed_url
from aggregator.render.markup import rfc3339_date
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
MAX_BODIES = 60_000
"""Most characters of full texts on a page; the entries after that show their summary."""
_MEDIA_TAG = re.compile(r"<(?:img|audio|video|source|/audio|/video)\\b[^<>]*+>")
_HEADING_TAG = re.compile(r"<(/?)h[1-6]>")


def render_feed_page(
    feed: Feed, entries: Iterable[Entry], site: Site, options: OutputOptions, linked: frozenset[str]
) -> Document:
    """The page of a feed; `linked` are the slugs that have a page to link to."""
    entries = tuple(entries)
    scope = Scope(site.base_url, feed.language, feed.full)
    picture = next((entry.content.images[0].url for entry in entries if entry.content.images), "")
    body = render_page(
        "feed",
        site,
        options,
        root="../",
        path=f"{feed.slug}/",
        description=feed.description,
        image=feed.image or (picture if options.remote_media else ""),
        feed=feed,
        alternates=_alternates(feed.slug, feed.title, site, options),
        articles=render_articles(entries, scope, options, linked),
    )
    return document(f"{feed.slug}/{PAGE}", "text/html", body)


def render_index_page(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The list of feeds, in the order given, topics below their parents; the feed `all` is set apart."""
    everything = next((feed for feed in feeds if feed.slug == ALL), None)
    body = render_page(
        "index",
        site,
        options,
        root="",
        path="",
        description=f"Every feed of {site.title}, to read or to follow in a feed reader.",
        image="",
        alternates=_alternates(ALL, site.title, site, options) if everything else (),
        everything=everything,
        feeds=_below_parents([feed for feed in feeds if feed is not everything]),
    )
    return document(PAGE, "text/html", body)


def render_search_page(
    feed: Feed, site: Site, options: OutputOptions, linked: frozenset[str], *, root: str, query: str, **values: Any
) -> Document:
    """The page of a search; `feed` is the search as a feed, empty for a query that cannot be searched for."""
    scope = Scope(site.base_url, feed.language, full=False)
    articles = render_articles(feed.entries, scope, options, linked)
    is_found = bool(query) and not values["problem"]
    body = render_page(
        "search",
        site,
        options,
        root=root,
        path=None,
        description="",
        image="",
        query=query,
        alternates=_alternates(feed.slug, feed.title, site, options, feed.query) if is_found else (),
        articles=[Markup(str(article).replace('href="../', f'href="{root}')) for article in articles],  # noqa: S704 (ours)
        **values,
    )
    return document(f"{feed.slug}/{PAGE}", "text/html", body)


def render_archive_list(feed: Feed, page: ArchivePage, site: Site, options: OutputOptions) -> tuple[Document, ...]:
    """The entries of an archive page as a compact list. The newest page is also the start of the archive, with links to
    all pages."""
    path, html, *start = archive_paths(feed.slug, page.number, options, is_newest=page.number == feed.pages)
    name = "{:04}.html".format
    documents = []
    for place in (html, *start):
        body = render_page(
            "archive",
            site,
            options,
            root="../../",
            path=html if place == html else f"{feed.slug}/archive/",
            description="",
            image="",
            feed=feed,
            number=page.number,
            alternates=[{"type": MEDIA_TYPES["atom"], "title": feed.title, "url": f"{site.base_url}{path}"}],
            items=[_list_item(entry) for entry in page.entries],
            newer="../" if start else name(page.number + 1),
            older=name(page.number - 1) if page.number > 1 else None,
            numbers=range(feed.pages, 0, -1) if place != html else (),
        )
        documents.append(document(place, "text/html", body))
    return tuple(documents)


def _list_item(entry: Entry) -> Markup:
    """The entry in one line: date, title, provider."""
    entry = xml_safe_entry(entry)
    content, provider, time = entry.content, provider_of(entry.content), entry.published
    title = escape(content.title)
    date = f'<time datetime="{rfc3339_date(time)}">{date_in_words(time)}</time>' if time else "<span></span>"
    link = _outside_link(content.link, title) if content.link else f"<span>{title}</span>"
    by = f'<span class="by" dir="auto">{escape(provider.name)}</span>' if provider else ""
    return Markup(f'<li id="{anchor_of(entry)}">{date}{link}{by}</li>')  # noqa: S704 (all texts in it are escaped)


def render_page(
    name: str, site: Site, options: OutputOptions, *, root: str, path: str | None, image: str, **values: Any
) -> bytes:
    """A page by its template. `root` leads to the home page; `path` is that of the page, None if it has no URL to keep;
    `image` is the picture that other sites show of it."""
    page = _environment().get_template(f"{name}.html")
    text = page.render(
        site=site,
        root=root,
        canonical=None if path is None else f"{site.base_url}{path}",
        og_image=image or site.icon,
        assets=assets_version(site.stylesheet),
        csp=content_security_policy(site.icon, options),
        **values,
    )
    return text.encode()


@lru_cache(maxsize=8)
def content_security_policy(icon: str, options: OutputOptions) -> str:
    """What a page may load: our own assets, and the entries' media unless `output.remote_media` is off."""
    parts = urlsplit(icon)
    own = f"'self' {parts.scheme}://{parts.netloc}" if parts.netloc else "'self'"
    media = "img-src 'self' http: https: data:; media-src http: https:" if options.remote_media else f"img-src {own}"
    return f"default-src 'none'; {media}; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'"


def render_articles(
    entries: Sequence[Entry], scope: Scope, options: OutputOptions, linked: frozenset[str]
) -> list[Markup]:
    """The entries as HTML; with their full text, as far as there is room, if the feed has it."""
    articles, room = [], MAX_BODIES if scope.full else 0
    for entry in entries:
        has_body = 0 < len(entry.content.body_html) <= room
        room -= len(entry.content.body_html) if has_body else 0
        topics = tuple([topic.slug for topic in entry.topics if topic.slug in linked])
        article_scope = _ArticleScope(scope._replace(full=has_body), topics, options.remote_media)
        articles.append(_CACHE.get(entry, article_scope, (PAGE,))[PAGE])
    return articles


class _ArticleScope(NamedTuple):
    """The inputs of an article besides the entry."""

    feed: Scope
    # Slugs of topics that have a page.
    linked: tuple[str, ...]
    # Pictures and players load from other hosts.
    has_media: bool


def _render_entry(entry: Entry, scope: _ArticleScope, kinds: Iterable[str]) -> dict[str, Markup]:
    """The article as HTML. Not a template, because that takes several times as long."""
    entry = xml_safe_entry(entry)
    content, anchor = entry.content, anchor_of(entry)
    language = foreign_language(content, scope.feed)
    title, summary = escape(content.title), escape(content.summary)
    link = _outside_link(content.link, title) if content.link else f'<a href="#{anchor}">{title}</a>'
    parts = (
        f'<article class="entry" id="{anchor}"{_attribute("lang", language)}>',
        _picture(content.images[0]) if content.images and scope.has_media else "",
        _meta(entry),
        f'<h2 dir="auto">{link}</h2>',
        f'<p class="summary" dir="auto">{summary}</p>' if summary else "",
        *(_player(enclosure, has_media=scope.has_media) for enclosure in content.enclosures),
        _full_text(content.body_html, has_media=scope.has_media) if scope.feed.full else "",
        _related(content.related) if content.related else "",
        _topics(entry.topics, scope.linked) if entry.topics else "",
        "</article>",
    )
    return dict.fromkeys(kinds, Markup("\n".join(filter(None, parts))))  # noqa: S704 (all texts in it are escaped)


def anchor_of(entry: Entry) -> str:
    """The anchor of an entry on a page."""
    return "s-" + re.sub(r"[^0-9A-Za-z]", "", entry.id)[-12:]


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"' if value else ""


def _picture(image: Image) -> str:
    size = f' width="{image.width}" height="{image.height}"' if image.width > 0 and image.height > 0 else ""
    loading = 'alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer"'
    return f'<img class="picture" src="{escape(image.url)}" {loading}{size}>'


def _player(enclosure: Enclosure, *, has_media: bool) -> str:
    """A player for audio and video, which loads nothing by itself; a link for other files."""
    kind = enclosure.type.partition("/")[0]
    name = escape(xml_text(unquote(enclosure.url.partition("?")[0].rstrip("/").rpartition("/")[2])) or enclosure.url)
    if kind in ("audio", "video") and has_media:
        return f'<{kind} class="media" controls preload="none" src="{escape(enclosure.url)}" title="{name}"></{kind}>'
    return f'<p class="media">{_outside_link(enclosure.url, name)}</p>'


def _full_text(body_html: str, *, has_media: bool) -> str:
    """The sanitised body. Its headings become bold text, because they would break the outline of the page."""
    shown = _HEADING_TAG.sub(lambda tag: "</strong></p>" if tag[1] else "<p><strong>", body_html)
    shown = shown if has_media else _MEDIA_TAG.sub("", shown)
    return f'<details><summary>Full story</summary><div class="body" dir="auto">{shown}</div></details>'


def _related(stories: Iterable[Related]) -> str:
    links = [f"<li>{_outside_link(story.url, escape(story.title or story.url))}</li>" for story in stories]
    return f'<div class="related">See also<ul dir="auto">{"".join(links)}</ul></div>'


def _meta(entry: Entry) -> str:
    """Provider, date and video; empty if all are unknown."""
    content, provider = entry.content, provider_of(entry.content)
    parts = ""
    if provider:
        name = escape(provider.name)
        parts += f'<span dir="auto">{_outside_link(provider_url(provider), name) if provider.domain else name}</span>'
    if entry.published:
        time = entry.published
        parts += f'<time datetime="{rfc3339_date(time)}" title="{exact_time(time)}">{date_in_words(time)}</time>'
    if content.video_url:
        parts += f"<span>{_outside_link(content.video_url, 'Video')}</span>"
    return f'<p class="meta">{parts}</p>' if parts else ""


def _outside_link(url: str, html: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener">{html}</a>'


def _topics(topics: Iterable[Topic], linked: Container[str]) -> str:
    chips = [_chip(topic.slug, topic.name, linked=topic.slug in linked) for topic in topics]
    return "\n".join(('<ul class="chips" aria-label="Topics">', *chips, "</ul>"))


@lru_cache(maxsize=CACHED_TOPICS)
def _chip(slug: str, name: str, *, linked: bool) -> str:
    text = escape(name)
    chip = f'<a href="../{escape(slug)}/" dir="auto">{text}</a>' if linked else f'<span dir="auto">{text}</span>'
    return f"<li>{chip}</li>"


_CACHE = EntryCache(_render_entry, CACHE_BYTES)


def _below_parents(feeds: Sequence[FeedSummary]) -> list[FeedSummary]:
    """The feeds in their order, each followed by those of which it is the parent."""
    slugs = {feed.slug for feed in feeds}
    children: dict[str, list[FeedSummary]] = {}
    for feed in feeds:
        children.setdefault(feed.parent if feed.parent in slugs else "", []).append(feed)

    def below(parent: str) -> Iterable[FeedSummary]:
        for feed in children.get(parent, ()):
            yield feed
            yield from below(feed.slug)

    return list(below(""))


def _alternates(slug: str, title: str, site: Site, options: OutputOptions, query: str = "") -> list[dict[str, str]]:
    """The feed links of a page: type, title and URL for each format."""
    return [
        {
            "name": _FORMAT_NAMES[form],
            "type": MEDIA_TYPES[form],
            "title": f"{title} ({_FORMAT_NAMES[form]})",
            "url": feed_url(slug, form, site, query),
        }
        for form in FILE_NAMES
        if form in options.formats
    ]


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
    environment.filters |= {
        "date": date_in_words,
        "exact": exact_time,
        "iso": rfc3339_date,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def date_in_words(time: date) -> str:
    """The day in UTC, as in "20 May 2020"."""
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}"


def exact_time(time: datetime) -> str:
    """The time as in "20 May 2020, 12:00 UTC"."""
    return f"{date_in_words(time)}, {time:%H:%M} UTC"
