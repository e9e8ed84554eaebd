"""Bounds of feeds: entries that are too large, too many topics, empty feeds."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import SITE_ID, SiteFolder, at
from documents import archive_ids, atom_id, entry_ids, listed, pages
from loopback import fine, redirects, running
from lxml import etree

from aggregator.ids import IdMint
from aggregator.service.serving import make_app

NOON, LATER, LATER_STILL, LAST = "2026-03-01 12:00", "2026-03-01 13:00", "2026-03-01 14:00", "2026-03-01 15:00"
SMALL = '[output]\nmin_stay = "0s"\nmax_bytes = "20KB"\n'
FULL = '[[feed]]\nslug = "whole"\ncontent = "full"\n'


def fill(site: SiteFolder, count: int = 10) -> None:
    """Small records, the newest last."""
    for number in range(count):
        site.record(f"{number:02}.md", topics=["AI"], publishedDateTime=f"2026-02-01T08:{number:02}:00Z")


def small(count: int = 10) -> list[str]:
    """The titles of the small records, the newest first."""
    return [f"{number:02}.md" for number in reversed(range(count))]


def large(site: SiteFolder, name: str, date: str, **fields: Any) -> None:
    """A record whose entry is larger than a document may be."""
    site.record(name, topics=["AI", "Big"], publishedDateTime=date, **{"excerpt": "x" * 9000} | fields)


# entries that are too large


@pytest.mark.parametrize("minute", ["07:00", "08:05", "09:00"])
def test_an_entry_that_is_too_large_is_omitted_and_reported_and_the_others_stay(site: SiteFolder, minute: str) -> None:
    site.configure(SMALL.replace("20KB", "12KB"))
    fill(site)
    large(site, "large.md", f"2026-02-01T{minute}:00Z")
    result = site.run(NOON)
    assert site.titles("all") == site.titles("ai") == small()
    assert site.titles("big") == []
    what = f"{site.incoming / 'large.md'}: the entry is larger than output.max_bytes and is left out of all, ai, big"
    assert result.notices == (f"{what} (make it shorter, or raise output.max_bytes)",)
    assert (result.problems, result.published) == ((), True)
    assert site.run(LATER).notices == result.notices
    site.record("large.md", topics=["AI"], publishedDateTime=f"2026-02-01T{minute}:00Z")
    assert site.run(LATER_STILL).notices == ()
    assert "large.md" in site.titles("all")


def test_an_entry_that_is_too_large_is_in_the_archive(site: SiteFolder) -> None:
    site.configure(SMALL.replace("20KB", "12KB"))
    fill(site)
    large(site, "large.md", "2026-02-01T08:05:30Z")
    site.run(NOON)
    documents = site.documents()
    assert len(archive_ids(documents, "all/atom.xml")) == 11
    assert [len(entry_ids(body)) for body in pages(site).values()] == [1]


def test_a_smaller_entry_is_shown_instead_of_one_that_does_not_fit(site: SiteFolder) -> None:
    site.configure(SMALL)
    fill(site, 4)
    for hour in (9, 10, 11):  # each fits alone, two do not, and the third is the newest
        large(site, f"large{hour}.md", f"2026-02-01T{hour:02}:00:00Z", excerpt="x" * 6000)
    result = site.run(NOON)
    assert site.titles() == ["large11.md", *small(4)]
    assert result.notices == ()
    assert len(archive_ids(site.documents(), "all/atom.xml")) == 7


def test_the_summary_replaces_a_body_that_is_too_large(site: SiteFolder) -> None:
    site.configure(SMALL + FULL)
    fill(site)
    text = "\n".join(["---", "title: Long", "excerpt: In short", "topics: [AI]", "---", "word " * 5000])
    site.write("long.md", text)
    result = site.run(NOON)
    (item,) = (entry for entry in site.feed("whole")["items"] if entry["title"] == "Long")
    assert (len(site.titles("whole")), "word" in item.get("content_html", "")) == (11, False)
    assert "In short" in item.get("content_html", "") + item.get("content_text", "")
    instead = (
        f"{site.incoming / 'long.md'}: the full text is larger than output.max_bytes; its summary is shown in whole"
    )
    assert result.notices == (f"{instead} (make it shorter, or raise output.max_bytes)",)
    site.close()
    with site.untouched():
        assert site.run(LATER).files_written == 0
    site.write("long.md", text.replace("word " * 5000, "word"))
    assert site.run(LATER_STILL).notices == ()
    assert "<p>word</p>" in site.feed("whole")["items"][-1]["content_html"]


def test_the_bounds_hold_in_every_feed_if_all_are_in_full(site: SiteFolder) -> None:
    site.configure(SMALL + 'content = "full"\n')
    for number in range(10):
        text = f"---\ntitle: {number}\nexcerpt: In short\ntopics: [AI]\n---\n{'word ' * (5000 if number == 3 else 700)}"
        site.write(f"{number}.md", text)
    result = site.run(NOON)
    shown = "its summary is shown in all, ai (make it shorter, or raise output.max_bytes)"
    assert result.notices == (f"{site.incoming / '3.md'}: the full text is larger than output.max_bytes; {shown}",)
    documents = site.documents()
    for slug in ("all", "ai"):
        assert 0 < len(site.titles(slug)) < 10
        assert len(archive_ids(documents, f"{slug}/atom.xml")) == 10
        forms = [documents[f"{slug}/{name}"] for name in ("rss.xml", "atom.xml", "feed.json")]
        assert max(map(len, [*forms, *pages(site, slug).values()])) <= 20_000
    site.close()
    with site.untouched():
        site.run(LATER)


def test_the_summary_replaces_a_body_that_is_too_large_in_an_archive_page_too(site: SiteFolder) -> None:
    site.configure(SMALL + FULL + "limit = 2\n")
    site.write("long.md", f"---\ntitle: Long\nexcerpt: In short\n---\n{'word ' * 5000}")
    site.run("2026-01-01 12:00")
    fill(site)
    site.run(NOON)
    archived = pages(site, "whole")
    assert len(archive_ids(site.documents(), "whole/atom.xml")) == 11
    assert max(len(body) for body in archived.values()) <= 20_000
    (long,) = (body for body in archived.values() if b"In short" in body)
    assert b"word word" not in long


def test_a_deleted_folder_is_rewritten_without_the_omitted_entries(site: SiteFolder) -> None:
    site.configure(SMALL.replace("20KB", "12KB"))
    fill(site)
    large(site, "large.md", "2026-02-01T09:00:00Z")
    site.run(NOON)
    before = site.documents()
    for path in before:
        (site.output / path).unlink()
    site.close()
    site.run(LATER)
    assert site.documents() == before


# too many topics


def test_at_most_max_feeds_topics_have_a_feed_and_keep_it(site: SiteFolder) -> None:
    site.configure("[topics]\nmax_feeds = 2\n")
    site.record("0.md", topics=["M", "Z"], publishedDateTime="2026-02-01T08:00:00Z")
    assert site.run(NOON).notices == ()
    site.record("1.md", topics=["A", "B", "M"], publishedDateTime="2026-02-01T09:00:00Z")
    result = site.run(LATER)
    assert listed(site) == {"m", "z"}
    what = "2 topics have no feed, because topics.max_feeds = 2 is reached: 'A', 'B'"
    assert result.notices == (f"{what} (raise it, or name fewer topics in records)",)
    assert (result.problems, site.titles("m")) == ((), ["1.md", "0.md"])
    site.run_with('[topics]\nmax_feeds = 3\n[topics.slugs]\nB = "bee"\n', LATER_STILL)
    assert listed(site) == {"m", "z", "bee"}
    site.configure("[topics]\nmax_feeds = 1\n")
    assert "because topics.max_feeds = 1 is reached" in site.run(LAST).notices[0]
    assert listed(site) == {"m", "z", "bee"}


def test_a_topic_that_waited_for_room_is_linked_once_it_has_a_feed(site: SiteFolder) -> None:
    site.configure('[topics]\nmax_feeds = 1\nkeep_empty = "1d"\n')
    site.record("a.md", topics=["A"], publishedDateTime="2026-02-01T08:00:00Z")
    site.record("b.md", topics=["B"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run(NOON)
    site.remove("a.md")
    site.run(LATER)
    assert listed(site) == {"a"}
    site.run("2026-03-02 13:00")
    assert listed(site) == {"b"}
    assert b'href="../b/"' in site.documents()["all/index.html"]


def test_a_flood_of_topics_makes_at_most_max_feeds_feeds(site: SiteFolder) -> None:
    site.configure("[topics]\nmax_feeds = 20\n")
    for number in range(30):
        site.record(f"{number}.md", topics=[f"t {number} {index}" for index in range(50)])
    result = site.run(NOON)
    assert len(listed(site)) == 20
    assert result.notices[0].startswith("1480 topics have no feed")
    assert len(result.notices[0]) < 300


# empty feeds


@pytest.mark.both_databases
def test_the_feed_of_a_topic_that_is_empty_for_long_is_removed_and_returns_with_its_id(site: SiteFolder) -> None:
    site.configure('[topics]\nkeep_empty = "2d"\n')
    fill(site, 3)
    site.record("x.md", topics=["C"], publishedDateTime="2026-02-01T09:00:00Z")
    site.record("y.md", topics=["C#"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run("2026-03-01 12:00")
    slug = next(iter(listed(site) - {"ai", "c"}))
    known = atom_id(site, slug)
    site.remove("x.md", "y.md")
    site.run("2026-03-01 13:00")
    site.run("2026-03-03 12:59")
    assert listed(site) == {"ai", "c", slug}
    site.run("2026-03-03 13:00")
    assert listed(site) == {"ai"}
    with running(make_app(site.load_config(), fine, fine)) as client:
        assert client.get(f"/{slug}/rss.xml").status_code == 410
    with site.untouched():
        site.run("2026-03-10 13:00")
    site.record("z.md", topics=["C#"], publishedDateTime="2026-03-10T09:00:00Z")
    site.run("2026-03-10 14:00")
    assert (site.titles(slug), atom_id(site, slug)) == (["z.md"], known)


def test_no_other_topic_gets_the_slug_of_a_removed_feed(site: SiteFolder) -> None:
    site.configure('[topics]\nkeep_empty = "1d"\n')
    site.record("x.md", topics=["C"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run("2026-03-01 12:00")
    site.remove("x.md")
    site.run("2026-03-01 13:00")
    site.run("2026-03-03 13:00")
    site.record("y.md", topics=["C#"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run("2026-03-03 14:00")
    assert listed(site).isdisjoint({"c"})
    site.record("x.md", topics=["C"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run("2026-03-03 15:00")
    assert site.titles("c") == ["x.md"]
    assert atom_id(site, "c") == IdMint(SITE_ID).feed_id("c")


def test_a_feed_with_entries_only_in_its_archive_is_not_empty(site: SiteFolder) -> None:
    site.configure('[topics]\nkeep_empty = "1d"\n[[feed]]\nslug = "new"\nmax_age = "1d"\n')
    fill(site, 3)
    site.run("2026-03-01 12:00")
    site.run("2026-04-01 12:00")
    assert listed(site) == {"ai", "new"}


# old slugs of topics


def test_the_old_slug_of_a_topic_redirects_to_its_feed_over_http(site: SiteFolder) -> None:
    fill(site, 3)
    site.record("x.md", topics=["A.I."], publishedDateTime="2026-02-01T09:00:00Z")
    site.record("y.md", topics=["C#"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run_with('[output]\nlimit = 1\nmin_stay = "0s"\n', NOON)
    site.configure(
        '[output]\nlimit = 1\nmin_stay = "0s"\n[topics.alias]\n"A.I." = "AI"\n[topics.slugs]\n"C#" = "c-sharp"\n'
    )
    site.run(LATER)
    assert listed(site) == {"ai", "c-sharp"}
    moves = {
        "/a-i/rss.xml": "/ai/rss.xml",
        "/a-i/feed.json": "/ai/feed.json",
        "/a-i/": "/ai/",
        "/a-i/index.html": "/ai/",
        "/a-i/archive/0001.xml": "/ai/archive/0001.xml",
        "/c/atom.xml": "/c-sharp/atom.xml",
    }
    with running(make_app(site.load_config(), fine, fine)) as client:
        assert redirects(client, moves) == moves
        assert client.get("/ai/rss.xml").status_code == 200
    site.close()
    with site.untouched():
        site.run(LATER_STILL)


def test_an_alias_whose_topic_gets_the_same_slug_needs_no_redirect(site: SiteFolder) -> None:
    site.record("x.md", topics=["A I"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run(NOON)
    site.run_with('[topics.alias]\n"A I" = "A.I."\n', LATER)
    assert (listed(site), site.titles("a-i")) == ({"a-i"}, ["x.md"])


def test_the_slug_of_an_alias_redirects_to_the_feed_that_replaces_its_topic(site: SiteFolder) -> None:
    site.record("x.md", topics=["A.I."], publishedDateTime="2026-02-01T09:00:00Z")
    site.run_with('[[feed]]\nslug = "ai"\n', NOON)
    site.run_with('[topics.alias]\n"A.I." = "AI"\n[[feed]]\nslug = "ai"\n', LATER)
    assert listed(site) == {"ai"}
    assert site.documents()["a-i/rss.xml"] == site.documents()["ai/rss.xml"]


# the list of feeds


def test_the_list_of_feeds_has_the_published_date_of_the_newest_entry(site: SiteFolder) -> None:
    site.record("old.md", topics=["Old"], publishedDateTime="2020-01-01T08:00:00Z")
    site.run("2026-02-01 12:00")
    site.record("late.md", topics=["Late"], publishedDateTime="2026-02-20T08:00:00Z")
    site.record("undated.md", topics=["None"])
    site.run(NOON)
    page = etree.HTML((site.output / "index.html").read_bytes())
    dates = {}
    for item in page.iterfind(".//li"):
        times = item.findall(".//time")
        dates[re.sub(r"/.*", "", item.find(".//a").get("href"))] = [time.get("datetime")[:10] for time in times]
    assert {slug: dates[slug] for slug in ("old", "late", "none")} == {
        "old": ["2020-01-01"], "late": ["2026-02-20"], "none": []
    }  # fmt: skip


def test_time_alone_removes_an_empty_feed_and_changes_nothing_else(site: SiteFolder) -> None:
    fill(site, 3)
    site.record("x.md", topics=["Gone"], publishedDateTime="2026-02-01T09:00:00Z")
    site.run("2026-03-01 12:00")
    site.remove("x.md")
    site.run("2026-03-01 13:00")
    before = site.documents()
    result = site.pipeline.run(at("2026-03-31 13:00"))
    after = site.documents()
    gone = {path for path in before if path.startswith("gone/")}
    assert gone
    assert before.keys() - after.keys() == gone
    assert result.published
