"""Who can read what the program remembers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store.database import open_store


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
