"""All that the system says of a file when it changes: a file of the same size and mtime may be another one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column('file', sa.Column('ctime_ns', sa.BigInteger(), nullable=True))
    op.add_column('file', sa.Column('inode', sa.BigInteger(), nullable=True))
