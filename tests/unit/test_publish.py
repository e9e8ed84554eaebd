"""The output folder when something else is in it, or it cannot be written: what is left out, what stays, what heals."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urljoin

import pytest
from commands import Shop, eventually
from conftest import NOBODY, SiteFolder, other_user
from filelock import FileLock

from aggregator import render
from aggregator.concurrency import threads
from aggregator.concurrency.threads import Threads
from aggregator.errors import PublishError, RenderError
from aggregator.model import CycleResult, Document, Feed
from aggregator.output import folder, publication
from aggregator.output.folder import OutputFolder
from aggregator.output.publication import Target
from aggregator.output.tree import Tree

NOON, LATER, DAY = "2024-05-01 12:00", "2024-05-01 13:00", "2024-05-02 12:00"
BASE = "https://feeds.example.org/"
DATE = {"publishedDateTime": "2024-05-01T08:00:00Z"}
DOCUMENTS = {"rss.xml", "atom.xml", "feed.json", "index.html"}
KILLED = """
import os, signal
from aggregator.output.tree import Tree
left, take = {left}, Tree.take
def take_some(*given):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    take(*given)
Tree.take = take_some
"""
"""Ends a command without a chance to tidy up before it renames one more file than it is told."""


@pytest.fixture
def plain(make_site: Callable[..., SiteFolder], tmp_path: Path) -> SiteFolder:
    """A site on SQLite with two topics and three entries, published."""
    site = make_site(f"sqlite:///{tmp_path / 'store.db'}")
    fill(site)
    site.run(NOON)
    return site


@pytest.fixture
def shared() -> Iterator[SiteFolder]:
    """The same, all of it owned by whom `other_user` makes of us, who could not import the program's modules."""
    root = Path(tempfile.mkdtemp(prefix="shared-"))
    root.chmod(0o755)
    site = SiteFolder(root / "site", f"sqlite:///{root / 'store.db'}")
    fill(site)
    site.run(NOON)
    site.close()
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield site
    site.close()
    shutil.rmtree(root)


def deny(folder: Path) -> None:
    """Lets nobody but root write into a folder, as a build by sudo leaves it."""
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)


def allow(folder: Path) -> None:
    folder.chmod(0o777)


def fill(site: SiteFolder, title: str = "Story") -> None:
    """Three records: AI has all of them, Energy two."""
    for number in range(3):
        topics = ["AI", "Energy"][: 1 + (number > 0)]
        date = f"2024-04-0{number + 1}T08:00:00Z"
        site.record(f"{number}.md", title=f"{title} {number}", topics=topics, publishedDateTime=date)


@pytest.mark.parametrize("starts", [Mock(side_effect=RuntimeError("can't start new thread")), Mock(return_value=0)])
def test_documents_are_written_also_if_no_thread_starts_or_none_runs(
    plain: SiteFolder, monkeypatch: pytest.MonkeyPatch, starts: Mock
) -> None:
    plain.record("new.md", **DATE)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "start_new_thread", starts)
        patch.setattr(folder, "_writers", cache(lambda: Threads(folder.WRITE_THREADS)))
        result = plain.run(LATER)

    assert starts.called
    assert (result.published, "new.md" in plain.titles()) == (True, True)


def run_killed(shop: Shop, renamed: int) -> None:
    """A build that is killed when it has put so many files in their places."""
    assert shop.run("build", patch=KILLED.format(left=renamed)).returncode == -signal.SIGKILL


def in_the_way(result: CycleResult) -> list[str]:
    return [problem for problem in result.problems if " is in the way of " in problem]


# a folder that cannot be written


def test_a_folder_that_cannot_be_written_costs_its_own_feed_until_it_can_be(shared: SiteFolder) -> None:
    before = shared.documents()
    deny(shared.output / "energy")
    fill(shared, "Edited")
    with other_user():
        result = shared.run(LATER)
        after = shared.documents()
        assert result.published
        assert result.unwritten == 1
        [problem] = result.problems
        assert problem.startswith(f"{shared.output}/energy/rss.xml cannot be written: Permission denied; user ")
        assert f"chown -R {os.geteuid()} {shared.output}/energy" in problem
        same = {path for path in after if "/" in path and after[path] == before[path]}
        kept = {path for path in same if not path.startswith("assets/")}
        assert kept == {f"energy/{name}" for name in DOCUMENTS}
        assert shared.titles("ai") == ["Edited 2", "Edited 1", "Edited 0"]
        assert shared.run(LATER).problems == (problem,)
        assert shared.documents() == after
    allow(shared.output / "energy")
    with other_user():
        result = shared.run(DAY)
        assert (result.problems, result.unwritten, result.files_written) == ((), 0, 4)
    assert shared.titles("energy") == ["Edited 2", "Edited 1"]


def test_a_feed_waits_for_a_page_of_its_archive_that_cannot_be_written(shared: SiteFolder) -> None:
    with other_user():
        shared.configure('[output]\nlimit = 2\nmin_stay = "0s"\nmax_bytes = "20KB"\n')
        for number in range(8):
            shared.record(f"more{number}.md", topics=["AI"], **DATE)
        shared.run(LATER)
    before = shared.documents()
    assert "ai/archive/0001.xml" in before
    deny(shared.output / "ai" / "archive")
    with other_user():
        for number in range(8):
            shared.record(f"still more{number}.md", topics=["AI"], **DATE)
        result = shared.run(DAY)
        after = shared.documents()
    assert re.search(r"/ai/archive/\d+\.(xml|html) cannot be written: Permission denied", result.problems[0])
    assert result.unwritten == 1
    assert all(after[path] == body for path, body in before.items() if path.startswith("ai/"))
    assert after["all/rss.xml"] != before["all/rss.xml"]
    allow(shared.output / "ai" / "archive")
    with other_user():
        assert shared.run(DAY).unwritten == 0
    assert all("still more" in title for title in shared.titles("ai"))


def test_a_feed_that_could_not_be_written_in_a_new_form_is_written_later(shared: SiteFolder) -> None:
    """Though its version stays, as when the program is upgraded."""
    folder = OutputFolder(shared.root / "documents")

    def publish(form: str) -> int:
        def render(dirty: list[str]) -> Iterator[tuple[str, Iterable[Document]]]:
            return ((feed, [Document(f"{feed}/rss.xml", form.encode())]) for feed in dirty)

        wanted = {feed: Target("1", (f"{feed}/rss.xml",)) for feed in ("a", "b")}
        with other_user():
            return len(folder.publish("store", form, wanted, render, lambda: None, full=True).written)

    assert publish("old") == 2
    deny(folder.path / "a")
    assert publish("new") == 1
    allow(folder.path / "a")
    assert publish("new") == 1
    assert (folder.path / "a" / "rss.xml").read_bytes() == b"new"
    assert publish("new") == 0


def test_feeds_have_room_among_the_removed_paths_before_archive_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "MAX_REMOVED", 2)
    folder = OutputFolder(tmp_path / "documents")
    paths = ("a/archive/0001.html", "a/archive/0001.xml", "a/rss.xml", "b/rss.xml")
    for targets in ({"a": Target("1", paths)}, {}):
        rendered = [("a", [Document(path, b"") for path in paths])]
        folder.publish("s", "f", targets, lambda _, rendered=rendered: iter(rendered), lambda: None, full=True)
    assert folder.manifest().removed == ("a/rss.xml", "b/rss.xml")


def test_a_shortage_of_descriptors_is_not_a_problem_of_one_folder(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "documents")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)

    def render(dirty: list[str]) -> Iterator[tuple[str, Iterable[Document]]]:
        for feed in dirty:
            documents = [Document(f"{feed}/rss.xml", b"")]
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
            yield feed, documents

    try:
        with pytest.raises(PublishError, match="Too many open files"):
            folder.publish("s", "f", {"a": Target("1", ("a/rss.xml",))}, render, lambda: None, full=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_a_feed_that_cannot_be_rendered_keeps_its_documents_and_is_counted(
    plain: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_feed = render.render_feed

    def fail(feed: Feed, *options: Any, **more: Any) -> Any:
        if feed.slug == "energy":
            raise RenderError("energy cannot be written")
        return render_feed(feed, *options, **more)

    before = plain.documents()
    fill(plain, "Edited")
    with monkeypatch.context() as patch:
        patch.setattr(render, "render_feed", fail)
        assert plain.run(LATER).unwritten == 1
    assert plain.documents()["energy/rss.xml"] == before["energy/rss.xml"]
    assert plain.run(DAY).unwritten == 0
    assert plain.titles("energy") == ["Edited 2", "Edited 1"]


def test_a_list_of_feeds_that_cannot_be_rendered_costs_no_feed(
    plain: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plain.documents()
    plain.record("new.md", topics=["Maps"])
    with monkeypatch.context() as patch:
        patch.setattr(render, "render_index", Mock(side_effect=RenderError("the list of feeds cannot be written")))
        result = plain.run(LATER)
    hint = "(report it; what was published before stays)"
    assert (result.problems, result.unwritten) == ((f"the list of feeds cannot be written {hint}",), 1)
    assert plain.titles("maps") == ["new.md"]
    assert plain.documents()["opml.xml"] == before["opml.xml"]
    assert plain.run(DAY).problems == ()
    assert b"/maps/" in plain.documents()["opml.xml"]


def test_a_file_that_cannot_be_deleted_is_a_problem_and_is_deleted_later(shared: SiteFolder) -> None:
    feed = '[[feed]]\nslug = "new"\ntitle = "New"\n'
    shared.configure(f'{feed}moved_from = ["old"]\n')
    with other_user():
        shared.run(LATER)
    deny(shared.output / "old")
    shared.configure(feed)
    with other_user():
        result = shared.run(LATER)
    assert any("/old/atom.xml cannot be deleted: Permission denied" in problem for problem in result.problems)
    assert len(result.problems) == result.unwritten == 1
    assert (shared.output / "old" / "rss.xml").exists()
    allow(shared.output / "old")
    with other_user():
        result = shared.run(DAY)
    assert (result.problems, result.unwritten) == ((), 0)
    assert not (shared.output / "old").exists()


def test_an_output_folder_of_another_user_is_a_problem_with_a_hint(shared: SiteFolder) -> None:
    before = shared.documents()
    deny(shared.output / ".aggregator")
    fill(shared, "Edited")
    with other_user():
        result = shared.run(LATER)
    assert not result.published
    assert "/.aggregator" in result.problems[0]
    assert "chown -R" in result.problems[0]
    assert shared.documents() == before
    allow(shared.output / ".aggregator")
    with other_user():
        assert shared.run(DAY).problems == ()
    assert shared.titles("energy") == ["Edited 2", "Edited 1"]


@pytest.mark.parametrize("state", ["missing", "missing with its parent", "of another user"])
def test_an_output_folder_that_cannot_be_made_is_to_be_made_and_nothing_beside_it_is_given_away(
    shared: SiteFolder, state: str
) -> None:
    parent = shared.root / "web root"
    folder = parent / "feeds"
    top = shared.root if state == "missing with its parent" else parent
    if top == parent:
        parent.mkdir()
    if state == "of another user":
        folder.mkdir()
        deny(folder)
        folder.chmod(0o700 if os.geteuid() == 0 else 0)
    deny(top)
    shared.configure(f'[output]\npath = "{folder}"\n')
    with other_user():
        [problem] = shared.run(LATER).problems
        if state == "of another user":
            assert f"Permission denied; user {os.geteuid()} must be able to write into it, as by:" in problem
            assert f"chown -R {os.geteuid()} '{folder}' (nothing is lost" in problem
        else:
            assert f"Permission denied; make the output folder: sudo install -d -o {os.geteuid()} '{folder}'" in problem
            assert "chown" not in problem
    allow(top)
    folder.mkdir(parents=True, exist_ok=True)
    allow(folder)
    with other_user():
        assert shared.run(DAY).problems == ()


def test_an_output_folder_that_another_process_writes_is_a_problem(
    plain: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "LOCK_WAIT_S", 0.1)
    plain.record("new.md", **DATE)
    with FileLock(plain.output / ".aggregator" / "lock"):
        (problem,) = plain.run(LATER).problems
    assert problem.startswith(
        f"another process has been writing to {plain.output} for more than 0.1 s (nothing is lost"
    )
    assert plain.run(LATER).problems == ()
    assert "new.md" in plain.titles()


def test_many_folders_that_cannot_be_written_are_few_problems(shared: SiteFolder) -> None:
    for number in range(30):
        shared.record(f"topic{number}.md", topics=[f"Topic {number}"], **DATE)
    deny(shared.output)
    with other_user():
        result = shared.run(LATER)
    assert result.unwritten == 31  # and the list of feeds
    assert len(result.problems) == 21
    assert result.problems[-1] == "13 more files or folders cannot be written or deleted"
    allow(shared.output)
    with other_user():
        assert shared.run(LATER).unwritten == 0


# files of others


def test_a_feed_waits_for_an_archive_page_that_a_foreign_file_keeps_out(plain: SiteFolder) -> None:
    """Else the entries that leave its document would be nowhere."""
    plain.configure('[output]\nlimit = 2\nmin_stay = "0s"\n')
    for number in (1, 2):
        plain.record(f"map{number}.md", topics=["Maps"], publishedDateTime=f"2024-04-0{number}T08:00:00Z")
    plain.run(LATER)
    page = plain.output / "maps" / "archive" / "0001.xml"
    page.parent.mkdir()
    page.write_text("mine")
    plain.record("map3.md", topics=["Maps"], publishedDateTime="2024-04-03T08:00:00Z")
    result = plain.run(LATER)
    assert "until then its feed stays as it was" in in_the_way(result)[0]
    assert (plain.titles("maps"), page.read_text()) == (["map2.md", "map1.md"], "mine")
    page.unlink()
    assert plain.run(LATER).problems == ()
    assert plain.titles("maps") == ["map3.md", "map2.md"]
    assert b"map1.md" in page.read_bytes()


def test_a_page_of_the_operator_is_left_alone_and_the_other_documents_of_its_feed_are_written(
    plain: SiteFolder,
) -> None:
    page = plain.output / "about" / "index.html"
    page.parent.mkdir()
    page.write_text("<h1>Our own</h1>")
    plain.record("about.md", topics=["About"], **DATE)
    result = plain.run(LATER)
    assert in_the_way(result) == list(result.problems)
    assert result.problems[0].startswith(f"{page} is in the way of about/index.html")
    assert (result.published, result.unwritten) == (True, 1)
    assert page.read_text() == "<h1>Our own</h1>"
    assert {path.name for path in page.parent.iterdir()} == DOCUMENTS
    plain.close()  # neither does another process
    assert plain.run(LATER).problems == result.problems
    plain.configure("[output]\npages = false\n")  # nor is it deleted with our pages
    assert plain.run(LATER).problems == ()
    assert page.read_text() == "<h1>Our own</h1>"
    plain.configure()
    page.unlink()
    assert plain.run(DAY).problems == ()
    assert "Our own" not in page.read_text()


def test_a_file_that_appears_during_rendering_is_left_alone(plain: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    page = plain.output / "about" / "index.html"
    make_folder = Tree.make_folder

    def come_first(tree: Tree, path: str) -> None:
        make_folder(tree, path)
        if path == "about" and not page.exists():
            page.write_text("Our own")

    monkeypatch.setattr(Tree, "make_folder", come_first)
    plain.record("about.md", topics=["About"], **DATE)
    assert in_the_way(plain.run(LATER))
    assert page.read_text() == "Our own"


@pytest.mark.parametrize("name", ["rss.xml", "index.html"])
def test_without_a_manifest_only_files_with_the_expected_bytes_are_ours(plain: SiteFolder, name: str) -> None:
    plain.close()
    shutil.rmtree(plain.output / ".aggregator")
    mine = plain.output / "ai" / name
    mine.write_text("mine")
    result = plain.run(LATER)
    assert [problem.partition(" is in")[0] for problem in in_the_way(result)] == [str(mine)]
    assert mine.read_text() == "mine"
    mine.unlink()
    assert plain.run(LATER).problems == ()


def test_a_process_remembers_its_files_when_the_manifest_is_deleted(plain: SiteFolder) -> None:
    shutil.rmtree(plain.output / ".aggregator")
    (plain.output / "energy" / "rss.xml").write_text("mine")
    fill(plain, "Edited")
    result = plain.run(LATER)
    assert [problem.partition(" is in")[0] for problem in result.problems] == [f"{plain.output}/energy/rss.xml"]
    assert plain.titles("energy") == ["Edited 2", "Edited 1"]


def test_a_damaged_manifest_is_one_problem_and_is_written_again(plain: SiteFolder) -> None:
    before = plain.documents()
    manifest = plain.output / ".aggregator" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    result = plain.run(LATER)
    assert [problem.partition(" (")[0] for problem in result.problems] == [f"{manifest} cannot be used: it is damaged"]
    assert plain.documents() == before
    assert plain.run(DAY).problems == ()


# a publication that was cut off


@pytest.mark.parametrize("renamed", [0, 1, 5])
def test_files_that_a_killed_build_wrote_are_ours(shop: Shop, renamed: int) -> None:
    shop.record("a.md", topics=["AI"])
    run_killed(shop, renamed)
    begun = {path for path in shop.files(shop.output) if "/.aggregator/" not in path}
    assert len(begun) == renamed
    shop.record("b.md", topics=["AI"])
    done = shop.run("build")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(shop.titles("ai")) == ["a.md", "b.md"]
    assert not (shop.output / ".aggregator" / "unfinished.json").exists()


def test_a_foreign_file_at_a_path_of_a_killed_build_is_left_alone(shop: Shop) -> None:
    shop.record("a.md", topics=["AI"])
    run_killed(shop, 3)
    begun = [path for path in shop.output.rglob("*") if path.is_file() and ".aggregator" not in path.parts]
    assert len(begun) == 3
    begun[0].write_text("mine")
    begun[1].unlink()
    begun[1].symlink_to(shop.config)
    done = shop.run("build")
    assert done.returncode == 1
    assert done.stderr.count(" is in the way of ") == 2
    assert begun[0].read_text() == "mine"
    assert begun[1].readlink() == shop.config


def test_an_obsolete_file_of_a_killed_build_is_deleted(shop: Shop) -> None:
    shop.record("a.md", topics=["AI"])
    run_killed(shop, 8)
    pages = [path for path in shop.files(shop.output) if path.endswith("index.html")]
    assert pages
    shop.configure(output="pages = false")
    assert shop.run("build").returncode == 0
    assert [path for path in shop.files(shop.output) if path.endswith("index.html")] == []


def dead_links(output: Path, starts: Iterable[str], kind: str) -> set[tuple[str, str]]:
    """The missing documents that a reader of `starts` is led to by documents of a kind, each with who names it."""
    dead, waiting, seen = set[tuple[str, str]](), list(starts), set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.endswith(kind) or not (output / path).is_file():
            continue
        seen.add(path)
        for link in re.findall(r'(?:href|src)="([^"#?]+)', (output / path).read_text()):
            target = urljoin(f"{BASE}{path}", link)
            if target.startswith(BASE):
                named = target.removeprefix(BASE)
                named += "index.html" * (named.endswith("/") or not named)
                waiting.append(named)
                dead |= set() if (output / named).is_file() or named == "search" else {(path, named)}
    return dead


@pytest.mark.parametrize("kind", ["ml", ".xml"])
def test_no_published_document_ever_names_a_missing_one(
    plain: SiteFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    config = '[output]\narchive = true\nlimit = 1\nmin_stay = "0s"\n'
    plain.run_with(config, NOON)
    starts = [path for path in plain.documents() if path.endswith("atom.xml")]
    dead = []

    def then_looking(method: Callable[..., None]) -> Callable[..., None]:
        def call(*given: object) -> None:
            method(*given)
            dead.extend(dead_links(plain.output, ["index.html", *starts], kind))

        return call

    for name in ("take", "remove"):
        monkeypatch.setattr(Tree, name, then_looking(getattr(Tree, name)))
    before = set(plain.documents())
    plain.record("new.md", topics=["Energy", "Zeta"], **DATE)
    plain.run(LATER)
    if kind == ".xml":  # whoever has a page of a feed that ends may see that it has ended
        plain.run_with(f"{config}[topics]\nauto = false", LATER)
    assert before ^ set(plain.documents())
    assert dead == []


# links


def test_a_link_in_place_of_a_folder_is_not_followed(plain: SiteFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.move(plain.output / "energy", outside)
    (plain.output / "energy").symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    fill(plain, "Edited")
    result = plain.run(LATER)
    assert [problem.partition(" is in")[0] for problem in in_the_way(result)] == [f"{plain.output}/energy"]
    plain.configure("[output]\npages = false\n")  # neither is anything deleted there
    plain.run(LATER)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    assert plain.titles("ai") == ["Edited 2", "Edited 1", "Edited 0"]
    (plain.output / "energy").unlink()
    assert plain.run(DAY).problems == ()
    assert plain.titles("energy") == ["Edited 2", "Edited 1"]


def test_a_link_in_place_of_a_document_is_replaced_and_its_target_stays(plain: SiteFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    target = plain.output / "ai" / "rss.xml"
    target.unlink()
    target.symlink_to(secret)
    assert plain.run(LATER).files_written == 1
    assert stat.S_ISREG(target.lstat().st_mode)
    assert secret.read_text() == "secret"


def test_the_output_folder_itself_may_be_a_link(plain: SiteFolder, tmp_path: Path) -> None:
    shutil.move(plain.output, tmp_path / "disk")
    plain.output.symlink_to(tmp_path / "disk")
    fill(plain, "Edited")
    assert plain.run(LATER).problems == ()
    assert plain.titles("energy") == ["Edited 2", "Edited 1"]


@pytest.mark.parametrize("made", ["file", "link"])
def test_a_file_in_place_of_our_own_folder_is_an_error_and_documents_stay(
    plain: SiteFolder, tmp_path: Path, made: str
) -> None:
    before = plain.documents()
    own = plain.output / ".aggregator"
    shutil.move(own, tmp_path / "own")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    own.symlink_to(tmp_path / "own") if made == "link" else own.write_text("mine")
    fill(plain, "Edited")
    result = plain.run(LATER)
    assert not result.published
    assert result.problems[0].startswith(f"{own} must be a folder, and is a file or a link; move it away")
    assert plain.documents() | {".aggregator": b""} == before | {".aggregator": b""}
    assert {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()} == kept
    own.unlink()
    shutil.move(tmp_path / "own", own)
    assert plain.run(DAY).problems == ()
    assert plain.titles("energy") == ["Edited 2", "Edited 1"]


@pytest.mark.parametrize("name", ["staging", "manifest.json", ".manifest.json.new", "unfinished.json"])
def test_a_link_in_our_own_folder_is_not_followed(plain: SiteFolder, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    planted = plain.output / ".aggregator" / name
    planted.unlink(missing_ok=True)
    planted.symlink_to(outside if name == "staging" else outside / "file")
    fill(plain, "Edited")
    plain.record("new.md", topics=["New"], **DATE)
    plain.run(LATER)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "kept"
    if planted.is_symlink():
        planted.unlink()
    assert plain.run(DAY).problems == ()
    assert plain.titles("new") == ["new.md"]


# the tree


def test_a_file_on_another_file_system_is_copied(tmp_path: Path) -> None:
    """Whatever a crash left beside it."""
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "rss.xml").write_bytes(b"old")
    (tmp_path / "feed" / ".rss.xml.new").write_bytes(b"half")
    with Tree(tmp_path) as tree:
        tree.replace("feed/rss.xml", b"new")
    assert {path.name: path.read_bytes() for path in (tmp_path / "feed").iterdir()} == {"rss.xml": b"new"}


def test_a_file_has_the_time_that_the_manifest_says(plain: SiteFolder) -> None:
    """So a web server over the folder, or a copy by rsync, sees each change, however many are within a second."""
    paths, times = ["all/rss.xml", "ai/index.html", "ai/feed.json"], [[0.0] * 3]
    for title in ("Rec a", "Rec b", "Rec c"):
        fill(plain, title)
        plain.run(LATER)
        entries = json.loads((plain.output / ".aggregator/manifest.json").read_text())["files"]
        times.append([(plain.output / path).stat().st_mtime for path in paths])
        assert times[-1] == [entries[path]["modified"] for path in paths]
        assert all(before < after for before, after in zip(times[-2], times[-1], strict=True))
    (plain.output / "assets/feed.css").unlink()  # what is written again has its old time
    plain.run(DAY)
    assert (plain.output / "assets/feed.css").stat().st_mtime == entries["assets/feed.css"]["modified"]


def test_a_file_that_is_copied_to_another_file_system_has_its_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "staging").mkdir()
    monkeypatch.setattr(os, "replace", fail_once)
    with Tree(str(tmp_path)) as tree, tree.subtree("staging") as staging:
        staging.write("0", b"new")
        tree.take(staging, "0", "rss.xml", 1_700_000_000)
    assert (tmp_path / "rss.xml").read_bytes() == b"new"
    assert (tmp_path / "rss.xml").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", "."])
def test_a_tree_refuses_paths_that_lead_out_of_it(tmp_path: Path, path: str) -> None:
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "x").write_text("x")
    with Tree(tmp_path / "tree") as tree, pytest.raises(OSError) as caught:  # noqa: PT011 - its number says it
        tree.read(path)
    assert caught.value.errno in (errno.EXDEV, errno.ENOENT, errno.EISDIR)


# the service


def test_a_service_logs_when_a_feed_cannot_be_written_and_when_that_is_resolved(shop: Shop) -> None:
    shop.configure(schedule='every = "1s"')
    page = shop.output / "about" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("Our own")
    shop.record("a.md", topics=["About"])
    told = f"{page} is in the way of about/index.html"
    service = shop.start("run")
    eventually(lambda: told in service.log)
    assert service.titles("about") == ["a.md"]
    assert service.get("about/").body == b"Our own"
    shop.record("b.md", topics=["About"])
    eventually(lambda: len(service.titles("about")) == 2)
    assert service.log.count(told) == 1
    page.unlink()
    eventually(lambda: f"resolved: {told}" in service.log)
    assert b"Our own" not in service.get("about/").body
    assert page.exists()
