"""Files that are gone and not withdrawn yet, which every cycle asks for."""

import sqlalchemy as sa
from alembic import op

VANISHED = sa.text("gone_at IS NOT NULL AND state <> 4")


def upgrade() -> None:
    op.create_index('file_vanished', 'file', ['source', 'path'], sqlite_where=VANISHED, postgresql_where=VANISHED)
