"""Since when files are rejected, and an index of hidden entries, for the views that `store.views` makes."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("file", sa.Column("rejected_at", sa.BigInteger()))
    file = sa.table("file", *map(sa.column, ("state", "rejected_at", "ctime_ns", "mtime_ns")))
    changed_at = sa.func.coalesce(file.c.ctime_ns, file.c.mtime_ns).op("/")(sa.literal_column("1000"))
    op.execute(sa.update(file).where(file.c.state.in_(("rejected", "duplicate"))).values(rejected_at=changed_at))
    create_partial_index("entry_hidden", "entry", ["id"], "state = 'hidden'")
