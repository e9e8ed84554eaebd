"""Many rows for PostgreSQL in one round trip. The home of what only psycopg does.

    INSERT                         COPY into the table
    UPDATE, INSERT … ON CONFLICT   one statement over arrays: a column of all rows is one parameter

A temporary table that COPY fills is the usual way to update many rows. For a thousand rows it takes as long as arrays,
and ten times as long for a few, because emptying it takes 5 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Insert, Update, bindparam, column, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.visitors import replacement_traverse


def run_for_rows(connection: Connection, statement: Insert | Update, rows: Sequence[dict[str, Any]]) -> None:
    """Runs a constant statement for each row, as `session.execute_many` does. No two rows of an UPDATE have the same
    key; of rows of an upsert with the same key, the last one counts."""
    names = tuple(rows[0])
    if isinstance(statement, postgresql.Insert):
        key = itemgetter(*(column.name for column in statement.table.primary_key))
        rows = list({key(row): row for row in rows}.values())  # a statement may change a row only once
    elif isinstance(statement, Insert):
        _copy_rows(connection, statement.table.name, names, map(itemgetter(*names), rows))
        return
    dialect: Any = type(connection.dialect)
    sql = _over_arrays(statement, names, dialect)
    connection.exec_driver_sql(sql, {name: [row[name] for row in rows] for name in names})


def _copy_rows(connection: Connection, table: str, names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Inserts rows with values for the named columns by COPY."""
    copy = f"COPY {table} ({', '.join(names)}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as target:
            for row in rows:
                target.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy does not see it, so it does not wrap it
        raise DBAPIError(copy, None, error) from error


@lru_cache(maxsize=64)
def _over_arrays(statement: Insert | Update, names: tuple[str, ...], dialect: Callable[..., Any]) -> str:
    """SQL that does for arrays what the statement does for a row; its parameters are the names."""
    driver = dialect(paramstyle="pyformat")
    is_insert = isinstance(statement, Insert)
    binds: Any = statement.compile(dialect=driver, column_keys=names if is_insert else None).binds
    types = {name: binds[name].type for name in names}
    arrays = [bindparam(name, type_=postgresql.ARRAY(types[name])) for name in names]
    given: Any = func.unnest(*arrays).table_valued(*(column(name, types[name]) for name in names))
    given = given.render_derived(name="given")
    values = {name: given.c[name] for name in names}

    def replace(part: Any, **_: Any) -> Any:
        return values.get(part.key) if isinstance(part, BindParameter) else None

    whole: Any = statement
    if is_insert:
        whole = whole.from_select([*values], select(*values.values()))
    else:
        whole = replacement_traverse(whole, {}, replace)  # type: ignore[call-overload]
    return str(whole.compile(dialect=driver))
