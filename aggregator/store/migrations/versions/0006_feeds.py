"""Feeds: the entries that documents have no room for, feeds that nobody needs any more, and the slugs they had."""

import time

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE, KEY, create_partial_index

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("feed", sa.Column("left_out", sa.Text(), nullable=True))
    op.add_column("feed", sa.Column("unused_since", sa.BigInteger(), nullable=True))
    op.drop_column("feed", "fits")
    # what `newest_at` says is another date now
    op.execute("UPDATE feed SET touched = true")
    op.execute("UPDATE feed SET unused_since = changed_at WHERE size = 0 AND topic IS NOT NULL AND slug IS NOT NULL")
    create_partial_index("feed_unused", "feed", ["unused_since"], "unused_since IS NOT NULL")
    create_partial_index("feed_left_out", "feed", ["id"], "left_out IS NOT NULL")
    op.create_table(
        "old_slug",
        sa.Column("slug", BYTEWISE, primary_key=True),
        sa.Column("feed_id", KEY, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
    )
    _forget_future_updates()


def _forget_future_updates() -> None:
    """Older versions believed a record that stated an update in the future, and its feeds kept it."""
    connection, now = op.get_bind(), int(time.time() * 1e6)
    names = "id dated_at released_at published_at stated_update_at edited_at returned_at stored_at updated_at".split()
    entry = sa.table("entry", *map(sa.column, names))
    future = (entry.c.stated_update_at > now, entry.c.updated_at > now)
    for row in connection.execute(sa.select(entry).where(*future)).all():
        times = (row.dated_at if row.released_at is None else row.published_at, row.edited_at, row.returned_at)
        updated_at = max((at for at in times if at is not None), default=row.stored_at)
        change = sa.update(entry).where(entry.c.id == row.id)
        connection.execute(change.values(stated_update_at=None, updated_at=updated_at))
    for name in ("feed", "archive_page"):
        table = sa.table(name, *map(sa.column, ("updated_at", "shown_hash", "touched")))
        change = sa.update(table).where(table.c.updated_at > now)
        connection.execute(change.values(updated_at=now, shown_hash=b"", touched=True))  # no digest is empty
