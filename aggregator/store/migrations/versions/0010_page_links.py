"""Links from bodies to other pages, and the pages that they can lead to."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE, KEY, create_partial_index

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("entry", sa.Column("lookup_key", BYTEWISE, nullable=True))
    op.add_column("entry", sa.Column("links_hash", sa.LargeBinary(), nullable=True))
    create_partial_index("entry_lookup", "entry", ["source", "lookup_key"], "lookup_key IS NOT NULL")
    op.create_table(
        "page_link",
        sa.Column("entry_id", KEY, primary_key=True, autoincrement=False),
        sa.Column("target", BYTEWISE, primary_key=True),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("page_link_name", "page_link", ["name"])
    create_partial_index("page_link_stale", "page_link", ["entry_id"], "stale")
    create_partial_index("page_link_unresolved", "page_link", ["entry_id"], "url IS NULL")
