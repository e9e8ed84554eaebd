"""The documents of a feed: their content, the same in all formats, and that no text can break them."""

from __future__ import annotations

import html
import json
import locale
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from xml.dom import minidom
from zoneinfo import ZoneInfo

import pytest
from documents import parse, seen_in_json, seen_in_xml
from feedgen.entry import FeedEntry
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from aggregator import render
from aggregator.documents import archive_path, feed_paths, index_paths
from aggregator.errors import RenderError
from aggregator.model import (
    ArchivePage,
    Content,
    Document,
    Enclosure,
    Entry,
    Feed,
    FeedLink,
    FeedSummary,
    Image,
    Older,
    Provider,
    Related,
    Relatives,
    Topic,
    Withdrawal,
    content_json,
    read_content,
)
from aggregator.render import atom, entries, rss, xml
from aggregator.render.assets import assets_version, render_assets
from aggregator.render.cache import ENTRY_BYTES, EntryCache
from aggregator.render.content import Scope, authors_of, content_html, foreign_language, is_right_to_left, titled_entry
from aggregator.render.fitting import ESCAPED_BYTES, MARKUP_BYTES
from aggregator.render.frames import LAST_PAGE, feed_frames
from aggregator.render.markup import rfc822_date, rfc3339_date, shared_markup
from aggregator.render.pages import MAX_DEPTH
from aggregator.settings import Format, OutputOptions, Site
from aggregator.unicode import xml_text

SITE = Site("Notes", "https://feeds.example/", "en", "", "https://feeds.example/icon.png", "© Notes", 15)
OPTIONS = OutputOptions(("rss", "atom", "json"), pages=True, max_bytes=1_000_000)
FORMAT_NAMES = ("rss.xml", "atom.xml", "feed.json")
NOON = datetime(2020, 5, 20, 12, tzinfo=UTC)
PLAIN = Content("Title", "a < b & c", "", "https://a.example/1?x=1&y=2", None, None, (), "", "", "", (), None, ())
RICH = PLAIN._replace(
    body_html="<p>Body</p>",
    original_link="https://b.example/1",
    provider=Provider("ZDNet", "zdnet.example"),
    category="news",
    type="article",
    language="de",
    images=(Image("https://a.example/1.png", 1200, 675), Image("https://a.example/2.png", 0, 0)),
    video_url="https://v.example/1",
    related=(Related("https://c.example/1", 'More on "this"'),),
)
TOPICS = (Topic("ai", "AI"), Topic("edge-ai", "Edge AI"))


def make_entry(number: int = 1, content: Content = PLAIN, **changes: Any) -> Entry:
    made = Entry(f"urn:uuid:{number}", NOON - timedelta(hours=number), NOON, TOPICS, content)
    return made._replace(**changes)


def make_feed(*entries: Entry, **changes: Any) -> Feed:
    made = Feed("ai", "urn:uuid:feed", "AI", "On AI", "en", NOON, full=False, version=1, entries=entries, withdrawn=())
    return replace(made, **changes)


def render_all(feed: Feed, site: Site = SITE, options: OutputOptions = OPTIONS, **more: Any) -> dict[str, Document]:
    documents = render.render_feed(feed, site, options, **more)
    return {document.path.removeprefix(f"{feed.slug}/"): document for document in documents}


def text_of(feed: Feed, name: str, **more: Any) -> str:
    return render_all(feed, **more)[name].body.decode()


def ids_of(documents: dict[str, Document]) -> list[list[str]]:
    seen = [seen_in_xml(documents["rss.xml"].body), seen_in_xml(documents["atom.xml"].body)]
    return [[entry[0] for entry in one] for one in [*seen, seen_in_json(documents["feed.json"].body)]]


ENTRIES = {
    "plain": make_entry(),
    "rich": make_entry(content=RICH),
    "without a date": make_entry(published=None),
    "without a link": make_entry(content=RICH._replace(link=None)),
    "without a summary": make_entry(content=RICH._replace(summary="")),
    "with microseconds": make_entry(published=NOON.replace(microsecond=999_999)),
    "without topics": make_entry(topics=()),
    "by several authors": make_entry(content=RICH._replace(provider=Provider("A, B", "", ("A", "B")))),
    "an episode": make_entry(
        content=RICH._replace(enclosures=(Enclosure("https://a.example/1.mp3", 5, "audio/mpeg"),))
    ),
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_all_formats_show_a_reader_the_same(entry: Entry, full: bool) -> None:
    documents = render_all(make_feed(entry, make_entry(2), full=full))
    expected = seen_in_json(documents["feed.json"].body)
    assert expected[0][:4] == (entry.id, entry.content.link, "Title", entry.content.summary)
    assert seen_in_xml(documents["rss.xml"].body) == expected
    assert seen_in_xml(documents["atom.xml"].body) == expected


def test_same_input_gives_same_bytes() -> None:
    feed = make_feed(make_entry(content=RICH), withdrawn=(Withdrawal("urn:uuid:9", NOON),))
    first = render_all(feed)
    # the cache has the latest state of an entry, so the first is rendered again
    assert render_all(replace(feed, entries=(make_entry(content=PLAIN),))) != first
    assert render_all(feed) == first
    summaries = (FeedSummary("ai", "AI", "", 1, NOON, NOON),)
    assert render.render_index(summaries, SITE, OPTIONS) == render.render_index(summaries, SITE, OPTIONS)


def test_rendering_leaves_the_locale_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "setlocale", lambda *_: pytest.fail("setlocale was called"))
    assert "<pubDate>Sun, 11 Jan 1970 00:00:00 +0000</pubDate>" in text_of(
        make_feed(make_entry(published=datetime(1970, 1, 11, tzinfo=UTC))), "rss.xml"
    )


def test_paths_are_known_before_rendering() -> None:
    for options in (OPTIONS, OutputOptions(("atom",), pages=False, max_bytes=9999)):
        documents = render.render_feed(make_feed(), SITE, options)
        assert tuple(document.path for document in documents) == feed_paths("ai", options)
        documents = render.render_index((), SITE, options)
        assert tuple(document.path for document in documents) == index_paths(options)


# The feed itself


def test_rss_channel_links_to_its_page_and_to_itself() -> None:
    site = replace(SITE, hub_urls=("https://hub.example/",))
    channel = parse(text_of(make_feed(), "rss.xml", site=site).encode()).feed
    assert channel.link == "https://feeds.example/ai/"
    assert {link.rel: link.href for link in channel.links if link.rel != "alternate"} == {
        "self": "https://feeds.example/ai/rss.xml",
        "hub": "https://hub.example/",
    }
    assert (channel.title, channel.subtitle, channel.language, channel.ttl) == ("AI – Notes", "On AI", "en", "15")
    assert (channel.generator, channel.rights, channel.image.href) == ("aggregator", "© Notes", SITE.icon)
    assert (channel.image.title, channel.image.link) == ("AI – Notes", "https://feeds.example/ai/")
    assert channel.updated == "Wed, 20 May 2020 12:00:00 +0000"


def test_without_pages_feeds_link_to_the_site() -> None:
    options = replace(OPTIONS, pages=False)
    documents = render_all(make_feed(), options=options)
    assert parse(documents["rss.xml"].body).feed.link == SITE.base_url
    assert json.loads(documents["feed.json"].body)["home_page_url"] == SITE.base_url
    assert "index.html" not in documents


def test_rss_description_falls_back_to_the_title() -> None:
    assert parse(render_all(make_feed(description=""))["rss.xml"].body).feed.subtitle == "AI – Notes"


def test_titles_of_feeds_name_the_site_as_the_config_says() -> None:
    for pattern, title, expected in (
        ("{title} – {site}", "AI", "AI – Notes"),
        ("{site}: {title}", "AI", "Notes: AI"),
        ("{title}", "AI", "AI"),
        ("{title} – {site}", "Notes", "Notes"),  # the feed of everything is not "Notes – Notes"
        ("{title} – {site}", "{site} {0}", "{site} {0} – Notes"),
    ):
        site = replace(SITE, feed_title=pattern)
        documents = render_all(make_feed(title=title), site)
        assert parse(documents["rss.xml"].body).feed.title == expected
        assert parse(documents["atom.xml"].body).feed.title == expected
        assert json.loads(documents["feed.json"].body)["title"] == expected


def test_feeds_name_a_stylesheet_for_browsers() -> None:
    for name in ("rss.xml", "atom.xml"):
        lines = text_of(make_feed(make_entry()), name).splitlines()
        assert lines[1] == '<?xml-stylesheet type="text/css" href="https://feeds.example/assets/feed.css"?>'
    assert b"assets/feed.css" in archive(1, make_entry()).body


def test_atom_feed_names_its_author_language_and_urls() -> None:
    feed = parse(text_of(make_feed(), "atom.xml", site=replace(SITE, hub_urls=("https://hub.example/",))).encode()).feed
    assert (feed.id, feed.author, feed.subtitle, feed.language) == ("urn:uuid:feed", "Notes", "On AI", "en")
    assert (feed.icon, feed.rights, feed.generator) == (SITE.icon, "© Notes", "aggregator")
    assert {link.rel: link.href for link in feed.links} == {
        "alternate": "https://feeds.example/ai/",
        "self": "https://feeds.example/ai/atom.xml",
        "hub": "https://hub.example/",
    }


def test_json_feed_names_its_author_language_and_urls() -> None:
    site = replace(SITE, hub_urls=("https://hub.example/",), author="Ann")
    feed = json.loads(text_of(make_feed(), "feed.json", site=site))
    assert feed == {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "AI – Notes",
        "home_page_url": "https://feeds.example/ai/",
        "feed_url": "https://feeds.example/ai/feed.json",
        "description": "On AI",
        "icon": SITE.icon,
        "authors": [{"name": "Ann"}],
        "language": "en",
        "hubs": [{"type": "WebSub", "url": "https://hub.example/"}],
        "items": [],
    }


def test_rss_channel_names_its_author_without_an_email_address() -> None:
    for site, author in ((SITE, "Notes"), (replace(SITE, author="Ann & co"), "Ann & co")):
        rss = render_all(make_feed(make_entry(content=RICH)), site)["rss.xml"].body
        assert parse(rss).feed.author == author
        assert b"managingEditor" not in rss


def test_a_picture_of_the_feed_is_in_each_format_that_has_one() -> None:
    documents = render_all(make_feed(image="https://feeds.example/ai.png"))
    rss, atom = parse(documents["rss.xml"].body).feed, parse(documents["atom.xml"].body).feed
    assert rss.image.href == "https://feeds.example/ai.png"
    assert (atom.logo, atom.icon) == ("https://feeds.example/ai.png", SITE.icon)
    feed = json.loads(documents["feed.json"].body)
    assert (feed["icon"], feed["favicon"]) == ("https://feeds.example/ai.png", SITE.icon)
    plain = render_all(make_feed())
    assert b"<logo>" not in plain["atom.xml"].body
    assert "favicon" not in json.loads(plain["feed.json"].body)


def test_rss_has_no_picture_in_a_format_that_it_does_not_allow() -> None:
    site = replace(SITE, icon="https://feeds.example/favicon.ICO?v=2")
    feed = make_feed(image="https://feeds.example/ai.svg")
    assert b"<image>" not in render_all(feed, site)["rss.xml"].body
    assert b"ai.svg</logo>" in render_all(feed, site)["atom.xml"].body
    assert parse(render_all(feed)["rss.xml"].body).feed.image.href == SITE.icon


# Archives

FH = "http://purl.org/syndication/history/1.0"


def links_of(body: bytes) -> list[tuple[str, ...]]:
    """(rel, address, type) of each link of an Atom feed or RSS channel."""
    links = parse(body).feed.links
    return [(link.rel, link.href, link.get("type")) for link in links]


def archive(number: int = 2, *entries: Entry, feed: Feed | None = None, **changes: Any) -> Document:
    return archive_documents(number, *entries, feed=feed, **changes)[0]


def archive_documents(
    number: int = 2, *entries: Entry, feed: Feed | None = None, **changes: Any
) -> tuple[Document, ...]:
    page = ArchivePage(number, NOON - timedelta(days=9), entries)
    return render.render_archive_page(feed or make_feed(make_entry(99)), page, SITE, replace(OPTIONS, **changes))


def test_an_archive_page_is_an_atom_document_of_the_feed() -> None:
    page = archive(2, make_entry(1), make_entry(2))
    assert page.path == "ai/archive/0002.xml"
    assert [entry[0] for entry in seen_in_xml(page.body)] == ["urn:uuid:1", "urn:uuid:2"]
    feed, whole = parse(page.body).feed, parse(render_all(make_feed())["atom.xml"].body).feed
    assert feed.updated == "2020-05-11T12:00:00+00:00"
    for name in ("id", "title", "subtitle", "author", "icon", "rights", "language"):
        assert feed[name] == whole[name]


def test_in_the_list_of_an_archive_page_an_entry_without_a_link_has_an_anchor() -> None:
    lists = archive_documents(1, make_entry(1), make_entry(2, PLAIN._replace(link="")))[1].body.decode()
    [(anchor, target)] = re.findall(r'<li id="([^"]+)">.*?<a href="#([^"]+)">', lists)
    assert anchor == target
    assert f'href="{html.escape(PLAIN.link)}"' in lists


def test_a_line_of_an_archive_page_is_made_with_its_atom_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []
    real = entries._render_entry
    cache = entries.EntryCache(lambda *given: made.append(tuple(given[2])) or real(*given), 10**6)
    monkeypatch.setattr(entries, "_CACHE", cache)
    given = (make_entry(1), make_entry(2))
    assert render.split_fitting(make_feed(), given, SITE, OPTIONS, 50) == [2]
    archive_documents(1, *given)
    assert made == [("atom", "line")] * 2


def test_only_archive_pages_have_the_archive_mark_and_before_their_entries() -> None:
    body = archive(2, make_entry()).body
    (mark,) = minidom.parseString(body).getElementsByTagNameNS(FH, "archive")
    assert mark.parentNode is not None
    assert mark.parentNode.nodeName == "feed"
    assert body.index(b"fh:archive") < body.index(b"<entry")
    assert not [name for name, one in render_all(make_feed(pages=3)).items() if FH.encode() in one.body]


def test_an_archive_page_links_to_the_page_before_and_never_to_the_next() -> None:
    atom, page = "application/atom+xml", ("alternate", "https://feeds.example/ai/", "text/html")
    self, current = "https://feeds.example/ai/archive/0002.xml", "https://feeds.example/ai/atom.xml"
    before = ("prev-archive", "https://feeds.example/ai/archive/0001.xml", atom)
    second = [("self", self, atom), ("current", current, atom), before, page]
    site = replace(SITE, hub_urls=("https://hub.example/",))
    assert links_of(archive(2, make_entry(content=RICH), feed=make_feed(pages=5)).body) == second
    assert [link[0] for link in links_of(archive(1).body)] == ["self", "current", "alternate"]
    with_hub = render.render_archive_page(make_feed(), ArchivePage(2, NOON, ()), site, OPTIONS)[0]
    assert links_of(with_hub.body) == second


def test_an_archive_page_links_to_the_feed() -> None:
    cases: dict[tuple[Format, ...], tuple[str, str]] = {
        ("rss", "atom"): ("atom.xml", "application/atom+xml"),
        ("json", "rss"): ("rss.xml", "application/rss+xml"),
        ("json",): ("feed.json", "application/feed+json"),
    }
    for formats, (name, kind) in cases.items():
        link = ("current", f"https://feeds.example/ai/{name}", kind)
        assert link in links_of(archive(1, make_entry(), formats=formats).body)


def test_feeds_link_to_the_newest_page_of_their_archive() -> None:
    documents = render_all(make_feed(make_entry(), pages=12_345))
    link = ("prev-archive", "https://feeds.example/ai/archive/12345.xml", "application/atom+xml")
    assert link in links_of(documents["rss.xml"].body)
    assert link in links_of(documents["atom.xml"].body)
    assert b"archive" not in documents["feed.json"].body
    assert not [name for name, one in render_all(make_feed(make_entry())).items() if b"prev-archive" in one.body]


def test_an_entry_is_the_same_in_the_feed_and_in_its_archive() -> None:
    for full in (False, True):
        feed = make_feed(make_entry(content=RICH), full=full)
        rendered = text_of(feed, "atom.xml").partition("<entry")[2]
        page = archive(1, *feed.entries, feed=feed).body.decode().partition("<entry")[2]
        assert page == rendered
        assert ("Body" in page) == full


def test_numbers_of_archive_pages_have_four_digits_or_more() -> None:
    assert archive_path("ai", 7) == "ai/archive/0007.xml"
    assert archive_path("ai", 12_345) == "ai/archive/12345.xml"


# Entries


def test_summary_is_escaped_twice_in_rss_and_once_in_atom() -> None:
    documents = render_all(make_feed(make_entry()))
    assert "<description>a &amp;lt; b &amp;amp; c</description>" in documents["rss.xml"].body.decode()
    assert '<summary type="text">a &lt; b &amp; c</summary>' in documents["atom.xml"].body.decode()


def test_rss_item_has_no_element_that_means_something_else() -> None:
    item = text_of(make_feed(make_entry(content=RICH), full=True), "rss.xml").partition("<item>")[2]
    for tag in ("author", "source", "enclosure", "media:group"):
        assert f"<{tag}" not in item
    for part in (
        '<guid isPermaLink="false">urn:uuid:1</guid>',
        '<category domain="https://feeds.example/#topic">Edge AI</category>',
        "<dc:creator>ZDNet</dc:creator>",
        "<dc:type>article</dc:type>",
        "<dc:language>de</dc:language>",
        '<media:content url="https://a.example/1.png" medium="image" width="1200" height="675"/>',
        '<media:content url="https://a.example/2.png" medium="image"/>',
        '<media:player url="https://v.example/1"/>',
    ):
        assert part in item
    assert item.count("media:thumbnail") == 1


def test_atom_entry_keeps_rel_and_title_of_its_links() -> None:
    entry = parse(text_of(make_feed(make_entry(content=RICH)), "atom.xml").encode()).entries[0]
    assert [(link.rel, link.href, link.get("title")) for link in entry.links] == [
        ("alternate", RICH.link, None),
        ("via", "https://b.example/1", None),
        ("related", "https://c.example/1", 'More on "this"'),
        ("related", "https://v.example/1", None),
    ]
    assert [(tag.term, tag.scheme, tag.label) for tag in entry.tags] == [
        ("ai", "https://feeds.example/#topic", "AI"),
        ("edge-ai", "https://feeds.example/#topic", "Edge AI"),
        ("news", "https://feeds.example/#category", None),
        ("article", "https://feeds.example/#type", None),
    ]
    assert entry.author_detail == {"name": "ZDNet", "href": "https://zdnet.example/"}
    assert '<entry xml:lang="de">' in text_of(make_feed(make_entry(content=RICH)), "atom.xml")


def test_json_item_has_fields_of_other_formats_in_its_extension() -> None:
    item = json.loads(text_of(make_feed(make_entry(content=RICH)), "feed.json"))["items"][0]
    assert item["_aggregator"] == {
        "original_url": "https://b.example/1",
        "category": "news",
        "type": "article",
        "video_url": "https://v.example/1",
        "related": [{"url": "https://c.example/1", "title": 'More on "this"'}],
    }
    assert item["authors"] == [{"name": "ZDNet", "url": "https://zdnet.example/"}]
    assert "_aggregator" not in json.loads(text_of(make_feed(make_entry()), "feed.json"))["items"][0]


def test_json_item_has_a_date_modified_only_if_it_differs() -> None:
    same = make_entry(published=NOON.replace(microsecond=5))
    items = json.loads(text_of(make_feed(same, make_entry(2), make_entry(3, published=None)), "feed.json"))["items"]
    assert ["date_modified" in item for item in items] == [False, True, True]


def test_entry_without_a_link_carries_its_content_in_atom() -> None:
    summary = "<p>a &lt; b &amp; c</p>"
    for full, body, expected in (
        (True, "<p>Body</p>", "<p>Body</p>"),
        (True, "", summary),
        (False, "<p>Body</p>", summary),
    ):
        content = PLAIN._replace(link=None, body_html=body)
        documents = render_all(replace(make_feed(make_entry(content=content)), full=full))
        assert parse(documents["atom.xml"].body).entries[0].content[0].value == expected
        assert "<link>" not in documents["rss.xml"].body.decode().partition("<item>")[2]
        assert "url" not in json.loads(documents["feed.json"].body)["items"][0]


def test_each_author_is_a_person_of_its_own() -> None:
    content = RICH._replace(provider=Provider("Zoë & Co, 李四", "", ("Zoë & Co", "李四")))
    for entry in parse(text_of(make_feed(make_entry(content=content)), "atom.xml").encode()).entries:
        assert entry.authors == [{"name": "Zoë & Co"}, {"name": "李四"}]
    rss = text_of(make_feed(make_entry(content=content)), "rss.xml")
    assert "<dc:creator>Zoë &amp; Co</dc:creator><dc:creator>李四</dc:creator>" in rss
    item = json.loads(text_of(make_feed(make_entry(content=content)), "feed.json"))["items"][0]
    assert item["authors"] == [{"name": "Zoë & Co"}, {"name": "李四"}]


def test_an_entry_without_a_language_has_that_of_the_site_in_every_feed() -> None:
    german = make_feed(make_entry(), make_entry(2, RICH), language="de")
    assert text_of(german, "atom.xml").count('<entry xml:lang="en">') == 1
    assert text_of(german, "rss.xml").count("<dc:language>en</dc:language>") == 1
    assert [item.get("language") for item in json.loads(text_of(german, "feed.json"))["items"]] == ["en", None]
    assert "xml:lang=" not in text_of(make_feed(make_entry()), "atom.xml").partition("<entry")[2]
    shouted = make_entry(content=RICH._replace(language="EN"))  # tags ignore case
    assert "xml:lang=" not in text_of(make_feed(shouted), "atom.xml").partition("<entry")[2]


def test_entry_without_a_provider_leaves_the_author_to_the_feed() -> None:
    documents = render_all(make_feed(make_entry()))
    assert "<author>" not in documents["atom.xml"].body.decode().partition("<entry>")[2]
    assert "dc:creator" not in documents["rss.xml"].body.decode().partition("<item>")[2]


def test_full_feed_ends_each_content_with_the_related_stories() -> None:
    documents = render_all(make_feed(make_entry(content=RICH), full=True))
    expected = '<p>Body</p><ul><li><a href="https://c.example/1">More on &quot;this&quot;</a></li></ul>'
    for name in ("rss.xml", "atom.xml"):
        assert parse(documents[name].body).entries[0].content[0].value == expected
    assert json.loads(documents["feed.json"].body)["items"][0]["content_html"] == expected


def test_a_body_is_the_same_in_each_format() -> None:
    body = "<p>]]> &amp; &lt;b&gt; &quot;\u05d0\u4e2d\U0001f600\U0001f1ee\U0001f1f1\t\"'</p>\n<pre>a\n  b</pre>"
    documents = render_all(make_feed(make_entry(content=PLAIN._replace(body_html=body)), full=True))
    for name, tag in (("rss.xml", "content:encoded"), ("atom.xml", "content")):
        (element,) = minidom.parseString(documents[name].body).getElementsByTagName(tag)
        assert element.firstChild is not None
        assert element.firstChild.nodeValue == body
    assert json.loads(documents["feed.json"].body)["items"][0]["content_html"] == body


def test_the_summary_replaces_a_missing_body_in_full_feeds() -> None:
    documents = render_all(make_feed(make_entry(), full=True))
    for name in ("rss.xml", "atom.xml"):
        entry = parse(documents[name].body).entries[0]
        assert entry.content[0].value == "<p>a &lt; b &amp; c</p>"
    item = json.loads(documents["feed.json"].body)["items"][0]
    assert (item["content_html"], item["summary"]) == ("<p>a &lt; b &amp; c</p>", "a < b & c")
    assert "content_text" not in item


def test_summary_feed_has_no_body() -> None:
    documents = render_all(make_feed(make_entry(content=RICH)))
    assert not [name for name, document in documents.items() if b"Body" in document.body]


def test_withdrawn_entries_are_tombstones_in_atom_alone() -> None:
    gone = (Withdrawal("urn:uuid:8", NOON - timedelta(days=1)), Withdrawal("urn:uuid:9", NOON))
    documents = render_all(make_feed(make_entry(), withdrawn=gone))
    root = minidom.parseString(documents["atom.xml"].body).documentElement
    assert root is not None
    stones = root.getElementsByTagNameNS("http://purl.org/atompub/tombstones/1.0", "deleted-entry")
    assert [(stone.getAttribute("ref"), stone.getAttribute("when")) for stone in stones] == [
        ("urn:uuid:9", "2020-05-20T12:00:00+00:00"),
        ("urn:uuid:8", "2020-05-19T12:00:00+00:00"),
    ]
    assert b"urn:uuid:9" not in documents["rss.xml"].body + documents["feed.json"].body


def test_tombstones_come_before_all_entries_and_declare_their_namespace() -> None:
    gone = text_of(make_feed(make_entry(), withdrawn=(Withdrawal("urn:uuid:9", NOON),)), "atom.xml")
    assert gone.index("<at:deleted-entry") < gone.index("<entry")
    assert gone.count("http://purl.org/atompub/tombstones/1.0") == 1
    assert "tombstones" not in text_of(make_feed(make_entry()), "atom.xml")


def test_an_entry_without_any_text_looks_the_same_in_all_formats() -> None:
    entry = make_entry(content=PLAIN._replace(summary="", link=None))
    for full in (False, True):
        documents = render_all(make_feed(entry, full=full))
        expected = seen_in_json(documents["feed.json"].body)
        assert expected[0][3] == ""
        assert seen_in_xml(documents["rss.xml"].body) == seen_in_xml(documents["atom.xml"].body) == expected
        assert parse(documents["atom.xml"].body).entries[0].summary == ""
        assert "<content:encoded" not in documents["rss.xml"].body.decode()


@pytest.mark.parametrize("form", OPTIONS.formats)
def test_an_entry_without_an_id_or_a_time_zone_is_refused(form: Format) -> None:
    options = replace(OPTIONS, formats=(form,))
    for times in ({"updated": NOON.replace(tzinfo=None)}, {"published": NOON.replace(tzinfo=None), "updated": NOON}):
        with pytest.raises(RenderError, match="entry urn:uuid:7 cannot be written"):
            render_all(make_feed(make_entry(7, **times)), options=options)
    with pytest.raises(RenderError, match="without an id"):
        render_all(make_feed(make_entry(id="")), options=options)


# Size


def count_fitting(feed: Feed, site: Site, options: OutputOptions) -> int:
    """How many entries of the feed its documents have room for."""
    return len(feed.entries) - len(render.fit_entries(feed, site, options).left_out)


def largest(documents: dict[str, Document]) -> int:
    return max(len(documents[name].body) for name in FORMAT_NAMES)


@pytest.mark.parametrize("max_bytes", [0, 1500, 4000, 9000, 20_000])
def test_as_many_entries_are_counted_as_fit_into_the_largest_format(max_bytes: int) -> None:
    feed = make_feed(*(make_entry(number, content=RICH) for number in range(20)), full=True, pages=10**8)
    count = count_fitting(feed, SITE, replace(OPTIONS, max_bytes=max_bytes))
    assert count < 20
    assert largest(render_all(replace(feed, entries=feed.entries[: count + 1]))) > max_bytes
    if count:
        assert largest(render_all(replace(feed, entries=feed.entries[:count]))) <= max_bytes


def test_a_document_of_exactly_the_limit_counts_whole() -> None:
    feed = make_feed(*(make_entry(number) for number in range(5)), pages=10**8)
    formats: tuple[Format, ...] = ("rss", "atom", "json")
    for name in formats:
        options = replace(OPTIONS, formats=(name,), pages=False)
        (whole,) = render.render_feed(feed, SITE, options)
        assert count_fitting(feed, SITE, replace(options, max_bytes=len(whole.body))) == 5
        assert count_fitting(feed, SITE, replace(options, max_bytes=len(whole.body) - 1)) == 4


def test_what_fits_does_not_depend_on_how_many_archive_pages_there_are() -> None:
    feed = make_feed(*(make_entry(number) for number in range(5)))
    whole = largest(render_all(replace(feed, pages=12_345)))
    counts = [
        [count_fitting(replace(feed, pages=pages), SITE, replace(OPTIONS, max_bytes=most)) for pages in (0, 1, 999)]
        for most in range(whole - 50, whole + 50)
    ]
    assert {4, 5} == {count for row in counts for count in row}
    assert all(len(set(row)) == 1 for row in counts)


@pytest.mark.parametrize("base_url", ["https://feeds.example/", "https://feeds.example/a&b'c/日本/"])
def test_the_room_that_is_kept_for_a_link_to_the_archive_is_enough(base_url: str) -> None:
    site = replace(SITE, base_url=base_url)
    sizes = [
        [len(frame.head) + len(frame.tail) for frame in feed_frames(make_feed(pages=pages), site, OPTIONS)]
        for pages in (0, LAST_PAGE)
    ]
    room = MARKUP_BYTES + ESCAPED_BYTES * len(f"{base_url}{archive_path('ai', LAST_PAGE)}")
    assert all(longest - plain <= room for plain, longest in zip(*sizes, strict=True))


def test_a_document_has_all_given_entries() -> None:
    feed = make_feed(*(make_entry(number) for number in range(20)))
    documents = render_all(feed, options=replace(OPTIONS, max_bytes=1))
    assert ids_of(documents) == [[f"urn:uuid:{number}" for number in range(20)]] * 3
    assert documents["index.html"].body.count(b"<article") == 20


def test_entries_are_split_into_pages_that_fit() -> None:
    feed = make_feed()
    entries = tuple(make_entry(number, content=RICH) for number in range(100, 130))

    def size(count: int) -> int:
        page = ArchivePage(10**8, NOON, entries[:count])
        return len(render.render_archive_page(feed, page, SITE, OPTIONS)[0].body)

    def split(limit: int, max_bytes: int) -> list[int]:
        return render.split_fitting(feed, entries, SITE, replace(OPTIONS, max_bytes=max_bytes), limit)

    assert split(30, size(30)) == [30]
    assert split(12, 10**6) == [12, 12, 6]
    assert split(30, size(8)) == split(8, size(8)) == [8, 8, 8, 6]
    assert split(30, size(8) - 1)[0] == 7
    assert split(30, 0) == [1] * 30
    assert render.split_fitting(feed, (), SITE, OPTIONS, 10) == []


def test_tombstones_never_push_entries_out() -> None:
    gone = tuple(Withdrawal(f"urn:uuid:gone-{number:03}", NOON + timedelta(hours=number)) for number in range(200))
    documents = render_all(make_feed(make_entry(), withdrawn=gone), options=replace(OPTIONS, max_bytes=4000))
    assert ids_of(documents) == [["urn:uuid:1"]] * 3
    assert len(documents["atom.xml"].body) <= 4000
    assert b"gone-199" in documents["atom.xml"].body
    assert b"gone-000" not in documents["atom.xml"].body
    fitting = count_fitting(make_feed(make_entry(), withdrawn=gone), SITE, replace(OPTIONS, max_bytes=4000))
    assert fitting == 1


# Caches


def counted(room: int) -> tuple[EntryCache[str, str, bytes], list[str]]:
    """A cache, and the list of what it rendered."""
    made: list[str] = []

    def make(entry: Entry, scope: str, kinds: Sequence[str]) -> dict[str, bytes]:
        made.extend(f"{entry.id[9:]} {scope} {kind} {entry.content.title}" for kind in kinds)
        return {kind: kind.encode() for kind in kinds}

    return EntryCache(make, room), made


def test_an_entry_is_rendered_once_for_each_scope_and_kind() -> None:
    kept, made = counted(10**6)
    for _ in range(2):
        assert {"rss": b"rss", "atom": b"atom"}.items() <= kept.get(make_entry(), "en", ("rss", "atom")).items()
        assert {"atom": b"atom", "json": b"json"}.items() <= kept.get(make_entry(), "en", ("atom", "json")).items()
        kept.get(make_entry(), "de", ("atom",))
    assert made == ["1 en rss Title", "1 en atom Title", "1 en json Title", "1 de atom Title"]


def test_a_changed_entry_is_rendered_again_and_others_are_not() -> None:
    kept, made = counted(10**6)
    changed = make_entry(content=PLAIN._replace(title="New"))
    for entry in (make_entry(), make_entry(2), changed, make_entry(2), changed):
        kept.get(entry, "en", ("rss",))
    assert made == ["1 en rss Title", "2 en rss Title", "1 en rss New"]


def test_the_least_recently_used_entry_is_dropped_when_memory_ends() -> None:
    kept, made = counted(2 * ENTRY_BYTES + 100)
    for number in (1, 2, 1, 3, 1, 2):
        kept.get(make_entry(number), "en", ("rss",))
    assert made == ["1 en rss Title", "2 en rss Title", "3 en rss Title", "2 en rss Title"]
    long = make_entry(4, content=PLAIN._replace(body_html="b" * 3 * ENTRY_BYTES))
    kept.get(long, "en", ("rss",))
    kept.get(long, "en", ("rss",))
    assert made[4:] == ["4 en rss Title"] * 2


# Texts

NASTY = (
    "]]>",
    "<script>",
    "&amp;",
    "</item>",
    "</channel>",
    "</feed>",
    "\x00",
    "\x0b",
    "\ud800",
    "\ufffe",
    '"',
    "\r\n",
)
ANY_TEXT = (
    st.lists(st.sampled_from(NASTY) | st.text(st.characters(), max_size=8), max_size=4).map("".join).map(xml_text)
)
"""Whatever a text may be in the store: parsing leaves only characters that XML allows."""


@st.composite
def any_contents(draw: Callable[[Any], Any]) -> Content:
    def text() -> str:
        return str(draw(ANY_TEXT))

    return Content(
        title=text(),
        summary=text(),
        body_html=text(),
        link=draw(st.none() | ANY_TEXT),
        original_link=draw(st.none() | ANY_TEXT),
        provider=Provider(text(), text(), tuple(draw(st.lists(ANY_TEXT, max_size=2)))),
        topics=(),
        category=text(),
        type=text(),
        language=text(),
        images=(Image(text(), draw(st.integers()), draw(st.integers())),),
        video_url=draw(st.none() | ANY_TEXT),
        related=(Related(text(), text()),),
        enclosures=draw(st.lists(st.builds(Enclosure, ANY_TEXT, st.integers(0), ANY_TEXT), max_size=2).map(tuple)),
    )


@given(contents=st.lists(any_contents(), max_size=2), text=ANY_TEXT, full=st.booleans())
def test_no_text_breaks_a_document(contents: list[Content], text: str, full: bool) -> None:
    topics = (Topic(text, text),)
    entries = (make_entry(number, one, topics=topics, id=f"urn:{number}{text}") for number, one in enumerate(contents))
    gone = (Withdrawal(text, NOON),)
    feed = make_feed(*entries, title=text, description=text, language=text, full=full, withdrawn=gone)
    site = Site(text or "-", "https://feeds.example/", text, text, text, text, 15, text)
    documents = render_all(feed, site, linked=frozenset([text]))
    assert [len(ids) for ids in ids_of(documents)] == [len(contents)] * 3
    index = render.render_index((FeedSummary("ai", text, text, 1, NOON, NOON),), site, OPTIONS)
    minidom.parseString(index[0].body)
    listed = render.render_archive_page(feed, ArchivePage(1, NOON, feed.entries), site, OPTIONS)[1]
    # a body is sanitised before it is stored, so here the page is one without bodies
    plain = render_all(replace(feed, full=False), site, linked=frozenset([text]))["index.html"]
    for page in (plain, index_page(index), listed):
        assert page.body.decode().lower().count("<script") == 1


def written_by_feedgen(form: Format, entry: Entry, scope: Scope) -> str:
    """The entry as feedgen has it, and behind that, made by lxml, what feedgen has no words for or gets wrong."""
    content, base = entry.content, scope.base_url
    made = FeedEntry()
    made.id(entry.id)
    made.title(content.title)
    made.updated(entry.updated)
    made.published(entry.published)
    if content.link:
        made.link(href=content.link, rel="alternate")
    prefixes = {name: uri[1:-1] for name, uri in NAMESPACES.items()}
    root = etree.Element("root", nsmap=prefixes if form == "rss" else {"media": prefixes["media"]})
    if form == "rss":
        if content.summary:
            made.description(html.escape(content.summary, quote=False))
        made.category([{"term": topic.name, "scheme": f"{base}#topic"} for topic in entry.topics])
        element = made.rss_entry()
        add_rss(element, entry, scope)
    else:
        if content.summary:
            made.summary(content.summary, type="text")
        if scope.full or not content.link:
            made.content(content_html(content, scope), type="html")
        for author in authors_of(content):
            made.author(name=author.name, uri=author.domain and f"https://{author.domain}/")
        made.category([{"term": one.slug, "scheme": f"{base}#topic", "label": one.name} for one in entry.topics])
        others = {"category": content.category, "type": content.type}
        made.category([{"term": term, "scheme": f"{base}#{name}"} for name, term in others.items() if term])
        element = made.atom_entry()
        add_atom(element, entry, scope)
    add_media(element, content)
    root.append(element)
    text: str = etree.tostring(root, encoding="unicode")
    return text[text.index(">") + 1 : -len("</root>")]


NAMESPACES = {
    "atom": xml.ATOM,
    "content": xml.CONTENT,
    "dc": xml.DC,
    "media": xml.MEDIA,
}


def add(parent: Any, name: str, text: str = "", /, **attributes: str | None) -> None:
    """A child with what it has of text and attributes; none with neither."""
    stated = {key: value for key, value in attributes.items() if value}
    if text or attributes:
        prefix, _, tag = name.rpartition(":")
        etree.SubElement(parent, NAMESPACES.get(prefix, "") + tag, stated).text = text or None


def add_rss(item: Any, entry: Entry, scope: Scope) -> None:
    content = entry.content
    add(item, "content:encoded", content_html(content, scope) if scope.full else "")
    add(item, "atom:updated", entry.updated.isoformat())
    for author in authors_of(content):
        add(item, "dc:creator", author.name)
    add(item, "dc:type", content.type)
    add(item, "dc:language", foreign_language(content, scope))
    for one in content.enclosures[:1]:
        kind = one.type or "application/octet-stream"
        add(item, "enclosure", url=one.url, length=str(one.length), type=kind)


def add_atom(element: Any, entry: Entry, scope: Scope) -> None:
    content = entry.content
    for link in element.iterfind("link"):
        link.set("rel", "alternate")
    if language := foreign_language(content, scope):
        element.set("{http://www.w3.org/XML/1998/namespace}lang", language)
    if content.original_link:
        add(element, "link", rel="via", href=content.original_link)
    for story in content.related:
        add(element, "link", rel="related", href=story.url, title=story.title)
    if content.video_url:
        add(element, "link", rel="related", href=content.video_url)
    for one in content.enclosures:
        add(element, "link", rel="enclosure", href=one.url, type=one.type, length=str(one.length or ""))


def add_media(element: Any, content: Content) -> None:
    for number, image in enumerate(content.images):
        width, height = (str(size) if size > 0 else None for size in (image.width, image.height))
        add(element, "media:content", url=image.url, medium="image", width=width, height=height)
        if number == 0:
            add(element, "media:thumbnail", url=image.url, width=width, height=height)
    if content.video_url:
        add(element, "media:player", url=content.video_url)


ANY_ZONE = st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=-30))])
ANY_TIME = (
    st.datetimes(timezones=ANY_ZONE).filter(lambda time: time.year < 9999).map(lambda time: time.replace(microsecond=0))
)


@given(time=ANY_TIME)
def test_dates_are_written_as_the_standard_library_does(time: datetime) -> None:
    assert rfc822_date(time) == format_datetime(time.astimezone(UTC))
    assert rfc3339_date(time) == time.isoformat()


@given(
    content=any_contents(),
    text=ANY_TEXT,
    topics=st.lists(st.builds(Topic, ANY_TEXT, ANY_TEXT), max_size=2).map(tuple),
    published=st.none() | ANY_TIME,
    full=st.booleans(),
)
def test_an_entry_is_written_byte_for_byte_as_feedgen_does(
    content: Content, text: str, topics: tuple[Topic, ...], published: datetime | None, full: bool
) -> None:
    entry = make_entry(content=content, id=f"urn:{text}", topics=topics, published=published)
    scope = Scope(f"https://feeds.example/{text}/", "en", full, "de")
    entry = titled_entry(entry)
    shared = shared_markup(entry)
    assert rss.render_entry(entry, scope, shared).decode() == written_by_feedgen("rss", entry, scope) + "\n"
    assert atom.render_entry(entry, scope, shared).decode() == written_by_feedgen("atom", entry, scope) + "\n"


EPISODE = PLAIN._replace(
    enclosures=(
        Enclosure("https://m.example/a b.mp3?x=1&y=2", 12345, "audio/mpeg"),
        Enclosure("https://m.example/v.mp4", 0, "video/mp4"),
        Enclosure("https://m.example/notes%20one", 0, ""),
    )
)


def test_readers_see_media_files_with_type_and_length() -> None:
    documents = render_all(make_feed(make_entry(content=EPISODE)))

    def seen(name: str) -> list[tuple[str, str | None, str | None]]:
        [entry] = parse(documents[name].body).entries
        return [(one.href, one.get("type"), one.get("length")) for one in entry.enclosures]

    assert seen("rss.xml") == [("https://m.example/a b.mp3?x=1&y=2", "audio/mpeg", "12345")]
    assert seen("atom.xml") == [
        ("https://m.example/a b.mp3?x=1&y=2", "audio/mpeg", "12345"),
        ("https://m.example/v.mp4", "video/mp4", None),
        ("https://m.example/notes%20one", "text/html", None),  # feedparser's default: the type is unknown
    ]
    assert json.loads(documents["feed.json"].body)["items"][0]["attachments"] == [
        {"url": "https://m.example/a b.mp3?x=1&y=2", "mime_type": "audio/mpeg", "size_in_bytes": 12345},
        {"url": "https://m.example/v.mp4", "mime_type": "video/mp4"},
        {"url": "https://m.example/notes%20one", "mime_type": "application/octet-stream"},
    ]


def test_an_rss_enclosure_of_unknown_length_says_0() -> None:
    content = EPISODE._replace(enclosures=EPISODE.enclosures[2:])
    expected = '<enclosure url="https://m.example/notes%20one" length="0" type="application/octet-stream"/>'
    assert expected in text_of(make_feed(make_entry(content=content)), "rss.xml")


def test_pages_play_audio_and_video_and_link_other_files() -> None:
    page = text_of(make_feed(make_entry(content=EPISODE)), "index.html")
    url = "https://m.example/a b.mp3?x=1&amp;y=2"
    assert f'<audio class="media" controls preload="none" src="{url}" title="a b.mp3"></audio>' in page
    assert '<video class="media" controls preload="none" src="https://m.example/v.mp4" title="v.mp4"></video>' in page
    assert '<a href="https://m.example/notes%20one" rel="noopener">notes one</a>' in page
    assert "media-src http: https:;" in page


def test_content_without_media_files_is_stored_as_before_there_were_any() -> None:
    assert len(json.loads(content_json(PLAIN))) == 13
    assert read_content(content_json(PLAIN)) == PLAIN
    assert read_content(content_json(EPISODE)) == EPISODE


@given(text=ANY_TEXT)
def test_every_format_reads_back_the_same_text(text: str) -> None:
    entry = make_entry(content=PLAIN._replace(title=f"T{text}T", summary=f"S{text}S"))
    documents = render_all(make_feed(entry))
    item = json.loads(documents["feed.json"].body)["items"][0]
    kept = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
    assert (item["title"], item["summary"]) == (f"T{kept}T", f"S{kept}S")
    for name, tag in (("rss.xml", "item"), ("atom.xml", "entry")):
        (element,) = minidom.parseString(documents[name].body).getElementsByTagName(tag)
        (title,) = element.getElementsByTagName("title")
        assert title.firstChild is not None
        assert title.firstChild.nodeValue == f"T{kept}T"
        (summary,) = element.getElementsByTagName("description" if tag == "item" else "summary")
        assert summary.firstChild is not None
        read = summary.firstChild.nodeValue
        assert read == (html.escape(f"S{kept}S", quote=False) if tag == "item" else f"S{kept}S")


def test_white_space_and_quotes_in_attributes_and_additions_are_read_back() -> None:
    text = "a\tb\nc\rd\"e'f<&>"
    content = PLAIN._replace(related=(Related(PLAIN.link or "", text),), provider=Provider(text, ""), type=text)
    documents = render_all(make_feed(make_entry(content=content)))
    links = minidom.parseString(documents["atom.xml"].body).getElementsByTagName("link")
    assert [link.getAttribute("title") for link in links if link.getAttribute("rel") == "related"] == [text]
    (kind,) = minidom.parseString(documents["rss.xml"].body).getElementsByTagName("dc:type")
    assert kind.firstChild is not None
    assert kind.firstChild.nodeValue == text


def test_the_link_replaces_a_title_without_printable_characters() -> None:
    documents = render_all(make_feed(make_entry(content=PLAIN._replace(title="\x00"))))
    assert seen_in_xml(documents["rss.xml"].body)[0][2] == PLAIN.link


def test_what_replaces_a_title_also_replaces_one_that_nobody_can_see() -> None:
    unseen = "\u200b\u2060"
    documents = render_all(make_feed(make_entry(content=PLAIN._replace(title=unseen)), title=unseen))
    assert seen_in_xml(documents["rss.xml"].body)[0][2] == PLAIN.link
    assert ">ai – Notes<" in documents["index.html"].body.decode()


# The list of feeds

FEEDS = (
    FeedSummary("ai", "AI & co", "On AI", 2, NOON, NOON),
    FeedSummary("all", "Notes", "", 3, None, NOON),
)


def test_opml_names_one_format_of_each_feed_and_no_date() -> None:
    cases: dict[str, tuple[Format, ...]] = {
        "rss.xml": ("rss", "atom", "json"),
        "atom.xml": ("json", "atom"),
        "feed.json": ("json",),
    }
    for name, formats in cases.items():
        opml = render.render_index(FEEDS, replace(SITE, author="Ann"), replace(OPTIONS, formats=formats))[0]
        root = minidom.parseString(opml.body)
        outlines = [dict(one.attributes.items()) for one in root.getElementsByTagName("outline")]
        assert [one["xmlUrl"] for one in outlines] == [f"https://feeds.example/{slug}/{name}" for slug in ("all", "ai")]
        assert outlines[1] == {
            "type": "rss",
            "text": "AI & co – Notes",
            "title": "AI & co – Notes",
            "xmlUrl": f"https://feeds.example/ai/{name}",
            "htmlUrl": "https://feeds.example/ai/",
        }
        assert "<ownerName>Ann</ownerName>" in opml.body.decode()
        assert "date" not in opml.body.decode().lower()


# Pages


def index_page(documents: Sequence[Document]) -> Document:
    """The home page among the documents of the index."""
    (page,) = (document for document in documents if document.path == "index.html")
    return page


def index_text(feeds: tuple[FeedSummary, ...] = FEEDS, site: Site = SITE) -> str:
    return index_page(render.render_index(feeds, site, OPTIONS)).body.decode()


def test_pages_announce_each_format() -> None:
    index = index_text()
    for slug, title, page in (("ai", "AI", text_of(make_feed(), "index.html")), ("all", "Notes", index)):
        for name, kind, file in (("RSS", "rss+xml", "rss.xml"), ("Atom", "atom+xml", "atom.xml")):
            address = f"https://feeds.example/{slug}/{file}"
            tag = f'<link rel="alternate" type="application/{kind}" title="{title} ({name})" href="{address}">'
            assert tag in page


def test_pages_have_no_inline_code_or_style_and_forbid_both() -> None:
    pages = (
        index_text(),
        text_of(make_feed(make_entry(content=RICH), full=True), "index.html"),
        archive_documents(1, make_entry(content=RICH))[1].body.decode(),
    )
    for page in pages:
        assert re.findall("<script[^>]*>[^<]*", page) == [
            f'<script src="{root_of(page)}assets/script.js?{assets_version("")}" defer>'
        ]
        assert re.findall("<style|style=| on[a-z]+=", page) == []
        assert "default-src 'none'" in html.unescape(page)
        assert "style-src 'self'; script-src 'self'" in html.unescape(page)


def root_of(page: str) -> str:
    """The way from a page to the home page, by the link to its stylesheet."""
    match = re.search('<link rel="stylesheet" href="((?:[.][.]/)*)assets/style.css[?][0-9a-f]{8}">', page)
    assert match
    return match[1]


def test_page_links_only_to_topics_that_have_one() -> None:
    page = text_of(make_feed(make_entry(content=RICH), slug="all"), "index.html", linked=frozenset(["ai"]))
    assert '<a href="../ai/" dir="auto">AI</a>' in page
    assert "../edge-ai/" not in page
    assert "Edge AI" in page


def test_the_page_of_a_topic_has_no_links_to_itself() -> None:
    page = text_of(make_feed(make_entry(), make_entry(2)), "index.html", linked=frozenset(["ai", "edge-ai"]))
    assert page.count('<li><span aria-current="page" dir="auto">AI</span></li>') == 2
    assert page.count('<li><a href="../edge-ai/" dir="auto">Edge AI</a></li>') == 2
    assert 'href="../ai/"' not in page


def test_the_page_of_a_topic_links_to_those_above_and_below() -> None:
    above, below = (FeedLink("a", "A & o"), FeedLink("b", "B")), tuple(FeedLink(f"c{n}", f"C{n}") for n in range(9))
    few = text_of(make_feed(), "index.html", relatives=Relatives(above, (*below[:7], FeedLink("none", "\u200b"))))
    nav = etree.HTML(few).xpath("//main//nav")
    assert [one.get("aria-label") for one in nav] == ["Topics above", "Topics below"]
    assert [link.text for link in nav[0].iter("a")] == ["A & o", "B"]
    assert [link.get("href") for link in nav[1].iter("a")] == [*[f"../c{n}/" for n in range(7)], "../none/"]
    assert [link.text for link in nav[1].iter("a")][-1] == "none"
    many = text_of(make_feed(), "index.html", relatives=Relatives((), below))
    assert "<details><summary>9 topics below</summary>" in many
    assert "Topics above" not in many


def test_a_page_with_many_topics_below_has_less_than_100_kb() -> None:
    entries = [make_entry(number, LONG) for number in range(200)]
    below = tuple(FeedLink(f"topic-{n}", f"The topic with the number {n}") for n in range(200))
    page = text_of(make_feed(*entries), "index.html", relatives=Relatives((), below))
    assert page.count("The topic with the number") == 200
    assert len(page.encode()) < 100_000


def test_the_page_of_a_feed_says_how_many_stories_it_has_and_the_date_of_the_newest() -> None:
    page = text_of(make_feed(make_entry(), make_entry(2)), "index.html")
    facts = '<p class="meta"><span>2 stories here</span>'
    assert f'{facts}<span>newest <time datetime="2020-05-20T11:00:00+00:00">20 May 2020</time></span></p>' in page
    assert "<span>1 story here</span></p>" in text_of(make_feed(make_entry(published=None)), "index.html")
    assert " here</span>" not in text_of(make_feed(), "index.html")


def test_page_shows_the_fields_of_an_entry() -> None:
    page = text_of(make_feed(make_entry(content=RICH)), "index.html")
    assert f'<a href="{html.escape(RICH.link or "")}" rel="noopener">Title</a>' in page
    time = '<time datetime="2020-05-20T11:00:00+00:00" title="20 May 2020, 11:00 UTC" lang="en">20 May 2020</time>'
    assert time in page
    assert 'loading="lazy"' in page
    assert 'referrerpolicy="no-referrer" width="1200" height="675"' in page
    assert "a &lt; b &amp; c" in page
    assert '<a href="https://v.example/1" rel="noopener">Video</a>' in page


def test_dates_on_pages_are_in_the_time_zone_of_the_site() -> None:
    midnight = datetime(2020, 5, 19, 15, tzinfo=UTC)  # in Tokyo
    tokyo, new_york = (replace(SITE, timezone=ZoneInfo(name)) for name in ("Asia/Tokyo", "America/New_York"))
    entries = tuple(make_entry(number, published=midnight) for number in range(1, 3))
    feed = make_feed(*entries, updated=midnight)
    page = text_of(feed, "index.html", site=tokyo)
    shown = '<time datetime="2020-05-19T15:00:00+00:00" title="20 May 2020, 00:00 +09:00">20 May 2020</time>'
    assert page.count(shown) == 3
    assert 'title="19 May 2020, 11:00 -04:00">19 May 2020</time>' in text_of(feed, "index.html", site=new_york)
    assert "15:00 UTC" in text_of(feed, "index.html")
    for site, day in ((tokyo, 20), (new_york, 19), (SITE, 19)):
        made = render.render_archive_page(feed, ArchivePage(1, NOON, entries), site, OPTIONS)
        assert f'<time datetime="2020-05-{day}">{day} May 2020</time>' in made[1].body.decode()
    home = index_text((replace(FEEDS[0], newest=midnight),), tokyo)
    assert 'newest <time datetime="2020-05-19T15:00:00+00:00">20 May 2020</time>' in home
    first = make_feed(make_entry(published=datetime(1, 1, 1, tzinfo=UTC)))
    assert "1 January 1, 00:00 UTC" in text_of(first, "index.html", site=new_york)


def test_only_pages_depend_on_the_time_zone_of_the_site() -> None:
    feed = make_feed(make_entry(content=RICH), full=True, pages=2)
    utc, tokyo = (render_all(feed, site) for site in (SITE, replace(SITE, timezone=ZoneInfo("Asia/Tokyo"))))
    assert [utc[name] for name in FORMAT_NAMES] == [tokyo[name] for name in FORMAT_NAMES]


def test_index_shows_the_feed_of_everything_before_the_others() -> None:
    page = index_text()
    assert page.index('<a class="feed" href="all/">') < page.index(
        '<a class="feed" href="ai/"><strong dir="auto">AI &amp; co</strong>'
    )
    assert '2 stories</span><span>newest <time datetime="2020-05-20T12:00:00+00:00">20 May 2020</time>' in page


def test_topics_are_below_their_parents() -> None:
    def summary(slug: str, parent: str = "") -> FeedSummary:
        return FeedSummary(slug, slug.upper(), "", 1, NOON, NOON, parent)

    feeds = (summary("all"), summary("a", "c"), summary("b"), summary("c", "d"), summary("d"), summary("e", "gone"))
    page = index_text(feeds)
    assert classes_of_feeds(page) == [
        ("b", ""),
        ("d", ""),
        ("c", "child depth-1"),
        ("a", "child depth-2"),
        ("e", ""),
    ]
    assert '<span class="parent">in <span dir="auto">C</span></span>' in page


def classes_of_feeds(page: str) -> list[tuple[str, str]]:
    """The slug of each feed in the list, and the classes of its line."""
    found = re.findall(r'<li(?: class="([a-z0-9 -]+)")?><a class="feed" href="(\w+)/">', page)
    return [(slug, classes) for classes, slug in found]


def test_every_depth_of_topics_has_a_rule_and_the_deepest_are_shown_alike() -> None:
    levels = [FeedSummary(f"t{n}", f"T{n}", "", 1, NOON, NOON, f"t{n - 1}") for n in range(12)]
    classes = [classes for _, classes in classes_of_feeds(index_text(tuple(levels)))]
    assert classes == ["", *(f"child depth-{min(depth, MAX_DEPTH)}" for depth in range(1, 12))]
    style = next(asset.body.decode() for asset in render_assets("") if asset.path == "assets/style.css")
    for depth in range(1, MAX_DEPTH + 1):
        assert f".depth-{depth} {{ --depth: {depth}; }}" in style


def test_a_feed_without_a_story_in_its_documents_has_no_stories_now() -> None:
    feeds = (FeedSummary("a", "A", "", 5, None, NOON, is_empty=True), FeedSummary("b", "B", "", 5, None, NOON))
    assert re.findall(r"<span>([\w ]*stories[\w ]*)</span>", index_text(feeds)) == ["no stories now", "5 stories"]


def test_an_entry_with_more_related_stories_than_a_page_has_room_for_is_shown_without_them() -> None:
    stories = tuple(Related(f"https://c.example/{number}/{'p' * 1900}", "x" * 800) for number in range(50))
    entries = (make_entry(1, content=PLAIN._replace(title="Huge", related=stories)), make_entry(2))
    page = render_all(make_feed(*entries))["index.html"].body
    assert len(page) < 30_000
    assert b">Huge<" in page


LONG = PLAIN._replace(summary="word " * 200, body_html="<p>" + "text " * 300 + "</p>")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("content", [PLAIN, RICH, LONG, LONG._replace(summary="\u5b57" * 1000)])
def test_a_page_of_a_long_feed_has_less_than_100_kb(content: Content, full: bool) -> None:
    entries = tuple(make_entry(number, content=content._replace(title=f"Story {number}")) for number in range(300))
    page = render_all(make_feed(*entries, full=full, pages=3))["index.html"].body
    assert 60_000 < len(page) < 100_000
    text = page.decode()
    shown = [text.index(f">Story {number}<") for number in range(300)]
    assert shown == sorted(shown)
    assert 5 < text.count("<article") < 300


@pytest.mark.parametrize("full", [False, True])
def test_a_page_lists_every_entry_of_its_document(full: bool) -> None:
    """Also if that takes more than 100 KB."""
    for number, content in ((1000, LONG), (3, PLAIN._replace(link=f"https://a.example/{'p' * 60_000}"))):
        entries = tuple(make_entry(place, content=content._replace(title=f"Story {place}")) for place in range(number))
        text = text_of(make_feed(*entries, full=full), "index.html")
        assert [text.count(f">Story {place}<") for place in range(number)] == [1] * number
        assert text.count("<article") == 1


def test_a_page_with_room_for_all_cards_has_no_list() -> None:
    entries = tuple(make_entry(place) for place in range(100))
    text = text_of(make_feed(*entries), "index.html")
    assert (text.count("<article"), "More stories" in text) == (100, False)


def test_a_list_of_feeds_has_less_than_100_kb() -> None:
    text = "A description of the feed that says in some words what it is about"
    feeds = tuple(FeedSummary(f"topic-{n}", f"Topic number {n}", text, 9, NOON, NOON) for n in range(250))
    assert len(index_text(feeds)) < 100_000


def test_headings_and_pictures_of_a_body_fit_into_the_page() -> None:
    body = '<h2 dir="ltr">Part &gt; 1</h2><p><img src="https://a.example/1.png"><img src="https://a.example/2" alt="a > b"></p>'
    feed = make_feed(make_entry(content=PLAIN._replace(body_html=body)), full=True)
    page = text_of(feed, "index.html")
    loading = 'loading="lazy" referrerpolicy="no-referrer"'
    assert '<h3 dir="ltr">Part &gt; 1</h3>' in page
    assert f'<img {loading} alt="" src="https://a.example/1.png">' in page
    assert f'<img {loading} src="https://a.example/2" alt="a > b">' in page


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        ("1 2 3 2 1", "3 4 5 4 3"),
        ("2 3 4 5 6", "3 4 5 6 6"),
        ("4 4 6", "3 3 4"),
        ("3 2 4 3", "3 3 4 4"),  # begins below its second heading
    ],
)
def test_headings_of_a_body_continue_the_outline_of_the_page(levels: str, shown: str) -> None:
    body = "".join(f"<h{level}>Part</h{level}><p>Words</p>" for level in levels.split())
    page = text_of(make_feed(make_entry(content=PLAIN._replace(body_html=body)), full=True), "index.html")
    written = page.partition('<div class="body" dir="auto">')[2].partition("</details>")[0]
    assert re.findall(r"<h(\d)>Part</h\1>", written) == shown.split()
    assert body.count("<h") == written.count("<h") == written.count("</h")


def test_an_item_of_a_list_with_a_box_has_no_bullet_too() -> None:
    body = "<ul><li>☑ done</li><li>☐ open</li><li>plain</li></ul>"
    page = text_of(make_feed(make_entry(content=PLAIN._replace(body_html=body)), full=True), "index.html")
    assert '<ul><li class="task">☑ done</li><li class="task">☐ open</li><li>plain</li></ul>' in page


def test_a_table_of_a_body_scrolls_by_itself() -> None:
    table = (
        "<table><tbody><tr><td><table><tbody><tr><td>&lt;table&gt;</td></tr></tbody></table></td></tr></tbody></table>"
    )
    page = text_of(make_feed(make_entry(content=PLAIN._replace(body_html=table)), full=True), "index.html")
    shown = page.partition('<div class="body" dir="auto">')[2].partition("</details>")[0]
    assert shown.count('<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>') == 2
    assert shown.count("</table></div>") == 2


def test_without_remote_media_a_page_loads_nothing_of_other_hosts() -> None:
    body = (
        '<p>Text<img src="https://a.example/2" alt="<b> > "></p><video src="https://a.example/3" controls=""></video>'
    )
    content = EPISODE._replace(body_html=body, images=RICH.images)
    feed = make_feed(make_entry(content=content), full=True)
    page = text_of(feed, "index.html", options=replace(OPTIONS, remote_media=False), site=replace(SITE, icon=""))
    assert re.findall('<(?:audio|video|source|img(?! src="[.][.]/assets/))', page) == []
    assert '<div class="body" dir="auto"><p>Text</p></div>' in page
    assert "img-src 'self'; style-src" in html.unescape(page)
    assert '<a href="https://m.example/v.mp4" rel="noopener">v.mp4</a>' in page
    assert "og:image" not in page


def test_an_archive_page_for_people_leads_to_its_neighbours() -> None:
    middle, newest = (archive_documents(number, make_entry(1), feed=make_feed(pages=3)) for number in (2, 3))
    oldest = archive_documents(1, make_entry(1), feed=make_feed(pages=3))
    assert [document.path for document in middle] == ["ai/archive/0002.xml", "ai/archive/0002.html"]
    assert [document.path for document in newest[1:]] == ["ai/archive/0003.html", "ai/archive/index.html"]
    neighbours = [
        re.findall('<a class="button" href="([^"]*)"', document.body.decode())
        for document in (*oldest[1:], *middle[1:], *newest[1:])
    ]
    assert neighbours == [["0002.html"], ["0003.html", "0001.html"], ["../", "0002.html"], ["../", "0002.html"]]
    page = middle[1].body.decode()
    assert '<link rel="canonical" href="https://feeds.example/ai/archive/0002.html">' in page
    assert "<title>Older stories of AI – Notes, page 2</title>" in page
    assert "\0" not in page
    assert '<time datetime="2020-05-20">20 May 2020</time><span dir="auto"><a href="https://a.example/1?' in page
    start = newest[2].body.decode()
    assert re.findall('<li><a href="([^"]*)">', start) == ["0003.html", "0002.html", "0001.html"]
    assert '<link rel="canonical" href="https://feeds.example/ai/archive/">' in start


def test_an_archive_page_says_what_it_is_where_others_show_it() -> None:
    page = archive_documents(2, make_entry(1), feed=make_feed(pages=3))[1].body.decode()
    assert '<meta name="description" content="Older stories of AI, page 2 of the archive.">' in page


def test_an_archive_page_announces_the_feeds_and_not_itself() -> None:
    """Who follows an archive page would never get a new story."""
    feed = make_feed(pages=2)
    announced = re.findall('<link rel="alternate".*', text_of(feed, "index.html"))
    assert len(announced) == 3
    for document in archive_documents(2, make_entry(1), feed=feed)[1:]:
        assert re.findall('<link rel="alternate".*', document.body.decode()) == announced


def test_the_start_of_a_long_archive_links_to_some_pages() -> None:
    start = archive_documents(9999, make_entry(1), feed=make_feed(pages=9999))[2].body.decode()
    numbers = re.findall("<li><a href=[^>]*>([0-9]+)", start)
    assert (len(numbers), numbers[0], numbers[1]) == (200, "9999", "9949")


def test_archives_without_pages_are_only_for_readers() -> None:
    assert [document.path for document in archive_documents(3, pages=False)] == ["ai/archive/0003.xml"]


def languages_of(page: str) -> dict[str, str]:
    """The language of each text of a page, by the text."""
    texts = etree.HTML(page).xpath("//title/text() | //body//text()[normalize-space()]")
    return {" ".join(text.split()): text.getparent().xpath("ancestor-or-self::*[@lang][1]/@lang")[0] for text in texts}


OURS = {
    "Skip to the content", "All feeds", "Subscribe", "RSS", "Open in a reader", "Copy", "Search", "Other formats",
    "Older stories →", "More stories", "20 May 2020", "Changed", "Full story", "See also", "Video", "Everything",
    "By name", "2 stories",
    "newest", "Choose what interests you", "Older stories of", "← Newer stories", "Pages, newest first", "in",
    "No feed has these words.", "All feeds as OPML", "Page 2 of 2, the newest; page 1 has the oldest stories.",
    "Older stories of AI – Notes, page 2", "Older stories of Everything – Notes, page 2",
}  # fmt: skip


def test_our_texts_are_marked_as_english_on_pages_in_another_language() -> None:
    site, many = replace(SITE, language="ja"), tuple(make_entry(number, LONG) for number in range(2, 99))
    plain = RICH._replace(title="Schlagzeile")
    changes: dict[str, Any] = {
        "language": "ja",
        "full": True,
        "pages": 2,
        "older": Older(2, "urn:uuid:2", is_first=True),
    }
    feed = make_feed(make_entry(content=plain), *many, **changes)
    page = languages_of(text_of(feed, "index.html", site=site))
    archive = render.render_archive_page(feed, ArchivePage(2, NOON, feed.entries), site, OPTIONS)[2].body.decode()
    everything = render.render_archive_page(
        replace(feed, slug="all"), ArchivePage(2, NOON, feed.entries), site, OPTIONS
    )[2].body.decode()
    feeds = (*FEEDS, FeedSummary("maps", "Maps", "", 2, NOON, NOON, "ai"))
    seen = [page, languages_of(archive), languages_of(everything), languages_of(index_text(feeds, site))]
    assert {text for one in seen for text in one} >= OURS
    assert {one[text] for one in seen for text in OURS & one.keys()} == {"en"}
    assert (page["AI"], page["Title"], page["Schlagzeile"]) == ("ja", "ja", "de")
    assert languages_of(archive)["Schlagzeile"] == "de"
    assert languages_of(archive)["AI"] == "ja"
    assert text_of(make_feed(*many), "index.html").count('lang="en"') == 1


def test_the_page_of_everything_has_another_title_than_the_home_page() -> None:
    page = text_of(make_feed(slug="all", title="Notes"), "index.html")
    assert re.findall("<(title|h1)[^>]*>([^<]*)<", page) == [("title", "Everything – Notes"), ("h1", "Everything")]
    assert 'title="Notes (RSS)"' in page
    assert "<title>Notes</title>" in index_text()


def test_a_url_for_readers_of_the_device_has_a_form_that_they_take() -> None:
    for base, url in (
        ("http://a.example/", "feed://a.example/ai"),
        ("https://a.example/", "feed:https://a.example/ai"),
    ):
        page = text_of(make_feed(), "index.html", site=replace(SITE, base_url=base))
        assert f'href="{url}/rss.xml" title="Needs a feed reader on this device"' in page


def test_the_css_of_the_site_is_after_ours() -> None:
    for css in ("", "h1 { color: #123456 }"):
        documents = {
            one.path: one.body.decode() for one in render.render_index((), replace(SITE, stylesheet=css), OPTIONS)
        }
        assert documents["assets/style.css"].endswith(css)
        assert f"assets/style.css?{assets_version(css)}" in documents["index.html"]
    assert assets_version("") != assets_version(css)


def test_search_engines_find_every_page_and_no_search() -> None:
    documents = {one.path: one.body.decode() for one in render.render_index(FEEDS, SITE, OPTIONS)}
    assert documents["robots.txt"].splitlines() == [
        "User-agent: *",
        "Disallow: /search$",
        "Disallow: /search?",
        "Disallow: /search/",
        "Sitemap: https://feeds.example/sitemap.xml",
    ]
    urls = etree.fromstring(documents["sitemap.xml"].encode()).xpath("//*[local-name() = 'loc']/text()")
    assert urls == [SITE.base_url, f"{SITE.base_url}all/", f"{SITE.base_url}ai/"]


def test_pages_say_what_other_sites_show_of_them() -> None:
    page = text_of(make_feed(make_entry(content=RICH)), "index.html")
    for name, value in {
        "og:site_name": "Notes",
        "og:title": "AI – Notes",
        "og:url": "https://feeds.example/ai/",
        "og:description": "On AI",
        "og:image": "https://a.example/1.png",
    }.items():
        assert f'<meta property="{name}" content="{value}">' in page
    assert '<link rel="canonical" href="https://feeds.example/ai/">' in page


def test_pages_of_an_empty_site_and_feed_say_that_they_are_empty() -> None:
    empty = index_text(())
    assert "No topics yet" in empty
    assert '<p class="lede">Stories to read here' in empty
    assert b"No stories at the moment" in render_all(make_feed())["index.html"].body


# Right to left


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        *(("he", True), ("ar", True), ("fa-IR", True), ("ur", True), ("AR-eg", True), ("yi", True), ("ckb", True)),
        *(("en", False), ("", False), ("ku", False), ("tr", False), ("x-he", False)),
        *(("ku-Arab", True), ("ar-Latn", False), ("pa-Arab-PK", True), ("az-Latn-IR", False)),
        *(("ar-EG-u-nu-latn", True), ("ar-1994", True), ("en-x-arab", False)),
    ],
)
def test_the_script_of_a_language_decides_its_direction(language: str, expected: bool) -> None:
    assert is_right_to_left(language) == expected


def test_a_page_in_a_language_from_right_to_left_has_that_direction_and_our_texts_theirs() -> None:
    hebrew = PLAIN._replace(title="\u05e9\u05dc\u05d5\u05dd", language="he", body_html="<p>b</p>")
    feed = make_feed(make_entry(content=hebrew), full=True, language="he")
    page = text_of(feed, "index.html", site=replace(SITE, language="he"))
    assert page.startswith('<!doctype html>\n<html lang="he" dir="rtl">')
    for ours in ("Skip to the content</a>", "Full story</span>", "20 May 2020</time></p>", "Changed <time"):
        start = page.rindex("<", 0, page.index(ours))
        assert 'lang="en" dir="ltr"' in page[start : page.index(ours)], ours
    english = text_of(make_feed(make_entry(content=hebrew), full=True), "index.html")
    assert english.startswith('<!doctype html>\n<html lang="en">')
    assert 'dir="ltr"' not in english
    home = index_text(site=replace(SITE, language="fa"))
    assert '<html lang="fa" dir="rtl">' in home
    assert '<p class="lede" lang="en" dir="ltr">1 feed of stories' in home


def test_an_english_story_on_a_page_from_right_to_left_keeps_the_order_of_its_date() -> None:
    feed = make_feed(make_entry(content=PLAIN._replace(language="en")), language="ar")
    assert ' dir="ltr">20 May 2020</time>' in text_of(feed, "index.html")


def test_our_description_of_a_feed_is_an_english_sentence_around_its_title() -> None:
    title = "\u05d7\u05d3\u05e9\u05d5\u05ea"
    feed = replace(make_feed(), title=title, description=f"{title} from {SITE.title}")
    page = text_of(feed, "index.html")
    assert f'<p class="lede"><bdi>{title}</bdi> from <bdi>{SITE.title}</bdi></p>' in page
    assert '<p class="lede" dir="auto">On AI</p>' in text_of(make_feed(), "index.html")


def test_the_fields_for_words_take_the_direction_of_what_is_written() -> None:
    fields = re.findall(r'<input type="search"[^>]*>', index_text())
    assert len(fields) == 2
    assert all('dir="auto"' in field for field in fields)
