"""A store in one file: made while others use the store, and put back in its place. Only for SQLite."""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
import stat
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError

from aggregator.errors import StoreDamagedError, StoreError, StoreHeldError, StoreMissingError
from aggregator.store.database import HEADER, OBSTACLES, check_version, is_full, name_store, sqlite_path
from aggregator.store.lease import is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_S = 60
"""How long an unfinished file must be unchanged before it counts as left by a process that was killed."""
_IN_ONE_FILE = b"\1\1"
"""What follows the header and the size of a page unless a write-ahead log belongs to the file (SQLite, "Database File
Format", section 1.3.3). A store in use has one, a backup never: SQLite reads nothing beside that, and leaves nothing
there."""
_STORE_ID = "SELECT value FROM meta WHERE key = 'store_id'"
_BACKUP_ID = """
    SELECT value FROM meta
    WHERE key = 'store_id' AND EXISTS (SELECT 1 FROM alembic_version) AND NOT EXISTS (SELECT 1 FROM lease)
"""
_PG_RESTORE = "pg_restore --exit-on-error --single-transaction --dbname={url} {file}"
"""All or nothing. Without --clean: over a store of another version, or below views of others, it could only fail or
leave tables that the backup does not have."""
_INTO_EMPTY = (
    "; before it stop the services, and rename the database and make an empty one in its place:"
    " docs/operating.md#back-up-the-store"
)
_SLUGS = """
    SELECT topic, slug, coalesce(topic_name, title) FROM feed
    WHERE topic IS NOT NULL AND slug IS NOT NULL ORDER BY slug
"""
_NO_STORE = ("file is not a database", "no such table")
"""What SQLite says of another kind of file, and of another database."""
_BESIDE = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a database. It reads them into whatever database it finds there."""


def back_up(url: str, target: Path) -> int:
    """Copies the store at `url` into the file `target`, in place of an earlier backup; its size in bytes.

    The copy is one moment of the store, and has no lease. Raises StoreError, also for a target that is another file.
    """
    path = _require_sqlite(url, "pg_dump --format=custom --file={file} --dbname={url}", target)
    if not path.exists():
        raise StoreMissingError(f"there is no store yet at {path} (run: aggregator build)")
    _check_target(path, target)
    with _complete_file(target) as new:
        with _copied(path, new, target) as copy:
            copy.execute("DELETE FROM lease")
            copy.commit()
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without others beside it
            _check_pages(copy, path)
        return new.stat().st_size


def restore(url: str, backup: Path) -> Path | None:
    """Puts a backup in the place of the store at `url`; the path of what was there before, if anything was.

    Raises StoreHeldError if a process holds the store, StoreNewerError for a backup of a newer program, and StoreError
    for a file that is no backup.
    """
    path = _require_sqlite(url, _PG_RESTORE, backup, _INTO_EMPTY)
    if path.exists() and backup.exists() and backup.samefile(path):
        raise StoreError(f"{backup} is the store itself (name the file of a backup)")
    _check_backup(backup)
    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept: Path | None = None
    try:
        with _complete_file(path) as new:
            with _copied(backup, new, path):
                pass
            _keep_rights(new, path)
            _sync(new)
            if path.exists():
                _settle(url)  # last, because the lease that it takes lasts only for seconds
            kept = _set_aside(path)
    except StoreError as error:
        if kept is None:
            raise
        raise StoreError(f"{error} (the store before it is kept as {kept})") from error
    return kept


def lost_slugs(url: str, kept: Path) -> dict[str, str]:
    """The slugs of topics, by name, that these topics have in the store `kept` by `restore` and not in the store at
    `url`. Empty if either cannot be read, as a store of an older schema."""
    path = sqlite_path(url)
    if path is None:
        return {}
    with suppress(sqlite3.Error):
        restored = _slugs(path)
        return {name: slug for (topic, slug), name in _slugs(kept).items() if (topic, slug) not in restored}
    return {}


def _slugs(path: Path) -> dict[tuple[str, str], str]:
    """The names of topics by topic and slug. Leaves nothing beside the file, which nobody uses."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        return {(topic, slug): name for topic, slug, name in connection.execute(_SLUGS)}


def _require_sqlite(url: str, command: str, file: Path, first: str = "") -> Path:
    """The path of the SQLite file. Raises StoreError if we may not see it, and for PostgreSQL, with the command of its
    own, and what to do `first`."""
    if path := sqlite_path(url):
        try:
            path.lstat()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror} (run this as the user of the service)") from None
        return path
    stated = make_url(url)
    shown = URL.create(
        "postgresql", stated.username, host=stated.host, port=stated.port, database=stated.database
    ).render_as_string()
    shown, more = (f"{shown}?…", "; … is what follows '?' in store.url") if stated.query else (shown, "")  # passwords
    run = command.format(url=shlex.quote(shown), file=shlex.quote(str(file)))
    raise StoreError(f"PostgreSQL has a command for that (run: {run}{more}{first})")


def _check_target(path: Path, target: Path) -> None:
    """Raises StoreError if a backup must not replace the file at `target`."""
    try:
        head = _read_head(target)
        if target.samefile(path):
            raise StoreError(f"{target} is the store itself (name another file)")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror} (name another file)") from None
    is_in_one_file = head.startswith(HEADER) and head.endswith(_IN_ONE_FILE)
    if head and not (is_in_one_file and _is_backup(path, target)):
        raise StoreError(
            f"{target} is not an earlier backup of this store, so it is not overwritten (name another file)"
        )


def _read_head(file: Path) -> bytes:
    """The first bytes of a file. Raises OSError, also for a device, and for a pipe without waiting for its writer."""
    if not (file.is_dir() or stat.S_ISREG(file.stat().st_mode)):
        raise OSError(errno.EINVAL, "it is no regular file")
    with file.open("rb") as opened:
        return opened.read(len(HEADER) + 4)


def _is_backup(path: Path, target: Path) -> bool:
    """Whether the database at `target` is a copy of the store at `path`, without a lease."""
    with _wrapped(f"{path} cannot be read"), closing(_open_to_read(path)) as store:
        mine = store.execute(_STORE_ID).fetchone()
    with suppress(sqlite3.Error), closing(_open_to_read(target)) as copy:  # another database, or a damaged file
        return mine is not None and mine == copy.execute(_BACKUP_ID).fetchone()
    return False


def _check_backup(backup: Path) -> None:
    """Raises StoreError unless the file is a whole store of this or an earlier schema."""
    try:
        _read_head(backup)
    except OSError as error:
        raise StoreError(f"{backup} cannot be read: {error.strerror} (name the file of a backup)") from None
    with _wrapped(f"{backup} cannot be read"), closing(_open_to_read(backup)) as connection:
        _check_schema(connection, backup)
        _check_pages(connection, backup)


@contextmanager
def _copied(path: Path, new: Path, target: Path) -> Iterator[sqlite3.Connection]:
    """The copy of a store in the file `new`, which is to take the place of `target`."""
    with _wrapped(f"{path} cannot be copied to {target}", new), closing(sqlite3.connect(new)) as copy:
        with closing(_open_to_read(path)) as store:
            _check_schema(store, path)
            store.backup(copy)
        yield copy


def _open_to_read(path: Path) -> sqlite3.Connection:
    """The database, which may be in use. On a full disk SQLite cannot make the files beside it; without a write-ahead
    log it needs none, and nobody can write meanwhile."""
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
    except sqlite3.OperationalError as error:
        log = Path(f"{path}-wal")
        if not str(error).startswith(OBSTACLES) or not is_full(path) or (log.exists() and log.stat().st_size):
            return connection  # the next statement says why
        connection.close()
        return sqlite3.connect(f"{uri}?immutable=1", uri=True)
    except sqlite3.DatabaseError:
        pass  # the same
    return connection


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError unless the database is a store that this program can use or upgrade."""
    row = None
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        if not str(error).startswith(_NO_STORE):
            raise
    if row is None:
        raise StoreError(f"{path} is not a backup of a store (make one with: aggregator backup FILE)")
    check_version(row[0], path)


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError if the database is damaged."""
    if (result := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise StoreError(f"{path} is damaged: {result} (use an earlier backup)")


def _settle(url: str) -> None:
    """Takes the lease of the store, if there is one that can be used, and writes all that is beside its file into it.

    Raises StoreHeldError if another process has the lease.
    """
    try:
        store = name_store(url, create=False)
    except StoreDamagedError:
        return
    try:
        store.lease.acquire(0)
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    except StoreHeldError as held:
        raise StoreHeldError(held.holder, hint="stop it first") from None
    except (StoreError, DBAPIError):
        pass  # it is damaged, which is a reason to restore
    finally:
        store.lease.stop_renewing()
        store.close()


def _set_aside(path: Path) -> Path | None:
    """Gives the store at `path` a second name; the new path, None without a store. Moves the files beside it, also
    without a store."""
    kept = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    has_store = path.exists()
    if has_store:
        os.link(path, kept)
    for ending in _BESIDE:
        with suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{kept}{ending}")
    return kept if has_store else None


def _keep_rights(new: Path, path: Path) -> None:
    """Gives the file `new` the owner, group and mode of the store that it replaces; without one, the owner and group of
    its folder. It stays private if only root could give it away."""
    is_there = path.exists()
    right, mine = (path if is_there else path.parent).stat(), new.stat()
    if (right.st_uid, right.st_gid) != (mine.st_uid, mine.st_gid):
        if os.geteuid() != 0:
            return
        os.chown(new, right.st_uid, right.st_gid)
    if is_there:
        new.chmod(stat.S_IMODE(right.st_mode))


@contextmanager
def _complete_file(target: Path) -> Iterator[Path]:
    """A new private file beside `target`, which takes its place once the block has filled it. Deletes what earlier
    processes left there. A link stays, and leads to the new file."""
    place = Path(os.path.realpath(target))
    new = place.with_name(f".{place.name}.new-{os.getpid()}")
    is_placed = False
    try:
        _remove_left(place)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        yield new
        _sync(new)
        new.replace(place)
        is_placed = True
        _sync(place.parent)
    except OSError as error:
        what = "is in place, but may be lost if the machine stops now" if is_placed else "cannot be written"
        raise StoreError(f"{target} {what}: {error.strerror or type(error).__name__}") from error
    finally:
        for ending in ("", *_BESIDE):  # what stays is deleted by the next one
            with suppress(OSError):
                Path(f"{new}{ending}").unlink()


def _remove_left(target: Path) -> None:
    """Deletes what `_complete_file` left beside `target` in a process that was killed. A file stays while there is a
    process of its number, or while it changes: that may be in another container or machine."""
    start = f".{target.name}.new-"
    for path in target.parent.iterdir():
        number, hyphen, more = path.name.removeprefix(start).partition("-")
        is_ours = path.name.startswith(start) and number.isdecimal() and hyphen + more in ("", *_BESIDE)
        # a file of our own number is of an earlier process
        if is_ours and (int(number) == os.getpid() or not is_running(int(number))):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_S:
                    path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _wrapped(what: str, written: Path | None = None) -> Iterator[None]:
    """Wraps errors of SQLite; `written` is the file that is filled, whose disk may be full."""
    try:
        yield
    except sqlite3.Error as error:
        message = str(error)
        is_no_room = written is not None and message.startswith(OBSTACLES) and is_full(written)
        raise StoreError(f"{what}: {'the disk is full (make room)' if is_no_room else message}") from None
