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
    """A topic of an entry, as feeds name it."""

    slug: str  # the term
    name: str  # the label


class Entry(NamedTuple):
    """What the documents of a feed say about an entry."""

    id: str
    published: datetime | None
    updated: datetime
    topics: tuple[Topic, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that was withdrawn (RFC 6721)."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """What a slug publishes now."""

    slug: str
    id: str  # the Atom id, an IRI; kept when the feed moves
    title: str
    description: str
    language: str
    updated: datetime  # the latest update of its content, never the time of a cycle
    full: bool  # documents contain bodies
    version: int
    entries: tuple[Entry, ...]  # newest first
    withdrawn: tuple[Withdrawal, ...]
    image: str = ""  # URL of its own image; empty: none
    pages: int = 0  # how many archive pages it has


@dataclass(frozen=True, slots=True)
class Fitting:
    """Which entries of a feed fit into its documents, by their positions among its entries."""

    left_out: frozenset[int] = frozenset()  # there is no room for them
    too_large: frozenset[int] = frozenset()  # of these: they do not fit into a document of their own
    shortened: frozenset[int] = frozenset()  # without their body, with which they would not fit into a document


ALL_FIT = Fitting()
"""Every entry is shown as it is."""


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """A sealed page of a feed (RFC 5005 section 4). It changes only when one of its entries changes or leaves."""

    number: int  # from 1, the oldest
    updated: datetime
    entries: tuple[Entry, ...]  # newest first


@dataclass(frozen=True, slots=True)
class FeedSummary:
    """A line of the list of feeds."""

    slug: str
    title: str
    description: str
    entries: int
    newest: datetime | None  # the published date of its first entry
    updated: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules read of an entry; texts are keys of topics, except `texts`."""

    topics: frozenset[str]
    category: str
    type: str
    provider: str
    provider_domain: str
    language: str
    quality: float  # -1: not scored
    heat: float  # -1: not scored
    texts: tuple[str, ...] = ()  # title and summary as they are: few rules read them, and folding is expensive


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the output folder."""

    path: str  # relative to the output folder, POSIX
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What a cycle did."""

    scanned: int  # files
    new: int  # entries, like the next two
    changed: int
    removed: int
    rejected: int  # files
    feeds_written: int
    files_written: int
    seconds: float
    problems: tuple[str, ...]  # of whole sources and of publishing
    complete: bool  # every records folder could be scanned
    published: bool  # the output folder could be brought up to date
    unwritten: int  # feeds that could not be written although others could
    unreadable: int  # records folders and folders in them
    due: datetime | None  # when the next entry is released, expires or becomes too old
    notices: tuple[str, ...] = ()  # what operators should know; no reason to retry


@dataclass(frozen=True, slots=True)
class UrlChange:
    """What happens to a URL below the base URL, or to a document of every feed (`*/feed.json`)."""

    url: str
    target: str | None  # where it redirects to (301); None: it answers 410
    keep: str  # what to write into the config to keep it


@dataclass(frozen=True, slots=True)
class FeedMoves:
    """What a cycle would put into a feed and take out of it, as (id, title), in the order shown."""

    slug: str
    joins: tuple[tuple[str, str], ...]
    leaves: tuple[tuple[str, str], ...]
