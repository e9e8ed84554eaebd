"""Who a file is: records that move and change, ids that go from one file to another. No post has two ids, no id two
posts."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import SiteFolder, at, minted, record_text
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from aggregator import ingest
from aggregator.errors import StoppedError
from aggregator.sketch import (
    LINK_BYTES,
    SIZE,
    Candidate,
    Sketch,
    likeness,
    link_part,
    make_sketch,
    pair_alike,
    read_sketch,
    shared_lines,
)
from aggregator.store.events import RENAMED
from aggregator.store.schema import entry, event, file

pytestmark = pytest.mark.both_databases

SEED = int(os.environ.get("RENAMES_SEED", "1"))  # another number, other histories by the same rules
NOON, LATER, DAY = "2024-05-01 12:00", "2024-05-01 13:00", "2024-05-02 12:00"
DATE = "2024-01-01T08:00:00Z"
BODY = [f"This is line {number} of what the author had to say about it." for number in range(20)]


def text(title: str, lines: list[str], **fields: object) -> str:
    return record_text({"title": title, "publishedDateTime": DATE, **fields}, "\n\n".join(lines) + "\n")


def edited(lines: list[str], count: int) -> list[str]:
    """The lines with so many of them said otherwise."""
    return [f"Edited, and now {line}" if number < count else line for number, line in enumerate(lines)]


# sketches


def sketch_of(lines: Iterable[str]) -> Sketch:
    return read_sketch(make_sketch(None, "", "", "\n".join(lines)))


@given(st.sets(st.integers(0, 999)), st.sets(st.integers(0, 999)))
def test_sketches_of_few_lines_compare_exactly(mine: set[int], theirs: set[int]) -> None:
    mine, theirs = set(sorted(mine)[:SIZE]), set(sorted(theirs)[:SIZE])
    one, other = (sketch_of(f"A line with the number {number}" for number in numbers) for numbers in (mine, theirs))
    share = len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0
    if max(len(mine), len(theirs)) < SIZE:
        assert likeness(one, other) == share
    assert likeness(one, other) == likeness(other, one)
    assert likeness(one, one) == bool(mine)


def test_sketches_of_many_lines_compare_within_the_error_of_their_size() -> None:
    errors = []
    for shared in range(0, 1001, 50):
        mine = [f"Line {number} of {shared} as it was before" for number in range(1000)]
        theirs = mine[:shared] + [f"Line {number} of {shared} as it is now" for number in range(shared, 1000)]
        errors.append(abs(likeness(sketch_of(mine), sketch_of(theirs)) - shared / (2000 - shared)))
    assert max(errors) < 0.3
    assert sum(errors) / len(errors) < 0.08


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_has_a_sketch_of_bounded_size_that_equals_itself(title: str, body: str) -> None:
    stored = make_sketch("https://example.org/ä", title, "", body)
    assert len(stored) <= LINK_BYTES + 4 * SIZE
    assert link_part(stored)
    assert likeness(read_sketch(stored), read_sketch(make_sketch(None, title, "", f"  {body}  "))) in {0.0, 1.0}


def test_white_space_around_lines_and_short_lines_do_not_count() -> None:
    assert make_sketch(None, "Short", "", "") == make_sketch(None, "Other", "", "\n* * *\n")
    line = "A line that is long enough"
    assert make_sketch(None, line, "", "") == make_sketch(None, "", "", f"   {line}\t\nshort\n")
    assert link_part(make_sketch(None, line, "", "")) == b""
    assert read_sketch(None) == read_sketch(b"") == Sketch(frozenset(), 2**32)


def candidates(start: int, *files: tuple[str, str, list[str]]) -> dict[int, Candidate]:
    return {
        key: Candidate(path, title, None, sketch_of(lines)) for key, (path, title, lines) in enumerate(files, start)
    }


def test_pairs_are_made_in_order_of_likeness() -> None:
    gone = candidates(0, ("a", "A", BODY), ("b", "B", edited(BODY, 9)))
    new = candidates(10, ("x", "X", edited(BODY, 8)), ("y", "Y", edited(BODY, 1)))
    assert pair_alike(gone, new, {}) == [(0, 11), (1, 10)]


def test_two_records_pair_only_if_each_is_clearly_the_best_for_the_other() -> None:
    gone = candidates(0, ("a", "A", BODY))
    twins = (("x", "X", edited(BODY, 2)), ("y", "Y", edited(BODY, 2)))
    assert pair_alike(gone, candidates(10, *twins), {}) == []
    assert pair_alike(candidates(0, *twins), candidates(10, ("z", "Z", BODY)), {}) == []
    titled = (("x", "A", edited(BODY, 2)), ("y", "Y", edited(BODY, 2)))
    assert pair_alike(gone, candidates(10, *titled), {}) == [(0, 10)]


def test_lines_that_other_records_share_do_not_count() -> None:
    gone, new = candidates(0, ("a", "A", BODY)), candidates(10, ("x", "X", edited(BODY, 5)))
    lines = shared_lines((file.sketch for file in gone.values()), (file.sketch for file in new.values()))
    assert len(lines) == 15
    assert pair_alike(gone, new, dict.fromkeys(lines, 1)) == [(0, 10)]
    assert pair_alike(gone, new, dict.fromkeys(lines, 2)) == []


def test_a_large_move_with_edits_pairs_in_seconds() -> None:
    def posts(start: int, changed: int) -> dict[int, Candidate]:
        said = ([f"{number}: {line}" for line in BODY] + BODY for number in range(3000))
        return candidates(start, *((f"{start}/{n}", "", edited(lines, changed)) for n, lines in enumerate(said)))

    pairs = pair_alike(posts(0, 0), posts(5000, 3), {})
    assert pairs
    assert all(new - old == 5000 for old, new in pairs)
    assert len(pairs) == 3000


# renames


@pytest.fixture
def moved(site: SiteFolder) -> Callable[..., dict[str, str]]:
    """The ids by titles after one record went and another came in one cycle."""

    def move(old: tuple[str, str], new: tuple[str, str], *others: str) -> dict[str, str]:
        site.write(*old)
        for number, other in enumerate(others):
            site.write(f"other/{number}.md", other)
        site.run(NOON)
        site.remove(old[0])
        site.write(*new)
        site.run(LATER)
        return site.ids()

    return move


def test_a_rename_with_an_edit_keeps_the_id_and_moves_updated(
    site: SiteFolder, moved: Callable[..., dict[str, str]]
) -> None:
    old, new = "2021-01-13-a.md", "2021-01-13-a-at-v7.md"
    ids = moved((old, text("A post", BODY)), (new, text("A post at version 7", edited(BODY, 1))))
    assert ids == {"A post at version 7": minted(f"path:/{old}")}
    assert site.feed()["items"][0]["date_modified"] == "2024-05-01T13:00:00+00:00"
    assert b"deleted-entry" not in (site.output / "all/atom.xml").read_bytes()


def test_a_record_that_is_renamed_and_hidden_at_once_joins_no_feed_before_it_leaves(site: SiteFolder) -> None:
    site.write("map.md", text("A map", [], topics=["Maps"]))
    site.write("a.md", text("A post", BODY, topics=["AI"]))
    site.run(NOON)
    maps = (site.output / "maps/atom.xml").read_bytes()
    site.remove("a.md")
    site.write("b.md", text("A post", edited(BODY, 1), topics=["Maps"], published=False))
    result = site.run(LATER)
    assert (result.new, result.removed, [*site.ids()]) == (0, 1, ["A map"])
    assert b"deleted-entry" in (site.output / "all/atom.xml").read_bytes()
    assert (site.output / "maps/atom.xml").read_bytes() == maps, "it never was in this feed"


@pytest.mark.parametrize(
    ("title", "changed", "kept"),
    [("Other", 8, True), ("Other", 12, False), ("Same", 14, True), ("Same", 16, False)],
)
def test_most_of_the_lines_or_the_title_and_some_make_one_record(
    moved: Callable[..., dict[str, str]], title: str, changed: int, kept: bool
) -> None:
    """Of 20 lines 8 are 12 in common of 28 (43 %), 12 are 25 %, 14 are 18 %, 16 are 11 %."""
    ids = moved(("a.md", text("Same", BODY)), ("b.md", text(title, edited(BODY, changed))))
    assert ids == {title: minted("path:/a.md" if kept else "path:/b.md")}


def test_a_folder_that_moves_with_its_front_matter_turned_into_toml_keeps_its_ids(site: SiteFolder) -> None:
    for number in range(30):
        site.write(f"old/{number:02}.md", text(f"Post {number}", [f"{number}: {line}" for line in BODY]))
    site.run(NOON)
    before = site.ids()
    for number in range(30):
        site.remove(f"old/{number:02}.md")
        body = "\n\n".join(f"{number}: {line}" for line in BODY)
        # a date without a zone, and a topic that came with the conversion: the content is no longer the same
        head = f'title = "Post {number}"\npublishedDateTime = 2024-01-01\ntopics = ["New"]\n'
        site.write(f"new/section/{number:02}.md", f"+++\n{head}+++\n\n{body}\n")
    result = site.run(LATER)
    assert (site.ids(), result.new, result.removed, result.problems) == (before, 0, 0, ())


def test_records_that_share_only_a_template_never_pair(moved: Callable[..., dict[str, str]]) -> None:
    weeks = [text(f"Week {week}", [*BODY, f"What happened in week {week} and in no other"]) for week in range(4)]
    ids = moved(("a.md", weeks[0]), ("b.md", weeks[1]), *weeks[2:])
    assert ids["Week 1"] == minted("path:/b.md")


def test_a_rename_with_an_edit_in_two_cycles_has_removal_grace(site: SiteFolder) -> None:
    site.write("a.md", text("In time", BODY))
    site.write("k.md", text("Too late", [f"Otherwise: {line}" for line in BODY]))
    site.run(NOON)
    site.remove("a.md", "k.md")
    site.run(LATER)
    site.write("b.md", text("In time", edited(BODY, 2)))
    site.run("2024-05-01 13:10")
    site.write("l.md", text("Too late", edited([f"Otherwise: {line}" for line in BODY], 2)))
    site.run("2024-05-01 13:11")
    assert site.ids() == {"In time": minted("path:/a.md"), "Too late": minted("path:/l.md")}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["its own link", "a link of others too"])
def test_a_link_pairs_two_files_only_if_no_other_record_has_it(
    moved: Callable[..., dict[str, str]], elsewhere: bool
) -> None:
    link = "https://example.org/story"
    others = [text("Third", ["A third record that has nothing in common"], webUrl=link)] if elsewhere else []
    old, new = text("Before", BODY, webUrl=link), text("After", ["Everything was written anew"], webUrl=link)
    assert moved(("a.md", old), ("b.md", new), *others)["After"] == minted(f"path:/{'b' if elsewhere else 'a'}.md")


def test_files_with_different_explicit_ids_never_pair(moved: Callable[..., dict[str, str]]) -> None:
    ids = moved(("a.md", text("Post", BODY, id="one")), ("b.md", text("Post 2", edited(BODY, 1), id="two")))
    assert ids == {"Post 2": minted("id:two")}


def test_a_store_without_sketches_pairs_nothing_by_text_and_gets_them_with_the_next_edit(site: SiteFolder) -> None:
    site.write("a.md", text("A post", BODY))
    site.run(NOON)
    with site.store.write() as connection:
        connection.exec_driver_sql("UPDATE entry SET sketch = NULL")
    site.write("a.md", text("A post", edited(BODY, 1)))
    site.run(LATER)
    site.remove("a.md")
    site.write("b.md", text("A post", edited(BODY, 3)))
    site.run(DAY)
    assert site.ids() == {"A post": minted("path:/a.md")}


# explicit ids


def test_a_file_keeps_its_id_while_an_editor_replaces_it(site: SiteFolder) -> None:
    victim = text("Victim", BODY, id="story-7")
    site.write("victim.md", victim)
    site.run(NOON)
    site.write("thief.md", text("Thief", ["Nothing in common with the other"], id="story-7"))
    assert site.run(LATER).rejected == 1
    site.remove("victim.md")
    site.run("2024-05-01 13:01")
    site.write("victim.md", victim)
    assert site.run("2024-05-01 13:02").rejected == 1
    assert site.ids() == {"Victim": minted("id:story-7")}


def test_an_id_goes_to_another_source_only_after_removal_grace(
    make_site: Callable[..., SiteFolder], store_url: str, tmp_path: Path
) -> None:
    sources = '[[records]]\npath = "../incoming"\n[[records]]\nname = "other"\npath = "../other"\n'
    site = make_site(store_url, sources)
    other = site.root / "other"
    other.mkdir()
    site.write("victim.md", text("Victim", BODY, id="story-7"))
    site.record("there.md")
    site.run(NOON)
    site.remove("victim.md")
    # it comes in the very cycle in which the other went, with the same bytes but for the title
    (other / "thief.md").write_text(text("Thief", BODY, id="story-7"))
    assert site.run(LATER).rejected == 1
    assert "Thief" not in site.titles()
    assert site.run("2024-05-01 13:10").rejected == 0
    assert site.ids()["Thief"] == minted("id:story-7")
    # and it stays there when the first comes back
    site.write("victim.md", text("Victim", BODY, id="story-7"))
    assert site.run(DAY).rejected == 1
    assert site.ids()["Thief"] == minted("id:story-7")


@pytest.mark.parametrize("gap", ["0 min", "5 min"])
def test_a_renamed_file_keeps_its_explicit_id_however_it_was_edited(site: SiteFolder, gap: str) -> None:
    site.write("a.md", text("Before", BODY, id="story-7"))
    site.run(NOON)
    site.remove("a.md")
    if gap != "0 min":
        site.run(LATER)
    site.write("z.md", text("After", ["Everything was written anew"], id="story-7"))
    assert site.run("2024-05-01 13:05").rejected == 0
    assert site.ids() == {"After": minted("id:story-7")}


@pytest.mark.parametrize("gap", ["0 min", "5 min", "40 days"])
@pytest.mark.parametrize("stated", ["tag:e,2020:z", "story-7"], ids=["an IRI", "a text"])
def test_a_file_that_states_the_id_that_a_missing_file_stated_once_continues_its_entry(
    site: SiteFolder, stated: str, gap: str
) -> None:
    site.write("a.md", text("Before", BODY, id=stated))
    site.run(NOON)
    before = site.ids()["Before"]
    site.write("a.md", text("Before", BODY))
    site.run("2024-05-01 12:01")
    site.remove("a.md")
    if gap != "0 min":
        site.run(LATER)
    site.write("z.md", text("After", ["Everything was written anew"], id=stated))
    assert site.run("2024-06-10 13:00" if gap == "40 days" else "2024-05-01 13:05").rejected == 0
    assert site.ids() == {"After": before}


def test_a_renamed_file_that_states_the_id_that_was_minted_for_it_keeps_its_entry(site: SiteFolder) -> None:
    site.write("a.md", text("A post", BODY))
    site.run(NOON)
    site.remove("a.md")
    site.write("b.md", text("A post", BODY, id=minted("path:/a.md")))
    result = site.run(LATER)
    assert (result.rejected, result.removed) == (0, 0)
    assert site.ids() == {"A post": minted("path:/a.md")}


@pytest.mark.parametrize("stated", ["tag:e,2020:z", "story-7"], ids=["an IRI", "a text"])
def test_an_id_stays_with_a_file_that_stated_it_once_while_that_is_there(site: SiteFolder, stated: str) -> None:
    site.write("a.md", text("First", BODY, id=stated))
    site.run(NOON)
    before = site.ids()
    site.write("a.md", text("First", BODY))
    site.write("z.md", text("Second", ["Nothing in common with the other"], id=stated))
    for now in (LATER, DAY):
        assert site.run(now).rejected == 1
        assert site.ids() == before
    site.remove("a.md")
    assert site.run("2024-05-02 12:05").rejected == 1
    assert site.run("2024-05-02 12:16").rejected == 0
    assert site.ids() == {"Second": before["First"]}


@pytest.mark.parametrize("fields", [{}, {"id": True}], ids=["minted", "explicit"])
def test_a_rename_that_a_stopped_cycle_read_in_part_is_one_however_late_the_next_cycle_is(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, fields: dict[str, bool]
) -> None:
    monkeypatch.setattr(ingest, "FILE_BATCH", 1)
    for name in ("x", "y", "z"):
        more = {"id": name} if fields else {}
        site.write(f"{name}.md", text(f"Post {name}", [f"{name}: {line}" for line in BODY], **more))
    site.run(NOON)
    before = site.documents()
    for name in ("x", "y", "z"):
        (site.incoming / f"{name}.md").rename(site.incoming / f"new-{name}.md")
    new_files = select(file.c.path).where(file.c.path.like("new-%"))

    def stop_after_the_first() -> None:
        if site.rows(new_files):
            raise StoppedError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(site.pipeline, "check_stop", stop_after_the_first)
        with pytest.raises(StoppedError):
            site.run(LATER)
    assert site.rows(select(file.c.path).where(file.c.missing_since.is_not(None))) == []
    result = site.run(DAY)
    assert (result.rejected, result.removed) == (0, 0)
    assert site.documents() == before


def test_an_inherited_id_is_not_inherited_by_a_third_file(site: SiteFolder) -> None:
    """`own.md` has an id of its own, states the id of a file that is long gone, and keeps both."""
    site.write("gone.md", text("Gone", BODY, id="story-7"))
    site.record("own.md", title="Own")
    site.run(NOON)
    site.remove("gone.md")
    site.run(LATER)
    site.record("own.md", title="Own", id="story-7")
    site.run("2024-05-01 13:10")
    site.record("third.md", title="Third", id="story-7")
    assert site.run(DAY).rejected == 1
    assert site.ids() == {"Own": minted("path:/own.md")}


def test_files_that_exchange_their_explicit_ids_exchange_their_entries(site: SiteFolder) -> None:
    for name in "abc":
        site.write(f"{name}.md", text(f"Post {name}", [f"{name}: {line}" for line in BODY], id=name))
    site.run(NOON)
    before = site.ids()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        site.write(f"{other}.md", text(f"Post {name}", [f"{name}: {line}" for line in BODY], id=name))
    result = site.run(LATER)
    assert (result.rejected, result.removed, site.ids()) == (0, 0, before)


def test_renumbered_files_keep_their_explicit_ids(site: SiteFolder) -> None:
    for number in (1, 2, 3):
        site.write(f"{number}.md", text(f"Post {number}", [f"{number}: {line}" for line in BODY], id=f"p{number}"))
    site.run(NOON)
    before = site.ids()
    for number in (3, 2, 1):
        (site.incoming / f"{number}.md").rename(site.incoming / f"{number + 1}.md")
    result = site.run(LATER)
    assert (result.rejected, result.removed, site.ids()) == (0, 0, before)


def uids(site: SiteFolder) -> set[tuple[str, str]]:
    """The id and the state of each entry."""
    return set(site.rows(select(entry.c.uid, entry.c.state)))


def lines_of(name: str) -> list[str]:
    return [f"{name}: {line}" for line in BODY]


@pytest.mark.parametrize("field", [{}, {"webUrl": "https://example.org/monday"}], ids=["content", "link"])
def test_a_story_keeps_its_id_if_its_old_name_is_used_again_at_once(site: SiteFolder, field: dict[str, str]) -> None:
    site.write("today.md", text("Monday", lines_of("Monday"), **field))
    site.run(NOON)
    monday = site.ids()["Monday"]
    is_edited = bool(field)
    site.write("2024-05-01.md", text("Monday", edited(lines_of("Monday"), 15 if is_edited else 0), **field))
    other = {name: f"{url[:-6]}tuesday" for name, url in field.items()}
    site.write("today.md", text("Tuesday", lines_of("Tuesday"), **other))
    result = site.run(LATER)
    ids = site.ids()
    assert (result.new, result.removed, ids["Monday"], len(set(ids.values()))) == (1, 0, monday, 2)
    reason = "link" if is_edited else "content"
    assert site.rows(select(event.c.clause).where(event.c.what == RENAMED)) == [(f"was today.md: the same {reason}",)]


def test_a_story_keeps_its_id_if_its_old_name_is_used_for_a_file_that_is_still_being_written(site: SiteFolder) -> None:
    site.write("today.md", text("Monday", lines_of("Monday")))
    site.run(NOON)
    monday = site.ids()["Monday"]
    site.rename("today.md", "monday.md")
    site.write("today.md", text("Tuesday", lines_of("Tuesday"))[:40], mtime_ns=time.time_ns())
    site.run(LATER)
    assert site.ids() == {"Monday": monday}
    site.write("today.md", text("Tuesday", lines_of("Tuesday")))
    assert site.run("2024-05-01 13:01").new == 1
    assert site.ids()["Monday"] == monday


@pytest.mark.parametrize("is_link", [True, False], ids=["hard link", "rename"])
def test_an_edit_keeps_the_id_although_the_old_file_has_another_name_now(site: SiteFolder, is_link: bool) -> None:
    """As of a backup by a hard link, or of a file that a synchronisation found in conflict."""
    post, backup = site.write("post.md", text("Post", BODY)), site.incoming / "post.conflict.md"
    site.run(NOON)
    before = site.ids()["Post"]
    if is_link:
        backup.hardlink_to(post)
        post.unlink()
    else:
        post.rename(backup)
    site.write("post.md", text("Post, edited", edited(BODY, 1)))
    site.run(LATER)
    assert site.ids()["Post, edited"] == before


def test_links_that_were_swapped_by_mistake_are_corrected_without_another_id(site: SiteFolder) -> None:
    links = {name: f"https://example.org/{name}" for name in "ab"}
    for name, other in ("ab", "ba"):
        site.write(f"{name}.md", text(f"Post {name}", lines_of(name), webUrl=links[other]))
    site.run(NOON)
    before = site.ids()
    for name in "ab":
        site.write(f"{name}.md", text(f"Post {name}", lines_of(name), webUrl=links[name]))
    site.run(LATER)
    assert site.ids() == before


def test_an_edit_of_the_link_keeps_the_id_although_a_copy_has_the_old_one(site: SiteFolder) -> None:
    site.write("post.md", text("Post", BODY, webUrl="http://example.org/post"))
    site.run(NOON)
    before = site.ids()["Post"]
    site.write("backup.md", text("Post", BODY, webUrl="http://example.org/post"))
    site.write("post.md", text("Post, edited", BODY, webUrl="https://example.org/post"))
    site.run(LATER)
    assert site.ids()["Post, edited"] == before


def test_a_rejected_file_passes_nothing_on_to_a_copy_of_what_it_said(site: SiteFolder) -> None:
    site.write("post.md", text("Post", BODY))
    site.run(NOON)
    before = site.ids()["Post"]
    site.write("backup.md", text("Post", BODY))
    site.write("post.md", "---\ntitle: [\n---\n")
    assert site.run(LATER).rejected == 1
    site.write("post.md", text("Post, edited", BODY))
    site.run("2024-05-01 13:01")
    assert site.ids()["Post, edited"] == before


def test_renumbered_files_keep_their_ids(site: SiteFolder) -> None:
    for number in (1, 2, 3):
        site.write(f"{number}.md", text(f"Post {number}", lines_of(f"p{number}")))
    site.run(NOON)
    before = site.ids()
    for number in (3, 2, 1):
        (site.incoming / f"{number}.md").rename(site.incoming / f"{number + 1}.md")
    site.write("1.md", text("Post 0", lines_of("p0")))
    result = site.run(LATER)
    after = site.ids()
    assert (result.new, result.removed) == (1, 0)
    assert {title: after[title] for title in before} == before
    assert len(set(after.values())) == 4


@pytest.mark.parametrize("stated", [None, "own"])
def test_files_that_exchange_their_contents_exchange_their_entries(site: SiteFolder, stated: str | None) -> None:
    """Even if only one of them states an id."""
    said = {
        "a": text("Post a", lines_of("a"), **({"id": stated} if stated else {})),
        "b": text("Post b", lines_of("b")),
    }
    for name in said:
        site.write(f"{name}.md", said[name])
    site.run(NOON)
    before = site.ids()
    site.write("a.md", said["b"])
    site.write("b.md", said["a"])
    result = site.run(LATER)
    assert (result.rejected, result.removed, result.new, site.ids()) == (0, 0, 0, before)


def test_an_edit_keeps_the_id_although_a_copy_has_what_was_there_before(site: SiteFolder) -> None:
    site.write("post.md", text("Post", BODY))
    site.run(NOON)
    before = site.ids()["Post"]
    site.write("copy of post.md", text("Post", BODY))
    site.write("post.md", text("Post, edited", edited(BODY, 3)))
    assert site.run(LATER).new == 1
    assert site.ids()["Post, edited"] == before != site.ids()["Post"]


@pytest.mark.parametrize("state", ["published", "hidden"])
def test_a_renamed_file_keeps_its_id_if_a_scan_sees_only_its_new_name(site: SiteFolder, state: str) -> None:
    """As in `mkdir new && mv a.md new`: the system tells of the folder first."""
    site.write("old/a.md", text("Post", BODY, **({} if state == "published" else {"draft": True})))
    site.write("b.md", text("Other", lines_of("Other")))
    site.run(NOON)
    before = uids(site)
    (site.incoming / "new").mkdir()
    (site.incoming / "old/a.md").rename(site.incoming / "new/a.md")
    assert site.run(LATER, paths={"": ["new"]}).new == 0
    assert uids(site) == before
    assert site.run("2024-05-01 13:01").removed == 0
    assert uids(site) == before


@pytest.mark.parametrize("link", [None, "https://example.org/monday"])
def test_a_story_keeps_its_id_if_a_scan_sees_only_its_new_name_and_the_old_one_is_used_again(
    site: SiteFolder, link: str | None
) -> None:
    """Also with an edit, by its link."""
    own = {"webUrl": link} if link else {}
    site.write("today.md", text("Monday", lines_of("Monday"), **own))
    site.run(NOON)
    monday = site.ids()["Monday"]
    site.write("days/monday.md", text("Monday", edited(lines_of("Monday"), 15 if link else 0), **own))
    site.write("today.md", text("Tuesday", lines_of("Tuesday"), webUrl="https://example.org/tuesday"))
    site.run(LATER, paths={"": ["days"]})
    ids = site.ids()
    assert (ids["Monday"], set(ids)) == (monday, {"Monday", "Tuesday"})
    site.run("2024-05-01 13:01")
    assert site.ids() == ids


def test_a_copy_of_a_file_that_is_still_there_is_a_story_of_its_own(site: SiteFolder) -> None:
    site.write("a.md", text("Post", BODY))
    site.run(NOON)
    site.write("copy/a.md", text("Post", BODY))
    assert site.run(LATER, paths={"": ["copy"]}).new == 1


def test_a_file_that_states_the_id_of_a_missing_file_keeps_its_own_entry(site: SiteFolder) -> None:
    site.write("a.md", text("First", BODY, id="a"))
    site.write("b.md", text("Second", [f"Otherwise: {line}" for line in BODY], id="b"))
    site.run(NOON)
    site.remove("a.md")
    site.write("b.md", text("Second, edited", [f"Otherwise: {line}" for line in BODY], id="a"))
    assert site.run(LATER).rejected == 1
    assert site.ids() == {"Second": minted("id:b")}
    site.run("2024-05-01 13:10")
    assert site.ids() == {"Second, edited": minted("id:b")}


# histories

WORDS = "amber birch cloud delta ember fjord grove haven inlet jetty knoll larch marsh north oasis prairie".split()
TEMPLATES = [
    [f"Boilerplate {name}, sentence {number} of it, in each of its posts" for number in range(8)] for name in "ABC"
]


@dataclass(frozen=True)
class Post:
    """A post as its author knows it; `token` is who it is, whatever becomes of it."""

    token: str
    path: str
    title: str
    lines: tuple[str, ...]
    template: int | None
    id: str | None
    toml: bool = False
    revision: int = 0

    def text(self) -> str:
        fields = {"title": self.title, "publishedDateTime": DATE, "topics": [self.token], "revision": self.revision}
        fields |= {"id": self.id} if self.id else {}
        body = "\n\n".join([*(TEMPLATES[self.template] if self.template is not None else []), *self.lines])
        if not self.toml:
            return record_text(fields, body + "\n")
        return "+++\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()) + f"+++\n{body}\n"


@dataclass
class Authors:
    """Posts in a folder, and what authors do with them; each post is in one act of a commit at most."""

    site: SiteFolder
    random: random.Random
    posts: dict[str, Post] = field(default_factory=dict)
    away: dict[str, Post] = field(default_factory=dict)
    number: int = 0
    busy: set[str] = field(default_factory=set)
    copied: set[str] = field(default_factory=set)

    def commit(self) -> None:
        """Some acts, of all kinds."""
        self.busy = set()
        for token, post in self.away.items():
            self._put(replace(post, revision=post.revision + 1))
            self.busy.add(token)
        self.away = {}
        acts = [
            self.write, self.rename, self.rename_and_edit, self.rename_and_edit, self.change_date, self.swap_texts,
            self.copy, self.exchange_files, self.delete, self.delete_and_write, self.save, self.edit, self.move_folder,
        ]  # fmt: skip
        for _ in range(self.random.randint(1, 6)):
            self.random.choice(acts)()

    def _sentence(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(6, 14))) + f" {self.random.random()}"

    def _put(self, post: Post) -> None:
        old = self.posts.get(post.token)
        if old and old.path != post.path:
            self.site.remove(old.path)
        self.posts[post.token] = post
        self.site.write(post.path, post.text())

    def _pick(self) -> Post | None:
        free = sorted(self.posts.keys() - self.busy - self.away.keys())
        if not free:
            return None
        token = self.random.choice(free)
        self.busy.add(token)
        return self.posts[token]

    def _new_path(self, post: Post) -> str:
        folder, day = self.random.choice(("posts", "notes", "old/posts")), self.random.randint(1, 28)
        self.number += 1
        return f"{folder}/2021-01-{day:02}-{post.token}-{self.number}.md"

    def _edited(self, post: Post) -> Post:
        """The post with up to a quarter of its own lines said otherwise, and now and then another title."""
        lines = list(post.lines)
        for _ in range(self.random.randint(1, max(1, len(lines) // 4))):
            lines[self.random.randrange(len(lines))] = self._sentence()
        title = f"{post.title} again" if self.random.random() < 0.3 else post.title
        return replace(post, lines=tuple(lines), title=title)

    def write(self) -> None:
        self.number += 1
        token = f"p{self.number:04}"
        self.busy.add(token)
        lines = tuple(self._sentence() for _ in range(self.random.randint(4, 30)))
        template = self.random.choice((None, 0, 1, 2))
        title = self.random.choice((f"What {token} is about", f"Notes on {self._sentence()}"))
        post = Post(token, "", title, lines, template, token if self.random.random() < 0.4 else None)
        self._put(replace(post, path=self._new_path(post)))

    def rename(self) -> None:
        if post := self._pick():
            self._put(replace(post, path=self._new_path(post)))

    def rename_and_edit(self) -> None:
        if post := self._pick():
            self._put(replace(self._edited(post), path=self._new_path(post)))

    def change_date(self) -> None:
        if post := self._pick():
            path = post.path.replace("2021-01-", self.random.choice(("2021-02-", "2022-03-")))
            self._put(replace(self._edited(post), path=path if path != post.path else self._new_path(post)))

    def edit(self) -> None:
        if post := self._pick():
            self._put(self._edited(post))

    def swap_texts(self) -> None:
        """What is at a path is the record of that path, whatever it says."""
        one, other = self._pick(), self._pick()
        if one and other:
            for post, said in ((one, other), (other, one)):
                self._put(replace(post, title=said.title, lines=said.lines, template=said.template, toml=said.toml))

    def exchange_files(self) -> None:
        """Where ids are stated they tell whose file it is, whatever its path."""
        one, other = self._pick(), self._pick()
        if one and other and one.id and other.id:
            for post, path in ((one, other.path), (other, one.path)):
                self.posts[post.token] = replace(self._edited(post), path=path)
                self.site.write(path, self.posts[post.token].text())

    def copy(self) -> None:
        if (post := self._pick()) and post.token not in self.copied:
            self.number += 1
            made = replace(post, token=f"p{self.number:04}", id=None)
            self.copied |= {post.token, made.token}
            self.busy.add(made.token)
            self._put(replace(made, path=self._new_path(made)))

    def delete(self) -> None:
        if post := self._pick():
            self.site.remove(post.path)
            del self.posts[post.token]

    def delete_and_write(self) -> None:
        self.delete()
        self.write()

    def save(self) -> None:
        """By removal and writing, with a cycle between the two."""
        if post := self._pick():
            self.site.remove(post.path)
            self.away[post.token] = post

    def move_folder(self) -> None:
        if self.random.random() > 0.15:
            return
        self.number += 1
        for post in [post for post in self.posts.values() if post.path.startswith("notes/")]:
            if post.token not in self.busy | self.away.keys():
                self.busy.add(post.token)
                name = post.path.rpartition("/")[2]
                self._put(replace(post, path=f"moved{self.number}/{name}", toml=not post.toml, revision=1))


HISTORY = '[output]\nlimit = 1000\nformats = ["json"]\npages = false\narchive = false\nmax_bytes = "10MB"\n[topics]\nauto = false\n'


def test_no_post_has_two_ids_and_no_id_two_posts(site: SiteFolder) -> None:
    site.configure(HISTORY)
    authors = Authors(site, random.Random(SEED))
    for _ in range(200):
        authors.write()
    now = at(NOON)
    id_of: dict[str, str] = {}
    token_of: dict[str, str] = {}
    for number in range(40):
        assert site.run(now).published
        shown = {item["tags"][0]: item["id"] for item in site.feed()["items"]}
        assert shown.keys() == authors.posts.keys() - authors.away.keys(), f"cycle {number}"
        for token, uid in shown.items():
            assert (id_of.setdefault(token, uid), token_of.setdefault(uid, token)) == (uid, token), f"cycle {number}"
        now += timedelta(minutes=authors.random.choice((1, 5, 9)))
        authors.commit()
    assert len(id_of) > 220
