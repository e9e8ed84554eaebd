"""The tables; their indexes are in `store.indexes`. Times are integers: µs since 1970, UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    func,
    literal_column,
    text,
)

from aggregator.parse_attempts import DIGEST_BYTES

AnyRow = Row[*tuple[Any, ...]]
"""A row of a query; its columns are those that the query names."""

NEVER = -(2**62)
"""Represents the published date of an undated entry where a feed is ordered."""


class FileState(StrEnum):
    """What became of a file when it was last read."""

    READ = "read"  # its record is stored
    REJECTED = "rejected"  # it gives no record
    UNFINISHED = "unfinished"  # it gives no record yet: it is still being written
    DUPLICATE = "duplicate"  # its record states the id of another entry
    RESOURCE = "resource"  # it is no record: a resource of a bundle, or an index file that is not included
    REMOVED = "removed"  # it is missing, and its entry is withdrawn


REJECTED_STATES = (FileState.REJECTED, FileState.DUPLICATE)
"""Both are shown as rejected."""


class EntryState(StrEnum):
    """Whether feeds show an entry."""

    PUBLISHED = "published"  # released, and in its feeds
    SCHEDULED = "scheduled"  # to be released at its date, for the first time or again
    HIDDEN = "hidden"  # never published: a flag, an expiry or its file keeps it out of all feeds
    WITHDRAWN = "withdrawn"  # was published, and is in no feed now


SHOWABLE = (EntryState.SCHEDULED, EntryState.PUBLISHED)
"""The states of entries that flags, expiries and files allow to be published."""
ALL_FEED = 1
"""The row of the feed `all`."""

metadata = MetaData()

_Key = BigInteger().with_variant(Integer, "sqlite")
# sorted and compared in byte order, as paths are
_Bytewise = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the whole store: its id, the id of the site, the config that the last cycle used."""

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", Text, nullable=False),  # the fencing token
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
"""Who may write: at most one row."""

source = Table(
    "source",
    metadata,
    Column("name", Text, primary_key=True),
    Column("parsed_with", Text, nullable=False),  # a digest of all that the reading of its files depends on
    Column("scanned", Boolean, nullable=False),  # a scan was complete
    Column("removals_held_since", BigInteger),
    Column("problem", Text),  # why its folder could not be read
)
"""The records folders that the config names, or did once."""

file = Table(
    "file",
    metadata,
    Column("source", _Bytewise, primary_key=True),
    Column("path", _Bytewise, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    # empty: it was not read to its end, or is to be parsed again; longer: see `aggregator.parse_attempts`
    Column("digest", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # a FileState
    Column("recheck", Boolean, nullable=False),  # read it again although its stat is the same
    Column("missing_since", BigInteger),
    Column("entry_id", _Key),
    Column("wanted_id", _Bytewise),  # of a duplicate: the id that its record states
    Column("problems", Text),  # JSON array of [line, column, what, value, hint, level]
    Column("ctime_ns", BigInteger),  # like `inode` not known in rows from before version 0004
    Column("inode", BigInteger),
    Column("wanted_at", BigInteger),  # since when it wants `wanted_id`
    Column("rejected_at", BigInteger),  # since when it is rejected
    Column("unread", Text),  # the keys of `Record.unread`, with blanks between them
    sqlite_with_rowid=False,
)
"""What is known about each path."""
FILE_UNREAD = text("file.unread IS NOT NULL AND file.missing_since IS NULL")
"""A record has keys that another preset reads; for the index see FILE_MISSING."""
FILE_MISSING = text("file.missing_since IS NOT NULL AND file.state <> 'removed'")
"""A file is missing and its entry not withdrawn yet. SQLite uses a partial index only if a query repeats its condition
word by word, without parameters, hence the text."""

entry = Table(
    "entry",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("uid", _Bytewise, nullable=False, unique=True),  # the id that subscribers see
    Column("explicit_id", _Bytewise),  # the id that the record states
    Column("source", _Bytewise, nullable=False),
    Column("path", _Bytewise, nullable=False),
    Column("state", Text, nullable=False),  # an EntryState
    Column("content", Text, nullable=False),  # JSON, without the body
    Column("content_hash", LargeBinary, nullable=False),
    Column("visible_hash", LargeBinary, nullable=False),
    Column("selection_hash", LargeBinary, nullable=False),
    Column("text_hash", LargeBinary, nullable=False),  # of title, excerpt and body
    Column("quality", Float, nullable=False),  # -1: not scored
    Column("heat", Float, nullable=False),  # -1: not scored
    Column("dated_at", BigInteger),  # the published date that the record states now
    Column("stated_update_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("embargo_at", BigInteger),  # the published date, if the record was stored before it
    Column("stored_at", BigInteger, nullable=False),
    Column("edited_at", BigInteger),  # the last change of `text_hash`
    Column("released_at", BigInteger),  # the first release
    Column("published_at", BigInteger),  # the published date at the first release
    Column("returned_at", BigInteger),  # the last release after a withdrawal
    Column("withdrawn_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),  # the update that feeds show
    Column("link_key", LargeBinary),  # of the canonical link, as of the last time that a merging feed asked
    Column("format_ids", Text),  # JSON array of `FormatIds`; none if all formats show `uid`
    Column("sketch", LargeBinary),  # see `aggregator.sketch`; none until a version that makes it reads the file
    Column("lookup_key", _Bytewise),  # see `parse.references`; none if no body can link to its page
    Column("links_hash", LargeBinary),  # of the URLs that its links to pages lead to; none: they lead nowhere
    Column("stories_at", BigInteger),  # when the next of its related stories comes or goes
)
"""Records and what became of them. A row is never deleted, except when its file turns out to be a rename."""

FILE_BYTES = func.substr(file.c.digest, 1, DIGEST_BYTES, type_=file.c.digest.type)
"""The digest of the bytes of a file, without the times of attempts (`parse_attempts.py`)."""
ENTRY_EARLY = text("entry.state = 'published' AND entry.dated_at > entry.released_at")
"""An entry states a later date than it was released at; for the index see FILE_MISSING."""
STATED_LINK = func.substr(entry.c.sketch, literal_column("1"), literal_column("8"), type_=entry.c.sketch.type)
"""The `link_part` of the sketch of an entry, as the index has it: with numbers, not with parameters."""

adopted_id = Table(
    "adopted_id",
    metadata,
    Column("link_key", LargeBinary, primary_key=True),  # of the link of the entry, see `links.page_key`
    Column("format", _Bytewise, primary_key=True),  # of the saved feed
    Column("id", _Bytewise, nullable=False),
    sqlite_with_rowid=False,
)
"""The ids that subscribers have from the feeds of another system. A new record with the link gets them. A row is never
changed or deleted."""

feed = Table(
    "feed",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("slug", _Bytewise, unique=True),  # none: not published (yet, or any more)
    Column("topic", _Bytewise, unique=True),  # the key of its topic; none for other feeds
    Column("title", Text, nullable=False),  # as of its last refresh
    Column("size", BigInteger, nullable=False),  # how many entries are members
    Column("dirty", Boolean, nullable=False),  # something changed since `shown_hash` was made
    Column("version", BigInteger, nullable=False),
    Column("shown_hash", LargeBinary, nullable=False),  # of all that a reader can see
    Column("changed_at", BigInteger, nullable=False),  # when its window was last cut
    Column("updated_at", BigInteger, nullable=False),
    Column("newest_at", BigInteger),  # the published date of its first entry
    Column("rule", Text),  # the active rule, of a feed of the config; empty while entries are evaluated
    Column("pages", Integer, nullable=False, server_default="0"),  # how many archive pages it has
    Column("stale_at", BigInteger),  # when the first entry of its window becomes too old for it
    Column("left_out", Text),  # JSON: the entries that do not fit into its documents
    Column("unused_since", BigInteger),  # when the feed of a topic lost its last entry
    Column("uid", _Bytewise),  # its Atom id, minted with its first slug
    Column("topic_name", Text),  # the topic as the first record spelled it
    Column("older", Text),  # JSON: where its archive continues, as of its last refresh; none: not known yet
)
"""`all`, the feeds of the config, and a row for every topic."""
FEED_DIRTY = and_(feed.c.dirty, text("feed.dirty"))
"""A feed is dirty; for the index see FILE_MISSING."""

old_slug = Table(
    "old_slug",
    metadata,
    Column("slug", _Bytewise, primary_key=True),
    Column("feed_id", _Key, nullable=False),
    Column("since", BigInteger, nullable=False),
)
"""Slugs that feeds of topics gave up. No other topic gets them, and they redirect (`feeds.url_changes`)."""

feed_entry = Table(
    "feed_entry",
    metadata,
    Column("entry_id", _Key, primary_key=True, autoincrement=False),
    Column("feed_id", _Key, primary_key=True, autoincrement=False),
    Column("released_at", BigInteger, nullable=False),  # the time that orders the entry in this feed
    Column("published_at", BigInteger, nullable=False),  # orders entries of one time; NEVER: undated
    Column("page", Integer),  # the archive page in which it is sealed, for good
    Column("joined_at", BigInteger, nullable=False),  # the last time
    Column("left_at", BigInteger),  # none: it is a member
    Column("left_by", Text),  # `withdrawn`, the clause that excludes it, or `duplicates` if another entry represents it
    sqlite_with_rowid=False,
)
"""Memberships. A row is never deleted, only closed."""

archive_page = Table(
    "archive_page",
    metadata,
    Column("feed_id", _Key, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("dirty", Boolean, nullable=False),  # as in `feed`, like the other columns
    Column("version", BigInteger, nullable=False),
    Column("shown_hash", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Sealed pages of feeds; their entries are in `feed_entry`."""
PAGE_DIRTY = and_(archive_page.c.dirty, text("archive_page.dirty"))
"""An archive page is dirty; for the index see FILE_MISSING."""

body = Table(
    "body",
    metadata,
    Column("entry_id", _Key, primary_key=True, autoincrement=False),
    Column("html", Text, nullable=False),  # sanitised
)
"""The bodies of entries, stored only while a feed shows bodies."""

page_link = Table(
    "page_link",
    metadata,
    Column("entry_id", _Key, primary_key=True, autoincrement=False),
    Column("target", _Bytewise, primary_key=True),  # `hugo:first.md`: the href without scheme and fragment
    Column("name", _Bytewise, nullable=False),  # see `references.page_name`
    Column("url", Text),  # of the page; none: no published page, or a page without a URL
    Column("stale", Boolean, nullable=False),  # to be resolved, again or for the first time
    sqlite_with_rowid=False,
)
"""The links of stored bodies to other pages."""
LINK_STALE = and_(page_link.c.stale, text("page_link.stale"))
"""A link is to be resolved; for the index see FILE_MISSING."""

event = Table(
    "event",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("entry_id", _Key, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("what", Text, nullable=False),  # withdrawn, released, renamed, joined or left
    Column("feed_id", _Key),  # the feed that the entry joined or left
    Column("clause", Text),  # why; of `joined` the clause that had excluded the entry, of `renamed` the old path
)
"""The history of entries after their first release, see `store.events`."""

cycle = Table(
    "cycle",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("counts", Text, nullable=False),  # JSON object
    Column("error", Text),
)
"""The cycles of the last weeks, for `status`."""

# What each WebSub hub knows of each document; a row whose `digest` is not `sent` is a ping to send.
websub_ping = Table(
    "websub_ping",
    metadata,
    Column("hub", Text, primary_key=True),
    Column("path", Text, primary_key=True),  # below the output folder
    Column("digest", Text, nullable=False),  # of the document now
    Column("sent", Text, nullable=False),  # of the document that the hub was told of
    Column("attempts", Integer, nullable=False),  # failed ones since the last change
    Column("next_at", BigInteger, nullable=False),  # not before
)
