"""What the config tells the stages: sources, the site, documents, rules and feeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from aggregator.topics import NO_TABLES, TopicTables

Format = Literal["rss", "atom", "json"]


Layout = Literal["plain", "jekyll", "hugo"]
"""What a system says of a record beside its front matter: in the names of files and folders, in the body."""


FILE_NAMES: dict[Format, str] = {"rss": "rss.xml", "atom": "atom.xml", "json": "feed.json"}
"""What the document of each format is called in the folder of its feed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of records and how to read them.

    `fields` maps a field of ours to the front matter keys that may hold it, first present wins; a dot goes
    one level down. `removal_grace` is how long a mass removal waits and a rename may take. `body_base` is where the
    relative addresses in the body of a record without a link start, None when no feed shows bodies. `language` is that
    of the site, which records in another one have in the names of their files.
    """

    name: str
    root: str
    include: tuple[str, ...]
    fields: tuple[tuple[str, tuple[str, ...]], ...]
    default_published: bool
    max_bytes: int
    max_depth: int
    max_nodes: int
    removal_grace: timedelta
    topics: tuple[str, ...]
    link_template: str | None
    timezone: ZoneInfo
    body_base: str | None = None
    layout: Layout = "plain"
    language: str = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """What every document says of where it comes from. `base_url` ends with a slash; `ttl` is in minutes."""

    title: str
    base_url: str
    language: str
    author: str
    icon: str
    copyright: str
    ttl: int
    hub_url: str = ""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Which documents a feed has, and how many bytes one may be."""

    formats: tuple[Format, ...]
    pages: bool
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Clause:
    """What one field of an entry must have: one of `any`, each of `all`, none of `none`; an empty set asks nothing."""

    any: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()
    none: frozenset[str] = frozenset()


NO_CLAUSE = Clause()
"""What a rule says of a field that it does not look at."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a feed takes: the entries that meet every clause; all of them without any. Values are folded as topics are.

    `default_language` is what an entry without a language counts as, where the rule asks for languages. The values of
    `text` are phrases as `phrases.parse_phrase` gives them. `order` is the date that an entry has its place by. With
    `duplicates` merged, the first released of the entries with one canonical link stands for all that the clauses take.
    """

    topics: Clause = NO_CLAUSE
    category: Clause = NO_CLAUSE
    type: Clause = NO_CLAUSE
    provider: Clause = NO_CLAUSE
    language: Clause = NO_CLAUSE
    default_language: str = ""
    min_quality: float | None = None
    min_heat: float | None = None
    text: Clause = NO_CLAUSE
    order: Literal["released", "published"] = "released"
    duplicates: Literal["keep", "merge"] = "keep"


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A feed of the config, as it says. Texts are empty and `limit` is None where it says nothing.

    `full` puts bodies into the documents. `moved_from` are old slugs, and old paths of the output folder. Its documents
    hold no entry of `max_age` or more since its publication, and at most `per_provider` of one provider.
    """

    slug: str
    title: str
    description: str
    image: str
    language: str
    rule: Rule
    full: bool
    limit: int | None
    moved_from: tuple[str, ...]
    max_age: timedelta | None = None
    per_provider: int | None = None

    @property
    def old_slugs(self) -> tuple[str, ...]:
        """Those of `moved_from` that name a folder with all documents of a feed, as a slug does."""
        return tuple(old for old in self.moved_from if "/" not in old and "." not in old)

    @property
    def old_paths(self) -> tuple[str, ...]:
        """The others of `moved_from`, each the path of one document."""
        return tuple(old for old in self.moved_from if old not in self.old_slugs)


@dataclass(frozen=True, slots=True)
class FeedPolicy:
    """What every feed holds: the newest `limit` entries and, up to four times that, those released within `min_stay`.

    An entry older than `late` when it comes is not put on top; a withdrawal is told for `tombstones`. A topic gets a
    feed of its own if `auto`, with its `min_entries`-th entry, and `max_feeds` topics at most have one; it goes when it
    has had no entry for `keep_empty`. With `archive`, what leaves a feed stays in its pages.
    `specs` are the feeds of the config, by slug, `tables` what it says of topics.
    """

    limit: int
    min_stay: timedelta
    late: timedelta
    tombstones: timedelta
    auto: bool
    min_entries: int
    max_feeds: int
    keep_empty: timedelta
    archive: bool = False
    specs: Mapping[str, FeedSpec] = field(default_factory=dict)
    tables: TopicTables = NO_TABLES
