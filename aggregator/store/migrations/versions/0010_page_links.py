"""Links from bodies to other pages, and the pages that they can lead to."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("entry", sa.Column("lookup_key", bytewise, nullable=True))
    op.add_column("entry", sa.Column("links_hash", sa.LargeBinary(), nullable=True))
    _create_index("entry_lookup", "entry", ["source", "lookup_key"], "lookup_key IS NOT NULL")
    op.create_table(
        "page_link",
        sa.Column("entry_id", key, primary_key=True, autoincrement=False),
        sa.Column("target", bytewise, primary_key=True),
        sa.Column("name", bytewise, nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("stale", sa.Boolean(), nullable=False),
        **({"sqlite_with_rowid": False} if is_sqlite else {}),
    )
    op.create_index("page_link_name", "page_link", ["name"])
    _create_index("page_link_stale", "page_link", ["entry_id"], "stale")
    _create_index("page_link_unresolved", "page_link", ["entry_id"], "url IS NULL")


def _create_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
