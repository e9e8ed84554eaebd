"""What goes wrong around the program: restored stores, odd files, other people's files, clocks that step back."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import slow
from conftest import SiteFolder, at, record_text, too_deep
from sqlalchemy import Engine, event, select

from aggregator import ingest
from aggregator.errors import StoppedError, StoreError
from aggregator.files import FileBytes
from aggregator.files.folder import FolderFiles
from aggregator.model import SourceFile
from aggregator.status import UNREADABLE, read_status
from aggregator.store.database import copy_store
from aggregator.store.lost_store import read_lost_store
from aggregator.store.queries import unread_files
from aggregator.store.schema import cycle, entry, feed_entry
from aggregator.store.withdrawals import MASS_REMOVAL

pytestmark = pytest.mark.both_databases

NOON = "2024-05-01 12:00"
OLD = {"publishedDateTime": "2024-01-01T00:00:00Z"}
NEW = {"publishedDateTime": "2024-05-01T00:00:00Z"}


@pytest.fixture
def small(make_site: Callable[..., SiteFolder], tmp_path: Path) -> SiteFolder:
    """A site on SQLite with two entries that are out."""
    site = make_site(f"sqlite:///{tmp_path / 'store.db'}")
    site.record("a.md", **OLD)
    site.record("b.md", **OLD)
    site.run(NOON)
    return site


def test_a_hidden_edit_is_not_lost_when_the_process_that_parses_it_is_killed(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "x" * ingest.LARGE_BYTES
    site.write("big.md", record_text({"title": "big", **OLD}, body))
    site.record("small.md", **OLD)
    site.run(NOON)
    site.write("big.md", record_text({"title": "big", "published": False, **OLD}, f"{body}CRASHING"))
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_parse_file", slow.parse)
        result = site.run("2024-05-01 12:01")
    (problem,) = site.problems()

    assert (result.changed, result.removed, result.rejected) == (0, 0, 1)
    assert set(site.titles()) == {"big", "small.md"}
    assert "the process that parses it was ended (SIGKILL)" in problem
    with site.store.read() as connection:
        assert unread_files(connection, limit=9) == [("", "big.md")]

    result = site.run("2024-05-01 12:02")
    assert (result.removed, result.rejected, site.problems()) == (1, 0, [])
    assert site.titles() == ["small.md"]


def test_a_file_that_could_not_be_parsed_and_is_renamed_keeps_its_id(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.record("a.md", **OLD)
    site.record("b.md", **OLD)
    site.run(NOON)
    (before,) = site.rows(select(entry.c.uid).where(entry.c.path == "b.md"))
    site.write("b.md", record_text({"title": "Other", **OLD}, "Nothing is left of the text that was here before."))
    real = ingest._parse_file

    def parse(raw: bytes, *arguments: Any) -> Any:
        if b"Other" in raw:
            raise MemoryError
        return real(raw, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_parse_file", parse)
        site.run("2024-05-01 12:01")
        shutil.move(site.incoming / "b.md", site.incoming / "z.md")
        assert site.run("2024-05-01 12:02").removed == 0
    assert site.run("2024-05-01 12:03").removed == 0
    assert site.rows(select(entry.c.uid).where(entry.c.path == "z.md")) == [before]
    assert set(site.titles()) == {"Other", "a.md"}


def test_a_restored_store_corrects_what_was_published_since(small: SiteFolder, tmp_path: Path) -> None:
    small.close()
    shutil.copy(tmp_path / "store.db", tmp_path / "backup.db")
    small.record("embarrassing.md", **NEW)
    small.run("2024-05-01 13:00")
    small.close()
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", tmp_path / "store.db")
    small.remove("embarrassing.md")
    small.record("d.md", **NEW)
    small.run("2024-05-01 14:00")
    assert set(small.titles()) == {"a.md", "b.md", "d.md"}


def test_a_source_under_another_name_is_refused_because_every_id_would_change(small: SiteFolder) -> None:
    small.configure('[records]\nname = "news"\npath = "../incoming"\n')
    with pytest.raises(StoreError, match="under another name they would all get new ids"):
        small.run("2024-05-02 12:00")


def test_a_cycle_that_scans_less_reports_what_is_still_wrong_elsewhere(site: SiteFolder) -> None:
    mine, news = ('[[records]]\npath = "../incoming"\n', '[[records]]\nname = "news"\npath = "../news"\n')
    site.configure(mine + news)
    (site.root / "news").mkdir()
    (site.root / "news" / "n.md").write_text(record_text(OLD))
    for number in range(MASS_REMOVAL + 1):
        site.record(f"{number}.md", **OLD)
    site.record("later.md", publishedDateTime="2024-05-01T12:03:30Z")
    site.run(NOON)
    site.configure(mine)
    deep = site.incoming
    for _ in range(7):
        deep = deep / ("d" * 240)
        os.mkdir(deep)
    (deep / "x.md").write_text(record_text(OLD))
    site.remove(*(f"{number}.md" for number in range(MASS_REMOVAL + 1)))
    whole = site.run("2024-05-01 12:01")
    assert [
        next(sign for sign in ("path is over 1500 bytes", "missing at once", "'news' any more") if sign in problem)
        for problem in whole.problems
    ] == ["path is over 1500 bytes", "missing at once", "'news' any more"]
    site.record("b.md", **NEW)
    counted = tuple(problem.replace(" of 22 files", " of 23 files") for problem in whole.problems)  # with b.md
    # the last of these cycles scans the file of a due entry
    for minute, paths, problems in ((2, {"": ["b.md"]}, whole.problems), (3, {}, whole.problems), (4, {}, counted)):
        result = site.run(f"2024-05-01 12:0{minute}", paths=paths)
        assert (result.problems, result.unreadable) == (problems, 1)
    assert set(site.titles()) > {"later.md", "b.md"}
    status = read_status(site.load_config(), site.store, at("2024-05-01 12:05"))
    assert (status["wrong"], len(status["problems"])) == ([UNREADABLE], 3)

    shutil.rmtree(site.incoming / ("d" * 240))
    result = site.run("2024-05-01 12:05", paths={"": ["d" * 240]})
    assert (result.problems, result.unreadable) == (counted[1:], 0)
    site.run("2024-05-01 12:06", accept_removals=True)
    assert site.run("2024-05-01 12:07", paths={}).problems == ()


def test_a_cycle_that_scans_nothing_reports_a_missing_folder_and_is_not_logged(small: SiteFolder) -> None:
    shutil.move(small.incoming, small.root / "away")
    problems = small.run("2024-05-02 12:00").problems
    assert "the records folder cannot be read" in problems[0]
    logged = small.rows(select(cycle))
    for minute in (1, 2):
        result = small.run(f"2024-05-02 12:0{minute}", paths={})
        assert (result.problems, result.unreadable) == (problems, 1)
    assert small.rows(select(cycle)) == logged
    shutil.move(small.root / "away", small.incoming)
    assert small.run("2024-05-02 12:03", paths={"": ["a.md"]}).problems == ()


@pytest.mark.parametrize("hindrance", ["energy", "energy/rss.xml/kept.txt"])
def test_a_foreign_file_at_the_path_of_a_document_stops_no_other_feed(small: SiteFolder, hindrance: str) -> None:
    target = small.output / hindrance
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("mine")
    small.record("c.md", topics=["Energy"], **NEW)
    small.remove("a.md")
    result = small.run("2024-05-02 12:00")
    assert small.titles() == ["c.md", "b.md"]
    assert any("is in the way of energy/rss.xml" in problem for problem in result.problems)
    assert target.read_text() == "mine"
    shutil.rmtree(target.parent) if "/" in hindrance else target.unlink()
    small.run("2024-05-02 13:00")
    assert small.titles("energy") == ["c.md"]


def test_an_unfinished_file_inherits_no_entry_of_a_file_that_is_read_again(small: SiteFolder) -> None:
    ids = small.ids()
    small.record("draft.md", published=False)
    small.run("2024-05-01 12:01")
    small.configure('[records]\npath = "../incoming"\ntopics = ["Always"]\n')
    small.write("draft.md", "---\ntitle: half", mtime_ns=time.time_ns())
    small.remove("b.md")
    small.run("2024-05-01 12:02")
    small.record("draft.md", title="draft", **NEW)
    small.run("2024-05-01 12:03")
    assert small.ids()["draft"] not in ids.values()


def test_updated_never_decreases_when_the_clock_steps_back(small: SiteFolder) -> None:
    times = []
    for number, moment in enumerate(("2024-05-01 12:30", "2024-05-01 12:10")):
        small.record("a.md", title=f"edit {number}", **OLD)
        small.run(moment)
        times.append(next(item["date_modified"] for item in small.feed()["items"] if "edit" in item["title"]))
    assert times == sorted(times)


def test_a_withdrawal_moves_updated_also_without_a_tombstone(small: SiteFolder) -> None:
    small.run_with('[output]\ntombstones = "0s"\n', NOON)
    small.remove("b.md")
    small.run("2024-05-03 12:00")
    assert re.search(r"<updated>2024-05-03", (small.output / "all/atom.xml").read_text())


def test_two_topics_never_share_a_term(make_site: Callable[..., SiteFolder], tmp_path: Path) -> None:
    site = make_site(f"sqlite:///{tmp_path / 'store.db'}", "[topics]\nmin_entries = 2\n")
    for name in ("a.md", "b.md"):
        site.record(name, topics=["C"], **OLD)
    site.record("c.md", topics=["C#"], **OLD)
    site.run(NOON)
    assert set(re.findall(r'term="([^"]*)"', (site.output / "all/atom.xml").read_text())) == {"c", "c-951a"}


def test_a_file_dated_beyond_what_a_store_can_hold_is_read(site: SiteFolder) -> None:
    path = site.record("a.md", **OLD)
    os.utime(path, ns=(2**63 + 5 * 10**9,) * 2)
    site.run(NOON)
    assert site.titles() == ["a.md"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("long-topic.md", {"topics": ["x" * 9000, "AI"]}),
        ("long-id.md", {"id": "𠀀" * 900}),
        ("long-iri.md", {"id": "urn:x:" + "𠀀" * 900}),
        ("/".join(["𠀀" * 60] * 13) + "/long-path.md", {}),
        ("many-topics.md", {"topics": [f"topic {number}" for number in range(5000)]}),
    ],
    ids=["topic", "id", "iri", "path", "topics"],
)
def test_records_beyond_a_bound_are_problems_and_stop_no_other(
    site: SiteFolder, path: str, fields: dict[str, object]
) -> None:
    site.record("ok.md", **OLD)
    site.record(path, **fields)
    result = site.run(NOON)
    assert "ok.md" in site.titles()
    assert site.problems() or result.problems


def test_a_path_in_the_manifest_deletes_nothing_outside_the_folder(small: SiteFolder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    manifest = small.output / ".aggregator" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"]["../../victim"] = {"feed": "x", "version": "1", "digest": ""}
    manifest.write_text(json.dumps(told))
    small.record("c.md", **NEW)
    small.run("2024-05-02 12:00")
    assert victim.read_text() == "kept"


def test_an_output_folder_of_another_store_is_a_problem(
    small: SiteFolder, make_site: Callable[..., SiteFolder], tmp_path: Path
) -> None:
    other = make_site(f"sqlite:///{tmp_path / 'other.db'}", f'[output]\npath = "{small.output}"\n')
    other.record("x.md", **OLD)
    assert any("another store" in problem for problem in other.run(NOON).problems)
    small.record("y.md", **OLD)
    two_sites = f"{small.output} was last written from another store (if two sites write there, give each its own"
    for site in (small, other, small):
        assert [two_sites in problem for problem in site.run(NOON).problems][:1] == [True]


@pytest.mark.parametrize("failing", [False, True])
def test_a_store_that_is_new_beside_documents_of_another_one_says_for_a_week_that_one_was_lost(
    small: SiteFolder, tmp_path: Path, failing: bool
) -> None:
    small.configure(url=f"sqlite:///{tmp_path / 'new.db'}")
    if failing:
        lock = small.output / ".aggregator"
        lock.rename(small.root / "kept")
        lock.touch()
        assert not small.run("2024-05-01 13:00").published
        lock.unlink()
        (small.root / "kept").rename(lock)
    result = small.run("2024-05-01 13:00")
    [problem] = result.problems
    assert problem == (
        f"the store at {tmp_path / 'new.db'} is new, and {small.output}/.aggregator/manifest.json was written from"
        " another store (bring it back: aggregator restore FILE; or correct store.url; without a backup, records that"
        " were never renamed keep their ids)"
    )
    result = small.run("2024-05-01 14:00")
    assert (result.problems, result.notices) == ((), (problem,))
    assert problem in read_status(small.load_config(), small.store, at("2024-05-01 14:00"))["problems"]
    with small.store.read() as connection:
        day_us = 86_400 * 10**6
        assert read_lost_store(connection, int(time.time() * 1e6) + 6 * day_us) == problem
        assert read_lost_store(connection, int(time.time() * 1e6) + 8 * day_us) is None


def test_a_rehearsal_over_a_store_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    (tmp_path / "copy").mkdir()
    with pytest.raises(StoreError, match=r"broken\.db, which is no store: the file is not a database"):
        copy_store(f"sqlite:///{tmp_path / 'broken.db'}", tmp_path / "copy")


def test_a_rehearsal_copies_one_moment_of_a_store_that_changes(site: SiteFolder, tmp_path: Path) -> None:
    site.record("a.md", **OLD)
    site.run(NOON)
    site.record("b.md", **OLD)
    ran = []

    def change(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not ran and "\nFROM entry" in statement:
            ran.append(statement)
            thread = threading.Thread(target=site.run, args=("2024-05-01 12:01",))
            thread.start()
            thread.join()

    (tmp_path / "copy").mkdir()
    event.listen(Engine, "after_cursor_execute", change)
    try:
        copy = copy_store(site.url, tmp_path / "copy")
    finally:
        event.remove(Engine, "after_cursor_execute", change)
    with copy.read() as connection:
        entries, members = (set(connection.scalars(select(key))) for key in (entry.c.id, feed_entry.c.entry_id))
    copy.close()
    assert bool(ran) == site.store.is_shared  # SQLite copies its file as a whole
    assert members <= entries


def test_a_copy_that_takes_the_place_of_a_draft_is_counted_once(small: SiteFolder) -> None:
    draft = small.record("draft.md", published=False)
    small.run("2024-05-01 12:01")
    small.write("copy.md", draft.read_bytes())
    small.run("2024-05-01 12:02")
    small.remove("draft.md")
    assert small.run("2024-05-01 12:03").new == 0


def test_a_file_that_was_renamed_in_a_cycle_that_stopped_keeps_its_id_however_late_the_next_is(
    small: SiteFolder,
) -> None:
    ids = small.ids()
    (small.incoming / "a.md").rename(small.incoming / "moved.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aggregator.cycle.missing_files.pair_renames", Mock(side_effect=StoppedError))
        with pytest.raises(StoppedError):
            small.run("2024-05-01 12:01")
    small.run("2024-05-03 12:00")
    assert small.ids() == ids


def test_a_missing_file_that_may_be_where_nothing_can_be_read_keeps_its_entry_for_the_grace(small: SiteFolder) -> None:
    published = small.ids()
    place = too_deep(small.incoming) / "a.md"
    shutil.move(small.incoming / "a.md", place)
    with small.untouched():
        for minute in (1, 2):
            result = small.run(f"2024-05-01 12:0{minute}")
            assert result.removed == 0
            assert re.search(
                r"incoming: 1 missing file may be in d+.* now, which cannot be read; their entries stay until"
                r" 2024-05-01 12:11:00\+00:00 \(if it is meant, run: aggregator build --accept-removals\)",
                result.problems[-1],
            )
    shutil.move(place, small.incoming / "c.md")
    result = small.run("2024-05-01 12:05")
    assert (result.removed, small.ids()) == (0, published)
    shutil.move(small.incoming / "c.md", place)
    assert [small.run(f"2024-05-01 12:{minute}").removed for minute in (10, 19)] == [0, 0]
    assert small.run("2024-05-01 12:20").removed == 1
    [why] = small.pipeline.withdrawn
    assert why.endswith(
        "1 missing file are withdrawn, because removal_grace (10 min) is over (they return with their files)"
    )


def test_the_wait_for_a_place_that_cannot_be_read_lasts_as_long_as_was_said(
    small: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the place itself changed, if the last cycle was before that."""
    real_ns = time.time_ns()
    place = too_deep(small.incoming) / "a.md"
    shutil.move(small.incoming / "a.md", place)
    with monkeypatch.context() as patch:
        for hours, minute in ((1, 1), (2, 5), (3, 10)):
            later_ns = real_ns + hours * 3600 * 10**9
            patch.setattr("aggregator.cycle.missing_files.time.time_ns", lambda later_ns=later_ns: later_ns)
            assert small.run(f"2024-05-01 12:{minute:02}").removed == 0
        assert small.run("2024-05-01 12:11").removed == 1


def test_a_mass_removal_waits_as_long_as_ever_after_a_place_that_cannot_be_read(small: SiteFolder) -> None:
    names = [f"{number}.md" for number in range(2 * MASS_REMOVAL)]
    for name in names:
        small.record(name, **OLD)
    small.run("2024-05-01 12:01")
    shutil.move(small.incoming / "a.md", too_deep(small.incoming) / "a.md")
    assert small.run("2024-05-01 12:02").removed == 0
    small.remove(*names[:-5])
    for minute in (11, 13, 20):
        assert small.run(f"2024-05-01 12:{minute}").removed == 0
    assert small.run("2024-05-01 12:21").removed == len(names) - 4


def test_a_missing_file_cannot_be_where_nothing_changed_since_the_last_cycle(
    small: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (too_deep(small.incoming) / "x.md").touch()
    later = datetime.now(UTC) + timedelta(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.cycle.missing_files.time.time_ns", lambda: int(later.timestamp()) * 10**9)
        small.run(later)
        small.remove("a.md")
        result = small.run(later + timedelta(minutes=1))
    assert (result.removed, result.unreadable) == (1, 1)


def test_a_missing_file_may_be_a_new_one_that_cannot_be_read(
    small: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = small.ids()
    shutil.move(small.incoming / "a.md", small.incoming / "c.md")
    with monkeypatch.context() as patch, small.untouched():
        refuse(patch, "c.md")
        result = small.run("2024-05-01 12:01")
        assert (result.removed, result.rejected) == (0, 1)
        assert "1 missing file may be in c.md now, which cannot be read" in result.problems[0]
    result = small.run("2024-05-01 12:02")
    assert (result.removed, small.ids(), result.problems) == (0, published, ())


def test_a_missing_file_is_not_one_that_could_not_be_read_before(
    small: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.record("c.md", **OLD)
    refuse(monkeypatch, "c.md")
    small.run("2024-05-01 12:01")
    small.run("2024-05-01 12:12")
    small.remove("a.md")
    result = small.run("2024-05-01 12:13")
    assert (result.removed, result.rejected) == (1, 1)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The file can be read no more."""
    real = FolderFiles.read

    def read(self: FolderFiles, file: SourceFile, most: int) -> FileBytes:
        if file.path == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, file, most)

    monkeypatch.setattr(FolderFiles, "read", read)
