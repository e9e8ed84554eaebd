"""The types that flow through the pipeline, each made by one stage and read by the next.

    Source -> SourceFile -> Record | Rejection -> Feed -> Document -> CycleResult

All are frozen. Times are aware UTC `datetime`; formats belong to `render`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Format = Literal["rss", "atom", "json"]
Layout = Literal["plain", "jekyll", "hugo"]
"""What a system says of a record beside its front matter: in the names of files and folders, in the body."""
FILE_NAMES: dict[Format, str] = {"rss": "rss.xml", "atom": "atom.xml", "json": "feed.json"}
"""What the document of each format is called in the folder of its feed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place; `str()` is the line that people read.

    `line` and `column` count from 1; 0 is unknown. `value` is shown only for keys that may be public.
    """

    path: str
    line: int
    column: int
    what: str
    value: str | None = None
    todo: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        # a file may be called anything, also what would end a line or command a terminal
        place = self.path if self.path.isprintable() else self.path.encode("unicode_escape").decode()
        if self.line:
            place += f":{self.line}:{self.column or 1}"
        text = f"{place}: {self.what}"
        if self.value is not None:
            shown = self.value if len(self.value) <= 80 else self.value[:79] + "…"
            text += f": {shown!r}"
        return f"{text} ({self.todo})" if self.todo else text


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


class SourceFile(NamedTuple):
    """A file seen in a folder: a stat, nothing read yet. `path` is relative, POSIX, escaped (`naming.escape_name`)."""

    source: str
    path: str
    size: int
    mtime_ns: int


KnownFile = tuple[str, int | None, int | None]
"""What the store knows of a file: path, size and mtime in ns; no size where it is to be read though its stat agrees, no
mtime where it was not there. A plain tuple, because of most files all that is ever asked is whether it is the same."""


class Provider(NamedTuple):
    """Who published the original; `domain` is a bare host name or empty."""

    name: str
    domain: str


class Image(NamedTuple):
    """An absolute http(s) address; `width` and `height` in pixels, 0 is unknown."""

    url: str
    width: int
    height: int


class Related(NamedTuple):
    """A link to another story."""

    url: str
    title: str


class Content(NamedTuple):
    """All of a record that a reader can see, except dates: cleaned, plain text unless named `_html`.

    `link` is the address of the story, `original_link` where it came from when that differs. Texts hold XML 1.0
    characters only.
    """

    title: str
    summary: str
    body_html: str
    link: str | None
    original_link: str | None
    provider: Provider | None
    topics: tuple[str, ...]
    category: str
    type: str
    language: str
    images: tuple[Image, ...]
    video_url: str | None
    related: tuple[Related, ...]


class Record(NamedTuple):
    """What one file says, normalised.

    `public` is what its flags say; dates are judged later. `content_json` is the content less its body, as
    `content.content_json` has it. The hashes are 16 bytes each: `content_hash` over the visible fields as the file
    states them (finds renames), `visible_hash` over all that a reader can see but dates, `selection_hash` over what
    only rules read, `text_hash` over title, summary and body (moves `updated`). `sketch` is what `sketch.make_sketch`
    gives.
    `quality` and `heat` are -1 when not scored. `id_place` is line and column of the explicit id.
    """

    file: SourceFile
    digest: bytes
    explicit_id: str | None
    public: bool
    content: Content
    content_json: str
    published: datetime | None
    updated: datetime | None
    expires: datetime | None
    quality: float
    heat: float
    content_hash: bytes
    visible_hash: bytes
    selection_hash: bytes
    text_hash: bytes
    sketch: bytes
    warnings: tuple[Problem, ...]
    id_place: tuple[int, int] = (0, 0)


class RecordRow(NamedTuple):
    """A Record as it is stored, and as it goes from one process to another: of its content only the JSON, the body and
    the topics."""

    file: SourceFile
    digest: bytes
    explicit_id: str | None
    public: bool
    content_json: str
    body_html: str
    topics: tuple[str, ...]
    published: datetime | None
    updated: datetime | None
    expires: datetime | None
    quality: float
    heat: float
    content_hash: bytes
    visible_hash: bytes
    selection_hash: bytes
    text_hash: bytes
    sketch: bytes
    warnings: tuple[Problem, ...]
    id_place: tuple[int, int]


def duplicate_id(record: Record | RecordRow, holder: str) -> Problem:
    """The refusal of a record that states the explicit id of the one at `holder`."""
    what, todo = f"'id' is that of {holder} already", "give one of them another id"
    return Problem(record.file.path, *record.id_place, what, record.explicit_id, todo)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that gives no record.

    `unfinished`: its front matter has no end, or ends inside a character, and changed within the last minute, so it is
    tried again.
    `hides`: the flag that publishes is itself unusable, so an entry that is out must be withdrawn.
    """

    file: SourceFile
    digest: bytes
    problem: Problem
    unfinished: bool = False
    hides: bool = False


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file whose bytes are those that are stored."""

    file: SourceFile
    digest: bytes


class Topic(NamedTuple):
    """One topic of an entry, as feeds name it: `slug` is the term, `name` the label."""

    slug: str
    name: str


class Entry(NamedTuple):
    """What the documents of a feed say of one entry."""

    id: str
    published: datetime | None
    updated: datetime
    topics: tuple[Topic, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that was withdrawn from the whole site (RFC 6721)."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """What one slug publishes now: entries newest first, `updated` its content's and never the clock's.

    `id` is the Atom id, an IRI that stays when the feed moves. `full` puts bodies into the documents. `image` is the
    address of a picture of its own, or empty. `pages` is how many archive pages it has.
    """

    slug: str
    id: str
    title: str
    description: str
    language: str
    updated: datetime
    full: bool
    version: int
    entries: tuple[Entry, ...]
    withdrawn: tuple[Withdrawal, ...]
    image: str = ""
    pages: int = 0


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """A page of what a feed held (RFC 5005 section 4): sealed, so it changes only when an entry in it does or goes.

    `number` counts from 1, the oldest; entries are newest first.
    """

    number: int
    updated: datetime
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class FeedSummary:
    """One line of the list of feeds. `newest` is when its newest entry was released."""

    slug: str
    title: str
    description: str
    entries: int
    newest: datetime | None
    updated: datetime


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
    `text` are phrases as `phrases.read_phrase` gives them. `order` is the date that an entry has its place by. With
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
class Facts:
    """What rules read of an entry, folded as topics are; `quality` and `heat` are -1 when not scored.

    `texts` are title and summary as they are: few rules read them, and folding is dear.
    """

    topics: frozenset[str]
    category: str
    type: str
    provider: str
    provider_domain: str
    language: str
    quality: float
    heat: float
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicTables:
    """What the config says of topics, each by its key (`naming.topic_key`).

    `alias` leads from another spelling to the topic itself, `parents` from a topic to the one that it belongs to; there
    are no circles. `names` are the spellings of the config for the topics that both lead to. `titles` and
    `descriptions` are those of topics' feeds, `slugs` their addresses. No key but those of `alias` is one of `alias`.
    """

    alias: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    slugs: Mapping[str, str] = field(default_factory=dict)

    def topic(self, key: str) -> str:
        """The topic that a spelling stands for."""
        return self.alias.get(key, key)

    def lineage(self, key: str) -> tuple[str, ...]:
        """The topic that a spelling stands for, and those that it belongs to, the nearest first."""
        found = [self.alias.get(key, key)]
        while (parent := self.parents.get(found[-1])) is not None:
            found.append(parent)
        return tuple(found)

    def named(self, names: Iterable[str], fold: Callable[[str], str]) -> dict[str, str]:
        """What an entry that states these names calls its topics, by their keys, in its order and each once."""
        found: dict[str, str] = {}
        for name in names:
            key = fold(name)
            topic = self.alias.get(key, key)
            found.setdefault(topic, name if topic == key else self.names[topic])
        return found

    def all_of(self, keys: Iterable[str]) -> frozenset[str]:
        """The topics that an entry is in which states these."""
        if not self.alias and not self.parents:
            return frozenset(keys)
        return frozenset(one for key in keys for one in self.lineage(key))


NO_TABLES = TopicTables()
"""Every topic is what records call it."""


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
    feed of its own if `auto`, with its `min_entries`-th entry. With `archive`, what leaves a feed stays in its pages.
    `specs` are the feeds of the config, by slug, `tables` what it says of topics.
    """

    limit: int
    min_stay: timedelta
    late: timedelta
    tombstones: timedelta
    auto: bool
    min_entries: int
    archive: bool = False
    specs: Mapping[str, FeedSpec] = field(default_factory=dict)
    tables: TopicTables = NO_TABLES


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the output folder; `path` is relative to it and POSIX."""

    path: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one cycle did, in numbers; `problems` are those of whole sources and of publishing.

    `due` is when the next entry becomes public or expires by itself; `complete` is False when a records folder
    could not be scanned, `published` when the output folder could not be brought up to date.
    """

    scanned: int
    new: int
    changed: int
    removed: int
    rejected: int
    feeds_written: int
    files_written: int
    seconds: float
    problems: tuple[str, ...]
    complete: bool
    published: bool
    due: datetime | None


@dataclass(frozen=True, slots=True)
class FeedMoves:
    """What a cycle would put into a feed and take out of it, as (id, title), in the order shown."""

    slug: str
    joins: tuple[tuple[str, str], ...]
    leaves: tuple[tuple[str, str], ...]
