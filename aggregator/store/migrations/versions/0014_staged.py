"""Drops the tables that workers of a cluster wrote into. A scan that was killed left its table."""

from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

OURS = sa.text(
    "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname = current_schema() AND relkind = 'r' AND relpersistence = 'u' AND relname ~ '^staged_[0-9a-f]{32}$'"
)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for name in list(connection.scalars(OURS)):
        # a table that a worker still writes into, or that another user owns, stays
        with suppress(sa.exc.DBAPIError), connection.begin_nested():
            connection.execute(sa.text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE NOWAIT"))
            connection.execute(sa.text(f"DROP TABLE {name}"))
