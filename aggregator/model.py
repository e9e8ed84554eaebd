"""The types that flow through the pipeline, each made by one stage and read by the next.

    Source -> SourceFile -> Record | Rejection -> Feed -> Document -> CycleResult

All are frozen. Times are aware UTC `datetime`; formats belong to `render`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from aggregator.problems import Problem


class SourceFile(NamedTuple):
    """A file seen in a folder: a stat, nothing read yet. `path` is relative, POSIX, escaped (`naming.escape_name`)."""

    source: str
    path: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0


KnownFile = tuple[str, int | None, int | None, int | None, int | None]
"""What the store knows of a file: path, size, mtime and ctime in ns, and inode. No size where the file is to be read
though its stat agrees, no mtime where it was missing. A plain tuple, because of most files all that is ever asked is
whether it is the same."""


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
    `quality` and `heat` are -1 when not scored. `id_place` and `updated_place` are line and column of the
    explicit id and of the date of the last change, 0 where they are not known.
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
    updated_place: tuple[int, int] = (0, 0)


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
    updated_place: tuple[int, int]


def duplicate_id(record: Record | RecordRow, holder: str) -> Problem:
    """The refusal of a record that states the explicit id of the one at `holder`."""
    what, todo = f"'id' is that of {holder} already", "give one of them another id"
    return Problem(record.file.path, *record.id_place, what, record.explicit_id, todo)


def late_update(record: Record | RecordRow, now: datetime) -> Problem | None:
    """The warning of a record that states an update later than `now`: there was none, so it does not count."""
    if record.updated is None or record.updated <= now:
        return None
    stated = f"{record.updated:%Y-%m-%dT%H:%M:%SZ}"
    what = "the stated time of the last change is in the future and does not count"
    return Problem(record.file.path, *record.updated_place, what, stated, "correct it", "warning")


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
class Fitting:
    """Which entries of a feed fit into its documents, by their places among them.

    `left_out` have no room, and of these `too_large` would not fit into a document of their own. Of `shortened` the
    summary is shown, because an entry with that full text would not fit into a document of its own.
    """

    left_out: frozenset[int] = frozenset()
    too_large: frozenset[int] = frozenset()
    shortened: frozenset[int] = frozenset()


ALL_FIT = Fitting()
"""Every entry is shown as it is."""


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
    """One line of the list of feeds. `newest` is the own date of its first entry, None for none."""

    slug: str
    title: str
    description: str
    entries: int
    newest: datetime | None
    updated: datetime


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
class Document:
    """A file of the output folder; `path` is relative to it and POSIX."""

    path: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one cycle did, in numbers; `problems` are those of whole sources and of publishing.

    `notices` are what else people should know of: no cycle is tried again for it. `due` is when the next entry becomes
    public or expires by itself; `complete` is False when a records folder could not be scanned, `published` when the
    output folder could not be brought up to date. `unwritten` feeds could not be written although others could,
    `unreadable` records folders not be read.
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
    unwritten: int
    unreadable: int
    due: datetime | None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlChange:
    """What becomes of a URL below the base URL, or of one in every feed (`*/feed.json`): it leads to `target` (301), or
    is gone (410); `keep` says what in the config would keep it."""

    url: str
    target: str | None
    keep: str


@dataclass(frozen=True, slots=True)
class FeedMoves:
    """What a cycle would put into a feed and take out of it, as (id, title), in the order shown."""

    slug: str
    joins: tuple[tuple[str, str], ...]
    leaves: tuple[tuple[str, str], ...]
