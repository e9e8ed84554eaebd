"""A store in one file: `backup`, `restore`, and a store that is damaged."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from commands import Shop, eventually

from aggregator.errors import StoreError
from aggregator.store.backup import back_up


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.configure(schedule='every = "1h"')
    return shop


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
    service = shop.start("run")
    service.wait_until_done()
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
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("SELECT count(*) FROM entry WHERE content LIKE '%Later%'").fetchone() == (1,)
    with closing(sqlite3.connect(store_of(newsroom))) as database:
        assert database.execute("SELECT count(*) FROM entry WHERE content LIKE '%Later%'").fetchone() == (0,)
    do(newsroom, "restore", str(kept))
    assert "new 0, changed 0" in do(newsroom, "build")


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
    assert "unable to open database file (the file and its folder must belong to" in do(shop, "status", code=2)


def test_a_backup_replaces_an_earlier_one_and_no_other_file(newsroom: Shop, tmp_path: Path) -> None:
    other, backup = tmp_path / "notes.txt", tmp_path / "kept.db"
    other.write_text("mine")
    assert "is not a backup, so it is not overwritten" in do(newsroom, "backup", str(other), code=2)
    assert other.read_text() == "mine"
    assert "is the store itself" in do(newsroom, "backup", str(store_of(newsroom)), code=2)
    do(newsroom, "backup", str(backup))
    newsroom.record("new.md", "Later")
    do(newsroom, "build")
    do(newsroom, "backup", str(backup))
    with closing(sqlite3.connect(backup)) as database:
        assert database.execute("SELECT count(*) FROM entry WHERE content LIKE '%Later%'").fetchone() == (1,)
    assert os.listdir(tmp_path).count("kept.db") == 1
    assert not list(tmp_path.glob(".kept*")), "nothing is left half-written"


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
    with closing(sqlite3.connect(backup)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    assert "go back to a backup from before the upgrade" in do(newsroom, "restore", str(backup), code=2)


def test_a_store_before_its_upgrade_can_be_backed_up(newsroom: Shop, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store_of(newsroom))) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.commit()
    do(newsroom, "backup", str(tmp_path / "kept.db"))
    with closing(sqlite3.connect(tmp_path / "kept.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def test_a_damaged_store_is_noticed_after_a_kill_and_replaced_by_a_backup(shop: Shop, tmp_path: Path) -> None:
    shop.many(300)
    service = shop.start("run")
    service.wait_until_done()
    backup = tmp_path / "kept.db"
    do(shop, "backup", str(backup))
    service.end(signal.SIGKILL)
    with closing(sqlite3.connect(store_of(shop))) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root, size = database.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'feed_entry'"
        ).fetchone()
    flip(store_of(shop), *range((root - 1) * size, (root - 1) * size + 12))
    assert "the store is damaged: " in do(shop, "check", code=1)
    refused = do(shop, "build", code=2)
    assert "the store is damaged: " in refused
    assert "aggregator restore FILE" in refused
    do(shop, "restore", str(backup))
    do(shop, "build")
    assert len(shop.titles()) == 50


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
