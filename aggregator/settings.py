"""What the config tells the stages: sources, the site, documents, rules and feeds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from aggregator.paths import is_bucket_url
from aggregator.topic_tables import NO_TABLES, TopicTables

UTC_ZONE = ZoneInfo("UTC")
Format = Literal["rss", "atom", "json"]
Layout = Literal["plain", "jekyll", "hugo"]
"""The site generator whose path and body conventions apply (dated file names, `_drafts`, excerpt markers)."""

DATE_PLACEHOLDERS: Mapping[str, str] = {
    "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S",
    "i_day": "%-d", "i_month": "%-m", "short_month": "%b", "long_month": "%B", "short_year": "%y",
    "w_year": "%G", "week": "%V", "w_day": "%u", "short_day": "%a", "long_day": "%A", "y_day": "%j",
}  # fmt: skip
"""The placeholders of a link template for the published date, with their forms in `strftime`."""
PAGE_PLACEHOLDERS = frozenset(("path", "slug"))
"""Its other placeholders, in every layout."""
JEKYLL_PLACEHOLDERS = frozenset(("categories", "collection", "name", "output_ext", "slugified_categories", "title"))
"""Those that only the layout `jekyll` has."""

MAX_PARSED_DEPTH = 256
"""Levels of a parsed value that recursive functions can handle."""
PLUS = " + "
"""Between keys of front matter whose topics are combined."""

FILE_NAMES: dict[Format, str] = {"rss": "rss.xml", "atom": "atom.xml", "json": "feed.json"}
"""The file name of each format in the folder of a feed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A records folder and how to read it. docs/spec.md#records-folders."""

    name: str
    root: str  # an absolute path, or the URL of a bucket and a prefix without a slash at its end
    include: tuple[str, ...]
    fields: tuple[tuple[str, tuple[str, ...]], ...]  # field -> keys, the first present wins; a dot leads one level down
    default_published: bool
    max_bytes: int
    max_depth: int
    max_nodes: int
    removal_grace: timedelta  # how long a mass removal waits, and how long a rename may take
    topics: tuple[str, ...]
    link_template: str | None
    timezone: ZoneInfo
    body_base: str | None = None  # base of relative URLs in the body of a record without a link; None: no bodies
    layout: Layout = "plain"
    language: str = ""  # of its records; file names of those in other languages name the language
    exclude: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()  # that a name such as `title.de.md` may end in, besides the language of the site
    site_language: str = ""  # in Hugo, URLs of pages in other languages begin with them; empty: the same
    default_topics: tuple[str, ...] = ()  # of a record that states none; in Jekyll, no tags
    site_url: str | None = None  # of the site whose pages the records are; None: as far as the link template says it
    other_keys: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of dates and topics, that only other presets read

    @property
    def is_bucket(self) -> bool:
        """Whether its files are objects of a bucket."""
        return is_bucket_url(self.root)

    @property
    def known_languages(self) -> tuple[str, ...]:
        """The languages that names may end in."""
        return tuple(dict.fromkeys(filter(None, (self.language, self.site_language, *self.languages))))


@dataclass(frozen=True, slots=True)
class Site:
    """The site, as every document names it."""

    title: str
    base_url: str  # ends with a slash
    language: str
    author: str
    icon: str
    copyright: str
    ttl: int  # minutes
    hub_urls: tuple[str, ...] = ()  # of WebSub
    feed_title: str = "{title} – {site}"  # what readers show as the title of a feed
    stylesheet: str = ""  # the CSS of the site, after ours
    timezone: ZoneInfo = UTC_ZONE  # of the dates on pages
    description: str = ""  # what the site is about; also of the feed `all`


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The documents of a feed, and how many bytes one may have."""

    formats: tuple[Format, ...]
    pages: bool
    max_bytes: int
    remote_media: bool = True  # pages show pictures and players of entries, from their own hosts

    def published_format(self, preferred: Format = "rss") -> Format:
        """The preferred format if it is published, else the first published one."""
        return next(form for form in (preferred, *FILE_NAMES) if form in self.formats)


@dataclass(frozen=True, slots=True)
class Clause:
    """The values that one field must have. An empty set matches everything."""

    any: frozenset[str] = frozenset()  # at least one of these
    all: frozenset[str] = frozenset()  # each of these
    none: frozenset[str] = frozenset()  # none of these


NO_CLAUSE = Clause()
"""The clause of a field without a condition."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: an entry is in the feed if it meets every clause. Values are folded like topics. docs/spec.md#rules."""

    topics: Clause = NO_CLAUSE
    category: Clause = NO_CLAUSE
    type: Clause = NO_CLAUSE
    provider: Clause = NO_CLAUSE
    language: Clause = NO_CLAUSE
    default_language: str = ""  # of entries without a language, if there is a language clause
    min_quality: float | None = None
    min_heat: float | None = None
    text: Clause = NO_CLAUSE  # phrases, as `phrases.parse_phrase` returns them
    order: Literal["released", "published"] = "released"  # the date that sorts entries
    duplicates: Literal["keep", "merge"] = "keep"  # merge: only the first released entry of each canonical link


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A [[feed]] of the config. Missing texts are empty."""

    slug: str
    title: str
    description: str
    image: str
    language: str
    rule: Rule
    full: bool  # documents have bodies
    limit: int | None
    moved_from: tuple[str, ...]  # old slugs, and old paths in the output folder
    max_age: timedelta | None = None  # since the published date; documents have no older entry
    per_provider: int | None = None  # most entries of one provider in a document

    @property
    def old_slugs(self) -> tuple[str, ...]:
        """The slugs in `moved_from`: folders with all documents of the feed."""
        return tuple(old for old in self.moved_from if "/" not in old and "." not in old)

    @property
    def old_paths(self) -> tuple[str, ...]:
        """The paths in `moved_from`, each of one document."""
        return tuple(old for old in self.moved_from if old not in self.old_slugs)


@dataclass(frozen=True, slots=True)
class FeedPolicy:
    """What decides which feeds exist, and the window of each. docs/spec.md#order-and-window."""

    limit: int  # the newest entries of a window
    min_stay: timedelta  # also entries released within this time, up to 4 * limit entries
    late: timedelta  # older entries do not get to the top when they arrive
    tombstones: timedelta  # how long Atom documents name a withdrawn entry
    auto: bool  # topics have feeds
    min_entries: int  # a topic gets its feed with so many entries
    max_feeds: int  # most topics with a feed
    keep_empty: timedelta  # the feed of a topic ends after so long without an entry
    archive: bool = False  # archive pages have the entries that left the window
    full: bool = False  # documents of feeds without a spec have bodies
    specs: Mapping[str, FeedSpec] = field(default_factory=dict)  # by slug
    tables: TopicTables = NO_TABLES

    def is_full(self, slug: str) -> bool:
        """Whether the documents and archive pages of the feed with this slug have bodies."""
        spec = self.specs.get(slug)
        return self.full if spec is None else spec.full
