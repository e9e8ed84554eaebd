"""Entries are found by their content and their link, because a new file may have those of a file that is gone; and
those that are public before the date that they state."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index('entry_content', 'entry', ['content_hash'], unique=False)
    op.create_index('entry_stated_link', 'entry', [sa.text('substr(sketch, 1, 8)')], unique=False)
    create_partial_index('entry_early', 'entry', ['dated_at'], "state = 'published' AND dated_at > released_at")
