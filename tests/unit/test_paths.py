"""Paths below a folder: what is opened there, and that no link leads out of it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import exchanging, other_user

from aggregator.output.tree import Tree
from aggregator.paths import Folder, ListedFolder

SAFE = b"inside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in/a/b").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in/a/b/c.md").write_bytes(SAFE)
    (tmp_path / "out/c.md").write_bytes(b"outside")
    return tmp_path / "in"


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def read_beneath(root: Path, path: str) -> bytes:
    with Folder(root) as folder:
        return read(folder.open(path, os.O_RDONLY))


def test_a_file_is_opened_below_the_folder(root: Path) -> None:
    with Folder(root) as folder:
        status = folder.stat("a/b/c.md")

    assert read_beneath(root, "a/b/c.md") == SAFE
    assert status.st_size == len(SAFE)


@pytest.mark.parametrize(("link", "target"), [("a/x.md", "b/c.md"), ("x", "a/b"), ("a/x", "../../out")])
def test_no_part_may_be_a_link(root: Path, link: str, target: str) -> None:
    (root / link).symlink_to(target)
    path = link if link.endswith(".md") else f"{link}/c.md"

    with pytest.raises(OSError, match=r"links|director") as refused:
        read_beneath(root, path)
    assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize("path", ["../out/c.md", "/etc/passwd", "a/../a/b/c.md", "./a", "a//b", ""])
def test_only_plain_relative_paths_are_opened(root: Path, path: str) -> None:
    with pytest.raises(OSError, match="below the folder"):
        read_beneath(root, path)


def test_a_folder_opens_neighbours_and_refuses_links(root: Path) -> None:
    (root / "a/link").symlink_to("b")
    (root / "a/b/link.md").symlink_to("c.md")
    with ListedFolder(str(root)) as folder:
        assert read(folder.open("a/b/c.md", os.O_RDONLY)) == SAFE
        with folder.list("a") as entries:
            assert sorted(entry.name for entry in entries) == ["b", "link"]
        assert folder.stat("a/b/c.md").st_size == len(SAFE)
        for path in ("a/link/c.md", "a/b/link.md", "a/nothing/c.md"):
            with pytest.raises(OSError, match=r"links|director"):
                folder.open(path, os.O_RDONLY)
        assert read(folder.open("a/b/c.md", os.O_RDONLY)) == SAFE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a folder is opened by reading it")
def test_only_a_folder_that_is_listed_need_be_readable() -> None:
    root = Path(tempfile.mkdtemp())
    (root / "a").mkdir()
    (root / "a/b.md").write_bytes(SAFE)
    root.chmod(0o755)
    (root / "a").chmod(0o311)
    with other_user(), Folder(root) as folder:
        assert read(folder.open("a/b.md", os.O_RDONLY)) == SAFE
        assert folder.stat("a/b.md").st_size == len(SAFE)
    with other_user(), ListedFolder(root) as folder, pytest.raises(PermissionError):
        folder.open("a/b.md", os.O_RDONLY)
    (root / "a").chmod(0o755)
    shutil.rmtree(root)


def test_what_is_deleted_and_made_again_is_found_by_its_new_folder(root: Path) -> None:
    with Tree(root) as tree:
        tree.make_folder("a/x")
        tree.replace("a/x/c.md", SAFE)
        tree.remove("a/x/c.md")
        tree.remove_folder("a/x")
        assert tree.kind("a/x/c.md") is None
        assert tree.kind("a/b") == stat.S_IFDIR
        shutil.rmtree(root / "a")  # by somebody else, while it is open
        tree.make_folder("a/b")
        tree.replace("a/b/c.md", SAFE)
    assert (root / "a/b/c.md").read_bytes() == SAFE


def test_every_descriptor_is_closed(root: Path) -> None:
    deep = "/".join("d" * 100)
    (root / deep).mkdir(parents=True)
    (root / deep / "e.md").write_bytes(SAFE)
    before = os.listdir("/dev/fd")
    with ListedFolder(str(root)) as folder:
        assert read(folder.open(f"{deep}/e.md", os.O_RDONLY)) == SAFE
        assert len(os.listdir("/dev/fd")) < len(before) + 40
        with folder.list("d/d") as entries:
            assert [entry.name for entry in entries] == ["d"]
        with pytest.raises(FileNotFoundError):
            folder.open("d/d/none/e.md", os.O_RDONLY)
    assert os.listdir("/dev/fd") == before


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("a/b/c.md", "a/b/c.md"),
        ("../in/a/b/c.md", "a/b/c.md"),
        ("../out/c.md", None),
        (".hidden/c.md", None),
        (".c.md", None),
        ("a/b/c.txt", None),
        ("..", None),
    ],
)
def test_a_link_ends_at_a_file_that_a_scan_would_read(root: Path, target: str, found: str | None) -> None:
    (root / "x.md").symlink_to(target)
    with Folder(str(root)) as folder:
        if found:
            assert folder.resolve("x.md", lambda name: name.endswith(".md")) == found
        else:
            with pytest.raises(FileNotFoundError):
                folder.resolve("x.md", lambda name: name.endswith(".md"))


@pytest.mark.parametrize("exchanged", ["a/b/c.md", "a/b", "a"])
def test_an_exchange_with_a_link_never_leads_out(root: Path, exchanged: str) -> None:
    outside = root.parent / "out"
    (outside / "b").mkdir()
    (outside / "b/c.md").write_bytes(b"outside")
    target = {"a/b/c.md": "out/c.md", "a/b": "out", "a": "out"}[exchanged]
    place, link, kept = root / exchanged, root.parent / "link", root.parent / "kept"
    link.symlink_to(root.parent / target)
    seen = set()
    with exchanging(place, link, kept):
        for _ in range(3000):
            try:
                with Folder(str(root)) as folder:
                    seen.add(read(folder.open("a/b/c.md", os.O_RDONLY)))
            except OSError as error:
                seen.add(errno.errorcode[error.errno or 0])
    assert SAFE in seen
    assert seen <= {SAFE, "ENOENT", "ENOTDIR", "ELOOP"}
