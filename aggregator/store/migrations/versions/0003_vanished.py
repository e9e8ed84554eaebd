"""Files that are gone and not withdrawn yet, which every cycle asks for."""

from aggregator.store.migrations.shapes import create_partial_index

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_partial_index('file_vanished', 'file', ['source', 'path'], 'gone_at IS NOT NULL AND state <> 4')
