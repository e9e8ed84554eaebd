"""The database: how it is opened, its transactions, its schema.

The differences between SQLite and PostgreSQL are here, except for the clock of `lease` and ON CONFLICT in `session`.
"""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    Select,
    column,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from aggregator.errors import (
    StoreBlockedError,
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreHeldError,
    StoreMissingError,
    StoreNewerError,
    StoreUnreachableError,
)
from aggregator.paths import file_identity
from aggregator.store.lease import Lease, read_holder
from aggregator.store.schema import metadata

SCHEMA = "0018"
"""The newest migration. A store with an older one is migrated, a store with a newer one is refused."""

_log = logging.getLogger(__name__)
HEADER = b"SQLite format 3\0"
"""Begins every SQLite file that is not empty."""
_OUR_TABLES = frozenset(("alembic_version", "meta", "lease"))
"""What every store has, of any schema."""
_DAMAGE = ("malformed", "file is not a database")
"""What SQLite says of a damaged file (SQLITE_CORRUPT, SQLITE_NOTADB)."""
CHECK_S = 60
"""How often a file that SQLite calls damaged is checked as a whole."""
_MIGRATION_LOCK = 0x61676772  # any number that every version of this program agrees on
_LIMITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""How long a connection to PostgreSQL waits for a machine that does not answer; store.url may have others (libpq,
"Database Connection Control Functions"). Without them, one that vanished would be waited for for hours."""
_UNREACHABLE = ("08", "57P01", "57P02", "57P03", "53300")
"""SQLSTATE of PostgreSQL while it stops, starts, or takes no more connections."""
_BLOCKED = "55P03"
_READ_ONLY = "25006"
_MAKE_WRITABLE = (
    "make room on its disk, set default_transaction_read_only to off, or name the server that takes writes in store.url"
    "; nothing is lost"
)
_MIXED = ("42P01", "42P07", "42701", "42703", "42704", "42710")
"""SQLSTATE of PostgreSQL for tables, columns and indexes that are missing, or there already."""
_RESTORE = "stop the services and restore a backup into an empty database: docs/operating.md#back-up-the-store"


class Store:
    """An open database. Writing needs `lease`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.lease = Lease(self.write_request)
        self.place = _place_of(engine)
        # Services on several machines may share it: one of them leads, the others follow.
        self.is_shared = engine.dialect.name == "postgresql"
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._identity = self._read_identity()

    @contextmanager
    def read(self, *, one_state: bool = False) -> Iterator[Connection]:
        """A transaction that only reads; with `one_state` it sees one state of the store however long it lasts."""
        self.check_in_place()
        with _wrapped(self._path), self.engine.connect() as connection:
            if one_state and self.is_shared:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction under the lease; raises LeaseLostError if another process has it."""
        with self.write_request() as connection:
            self.lease.assert_held(connection)
            yield connection

    @contextmanager
    def write_request(self) -> Iterator[Connection]:
        """A transaction without the lease: only for the lease itself, and for requests to its holder, in `meta`."""
        self.check_in_place()
        with _wrapped(self._path, place=self.place), self.engine.connect() as connection:
            connection.execution_options(begin="IMMEDIATE")
            with connection.begin():
                yield connection

    def prepare(self, *, create: bool) -> None:
        """Checks the schema; with `create` the tables are made or migrated if necessary. Raises what `open_store`
        raises."""
        version = self.schema_version()
        if version != SCHEMA and create:
            with self._wrapped_use():
                _bring_up(self.engine)
        elif version is None:
            raise StoreMissingError("the store is not ready yet (run: aggregator build)")
        elif version != SCHEMA:
            raise StoreError(
                f"the store was made by an older version of this program (schema {version}, this one has {SCHEMA}); it"
                " is upgraded when the service starts, or by aggregator build (aggregator build --dry-run shows what"
                " changes)"
            )
        self._identity = self._read_identity()

    def schema_version(self) -> str | None:
        """The newest migration that the store has; None for a new store. Raises StoreNewerError if this program does
        not know it, and StoreDamagedError."""
        with self._wrapped_use(), self.engine.connect() as connection, connection.begin():
            version = read_schema_version(connection)
            if self.is_shared and version is not None:
                _check_keys(connection, is_current=version == SCHEMA)
        check_version(version, "the store")
        return version

    def check_in_place(self) -> None:
        """Raises StoreError if SQLite's file was deleted or replaced.

        Open connections would continue to work on the deleted file, while another process makes a new store.
        """
        identity = self._read_identity()
        if identity != self._identity:
            what = "is missing" if identity is None else "is not the one that was opened"
            raise StoreError(
                f"the store's file {what}: {self._path} (bring the file back; or start the service again, with the file"
                " that is there, or with a new store)"
            )

    def check_undamaged(self) -> None:
        """Raises StoreDamagedError if pages of SQLite's file are damaged. Reads the whole file."""
        if self._path is not None:
            with self.read() as connection:
                result = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
            if result != "ok":
                raise _damaged(result.splitlines()[-1])

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    def _wrapped_use(self) -> AbstractContextManager[None]:
        return _wrapped(self._path, f"the store at {self.place} cannot be used", self.place)

    def _read_identity(self) -> tuple[int, int] | None:
        """Device and inode of SQLite's file; None without one."""
        try:
            return file_identity(self._path)
        except OSError as error:
            hint = "check the disk, and the rights of the folder"
            raise StoreError(f"{self._path} cannot be read: {error.strerror} ({hint})") from error


def _place_of(engine: Engine) -> str:
    """The file or the database, without what may be a password."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return str(url.database)
    return f"{url.get_backend_name()}://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def plain_rows(connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[Any]:
    """The rows as plain tuples of the driver: faster, for columns whose types need no conversion."""
    cursor = connection.execute(statement, values).cursor
    return [] if cursor is None else list(cursor.fetchall())


def open_store(url: str, *, create: bool) -> Store:
    """The store at `url`; with `create` it is made or migrated if necessary.

    Raises StoreNewerError if a newer program made it, and StoreError if it cannot be opened; without `create` also
    StoreMissingError if it does not exist, and StoreError if it is older.
    """
    store = name_store(url, create=create)
    try:
        store.prepare(create=create)
    except BaseException:
        store.close()
        raise
    return store


def sqlite_path(url: str) -> Path | None:
    """The path of the file of the store; None if the store is not SQLite."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def copy_store(url: str, folder: Path) -> Store:
    """A copy of the store at `url` for a rehearsal, as a new SQLite file in `folder`; an empty store if there is none.
    The original is only read; the copy of an older one is migrated."""
    copy = name_store(f"sqlite:///{folder / 'copy.db'}", create=True)
    try:
        with suppress(StoreMissingError), closing(name_store(url, create=False)) as origin:
            if origin.schema_version() is not None:
                (_copy_rows if origin.is_shared else _back_up)(origin, copy)
        copy.prepare(create=True)
    except BaseException:
        copy.close()
        raise
    return copy


def _back_up(origin: Store, copy: Store) -> None:
    """Copies a SQLite file page by page, without the lease."""
    with _wrapped(origin.place), origin.engine.connect() as theirs, copy.engine.connect() as ours:
        source: Any = theirs.connection.driver_connection
        source.backup(ours.connection.driver_connection)
    with copy.engine.begin() as ours:
        ours.execute(metadata.tables["lease"].delete())


def _copy_rows(origin: Store, copy: Store) -> None:
    """Copies all rows into tables of the same schema, without the lease."""
    with origin.read(one_state=True) as theirs, copy.engine.begin() as ours:
        version = read_schema_version(theirs)
        if version == SCHEMA:
            _make_tables(ours)
        else:
            migrate(ours, str(version))
        schema = inspect(ours)
        for name in schema.get_table_names():
            if name in ("alembic_version", "lease"):
                continue
            copied = table(name, *(column(found["name"]) for found in schema.get_columns(name)))
            rows = theirs.execute(select(copied).execution_options(yield_per=1000))
            for batch in rows.mappings().partitions():
                ours.execute(insert(copied), [dict(row) for row in batch])


def name_store(url: str, *, create: bool) -> Store:
    """The store at `url`, before its schema is checked: to call `prepare`, or only to hold its lease. Raises StoreError
    like `open_store`."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise StoreError(
                f"store.url must begin with sqlite:/// or postgresql+psycopg://, not {parsed.drivername}://"
            )
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            database = Path(parsed.database)
            _check_ours(database)
            if create:
                database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _make_private(database)
            elif not database.exists():
                raise StoreMissingError(f"there is no store yet at {database} (run: aggregator build)")
        is_remote = parsed.get_backend_name() != "sqlite"
        limits = {key: value for key, value in _LIMITS.items() if is_remote and key not in parsed.query}
        engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=is_remote, connect_args=limits)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"store.url cannot be used: {error}") from error
    except ModuleNotFoundError as error:
        raise StoreError(f"store.url needs {error.name} (in the checkout, run: pip install '.[postgres]')") from error
    except OSError as error:
        folder = database.parent
        if not create:
            raise StoreError(f"{database} cannot be read: {error.strerror}") from error
        made = f"sudo install -d -m 700 -o {os.geteuid()} {shlex.quote(str(folder))}"
        raise StoreError(
            f"{folder}, the folder of the store, cannot be made: {error.strerror} (make it: {made})"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "handle_error", _drop_read_only)
    return Store(engine)


def _check_ours(database: Path) -> None:
    """Raises StoreError for a file that is no store: what is no regular file or a database of another program
    (StoreForeignError), and what is no database (StoreDamagedError). Changes nothing, also not beside the file. One
    that does not exist, is empty, or cannot be read, may be a store."""
    what = f"store.url names {database}, which is no store"
    with suppress(OSError):
        if not stat.S_ISREG(database.stat().st_mode):
            raise StoreForeignError(f"{what}: it is no regular file (correct store.url)")
        with database.open("rb") as file:
            head = file.read(len(HEADER))
        if head and head != HEADER:
            raise StoreDamagedError(
                f"{what}: the file is not a database (stop the service and put back a backup: aggregator restore FILE;"
                " or correct store.url, if it never was a store)"
            )
    with suppress(sqlite3.Error):  # SQLite says later what is wrong
        # what the write-ahead log has is not read, so a store that was just made has no tables here
        uri = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not tables >= _OUR_TABLES:
            raise StoreForeignError(f"{what}: it has the tables of another program (correct store.url)")


def _make_private(database: Path) -> None:
    """Creates the file with access for our user only, because it contains drafts; SQLite gives its other files the same
    mode. If the file exists and is ours, others lose their access. The group keeps it: an operator must have given it.
    """
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for path in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        with suppress(OSError):
            status = path.stat()
            if status.st_uid == os.geteuid() and status.st_mode & 0o007:
                path.chmod(0o600)
                _log.warning("%s could be read by everybody on this machine; now only its owner can (mode 0600)", path)


def _tune_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own kind
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA cache_size = -32000")
    connection.execute("PRAGMA temp_store = MEMORY")


def _drop_read_only(context: ExceptionContext) -> None:
    """Closes the connections to a database that takes no writes: they would stay read-only when new ones are not."""
    if getattr(context.original_exception, "sqlstate", "") == _READ_ONLY:
        context.is_disconnect = True


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: SQLite does not wait for a lock in the middle of a transaction."""
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', '')}")


def _check_keys(connection: Connection, *, is_current: bool) -> None:
    """Raises StoreDamagedError if a table lacks its primary key or the index of a unique column, as after a restore
    that was cut off: rows could be there twice. Only PostgreSQL restores tables one by one. A store of an older schema
    may lack tables and unique columns."""
    found = {(table, is_primary): number for table, is_primary, number in connection.execute(text(_KEYS))}
    tables = {table for table, _ in found}
    lacking = [
        table.name
        for table in metadata.sorted_tables
        if is_current or table.name in tables
        if (table.name, True) not in found
        or (is_current and found.get((table.name, False), 0) < sum(bool(key.unique) for key in table.columns))
    ]
    if lacking:
        raise StoreDamagedError(
            f"the store at {_place_of(connection.engine)} was restored only in part: keys of these tables are missing,"
            f" so entries may be there twice: {', '.join(lacking)} ({_RESTORE})"
        )


_KEYS = """
    SELECT relname, indisprimary, count(*)
    FROM pg_class LEFT JOIN pg_index ON indrelid = pg_class.oid AND indisunique AND indisvalid
    WHERE relkind = 'r' AND pg_table_is_visible(pg_class.oid) GROUP BY 1, 2
"""
"""How many primary keys and other unique indexes each table has; a row with NULL for a table without."""


def check_version(version: str | None, what: object) -> None:
    """Raises StoreNewerError if a newer program made the store. Migrations do not go back, because they would lose what
    the older program cannot store."""
    if version is not None and version > SCHEMA:
        raise StoreNewerError(
            f"{what} was made by a newer version of this program (schema {version}, this one has {SCHEMA}); install the"
            " newer version again, or go back to a backup from before the upgrade (aggregator restore FILE)"
        )


def read_schema_version(connection: Connection) -> str | None:
    """The newest migration that the store has; None for a new store. Raises StoreDamagedError if it has several."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    versions: list[str] = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
    if len(versions) > 1:
        raise StoreDamagedError(
            f"the store at {_place_of(connection.engine)} is a mixture of the schemas {', '.join(sorted(versions))}"
            f" ({_RESTORE})"
        )
    return versions[0] if versions else None


def _bring_up(engine: Engine) -> None:
    """Makes the tables of a new store, or migrates an older one, under a lock."""
    with engine.connect() as connection, connection.execution_options(begin="IMMEDIATE").begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        version = read_schema_version(connection)
        if version is None:
            _make_tables(connection)
        elif version != SCHEMA:
            if (holder := read_holder(connection)) is not None:
                raise StoreHeldError(holder, hint="it runs an older version, so stop it; then the store is upgraded")
            migrate(connection, "head")


def _make_tables(connection: Connection) -> None:
    """All that the migrations make, in a tenth of the time, which is mostly Alembic's import."""
    from aggregator.store.indexes import indexes_of
    from aggregator.store.views import create_views

    for made in metadata.sorted_tables:
        connection.execute(CreateTable(made))
    for index in indexes_of(connection.dialect.name):
        connection.execute(CreateIndex(index))
    key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": SCHEMA})
    create_views(connection)


def migrate(connection: Connection, revision: str) -> None:
    """Migrates to a revision, in the transaction of `connection`. Only the newest one has views. Raises
    StoreDamagedError if no version of the program had the schema."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    from aggregator.store.views import create_views

    config = Config()
    config.set_main_option("script_location", "aggregator.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError:
        what = f"an unknown schema, {read_schema_version(connection) or revision}"
        raise StoreDamagedError(f"the store at {_place_of(connection.engine)} has {what} ({_RESTORE})") from None
    if read_schema_version(connection) == SCHEMA:
        create_views(connection)


_FULL = "database or disk is full"
_DENIED = ("unable to open database file", "attempt to write a readonly database")
OBSTACLES = (_FULL, *_DENIED, "disk I/O error")
"""What SQLite says if it cannot write, or cannot write the files that it needs beside its own. On a full disk it may be
any of these."""


@contextmanager
def _wrapped(path: str | None, what: str = "the database refused", place: str = "") -> Iterator[None]:
    """Wraps errors of the driver, without the statement and its values, which contain texts of records. `path` is
    SQLite's file, `place` what messages call a database that should take writes."""
    try:
        yield
    except DBAPIError as error:
        message, state = _driver_message(error), getattr(error.orig, "sqlstate", "")
        if state == _BLOCKED:
            raise StoreBlockedError(f"{what}: {message}") from error
        # psycopg has no SQLSTATE for a connection that failed or was lost
        if isinstance(error, OperationalError) and (state is None or state.startswith(_UNREACHABLE)):
            raise StoreUnreachableError(f"the database cannot be reached: {message}") from error
        if state == _READ_ONLY:
            what = f"the database {place} takes no writes"
            raise StoreUnreachableError(f"{what}: {message} ({_MAKE_WRITABLE})") from error
        if any(sign in message for sign in _DAMAGE):
            raise _damaged_or_unread(path, f"{what}: {message}") from error
        if state in _MIXED:
            raise StoreDamagedError(f"{what}: {message} (no version made this schema: {_RESTORE})") from error
        if path and message.startswith(OBSTACLES):
            raise StoreError(f"{path} {_obstacle(Path(path), message)}") from error
        raise StoreError(f"{what}: {message}{f' ({path})' if path and path not in what else ''}") from error


def is_full(path: Path) -> bool:
    """Whether the disk of a file has no room."""
    try:
        return not os.statvfs(path.parent).f_bavail
    except OSError:
        return False


def _obstacle(path: Path, message: str) -> str:
    """Why SQLite cannot use its file, and what to do."""
    if message.startswith(_FULL) or is_full(path):
        return "cannot be written: the disk is full (make room; nothing is lost, the next cycle reads again)"
    with suppress(OSError):
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return (
                "cannot be used: its disk is mounted read-only, as the system does after an error (check the disk,"
                " and mount it so that it can be written)"
            )
    files = [Path(f"{path}{ending}") for ending in ("", "-wal", "-shm")]
    by_effective = os.access in os.supports_effective_ids
    places = [
        place
        for place in (path.parent, *files)
        if os.path.lexists(place) and not os.access(place, os.W_OK, effective_ids=by_effective)
    ]
    if not places:
        return f"cannot be used: {message} (check the disk; the file and its folder must be the user's who runs this)"
    user = os.geteuid()
    commands = {f"chown {user}": [place for place in places if os.lstat(place).st_uid != user]}
    commands["chmod u+rwX"] = [place for place in places if place not in commands[f"chown {user}"]]
    shown = (f"{command} {shlex.join(map(str, few))}" for command, few in commands.items() if few)
    what = f"cannot be written: user {user} must be able to write it and into its folder"
    return f"{what} (as by: {'; '.join(shown)})"


def _damaged_or_unread(path: str | None, reason: str) -> StoreError:
    """The error for what SQLite calls damaged. It says the same of a page that the disk did not give once."""
    try:
        if path is None or not _is_whole(path, int(time.monotonic() // CHECK_S)):
            return _damaged(reason)
        what = "now the store is whole"
    except OSError as error:
        what = error.strerror or type(error).__name__
    return StoreError(
        f"a page of the store could not be read: {path}: {what} (its disk has an error: see the log of the system, as"
        " by dmesg; if aggregator backup FILE fails too, put back a backup)"
    )


@lru_cache(maxsize=1)
def _is_whole(path: str, _span: int) -> bool:
    """Whether all pages and indexes can be read and are undamaged; checked once in each span of CHECK_S. Raises OSError
    if the disk does not give them."""
    with open(path, "rb", buffering=0) as file:
        while file.read(2**20):
            pass
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as it:
        return bool(it.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    return False


def _damaged(reason: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"the store is damaged: {reason} (stop the service and put back a backup: aggregator restore FILE; without one,"
        " move the store away, and keep it: entries that were never renamed get their ids again)"
    )


def _driver_message(error: DBAPIError) -> str:
    origin: Any = error.orig
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    return str(primary or origin).splitlines()[0]
