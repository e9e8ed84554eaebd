"""Which paths are scanned when a watched folder changes, and that the result is the same as of a full scan."""

from __future__ import annotations

import os
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from conftest import SiteFolder
from parsing import source
from simulation.world import Config, Step, World, apply
from watchfiles import Change
from watchfiles._rust_notify import RustNotify

from aggregator.cycle.pipeline import Paths
from aggregator.paths import escape_name
from aggregator.scan import path_locator
from aggregator.service import cycle_requests as requests_module
from aggregator.service import debounce as debounce_module
from aggregator.service import watch
from aggregator.service.cycle_requests import CycleRequests
from aggregator.service.debounce import Debounce
from aggregator.service.health import Health
from aggregator.service.triggers import RESCAN_JOB, SCAN_JOB, Triggers
from aggregator.service.watch import FolderWatch
from aggregator.store.queries import unread_files

STEPS = 16


class Follower:
    """A second site over the records of a history. After its first cycle it scans only changed paths."""

    def __init__(self, site: SiteFolder, scanned: SiteFolder, seed: int) -> None:
        self.site, self.scanned, self.random = site, scanned, random.Random(seed)
        shutil.rmtree(site.incoming)
        site.incoming.symlink_to(scanned.incoming)
        self.before = self._look()
        site.configure()
        self.text = ""

    def _look(self) -> dict[str, tuple[int, int, int]]:
        """The files and folders with their stats; a rewritten file differs, as events would report."""
        found = {}
        for folder, folders, names in os.walk(self.scanned.incoming):
            for name in (*names, *folders):
                path = Path(folder, name)
                status = path.lstat()
                kept = (0, 0, status.st_ino) if path.is_dir() else (status.st_size, status.st_mtime_ns, status.st_ino)
                found[path.relative_to(self.scanned.incoming).as_posix()] = kept
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


@pytest.mark.parametrize(("backend", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_scans_of_changed_paths_publish_the_same_as_full_scans(
    backend: str,
    seed: int,
    make_site: Callable[..., SiteFolder],
    make_store_url: Callable[[str], str],
) -> None:
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
def test_unfinished_files_are_scanned_again_without_a_change(site: SiteFolder) -> None:
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


# paths of changes


@pytest.mark.parametrize(
    ("changed", "path"),
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
def test_a_change_maps_to_the_path_that_a_scan_would_use(tmp_path: Path, changed: str, path: str | None) -> None:
    root = tmp_path / "in"
    (root / "d").mkdir(parents=True)
    (root / "a.md").touch()
    (root / "a.txt").touch()
    (root / "link.txt").symlink_to("d")
    (tmp_path / "link").symlink_to("in")

    assert path_locator(source(tmp_path / "link"))(os.path.normpath(root / changed)) == path


def test_requested_paths_are_taken_once_and_a_full_scan_covers_them() -> None:
    requests = CycleRequests()
    requests.add({"a": ["x"]})
    requests.add({"a": ["y", "x"], "b": ["z"]})
    assert requests.take() == ({"a": ["y", "x"], "b": ["z"]}, {})
    assert requests.take() == ({}, {})
    requests.add({"a": ["x"]})
    requests.add(None)
    assert requests.take() == (None, {"a": ["x"]}), "it begins with what was named"
    assert requests.take() == ({}, {})


def test_of_too_many_paths_each_folder_keeps_its_newest_and_the_rest_is_for_a_full_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests_module, "MAX_NAMED", 50)
    monkeypatch.setattr(requests_module, "MAX_FIRST", 4)
    requests = CycleRequests()
    requests.add({"": [f"bulk/a/{number}.md" for number in range(30)], "s": ["single.md"]})
    requests.add({"": [f"bulk/b/{number}.md" for number in range(30)]})
    requests.add({"": ["late.md"]})
    assert requests.take() == (None, {"s": ["single.md"], "": ["bulk/a/29.md", "bulk/b/29.md", "late.md"]})
    requests.add({"": [f"bulk/{number}.md" for number in range(50)]})
    assert requests.take() == ({"": [f"bulk/{number}.md" for number in range(50)]}, {}), "few enough"


# watching


class Watched:
    """A watched folder, and the reported changes."""

    def __init__(self, root: Path) -> None:
        self.root, self.outside = root / "in", root / "out"
        self.root.mkdir()
        self.outside.mkdir()
        self._changes: queue.Queue[Paths | None] = queue.Queue()
        self.stop = threading.Event()
        self.missed: list[str | None] = []
        FolderWatch([source(self.root)], self.stop, self._changes.put, self.missed.append).start()

    def next(self) -> set[str] | None:
        """The next reported paths; None is a full scan."""
        paths = self._changes.get(timeout=40)
        return None if paths is None else set(paths[""])

    def move_in(self, *paths: str) -> None:
        """Creates files by renames, which are one event each."""
        for path in paths:
            (self.outside / "x").touch()
            (self.outside / "x").rename(self.root / path)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    assert watched.next() is None  # changes before the watch began
    yield watched
    watched.stop.set()


def test_a_change_is_reported_with_its_path(watched: Watched) -> None:
    watched.move_in("a.md")
    assert watched.next() == {"a.md"}
    watched.move_in(".b.md", "b.txt")
    (watched.root / "a.md").rename(watched.root / "c.md")
    assert watched.next() == {"a.md", "c.md"}


def test_a_name_that_is_not_utf_8_is_reported_once_and_the_folder_stays_watched(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        with open(os.fsencode(watched.root) + b"/caf\xe9.md", "ab") as file:
            file.write(b"x" * (number + 1))
        assert watched.next() is None  # its event says nothing
    watched.move_in("a.md")
    found = watched.next()
    while found is None:
        found = watched.next()
    assert found == {"a.md"}
    [line] = caplog.messages
    assert (
        line
        == f"{watched.root}/caf\\xE9.md: its name is not UTF-8, so each change of it takes a scan of everything (rename it)"
    )
    assert watched.missed == [None] * len(watched.missed)


def test_a_file_that_is_deleted_and_written_again_is_never_missing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce_module, "GONE_S", 60)
    watched.move_in("a.md", "b.md")
    paths: set[str] = set()
    while paths != {"a.md", "b.md"}:
        paths |= watched.next() or set()
    (watched.root / "a.md").unlink()
    (watched.root / "b.md").write_text("edited")
    assert watched.next() == {"b.md"}
    watched.move_in("a.md")
    assert watched.next() == {"a.md"}


def test_a_new_folder_is_scanned_twice(watched: Watched) -> None:
    (watched.root / "d").mkdir()
    assert [watched.next(), watched.next()] == [{"d"}, {"d"}]
    watched.move_in("d/a.md")
    assert watched.next() == {"d/a.md"}


def test_many_changes_at_once_or_a_change_of_the_folder_itself_request_a_full_scan(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STEP_MS", 500)
    monkeypatch.setattr(watch, "FULL_SCAN_FROM", 3)
    watched.move_in("a.md")
    assert watched.next() == {"a.md"}
    watched.move_in("b.md", "c.md", "d.md", "e.md")
    assert watched.next() is None
    assert watched.next() == {"b.md", "c.md", "d.md", "e.md"}, "they go first"
    watched.root.chmod(0o700)
    assert watched.next() is None


def test_a_folder_that_replaces_the_watched_one_is_scanned(watched: Watched) -> None:
    watched.root.rename(watched.outside / "away")
    watched.root.mkdir()
    assert watched.next() is None
    watched.move_in("a.md")
    while watched.next() is None:  # full scans, until the new folder is watched
        watched.move_in("a.md")


class ScriptedNotify:
    """Reports the given events, then the end."""

    def __init__(self, *events: set[tuple[int, str]]) -> None:
        self._events = iter(events)

    def watch(self, *_: object) -> set[tuple[int, str]] | str:
        return next(self._events, "stop")


@pytest.mark.parametrize(("deleted", "batches"), [(19, [19, 30]), (20, [50])])
def test_many_deletions_in_a_row_are_reported_together(
    deleted: int, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce_module, "GONE_S", 0)
    first = {(Change.deleted.value, f"/in/{number}.md") for number in range(deleted)}
    then = {(Change.deleted.value, f"/in/{number}.md") for number in range(deleted, deleted + 30)}
    notify = cast("RustNotify", ScriptedNotify(first, then))
    watching = FolderWatch([], threading.Event(), lambda _: None, lambda _: None)
    assert [len(places) for places in watching._batches(notify, [("s", str)])] == batches


# files that are missing for a moment


@pytest.fixture
def debounce(tmp_path: Path) -> Debounce:
    return Debounce([("s", path_locator(source(tmp_path)))])


def test_a_file_that_is_saved_by_deleting_and_writing_is_reported_as_changed(
    debounce: Debounce, tmp_path: Path
) -> None:
    place = tmp_path / "a.md"
    debounce.add({(Change.deleted, str(place))}, 10.0)
    assert debounce.take(10.9) == set()
    assert debounce.left_ms(10.9) == 100
    place.touch()
    debounce.add({(Change.added, str(place))}, 10.9)
    assert debounce.take(10.9) == {str(place)}
    assert debounce.take(99.0) == set()


def test_a_missing_file_is_reported_after_a_second_with_files_that_appeared_meanwhile(
    debounce: Debounce, tmp_path: Path
) -> None:
    gone, later, new, known = (str(tmp_path / name) for name in ("a.md", "b.md", "c.md", "d.md"))
    Path(new).touch()
    Path(known).touch()
    debounce.add({(Change.deleted, gone)}, 10.0)
    debounce.add({(Change.deleted, later), (Change.deleted, gone)}, 10.5)
    debounce.add({(Change.added, new), (Change.modified, new), (Change.modified, known)}, 10.6)
    assert debounce.take(10.6) == {known}
    assert debounce.take(11.0) == {gone}
    assert debounce.take(11.4) == set()
    assert debounce.take(11.5) == {later, new}


def test_a_file_whose_name_is_used_again_is_reported_together_with_its_new_name(
    debounce: Debounce, tmp_path: Path
) -> None:
    """As after `mv today.md monday.md` and `mv next.md today.md`, whenever the system tells of which."""
    today, monday, following = (str(tmp_path / f"{name}.md") for name in ("today", "monday", "next"))
    Path(monday).touch()
    debounce.add([(Change.deleted, today), (Change.added, monday)], 0.0)
    Path(today).touch()
    debounce.add([(Change.deleted, following), (Change.added, today)], 0.002)
    assert debounce.take(0.9) == set()
    assert debounce.take(1.01) == {today, monday, following}


def test_the_removal_of_the_folder_itself_is_reported_at_once(debounce: Debounce, tmp_path: Path) -> None:
    tmp_path.rename(tmp_path.with_name("removed"))
    debounce.add({(Change.deleted, str(tmp_path))}, 10.0)
    assert debounce.take(10.0) == {str(tmp_path)}
    tmp_path.with_name("removed").rename(tmp_path)


def test_the_removal_of_a_temporary_file_delays_nothing(debounce: Debounce, tmp_path: Path) -> None:
    """As when an editor writes another file and renames it."""
    draft, place = tmp_path / "a.md.part", tmp_path / "a.md"
    draft.touch()
    debounce.add({(Change.added, str(draft))}, 10.0)
    draft.rename(place)
    debounce.add({(Change.deleted, str(draft)), (Change.added, str(place))}, 10.1)
    assert debounce.take(10.1) == {str(place)}
    debounce.add({(Change.added, "/in/b.part"), (Change.deleted, "/in/b.part"), (Change.added, str(place))}, 10.2)
    assert str(place) in debounce.take(10.2)


# the schedule


def test_a_clock_that_was_set_back_delays_no_scheduled_scan(
    make_site: Callable[..., SiteFolder], store_url: str
) -> None:
    config = make_site(store_url, '[schedule]\nevery = "1m"\nrescan = "1h"\n').load_config()
    stop, latest = threading.Event(), datetime.now(UTC) + timedelta(hours=2)
    triggers = Triggers(config, CycleRequests(), Health(), stop)
    triggers.start()
    try:
        for job in (SCAN_JOB, RESCAN_JOB):
            triggers._scheduler.modify_job(job, next_run_time=latest + timedelta(hours=9))
        triggers.restart_schedule()
        assert [job.id for job in triggers._scheduler.get_jobs() if job.next_run_time > latest] == []
    finally:
        stop.set()
        triggers.end()
