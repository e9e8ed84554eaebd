"""The tables; their indexes are in `indexes`. Times are integers, µs since 1970 in UTC; texts that are compared or
sorted are in byte order."""

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
    text,
)

AnyRow = Row[*tuple[Any, ...]]
"""A row whose columns a function names itself."""

NEVER = -(2**62)
"""The published date, in the order of a feed, of an entry that has none."""


class FileState(StrEnum):
    """What became of a file when it was last read."""

    READ = "read"  # its record is stored
    REJECTED = "rejected"  # it gives no record
    UNFINISHED = "unfinished"  # it gives no record yet: it is still being written
    DUPLICATE = "duplicate"  # its record states the id of another entry
    REMOVED = "removed"  # it is missing, and its entry is withdrawn


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
_Bytewise = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
"""Facts of the whole store: its id, the site's id, what the last cycle was configured with."""

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
"""Who may write: at most one row."""

source = Table(
    "source",
    metadata,
    Column("name", Text, primary_key=True),
    Column("parsed_with", Text, nullable=False),
    Column("scanned", Boolean, nullable=False),
    Column("removals_held_since", BigInteger),
    Column("problem", Text),
)
"""`scanned`: one scan was complete. `held_since`: when withdrawals of vanished files began to wait."""

file = Table(
    "file",
    metadata,
    Column("source", _Bytewise, primary_key=True),
    Column("path", _Bytewise, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("recheck", Boolean, nullable=False),
    Column("missing_since", BigInteger),
    Column("entry_id", _Key),
    Column("wanted_id", _Bytewise),
    Column("problems", Text),
    Column("ctime_ns", BigInteger),
    Column("inode", BigInteger),
    Column("wanted_at", BigInteger),
    sqlite_with_rowid=False,
)
"""What is known of each path. `recheck`: read it again though its stat agrees. `wanted_id`: the explicit id that a
duplicate asks for, since `wanted_at`. `problems`: JSON array of [line, column, what, value, todo, level]. `ctime_ns`
and `inode`: none in rows of versions before 0004, whose files are all read again."""
FILE_MISSING = text("file.missing_since IS NOT NULL AND file.state <> 'removed'")
"""A file is gone and not withdrawn yet; a text, because SQLite takes an index of some rows only for its very words."""

entry = Table(
    "entry",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("uid", _Bytewise, nullable=False, unique=True),
    Column("explicit_id", _Bytewise),
    Column("source", _Bytewise, nullable=False),
    Column("path", _Bytewise, nullable=False),
    Column("state", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("visible_hash", LargeBinary, nullable=False),
    Column("selection_hash", LargeBinary, nullable=False),
    Column("text_hash", LargeBinary, nullable=False),
    Column("quality", Float, nullable=False),
    Column("heat", Float, nullable=False),
    Column("dated_at", BigInteger),
    Column("stated_update_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("embargo_at", BigInteger),
    Column("stored_at", BigInteger, nullable=False),
    Column("edited_at", BigInteger),
    Column("released_at", BigInteger),
    Column("published_at", BigInteger),
    Column("returned_at", BigInteger),
    Column("withdrawn_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("link_key", LargeBinary),
    Column("sketch", LargeBinary),
)
"""One record for good. `uid` is the id that subscribers see. `dated_at` is the date as the file has it now,
`published_at` the one it was released with; `embargo_at` the due time of one stored before it; `edited_at` the last
change of title, excerpt or body; `returned_at` the last release after a withdrawal; `updated_at` what feeds show;
`link_key` stands for the canonical link that it was last placed in feeds with, and is kept while a feed merges;
`sketch` tells how much text it has in common with another, see `aggregator.sketch`, and has none until its file is read
by a program that makes it."""

feed = Table(
    "feed",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("slug", _Bytewise, unique=True),
    Column("topic", _Bytewise, unique=True),
    Column("title", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("dirty", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("shown_hash", LargeBinary, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("newest_at", BigInteger),
    Column("rule", Text),
    Column("pages", Integer, nullable=False, server_default="0"),
    Column("stale_at", BigInteger),
    Column("left_out", Text),
    Column("unused_since", BigInteger),
    Column("uid", _Bytewise),
    Column("topic_name", Text),
)
"""`all`, every topic, and the feeds of the config. `topic` is its key, none for others; `slug` comes with enough
entries. `size`: entries in it. `dirty`: something in it changed since `shown_hash` was made; `changed_at`: the time
its window was last cut at; `newest_at`: the own date of its first entry. `left_out`: the entries that its documents
have no room for, as JSON, see `room`. `pages`: how many archive pages it has. `unused_since`: when the feed of a topic
lost its last entry. `stale_at`: when the first entry of its documents will be
too old for it. `rule`: what a rule of the config said when every entry was last tried against it, empty while that goes
on, none where no such rule is in force. `uid`: its Atom id, minted when it gets its first slug. `topic_name`: the topic
as the first record spelled it. `title`: as of its last refresh."""
FEED_IS_DIRTY = and_(feed.c.dirty, text("feed.dirty"))
"""A feed is dirty, in the words of the index too, see FILE_MISSING."""

old_slug = Table(
    "old_slug",
    metadata,
    Column("slug", _Bytewise, primary_key=True),
    Column("feed_id", _Key, nullable=False),
    Column("since", BigInteger, nullable=False),
)
"""The slugs that feeds of topics had before, none of which another topic gets, and since when they have them no more.
See `store.slugs` for where they lead."""

feed_entry = Table(
    "feed_entry",
    metadata,
    Column("entry_id", _Key, primary_key=True, autoincrement=False),
    Column("feed_id", _Key, primary_key=True, autoincrement=False),
    Column("released_at", BigInteger, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("page", Integer),
    Column("joined_at", BigInteger, nullable=False),
    Column("left_at", BigInteger),
    Column("left_by", Text),
    sqlite_with_rowid=False,
)
"""Membership: never deleted, only closed. `page`: the archive page that it is sealed in, for good. `joined_at`: when it
last came in. `left_by`: `withdrawn`, the clause that put it out, or `duplicates` while another of its canonical link
stands for it."""

archive_page = Table(
    "archive_page",
    metadata,
    Column("feed_id", _Key, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("dirty", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("shown_hash", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""A sealed page of a feed; what is in it says `feed_entry`. The other columns are as those of `feed`."""
PAGE_IS_DIRTY = and_(archive_page.c.dirty, text("archive_page.dirty"))
"""A page is dirty, in the words of the index too, see FILE_MISSING."""

body = Table(
    "body",
    metadata,
    Column("entry_id", _Key, primary_key=True, autoincrement=False),
    Column("html", Text, nullable=False),
)
"""The body of an entry, sanitised; only of those that have one, and only while a feed shows bodies."""

event = Table(
    "event",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("entry_id", _Key, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("feed_id", _Key),
    Column("clause", Text),
)
"""What became of an entry after its first release, see `store.history`. `what`: withdrawn, released, renamed, joined or
left. `clause`: why it was withdrawn, or what kept it out of the feed before it joined or keeps it out since it left."""

cycle = Table(
    "cycle",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("counts", Text, nullable=False),
    Column("error", Text),
)
"""The last cycles, for `status`; `counts` is a JSON object."""
