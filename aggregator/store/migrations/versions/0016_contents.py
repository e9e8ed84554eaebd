"""Entries are found by their content and their link, because a new file may have those of a file that is gone; and
those that are public before the date that they state."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.create_index('entry_content', 'entry', ['content_hash'], unique=False)
    op.create_index('entry_stated_link', 'entry', [sa.text('substr(sketch, 1, 8)')], unique=False)
    op.create_index('entry_early', 'entry', ['dated_at'], unique=False,
                    sqlite_where=sa.text("state = 'published' AND dated_at > released_at"),
                    postgresql_where=sa.text("state = 'published' AND dated_at > released_at"))
