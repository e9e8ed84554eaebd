"""Related stories come and go at their own times, without an edit of the record that names them."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import SiteFolder, at

from aggregator.cycle.changed_files import ChangedFiles
from aggregator.files import FolderError

pytestmark = pytest.mark.both_databases

DATED = {"publishedDateTime": "2024-04-01T00:00:00Z"}
SECOND = at("2024-05-01 13:00")
EXPIRING = '[[records]]\npath = "../incoming"\n[records.fields]\nexpires_at = ["expiryDate"]'


def story(name: str, **times: str) -> dict[str, str]:
    """A related story; its times are those of 1 May 2024."""
    times = {key: f"2024-05-01T{hour}:00Z" for key, hour in times.items()}
    return {"title": name, "webUrl": f"https://r.example/{name}"} | times


def shown(site: SiteFolder, slug: str = "all") -> dict[str, list[str]]:
    """The related stories of each entry, by title."""
    found: dict[str, list[str]] = {}
    for item in site.feed(slug)["items"]:
        stories: list[dict[str, Any]] = item.get("_aggregator", {}).get("related", [])
        found[item["title"]] = [one["title"] for one in stories]
    return found


def test_an_embargoed_story_is_in_no_document_until_its_time(site: SiteFolder) -> None:
    full = '[[feed]]\nslug = "full"\ncontent = "full"\ntitle = "Full"'
    site.configure(full)
    site.record("a.md", related=[story("Later", publishedDateTime="13:00"), story("Now")], **DATED)
    result = site.run("2024-05-01 12:00")
    assert shown(site) == {"a.md": ["Now"]}
    assert not any(b"Later" in body for body in site.documents().values())
    assert not any("Later" in row.content for row in site.rows("SELECT content FROM entry"))
    assert result.due == SECOND

    with site.untouched():
        site.run("2024-05-01 12:59", paths={})

    result = site.run(SECOND, paths={})
    assert (shown(site), shown(site, "full")) == ({"a.md": ["Later", "Now"]}, {"a.md": ["Later", "Now"]})
    assert (result.due, result.changed) == (None, 1)
    with site.untouched():
        site.run("2024-05-01 14:00")


def test_a_story_goes_when_it_expires(site: SiteFolder) -> None:
    site.configure(EXPIRING)
    stories = [story("Short", publishedDateTime="13:00", expiryDate="14:00"), story("Gone", expiryDate="11:00")]
    site.record("a.md", related=[*stories, story("Ends", expiryDate="13:30")], **DATED)
    seen = []
    for hour in ("12:00", "13:00", "13:30", "14:00"):
        site.run(f"2024-05-01 {hour}")
        seen.append(shown(site)["a.md"])
    assert seen == [["Ends"], ["Short", "Ends"], ["Short"], []]


def test_what_the_file_says_when_a_story_is_due_counts(site: SiteFolder) -> None:
    site.record("a.md", related=[story("Later", publishedDateTime="13:00")], **DATED)
    site.run("2024-05-01 12:00")
    site.record("a.md", related=[story("Later", publishedDateTime="15:00")], **DATED)
    result = site.run(SECOND, paths={})
    assert (shown(site), result.due) == ({"a.md": []}, at("2024-05-01 15:00"))


def test_a_story_waits_while_the_folder_cannot_be_read(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    site.record("a.md", related=[story("Later", publishedDateTime="13:00")], **DATED)
    site.run("2024-05-01 12:00")
    with monkeypatch.context() as patch:

        def files(_: ChangedFiles) -> Any:
            raise FolderError("it is away", is_missing=False)
            yield

        patch.setattr(ChangedFiles, "files", files)
        assert site.run(SECOND, paths={}).due is None
    assert shown(site) == {"a.md": []}
    site.run("2024-05-01 13:01", paths={})
    assert shown(site) == {"a.md": ["Later"]}


def test_a_story_that_waits_for_a_rejected_file_makes_no_cycle_work(site: SiteFolder) -> None:
    site.record("a.md", related=[story("Later", publishedDateTime="13:00")], **DATED)
    site.run("2024-05-01 12:00")
    site.write("a.md", "---\ntitle: [\n---\n")
    site.run("2024-05-01 12:30")
    cycles = "SELECT count(*) FROM cycle"
    before = site.rows(cycles)
    for minute in range(3):
        result = site.run(f"2024-05-01 13:0{minute}", paths={})
        assert result.scanned == 0
    assert (shown(site), site.rows(cycles)) == ({"a.md": []}, before)


def test_a_renamed_record_keeps_the_times_of_its_stories(site: SiteFolder) -> None:
    site.record("a.md", title="A", related=[story("Later", publishedDateTime="13:00")], **DATED)
    site.run("2024-05-01 12:00")
    ids = site.ids()
    site.rename("a.md", "b.md")
    assert site.run("2024-05-01 12:01").due == SECOND
    site.run(SECOND, paths={})
    assert (shown(site), site.ids()) == ({"A": ["Later"]}, ids)


def test_a_story_comes_in_an_archive_page_too(site: SiteFolder) -> None:
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"')
    site.record("a.md", related=[story("Later", publishedDateTime="13:00")], **DATED)
    site.run("2024-05-01 12:00")
    site.record("b.md", publishedDateTime="2024-05-01T12:30:00Z")
    site.run("2024-05-01 12:30")
    assert b"Later" not in site.documents()["all/archive/0001.xml"]
    site.run(SECOND, paths={})
    assert b"https://r.example/Later" in site.documents()["all/archive/0001.xml"]


def test_a_scheduled_record_is_published_with_the_stories_of_that_time(site: SiteFolder) -> None:
    stories = [story("Later", publishedDateTime="12:30"), story("Latest", publishedDateTime="14:00")]
    site.record("a.md", related=stories, publishedDateTime="2024-05-01T13:00:00Z")
    site.run("2024-05-01 12:00")
    site.run(SECOND)
    assert shown(site) == {"a.md": ["Later"]}
