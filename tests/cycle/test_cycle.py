"""Whole cycles over real folders and both databases: what stays, what goes, what heals."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import SiteFolder, minted, record_text
from lxml import etree
from sqlalchemy import Connection, select, text, update

from aggregator.errors import LeaseLostError, StoppedError, StoreHeldError, StoreNewerError
from aggregator.files import folder
from aggregator.store import releases
from aggregator.store.database import Store, migrate, open_store
from aggregator.store.indexes import metadata
from aggregator.store.lease import read_holder
from aggregator.store.queries import source_problems
from aggregator.store.schema import entry, lease
from aggregator.store.source_folder import SourceFolder

pytestmark = pytest.mark.both_databases

NOON = "2024-05-01 12:00"
LATER = "2024-05-01 13:00"
DAY = "2024-05-02 12:00"
DAY_AND_GRACE = "2024-05-02 12:10"
DATE = "2024-05-01T08:00:00Z"
DELETED = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
EXPIRING = '[records.fields]\nexpires_at = ["expires"]'
ANOTHER_MACHINE = json.dumps(
    {"boot": "another", "host": "elsewhere", "pid": 1, "started": "1", "command": "aggregator run"}
)


def tombstones(site: SiteFolder, slug: str = "all") -> list[str | None]:
    """The ids that an Atom feed says are withdrawn."""
    return [one.get("ref") for one in etree.parse(site.output / slug / "atom.xml").iter(DELETED)]


def states(site: SiteFolder) -> dict[str, str]:
    """The states of entries by their paths."""
    return {row.path: row.state for row in site.rows(select(entry.c.path, entry.c.state))}


def fill(site: SiteFolder, count: int = 3, **fields: Any) -> None:
    """Writes that many records, of one topic each."""
    for number in range(count):
        day = f"2024-04-{1 + number % 28:02}T08:00:00Z"
        site.record(
            f"{number:03}.md", **{"topics": ["AI", "Power Apps"][: 1 + number % 2], "publishedDateTime": day} | fields
        )


def publish(site: SiteFolder, count: int = 3, **fields: Any) -> None:
    """A first cycle with that many records."""
    fill(site, count, **fields)
    site.run(NOON)


# ids


def test_an_id_is_minted_from_site_source_and_path(site: SiteFolder) -> None:
    site.record("news/a.md")
    site.run(NOON)
    assert site.ids() == {"news/a.md": minted("path:/news/a.md")}


def test_a_lost_database_changes_no_id_of_records_that_were_never_renamed(
    site: SiteFolder, make_store_url: Callable[[str], str]
) -> None:
    fill(site, 5)
    site.record("stated.md", id="story-7")
    site.record("iri.md", id="tag:example.org,2024:7")
    site.run(NOON)
    before = site.ids()
    site.configure(url=make_store_url(site.url.split(":")[0].split("+")[0]))
    site.run(LATER)
    assert site.ids() == before
    assert before["stated.md"] == minted("id:story-7")
    assert before["iri.md"] == "tag:example.org,2024:7"


@pytest.mark.parametrize("change", [{}, {"secured": "other"}], ids=["the same bytes", "the same content"])
def test_a_rename_keeps_the_id_and_a_new_file_at_the_old_path_gets_a_number(
    site: SiteFolder, change: dict[str, Any]
) -> None:
    site.record("a.md", title="Moves", publishedDateTime=DATE)
    site.run(NOON)
    site.remove("a.md")
    site.record("z/b.md", title="Moves", publishedDateTime=DATE, **change)
    site.run(LATER)
    site.record("a.md", title="Second", publishedDateTime=DATE)
    site.run("2024-05-01 14:00")
    site.remove("a.md")
    site.record("c.md", title="Second", publishedDateTime=DATE)
    site.run("2024-05-01 14:05")
    site.record("a.md", title="Third")
    site.run("2024-05-01 14:10")
    keys = {"Moves": "path:/a.md", "Second": "path:/a.md~2", "Third": "path:/a.md~3"}
    assert site.ids() == {title: minted(key) for title, key in keys.items()} | site.ids()
    assert len(site.ids()) == 3
    assert tombstones(site) == []


def test_a_rename_and_a_new_file_at_the_old_path_in_one_cycle_are_two_records(site: SiteFolder) -> None:
    """A file that is there is its record, whatever it says; the moved copy is the new one."""
    site.record("a.md", title="First", publishedDateTime=DATE)
    site.run(NOON)
    site.record("b.md", title="First", publishedDateTime=DATE)
    site.record("a.md", title="Other", publishedDateTime=DATE)
    site.run(LATER)
    assert site.ids() == {"Other": minted("path:/a.md"), "First": minted("path:/b.md")}


def test_a_rename_over_several_cycles_may_take_removal_grace(site: SiteFolder) -> None:
    site.record("a.md", title="In time")
    site.record("k.md", title="Too late")
    site.run(NOON)
    site.remove("a.md", "k.md")
    site.run(LATER)
    assert site.titles() == []
    site.record("b.md", title="In time")
    site.run("2024-05-01 13:10")
    site.record("l.md", title="Too late")
    site.run("2024-05-01 13:11")
    assert site.ids() == {"In time": minted("path:/a.md"), "Too late": minted("path:/l.md")}


def test_several_renames_of_the_same_content_pair_in_order_of_path(site: SiteFolder) -> None:
    for name in ("b.md", "a.md"):
        site.record(name, title="Same", url=name, secured=name)
    site.run(NOON)
    site.remove("a.md", "b.md")
    for name in ("y.md", "x.md"):
        site.record(name, title="Same", secured="new")
    site.run(LATER)
    site.record("x.md", title="From x")
    site.record("y.md", title="From y")
    site.run(DAY)
    assert site.ids() == {"From x": minted("path:/a.md"), "From y": minted("path:/b.md")}


def test_a_file_at_the_path_of_a_withdrawn_record_is_that_record_whatever_its_content(site: SiteFolder) -> None:
    site.record("a.md", title="Old", publishedDateTime=DATE)
    site.run(NOON)
    site.remove("a.md")
    site.run(LATER)
    assert tombstones(site) == [minted("path:/a.md")]
    site.record("a.md", title="New", publishedDateTime=DATE)
    site.run(DAY)
    assert site.ids() == {"New": minted("path:/a.md")}
    assert tombstones(site) == []


def test_an_explicit_id_that_is_added_later_does_not_change_the_id(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    site.record("a.md", id="story-7")
    site.run(LATER)
    assert site.ids() == {"a.md": minted("path:/a.md")}


def test_the_second_file_with_an_explicit_id_is_rejected_until_the_first_is_missing(
    site: SiteFolder,
) -> None:
    site.record("b.md", title="First", id="story-7", publishedDateTime=DATE)
    site.run(NOON)
    site.record("a.md", title="Second", id="story-7", publishedDateTime=DATE)
    result = site.run(LATER)
    assert result.rejected == 1
    assert site.titles() == ["First"]
    assert [line for line in site.problems() if line.startswith("a.md") and "b.md" in line and "story-7" in line]
    site.remove("b.md")
    assert site.run(DAY).rejected == 1
    assert site.titles() == []
    result = site.run(DAY_AND_GRACE)
    assert result.rejected == 0
    assert site.ids() == {"Second": minted("id:story-7")}
    assert tombstones(site) == []


def test_of_two_new_files_with_one_explicit_id_the_first_path_wins(site: SiteFolder) -> None:
    site.record("b.md", id="story-7")
    site.record("a.md", id="story-7")
    assert site.run(NOON).rejected == 1
    assert site.titles() == ["a.md"]


def test_a_duplicate_is_accepted_when_the_holder_no_longer_states_the_id(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    site.record("a.md", id="story-7")
    site.record("b.md", id="story-7")
    assert site.run(LATER).rejected == 1
    site.record("a.md")
    assert site.run(DAY).rejected == 0
    assert site.ids() == {"a.md": minted("path:/a.md"), "b.md": minted("id:story-7")}


def test_an_entry_that_was_refused_an_id_is_read_again_when_the_holder_is_missing(site: SiteFolder) -> None:
    site.record("a.md", title="Refused")
    site.record("b.md", title="Holder", id="story-7")
    site.run(NOON)
    site.record("a.md", title="Refused and edited", id="story-7")
    assert site.run(LATER).rejected == 1
    site.remove("b.md")
    assert site.run(DAY).rejected == 1
    assert site.run(DAY_AND_GRACE).rejected == 0
    assert site.ids() == {"Refused and edited": minted("path:/a.md")}


def test_a_renamed_file_keeps_its_explicit_id_although_a_duplicate_wants_it(site: SiteFolder) -> None:
    site.record("m.md", title="First", id="story-7", publishedDateTime=DATE)
    site.run(NOON)
    site.record("a.md", title="Duplicate", id="story-7", publishedDateTime=DATE)
    site.run(LATER)
    site.remove("m.md")
    site.record("z.md", title="First", id="story-7", publishedDateTime=DATE)
    site.run(DAY)
    assert site.ids() == {"First": minted("id:story-7")}


def test_names_that_are_alike_in_nfc_give_two_ids(site: SiteFolder) -> None:
    site.record(unicodedata.normalize("NFD", "é.md"), title="Decomposed")
    site.record("é.md", title="Composed")
    site.run(NOON)
    assert set(site.ids().values()) == {minted("path:/é.md"), minted("path:/é.md~2")}


# which files are read


def test_linked_files_outside_the_folder_and_dot_files_are_not_read(site: SiteFolder) -> None:
    outside = site.root / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text(record_text({"title": "Outside"}))
    site.record("inside.md", title="Inside")
    site.record(".hidden.md", title="Dot file")
    site.record(".git/a.md", title="Dot folder")
    (site.incoming / "file.md").symlink_to(outside / "secret.md")
    (site.incoming / "folder").symlink_to(outside)
    (site.incoming / "linked.md").symlink_to(site.incoming / "inside.md")
    (site.incoming / "dangling.md").symlink_to(site.incoming / "nothing.md")
    os.mkfifo(site.incoming / "pipe.md")
    assert site.run(NOON).scanned == 2
    assert site.titles() == ["Inside", "Inside"]


def test_names_with_percent_signs_and_names_that_are_not_utf_8_are_different_records(site: SiteFolder) -> None:
    names = {
        b"caf\xe9.md": "caf%E9.md",
        b"caf%E9.md": "caf%25E9.md",
        b"100%.md": "100%25.md",
        b"%/\xff/a.md": "%25/%FF/a.md",
    }
    for name, path in names.items():
        site.record(name, title=path)
    site.run(NOON)
    expected = {path: minted(f"path:/{path}") for path in names.values()}
    assert site.ids() == expected | site.ids()
    assert len(site.ids()) == len(names)
    with site.untouched():
        site.run(LATER)
    for name in names:
        (site.incoming / os.fsdecode(name)).unlink()
    site.run(DAY)
    assert site.titles() == []


# bytes that stay


@pytest.mark.parametrize("field", ["secured", "heat", "quality", "cdnAmpWebUrl", "unknown"])
def test_a_rewrite_of_what_no_reader_sees_changes_no_byte(site: SiteFolder, field: str) -> None:
    publish(site, 4, **{field: 10})
    for number in range(4):
        path = f"{number:03}.md"
        text_now = (site.incoming / path).read_text().replace(f"{field}: 10", f"{field}: 77")
        site.write(path, text_now)
    with site.untouched():
        site.run(DAY)


def test_another_published_date_of_a_published_entry_changes_no_byte(site: SiteFolder) -> None:
    site.record("a.md", publishedDateTime="2024-05-01T08:00:00Z")
    site.run(NOON)
    for moment, date in ((LATER, "2024-06-01T08:00:00Z"), (DAY, "2023-05-01T08:00:00Z")):
        site.record("a.md", publishedDateTime=date)
        with site.untouched():
            site.run(moment)


def test_an_update_date_that_is_not_the_latest_of_an_entry_changes_no_byte(site: SiteFolder) -> None:
    """Only the latest of an entry's dates is shown; one below it is nothing that a reader can see."""
    fields = {"title": "Dated", "publishedDateTime": "2024-05-01T08:00:00Z"}
    site.record("a.md", **fields)
    site.run(NOON)
    site.record("a.md", **fields, updatedDateTime="2024-04-01T08:00:00Z")
    with site.untouched():
        site.run(LATER)


def test_a_window_is_not_cut_again_when_a_change_is_not_visible(site: SiteFolder) -> None:
    site.run_with('[output]\nlimit = 2\nmin_stay = "24h"', "2024-04-30 12:00")
    for name in ("a", "b", "c"):
        site.record(f"{name}.md", publishedDateTime="2024-05-01T08:00:00Z")
    site.run(NOON)
    assert len(site.titles()) == 3
    site.record("b.md", publishedDateTime="2024-05-01T08:00:00Z", updatedDateTime="2024-04-01T08:00:00Z")
    with site.untouched():
        site.run("2024-05-09 12:00")


def test_no_entry_leaves_a_feed_sooner_than_min_stay(site: SiteFolder) -> None:
    site.run_with('[output]\nlimit = 2\nmin_stay = "24h"', "2024-04-30 12:00")
    for number in range(12):
        site.record(f"{number:02}.md", publishedDateTime="2024-05-01T08:00:00Z")
    site.run(NOON)
    assert len(site.titles()) == 8
    site.record("new.md", publishedDateTime="2024-05-02T11:00:00Z")
    site.run("2024-05-02 12:00")
    assert len(site.titles()) == 2


# the output folder


def test_a_lost_output_folder_comes_back_with_identical_bytes(site: SiteFolder) -> None:
    publish(site, 6)
    before = site.documents()
    shutil.rmtree(site.output)
    site.run(DAY)
    assert site.documents() == before


def test_a_missing_file_is_written_again_and_no_other(site: SiteFolder) -> None:
    publish(site, 6)
    before = site.snapshot()
    (site.output / "ai" / "rss.xml").unlink()
    result = site.run(DAY)
    after = site.snapshot()
    assert result.files_written == 1
    assert {path: body for path, (body, _) in after.items()} == {path: body for path, (body, _) in before.items()}
    assert {path for path in after if after[path][1] != before[path][1]} == {"ai/rss.xml"}


def test_a_foreign_file_in_the_output_folder_is_never_changed(site: SiteFolder) -> None:
    publish(site, 4)
    foreign = {"humans.txt": b"1", "ai/favicon.ico": b"2", "other/rss.xml": b"3", ".htaccess": b"4"}
    for path, body in foreign.items():
        (site.output / path).parent.mkdir(exist_ok=True)
        (site.output / path).write_bytes(body)
    before = site.snapshot()
    site.configure('[output]\npages = false\nformats = ["atom"]')
    fill(site, 4, title="Edited")
    site.run(LATER)
    site.remove("000.md", "001.md", "002.md", "003.md")
    site.run(DAY)
    after = site.snapshot()
    assert {path: after.get(path) for path in foreign} == {path: before[path] for path in foreign}
    names = {path for path in after if not path.startswith(".aggregator/")} - foreign.keys()
    assert names == {"opml.xml", "assets/feed.css", "all/atom.xml", "ai/atom.xml", "power-apps/atom.xml"}


def test_files_for_search_engines_give_way_to_those_of_the_operator(site: SiteFolder) -> None:
    (site.output).mkdir()
    own = {"robots.txt": b"User-agent: *\nDisallow: /\n", "sitemap.xml": b"<mine/>"}
    for path, body in own.items():
        (site.output / path).write_bytes(body)
    fill(site, 4)
    result = site.run(NOON)
    assert (result.problems, result.unwritten) == ((), 0)
    assert site.run(LATER).files_written == 0
    site.run_with("[output]\npages = false", DAY)
    assert {path: (site.output / path).read_bytes() for path in own} == own


@pytest.mark.parametrize("fresh", [False, True], ids=["the same process", "another process"])
def test_after_a_crash_before_the_manifest_correct_files_are_not_written_again(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    publish(site, 4)
    fill(site, 5, title="Another title")
    replace_file = os.replace

    def crash(origin: Any, target: Any, **folders: int) -> None:
        if Path(target).name == "manifest.json":
            raise KeyboardInterrupt
        replace_file(origin, target, **folders)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            site.run(LATER)
    before = site.snapshot()
    assert site.titles() == ["Another title"] * 5
    if fresh:
        site.close()
    assert site.run(DAY).files_written == 0
    after = site.snapshot()
    assert {path for path in after if after[path] != before.get(path)} == {".aggregator/manifest.json"}
    with site.untouched():
        site.run(DAY)


def test_a_lost_manifest_comes_back_and_rewrites_nothing(site: SiteFolder) -> None:
    publish(site, 4)
    before = site.snapshot()
    (site.output / ".aggregator" / "manifest.json").unlink()
    assert site.run(DAY).files_written == 0
    assert site.snapshot().keys() == before.keys()
    assert {path for path, seen in site.snapshot().items() if seen != before[path]} <= {".aggregator/manifest.json"}


def test_an_output_folder_that_cannot_be_written_is_a_problem_until_it_can(site: SiteFolder) -> None:
    site.output.write_text("in the way")
    fill(site, 4)
    result = site.run(NOON)
    assert not result.published
    assert any(str(site.output) in problem for problem in result.problems)
    assert site.output.read_text() == "in the way"
    site.output.unlink()
    result = site.run(LATER)
    assert result.published
    assert result.problems == ()
    assert len(site.titles("ai")) == 4
    assert site.snapshot().keys() >= {"opml.xml", "index.html", "power-apps/rss.xml"}


def test_a_new_store_that_has_not_seen_its_records_replaces_no_feeds(
    site: SiteFolder, make_store_url: Callable[[str], str]
) -> None:
    publish(site, 4)
    site.configure(url=make_store_url(site.url.split(":")[0].split("+")[0]))
    shutil.move(site.incoming, site.root / "away")
    with site.untouched():
        site.run(LATER)
    shutil.move(site.root / "away", site.incoming)
    ids = site.ids()
    site.run(DAY)
    assert site.ids() == ids


# files that vanish


def test_a_missing_folder_keeps_everything(site: SiteFolder) -> None:
    publish(site, 4)
    shutil.move(site.incoming, site.root / "away")
    with site.untouched():
        result = site.run(LATER)
        assert any(str(site.incoming) in problem for problem in result.problems)
        shutil.move(site.root / "away", site.incoming)
        assert site.run("2024-05-03 12:00").problems == ()


def test_a_mass_removal_is_held_until_a_scan_after_removal_grace(site: SiteFolder) -> None:
    publish(site, 39)
    site.remove(*(f"{number:03}.md" for number in range(20)))
    for moment in ("2024-05-02 12:00", "2024-05-02 12:09"):
        with site.untouched():
            result = site.run(moment)
        assert any("--accept-removals" in problem for problem in result.problems)
        assert result.removed == 0
    result = site.run("2024-05-02 12:10")
    assert (result.removed, result.problems) == (20, ())
    assert len(site.titles()) == 19
    assert len(tombstones(site)) == 20


def test_a_mass_removal_that_is_undone_in_time_changes_nothing(site: SiteFolder) -> None:
    publish(site, 30)
    shutil.copytree(site.incoming, site.root / "copy")
    site.remove(*(f"{number:03}.md" for number in range(30)))
    with site.untouched():
        site.run("2024-05-02 12:00")
        shutil.copytree(site.root / "copy", site.incoming, dirs_exist_ok=True)
        site.run("2024-05-02 12:05")
    site.remove(*(f"{number:03}.md" for number in range(30)))
    assert site.run("2024-05-02 12:11").removed == 0


@pytest.mark.parametrize(("known", "gone"), [(19, 19), (40, 20)], ids=["under 20", "half"])
def test_a_small_removal_withdraws_at_once(site: SiteFolder, known: int, gone: int) -> None:
    publish(site, known)
    site.remove(*(f"{number:03}.md" for number in range(gone)))
    assert site.run(LATER).removed == gone
    assert len(site.titles()) == known - gone


def test_accepted_removals_are_not_held(site: SiteFolder) -> None:
    publish(site, 30)
    site.remove(*(f"{number:03}.md" for number in range(30)))
    result = site.run(LATER, accept_removals=True)
    assert (result.removed, result.problems) == (30, ())
    assert site.titles() == []


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_an_accepted_removal_of_the_whole_folder_is_not_held(site: SiteFolder, kind: str) -> None:
    publish(site, 4)
    shutil.rmtree(site.incoming)
    if kind == "a file":
        site.incoming.touch()
    assert site.run(LATER).removed == 0
    assert site.run("2024-05-01 13:01", accept_removals=True).removed == 4
    assert site.titles() == []


@pytest.mark.parametrize("accept", [False, True])
def test_nothing_of_a_folder_that_cannot_be_read_is_withdrawn(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, accept: bool
) -> None:
    publish(site, 4)
    with site.untouched(), monkeypatch.context() as patch:
        patch.setattr(folder, "ListedFolder", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
        for moment in (LATER, "2024-05-09 12:00"):
            result = site.run(moment, accept_removals=accept)
            assert (result.removed, result.complete) == (0, False)
            assert "the records folder cannot be read: Permission denied" in result.problems[0]
    assert site.run("2024-05-09 13:00").problems == ()


def unmount(site: SiteFolder) -> None:
    """What is left where a disk was: another folder, empty."""
    site.incoming.rename(site.root / "disk")
    site.incoming.mkdir()


@pytest.mark.parametrize("number", [1, 4, 40])
@pytest.mark.parametrize("process", ["the same", "a new one"])
def test_an_empty_folder_in_place_of_the_last_one_is_a_missing_folder(
    site: SiteFolder, number: int, process: str
) -> None:
    publish(site, number)
    unmount(site)
    why = f"{site.incoming}: the records folder is empty and is not the one of the last scan (is its disk mounted?"
    with site.untouched():
        for moment in (LATER, "2024-05-01 13:09"):
            if process == "a new one":
                site.close()
            assert site.run(moment, paths={"": ["000.md"]}).removed == 0
            result = site.run(moment)
            [problem] = result.problems
            assert problem.startswith(why)
            assert (result.removed, result.complete, result.unreadable) == (0, False, 1)
        with site.store.read() as connection:
            assert source_problems(connection) == [problem]
        site.incoming.rmdir()
        (site.root / "disk").rename(site.incoming)
        assert site.run("2024-05-02 12:00").problems == ()


def replace_folder(site: SiteFolder, *, without: str = "") -> None:
    """The same files in another folder, but one."""
    site.incoming.rename(site.root / "old")
    site.incoming.mkdir()
    for path in (site.root / "old").iterdir():
        if path.name != without:
            shutil.copy2(path, site.incoming / path.name)
    shutil.rmtree(site.root / "old")


def test_a_folder_that_came_back_without_a_file_is_the_one_to_compare_with(site: SiteFolder) -> None:
    publish(site, 5)
    unmount(site)
    assert site.run(LATER).complete is False
    shutil.rmtree(site.incoming)
    shutil.copytree(site.root / "disk", site.incoming)
    (site.incoming / "000.md").unlink()
    result = site.run("2024-05-01 13:02")
    assert (result.problems, result.complete, len(site.titles())) == ((), True, 4)


def test_a_folder_that_is_replaced_during_a_scan_decides_nothing(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(site, 5)
    real = SourceFolder.look_again

    def look_again(self: SourceFolder) -> None:
        replace_folder(site)
        real(self)

    (site.incoming / "000.md").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(SourceFolder, "look_again", look_again)
        result = site.run(LATER)
    assert (result.problems, result.removed) == ((), 0)
    result = site.run("2024-05-01 13:02")
    assert (result.problems, len(site.titles())) == ((), 4)


def test_a_folder_that_was_emptied_on_purpose_may_be_replaced(site: SiteFolder) -> None:
    publish(site, 2)
    for path in site.incoming.iterdir():
        path.unlink()
    assert site.run(LATER).removed == 2
    site.run("2024-05-01 13:01")
    replace_folder(site)
    result = site.run("2024-05-01 13:02")
    assert (result.problems, result.complete) == ((), True)


def test_an_empty_folder_in_place_of_the_last_one_is_held_for_removal_grace_and_stays_a_problem(
    site: SiteFolder,
) -> None:
    publish(site, 4)
    unmount(site)
    assert site.run(LATER).removed == 0
    result = site.run("2024-05-01 13:10")
    assert (result.removed, result.complete) == (4, False)
    [text] = site.pipeline.withdrawn
    assert text.startswith(f"{site.incoming}: the entries of 4 missing files are withdrawn, because removal_grace (10")
    result = site.run("2024-05-01 13:11")
    assert (result.removed, result.complete, site.pipeline.withdrawn) == (0, False, [])
    site.record("new.md", publishedDateTime=DATE)
    assert site.run("2024-05-01 13:12").problems == ()
    assert site.titles() == ["new.md"]


def test_a_record_in_the_empty_folder_does_not_withdraw_the_others(site: SiteFolder) -> None:
    publish(site, 4)
    unmount(site)
    site.record("new.md", publishedDateTime=DATE)
    for moment in (LATER, "2024-05-01 13:02"):
        result = site.run(moment)
        assert (result.removed, result.complete) == (0, False)
        assert "has none of the files of the last scan and is not the one" in result.problems[0]


def test_the_last_records_of_the_same_folder_are_withdrawn_at_once(site: SiteFolder) -> None:
    publish(site, 4)
    site.remove(*(f"{number:03}.md" for number in range(4)))
    result = site.run(LATER)
    assert (result.removed, result.problems) == (4, ())


@pytest.mark.parametrize("change", ["a copy", "a copy with a removal", "renamed"])
def test_another_folder_with_the_files_takes_the_place_of_the_last_one(site: SiteFolder, change: str) -> None:
    publish(site, 4)
    ids = site.ids()
    unmount(site)
    site.incoming.rmdir()
    shutil.copytree(site.root / "disk", site.incoming / ("posts" if change == "renamed" else ""))
    removed = 0
    if change == "a copy with a removal":
        site.remove("000.md")
        removed = 1
    result = site.run(LATER)
    assert (result.removed, result.problems) == (removed, ())
    assert site.ids().items() <= ids.items()
    site.incoming.rename(site.root / "copy")
    site.incoming.mkdir()
    assert site.run("2024-05-01 13:01").complete is False  # it is compared with the copy from now on


def test_an_accepted_removal_takes_the_empty_folder_for_the_right_one(site: SiteFolder) -> None:
    publish(site, 4)
    unmount(site)
    assert site.run(LATER).removed == 0
    result = site.run(LATER, accept_removals=True)
    assert (result.removed, result.problems, site.pipeline.withdrawn) == (4, (), [])
    assert site.run("2024-05-01 13:01").problems == ()


def test_a_store_that_does_not_know_the_last_folder_takes_the_one_that_is_there(site: SiteFolder) -> None:
    publish(site, 4)
    with site.store.write() as connection:
        connection.execute(text("DELETE FROM meta WHERE key LIKE 'root:%'"))
    unmount(site)
    assert site.run(LATER).removed == 4


def test_a_whole_folder_that_is_renamed_is_no_mass_removal(site: SiteFolder) -> None:
    publish(site, 30)
    names = sorted(site.incoming.iterdir())
    (site.incoming / "2024").mkdir()
    for name in names:
        name.rename(site.incoming / "2024" / name.name)
    with site.untouched():
        result = site.run(LATER)
    assert (result.problems, result.removed) == ((), 0)


# release


def test_an_embargoed_entry_is_released_with_its_due_time_although_its_file_is_edited_then(
    site: SiteFolder,
) -> None:
    """Its due time, not that of the cycle: what came out with the cycle's time stands above it."""
    due = "2024-05-01T14:00:00Z"
    site.record("old.md", publishedDateTime="2024-04-01T08:00:00Z")
    site.record("embargoed.md", publishedDateTime=due, secured=1)
    site.run(NOON)
    site.record("embargoed.md", publishedDateTime=due, secured=2)
    site.record("new.md", publishedDateTime="2024-05-01T13:30:00Z")
    site.run("2024-05-01 16:00")
    assert site.titles() == ["new.md", "embargoed.md", "old.md"]


def test_an_embargoed_entry_that_is_renamed_when_due_keeps_its_due_time(site: SiteFolder) -> None:
    due = "2024-05-01T14:00:00Z"
    site.record("embargoed.md", title="Embargoed", publishedDateTime=due)
    site.run(NOON)
    site.record("first.md", publishedDateTime="2024-05-01T11:00:00Z")
    site.run("2024-05-01 13:59")
    site.remove("embargoed.md")
    site.record("moved.md", title="Embargoed", publishedDateTime=due)
    site.record("new.md", publishedDateTime="2024-05-01T13:30:00Z")
    site.run("2024-05-01 16:00")
    assert site.titles() == ["new.md", "Embargoed", "first.md"]


@pytest.mark.parametrize("most", [1000, 2])
def test_an_entry_is_released_by_what_its_file_says_when_it_is_due(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """No scan saw that three of the files changed."""
    monkeypatch.setattr(releases, "MAX_DUE_PATHS", most)
    due = "2024-05-01T13:00:00Z"
    for name in ("as-it-was", "hidden", "postponed", "gone"):
        site.record(f"{name}.md", publishedDateTime=due)
    site.run(NOON)
    site.record("hidden.md", publishedDateTime=due, published=False)
    site.record("postponed.md", publishedDateTime="2024-06-01T13:00:00Z")
    site.remove("gone.md")
    assert site.run(LATER, paths={}).problems == ()
    assert site.titles() == ["as-it-was.md"]
    assert site.run("2024-05-01 13:01", paths={}).scanned == 0


def test_a_record_that_expires_before_its_date_is_hidden_then(site: SiteFolder) -> None:
    site.configure(EXPIRING)
    site.record("a.md", publishedDateTime="2024-05-10T12:00:00Z", expires="2024-05-02T12:00:00Z")
    site.record("b.md", publishedDateTime="2024-05-10T12:00:00Z", expires="2024-05-11T12:00:00Z")
    site.run(NOON)
    assert states(site) == {"a.md": "scheduled", "b.md": "scheduled"}
    site.run(DAY)
    assert states(site) == {"a.md": "hidden", "b.md": "scheduled"}
    site.run("2024-05-10 12:00")
    assert states(site) == {"a.md": "hidden", "b.md": "published"}
    site.record("a.md", publishedDateTime="2024-05-10T12:00:00Z", expires="2024-05-12T12:00:00Z")
    site.run("2024-05-10 12:01")
    assert states(site) == {"a.md": "published", "b.md": "published"}


def test_what_expired_by_a_wrong_clock_is_released_again(site: SiteFolder) -> None:
    site.configure(EXPIRING)
    for name in ("a", "b"):
        site.record(f"{name}.md", publishedDateTime=DATE, expires="2024-08-01T12:00:00Z")
    site.record("c.md", publishedDateTime="2024-07-01T12:00:00Z", expires="2024-08-01T12:00:00Z")
    site.run(NOON)
    before = site.ids()
    site.run("2024-08-30 12:00")
    assert (site.titles(), set(states(site).values())) == ([], {"withdrawn", "hidden"})
    site.record("b.md", publishedDateTime=DATE, expires="2024-08-01T12:00:00Z", published=False)
    site.run("2024-08-30 12:01")
    site.run(LATER)
    assert states(site) == {"a.md": "published", "b.md": "withdrawn", "c.md": "scheduled"}
    assert site.ids() == {"a.md": before["a.md"]}
    site.run("2024-08-01 12:00")
    assert states(site) == {"a.md": "withdrawn", "b.md": "withdrawn", "c.md": "hidden"}


def test_an_entry_is_released_when_it_is_due_although_its_folder_cannot_be_read(site: SiteFolder) -> None:
    site.record("a.md", publishedDateTime="2024-05-01T13:00:00Z")
    site.run(NOON)
    site.rename("", "../elsewhere")
    assert not site.run(LATER, paths={}).complete
    assert site.titles() == ["a.md"]


# topics


def test_a_feed_is_published_with_min_entries_and_hidden_records_do_not_count(site: SiteFolder) -> None:
    site.configure("[topics]\nmin_entries = 2")
    site.record("a.md", topics=["AI"])
    site.record("b.md", topics=["AI"], published=False)
    site.record("c.md", topics=["AI"], publishedDateTime="2024-06-01T00:00:00Z")
    site.run(NOON)
    assert not (site.output / "ai").exists()
    site.record("b.md", topics=["AI"], published=True)
    site.run(LATER)
    assert sorted(site.titles("ai")) == ["a.md", "b.md"]
    site.remove("a.md", "b.md")
    site.run(DAY)
    assert site.titles("ai") == []


def test_a_topic_keeps_its_slug_and_a_clash_gets_four_hex_digits(site: SiteFolder) -> None:
    site.record("a.md", topics=["C#"])
    site.run(NOON)
    site.record("b.md", topics=["C", "status"])
    site.run(LATER)
    site.close()
    site.record("c.md", topics=["日本"])
    site.remove("a.md")
    site.run(DAY)
    folders = {path.name for path in site.output.iterdir() if path.is_dir()} - {".aggregator", "assets"}
    assert folders == {"all", "c", "c-2e7d", "status-073c", "t-cf2abf0c"}
    assert [site.feed(slug)["title"] for slug in ("c", "c-2e7d")] == ["C# – Feeds", "C – Feeds"]


def test_new_slugs_of_a_cycle_are_given_in_order_of_topics(site: SiteFolder) -> None:
    site.record("a.md", topics=["C#", "C"])
    site.run(NOON)
    assert [site.feed(slug)["title"] for slug in ("c", "c-951a")] == ["C – Feeds", "C# – Feeds"]


def test_a_topics_title_is_its_spelling_in_its_first_released_entry(site: SiteFolder) -> None:
    site.record("hidden.md", topics=["pOWER aPPS"], published=False)
    site.record("a/z.md", topics=["power apps"], publishedDateTime="2024-04-01T08:00:00Z")
    site.record("b.md", topics=["Power  Apps"], publishedDateTime="2024-01-01T08:00:00Z")
    site.run(NOON)
    assert site.feed("power-apps")["title"] == "power apps – Feeds"
    site.remove("a/z.md")
    site.record("0.md", topics=["POWER APPS"])
    site.run(LATER)
    assert site.feed("power-apps")["title"] == "power apps – Feeds"
    assert len(site.titles("power-apps")) == 2


def test_in_a_first_import_a_topics_title_counts_records_without_a_date_by_their_path(site: SiteFolder) -> None:
    later = {"publishedDateTime": "2024-06-01T08:00:00Z"}
    site.record("0.md", topics=["ai STUFF"], **later)
    site.record("1.md", topics=["aI stuff"], published=False)
    site.record("a.md", topics=["AI Stuff", "Maps"])
    site.record("b.md", topics=["ai stuff", "maps", "Tea"], publishedDateTime="2024-04-01T08:00:00Z")
    site.record("c.md", topics=["TEA", "Rum"])
    site.run(NOON)
    titles = [site.feed(slug)["title"] for slug in ("ai-stuff", "maps", "tea", "rum")]
    assert titles == [f"{name} – Feeds" for name in ("AI Stuff", "Maps", "Tea", "Rum")]


# stops and crashes


class StopAt(threading.Event):
    """Is set when it is asked for the nth time."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def make_changes(site: SiteFolder) -> None:
    """A first cycle, then one change of each kind."""
    fill(site, 12)
    site.record("flag.md", topics=["AI"], publishedDateTime=DATE)
    site.record("holder.md", id="story-7", topics=["C#"])
    site.record("state.md", title="Duplicate", id="story-7", topics=["C#"])
    site.record("due.md", publishedDateTime="2024-05-01T12:30:00Z", topics=["AI"])
    site.run(NOON)
    site.record("000.md", title="Edited", topics=["New topic"], publishedDateTime=DATE)
    site.record("flag.md", topics=["AI"], publishedDateTime=DATE, published=False)
    site.record("new.md", topics=["AI", "Robots"], publishedDateTime=DATE)
    (site.incoming / "001.md").rename(site.incoming / "zzz.md")
    site.record("yyy.md", **json_fields(site.incoming / "002.md"), secured="new")
    site.remove("002.md", "003.md", "holder.md")
    site.write("004.md", "---\ntitle: x\npublishedDateTime: soon\n---\n")


def json_fields(path: Path) -> dict[str, Any]:
    """The fields of a record that `record` wrote."""
    lines = path.read_text().split("\n")[1:-2]
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in lines)}


@pytest.fixture
def undisturbed(make_site: Callable[..., SiteFolder], tmp_path: Path) -> dict[str, bytes]:
    """What `make_changes` leads to without a stop."""
    site = make_site(f"sqlite:///{tmp_path / 'undisturbed.db'}")
    make_changes(site)
    site.run(LATER)
    return site.documents()


def test_a_stop_at_any_point_leaves_a_store_from_which_the_next_cycle_completes(
    site: SiteFolder, undisturbed: dict[str, bytes]
) -> None:
    make_changes(site)
    stops = 0
    while True:
        site.pipeline._stop = StopAt(stops)
        try:
            site.run(LATER)
            break
        except StoppedError:
            stops += 1
    assert stops > 5
    assert site.documents() == undisturbed


@pytest.mark.parametrize("stage", ["files", "feeds"])
def test_a_stop_from_the_progress_callback_leaves_a_usable_store(
    make_site: Callable[..., SiteFolder], store_url: str, tmp_path: Path, stage: str
) -> None:
    site, other = make_site(store_url), make_site(f"sqlite:///{tmp_path / 'other.db'}")
    for one in (site, other):
        fill(one, 300)
    other.run(NOON)
    site.progress = lambda where, *_: site.stop.set() if where == stage else None
    with pytest.raises(StoppedError):
        site.run(NOON)
    assert site.documents() == {}
    site.stop.clear()
    site.progress = lambda *_: None
    site.run(NOON)
    assert site.documents() == other.documents()


class PulledPlugError(Exception):
    """Nothing of the program catches it."""


def completes(site: SiteFolder, nth: int) -> bool:
    """Runs a cycle and ends the program after `nth` transactions; whether the cycle was complete by then."""
    write, count = Store.write, [0]

    def counted(store: Store) -> Any:
        count[0] += 1
        if count[0] > nth:
            raise PulledPlugError
        return write(store)

    with pytest.MonkeyPatch.context() as patch, suppress(PulledPlugError):
        patch.setattr(Store, "write", counted)
        site.run(LATER)
        return True
    return False


def test_the_next_cycle_completes_after_a_crash_between_any_two_transactions(
    site: SiteFolder, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.store.session.JOIN_S", -1.0)  # each step is a transaction, as after a long one
    make_changes(site)
    crashes = 0
    while not completes(site, crashes):
        crashes += 1
        site.close() if crashes % 3 == 0 else None
    assert crashes > 4
    assert site.documents() == undisturbed


def test_the_next_cycle_completes_after_a_crash_before_each_transaction_in_turn(
    make_site: Callable[..., SiteFolder],
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aggregator.store.session.JOIN_S", -1.0)  # each step is a transaction, as after a long one
    origin = make_site(f"sqlite:///{tmp_path / 'origin.db'}")
    make_changes(origin)
    origin.close()
    unhealed = []
    for nth in range(100):
        site = make_site(f"sqlite:///{tmp_path / f'{nth}.db'}")
        shutil.copy(tmp_path / "origin.db", tmp_path / f"{nth}.db")
        for name in ("incoming", "output"):
            shutil.copytree(origin.root / name, site.root / name, dirs_exist_ok=True)
        if completes(site, nth):
            break
        site.run(LATER)
        if site.documents() != undisturbed:
            unhealed.append(nth)
        site.close()
    assert nth > 4
    assert unhealed == []


# the store


def test_a_second_store_cannot_take_the_lease(site: SiteFolder) -> None:
    site.run(NOON)
    other = open_store(site.url, create=True)
    with pytest.raises(StoreHeldError, match=f"process {os.getpid()} "):
        other.lease.acquire(0)
    site.close()
    other.lease.acquire(0)
    other.lease.release()
    other.close()


def test_the_lease_of_a_process_that_has_ended_is_taken_at_once(store_url: str) -> None:
    script = (
        "import sys, time; from aggregator.store.database import open_store; store = open_store(sys.argv[1], create=True);"
        " store.lease.acquire(0); print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, store_url], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        store = open_store(store_url, create=True)
        with pytest.raises(StoreHeldError, match=f"process {holder.pid} "):
            store.lease.acquire(0)
        holder.kill()
        holder.wait()
    store.lease.acquire(0)
    with store.write():
        pass
    store.lease.release()
    store.close()


@pytest.mark.parametrize(
    ("ends_in_s", "valid"), [(-1, False), (8, True), (12, False), (10 * 86_400, False), (10**11, False)]
)
def test_the_lease_of_another_machine_is_taken_when_it_has_ended_or_is_invalid(
    store_url: str, ends_in_s: int, valid: bool
) -> None:
    store = open_store(store_url, create=True)
    until_ms = int(time.time() + ends_in_s) * 1000
    with store.engine.begin() as connection:
        connection.execute(lease.insert().values(id=1, token="theirs", holder=ANOTHER_MACHINE, until_ms=until_ms))
    with store.read() as connection:
        assert read_holder(connection) == ("process 1 on elsewhere (aggregator run)" if valid else None)
    if valid:
        with pytest.raises(StoreHeldError, match="process 1 on elsewhere"):
            store.lease.acquire(0)
    else:
        store.lease.acquire(0)
        store.lease.release()
    store.close()


def test_a_transaction_after_a_takeover_is_refused_and_writes_nothing(site: SiteFolder) -> None:
    publish(site)
    with site.store.engine.begin() as connection:
        connection.execute(update(lease).values(token="theirs", holder=ANOTHER_MACHINE))
    site.record("new.md")
    with site.untouched(), pytest.raises(LeaseLostError):
        site.run(LATER)
    with site.store.engine.begin() as connection:
        assert connection.execute(lease.select()).one().token == "theirs"
        connection.execute(update(lease).values(until_ms=0))


def test_a_publish_that_outlives_its_lease_puts_nothing_in_place(site: SiteFolder) -> None:
    """As that of a process that was frozen while it rendered, and whose documents are old by now."""
    publish(site)
    site.record("new.md")

    def take_over(stage: str, _done: int, _total: int | None) -> None:
        if stage == "feeds":
            with site.store.engine.begin() as connection:
                connection.execute(update(lease).values(token="theirs", holder=ANOTHER_MACHINE))

    site.progress = take_over
    with site.untouched(), pytest.raises(LeaseLostError):
        site.run(LATER)
    site.progress = lambda *_: None
    assert not site.store.lease.is_held
    with site.store.engine.begin() as connection:
        connection.execute(update(lease).values(until_ms=0))
    site.store.lease.acquire(0)
    site.run(LATER)
    assert "new.md" in site.titles()


def test_a_newer_program_does_not_migrate_a_store_that_an_older_one_uses(site: SiteFolder) -> None:
    site.run(NOON)
    with site.store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    with pytest.raises(StoreHeldError, match=f"process {os.getpid()} on .* stop it; then the store is upgraded"):
        open_store(site.url, create=True)


@pytest.mark.parametrize("create", [True, False])
def test_a_store_with_a_newer_schema_is_refused(store_url: str, create: bool) -> None:
    store = open_store(store_url, create=True)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreNewerError, match="9999"):
        open_store(store_url, create=create)


# `describe_schema` compares these indexes
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_migrations_make_the_tables_of_a_new_store(store_url: str) -> None:
    store = open_store(store_url, create=True)
    with store.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        made = describe_schema(connection)
        for name in ("feed_entries", "published_feeds", "published_entries", "rejected_records", "cycles"):
            connection.execute(text(f"DROP VIEW {name}"))
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        migrate(connection, "head")
        assert describe_schema(connection) == made
    store.close()


def describe_schema(connection: Connection) -> set[tuple[str, ...]]:
    """What the database says of its tables, columns and indexes; the order of columns is that of their history."""
    if connection.dialect.name == "postgresql":
        columns = text(
            "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default"
            " FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        indexes = text("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        return {tuple(map(str, row)) for asked in (columns, indexes) for row in connection.execute(asked)}
    rows = connection.execute(text("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {(table, *sorted(re.split(r"[,\s()]+", sql.replace('"', "")))) for table, sql in rows}
