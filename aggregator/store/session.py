"""The access of one cycle to the store: its transactions, its time, its counters; and helpers to write rows."""

from __future__ import annotations

import itertools
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Insert, Table, Update, bindparam, func, insert, select

from aggregator.errors import StoreMismatchError
from aggregator.ids import IdMint
from aggregator.store.database import Store
from aggregator.store.schema import adopted_id, entry, meta

JOIN_S = 0.2
"""A shared transaction older than this is committed before the next step, which keeps transactions below 2 s."""
COPIED_FROM = 10
"""Number of rows from which PostgreSQL takes them at once. For fewer, such as for one new record, a statement for each
row is as fast."""
Item = TypeVar("Item")

_META = select(meta.c.value).where(meta.c.key == bindparam("key"))
_LAST_ENTRY = select(func.max(entry.c.id))


class Writer:
    """One cycle's access to the store: its time, its transactions, keys for new entries, and what it counted."""

    def __init__(self, store: Store, now: datetime, site_id: str) -> None:
        self.store = store
        self.now = to_us(now)
        self.mint = IdMint(site_id)
        self.new = self.changed = self.removed = 0  # entries
        self.before_writing: Callable[[Connection], None] | None = None  # called once, in the next writing transaction
        self._joined, self._writing, self._since = False, False, 0.0
        self._connection: Connection | None = None
        self._transaction = ExitStack()
        with self.read() as connection:
            self.next_entry = (connection.scalar(_LAST_ENTRY) or 0) + 1

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside, steps share transactions up to an age of `JOIN_S`, because each commit costs a sync.

        A `with write()` is a step: it is stored as a whole or not at all. An error also rolls back the steps before it
        in its transaction, and the next cycle repeats them.
        """
        self._joined = True
        try:
            yield
        finally:
            self._joined = False
            self.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees everything written before."""
        with self._share(writing=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction under the lease."""
        with self._share(writing=True) as connection:
            yield connection
        if self._connection is not None and time.monotonic() - self._since > JOIN_S:
            self.commit()

    def commit(self) -> None:
        """Commits the shared transaction, if there is one. Call it before long work that needs none."""
        self._connection = None
        self._transaction.close()

    @contextmanager
    def _share(self, *, writing: bool) -> Iterator[Connection]:
        alone = not self._joined and self._connection is None
        if self._connection is None or (writing and not self._writing):
            self.commit()
            opening = self.store.write() if writing else self.store.read()
            self._connection = self._transaction.enter_context(opening)
            self._writing, self._since = writing, time.monotonic()
        try:
            if writing and self.before_writing is not None:
                call, self.before_writing = self.before_writing, None
                call(self._connection)
            yield self._connection
        except BaseException:
            self._connection = None
            self._transaction.__exit__(*sys.exc_info())
            raise
        if alone:
            self.commit()

    @cached_property
    def has_adopted(self) -> bool:
        """Whether the store has adopted ids, see `store.adopted`. No cycle adds any."""
        with self.read() as connection:
            return connection.execute(select(adopted_id.c.link_key).limit(1)).first() is not None

    def new_entry_id(self) -> int:
        """The next key of an entry."""
        self.next_entry += 1
        return self.next_entry - 1


def open_site(store: Store, stated_id: str | None, default_id: str) -> str:
    """The site id that the store has, which is the first that it was opened with.

    Raises StoreMismatchError if the config states another.
    """
    with store.write() as connection:
        for key, value in (("site_id", stated_id or default_id), ("store_id", uuid.uuid4().hex)):
            if connection.scalar(select(meta.c.value).where(meta.c.key == key)) is None:
                connection.execute(insert(meta).values(key=key, value=value))
        stored_id = read_site_id(connection, stated_id)
    return str(stored_id)


def read_site_id(connection: Connection, stated_id: str | None) -> str | None:
    """The site id that the store has; None if it has none yet.

    Raises StoreMismatchError if the config states another.
    """
    stored_id = read_meta(connection, "site_id")
    if None not in (stated_id, stored_id) and stated_id != stored_id:
        raise StoreMismatchError(
            f"site.id is {stated_id!r} but the ids in the store are made from {stored_id!r}: every subscriber would get"
            f" everything again (write id = {stored_id!r} below [site])"
        )
    return stored_id


def read_meta(connection: Connection, key: str) -> str | None:
    """A fact about the whole store."""
    return connection.scalar(_META, {"key": key})


def write_meta(connection: Connection, key: str, value: str) -> None:
    """Stores a fact about the whole store."""
    upsert(connection, meta, [{"key": key, "value": value}])


def upsert(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """Inserts rows, or updates the rows with the same primary key. All rows have the same columns."""
    if rows:
        execute_many(connection, _upserting(connection.dialect.name, table, tuple(rows[0])), rows)


@lru_cache(maxsize=16)
def _upserting(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = dialect_insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    upserting: Insert = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return upserting


def execute_many(connection: Connection, statement: Insert | Update, rows: Sequence[dict[str, Any]]) -> None:
    """Runs a statement for each row, at a fraction of the cost per row of `Connection.execute`; in PostgreSQL, for many
    rows at once.

    The keys of all rows are the same: columns, or names of the statement's `bindparam`. Values go to the driver as they
    are. The statement must be a constant, because its compiled form is cached by identity.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql" and len(rows) >= COPIED_FROM:
        from aggregator.store.copying import run_for_rows

        run_for_rows(connection, statement, rows)
        return
    dialect: Any = type(connection.dialect)
    sql, values = _compiled(statement, tuple(rows[0]), dialect)
    connection.exec_driver_sql(sql, [values(row) for row in rows])


@lru_cache(maxsize=64)
def _compiled(
    statement: Insert | Update, names: tuple[str, ...], dialect: Callable[..., Any]
) -> tuple[str, Callable[[dict[str, Any]], tuple[Any, ...]]]:
    """The SQL for the driver, and a function from a row to its positional values."""
    positional = dialect(paramstyle="qmark" if dialect().name == "sqlite" else "format")
    compiled = statement.compile(dialect=positional, column_keys=[*names] if isinstance(statement, Insert) else None)
    places = compiled.positiontup or []
    constants = {name: value for name, value in compiled.params.items() if name not in names}
    pick = itemgetter(*places)
    return str(compiled), (lambda row: pick(row | constants)) if constants else pick


def parts(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """The items in parts of at most `size`, such as fit into a statement."""
    iterator = iter(items)
    while part := tuple(itertools.islice(iterator, size)):
        yield part


def dialect_insert(dialect: str, table: Table) -> Any:
    """An INSERT with ON CONFLICT for the dialect; the other dialect is not imported."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def to_us(moment: datetime) -> int:
    """µs since 1970."""
    return (moment - _EPOCH) // _US


def span_us(span: timedelta) -> int:
    """A span of time in µs."""
    return span // _US


def to_us_or_none(moment: datetime | None) -> int | None:
    """µs since 1970; None for None."""
    return None if moment is None else (moment - _EPOCH) // _US


def from_us(us: int) -> datetime:
    """The time that is `us` µs after 1970."""
    return _EPOCH + timedelta(microseconds=us)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
