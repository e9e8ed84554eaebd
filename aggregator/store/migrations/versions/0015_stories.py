"""When the related stories of an entry come and go, which their own dates and expiries say."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.add_column('entry', sa.Column('stories_at', sa.BigInteger(), nullable=True))
    op.create_index('entry_stories', 'entry', ['stories_at'], unique=False,
                    sqlite_where=sa.text('stories_at IS NOT NULL'), postgresql_where=sa.text('stories_at IS NOT NULL'))
