"""The first schema."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE, KEY, create_partial_index

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table('cycle',
    sa.Column('id', KEY, primary_key=True),
    sa.Column('started_at', sa.BigInteger(), nullable=False),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.Column('counts', sa.Text(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    )
    op.create_table('entry',
    sa.Column('id', KEY, autoincrement=False, primary_key=True),
    sa.Column('uid', BYTEWISE, nullable=False),
    sa.Column('explicit_id', BYTEWISE, nullable=True),
    sa.Column('source', BYTEWISE, nullable=False),
    sa.Column('path', BYTEWISE, nullable=False),
    sa.Column('state', sa.SmallInteger(), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('visible_hash', sa.LargeBinary(), nullable=False),
    sa.Column('selection_hash', sa.LargeBinary(), nullable=False),
    sa.Column('text_hash', sa.LargeBinary(), nullable=False),
    sa.Column('quality', sa.Float(), nullable=False),
    sa.Column('heat', sa.Float(), nullable=False),
    sa.Column('dated_at', sa.BigInteger(), nullable=True),
    sa.Column('stated_update_at', sa.BigInteger(), nullable=True),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.Column('embargo_at', sa.BigInteger(), nullable=True),
    sa.Column('stored_at', sa.BigInteger(), nullable=False),
    sa.Column('edited_at', sa.BigInteger(), nullable=True),
    sa.Column('released_at', sa.BigInteger(), nullable=True),
    sa.Column('published_at', sa.BigInteger(), nullable=True),
    sa.Column('returned_at', sa.BigInteger(), nullable=True),
    sa.Column('withdrawn_at', sa.BigInteger(), nullable=True),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.UniqueConstraint('uid')
    )
    create_partial_index('entry_expiry', 'entry', ['expires_at'], 'state = 2 AND expires_at IS NOT NULL')
    create_partial_index('entry_explicit_id', 'entry', ['explicit_id'], 'explicit_id IS NOT NULL')
    op.create_index('entry_stored', 'entry', ['stored_at'], unique=False)
    create_partial_index('entry_waiting', 'entry', ['source', 'path'], 'state = 1')
    op.create_table('feed',
    sa.Column('id', KEY, autoincrement=False, primary_key=True),
    sa.Column('slug', BYTEWISE, nullable=True),
    sa.Column('topic', BYTEWISE, nullable=True),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('touched', sa.Boolean(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('shown_hash', sa.LargeBinary(), nullable=False),
    sa.Column('changed_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.Column('newest_at', sa.BigInteger(), nullable=True),
    sa.UniqueConstraint('slug'),
    sa.UniqueConstraint('topic')
    )
    create_partial_index('feed_touched', 'feed', ['touched'], 'touched')
    op.create_table('feed_entry',
    sa.Column('entry_id', KEY, autoincrement=False, primary_key=True),
    sa.Column('feed_id', KEY, autoincrement=False, primary_key=True),
    sa.Column('released_at', sa.BigInteger(), nullable=False),
    sa.Column('published_at', sa.BigInteger(), nullable=False),
    sa.Column('page', sa.Integer(), nullable=True),
    sa.Column('joined_at', sa.BigInteger(), nullable=False),
    sa.Column('left_at', sa.BigInteger(), nullable=True),
    sa.Column('left_by', sa.Text(), nullable=True),
    sqlite_with_rowid=False
    )
    create_partial_index('feed_entry_window', 'feed_entry', ['feed_id', sa.literal_column('released_at DESC'), sa.literal_column('published_at DESC')], 'left_at IS NULL')
    create_partial_index('feed_entry_withdrawn', 'feed_entry', ['feed_id', 'left_at'], "left_by = 'withdrawn'")
    op.create_table('file',
    sa.Column('source', BYTEWISE, primary_key=True),
    sa.Column('path', BYTEWISE, primary_key=True),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('mtime_ns', sa.BigInteger(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('state', sa.SmallInteger(), nullable=False),
    sa.Column('recheck', sa.Boolean(), nullable=False),
    sa.Column('gone_at', sa.BigInteger(), nullable=True),
    sa.Column('entry_id', KEY, nullable=True),
    sa.Column('wanted_id', BYTEWISE, nullable=True),
    sa.Column('problems', sa.Text(), nullable=True),
    sqlite_with_rowid=False
    )
    op.create_index('file_entry', 'file', ['entry_id'], unique=False)
    create_partial_index('file_gone', 'file', ['source', 'gone_at'], 'gone_at IS NOT NULL')
    create_partial_index('file_problem', 'file', ['state'], 'problems IS NOT NULL')
    op.create_table('lease',
    sa.Column('id', sa.Integer(), primary_key=True),
    sa.Column('token', sa.Text(), nullable=False),
    sa.Column('holder', sa.Text(), nullable=False),
    sa.Column('until_ms', sa.BigInteger(), nullable=False),
    )
    op.create_table('meta',
    sa.Column('key', sa.Text(), primary_key=True),
    sa.Column('value', sa.Text(), nullable=False),
    )
    op.create_table('source',
    sa.Column('name', sa.Text(), primary_key=True),
    sa.Column('parsed_with', sa.Text(), nullable=False),
    sa.Column('scanned', sa.Boolean(), nullable=False),
    sa.Column('held_since', sa.BigInteger(), nullable=True),
    sa.Column('problem', sa.Text(), nullable=True),
    )
