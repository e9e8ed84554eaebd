"""The indexes of the tables. Only new stores, migrations and tests import them: no statement names an index."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Index, text

from aggregator.store.schema import (
    STATED_LINK,
    archive_page,
    entry,
    event,
    feed,
    feed_entry,
    file,
    metadata,
    page_link,
    websub_ping,
)

__all__ = ["indexes_of", "metadata"]

_INDEXES: list[tuple[Index, str]] = []
"""Each with the condition of a partial one, in the order of their making: of two that suit a query equally, SQLite
takes the one that was made last."""


def indexes_of(dialect: str) -> Sequence[Index]:
    """The indexes for a database of this dialect. Conditions are given to this dialect alone, because SQLAlchemy
    imports the dialects that they name."""
    for index, where in _INDEXES:
        if where:
            index.dialect_kwargs[f"{dialect}_where"] = text(where)
    return [index for index, _ in _INDEXES]


def _index(name: str, *columns: ColumnElement[object]) -> None:
    _INDEXES.append((Index(name, *columns), ""))


def _partial_index(name: str, where: str, *columns: ColumnElement[object]) -> None:
    _INDEXES.append((Index(name, *columns), where))


_index("file_entry", file.c.entry_id)
_partial_index("file_missing_since", "missing_since IS NOT NULL", file.c.source, file.c.missing_since)
_partial_index("file_missing", "missing_since IS NOT NULL AND state <> 'removed'", file.c.source, file.c.path)
_partial_index("file_unread", "unread IS NOT NULL AND missing_since IS NULL", file.c.source, file.c.unread, file.c.path)
_partial_index("file_problem", "problems IS NOT NULL", file.c.state)
_partial_index("entry_explicit_id", "explicit_id IS NOT NULL", entry.c.explicit_id)
_partial_index("entry_scheduled", "state = 'scheduled'", entry.c.source, entry.c.path)
_partial_index("entry_hidden", "state = 'hidden'", entry.c.id)
_partial_index("entry_expiry", "state = 'published' AND expires_at IS NOT NULL", entry.c.expires_at)
_partial_index("entry_stories", "stories_at IS NOT NULL", entry.c.stories_at)
_index("entry_stored", entry.c.stored_at)
_index("entry_content", entry.c.content_hash)
_index("entry_stated_link", STATED_LINK)
_partial_index("entry_early", "state = 'published' AND dated_at > released_at", entry.c.dated_at)
_partial_index("entry_link", "link_key IS NOT NULL", entry.c.link_key)
_partial_index("entry_lookup", "lookup_key IS NOT NULL", entry.c.source, entry.c.lookup_key)
_index("page_link_name", page_link.c.name)
_partial_index("page_link_stale", "stale", page_link.c.entry_id)
_partial_index("page_link_unresolved", "url IS NULL", page_link.c.entry_id)
_partial_index("feed_dirty", "dirty", feed.c.dirty)
_partial_index("feed_stale", "stale_at IS NOT NULL", feed.c.stale_at)
_partial_index("feed_unused", "unused_since IS NOT NULL", feed.c.unused_since)
_partial_index("feed_left_out", "left_out IS NOT NULL", feed.c.id)
_partial_index(
    "feed_entry_window",
    "left_at IS NULL",
    feed_entry.c.feed_id,
    feed_entry.c.released_at.desc(),
    feed_entry.c.published_at.desc(),
)
_partial_index(
    "feed_entry_unsealed", "left_at IS NULL AND page IS NULL", feed_entry.c.feed_id, feed_entry.c.released_at
)
_partial_index("feed_entry_page", "page IS NOT NULL", feed_entry.c.feed_id, feed_entry.c.page)
_partial_index("feed_entry_withdrawn", "left_by = 'withdrawn'", feed_entry.c.feed_id, feed_entry.c.left_at)
_partial_index("archive_page_dirty", "dirty", archive_page.c.dirty)
_index("event_entry", event.c.entry_id)
_partial_index("websub_ping_due", "digest <> sent", websub_ping.c.next_at)
