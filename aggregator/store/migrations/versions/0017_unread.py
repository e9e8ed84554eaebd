"""Which records have keys of dates and topics that only another preset reads."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.add_column('file', sa.Column('unread', sa.Text(), nullable=True))
    op.create_index('file_unread', 'file', ['source', 'unread', 'path'], unique=False,
                    sqlite_where=sa.text('unread IS NOT NULL AND missing_since IS NULL'),
                    postgresql_where=sa.text('unread IS NOT NULL AND missing_since IS NULL'))
