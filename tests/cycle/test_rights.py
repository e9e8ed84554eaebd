"""Who can read what the program remembers."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import other_user
from sqlalchemy import insert

from aggregator.config import load_config
from aggregator.errors import StoreError
from aggregator.store.backup import back_up, restore
from aggregator.store.database import open_store
from aggregator.store.schema import meta


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def open_and_modes(file: Path) -> dict[str, int]:
    """The rights of all files of a store while it is open and after something was written."""
    store = open_store(f"sqlite:///{file}", create=True)
    store.lease.acquire(0)
    found = {path.name: mode(path) for path in file.parent.iterdir()}
    store.close()
    return found


def test_only_the_owner_can_read_a_store_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "data" / "a.db"

    assert open_and_modes(file) == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    assert mode(file.parent) == 0o700


def test_the_access_of_others_to_a_store_is_removed_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "data" / "a.db"
    file.parent.mkdir()
    file.touch()
    file.chmod(0o644)

    with caplog.at_level(logging.WARNING):
        assert set(open_and_modes(file).values()) == {0o600}

    assert caplog.messages == [f"{file} could be read by everybody on this machine; now only its owner can (mode 0600)"]
    assert mode(file.parent) == 0o755  # it was there before


def test_the_access_of_a_group_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "a.db"
    file.touch()
    file.chmod(0o640)

    open_and_modes(file)

    assert mode(file) == 0o640
    assert caplog.messages == []


def test_a_store_that_may_not_be_seen_is_not_taken_for_missing() -> None:
    """`check` by an editor would call it lost, and ask for a backup. `backup` says which user can read it."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o755)
    (root / "data").mkdir(mode=0o700)
    (root / "aggregator.toml").write_text('[store]\nurl = "sqlite:///data/aggregator.db"\n')
    config = load_config(root / "aggregator.toml", env={})
    assert not config.may_have_store
    (root / "data").chmod(0)
    with other_user():
        assert config.may_have_store
        for command in (back_up, restore):
            with pytest.raises(StoreError, match=r"cannot be read: Permission denied \(run this as the user"):
                command(config.store.url, root / "backup")
    (root / "data").chmod(0o700)
    shutil.rmtree(root)


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as raised, closing(open_store(url, create=True)) as store:
        store.lease.acquire(0)
    return str(raised.value)


@pytest.mark.parametrize("state", ["file", "folder", "file and folder", "of root", "read-only disk"])
def test_a_store_that_cannot_be_written_is_named_with_its_cause_and_what_to_do(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "of root" and os.geteuid():
        pytest.skip("only root can give files away")
    root = Path(tempfile.mkdtemp(prefix="store ", dir="/tmp"))
    root.chmod(0o755)
    data, path = root / "data", root / "data" / "aggregator.db"
    url = f"sqlite:///{path}"
    open_store(url, create=True).close()
    for place in (data, path) if os.geteuid() == 0 else ():
        os.chown(place, *((0, 0) if state == "of root" and place == path else (65534, 65534)))
    if "file" in state:
        path.chmod(0o400)
    if "folder" in state or state == "read-only disk":
        data.chmod(0o555)
    if state == "read-only disk":
        path.chmod(0o400)
        status = SimpleNamespace(f_flag=os.statvfs(data).f_flag | os.ST_RDONLY, f_bavail=1)
        monkeypatch.setattr(os, "statvfs", lambda _: status)
    with other_user() as user:
        text = refusal(url)
    data.chmod(0o755)
    shutil.rmtree(root)
    if state == "read-only disk":
        assert text.startswith(f"{path} cannot be used: its disk is mounted read-only")
        return
    assert text.startswith(f"{path} cannot be written: user {user} must be able to write it and into its folder (as by")
    assert (f"chmod u+rwX '{data}'" in text) == ("folder" in state)
    assert (f"'{path}'" in text) == ("file" in state or state == "of root")
    assert (f"chown {user} '{path}')" in text) == (state == "of root")


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 'a.db'}", create=True)) as store:
        store.lease.acquire(0)

        def fill() -> None:
            with store.write() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 1")
                connection.execute(insert(meta), [{"key": str(number), "value": "x" * 9000} for number in range(99)])

        with pytest.raises(StoreError) as raised:
            fill()
    assert str(raised.value) == (
        f"{tmp_path}/a.db cannot be written: the disk is full (make room; nothing is lost, the next cycle reads again)"
    )


def test_a_folder_of_the_store_that_cannot_be_made_is_named_with_what_to_do() -> None:
    root = Path(tempfile.mkdtemp(prefix="store ", dir="/tmp"))
    root.chmod(0o555)
    with other_user() as user:
        text = refusal(f"sqlite:///{root}/data/aggregator.db")
    root.rmdir()
    made = f"make it: sudo install -d -m 700 -o {user} '{root}/data'"
    assert text == f"{root}/data, the folder of the store, cannot be made: Permission denied ({made})"
