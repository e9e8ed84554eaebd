"""HTML pages: the list of feeds, a page for each feed, and its archive. They need neither scripts nor our server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aggregator.documents import ALL, PAGE, archive_path, archive_paths, content_security_policy
from aggregator.model import ArchivePage, Document, Entry, Feed, FeedSummary
from aggregator.render.articles import CardScope, date_in_words, exact_time, render_card
from aggregator.render.assembly import count_fitting
from aggregator.render.assets import assets_version
from aggregator.render.cache import CACHED_FEEDS
from aggregator.render.content import Scope
from aggregator.render.entries import render_columns
from aggregator.render.links import MEDIA_TYPES, feed_url
from aggregator.render.markup import rfc3339_date
from aggregator.render.xml_safe import xml_safe
from aggregator.settings import FILE_NAMES, OutputOptions, Site
from aggregator.unicode import xml_text

_URL_PART = re.compile(r"(?:[a-z]+://)?[^/?]+/?|/|\?.*")
_FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
# Bytes of a page, so that it has less than 100 KB: of full texts, of all cards, and of the list below the cards.
MAX_BODIES = 40_000
MAX_CARDS = 62_000
MAX_LINES = 24_000
MAX_NUMBERS = 200
"""Most links to pages at the start of an archive."""


def _html(text: str) -> Markup:
    """A text in which all is escaped already."""
    return Markup(text)  # noqa: S704 - made by `articles`


class Stories(NamedTuple):
    """What a page shows of the entries of a feed: the first ones as cards, the next in a list, the others not."""

    cards: list[Markup]
    lines: list[Markup]
    others: int


def render_feed_page(
    feed: Feed, entries: Sequence[Entry], site: Site, options: OutputOptions, linked: frozenset[str]
) -> Document:
    """The page of a feed; `linked` are the slugs that have a page to link to."""
    scope = Scope(site.base_url, feed.language, feed.full, site.language)
    picture = next((entry.content.images[0].url for entry in entries if entry.content.images), "")
    body = render_page(
        "feed",
        site,
        options,
        root="../",
        path=f"{feed.slug}/",
        description=feed.description,
        image=feed.image or (xml_text(picture) if options.remote_media else ""),
        feed=feed,
        alternates=_alternates(feed.slug, feed.title, site, options),
        stories=render_stories(entries, scope, options, linked),
    )
    return Document(f"{feed.slug}/{PAGE}", body)


def render_stories(entries: Sequence[Entry], scope: Scope, options: OutputOptions, linked: frozenset[str]) -> Stories:
    """The entries, as far as there is room on a page. Cards have their full text, as far as there is room, if the feed
    has it. The first entry always is a card, without its related stories if they have no room."""
    cards: list[Markup] = []
    size, room = 0, MAX_BODIES if scope.full else 0
    for entry in entries:
        has_body = scope.full and 0 < len(entry.content.body_html.encode(errors="replace")) <= room - size
        slugs = tuple([topic.slug for topic in entry.topics if topic.slug in linked])
        look = CardScope(scope._replace(full=has_body), slugs, options.remote_media)
        card = _html(render_card(entry, look))
        size += len(card.encode())
        if size > MAX_CARDS and cards:
            break
        if size > MAX_CARDS:
            card = _html(render_card(entry._replace(content=entry.content._replace(related=())), look))
        cards.append(card)
    rest = entries[len(cards) :]
    (lines,) = render_columns(rest, scope, ("line",))
    shown = count_fitting(lines, b"", MAX_LINES)
    return Stories(cards, [_html(line.decode()) for line in lines[:shown]], len(rest) - shown)


def render_index_page(feeds: tuple[FeedSummary, ...], site: Site, options: OutputOptions) -> Document:
    """The list of feeds, in the order given, topics below their parents; the feed `all` is set apart."""
    everything = next((feed for feed in feeds if feed.slug == ALL), None)
    titles = {feed.slug: feed.title for feed in feeds}
    others = _below_parents([feed for feed in feeds if feed is not everything])
    body = render_page(
        "index",
        site,
        options,
        root="",
        path="",
        description=f"Every feed of {site.title}, to read or to follow in a feed reader.",
        alternates=_alternates(ALL, site.title, site, options) if everything else (),
        everything=everything,
        lines=[_feed_line(feed, depth, titles[feed.parent] if depth else "", site.title) for feed, depth in others],
    )
    return Document(PAGE, body)


@lru_cache(maxsize=CACHED_FEEDS)
def _feed_line(feed: FeedSummary, depth: int, parent: str, site_title: str) -> Markup:
    """A feed in the list of feeds; cached, because few of them change between two cycles."""
    macros: Any = _environment().get_template("macros.html").module
    line: Markup = macros.feed_line(feed, depth, parent, site_title)
    return line


def render_search_page(
    feed: Feed, site: Site, options: OutputOptions, linked: frozenset[str], *, root: str, query: str, **values: Any
) -> Document:
    """The page of a search; `feed` is the search as a feed, empty for a query that cannot be searched for."""
    scope = Scope(site.base_url, feed.language, full=False, site_language=site.language)
    stories = render_stories(feed.entries, scope, options, linked)
    is_found = bool(query) and not values["problem"]
    body = render_page(
        "search",
        site,
        options,
        root=root,
        query=query,
        count=len(feed.entries),
        alternates=_alternates(feed.slug, feed.title, site, options, feed.query) if is_found else (),
        stories=stories._replace(
            cards=[_html(str(card).replace('href="../', f'href="{root}')) for card in stories.cards]
        ),
        **values,
    )
    return Document(f"{feed.slug}/{PAGE}", body)


def render_archive_list(
    feed: Feed, page: ArchivePage, lines: Sequence[bytes], site: Site, options: OutputOptions
) -> tuple[Document, ...]:
    """The entries of an archive page as a compact list. The newest page is also the start of the archive, with links to
    all pages. `lines` are the entries."""
    number, is_newest = page.number, page.number == feed.pages
    _, html, *start = archive_paths(feed.slug, number, options, is_newest=is_newest)
    sealed = f"{site.base_url}{archive_path(feed.slug, number)}"
    render = partial(
        render_page,
        "archive",
        site,
        options,
        root="../../",
        language=feed.language,
        title=feed.title,
        page_title=feed.title if feed.title == site.title else f"{feed.title} – {site.title}",
        number=number,
        alternates=[{"type": MEDIA_TYPES["atom"], "title": feed.title, "url": sealed}],
        items=_html(b"".join(lines).decode()),
        newer="../" if is_newest else _archive_name(number + 1),
        older=_archive_name(number - 1) if number > 1 else "",
    )
    documents = [Document(html, render(path=html, numbers=""))]
    if start:
        numbers = _numbers(feed.pages) if feed.pages > 1 else ""
        documents.append(Document(start[0], render(path=start[0].removesuffix(PAGE), numbers=numbers)))
    return tuple(documents)


def _archive_name(number: int) -> str:
    return f"{number:04}.html"


def _numbers(pages: int) -> Markup:
    """Links to all pages of an archive, or to every tenth or so."""
    step = -(-pages // MAX_NUMBERS)
    links = [f'<li><a href="{_archive_name(number)}">{number}</a></li>\n' for number in range(pages, 0, -step)]
    return _html("".join(links))


def render_error_page(status: int, site: Site, options: OutputOptions, *, root: str) -> bytes:
    """What people see at a URL without a document (404), or with one that was removed (410)."""
    return render_page("error", xml_safe(site), options, root=root, is_gone=status == 410)


def render_page(
    name: str,
    site: Site,
    options: OutputOptions,
    *,
    root: str,
    path: str | None = None,
    description: str = "",
    image: str = "",
    alternates: Sequence[Mapping[str, str]] = (),
    **values: Any,
) -> bytes:
    """A page by its template. `root` leads to the home page; `path` is the path of the page, None if it has no URL to
    keep; `description` and `image`, a picture, are what other sites show of it; `alternates` are its feeds."""
    page = _environment().get_template(f"{name}.html")
    text = page.render(
        site=site,
        root=root,
        canonical=None if path is None else f"{site.base_url}{path}",
        description=description,
        og_image=image or site.icon,
        alternates=alternates,
        assets=assets_version(site.stylesheet),
        csp=content_security_policy(site.icon, options),
        **values,
    )
    return text.encode()


def _below_parents(feeds: Sequence[FeedSummary]) -> list[tuple[FeedSummary, int]]:
    """The feeds in their order, each followed by those of which it is the parent; and how deep each is."""
    slugs = {feed.slug for feed in feeds}
    children: dict[str, list[FeedSummary]] = {}
    for feed in feeds:
        children.setdefault(feed.parent if feed.parent in slugs else "", []).append(feed)
    placed = []
    rest = [(feed, 0) for feed in reversed(children.get("", ()))]
    while rest:
        feed, depth = rest.pop()
        placed.append((feed, depth))
        rest += [(child, depth + 1) for child in reversed(children.get(feed.slug, ()))]
    return placed


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


def _breakable(url: str) -> Markup:
    """A URL that a narrow window breaks at its slashes, and before its query, rather than anywhere."""
    return _html("<wbr>".join(str(escape(part)) for part in _URL_PART.findall(url)))


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
        "breakable": _breakable,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment
