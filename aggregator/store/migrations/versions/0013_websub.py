"""What WebSub hubs know of each document, so that a change is announced once, also after a crash."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        'websub_ping',
        sa.Column('hub', sa.Text(), primary_key=True),
        sa.Column('path', sa.Text(), primary_key=True),
        sa.Column('digest', sa.Text(), nullable=False),
        sa.Column('sent', sa.Text(), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('next_at', sa.BigInteger(), nullable=False),
    )
    create_partial_index('websub_ping_due', 'websub_ping', ['next_at'], 'digest <> sent')
