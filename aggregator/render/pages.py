"""HTML pages: the list of feeds, a page for each feed, and its archive. They need neither scripts nor our server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aggregator.documents import ALL, PAGE, archive_paths, content_security_policy
from aggregator.model import NO_RELATIVES, ArchivePage, Document, Entry, Feed, FeedLink, FeedSummary, Relatives
from aggregator.problems import local_time
from aggregator.render.articles import (
    CardScope,
    anchor_of,
    chip_link,
    date_in_words,
    english,
    exact_time,
    render_card,
    without_link,
)
from aggregator.render.assets import assets_version
from aggregator.render.cache import CACHED_FEEDS
from aggregator.render.content import Scope, is_right_to_left
from aggregator.render.entries import render_columns, scope_of
from aggregator.render.links import MEDIA_TYPES, feed_url
from aggregator.render.markup import rfc3339_date
from aggregator.settings import FILE_NAMES, OutputOptions, Site
from aggregator.unicode import is_visible, xml_text

_URL_PART = re.compile(r"(?:[a-z]+://)?[^/?]+/?|/|\?.*")
_FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
# Bytes of a page, so that it has less than 100 KB: of full texts, and of all cards with the list below them.
MAX_BODIES = 40_000
MAX_STORIES = 86_000
MAX_DEPTH = 8
"""Topics below more parents than this are shown at this depth; style.css has a rule for each depth."""
MAX_NUMBERS = 200
"""Most links to pages at the start of an archive."""


def _html(text: str) -> Markup:
    """A text in which all is escaped already."""
    return Markup(text)  # noqa: S704 - made by `articles`


class Stories(NamedTuple):
    """What a page shows of the entries of a feed: the first ones as cards, the others in a list."""

    cards: list[str]
    lines: list[str]


def render_feed_page(
    feed: Feed,
    entries: Sequence[Entry],
    site: Site,
    options: OutputOptions,
    linked: frozenset[str],
    relatives: Relatives = NO_RELATIVES,
) -> Document:
    """The page of a feed; `linked`: slugs with a page to link to; `relatives`: feeds of topics above and below."""
    scope = scope_of(feed, site)
    parents, children = (tuple(map(_visible, links)) for links in relatives)
    picture = next((entry.content.images[0].url for entry in entries if entry.content.images), "")
    body = render_page(
        "feed",
        site,
        options,
        root="../",
        path=f"{feed.slug}/",
        description=feed.description,
        image=feed.image or (xml_text(picture) if options.remote_media else ""),
        language=feed.language,
        feed=feed,
        title=_shown_title(feed),
        is_everything=feed.slug == ALL,
        described_by_us=next(
            (name for name in (feed.title, "Everything") if feed.description == f"{name} from {site.title}"), ""
        ),
        alternates=_alternates(feed.slug, feed.title, site, options),
        parents=parents,
        children=children,
        count=len(entries),
        newest=max((entry.published for entry in entries if entry.published), default=None),
        stories=render_stories(entries, scope, options, linked, own=feed.slug, taken=sum(map(_chip_bytes, children))),
        older=_older_url(feed),
    )
    return Document(f"{feed.slug}/{PAGE}", body)


def _visible(link: FeedLink) -> FeedLink:
    """The link, with its slug as the title if that has nothing that can be seen."""
    return link if is_visible(link.title) else link._replace(title=link.slug)


def _chip_bytes(link: FeedLink) -> int:
    """About how many bytes the link takes."""
    return 60 + len(link.slug) + len(escape(link.title).encode())


def render_stories(
    entries: Sequence[Entry],
    scope: Scope,
    options: OutputOptions,
    linked: frozenset[str],
    *,
    own: str = "",
    taken: int = 0,
) -> Stories:
    """All entries: as many as there is room for on a page as cards, and lines for the others. Cards have their full
    text, as far as there is room, if the feed has it. The first entry always is a card, without its related stories if
    they have no room. `own` is the slug of the page, which does not link to itself; `taken` bytes of the room are."""
    (lines,) = render_columns(entries, scope, ("line",))
    cards: list[str] = []
    size, left = 0, sum(map(len, lines))  # of the cards, and of the lines of the other entries
    most, own_link = MAX_STORIES - taken, chip_link(own)
    for entry, line in zip(entries, lines, strict=True):
        left -= len(line)
        room = most - size - left
        body_size = len(entry.content.body_html.encode(errors="replace")) if scope.full else 0
        slugs = tuple([topic.slug for topic in entry.topics if topic.slug in linked])
        look = CardScope(
            scope._replace(full=0 < body_size <= min(room, MAX_BODIES - size)), slugs, options.remote_media
        )
        card = render_card(entry, look)
        card_size = len(card.encode())
        if card_size > room and look.feed.full:
            card = render_card(entry, look._replace(feed=scope._replace(full=False)))
            card_size = len(card.encode())
        if card_size > room and cards:
            break
        if card_size > room:
            card = render_card(entry._replace(content=entry.content._replace(related=())), look)
            card_size = len(card.encode())
        cards.append(without_link(card, own_link) if own in slugs else card)
        size += card_size
    return Stories(cards, [line.decode() for line in lines[len(cards) :]])


def _shown_title(feed: Feed) -> str:
    """What pages call the feed: `all` has the title of the site, which is the title of the home page."""
    return "Everything" if feed.slug == ALL else feed.title


def _older_url(feed: Feed) -> str:
    """Where the stories begin that the page of the feed does not show, relative to it; empty if it shows all."""
    if feed.older is None:
        return ""
    name = "" if feed.older.page == feed.pages else _archive_name(feed.older.page)
    return f"archive/{name}" if feed.older.is_first else f"archive/{name}#{anchor_of(feed.older.id)}"


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
        language=site.language,
        description=site.description or f"Every feed of {site.title}, to read or to follow in a feed reader.",
        alternates=_alternates(ALL, site.title, site, options) if everything else (),
        everything=everything,
        lines=[_feed_line(feed, depth, titles[feed.parent] if depth else "", site) for feed, depth in others],
    )
    return Document(PAGE, body)


@lru_cache(maxsize=CACHED_FEEDS)
def _feed_line(feed: FeedSummary, depth: int, parent: str, site: Site) -> Markup:
    """A feed in the list of feeds; cached, because few of them change between two cycles."""
    macros: Any = _environment().get_template("macros.html").module
    line: Markup = macros.feed_line(feed, depth, MAX_DEPTH, parent, site, english(site.language))
    return line


def render_search_page(
    feed: Feed, site: Site, options: OutputOptions, linked: frozenset[str], *, root: str, query: str, **values: Any
) -> Document:
    """The page of a search; `feed` is the search as a feed, empty for a query that cannot be searched for."""
    scope = scope_of(feed, site)
    stories = render_stories(feed.entries, scope, options, linked)
    is_found = bool(query) and not values["problem"]
    body = render_page(
        "search",
        site,
        options,
        root=root,
        language=site.language,
        query=query,
        count=len(feed.entries),
        alternates=_alternates(feed.slug, feed.title, site, options, feed.query) if is_found else (),
        stories=stories._replace(cards=[card.replace('href="../', f'href="{root}') for card in stories.cards]),
        **values,
    )
    return Document(f"{feed.slug}/{PAGE}", body)


def render_archive_list(
    feed: Feed, page: ArchivePage, lines: Sequence[bytes], site: Site, options: OutputOptions
) -> tuple[Document, ...]:
    """The entries of an archive page as a compact list. The newest page is also the start of the archive, with links to
    all pages. `lines` are the entries."""
    number, is_newest, title = page.number, page.number == feed.pages, _shown_title(feed)
    _, html, *start = archive_paths(feed.slug, number, options, is_newest=is_newest)
    render = partial(
        render_page,
        "archive",
        site,
        options,
        root="../../",
        language=feed.language,
        title=title,
        page_title=title if title == site.title else f"{title} – {site.title}",
        own="" if feed.slug == ALL or not english(feed.language) else _html(f' lang="{escape(feed.language)}"'),
        is_everything=feed.slug == ALL,
        description=f"Older stories of {title}, page {number} of the archive.",
        number=number,
        is_newest=is_newest,
        # its own Atom document never gets a new entry, so nobody should follow that
        alternates=_alternates(feed.slug, feed.title, site, options),
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
    return render_page("error", site, options, root=root, is_gone=status == 410)


def render_page(
    name: str,
    site: Site,
    options: OutputOptions,
    *,
    root: str,
    path: str | None = None,
    language: str = "en",
    description: str = "",
    image: str = "",
    alternates: Sequence[Mapping[str, str]] = (),
    **values: Any,
) -> bytes:
    """A page by its template. `root` leads to the home page; `path` is the path of the page, None if it has no URL to
    keep; `language` is that of its contents, empty if unknown; `description` and `image`, a picture, are what other
    sites show of it; `alternates` are its feeds."""
    page = _environment().get_template(f"{name}.html")
    text = page.render(
        site=site,
        root=root,
        language=language or "en",
        en=english(language),
        is_right_to_left=is_right_to_left(language),
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
        "date": lambda time, site: date_in_words(local_time(time, site.timezone)),
        "exact": lambda time, site: exact_time(local_time(time, site.timezone)),
        "iso": rfc3339_date,
        "breakable": _breakable,
        "together": lambda parts, separator: _html(separator.join(parts)),  # each escaped already
        # the URL that a feed reader of the device opens; readers take `feed://` for http
        "in_reader": lambda url: f"feed:{url.removeprefix('http:')}",
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment
