"""Ids that subscribers have from the feeds of another system."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "adopted_id",
        sa.Column("link_key", sa.LargeBinary(), primary_key=True),
        sa.Column("format", BYTEWISE, primary_key=True),
        sa.Column("id", BYTEWISE, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("entry", sa.Column("format_ids", sa.Text(), nullable=True))
