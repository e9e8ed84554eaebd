"""Ids of feeds and names of topics are stored, instead of what they are made from; `touched` is `dirty`."""

import uuid

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import BYTEWISE, create_partial_index

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("feed", sa.Column("uid", BYTEWISE, nullable=True))
    op.add_column("feed", sa.Column("topic_name", sa.Text(), nullable=True))
    op.execute("UPDATE feed SET topic_name = coalesce(topic_title, title) WHERE topic IS NOT NULL")
    connection = op.get_bind()
    site_id = connection.scalar(sa.text("SELECT value FROM meta WHERE key = 'site_id'")) or "localhost"
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id)
    rows = connection.execute(sa.text("SELECT id, coalesce(minted_from, born_slug, slug) AS made_from FROM feed")).all()
    ids = [{"id": row.id, "uid": uuid.uuid5(namespace, f"feed:{row.made_from}").urn} for row in rows if row.made_from]
    if ids:
        connection.execute(sa.text("UPDATE feed SET uid = :uid WHERE id = :id"), ids)
    for name in ("born_slug", "minted_from", "topic_title"):
        op.drop_column("feed", name)
    for table in ("feed", "archive_page"):
        op.drop_index(f"{table}_touched")
        op.alter_column(table, "touched", new_column_name="dirty")
        create_partial_index(f"{table}_dirty", table, ["dirty"], "dirty")
