"""Bodies: feeds in full show them, and no other document does."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from conftest import SiteFolder, record_text
from lxml import etree

from aggregator.feeds import versions
from aggregator.store.schema import body

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
FULL = """
[output]
limit = 3
min_stay = "0s"
[[feed]]
slug = "long-reads"
content = "full"
topics = { any = ["Maps"] }
"""
DATE = "2026-05-20T07:10:00Z"


def put(site: SiteFolder, path: str, text: str, **fields: Any) -> None:
    """A record with a body."""
    fields = {"title": path, "topics": ["Maps"], "publishedDateTime": DATE} | fields
    site.write(path, record_text(fields, text))


def contents(site: SiteFolder, title: str, slug: str = "long-reads") -> tuple[str | None, str | None, str | None]:
    """The content of an entry in RSS, Atom and JSON, as HTML."""
    channel = etree.parse(site.output / slug / "rss.xml").getroot()[0]
    feed = etree.parse(site.output / slug / "atom.xml").getroot()
    item = next(element for element in channel.iter("item") if element.findtext("title") == title)
    entry = next(element for element in feed.iter(f"{ATOM}entry") if element.findtext(f"{ATOM}title") == title)
    json = next(element for element in site.feed(slug)["items"] if element["title"] == title)
    return item.findtext(CONTENT), entry.findtext(f"{ATOM}content"), json.get("content_html")


def test_a_full_feed_has_the_same_body_in_every_format_and_other_feeds_have_none(site: SiteFolder) -> None:
    site.configure(FULL)
    text = "A *map* of [buses](lines/7).\n\n![Bus](/img/bus.png)\n\n<script>alert(1)</script>\n\nCafé & 日本 🎉 ]]>"
    put(site, "a.md", text, webUrl="https://news.example.org/2026/a", excerpt="In short")
    site.run("2026-05-21 12:00")
    rss, atom, json = contents(site, "a.md")

    assert rss == atom == json
    assert '<a href="https://news.example.org/2026/lines/7">buses</a>' in rss
    assert '<img src="https://news.example.org/img/bus.png" alt="Bus">' in rss
    assert "<em>map</em>" in rss
    assert "alert" not in rss
    assert "Café & 日本 🎉 ]]>" in html.unescape(rss)
    assert site.feed("long-reads")["items"][0]["summary"] == "In short"
    for slug in ("all", "maps"):
        assert contents(site, "a.md", slug) == (None, None, None)
        assert b"buses" not in b"".join(path.read_bytes() for path in (site.output / slug).iterdir())


def test_the_summary_replaces_a_missing_body_and_related_stories_follow_it(site: SiteFolder) -> None:
    site.configure(FULL)
    related = [{"webUrl": "https://e.example/r?a=1&b=2", "title": "More <on> it"}]
    put(site, "a.md", "", excerpt="Fish & chips", webUrl="https://e.example/a", related=related)
    site.run("2026-05-21 12:00")

    for text in contents(site, "a.md"):
        assert text.startswith("<p>Fish &amp; chips</p>")
        assert text.endswith('<li><a href="https://e.example/r?a=1&amp;b=2">More &lt;on&gt; it</a></li></ul>')


def test_an_edited_body_is_an_update_and_the_same_body_is_none(site: SiteFolder) -> None:
    site.configure(FULL)
    put(site, "a.md", "First.")
    site.run("2026-05-21 12:00")
    before = site.documents()
    put(site, "a.md", "First.", secured="x")
    assert site.run("2026-05-21 13:00").files_written == 0
    put(site, "a.md", "Second.")
    site.run("2026-05-21 14:00")

    assert contents(site, "a.md") == ("<p>Second.</p>",) * 3
    assert site.feed("long-reads")["items"][0]["date_modified"] == "2026-05-21T14:00:00+00:00"
    assert site.documents()["long-reads/rss.xml"] != before["long-reads/rss.xml"]
    put(site, "a.md", "")
    site.run("2026-05-21 15:00")
    assert "Second" not in json.dumps(site.feed("long-reads"))
    assert site.rows(body.select()) == []


@pytest.mark.both_databases
def test_bodies_that_are_switched_on_later_make_no_new_or_updated_entry(site: SiteFolder) -> None:
    put(site, "a.md", "The whole story.", webUrl="https://e.example/a")
    site.run("2026-05-21 12:00")
    assert site.rows(body.select()) == []
    before = site.documents()
    site.run_with(FULL, "2026-05-21 13:00")

    assert contents(site, "a.md") == ("<p>The whole story.</p>",) * 3
    assert site.ids("long-reads") == site.ids("all")
    assert {path for path, text in site.documents().items() if before.get(path, text) != text} <= {
        "index.html",
        "opml.xml",
        "sitemap.xml",
    }
    site.run_with(FULL.replace('content = "full"', ""), "2026-05-21 14:00")
    assert contents(site, "a.md") == (None, None, None)


def test_a_renamed_file_keeps_its_body_and_a_sealed_page_has_bodies_too(site: SiteFolder) -> None:
    site.configure(FULL)
    for number in range(5):
        put(site, f"{number}.md", f"Body {number}.", excerpt="E", publishedDateTime=f"2026-05-{10 + number}T00:00:00Z")
    site.run("2026-05-21 12:00")
    page = (site.output / "long-reads" / "archive" / "0001.xml").read_text()
    assert "Body 0." in page
    assert "Body 1." in page
    assert "Body 0." not in (site.output / "all" / "archive" / "0001.xml").read_text()

    (site.incoming / "4.md").rename(site.incoming / "new.md")
    site.run("2026-05-21 13:00")
    assert contents(site, "4.md") == ("<p>Body 4.</p>",) * 3
    assert len(site.rows(body.select())) == 5


@pytest.mark.parametrize(("before", "after"), [("summary", "full"), ("full", "summary")])
def test_pages_get_and_lose_bodies_with_their_feed_while_another_feed_is_full(
    site: SiteFolder, before: str, after: str
) -> None:
    other = '[[feed]]\nslug = "other"\ncontent = "{}"\n'
    for number in range(5):
        put(site, f"{number}.md", f"Body {number}.", excerpt="E", publishedDateTime=f"2026-05-{10 + number}T00:00:00Z")
    for moment, content in (("2026-05-21 12:00", before), ("2026-05-21 13:00", after)):
        site.run_with(FULL + other.format(content), moment)
        for path, text in (("atom.xml", b"Body 4."), ("archive/0001.xml", b"Body 0.")):
            assert (text in (site.output / "other" / path).read_bytes()) == (content == "full")


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "https://feeds.example.org/x.png"),
        ({"webUrl": "https://e.example/s/t"}, "https://e.example/s/x.png"),
        ({"originalUrl": "https://o.example/s/t"}, "https://o.example/s/x.png"),
    ],
)
def test_relative_urls_start_at_the_link_or_else_at_the_site(
    site: SiteFolder, fields: dict[str, str], address: str
) -> None:
    site.configure(FULL)
    put(site, "a.md", "![](x.png)", **fields)
    site.run("2026-05-21 12:00")
    assert all(address in (text or "") for text in contents(site, "a.md"))


# output.content


EVERY = """
[output]
limit = 3
min_stay = "0s"
content = "{}"
"""
SHORT = """
[[feed]]
slug = "short"
content = "summary"
[[feed]]
slug = "own"
"""
NOON, LATER, LATEST = (f"2026-05-21 {hour}:00" for hour in (12, 13, 14))


def put_five(site: SiteFolder) -> None:
    """Five records, two more than a document has."""
    for number in range(5):
        put(site, f"{number}.md", f"Body {number}.", excerpt="E", publishedDateTime=f"2026-05-{10 + number}T00:00:00Z")


@pytest.mark.both_databases
def test_every_feed_has_the_content_of_the_output_unless_it_says_another(site: SiteFolder) -> None:
    put_five(site)
    site.run_with(EVERY.format("full") + SHORT, NOON)
    for slug in ("all", "maps", "own"):
        assert contents(site, "4.md", slug) == ("<p>Body 4.</p>",) * 3
        assert b"Body 4." in (site.output / slug / "index.html").read_bytes()
        assert b"Body 0." in (site.output / slug / "archive" / "0001.xml").read_bytes()
    assert not any(b"Body" in text for path, text in site.documents().items() if path.startswith("short/"))


@pytest.mark.both_databases
def test_the_content_of_the_output_there_and_back_gives_the_documents_of_before(site: SiteFolder) -> None:
    put_five(site)
    site.run_with(EVERY.format("summary"), NOON)
    summaries, ids = site.documents(), site.ids()
    assert site.rows(body.select()) == []
    site.run_with(EVERY.format("full"), LATER)
    full = site.documents()
    assert (site.ids(), contents(site, "4.md", "maps")) == (ids, ("<p>Body 4.</p>",) * 3)
    assert b"Body 0." in full["all/archive/0001.xml"]
    assert b"Body 0." in full["maps/archive/0001.xml"]
    with site.untouched():
        site.run(LATER)
    site.run_with(EVERY.format("summary"), LATEST)
    assert site.documents() == summaries
    site.run_with(EVERY.format("full"), LATEST)
    assert site.documents() == full


def test_feeds_that_are_not_kept_in_memory_have_the_same_documents(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_five(site)
    site.run_with(EVERY.format("full"), NOON)
    full = site.documents()
    site.run_with(EVERY.format("summary"), LATER)
    monkeypatch.setattr(versions, "MAX_KEPT_BODIES", 0)
    site.run_with(EVERY.format("full"), LATEST)
    assert site.documents() == full


def test_a_page_that_was_sealed_in_full_is_a_page_of_summaries_later(site: SiteFolder) -> None:
    put_five(site)
    site.run_with(EVERY.format("full"), NOON)
    put(site, "5.md", "Body 5.", excerpt="E", publishedDateTime="2026-05-21T11:00:00Z")
    site.run_with(EVERY.format("summary"), LATER)
    assert not any(b"Body" in text for text in site.documents().values())
    site.run_with(EVERY.format("full"), LATEST)
    assert b"Body 2." in (site.output / "maps" / "archive" / "0002.xml").read_bytes()


def test_the_feed_of_a_topic_changes_its_content_with_the_table_that_replaces_it(site: SiteFolder) -> None:
    put_five(site)
    site.run_with(EVERY.format("full"), NOON)
    table = '[[feed]]\nslug = "maps"\ntitle = "Maps"\ntopics.any = ["Maps"]\ncontent = "summary"\n'
    site.run_with(EVERY.format("full") + table, LATER)
    maps = b"".join(text for path, text in site.documents().items() if path.startswith("maps/"))
    assert b"Body" not in maps
    assert contents(site, "4.md", "all") == ("<p>Body 4.</p>",) * 3
    site.run_with(EVERY.format("full"), LATEST)
    assert contents(site, "4.md", "maps") == ("<p>Body 4.</p>",) * 3
    assert b"Body 0." in (site.output / "maps" / "archive" / "0001.xml").read_bytes()
