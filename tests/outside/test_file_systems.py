"""Publishing onto other file systems, which only root can mount."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from commands import Shop

DATE = "2024-05-01T08:00:00Z"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.record("a.md", "First", topics=["Mid", "Other"], publishedDateTime=DATE)
    return shop


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mounts something on a folder until the end of the test."""
    mounted: list[Path] = []

    def do(folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(folder)], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting takes root with CAP_SYS_ADMIN: {done.stderr.strip()}")
        mounted.append(folder)

    yield do
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_feed_whose_folder_is_on_another_file_system_is_written(
    shop: Shop, tmp_path: Path, mount: Callable[..., None], kind: str
) -> None:
    """A bind mount is another one to a rename although it is the same disk."""
    (tmp_path / "other").mkdir()
    arguments = ["-t", "tmpfs", "none"] if kind == "tmpfs" else ["--bind", str(tmp_path / "other")]
    mount(shop.output / "mid", *arguments)
    for title in ("First", "Edited"):
        shop.record("a.md", title, topics=["Mid", "Other"], publishedDateTime=DATE)
        done = shop.run("build")
        assert (done.returncode, done.stderr) == (0, "")
        assert shop.titles("mid") == shop.titles("other") == [title]
        names = {path.name for path in (shop.output / "mid").iterdir()}
        assert names == {"rss.xml", "atom.xml", "feed.json", "index.html"}


def test_a_feed_whose_folder_is_full_or_read_only_is_left_out_until_it_is_not(
    shop: Shop, mount: Callable[..., None]
) -> None:
    mount(shop.output / "mid", "-t", "tmpfs", "-o", "size=16k", "none")
    filler = shop.output / "mid" / "filler"
    filler.write_bytes(b"x" * 16384)
    done = shop.run("build")
    assert done.returncode == 1
    assert "output/mid/rss.xml cannot be written: No space left on device; make room" in done.stderr
    assert shop.titles("other") == ["First"]
    assert {path.name for path in (shop.output / "mid").iterdir()} == {"filler"}
    status = shop.run("status").stdout
    assert "No space left on device" in " ".join(status.split())
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro,size=64k", str(shop.output / "mid")], check=True)
    assert "output/mid/rss.xml cannot be written: Read-only file system; mount" in shop.run("build").stderr
    subprocess.run(["mount", "-o", "remount,rw", str(shop.output / "mid")], check=True)
    done = shop.run("build")
    assert (done.returncode, done.stderr) == (0, "")
    assert shop.titles("mid") == ["First"]


def test_a_full_disk_leaves_what_was_published_as_it_was(shop: Shop, mount: Callable[..., None]) -> None:
    mount(shop.output, "-t", "tmpfs", "-o", "size=400k", "none")
    assert shop.run("build").returncode == 0
    before = {path: body for path, body in shop.files(shop.output).items() if "/.aggregator/" not in path}
    shop.record("a.md", "Edited", topics=["Mid", "Other"], publishedDateTime=DATE)
    filler = shop.output / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    done = shop.run("build")
    assert done.returncode == 1
    assert "output/.aggregator cannot be written: No space left on device; make room" in done.stderr
    filler.unlink()
    now = {path: body for path, body in shop.files(shop.output).items() if "/.aggregator/" not in path}
    assert now == before
    done = shop.run("build")
    assert (done.returncode, done.stderr) == (0, "")
    assert shop.titles("mid") == ["Edited"]
