"""States by their names, a state of withdrawn entries, and since when files are missing."""

import sqlalchemy as sa
from alembic import op

from aggregator.store.migrations.shapes import create_partial_index

revision = "0008"
down_revision = "0007"

STATES = {
    "file": {0: "read", 1: "rejected", 2: "unfinished", 3: "duplicate", 4: "removed"},
    "entry": {0: "hidden", 1: "scheduled", 2: "published"},
}
REASONS = {"vanished": "missing", "unusable": "rejected"}


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("file_gone", "file_vanished", "file_problem", "entry_waiting", "entry_expiry"):
        op.drop_index(name)
    for name, states in STATES.items():
        rowid = {"sqlite_with_rowid": False} if is_sqlite and name == "file" else {}
        cases = " ".join(f"WHEN {number} THEN '{state}'" for number, state in states.items())
        with op.batch_alter_table(name, table_kwargs=rowid) as batch:
            batch.alter_column(
                "state",
                existing_type=sa.SmallInteger(),
                type_=sa.Text(),
                existing_nullable=False,
                postgresql_using=f"CASE state {cases} END",
            )
        if is_sqlite:  # which made a copy with the numbers as texts
            table = sa.table(name, sa.column("state", sa.Text()))
            texts = {str(number): state for number, state in states.items()}
            op.execute(sa.update(table).values(state=sa.case(texts, value=table.c.state)))
    entry = sa.table("entry", sa.column("state"), sa.column("released_at"))
    was_published = (entry.c.state == "hidden", entry.c.released_at.is_not(None))
    op.execute(sa.update(entry).where(*was_published).values(state="withdrawn"))
    event = sa.table("event", sa.column("what"), sa.column("clause"))
    for old, new in REASONS.items():
        op.execute(sa.update(event).where(event.c.what == "withdrawn", event.c.clause == old).values(clause=new))
    op.alter_column("file", "gone_at", new_column_name="missing_since")
    op.alter_column("source", "held_since", new_column_name="removals_held_since")
    create_partial_index("file_missing_since", "file", ["source", "missing_since"], "missing_since IS NOT NULL")
    create_partial_index("file_missing", "file", ["source", "path"], "missing_since IS NOT NULL AND state <> 'removed'")
    create_partial_index("file_problem", "file", ["state"], "problems IS NOT NULL")
    create_partial_index("entry_scheduled", "entry", ["source", "path"], "state = 'scheduled'")
    create_partial_index("entry_expiry", "entry", ["expires_at"], "state = 'published' AND expires_at IS NOT NULL")
