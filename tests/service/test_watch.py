"""What is looked at when something in a watched folder changes, and that it comes to what a walk comes to."""

from __future__ import annotations

import os
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from conftest import SiteFolder
from parsing import source
from simulation.world import Config, Step, World, apply
from watchfiles import Change
from watchfiles._rust_notify import RustNotify

from aggregator.paths import escape_name
from aggregator.pipeline import Paths
from aggregator.scan import path_locator
from aggregator.service import watch
from aggregator.service.watch import Changes, FolderWatch
from aggregator.store.status import unread_files

STEPS = 16


class Follower:
    """A second site over the records of a history; it is told what changed, and never walks after its first cycle."""

    def __init__(self, site: SiteFolder, walked: SiteFolder, seed: int) -> None:
        self.site, self.walked, self.random = site, walked, random.Random(seed)
        shutil.rmtree(site.incoming)
        site.incoming.symlink_to(walked.incoming)
        self.before = self._look()
        site.configure()
        self.text = ""

    def _look(self) -> dict[str, tuple[int, int, int]]:
        """What the folder holds; a file that is written again differs, as an event would tell."""
        found = {}
        for folder, folders, names in os.walk(self.walked.incoming):
            for name in (*names, *folders):
                path = Path(folder, name)
                status = path.lstat()
                kept = (0, 0, status.st_ino) if path.is_dir() else (status.st_size, status.st_mtime_ns, status.st_ino)
                found[path.relative_to(self.walked.incoming).as_posix()] = kept
        return found

    def changes(self) -> Paths:
        """The paths that differ since the last call, as events name them: of a folder that comes or goes sometimes only
        its own, and some that did not change."""
        after = self._look()
        paths = {path for path in self.before.keys() | after.keys() if self.before.get(path) != after.get(path)}
        if self.random.random() < 0.5:
            paths = {path for path in paths if not any(parent.as_posix() in paths for parent in Path(path).parents)}
        paths |= set(self.random.sample(sorted(after), min(len(after), 2)))
        self.before = after
        return {"": set(map(escape_name, paths))}

    def follow(self, step: Step) -> None:
        """A cycle over the same config at the same time."""
        if step.config.text() != self.text:
            self.text = step.config.text()
            self.site.configure(self.text)
            self.site.run(step.now)
            self.before = self._look()
        else:
            self.site.run(step.now, paths=self.changes())


def move_folder(world: World, site: SiteFolder, chance: random.Random) -> None:
    """Now and then moves a folder with all that is in it, also to a name that is not read."""
    folders = sorted(path for path in site.incoming.iterdir() if path.is_dir())
    if not folders or chance.random() > 0.3:
        return
    old = chance.choice(folders)
    new = old.with_name(chance.choice((f"to{chance.randrange(10**6)}", f".hidden{chance.randrange(10**6)}")))
    os.rename(old, new)
    world.move_folder(old.name, new.name)


@pytest.mark.parametrize(("backend", "seed"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 3)])
def test_paths_come_to_what_walks_come_to(
    backend: str,
    seed: int,
    make_site: Callable[..., SiteFolder],
    make_store_url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    world, site = World(seed), make_site(make_store_url(backend))
    follower = Follower(make_site(make_store_url(backend)), site, seed)
    chance, text = random.Random(seed), ""
    written = 0
    for number in range(STEPS):
        step = world.step(Config.change if number % 10 == 9 else None)
        apply(step, site)
        move_folder(world, site, chance)
        if step.config.text() != text:
            text = step.config.text()
            site.configure(text)
        written += site.run(step.now).files_written
        follower.follow(step)
        assert follower.site.documents() == site.documents(), f"after step {number}"
    assert written > STEPS


@pytest.mark.both_databases
def test_files_that_could_not_be_read_to_their_end_are_looked_at_without_a_change(site: SiteFolder) -> None:
    site.record("a.md")
    site.write("bad.md", "---\npublished: yes please\n---\n")
    site.write("d/half.md", "---\ntitle: Half", mtime_ns=time.time_ns())
    site.run("2024-05-01 12:00")
    with site.store.read() as connection:
        assert unread_files(connection, limit=9) == [("", "d/half.md")]
    os.utime(site.incoming / "d/half.md", ns=(0, 0))
    assert site.run("2024-05-01 12:01", paths={"": ["d/half.md"]}).rejected == 2
    with site.store.read() as connection:
        assert unread_files(connection, limit=9) == []


# where a change is looked for


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ("a.md", "a.md"),
        ("d/é%.md", "d/é%25.md"),
        ("gone.md", "gone.md"),
        ("gone", "gone"),
        ("d", "d"),
        ("a.txt", None),
        ("link.txt", None),
        (".a.md", None),
        (".git/a.md", None),
        ("d/.a.md", None),
        ("", ""),
        ("../in-other/a.md", None),
    ],
)
def test_a_change_is_looked_for_where_a_scan_would_look(tmp_path: Path, changed: str, found: str | None) -> None:
    root = tmp_path / "in"
    (root / "d").mkdir(parents=True)
    (root / "a.md").touch()
    (root / "a.txt").touch()
    (root / "link.txt").symlink_to("d")
    (tmp_path / "link").symlink_to("in")

    assert path_locator(source(tmp_path / "link"))(os.path.normpath(root / changed)) == found


def test_changes_are_taken_once_and_a_walk_stands_for_all() -> None:
    changes = Changes()
    changes.add({"a": ["x"]})
    changes.add({"a": ["y"], "b": ["z"]})
    assert changes.take() == {"a": {"x", "y"}, "b": {"z"}}
    assert changes.take() == {}
    changes.add({"a": ["x"]})
    changes.add(None)
    assert changes.take() is None
    assert changes.take() == {}


# a folder that is watched


class Told:
    """A folder that is watched, and what is told of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.outside = root / "in", root / "out"
        self.root.mkdir()
        self.outside.mkdir()
        self._told: queue.Queue[Paths | None] = queue.Queue()
        self.stop = threading.Event()
        self.missed: list[str | None] = []
        FolderWatch([source(self.root)], self.stop, self._told.put, self.missed.append).start()

    def next(self) -> set[str] | None:
        """The paths that are told next, None for a walk."""
        paths = self._told.get(timeout=20)
        return None if paths is None else set(paths["s"])

    def move_in(self, *paths: str) -> None:
        """Puts files in place by a rename each, which is one event."""
        for path in paths:
            (self.outside / "x").touch()
            (self.outside / "x").rename(self.root / path)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path)
    assert made.next() is None  # what came before the watch
    yield made
    made.stop.set()


def test_a_change_is_told_by_its_path(told: Told) -> None:
    told.move_in("a.md")
    assert told.next() == {"a.md"}
    told.move_in(".b.md", "b.txt")
    (told.root / "a.md").rename(told.root / "c.md")
    assert told.next() == {"a.md", "c.md"}


def test_a_file_that_is_removed_and_written_again_is_never_gone(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GONE_S", 60)
    told.move_in("a.md", "b.md")
    found: set[str] = set()
    while found != {"a.md", "b.md"}:
        found |= told.next() or set()
    (told.root / "a.md").unlink()
    (told.root / "b.md").write_text("edited")
    assert told.next() == {"b.md"}
    told.move_in("a.md")
    assert told.next() == {"a.md"}


def test_a_new_folder_is_looked_at_once_more(told: Told) -> None:
    (told.root / "d").mkdir()
    assert [told.next(), told.next()] == [{"d"}, {"d"}]
    told.move_in("d/a.md")
    assert told.next() == {"d/a.md"}


def test_many_changes_at_once_and_one_of_the_whole_folder_ask_for_a_walk(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STEP_MS", 500)
    monkeypatch.setattr(watch, "MANY", 3)
    told.move_in("a.md")
    assert told.next() == {"a.md"}
    told.move_in("b.md", "c.md", "d.md", "e.md")
    assert told.next() is None
    told.root.chmod(0o700)
    assert told.next() is None


def test_another_folder_in_its_place_is_walked(told: Told) -> None:
    told.root.rename(told.outside / "away")
    told.root.mkdir()
    assert told.next() is None
    told.move_in("a.md")
    while told.next() is None:  # the last of them once the new folder is watched
        told.move_in("a.md")


class ScriptedNotify:
    """Tells what it is given, then the end."""

    def __init__(self, *told: set[tuple[int, str]]) -> None:
        self._told = iter(told)

    def watch(self, *_: object) -> set[tuple[int, str]] | str:
        return next(self._told, "stop")


@pytest.mark.parametrize(("gone", "batches"), [(19, [19, 30]), (20, [50])])
def test_many_files_that_go_one_after_the_other_are_told_together(
    gone: int, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GONE_S", 0)
    first = {(Change.deleted.value, f"/in/{number}.md") for number in range(gone)}
    then = {(Change.deleted.value, f"/in/{number}.md") for number in range(gone, gone + 30)}
    notify = cast("RustNotify", ScriptedNotify(first, then))
    watching = FolderWatch([], threading.Event(), lambda _: None, lambda _: None)
    assert [len(places) for places in watching._batches(notify, [("s", str)])] == batches


# files that are gone for a moment


@pytest.fixture
def delay(tmp_path: Path) -> watch._Delay:
    return watch._Delay([("s", path_locator(source(tmp_path)))])


def test_a_file_that_is_saved_by_removal_and_writing_is_told_as_one_that_changed(
    delay: watch._Delay, tmp_path: Path
) -> None:
    place = tmp_path / "a.md"
    delay.add({(Change.deleted, str(place))}, 10.0)
    assert delay.take(10.9) == set()
    assert delay.left_ms(10.9) == 100
    place.touch()
    delay.add({(Change.added, str(place))}, 10.9)
    assert delay.take(10.9) == {str(place)}
    assert delay.take(99.0) == set()


def test_a_file_that_is_gone_is_told_after_a_second_with_what_came_meanwhile(
    delay: watch._Delay, tmp_path: Path
) -> None:
    gone, later, new, known = (str(tmp_path / name) for name in ("a.md", "b.md", "c.md", "d.md"))
    Path(new).touch()
    Path(known).touch()
    delay.add({(Change.deleted, gone)}, 10.0)
    delay.add({(Change.deleted, later), (Change.deleted, gone)}, 10.5)
    delay.add({(Change.added, new), (Change.modified, new), (Change.modified, known)}, 10.6)
    assert delay.take(10.6) == {known}
    assert delay.take(11.0) == {gone}
    assert delay.take(11.4) == set()
    assert delay.take(11.5) == {later, new}


def test_the_end_of_the_folder_itself_is_told_at_once(delay: watch._Delay, tmp_path: Path) -> None:
    tmp_path.rename(tmp_path.with_name("away"))
    delay.add({(Change.deleted, str(tmp_path))}, 10.0)
    assert delay.take(10.0) == {str(tmp_path)}
    tmp_path.with_name("away").rename(tmp_path)


def test_nothing_waits_for_files_that_no_scan_reads(delay: watch._Delay, tmp_path: Path) -> None:
    """As when a file is written under another name first."""
    draft, place = tmp_path / "a.md.part", tmp_path / "a.md"
    draft.touch()
    delay.add({(Change.added, str(draft))}, 10.0)
    draft.rename(place)
    delay.add({(Change.deleted, str(draft)), (Change.added, str(place))}, 10.1)
    assert delay.take(10.1) == {str(place)}
    delay.add({(Change.added, "/in/b.part"), (Change.deleted, "/in/b.part"), (Change.added, str(place))}, 10.2)
    assert str(place) in delay.take(10.2)
