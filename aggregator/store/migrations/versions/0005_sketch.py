"""What tells that a file is a record that moved, and since when a duplicate asks for its id."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column('entry', sa.Column('sketch', sa.LargeBinary(), nullable=True))
    op.add_column('file', sa.Column('wanted_at', sa.BigInteger(), nullable=True))
