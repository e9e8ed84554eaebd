"""The pages that people open in a browser: one that lists the feeds, and one a feed. No scripts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aggregator.model import FILE_NAMES, Document, Entry, Feed, FeedSummary, OutputOptions, Site
from aggregator.render import opml
from aggregator.render.parts import (
    MEDIA_TYPES,
    PAGE,
    Rendered,
    Scope,
    document,
    feed_url,
    foreign_language,
    presentable_entry,
    provider_of,
    provider_url,
)

# Python's own %B follows the locale of the process.
_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
ALL = "all"
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
        opml=f"{site.base_url}{opml.FILE_NAME}",
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
    entry = presentable_entry(entry)
    content = entry.content
    html = _template("entry").render(
        entry=entry,
        content=content,
        provider=provider_of(content),
        language=foreign_language(content, place.scope),
        image=content.images[0] if content.images else None,
        linked=place.linked,
    )
    return dict.fromkeys(kinds, Markup(html))  # noqa: S704 (our own template made it, with autoescape on)


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
    environment.filters |= {"date": _date_in_words, "provider_url": provider_url}
    return environment


def _date_in_words(time: datetime) -> str:
    """The day in UTC, as in "20 May 2020"."""
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}"
