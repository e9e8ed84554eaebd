"""Entries are found by their content, because a new file may have that of a file that is gone."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index('entry_content', 'entry', ['content_hash'], unique=False)
