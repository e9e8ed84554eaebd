"""Ids that subscribers have from the feeds of another system."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "adopted_id",
        sa.Column("link_key", sa.LargeBinary(), primary_key=True),
        sa.Column("format", text, primary_key=True),
        sa.Column("id", text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("entry", sa.Column("format_ids", sa.Text(), nullable=True))
