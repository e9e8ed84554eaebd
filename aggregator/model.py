"""The types that flow through the pipeline, each made by one stage and read by the next.

    Source -> SourceFile -> Record | Rejection -> Feed -> Document -> CycleResult

All are frozen. Times are aware UTC `datetime`; formats belong to `render`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from aggregator.ids import FormatIds
from aggregator.problems import Problem, stamp
from aggregator.settings import Source


class SourceFile(NamedTuple):
    """A listed file with its stat; nothing is read yet."""

    source: str
    path: str  # relative, POSIX, escaped by `paths.escape_name`
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0


KnownFile = tuple[str, int | None, int | None, int | None, int | None]
"""What the store knows of a file: path, size, mtime and ctime in ns, inode. Size is None to force a read; mtime is None
if the last scan did not find the file. A plain tuple, because most files are only compared for equality."""


class Provider(NamedTuple):
    """Who published the original story."""

    name: str  # of several authors: their names, joined
    domain: str  # a bare host name, or empty
    authors: tuple[str, ...] = ()  # the names, if there are several


class Image(NamedTuple):
    """A picture of the story."""

    url: str  # absolute http(s)
    width: int  # in pixels, 0 is unknown
    height: int


class Related(NamedTuple):
    """A link to another story."""

    url: str
    title: str


class StoryTimes(NamedTuple):
    """When the link to a story is shown."""

    url: str
    since: datetime | None  # its published date
    until: datetime | None  # its expiry


class Enclosure(NamedTuple):
    """A media file that belongs to the story, such as an episode of a podcast."""

    url: str  # absolute http(s)
    length: int  # in bytes, 0 is unknown
    type: str  # the media type; empty is unknown


class Content(NamedTuple):
    """All of a record that a reader can see, except dates. Texts are plain and hold XML 1.0 characters only."""

    title: str
    summary: str
    body_html: str
    link: str | None  # of the story
    original_link: str | None  # where the story came from, if that is not `link`
    provider: Provider | None
    topics: tuple[str, ...]
    category: str
    type: str
    language: str
    images: tuple[Image, ...]
    video_url: str | None
    related: tuple[Related, ...]
    enclosures: tuple[Enclosure, ...] = ()


_to_json = json.JSONEncoder(separators=(",", ":")).encode


def content_json(content: Content) -> str:
    """The JSON array that a content is hashed and stored as. Without enclosures or several authors, it has no element
    for them, as before there were any: so an upgrade changes no hash."""
    provider: Any = content.provider
    if provider and not provider.authors:
        content = content._replace(provider=provider[:2])
    return _to_json(content if content.enclosures else content[:-1])


def read_content(stored: str) -> Content:
    """The content from its JSON array."""
    content = Content(*json.loads(stored))
    return content._replace(
        provider=_read_provider(*content.provider) if content.provider else None,
        topics=tuple(content.topics),
        images=tuple([Image(*image) for image in content.images]),
        related=tuple([Related(*related) for related in content.related]),
        enclosures=tuple([Enclosure(*enclosure) for enclosure in content.enclosures]),
    )


def _read_provider(name: str, domain: str, authors: Sequence[str] = ()) -> Provider:
    return Provider(name, domain, tuple(authors))


class Record(NamedTuple):
    """What one file says, normalised, in the form that is stored and sent between processes.

    The hashes and the sketch are compared with those of earlier versions and of other files; 16 bytes each.
    """

    file: SourceFile
    digest: bytes  # of the bytes of the file
    explicit_id: str | None
    public: bool  # the flags allow it; dates are checked at the release
    content_json: str  # the content without its body
    body_html: str
    topics: tuple[str, ...]  # also part of the content; here because rules need them for each stored record
    published: datetime | None
    updated: datetime | None
    expires: datetime | None
    quality: float  # -1 is not scored
    heat: float
    content_hash: bytes  # of the visible fields as the file states them; finds renames
    visible_hash: bytes  # of all that a reader can see, except dates
    selection_hash: bytes  # of what only rules read
    text_hash: bytes  # of title, summary and body; moves `updated`
    sketch: bytes  # from `sketch.make_sketch`
    warnings: tuple[Problem, ...]
    id_place: tuple[int, int] = (0, 0)  # line and column of the explicit id; 0 is unknown
    updated_place: tuple[int, int] = (0, 0)  # the same of the update
    story_times: tuple[StoryTimes, ...] = ()  # of the related stories that have any
    unread: tuple[str, ...] = ()  # if it has no date: its keys that another preset would read it, or topics, from

    @property
    def content(self) -> Content:
        """The content with its body, parsed at each access."""
        return read_content(self.content_json)._replace(body_html=self.body_html)


class Unread(NamedTuple):
    """Records without a date of one source, with the same `Record.unread`."""

    keys: tuple[str, ...]
    number: int
    path: str  # of the first one


def duplicate_id(record: Record, holder: str) -> Problem:
    """The problem of a record whose explicit id belongs to the record at `holder`."""
    what, hint = f"'id' belongs to the entry of {holder}, which keeps it", "give this record another id"
    return Problem(record.file.path, *record.id_place, what, record.explicit_id, hint)


def hide_stories(record: Record, now: datetime) -> Record:
    """The record without the related stories whose time is not now: neither in its content nor in its visible hash."""
    hidden = [
        story.url
        for story in record.story_times
        if (story.since is not None and story.since > now) or (story.until is not None and story.until <= now)
    ]
    if not hidden:
        return record
    content = read_content(record.content_json)
    shown = content._replace(related=tuple([story for story in content.related if story.url not in hidden]))
    digest = blake2b(record.visible_hash + _to_json(hidden).encode(), digest_size=16).digest()
    return record._replace(content_json=content_json(shown), visible_hash=digest)


def next_story_time(record: Record, now: datetime) -> datetime | None:
    """When the next of its related stories comes or goes."""
    times = (moment for story in record.story_times for moment in (story.since, story.until))
    return min((moment for moment in times if moment is not None and moment > now), default=None)


def early_release(source: Source, path: str, date: datetime) -> Problem:
    """The warning for the record at `path`, which is public although its published date is still to come."""
    what = "the record is public in spite of its date, because it was released before"
    flag = next(iter(dict(source.fields).get("draft", ())), None)
    hint = f"{flag}: true hides it" if flag else "hide it by a flag"
    return Problem(path, 0, 0, what, stamp(date), hint, "warning")


def late_update(record: Record, now: datetime) -> Problem | None:
    """The warning for a record that states an update later than `now`, which is ignored."""
    if record.updated is None or record.updated <= now:
        return None
    stated = f"{record.updated:%Y-%m-%dT%H:%M:%SZ}"
    what = "the stated time of the last change is in the future and is ignored"
    return Problem(record.file.path, *record.updated_place, what, stated, "correct it", "warning")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that gives no record although it should."""

    file: SourceFile
    digest: bytes
    problem: Problem
    unfinished: bool = False  # probably still being written: no closing fence and a recent change; it is read again
    hides: bool = False  # a flag itself cannot be read, so a published entry is withdrawn
    cause: str = ""  # the path of the file whose problem it is, if that is another one


@dataclass(frozen=True, slots=True)
class NoRecord:
    """A file that is no record itself."""

    file: SourceFile
    digest: bytes
    bundle: str | None  # the index file whose resource it is; None: it is an index file that is not included


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file with the stored bytes."""

    file: SourceFile
    digest: bytes


Outcome = Record | Rejection | NoRecord | Unchanged
"""What reading a file gives."""


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
    format_ids: FormatIds | None = None  # what RSS and JSON show instead of `id`

    def without_body(self) -> Entry:
        """The entry with its summary only."""
        return self._replace(content=self.content._replace(body_html=""))


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that was withdrawn (RFC 6721)."""

    id: str
    at: datetime


class Older(NamedTuple):
    """Where the stories begin that the document of a feed does not show."""

    page: int  # number of the archive page
    id: str  # the newest such entry
    is_first: bool  # nothing of the page is in the document


class FeedLink(NamedTuple):
    """Another feed, as a page links to it."""

    slug: str
    title: str


class Relatives(NamedTuple):
    """The feeds of the topics above and below the topic of a feed, which its page links to."""

    parents: tuple[FeedLink, ...] = ()  # the topmost first
    children: tuple[FeedLink, ...] = ()  # by title


NO_RELATIVES = Relatives()
"""A feed that is not of a topic, or of one without parents and children."""


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
    rss_archive: bool = True  # its RSS document links to them
    query: str = ""  # of its URLs, such as q=maps: the feed is a search
    older: Older | None = None  # None: no archive, or all of it is in the document


@dataclass(frozen=True, slots=True)
class Omitted:
    """The entries of a feed that `output.max_bytes` keeps out of its documents, in whole or in part: by their positions
    among its entries, or by their keys in the store."""

    left_out: frozenset[int] = frozenset()  # there is no room for them
    too_large: frozenset[int] = frozenset()  # of these: they do not fit into a document of their own
    shortened: frozenset[int] = frozenset()  # without their body, with which they would not fit into a document

    def keyed(self, keys: Sequence[int]) -> Omitted:
        """The same by keys; `keys` are those of all entries, in their order."""
        groups = (self.left_out, self.too_large, self.shortened)
        return Omitted(*(frozenset(keys[place] for place in group) for group in groups))

    def to_json(self) -> str | None:
        """The value of `feed.left_out`; None if nothing is omitted."""
        if self == NOTHING_OMITTED:
            return None
        return json.dumps([sorted(self.left_out), sorted(self.too_large), sorted(self.shortened)])

    @classmethod
    def from_json(cls, stored: str | None) -> Omitted:
        """The inverse of `to_json`."""
        return NOTHING_OMITTED if stored is None else cls(*map(frozenset, json.loads(stored)))


NOTHING_OMITTED = Omitted()


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
    parent: str = ""  # slug of the feed of its topic's parent
    is_empty: bool = False  # its documents have no entry: it has none, or all are older than `max_age`


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
    authors: tuple[str, ...] = ()  # if there are several


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the output folder."""

    path: str  # relative to the output folder, POSIX
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
    stages: tuple[tuple[str, float], ...] = ()  # the seconds of each stage
    cut: bool = False  # files are left to the next cycle


@dataclass(frozen=True, slots=True)
class UrlChange:
    """What happens to a URL below the base URL, or to a document of every feed (`*/feed.json`)."""

    url: str
    status: int  # 301; 410; 200: another feed takes it, and it was redirected
    target: str | None  # where it redirects to
    keep: str  # what to write into the config to keep it


@dataclass(frozen=True, slots=True)
class FeedMoves:
    """What a cycle would put into a feed and take out of it: `id` and `title` of each entry, in the order shown."""

    slug: str
    joins: tuple[dict[str, str], ...]
    leaves: tuple[dict[str, str], ...]
