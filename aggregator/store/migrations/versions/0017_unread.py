"""Which records have keys of dates and topics that only another preset reads."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column('file', sa.Column('unread', sa.Text(), nullable=True))
    create_partial_index('file_unread', 'file', ['source', 'unread', 'path'], 'unread IS NOT NULL AND missing_since IS NULL')
