"""Archive pages, bodies, feeds with a rule of their own, and what became of entries."""

import sqlalchemy as sa
from alembic import op

UNSEALED = sa.text("left_at IS NULL AND page IS NULL")
SEALED = sa.text("page IS NOT NULL")
KEY = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    # added one by one: a batch would copy the table on SQLite, where this is enough
    op.add_column('feed', sa.Column('rule', sa.Text(), nullable=True))
    op.add_column('feed', sa.Column('topic_title', sa.Text(), nullable=True))
    op.add_column('feed', sa.Column('born_slug', sa.Text().with_variant(sa.TEXT(collation='C'), 'postgresql'), nullable=True))
    op.add_column('feed', sa.Column('minted_from', sa.Text().with_variant(sa.TEXT(collation='C'), 'postgresql'), nullable=True))
    op.add_column('feed', sa.Column('fits', sa.Integer(), nullable=True))
    op.add_column('feed', sa.Column('pages', sa.Integer(), server_default='0', nullable=False))
    op.add_column('feed', sa.Column('stale_at', sa.BigInteger(), nullable=True))
    op.create_index('feed_stale', 'feed', ['stale_at'], sqlite_where=sa.text('stale_at IS NOT NULL'), postgresql_where=sa.text('stale_at IS NOT NULL'))
    op.add_column('entry', sa.Column('link_key', sa.LargeBinary(), nullable=True))
    op.create_index('entry_link', 'entry', ['link_key'], sqlite_where=sa.text('link_key IS NOT NULL'), postgresql_where=sa.text('link_key IS NOT NULL'))
    op.create_index('feed_entry_unsealed', 'feed_entry', ['feed_id', 'released_at'], sqlite_where=UNSEALED, postgresql_where=UNSEALED)
    op.create_index('feed_entry_page', 'feed_entry', ['feed_id', 'page'], sqlite_where=SEALED, postgresql_where=SEALED)
    op.create_table('archive_page',
    sa.Column('feed_id', KEY, autoincrement=False, nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('touched', sa.Boolean(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('shown_hash', sa.LargeBinary(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('feed_id', 'number'),
    sqlite_with_rowid=False
    )
    op.create_index('archive_page_touched', 'archive_page', ['touched'], sqlite_where=sa.text('touched'), postgresql_where=sa.text('touched'))
    op.create_table('body',
    sa.Column('entry_id', KEY, autoincrement=False, nullable=False),
    sa.Column('html', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('entry_id')
    )
    op.create_table('event',
    sa.Column('id', KEY, nullable=False),
    sa.Column('entry_id', KEY, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('feed_id', KEY, nullable=True),
    sa.Column('clause', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('event_entry', 'event', ['entry_id'])
