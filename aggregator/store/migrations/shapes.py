"""What migrations have in common: types of columns that the two databases write in their own ways, and partial indexes."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def create_partial_index(name: str, table: str, columns: Sequence[Any], where: str) -> None:
    """Makes an index of the rows that a condition in SQL selects."""
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
