"""Feeds: the entries that documents have no room for, feeds that nobody needs any more, and the slugs they had."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("feed", sa.Column("left_out", sa.Text(), nullable=True))
    op.add_column("feed", sa.Column("unused_since", sa.BigInteger(), nullable=True))
    op.drop_column("feed", "fits")
    # what `newest_at` says is another date now
    op.execute("UPDATE feed SET touched = true")
    op.execute("UPDATE feed SET unused_since = changed_at WHERE size = 0 AND topic IS NOT NULL AND slug IS NOT NULL")
    unused, left_out = sa.text("unused_since IS NOT NULL"), sa.text("left_out IS NOT NULL")
    op.create_index("feed_unused", "feed", ["unused_since"], sqlite_where=unused, postgresql_where=unused)
    op.create_index("feed_left_out", "feed", ["id"], sqlite_where=left_out, postgresql_where=left_out)
    op.create_table(
        "old_slug",
        sa.Column("slug", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("feed_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
