"""The indexes of the tables, for migrations and their tests. No statement names one, and to make one imports all that
SQLAlchemy knows of either database."""

from __future__ import annotations

from sqlalchemy import Index, text

from aggregator.store.schema import archive_page, entry, event, feed, feed_entry, file, metadata

__all__ = ["metadata"]

Index("file_entry", file.c.entry_id)
Index(
    "file_missing_since",
    file.c.source,
    file.c.missing_since,
    sqlite_where=file.c.missing_since.is_not(None),
    postgresql_where=file.c.missing_since.is_not(None),
)
_missing = text("missing_since IS NOT NULL AND state <> 'removed'")
Index("file_missing", file.c.source, file.c.path, sqlite_where=_missing, postgresql_where=_missing)
Index(
    "file_problem",
    file.c.state,
    sqlite_where=text("problems IS NOT NULL"),
    postgresql_where=text("problems IS NOT NULL"),
)
Index(
    "entry_explicit_id",
    entry.c.explicit_id,
    sqlite_where=entry.c.explicit_id.is_not(None),
    postgresql_where=entry.c.explicit_id.is_not(None),
)
_scheduled = text("state = 'scheduled'")
Index("entry_scheduled", entry.c.source, entry.c.path, sqlite_where=_scheduled, postgresql_where=_scheduled)
Index(
    "entry_expiry",
    entry.c.expires_at,
    sqlite_where=text("state = 'published' AND expires_at IS NOT NULL"),
    postgresql_where=text("state = 'published' AND expires_at IS NOT NULL"),
)
Index("entry_stored", entry.c.stored_at)
Index(
    "entry_link",
    entry.c.link_key,
    sqlite_where=entry.c.link_key.is_not(None),
    postgresql_where=entry.c.link_key.is_not(None),
)
Index("feed_dirty", feed.c.dirty, sqlite_where=text("dirty"), postgresql_where=text("dirty"))
Index(
    "feed_stale",
    feed.c.stale_at,
    sqlite_where=feed.c.stale_at.is_not(None),
    postgresql_where=feed.c.stale_at.is_not(None),
)
_unused, _left_out = text("unused_since IS NOT NULL"), text("left_out IS NOT NULL")
Index("feed_unused", feed.c.unused_since, sqlite_where=_unused, postgresql_where=_unused)
Index("feed_left_out", feed.c.id, sqlite_where=_left_out, postgresql_where=_left_out)
_open = text("left_at IS NULL")
Index(
    "feed_entry_window",
    feed_entry.c.feed_id,
    feed_entry.c.released_at.desc(),
    feed_entry.c.published_at.desc(),
    sqlite_where=_open,
    postgresql_where=_open,
)
_unsealed = text("left_at IS NULL AND page IS NULL")
Index(
    "feed_entry_unsealed",
    feed_entry.c.feed_id,
    feed_entry.c.released_at,
    sqlite_where=_unsealed,
    postgresql_where=_unsealed,
)
_sealed = text("page IS NOT NULL")
Index("feed_entry_page", feed_entry.c.feed_id, feed_entry.c.page, sqlite_where=_sealed, postgresql_where=_sealed)
_withdrawn = text("left_by = 'withdrawn'")
Index(
    "feed_entry_withdrawn",
    feed_entry.c.feed_id,
    feed_entry.c.left_at,
    sqlite_where=_withdrawn,
    postgresql_where=_withdrawn,
)
Index(
    "archive_page_dirty",
    archive_page.c.dirty,
    sqlite_where=text("dirty"),
    postgresql_where=text("dirty"),
)
Index("event_entry", event.c.entry_id)
