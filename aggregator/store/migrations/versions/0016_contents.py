"""Entries are found by their content and their link, because a new file may have those of a file that is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index('entry_content', 'entry', ['content_hash'], unique=False)
    op.create_index('entry_stated_link', 'entry', [sa.text('substr(sketch, 1, 8)')], unique=False)
