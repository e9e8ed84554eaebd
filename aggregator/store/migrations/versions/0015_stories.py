"""When the related stories of an entry come and go, which their own dates and expiries say."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column('entry', sa.Column('stories_at', sa.BigInteger(), nullable=True))
    create_partial_index('entry_stories', 'entry', ['stories_at'], 'stories_at IS NOT NULL')
