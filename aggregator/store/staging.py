"""Staging: columns of records that other processes copy into PostgreSQL, for the holder of the lease to merge.

    a worker: COPY into the staging table, commit -> the holder: INSERT … SELECT in the transaction of the batch

The table is unlogged, has the fencing token of the lease in its name, and each batch in it a key of its own. So what
was left by a worker that died, by one that ran a batch twice, or for an earlier holder is never merged. The next holder
that needs a staging table drops all others.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Insert,
    MetaData,
    Table,
    Text,
    Update,
    column,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.schema import CreateTable, DropTable

from aggregator.errors import StoreError
from aggregator.model import Outcome, Record, StagedOutcomes
from aggregator.parse.page_links import has_page_links
from aggregator.store.copying import StagedBatch, copy_rows, run_for_rows
from aggregator.store.database import Store, make_engine
from aggregator.store.schema import body, entry

LOCK_TIMEOUT = "2s"
"""How long dropping a table waits for a worker that still writes into it."""
_PREFIX = "staged_"
_MINE = f"^{_PREFIX}[0-9a-f]{{32}}$"
"""The names of staging tables, as a regular expression of PostgreSQL: other programs may use the schema too."""
_OF_ENTRY = ("content_hash", "visible_hash", "selection_hash", "text_hash", "sketch", "quality", "heat")
"""Columns of `entry` that a record has under the same name. The content is staged too."""
_staged_values = attrgetter("file.path", "content_json", "body_html", *_OF_ENTRY)


def open_staging(store: Store) -> str | None:
    """The name of a new staging table; None in SQLite, which is not open to other machines. Raises StoreError."""
    if store.engine.dialect.name != "postgresql":
        return None
    drop_staging(store)
    name = f"{_PREFIX}{store.lease.token}"
    with store.write() as connection:
        connection.execute(CreateTable(_table(name), if_not_exists=True))
    return name


def drop_staging(store: Store) -> None:
    """Drops all staging tables, except those that a worker writes into. Raises StoreError."""
    mine = text(f"schemaname = current_schema() AND tablename ~ '{_MINE}'")
    with store.read() as connection:
        names: list[str] = list(
            connection.scalars(select(column("tablename")).select_from(text("pg_tables")).where(mine))
        )
    for name in names:
        with suppress(StoreError), store.write() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(DropTable(_table(name), if_exists=True))


def stage_outcomes(url: str, table: str, outcomes: Sequence[Outcome], *, with_content: bool) -> StagedOutcomes:
    """Copies columns of records into the table. The outcomes come back without the large ones, except the content with
    `with_content` or with stories that have times, and bodies that link to pages."""
    key = uuid.uuid4().hex
    rows = [(key, *_staged_values(outcome)) for outcome in outcomes if isinstance(outcome, Record)]
    with _engine(url).begin() as connection:
        copy_rows(connection, table, _table(table).c.keys(), rows)
    return StagedOutcomes([_without_large(outcome, with_content=with_content) for outcome in outcomes], table, key)


@lru_cache(maxsize=1)
def _engine(url: str) -> Engine:
    return make_engine(url, create=False)


def _without_large(outcome: Outcome, *, with_content: bool) -> Outcome:
    if not isinstance(outcome, Record):
        return outcome
    html = outcome.body_html if has_page_links(outcome.body_html) else ""
    content = outcome.content_json if with_content or outcome.story_times else ""
    return outcome._replace(content_json=content, sketch=b"", body_html=html)


def is_complete(connection: Connection, outcomes: StagedOutcomes) -> bool:
    """Whether the rows of all records are there. After a crash PostgreSQL empties unlogged tables."""
    table = _table(outcomes.table)
    rows = connection.scalar(select(func.count()).select_from(table).where(table.c.batch == outcomes.key))
    return rows == sum(isinstance(outcome, Record) for outcome in outcomes)


def run_staged(
    connection: Connection, statement: Insert | Update, rows: Sequence[dict[str, Any]], outcomes: StagedOutcomes
) -> None:
    """Runs a constant statement for each row; values of staged columns come from the batch."""
    run_for_rows(connection, statement, rows, StagedBatch(_table(outcomes.table), outcomes.key))


def insert_bodies(connection: Connection, outcomes: StagedOutcomes, source: str, entry_ids: Sequence[int]) -> None:
    """Stores the bodies of entries that are in the batch; a record without a body gets no row."""
    table = _table(outcomes.table)
    bodies = (
        select(entry.c.id, table.c.html)
        .join(table, table.c.path == entry.c.path)
        .where(entry.c.source == source, entry.c.id.in_(entry_ids), table.c.batch == outcomes.key, table.c.html != "")
    )
    connection.execute(insert(body).from_select(["entry_id", "html"], bodies))


def discard(connection: Connection, outcomes: StagedOutcomes) -> None:
    """Deletes a batch that is merged."""
    table = _table(outcomes.table)
    connection.execute(table.delete().where(table.c.batch == outcomes.key))


@lru_cache(maxsize=4)
def _table(name: str) -> Table:
    """The staging table with this name; its columns are in the order of `_staged_values`."""
    return Table(
        name,
        MetaData(),
        Column("batch", Text, primary_key=True),
        Column("path", entry.c.path.type, primary_key=True),
        Column("content", entry.c.content.type, nullable=False),
        Column("html", body.c.html.type, nullable=False),
        *(Column(name, entry.c[name].type, nullable=False) for name in _OF_ENTRY),
        prefixes=["UNLOGGED"],
    )
