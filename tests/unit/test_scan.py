"""What of a folder is read, and what is found missing from it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import source

from aggregator import paths as paths_module
from aggregator.files import FolderError, Unreadable
from aggregator.files import folder as folder_files
from aggregator.model import SourceFile
from aggregator.paths import escape_name
from aggregator.scan import Differs, KnownFile, Missing, list_records, path_locator, scan_paths, scan_source
from aggregator.settings import Source

MD = ("*.md",)


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


def paths(root: Path, include: tuple[str, ...] = MD) -> list[str]:
    return [item.path for item in list_records(source(root, include))]


def known(
    path: str, file: os.stat_result | None = None, *, recheck: bool = False, gone: bool = False, **changes: int
) -> KnownFile:
    size, mtime, ctime, inode = (1, 1, 1, 1)
    if file:
        size, mtime, ctime, inode = file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino
    size, mtime = changes.get("size", size), changes.get("mtime_ns", mtime)
    ctime, inode = changes.get("ctime_ns", ctime), changes.get("inode", inode)
    return path, None if recheck or gone else size, None if gone else mtime, ctime, inode


def differences(root: Path, *files: KnownFile, page: int = 3) -> list[Differs | Missing | Unreadable]:
    pages = (list(files[start : start + page]) for start in range(0, len(files), page))
    return list(scan_source(source(root), pages, lambda _files: None))


def differences_at(here: Path | Source, paths: set[str], *files: KnownFile) -> list[Differs | Missing | Unreadable]:
    def known_at(path: str) -> Iterator[list[KnownFile]]:
        return iter([[file for file in files if file[0] == path or file[0].startswith(f"{path}/")]])

    return list(scan_paths(source(here) if isinstance(here, Path) else here, paths, known_at, lambda _files: None))


# What the walk yields


def test_files_are_listed_in_byte_order_with_folders_sorted_as_name_and_slash(tmp_path: Path) -> None:
    write(tmp_path, "a/z.md", "a.md", "a-b.md", "a0.md", "B.md", "é.md", "a/b/c.md", "\U0001f600.md", "\uffee.md")

    found = paths(tmp_path)

    assert found == sorted(found, key=str.encode)
    assert found[:4] == ["B.md", "a-b.md", "a.md", "a/b/c.md"]
    assert len(found) == 9


def test_listed_files_have_source_size_times_and_inode(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    os.utime(tmp_path / "a.md", ns=(1, 123_456_789))
    status = (tmp_path / "a.md").stat()

    (found,) = list_records(source(tmp_path))

    assert found == SourceFile("", "a.md", 1, 123_456_789, status.st_ctime_ns, status.st_ino)


def test_names_that_begin_with_a_dot_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, ".a.md", ".git/b.md", "c/.d.md", "c/e.md")

    assert paths(tmp_path) == ["c/e.md"]


@pytest.mark.parametrize(
    ("include", "found"),
    [
        (("*.md",), ["a.md", "b[1].md"]),
        (("*.md", "*.txt"), ["a.md", "b[1].md", "c.txt"]),
        (("?.md",), ["a.md"]),
        (("[ac].*",), ["a.md", "c.txt"]),
        (("b[[]1].md",), ["b[1].md"]),
        (("*.[mt]*",), ["a.md", "b[1].md", "c.txt"]),
        (("*",), ["a.md", "b[1].md", "c.txt", "d"]),
        (("a*", "d"), ["a.md", "d"]),
        (("*.MD",), []),
        ((), []),
    ],
)
def test_include_patterns_choose_names(tmp_path: Path, include: tuple[str, ...], found: list[str]) -> None:
    write(tmp_path, "a.md", "b[1].md", "c.txt", "d")

    assert paths(tmp_path, include) == found


def test_excluded_names_are_not_records_in_any_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "a.sync-conflict-20260101.md", "b/c.md", "b/c.sync-conflict-20260101.md", "README.md")
    here = source(tmp_path, exclude=("*.sync-conflict-*", "README.*"))

    assert [item.path for item in list_records(here)] == ["a.md", "b/c.md"]
    assert differences_at(here, {"README.md"}, known("README.md")) == [Missing("README.md")]
    locate = path_locator(here)
    assert [locate(str(tmp_path / name)) for name in ("README.md", "a.md")] == [None, "a.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (("posts/*.md",), (), ["posts/a.md", "posts/old/a.md"]),
        (("*/old/*",), (), ["posts/old/a.md"]),
        (("/*.md",), ("posts/*",), ["a.md", "notes/posts/b.md"]),
        (("*.md",), ("posts/*",), ["a.md", "notes/posts/b.md"]),
        (("*.md",), ("/a.md",), ["notes/posts/b.md", "posts/a.md", "posts/old/a.md"]),
        (("*.md",), ("a.md",), ["notes/posts/b.md"]),
        (("b.md", "posts/a.*"), ("*/old/*",), ["notes/posts/b.md", "posts/a.md"]),
    ],
)
def test_patterns_with_a_slash_choose_paths(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], found: list[str]
) -> None:
    everything = ["a.md", "notes/posts/b.md", "posts/a.md", "posts/old/a.md"]
    write(tmp_path, *everything)
    here = source(tmp_path, include, exclude=exclude)

    assert [item.path for item in list_records(here)] == found
    partial = differences_at(here, set(everything), *map(known, everything))
    assert [item.file.path for item in partial if isinstance(item, Differs)] == found
    locate = path_locator(here)
    assert [path for path in everything if locate(str(tmp_path / path))] == found


def test_link_to_a_file_whose_path_is_excluded_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, "drafts/a.md", "posts/b.md")
    (tmp_path / "posts" / "c.md").symlink_to("../drafts/a.md")

    assert [item.path for item in list_records(source(tmp_path, exclude=("drafts/*",)))] == ["posts/b.md"]


def test_name_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    for name in (b"\xff.md", b"a%b.md", b"x\ny.md"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")

    assert paths(tmp_path) == ["%FF.md", "a%25b.md", "x\ny.md"]


# Links and what is no file


def test_linked_file_is_read_only_if_it_ends_inside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(tmp_path, "in/d/real.md", "in-other/out.md", "out.md")
    (root / "inside.md").symlink_to("d/real.md")
    (root / "twice.md").symlink_to("inside.md")
    (root / "outside.md").symlink_to("../out.md")
    (root / "beside.md").symlink_to("../in-other/out.md")
    (root / "through.md").symlink_to("../in/d/real.md")

    assert paths(root) == ["d/real.md", "inside.md", "through.md", "twice.md"]


@pytest.mark.parametrize("target", [".private/secret.md", ".secret.md", "real.txt", "d/draft.md", "d", "fifo.md"])
def test_link_to_a_file_that_a_scan_would_not_read_is_skipped(tmp_path: Path, target: str) -> None:
    write(tmp_path, ".private/secret.md", ".secret.md", "real.txt", "d/draft.md", "d/e.md")
    os.mkfifo(tmp_path / "fifo.md")
    (tmp_path / "x.md").symlink_to(target)
    here = source(tmp_path, exclude=("draft*",))

    assert [item.path for item in list_records(here)] == ["d/e.md"]
    assert differences_at(here, {"x.md"}, known("x.md")) == [Missing("x.md")]


def test_folder_of_the_source_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/a.md")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/b.md").symlink_to(tmp_path / "link/a.md")

    assert paths(tmp_path / "link") == ["a.md", "b.md"]


def test_linked_folder_dangling_link_and_loop_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a/b.md")
    (tmp_path / "c").symlink_to("a")
    (tmp_path / "folder.md").symlink_to("a")
    (tmp_path / "dangling.md").symlink_to("nothing")
    (tmp_path / "loop.md").symlink_to("loop.md")
    (tmp_path / "a/up").symlink_to("..")

    assert paths(tmp_path) == ["a/b.md"]


def test_only_regular_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.md", "folder.md/b.md")
    os.mkfifo(tmp_path / "fifo.md")
    (tmp_path / "link.md").symlink_to("fifo.md")
    monkeypatch.chdir(tmp_path)  # the path of a socket has a short limit
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.md")

        assert paths(tmp_path) == ["a.md", "folder.md/b.md"]


def test_very_deep_folders_are_listed(tmp_path: Path) -> None:
    levels = 1500
    deepest = str(tmp_path) + "/d" * levels
    for level in range(levels):
        os.mkdir(str(tmp_path) + "/d" * (level + 1))
    Path(deepest, "a.md").touch()
    try:
        assert paths(tmp_path) == ["d/" * levels + "a.md"]
    finally:  # deeper than `shutil.rmtree` goes
        os.unlink(deepest + "/a.md")
        for level in reversed(range(levels)):
            os.rmdir(str(tmp_path) + "/d" * (level + 1))


# What cannot be read


@pytest.mark.parametrize("kind", ["missing", "file", "dangling"])
def test_folder_that_cannot_be_listed_raises_before_anything_else(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "x"
    if kind == "file":
        root.write_text("x")
    elif kind == "dangling":
        root.symlink_to("nothing")

    with pytest.raises(FolderError):
        next(scan_source(source(root), iter([[known("a.md")]]), lambda _files: None))


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Path, error: OSError) -> None:
    """Make one folder fail to be listed: for root, no rights do."""
    real = os.scandir

    def scandir(folder: int) -> Any:
        if os.path.samestat(os.stat(folder), os.stat(refused)):
            raise error
        return real(folder)

    monkeypatch.setattr(paths_module.os, "scandir", scandir)


def test_known_files_of_an_unreadable_folder_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.md", "b/c.md", "z.md")
    refuse(monkeypatch, tmp_path / "b", PermissionError(13, "Permission denied"))
    files = [known(path) for path in ("a0.md", "b.md", "b/c.md", "b/d/e.md", "b/y.md", "b0.md", "y.md")]

    found = differences(tmp_path, *files)

    assert [item.path for item in found if isinstance(item, Missing)] == ["a0.md", "b.md", "b0.md", "y.md"]
    assert [item for item in found if isinstance(item, Unreadable)] == [Unreadable("b/", "Permission denied")]
    assert [item.file.path for item in found if isinstance(item, Differs)] == ["a.md", "z.md"]


def test_folder_that_is_removed_during_the_scan_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "b/c.md")
    refuse(monkeypatch, tmp_path / "b", FileNotFoundError(2, "No such file or directory"))

    assert differences(tmp_path, known("b/c.md")) == [Missing("b/c.md")]


def fail_stats(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Make the stats of records fail, as on a file system that has lost its server."""
    real = os.lstat

    def failing(path: Any, **how: Any) -> os.stat_result:
        if str(path).endswith(".md"):
            raise error
        return real(path, **how)

    monkeypatch.setattr(folder_files.os, "lstat", failing)


def test_file_whose_stat_fails_is_read_and_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.md")
    fail_stats(monkeypatch, PermissionError(13, "Permission denied"))

    assert differences(tmp_path, known("a.md")) == [Differs(SourceFile("", "a.md", -1, 0, 0, 0), known=True)]


def test_file_that_vanishes_before_its_stat_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.md")
    fail_stats(monkeypatch, FileNotFoundError(2, "No such file or directory"))

    assert differences(tmp_path, known("a.md")) == [Missing("a.md")]


# The join


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, False),
        *(({part: 2}, True) for part in ("size", "mtime_ns", "ctime_ns", "inode")),
        *(({part: None}, True) for part in ("ctime_ns", "inode")),
        ({"recheck": True}, True),
        ({"gone": True}, True),
    ],
)
def test_file_differs_by_its_stat_recheck_or_return(tmp_path: Path, changes: dict[str, Any], differs: bool) -> None:
    write(tmp_path, "a.md")
    file = known("a.md", (tmp_path / "a.md").stat(), **changes)

    found = differences(tmp_path, file)

    assert [item.known for item in found if isinstance(item, Differs)] == [True] * differs
    assert len(found) == differs


def test_missing_file_is_reported_once(tmp_path: Path) -> None:
    write(tmp_path, "b.md")

    assert [item.path for item in differences(tmp_path, known("a.md"), known("c.md", gone=True)) if
            isinstance(item, Missing)] == ["a.md"]  # fmt: skip


def test_every_file_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b/c.md", "d.txt")
    seen: list[int] = []

    list(scan_source(source(tmp_path), iter([[known("a.md", (tmp_path / "a.md").stat())]]), seen.append))

    assert sum(seen) == 2


# Single paths


def test_only_the_paths_and_everything_below_them_are_scanned(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b/c.md", "b/d/e.md", "b-.md", "f.md")
    files = [known(path) for path in ("b/c.md", "b/gone.md", "f.md", "gone/g.md", "gone2.md")]

    found = differences_at(tmp_path, {"a.md", "b", "b/d/e.md", "gone", "never"}, *files)

    assert [item.file.path for item in found if isinstance(item, Differs)] == ["a.md", "b/c.md", "b/d/e.md"]
    assert [item.path for item in found if isinstance(item, Missing)] == ["b/gone.md", "gone/g.md"]


@pytest.mark.parametrize(
    "path", ["outside.md", "folder/a.md", "real.txt", ".a.md", ".b/a.md", "fifo.md", "file.md/a.md"]
)
def test_a_path_that_no_scan_lists_is_missing(tmp_path: Path, path: str) -> None:
    root = tmp_path / "in"
    write(tmp_path, "in/real.txt", "in/file.md", "in/.a.md", "in/.b/a.md", "in/d/a.md", "out.md")
    (root / "outside.md").symlink_to("../out.md")
    (root / "folder").symlink_to("d")
    os.mkfifo(root / "fifo.md")

    assert differences_at(root, {path}, known(path)) == [Missing(path)]


def test_known_files_below_an_unreadable_path_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b").mkdir()
    fail_stats(monkeypatch, PermissionError(13, "Permission denied"))

    assert differences_at(tmp_path, {"b/a.md"}, known("b/a.md")) == [Unreadable("b/a.md", "Permission denied")]


def test_a_file_at_one_of_the_paths_is_read_whatever_its_stat_and_those_below_by_it(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b/c.md")
    files = [known(path, (tmp_path / path).stat()) for path in ("a.md", "b/c.md")]

    assert differences(tmp_path, *files) == []
    assert [
        item.file.path for item in differences_at(tmp_path, {"a.md", "b"}, *files) if isinstance(item, Differs)
    ] == ["a.md"]


def test_paths_of_a_missing_folder_are_not_missing(tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        differences_at(tmp_path / "x", {"a.md"}, known("a.md"))


NAMES = st.one_of(
    st.sampled_from([b"a", b"a.", b"a-", b"a0", b"a/b", b"A", b"%", b"%25", b"%FF", b"\xff", b"\xc3", b"\xc3\xa9", b"e\xcc\x81",
                     b"\n", b" ", b"[", b"?", b"*", b"\xf0\x9f\x98\x80", b"\xef\xbf\xae", b"\xed\xa0\x80", b".a", b"a.md"]),
    st.binary(min_size=1, max_size=6),
).map(lambda name: name.replace(b"/", b"").replace(b"\0", b"") or b"x")  # fmt: skip
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=12)


def build(root: str, tree: set[tuple[bytes, ...]]) -> None:
    """Files of these paths, each with `.md` at its end; those that cannot be beside others are left out."""
    for parts in sorted(tree):
        folder = b"/".join((os.fsencode(root), *parts[:-1]))
        try:
            os.makedirs(folder, exist_ok=True)
            with open(folder + b"/" + parts[-1] + b".md", "wb") as file:
                file.write(b"x")
        except OSError:  # `.`, `..` and a file where a folder would be
            continue


def plain_reading(root: str) -> dict[str, os.stat_result]:
    """What the folder holds, by the standard library and the rules as the contract says them."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(".md") and not name.startswith("."):
                whole = os.path.join(folder, name)
                parts = os.path.relpath(whole, root).split("/")
                found["/".join(map(escape_name, parts))] = os.lstat(whole)
    return found


@given(TREES, TREES, st.data())
def test_scan_agrees_with_set_arithmetic(now: set[Any], before: set[Any], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as old_root, tempfile.TemporaryDirectory() as root:
        build(old_root, before)
        build(root, now)
        here = plain_reading(root)
        candidates = sorted(set(here) | set(plain_reading(old_root)), key=str.encode)
        stored = data.draw(st.lists(st.sampled_from(candidates), unique=True)) if candidates else []
        same = set(data.draw(st.lists(st.sampled_from(stored), unique=True))) if stored else set()
        files = [known(path, here.get(path) if path in same else None) for path in sorted(stored, key=str.encode)]

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(folder_files, "LISTED_BATCH", data.draw(st.integers(1, 4)))
            found = differences(Path(root), *files, page=data.draw(st.integers(1, 5)))

    differs = {item.file.path: item.known for item in found if isinstance(item, Differs)}
    assert differs == {path: path in stored for path in here if path not in same}
    missing = {item.path for item in found if isinstance(item, Missing)}
    assert missing == set(stored) - set(here)
    order = [item.file.path if isinstance(item, Differs) else item.path for item in found]
    assert order == sorted(order, key=str.encode)


@given(TREES, TREES, st.data())
def test_scanning_paths_gives_the_part_of_a_full_scan_below_them(
    now: set[Any], before: set[Any], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as old_root, tempfile.TemporaryDirectory() as root:
        build(old_root, before)
        build(root, now)
        candidates = sorted(set(plain_reading(root)) | set(plain_reading(old_root)), key=str.encode)
        places = sorted({"/".join(path.split("/")[:size]) for path in candidates for size in range(1, 5)})
        chosen = set(data.draw(st.lists(st.sampled_from(places)))) if places else set()
        stored = [known(path) for path in sorted(plain_reading(old_root), key=str.encode)]

        whole = differences(Path(root), *stored)
        found = differences_at(Path(root), chosen, *stored)

    def is_chosen(item: Differs | Missing | Unreadable) -> bool:
        path = item.file.path if isinstance(item, Differs) else item.path
        return any(path == other or path.startswith(f"{other}/") for other in chosen)

    assert found == [item for item in whole if is_chosen(item)]


def test_scan_holds_neither_side_in_memory(tmp_path: Path) -> None:
    write(tmp_path, "m.md")
    taken: list[str] = []

    def stored() -> Iterator[list[KnownFile]]:
        for number in range(100):
            taken.append(f"a{number:03}")
            yield [known(f"a{number:03}")]

    join = scan_source(source(tmp_path), stored(), lambda _files: None)
    first = next(join)

    assert first == Missing("a000")
    assert len(taken) == 1
