"""A store in one file: `backup`, `restore`, and a store that is damaged."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Call, Shop, eventually
from conftest import SiteFolder, other_user
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DatabaseError

from aggregator.errors import StoreDamagedError, StoreError
from aggregator.store.backup import back_up, restore
from aggregator.store.database import _is_whole, name_store, open_store

LATER = "SELECT count(*) FROM entry WHERE content LIKE '%Later%'"


def do(shop: Shop, *arguments: str, code: int = 0) -> str:
    """Runs a command that must end with this code; all that it prints."""
    done = shop.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def newsroom(shop: Shop) -> Shop:
    """A site that published, withdrew and renamed."""
    for number in range(30):
        shop.record(f"{number:02}.md", topics=["AI"], publishedDateTime=f"2026-03-{number + 1:02}T00:00:00Z")
    do(shop, "build", "--now", "2026-04-01T00:00:00Z")
    (shop.incoming / "07.md").rename(shop.incoming / "renamed.md")
    (shop.incoming / "08.md").unlink()
    do(shop, "build", "--now", "2026-04-02T00:00:00Z")
    return shop


def documents(shop: Shop) -> dict[str, bytes]:
    files = sorted(path for path in shop.output.rglob("*") if path.is_file() and ".aggregator" not in path.parts)
    return {str(path.relative_to(shop.output)): path.read_bytes() for path in files}


def store_of(shop: Shop) -> Path:
    (path,) = shop.data.glob("*.db")
    return path


def query(path: Path, statement: str) -> Any:
    """The first row that a SQLite file answers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement).fetchone()


def flip(path: Path, *places: int) -> None:
    raw = bytearray(path.read_bytes())
    for place in places:
        raw[place] ^= 0xFF
    path.write_bytes(raw)


def test_a_backup_that_is_restored_into_a_new_folder_goes_on_with_the_same_ids_and_order(
    newsroom: Shop, tmp_path: Path
) -> None:
    backup = tmp_path / "kept.db"
    assert "was copied" in do(newsroom, "backup", str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600
    before = documents(newsroom)
    shutil.rmtree(newsroom.data)
    shutil.rmtree(newsroom.output)
    do(newsroom, "restore", str(backup))
    do(newsroom, "build", "--now", "2026-04-02T00:00:00Z")
    assert documents(newsroom) == before
    assert os.stat(newsroom.data).st_mode & 0o777 == 0o700
    newsroom.record("30.md", "After", topics=["AI"])
    do(newsroom, "build", "--now", "2026-04-03T00:00:00Z")
    ids = re.findall(rb"<id>urn[^<]*</id>", before["ai/atom.xml"])[1:]
    assert ids == re.findall(rb"<id>urn[^<]*</id>", documents(newsroom)["ai/atom.xml"])[2:]


def test_a_running_service_is_backed_up_and_its_store_is_not_replaced(shop: Shop, tmp_path: Path) -> None:
    shop.record("a.md", "Story")
    service = shop.start("run").wait_until_done()
    backup = tmp_path / "kept.db"
    do(shop, "backup", str(backup))
    refused = do(shop, "restore", str(backup), code=2)
    assert re.search(r"the store is held by process \d+ on .* \(aggregator run\) \(stop it first\)", refused)
    assert service.health() == "ok"
    shop.record("b.md", "New")
    eventually(lambda: "New" in service.titles())
    assert service.end()[0] == 0
    do(shop, "restore", str(backup))
    do(shop, "build")
    assert {"Story", "New"} == set(shop.titles())


def test_what_a_restore_replaces_is_kept_beside_it_with_all_that_was_stored(newsroom: Shop, tmp_path: Path) -> None:
    backup = tmp_path / "kept.db"
    do(newsroom, "backup", str(backup))
    newsroom.record("new.md", "Later")
    do(newsroom, "build")
    printed = do(newsroom, "restore", str(backup))
    (kept,) = newsroom.data.glob("*.before-*")
    assert str(kept) in printed
    assert query(kept, LATER) == (1,)
    assert query(store_of(newsroom), LATER) == (0,)
    do(newsroom, "restore", str(kept))
    assert "new 0, changed 0" in do(newsroom, "build")


def test_what_a_killed_service_left_beside_a_deleted_store_is_not_part_of_a_restored_one(
    shop: Shop, tmp_path: Path
) -> None:
    shop.record("a.md", "Story")
    service = shop.start("run")
    service.wait_until_done()
    backup = tmp_path / "kept.db"
    do(shop, "backup", str(backup))
    shop.many(50)
    eventually(lambda: len(service.titles()) == 50)
    service.end(signal.SIGKILL)
    store = store_of(shop)
    left = {ending: Path(f"{store}{ending}").read_bytes() for ending in ("-wal", "-shm")}
    Path(f"{store}-journal").write_bytes(b"also of that store")
    store.unlink()
    printed = do(shop, "restore", str(backup))
    assert "is kept as" not in printed
    assert not [name for name in os.listdir(shop.data) if name.startswith(f"{store.name}-")]
    with closing(sqlite3.connect(store)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM entry").fetchone() == (1,)
    for ending, content in left.items():
        (kept,) = shop.data.glob(f"*.before-*{ending}")
        assert kept.read_bytes() == content, "nothing is deleted"


def test_a_restore_names_the_lines_that_keep_the_urls_of_newer_topics(shop: Shop, tmp_path: Path) -> None:
    shop.add_to_config('[topics.slugs]\n"climate change" = "climate"\n')
    shop.record("first.md", topics=["Tea"])
    do(shop, "build")
    do(shop, "backup", str(tmp_path / "kept.db"))
    shop.record("a.md", topics=["C++", "Climate Change"])  # which has its line already
    do(shop, "build")
    shop.record("b.md", topics=["C#"])
    do(shop, "build")
    before = {path: (shop.output / path / "index.html").read_bytes() for path in ("c", "c-951a", "tea")}
    printed = do(shop, "restore", str(tmp_path / "kept.db"))
    lines = printed.partition("write first below [topics.slugs]:\n")[2]
    assert lines == '"C++" = "c"\n"C#" = "c-951a"\n'
    shop.add_to_config(lines)
    do(shop, "build")
    titles = [re.findall(rb"<title>[^<]*", page) for page in before.values()]
    assert titles == [re.findall(rb"<title>[^<]*", (shop.output / path / "index.html").read_bytes()) for path in before]


def test_a_restored_store_has_the_owner_and_mode_of_the_one_that_it_replaces(newsroom: Shop, tmp_path: Path) -> None:
    store, backup = newsroom.data / "aggregator.db", tmp_path / "backup.db"
    do(newsroom, "backup", str(backup))
    owner = (65534, 65533) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(store, *owner)
    store.chmod(0o640)
    do(newsroom, "restore", str(backup))
    status = store.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*owner, 0o640)
    store.unlink()
    os.chown(newsroom.data, *owner)
    do(newsroom, "restore", str(backup))
    status = store.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*owner, 0o600)


def test_a_store_that_cannot_be_opened_is_named_with_what_to_do(shop: Shop) -> None:
    (shop.data / "aggregator.db").mkdir(parents=True)
    assert "which is no store: it is no regular file (correct store.url)" in do(shop, "status", code=2)
    (shop.data / "aggregator.db").rmdir()
    (shop.data / "aggregator.db").touch()
    (shop.data / "aggregator.db-journal").mkdir()
    assert "unable to open database file (check the disk; the file and its folder must be" in do(shop, "status", code=2)


def test_a_backup_replaces_an_earlier_one_and_no_other_file(newsroom: Shop, tmp_path: Path) -> None:
    other, backup = tmp_path / "notes.txt", tmp_path / "kept.db"
    other.write_text("mine")
    assert "is not an earlier backup of this store, so it is not overwritten" in do(
        newsroom, "backup", str(other), code=2
    )
    assert other.read_text() == "mine"
    assert "is the store itself" in do(newsroom, "backup", str(store_of(newsroom)), code=2)
    do(newsroom, "backup", str(backup))
    newsroom.record("new.md", "Later")
    do(newsroom, "build")
    do(newsroom, "backup", str(backup))
    assert query(backup, LATER) == (1,)
    assert os.listdir(tmp_path).count("kept.db") == 1
    assert not list(tmp_path.glob(".kept*")), "nothing is left half-written"


def test_a_backup_replaces_no_database_but_an_earlier_backup_of_its_store(
    make_site: Callable[..., SiteFolder], tmp_path: Path
) -> None:
    photos, backup = tmp_path / "photos.db", tmp_path / "kept.db"
    mine, other = (make_site(f"sqlite:///{tmp_path / name}/a.db") for name in ("mine", "other"))
    with closing(sqlite3.connect(photos)) as database:
        database.execute("CREATE TABLE photo (name TEXT)")
    for site in (mine, other):
        site.record("a.md", title="Story")
        site.run("2026-03-01")
    back_up(mine.url, backup)
    other_backup, copy = tmp_path / "other.db", tmp_path / "copy" / "a.db"
    back_up(other.url, other_backup)
    held = shutil.copy(backup, tmp_path / "held.db")
    with closing(sqlite3.connect(held)) as database:
        database.execute("INSERT INTO lease (id, token, holder, until_ms) VALUES (1, 't', '{}', 1)")
        database.commit()
    restore(f"sqlite:///{copy}", backup)
    open_store(f"sqlite:///{copy}", create=False).close()  # in use from now on, although nobody holds it
    for file in (photos, tmp_path / "other" / "a.db", other_backup, held, copy):
        before = file.read_bytes()
        with pytest.raises(StoreError) as refused:
            back_up(mine.url, Path(file))
        assert str(refused.value) == (
            f"{file} is not an earlier backup of this store, so it is not overwritten (name another file)"
        )
        assert file.read_bytes() == before
    assert not list(copy.parent.glob("*-*")), "nothing is left beside a file that was only read"
    back_up(mine.url, backup)


def test_a_pipe_is_neither_backup_nor_target_and_nobody_waits_for_it(newsroom: Shop, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command, what in (("backup", "written: it is no regular file"), ("restore", "read: it is no regular file")):
        assert f"{pipe} cannot be {what} (name " in do(newsroom, command, str(pipe), code=2)
    assert pipe.is_fifo()


def test_a_store_and_a_backup_behind_links_are_replaced_where_they_are(newsroom: Shop, tmp_path: Path) -> None:
    store, link, disk = store_of(newsroom), tmp_path / "kept.db", tmp_path / "disk"
    disk.mkdir()
    link.symlink_to(disk / "kept.db")
    store.rename(disk / "store.db")
    store.symlink_to(disk / "store.db")
    for _ in range(2):
        do(newsroom, "backup", str(link))
    assert query(disk / "kept.db", "SELECT count(*) FROM entry") == (30,)
    shown = do(newsroom, "restore", str(link))

    assert link.is_symlink()
    assert store.is_symlink()
    (kept,) = disk.glob("store.db.before-*")
    assert f"the store before it is kept as {kept}" in shown
    assert (query(kept, LATER), query(store, LATER)) == ((0,), (0,))


def test_a_backup_for_which_there_is_no_room_names_its_file(newsroom: Shop, tmp_path: Path) -> None:
    url, backup = f"sqlite:///{store_of(newsroom)}", tmp_path / "kept.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    try:
        with pytest.raises(StoreError) as failed:
            back_up(url, backup)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(failed.value).startswith(f"{store_of(newsroom)} cannot be copied to {backup}: ")
    assert list(tmp_path.glob("*kept*")) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.exists, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_text("not a database"), "is not a backup of a store"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (c)").connection.close(), "is not a backup"),
    ],
    ids=["missing", "folder", "text", "another database"],
)
def test_a_file_that_is_no_backup_is_refused_and_the_store_stays(
    newsroom: Shop, tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "kept.db")
    before = store_of(newsroom).read_bytes()
    refused = do(newsroom, "restore", str(tmp_path / "kept.db"), code=2)
    assert message in refused
    assert store_of(newsroom).read_bytes() == before


def test_a_store_is_not_restored_onto_itself(newsroom: Shop, tmp_path: Path) -> None:
    store = store_of(newsroom)
    link = tmp_path / "link.db"
    link.symlink_to(store)
    before = store.read_bytes()
    for name in (store, link):
        assert "is the store itself (name the file of a backup)" in do(newsroom, "restore", str(name), code=2)
    assert [path.name for path in newsroom.data.glob("*.db*") if "before" in path.name] == []
    assert store.read_bytes() == before


def test_a_backup_of_a_newer_program_is_refused_with_the_way_back(newsroom: Shop, tmp_path: Path) -> None:
    backup = tmp_path / "kept.db"
    do(newsroom, "backup", str(backup))
    query(backup, "UPDATE alembic_version SET version_num = '9999'")
    assert "go back to a backup from before the upgrade" in do(newsroom, "restore", str(backup), code=2)


def test_a_store_before_its_upgrade_can_be_backed_up(newsroom: Shop, tmp_path: Path) -> None:
    query(store_of(newsroom), "UPDATE alembic_version SET version_num = '0001'")
    do(newsroom, "backup", str(tmp_path / "kept.db"))
    assert query(tmp_path / "kept.db", "SELECT version_num FROM alembic_version") == ("0001",)


def test_a_damaged_store_is_noticed_after_a_kill_and_replaced_by_a_backup(shop: Shop, tmp_path: Path) -> None:
    shop.many(300)
    service = shop.start("run").wait_until_done()
    backup = tmp_path / "kept.db"
    do(shop, "backup", str(backup))
    service.end(signal.SIGKILL)
    query(store_of(shop), "PRAGMA wal_checkpoint(TRUNCATE)")
    page = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'feed_entry'"
    root, size = query(store_of(shop), page)
    flip(store_of(shop), *range((root - 1) * size, (root - 1) * size + 12))
    assert "the store is damaged: " in do(shop, "check", code=1)
    refused = do(shop, "build", code=2)
    assert "the store is damaged: " in refused
    assert "aggregator restore FILE" in refused
    do(shop, "restore", str(backup))
    do(shop, "build")
    assert len(shop.titles()) == 50


def test_a_page_that_the_disk_did_not_give_once_is_no_damage(newsroom: Shop) -> None:
    malformed = DatabaseError("SELECT", {}, sqlite3.DatabaseError("database disk image is malformed"))  # as for EIO
    with closing(open_store(newsroom.store_url, create=False)) as store:
        with pytest.raises(StoreError) as unread, store.read():
            raise malformed
        flip(store_of(newsroom), *range(4096, 4096 * 3))
        _is_whole.cache_clear()
        with pytest.raises(StoreDamagedError) as damaged, store.read():
            raise malformed

    assert not isinstance(unread.value, StoreDamagedError)
    assert str(unread.value) == (
        f"a page of the store could not be read: {store_of(newsroom)}: now the store is whole (its disk has an error: see"
        " the log of the system, as by dmesg; if aggregator backup FILE fails too, put back a backup)"
    )
    assert "without one, move the store away, and keep it" in str(damaged.value)


def test_an_index_without_its_row_is_damage(newsroom: Shop) -> None:
    place = store_of(newsroom)
    index = "SELECT * FROM sqlite_schema WHERE name = 'file_entry'"
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        row = connection.execute(index).fetchone()
        connection.execute(index.replace("SELECT *", "DELETE"))
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("DELETE FROM file WHERE path = (SELECT min(path) FROM file)")
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
    assert query(place, "PRAGMA quick_check(1)") == ("ok",)
    _is_whole.cache_clear()
    malformed = DatabaseError("DELETE", {}, sqlite3.DatabaseError("database disk image is malformed"))
    with closing(open_store(newsroom.store_url, create=False)) as store, pytest.raises(StoreDamagedError), store.read():
        raise malformed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_and_the_store_on_it_can_be_backed_up(
    newsroom: Shop, small_disk: Path, tmp_path: Path
) -> None:
    shutil.copy(store_of(newsroom), small_disk / "store.db")
    newsroom.add_to_config(f"[store]\nurl = 'sqlite:///{small_disk / 'store.db'}'\n")
    with suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as fill:
        while fill.write(bytes(1024)):
            pass
    for command in ("build", "status"):
        assert f"{small_disk / 'store.db'} cannot be written: the disk is full (make room" in do(
            newsroom, command, code=2
        )
    refused = do(newsroom, "backup", str(small_disk / "kept.db"), code=2)
    assert "cannot be copied to " in refused
    assert "the disk is full (make room)" in refused

    do(newsroom, "backup", str(tmp_path / "kept.db"))
    assert query(tmp_path / "kept.db", "SELECT count(*) FROM entry") == (30,)


KILLED = """
import os, signal
from aggregator.store import backup
backup._check_pages = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
"""Ends a backup without a chance to tidy up when it has copied the store."""


def test_what_a_killed_backup_left_is_deleted_by_the_next_one(newsroom: Shop, tmp_path: Path) -> None:
    backup = tmp_path / "kept.db"
    assert newsroom.run("backup", str(backup), patch=KILLED).returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".kept.db.new-*")
    journal, other = Path(f"{left}-journal"), tmp_path / ".other.db.new-1"
    running = tmp_path / f".kept.db.new-{os.getpid()}"
    for path in (journal, other, running):
        path.touch()
    do(newsroom, "backup", str(backup))
    assert left.exists(), "what has just changed may be of a process on another machine"
    for path in (left, journal, other, running):
        os.utime(path, (0, 0))
    do(newsroom, "backup", str(backup))

    assert set(tmp_path.glob(".*.new-*")) == {other, running}
    assert query(backup, "SELECT count(*) FROM entry") == (30,)


FAILING = """
import errno, pathlib
from aggregator.store import backup
sync = backup._sync
def fail(path):
    if path.is_dir():
        raise OSError(errno.EIO, "Input/output error")
    sync(path)
def unlink(self, missing_ok=False):
    raise OSError(errno.EIO, "Input/output error")
backup._sync, pathlib.Path.unlink = fail, unlink
"""
"""A disk that fails at the end, and at the clean-up."""


def test_a_restore_that_fails_at_its_end_names_what_it_replaced(newsroom: Shop, tmp_path: Path) -> None:
    backup = tmp_path / "kept.db"
    do(newsroom, "backup", str(backup))
    newsroom.record("new.md", "Later")
    do(newsroom, "build")
    failed = newsroom.run("restore", str(backup), patch=FAILING)
    (kept,) = newsroom.data.glob("*.before-*")

    assert failed.returncode == 2
    assert failed.stderr.strip() == (
        f"error: {store_of(newsroom)} is in place, but may be lost if the machine stops now: Input/output error"
        f" (the store before it is kept as {kept})"
    )
    assert (query(kept, LATER), query(store_of(newsroom), LATER)) == ((1,), (0,))


def test_a_store_that_nobody_can_see_is_not_called_missing() -> None:
    folder = Path(tempfile.mkdtemp())  # that of the test is not open to the other user
    (folder / "data").mkdir()
    folder.chmod(0o755)
    with closing(open_store(f"sqlite:///{folder / 'data' / 'store.db'}", create=True)) as store:
        (folder / "data").chmod(0)
        with other_user(), pytest.raises(StoreError) as refused:
            store.check_in_place()
        (folder / "data").chmod(0o700)
        store.check_in_place()
    shutil.rmtree(folder)

    assert "store.db cannot be read: Permission denied (check the disk, and the rights of the folder)" in str(
        refused.value
    )


def test_a_store_that_was_lost_is_named_with_the_way_back(newsroom: Shop, tmp_path: Path) -> None:
    do(newsroom, "check")
    do(newsroom, "backup", str(tmp_path / "kept.db"))
    store = store_of(newsroom)
    shutil.rmtree(newsroom.data)
    for command in (("status",), ("feeds",), ("explain", "00.md"), ("preview", "ai"), ("backup", "other.db")):
        refused = do(newsroom, *command, code=2)
        assert f"there is no store at {store} any more, and {newsroom.output}/.aggregator/manifest.json" in refused
        assert "bring it back: aggregator restore FILE" in refused
    assert f"there is no store at {store} any more" in do(newsroom, "check", code=1)
    do(newsroom, "restore", str(tmp_path / "kept.db"))
    assert "there is no store" not in do(newsroom, "check")


def test_a_lost_postgresql_is_named_too(shop: Shop, postgres_url: Callable[[], str]) -> None:
    shop.record("a.md", "Story")
    shop.configure(store=f'url = "{postgres_url()}"')
    do(shop, "build")
    shop.configure(store=f'url = "{postgres_url()}"')  # an empty database
    assert "there is no store any more" in do(shop, "status", code=2)
    assert "there is no store any more" in do(shop, "check", code=1)


def test_postgresql_has_its_own_commands(shop: Shop) -> None:
    shop.configure(store='url = "postgresql+psycopg://me:secret@db.example.org/feeds"')
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        refused = do(shop, command, "kept.dump", code=2)
        assert f"run: {tool} " in refused
        assert "postgresql://me@db.example.org/feeds" in refused
        assert "secret" not in refused


def test_no_message_shows_the_parameters_of_a_postgresql(shop: Shop, call: Call) -> None:
    url = "postgresql+psycopg://me@127.0.0.1:9/feeds?password=secret&sslpassword=second&connect_timeout=2"
    shop.configure(store=f'url = "{url}"')
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        code, _, refused = call(command, "kept.dump")
        assert code == 2
        assert f"run: {tool} " in refused
        assert re.search(
            r"='postgresql://me@127\.0\.0\.1:9/feeds\?…'( kept\.dump)?; … is what follows '\?' in store\.url", refused
        )
        assert "secret" not in refused
        assert "second" not in refused
    code, _, refused = call("status")
    assert code == 2
    assert "secret" not in refused
    assert "second" not in refused


@pytest.fixture
def pg_url(postgres_url: Callable[[], str]) -> str:
    return postgres_url()


@pytest.fixture
def pg_shop(shop: Shop, pg_url: str) -> Shop:
    """A site with three records over PostgreSQL, after its first build."""
    shop.configure(store=f'url = "{pg_url}"')
    shop.many(3)
    do(shop, "build")
    return shop


def pg_execute(pg_url: str, *statements: str, database: str = "") -> list[Any]:
    """Runs statements in a database, or in another one of its server; the rows of the last one."""
    url = make_url(pg_url)
    engine = create_engine(url.set(database=database or url.database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        results = [connection.execute(text(statement)) for statement in statements]
        rows = [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    engine.dispose()
    return rows


def run_printed(shop: Shop, pg_url: str, command: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command of PostgreSQL that `backup` or `restore` prints, in a shell as it is, but for the `…`."""
    ((tools,),) = pg_execute(pg_url, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    printed = do(shop, command, str(file), code=2)
    line = printed.partition("(run: ")[2].rpartition("; … is what follows")[0]
    line = line.replace("…", pg_url.partition("?")[2])
    path = f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        line, shell=True, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_printed_commands_of_postgresql_restore_all_or_nothing(pg_shop: Shop, pg_url: str, tmp_path: Path) -> None:
    dump, name = tmp_path / "my file; false.dump", make_url(pg_url).database
    assert run_printed(pg_shop, pg_url, "backup", dump).returncode == 0
    pg_execute(pg_url, "CREATE VIEW mine AS SELECT id, title FROM published_entries")
    pg_shop.record("new.md", "Later")
    do(pg_shop, "build")
    assert run_printed(pg_shop, pg_url, "restore", dump).returncode != 0, "the database is not empty"
    counts = "SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM mine) FROM entry"
    assert pg_execute(pg_url, counts) == [(4, 4, 4)]
    assert "new 0, changed 0" in do(pg_shop, "build")
    pg_execute(
        pg_url,
        f"ALTER DATABASE {name} RENAME TO {name}_before",
        f"CREATE DATABASE {name}",
        database="postgres",
    )
    restored = run_printed(pg_shop, pg_url, "restore", dump)
    assert restored.returncode == 0, restored.stderr
    assert pg_execute(pg_url, "SELECT count(*), count(DISTINCT id) FROM entry") == [(3, 3)]
    assert "new 1, changed 0" in do(pg_shop, "build")
    assert pg_execute(pg_url, counts, database=f"{name}_before") == [(4, 4, 4)]
    pg_execute(pg_url, f"DROP DATABASE {name}_before", database="postgres")


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            ["ALTER TABLE entry DROP CONSTRAINT entry_pkey, DROP CONSTRAINT entry_uid_key"],
            "restored only in part: keys of these tables are missing, so entries may be there twice: entry ",
        ),
        (["ALTER TABLE feed DROP CONSTRAINT feed_slug_key"], "restored only in part: .*: feed "),
        (["DROP TABLE event"], "restored only in part: .*: event "),
        (
            ["ALTER TABLE lease DROP CONSTRAINT lease_pkey", "UPDATE alembic_version SET version_num = '0014'"],
            "restored only in part: .*: lease ",
        ),
        (["INSERT INTO alembic_version VALUES ('0007')"], "is a mixture of the schemas 0007, [0-9]{4}"),
        (["UPDATE alembic_version SET version_num = '0009'"], "has an unknown schema, 0009"),
        (["UPDATE alembic_version SET version_num = '0012'"], "cannot be used: relation .* already exists"),
    ],
)
def test_a_postgresql_that_is_restored_in_part_is_refused_with_the_way_back(
    pg_shop: Shop, pg_url: str, statements: list[str], reason: str
) -> None:
    pg_execute(pg_url, *statements)
    refused = do(pg_shop, "build", code=2)
    assert re.search(reason, refused), refused
    assert "restore a backup into an empty database: docs/operating.md#back-up-the-store" in refused
    do(pg_shop, "status", code=2)


def test_check_finds_that_a_postgresql_is_restored_in_part(pg_shop: Shop, pg_url: str) -> None:
    pg_execute(pg_url, "ALTER TABLE entry DROP CONSTRAINT entry_pkey")
    assert "restored only in part" in do(pg_shop, "check", code=1)


def test_a_store_that_cannot_be_used_is_named_without_its_parameters(postgres_url: Callable[[], str]) -> None:
    url = make_url(postgres_url()).update_query_dict({"sslpassword": "secret"})
    store = name_store(url.render_as_string(hide_password=False), create=False)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (number INTEGER)")
    store.close()
    with pytest.raises(StoreError, match=r"the store at postgresql://.* cannot be used") as refused:
        open_store(url.render_as_string(hide_password=False), create=False)
    assert "secret" not in str(refused.value)
