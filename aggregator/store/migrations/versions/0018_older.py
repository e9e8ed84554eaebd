"""Feeds know where their archives continue; keys that nothing reads any more are gone."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("feed", sa.Column("older", sa.Text(), nullable=True))
    op.execute("UPDATE feed SET dirty = true WHERE pages > 0")  # the next cycle stores it, and gives no new version
    op.execute("DELETE FROM meta WHERE key IN ('late_updates', 'service')")
