"""Archive pages, bodies, feeds with a rule of their own, and what became of entries."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE, KEY, create_partial_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # added one by one: a batch would copy the table on SQLite, where this is enough
    op.add_column('feed', sa.Column('rule', sa.Text(), nullable=True))
    op.add_column('feed', sa.Column('topic_title', sa.Text(), nullable=True))
    op.add_column('feed', sa.Column('born_slug', BYTEWISE, nullable=True))
    op.add_column('feed', sa.Column('minted_from', BYTEWISE, nullable=True))
    op.add_column('feed', sa.Column('fits', sa.Integer(), nullable=True))
    op.add_column('feed', sa.Column('pages', sa.Integer(), server_default='0', nullable=False))
    op.add_column('feed', sa.Column('stale_at', sa.BigInteger(), nullable=True))
    create_partial_index('feed_stale', 'feed', ['stale_at'], 'stale_at IS NOT NULL')
    op.add_column('entry', sa.Column('link_key', sa.LargeBinary(), nullable=True))
    create_partial_index('entry_link', 'entry', ['link_key'], 'link_key IS NOT NULL')
    create_partial_index('feed_entry_unsealed', 'feed_entry', ['feed_id', 'released_at'], 'left_at IS NULL AND page IS NULL')
    create_partial_index('feed_entry_page', 'feed_entry', ['feed_id', 'page'], 'page IS NOT NULL')
    op.create_table('archive_page',
    sa.Column('feed_id', KEY, autoincrement=False, primary_key=True),
    sa.Column('number', sa.Integer(), autoincrement=False, primary_key=True),
    sa.Column('touched', sa.Boolean(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('shown_hash', sa.LargeBinary(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sqlite_with_rowid=False
    )
    create_partial_index('archive_page_touched', 'archive_page', ['touched'], 'touched')
    op.create_table('body',
    sa.Column('entry_id', KEY, autoincrement=False, primary_key=True),
    sa.Column('html', sa.Text(), nullable=False),
    )
    op.create_table('event',
    sa.Column('id', KEY, primary_key=True),
    sa.Column('entry_id', KEY, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('feed_id', KEY, nullable=True),
    sa.Column('clause', sa.Text(), nullable=True),
    )
    op.create_index('event_entry', 'event', ['entry_id'])
