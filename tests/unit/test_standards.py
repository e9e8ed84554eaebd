"""Every document that we publish keeps to its standard, and each rule finds a document that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import standards
from conftest import SiteFolder

from aggregator import render
from aggregator.model import ArchivePage, Content, Entry, Feed, Related, Topic, Withdrawal
from aggregator.settings import OutputOptions, Site

BASE_URL = "https://feeds.example.org/"

ATOM = """\
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"
  xmlns:media="http://search.yahoo.com/mrss/">
<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3</id><title>AI &amp; more</title>
<subtitle type="html">On &lt;b&gt;AI&lt;/b&gt;</subtitle><updated>2024-05-20T12:00:00Z</updated>
<author><name>Notes</name><uri>https://notes.example/</uri></author>
<link href="https://feeds.example.org/ai/atom.xml" rel="self" type="application/atom+xml"/>
<link href="https://hub.example/" rel="hub"/>
<link href="https://feeds.example.org/ai/archive/0002.xml" rel="prev-archive" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/" rel="alternate" type="text/html"/>
<generator uri="https://maker.example/">maker</generator>
<icon>https://notes.example/icon.png</icon><rights>© Notes</rights>
<at:deleted-entry ref="urn:uuid:00000000-0000-0000-0000-000000000009" when="2024-05-20T11:00:00+00:00"/><entry>
<id>urn:uuid:00000000-0000-0000-0000-000000000001</id><title>One</title>
<updated>2024-05-20T12:00:00+00:00</updated><published>2024-05-20T10:00:00.5+02:00</published>
<link href="https://zdnet.example/1" rel="alternate"/><link href="https://b.example/1" rel="via"/>
<summary>a &lt; b</summary><category term="ai" scheme="https://feeds.example.org/#topic" label="AI"/>
<content type="html">&lt;p&gt;Text &lt;a href="https://a.example/"&gt;here&lt;/a&gt;&lt;br&gt;&lt;ul&gt;&lt;li&gt;x&lt;/ul&gt;</content>
<media:content url="https://a.example/1.png" medium="image" width="12" height="7"/></entry>
<entry><id>tag:a.example,2024:2</id><title>Two</title><updated>2024-05-19T12:00:00Z</updated>
<link href="https://zdnet.example/2"/></entry>
</feed>
"""

ARCHIVE = """\
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:fh="http://purl.org/syndication/history/1.0">
<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3</id><title>AI</title><updated>2024-05-01T12:00:00Z</updated>
<author><name>Notes</name></author>
<link href="https://feeds.example.org/ai/archive/0002.xml" rel="self" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/atom.xml" rel="current" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/archive/0001.xml" rel="prev-archive" type="application/atom+xml"/>
<fh:archive/><entry><id>urn:uuid:00000000-0000-0000-0000-000000000003</id><title>Three</title>
<updated>2024-05-01T12:00:00Z</updated><link href="https://a.example/3" rel="alternate"/></entry>
</feed>
"""

RSS = """\
<rss xmlns:atom="http://www.w3.org/2005/Atom" xmlns:content="http://purl.org/rss/1.0/modules/content/"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/" version="2.0"><channel>
<title>AI</title><link>https://feeds.example.org/ai/</link><description>On AI</description>
<atom:link href="https://feeds.example.org/ai/rss.xml" rel="self" type="application/rss+xml"/>
<atom:link href="https://hub.example/" rel="hub"/>
<atom:link href="https://feeds.example.org/ai/archive/0002.xml" rel="prev-archive" type="application/atom+xml"/>
<language>en</language><copyright>© Notes</copyright><lastBuildDate>Mon, 20 May 2024 12:00:00 +0000</lastBuildDate>
<ttl>15</ttl><image><url>https://notes.example/icon.png</url><title>AI</title><link>https://feeds.example.org/ai/</link></image>
<item><title>One</title><link>https://zdnet.example/1</link><description>a &amp;lt; b</description>
<guid isPermaLink="false">urn:uuid:1</guid><category domain="https://feeds.example.org/#topic">AI</category>
<pubDate>Mon, 20 May 2024 10:00:00 +0000</pubDate><enclosure url="https://a.example/1.mp3" length="9" type="audio/mpeg"/>
<source url="https://b.example/rss.xml">B</source><content:encoded>&lt;p&gt;Text&lt;/p&gt;</content:encoded>
<atom:updated>2024-05-20T12:00:00+00:00</atom:updated><dc:creator>ZDNet</dc:creator><dc:language>de</dc:language>
<media:content url="https://a.example/1.png" medium="image" width="12" height="7"/></item>
<item><title>Two</title><guid>https://a.example/2</guid></item>
</channel></rss>
"""

JSON = """\
{"version": "https://jsonfeed.org/version/1.1", "title": "AI", "home_page_url": "https://feeds.example.org/ai/",
"feed_url": "https://feeds.example.org/ai/feed.json", "language": "en", "authors": [{"name": "Notes"}],
"hubs": [{"type": "WebSub", "url": "https://hub.example/"}], "items": [
{"id": "urn:uuid:1", "url": "https://a.example/1", "title": "One", "content_html": "<p>Text</p>", "tags": ["AI"],
"date_published": "2024-05-20T10:00:00+00:00", "authors": [{"name": "ZDNet", "url": "https://zdnet.example/"}],
"attachments": [{"url": "https://a.example/1.mp3", "mime_type": "audio/mpeg"}], "_aggregator": {"type": "article"}},
{"id": "urn:uuid:2", "content_text": "Two"}]}
"""

OPML = """\
<opml version="2.0"><head><title>Feeds</title><ownerName>Notes</ownerName></head><body>
<outline type="rss" text="AI" title="AI" xmlUrl="https://feeds.example.org/ai/rss.xml" htmlUrl="https://feeds.example.org/ai/"/>
<outline type="rss" text="B" title="B" xmlUrl="https://feeds.example.org/b/rss.xml" version="RSS2" language="en"/>
</body></opml>
"""

GOOD = {
    "ai/atom.xml": ATOM,
    "ai/archive/0002.xml": ARCHIVE,
    "ai/rss.xml": RSS,
    "ai/feed.json": JSON,
    "opml.xml": OPML,
}
DELETED = '<at:deleted-entry ref="urn:uuid:00000000-0000-0000-0000-000000000009" when="2024-05-20T11:00:00+00:00"/>'
LINK = '<link href="https://zdnet.example/2"/>'
MARKER = "<fh:archive xmlns:fh='http://purl.org/syndication/history/1.0'/>"
PREVIOUS = (
    '<link href="https://feeds.example.org/ai/archive/0001.xml" rel="prev-archive" type="application/atom+xml"/>\n'
)
CURRENT = '<link href="https://feeds.example.org/ai/atom.xml" rel="current" type="application/atom+xml"/>\n'

# What of a good document becomes what, and a part of the complaint.
BROKEN: dict[str, list[tuple[str, str, str]]] = {
    "ai/atom.xml": [
        ("</feed>", "", "not well-formed"),
        ("<title>One</title>", "<title>One</title><title>One</title>", "Appendix B"),
        ("<updated>2024-05-19T12:00:00Z</updated>", "", "Appendix B"),
        ("<summary>a &lt; b</summary>", "<summary>a <b>b</b></summary>", "Appendix B"),
        ("http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#", "Appendix B"),
        ("&lt;p&gt;Text", "&lt;script&gt;1&lt;/script&gt;Text", "holds <script>"),
        ("&lt;p&gt;Text", "&lt;p onclick='x'&gt;Text", "holds the attribute onclick"),
        ("&lt;p&gt;Text", "&lt;img src='1.png'&gt;", "src is no absolute URL: '1.png'"),
        ("&lt;p&gt;Text", "&lt;img srcset='https://a.example/1.png 1x, 2.png 2x'/&gt;", "srcset is no absolute"),
        ('"https://a.example/"', '"javascript:x"', "href is no absolute URL"),
        ("&lt;/a&gt;", "", "<a> is not closed"),
        ("&lt;/ul&gt;", "&lt;/ol&gt;", "</ol> closes nothing"),
        ("On &lt;b&gt;", "On ", "</b> closes nothing"),
        ("<uri>https://notes.example/", "<uri>notes example", "is no IRI"),
        ("https://notes.example/icon.png", "icon.png", "is no IRI"),
        ('uri="https://maker.example/"', 'uri="a maker"', "has no IRI"),
        ('scheme="https://feeds.example.org/#topic"', 'scheme="topic"', "has no IRI"),
        ('term="ai"', 'term=""', "has an empty term"),
        ("2024-05-20T12:00:00Z", "2024-05-20t12:00:00z", "RFC 4287 3.3"),
        ("2024-05-19T12:00:00Z", "2024-05-19T12:00:00", "RFC 4287 3.3"),
        ("2024-05-19T12:00:00Z", "2024-02-30T12:00:00Z", "RFC 4287 3.3"),
        ("<author><name>Notes</name><uri>https://notes.example/</uri></author>", "", "has no author, nor has the feed"),
        ('rel="via"', 'rel="alternate"', "has several alternate links"),
        ("<title>AI &amp; more</title>", "<title> </title>", "has an empty title"),
        (LINK, "", "has neither content nor an alternate link"),
        ("<id>tag:a.example,2024:2", "<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3", "is there 2 times"),
        ("tag:a.example,2024:2", "https://a.example/a b", "the id is no absolute IRI"),
        ("tag:a.example,2024:2", "urn:uuid:2", "the id is no absolute IRI"),
        ("tag:a.example,2024:2", "https:///2", "the id is no absolute IRI"),
        ('"https://zdnet.example/1"', '"/1"', "href is no absolute URL"),
        ('"https://zdnet.example/1"', '"https://zdnet.example/é"', "href is no absolute URL"),
        ('"https://zdnet.example/1"', '"https://zdnet.example/%zz"', "href is no absolute URL"),
        ('rel="via"', 'rel="original"', "rel is not one that we use"),
        ('rel="self" type="application/atom+xml"', 'rel="self" type="atom"', "type is no media type"),
        ('rel="via"', 'rel="prev-archive"', "has a link that a feed has, not an entry"),
        (' rel="self"', ' rel="related"', "the self links are []"),
        ('rel="via"', 'rel="hub"', "is no hub of the feed"),
        ("urn:uuid:00000000-0000-0000-0000-000000000009", "9", "ref is no absolute IRI"),
        ("2024-05-20T11:00:00+00:00", "2024-05-20", "when is no date and time"),
        (DELETED, DELETED * 2, "is removed twice"),
        ('000000000009" when="2024-05-20T11', '000000000001" when="2024-05-20T12', "removes an entry that is there"),
        (f"{DELETED}<entry>", f"<entry>{DELETED}", "is no child of the feed"),
        ("<updated>2024-05-20T12:00:00Z", "<updated>2024-05-20T11:00:00Z", "readers skip what is newer"),
        ('medium="image"', 'medium="picture"', "has an unknown medium"),
        ('width="12"', 'width="0"', "width is no positive number"),
        ('content url="https://a.example/1.png"', 'content url="1.png"', "url is no absolute URL"),
        (
            "<generator",
            '<media:content url="https://a.example/"/><generator',
            "is in {http://www.w3.org/2005/Atom}feed",
        ),
        ("<generator", f"{MARKER}<generator", "one empty fh:archive"),
        ("archive/0002.xml", "archive/2.xml", "prev-archive is not one page of this feed"),
        ('rel="hub"', 'rel="next-archive"', "has a next-archive"),
        ('rel="hub"', 'rel="current"', "current is not the subscription document"),
    ],
    "ai/archive/0002.xml": [
        ("<fh:archive/>", "", "one empty fh:archive"),
        ("<fh:archive/>", "<fh:archive>yes</fh:archive>", "one empty fh:archive"),
        (PREVIOUS, "", "prev-archive of page 2 is []"),
        (PREVIOUS, PREVIOUS * 2, "prev-archive of page 2 is"),
        ("0001.xml", "0003.xml", "prev-archive of page 2 is"),
        (CURRENT, "", "current is not the subscription document of this feed: []"),
        (CURRENT, CURRENT + PREVIOUS.replace("prev", "next"), "has a next-archive"),
        ("ai/atom.xml", "b/atom.xml", "current is not the subscription document of this feed"),
        ("archive/0002.xml", "atom.xml", "the self links are"),
    ],
    "ai/rss.xml": [
        ("</channel>", "", "not well-formed"),
        ('version="2.0"', 'version="0.91"', "is no <rss version='2.0'>"),
        ("<ttl>", "<date/><ttl>", "holds <date>"),
        ("<ttl>", "<ttl>15</ttl><ttl>", "holds several <ttl>"),
        ("</channel>", "<docs>https://a.example/</docs></channel>", "comes behind an item"),
        ("<description>On AI</description>", "<description/>", "the channel has no description"),
        ("<title>Two</title>", "", "has no title"),
        ("<ttl>15", "<ttl>0", "ttl is no number of minutes"),
        ("<guid>https://a.example/2</guid>", "", "has no guid"),
        ("<guid>https://a.example/2</guid>", '<guid isPermaLink="false">urn:uuid:1</guid>', "missing or there twice"),
        ("<guid>https://a.example/2", "<guid>urn:uuid:2", "isPermaLink says so"),
        ("Mon, 20 May 2024 10", "Tue, 20 May 2024 10", "is no date of RFC 822"),
        ("Mon, 20 May 2024 10:00:00 +0000", "Mon, 20 May 24 10:00:00 +0000", "is no date of RFC 822"),
        ("Mon, 20 May 2024 10:00:00 +0000", "Mon, 20 May 2024 10:00:00 CET", "is no date of RFC 822"),
        ("20 May 2024 12:00:00 +0000", "20 May 2024 11:00:00 +0000", "readers skip what is newer"),
        ("2024-05-20T12:00:00+00:00", "2024-05-20", "RFC 4287 3.3"),
        ("<link>https://zdnet.example/1", "<link>https://zdnet.example/é", "is no absolute URL"),
        ('source url="https://b.example/rss.xml"', 'source url="rss.xml"', "url is no absolute URL"),
        ('length="9" ', "", "has no length or no type"),
        ("<language>en", "<language>english!", "is no language"),
        ("</url><title>AI", "</url><title>A", "has not the title of its channel"),
        ("ai/</link></image>", "b/</link></image>", "has not the link of its channel"),
        ("icon.png", "icon.svg", "is no GIF, JPEG or PNG"),
        ("a &amp;lt; b", "a &lt;script&gt;", "holds <script>"),
        ("&lt;p&gt;Text&lt;/p&gt;", '&lt;a href="/x"&gt;x&lt;/a&gt;', "href is no absolute URL"),
        ("<source", "<content:encoded>x</content:encoded><source", "has content:encoded twice"),
        ("<description>a", "<content:encoded>x</content:encoded><description>a", "before its description"),
        ("<dc:creator>", "<dc:date>2024-05-20</dc:date><dc:creator>", "says the same by pubDate"),
        ("<title>One<", "<title>&lt;b&gt;One&lt;/b&gt;<", "has what readers take for HTML"),
        ("<title>One<", "<title>R&amp;amp;D<", "has what readers take for HTML"),
        (' rel="self"', ' rel="related"', "the self links are []"),
        ('href="https://hub.example/"', 'href="urn:x-hub:1"', "is no hub of the feed"),
        ('rel="hub"', 'rel="centre"', "rel is not one that we use"),
        ("archive/0002.xml", "archive/", "prev-archive is not one page of this feed"),
        ('medium="image"', 'medium="picture"', "has an unknown medium"),
    ],
    "ai/feed.json": [
        ("]}\n", "]", "not well-formed"),
        ('"title": "AI",', '"title": "AI", "title": "B",', "not well-formed: a name is there twice"),
        ('{"version"', '\ufeff{"version"', "not well-formed"),
        ('"items": [', '"items": "none", "_items": [', "is no object with a list of items"),
        ("version/1.1", "version/1", "version is"),
        ('"title": "AI",', "", "the title is missing"),
        ("ai/feed.json", "b/feed.json", "the document is at"),
        ('"authors": [{"name": "Notes"}]', '"author": {"name": "Notes"}', "'author' is no member"),
        ("_aggregator", "aggregator", "'aggregator' is no member"),
        ('"type": "WebSub", ', "", "hubs: has no type"),
        ('[{"name": "Notes"}]', "[{}]", "authors: has no name"),
        ('"https://a.example/1"', '"/1"', "url is no absolute URL"),
        ('"title": "One"', '"title": 1', "title is no text"),
        ('"language": "en"', '"language": "en_GB!"', "language is no language"),
        ('"id": "urn:uuid:2", ', "", "item: has no id"),
        ('"urn:uuid:2"', "2", "id is no text"),
        ("urn:uuid:2", "urn:uuid:1", "is there 2 times"),
        (', "content_text": "Two"', "", "has no content"),
        ("<p>Text</p>", "<script></script>", "holds <script>"),
        ("2024-05-20T10:00:00+00:00", "Mon, 20 May 2024 10:00:00 +0000", "is no date and time of RFC 3339"),
        ("audio/mpeg", "audio", "mime_type is no media type"),
        ('["AI"]', '["AI", 5]', "a tag is no text"),
    ],
    "opml.xml": [
        ("</body>", "", "not well-formed"),
        ('version="2.0"', 'version="1.0"', "is no <opml version='2.0'>"),
        ('text="AI"', 'text=""', "has no text or no title"),
        ('type="rss" text="AI"', 'text="AI"', "is not of type rss"),
        ("https://feeds.example.org/ai/rss.xml", "ai/rss.xml", "is no absolute URL"),
        ("org/b/rss.xml", "org/ai/rss.xml", "a feed is there twice"),
        (OPML[OPML.index("<outline") : OPML.index("</body>")], "", "the body has no outline"),
    ],
}
# What a good document may have in place of something.
ALLOWED = [
    ("ai/atom.xml", "000000000009", "000000000001"),
    ("ai/atom.xml", '"https://a.example/"', '"mailto:a@a.example"'),
    ("ai/rss.xml", "+0000", "GMT"),
    ("ai/rss.xml", "icon.png", "icon"),
    ("ai/rss.xml", "<description>a &amp;lt; b</description>", ""),
    ("ai/rss.xml", RSS[RSS.index("<item>") : RSS.index("</channel>")], ""),
    ("ai/feed.json", '"content_html"', '"content_text": "Text", "content_html"'),
]
CASES = [(path, *case) for path, cases in BROKEN.items() for case in cases]


@pytest.mark.parametrize("path", GOOD)
def test_a_good_document_has_no_complaints(path: str) -> None:
    assert standards.complaints(path, GOOD[path].encode(), BASE_URL) == []


@pytest.mark.parametrize(("path", "old", "new"), ALLOWED)
def test_what_is_allowed_brings_no_complaint(path: str, old: str, new: str) -> None:
    assert old in GOOD[path]
    assert standards.complaints(path, GOOD[path].replace(old, new).encode(), BASE_URL) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"), CASES, ids=[f"{path}-{what}" for path, _, _, what in CASES]
)
def test_a_rule_finds_a_document_that_breaks_it(path: str, old: str, new: str, expected: str) -> None:
    assert old in GOOD[path]
    found = standards.complaints(path, GOOD[path].replace(old, new).encode(), BASE_URL)
    assert any(expected in complaint for complaint in found), found


def test_every_rule_is_broken_by_some_document() -> None:
    found = {
        complaint
        for path, old, new, _ in CASES
        for complaint in standards.complaints(path, GOOD[path].replace(old, new).encode(), BASE_URL)
    }
    for kind, rules in standards.RULES.items():
        ours = [complaint for complaint in found if standards.kind_of(complaint.split(": ")[0]) == kind]
        for rule in rules:
            assert any(f": {rule.source}: " in complaint for complaint in ours), (kind, rule.source)


@pytest.mark.parametrize("path", ["ai/atom.xml", "ai/rss.xml"])
def test_a_document_in_another_encoding_than_it_is_served_in_is_found(path: str) -> None:
    latin = f'<?xml version="1.0" encoding="iso-8859-1"?>{GOOD[path]}'.encode("iso-8859-1")
    assert [one for one in standards.complaints(path, latin, BASE_URL) if ": feedparser: " in one]


def test_the_first_page_of_an_archive_has_no_page_before_it() -> None:
    first = ARCHIVE.replace(PREVIOUS, "").replace("archive/0002.xml", "archive/0001.xml")
    assert standards.complaints("ai/archive/0001.xml", first.encode(), BASE_URL) == []
    second = ARCHIVE.replace("archive/0002.xml", "archive/0001.xml", 1)
    assert standards.complaints("ai/archive/0001.xml", second.encode(), BASE_URL)


def files_of(output: Path) -> dict[str, bytes]:
    """The documents of an output folder that some standard is about, by path."""
    found = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if standards.kind_of(name)}


def assert_good(documents: dict[str, bytes]) -> None:
    """No document breaks a rule of its standard."""
    found = [complaint for path, body in documents.items() for complaint in standards.complaints(path, body, BASE_URL)]
    assert not found, "\n".join(found)


SITE_TABLE = """
[site]
id = "feeds.example.org"
title = "Notes & more"
base_url = "https://feeds.example.org/"
author = "Ann <ann>"
icon = "https://notes.example/icon.png"
copyright = "© Notes"
language = "en"
"""


def test_a_site_with_all_that_records_may_say_keeps_to_the_standards(
    make_site: Callable[..., SiteFolder], make_store_url: Callable[[str], str]
) -> None:
    site = make_site(make_store_url("sqlite"))
    site.config_file.write_text(f'{SITE_TABLE}[store]\nurl = "{site.url}"\n[ingest]\nworkers = 0\n')
    site.record(
        "rich.md",
        title="a < b & \u202b\u05d0\u202c <b>bold</b> \U0001f600",
        excerpt="It's 5 < 6 & <i>so</i> on",
        webUrl="https://a.example/päth?x=1&y=<2>",
        originalUrl="https://b.example/1",
        publishedDateTime="2020-05-20T12:00:00+02:00",
        updatedDateTime="2020-05-21T12:00:00Z",
        provider={"name": "ZDNet & co", "domain": "zdnet.example"},
        topics=["C#", "Größe", "R&D"],
        category="news",
        type="article",
        locale="de-de",
        images=[{"url": "https://a.example/1.png", "width": 1200, "height": 675}, {"url": "https://a.example/ü.png"}],
        featuredContent='<iframe src="https://www.youtube.com/embed/x"></iframe>',
        enclosure=["https://a.example/ü.mp3?a=1&b=2 12345 audio/mpeg", "https://a.example/notes"],
        related=[{"title": "More <b>", "webUrl": "https://c.example/1"}],
    )
    site.write("body.md", "---\ntitle: A body\nwebUrl: https://a.example/2\n---\nSome *text*, [a link](/x) and more.\n")
    site.write("bare.md", "---\ntitle: A title alone\n---\n")
    site.record("own.md", id="tag:a.example,2024:own", published=True, excerpt="Mine")
    site.record("gone.md", webUrl="https://a.example/gone", topics=["C#"])
    site.run("2024-05-01 12:00")
    site.record("gone.md", webUrl="https://a.example/gone", topics=["C#"], published=False)
    site.run("2024-05-02 12:00")
    documents = files_of(site.output)
    assert b"deleted-entry" in documents["all/atom.xml"]
    assert_good(documents)


NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
OPTIONS = OutputOptions(("rss", "atom", "json"), pages=True, max_bytes=1_000_000)
SITE = Site("Notes", BASE_URL, "en", "Ann", "https://notes.example/i.png", "© Notes", 15, ("https://hub.example/",))
BARE = Content("Title", "", "", None, None, None, (), "", "", "", (), None, ())
CONTENTS = (
    BARE,
    BARE._replace(link="https://a.example/1"),
    BARE._replace(summary="a < b"),
    BARE._replace(body_html='<p>Text, <a href="https://a.example/">a link</a></p>'),
    BARE._replace(link="https://a.example/1", summary="a < b", body_html="<p>Text</p>", language="de"),
    BARE._replace(related=(Related("https://c.example/1", "More"),), video_url="https://v.example/1"),
)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pages", [0, 3])
def test_a_feed_with_whatever_entries_keeps_to_the_standards(full: bool, pages: int) -> None:
    entries = tuple(
        Entry(f"urn:x-test:{number}", NOON - timedelta(hours=number), NOON, (Topic("ai", "AI"),), content)
        for number, content in enumerate(CONTENTS)
    )
    gone = (Withdrawal("urn:x-test:gone", NOON - timedelta(hours=1)),)
    feed = Feed("ai", "urn:x-test:ai", "AI", "On AI", "en", NOON, full, 1, entries, gone, pages=pages)
    empty = replace(feed, slug="b", entries=(), withdrawn=(), image="https://notes.example/ai.png")
    documents = [
        *render.render_feed(feed, SITE, OPTIONS),
        *render.render_feed(empty, SITE, OPTIONS),
        *(render.render_archive_page(feed, ArchivePage(number, NOON, entries), SITE, OPTIONS)[0] for number in (1, 2)),
    ]
    assert_good({one.path: one.body for one in documents if standards.kind_of(one.path)})
