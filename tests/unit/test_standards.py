"""Every document that we publish keeps to its standard; and each rule finds a document that does not."""

from __future__ import annotations

import os
import subprocess
import sys
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
SHARED = Path(os.environ.get("AGGREGATOR_SHARED", Path(__file__).parents[3] / "shared"))

ATOM = """\
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"
  xmlns:media="http://search.yahoo.com/mrss/" xmlns:thr="http://purl.org/syndication/thread/1.0" xml:lang="en">
<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3</id>
<title>AI &amp; more</title>
<subtitle type="html">On &lt;b&gt;AI&lt;/b&gt;</subtitle>
<updated>2024-05-20T12:00:00Z</updated>
<author><name>Notes</name><uri>https://notes.example/</uri><email>a@notes.example</email></author>
<link href="https://feeds.example.org/ai/atom.xml" rel="self" type="application/atom+xml"/>
<link href="https://hub.example/" rel="hub"/>
<link href="https://feeds.example.org/ai/archive/0002.xml" rel="prev-archive" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/" rel="alternate" type="text/html" hreflang="en"/>
<generator uri="https://maker.example/">maker</generator>
<icon>https://notes.example/icon.png</icon>
<rights>© Notes</rights>
<at:deleted-entry ref="urn:uuid:00000000-0000-0000-0000-000000000009" when="2024-05-20T11:00:00+00:00"/>
<entry xml:lang="de"><id>urn:uuid:00000000-0000-0000-0000-000000000001</id><title>One</title>
<updated>2024-05-20T12:00:00+00:00</updated><published>2024-05-20T10:00:00.5+02:00</published>
<author><name>ZDNet</name><uri>https://zdnet.example/</uri></author>
<link href="https://zdnet.example/1" rel="alternate"/><link href="https://b.example/1" rel="via"/>
<link href="https://c.example/1" rel="related" title="More"/>
<summary>a &lt; b</summary><category term="ai" scheme="https://feeds.example.org/#topic" label="AI"/>
<content type="html">&lt;p&gt;Text &lt;a href="https://a.example/"&gt;here&lt;/a&gt;&lt;br&gt;&lt;ul&gt;&lt;li&gt;x&lt;/ul&gt;</content>
<thr:in-reply-to ref="urn:uuid:00000000-0000-0000-0000-000000000008"/>
<media:content url="https://a.example/1.png" medium="image" type="image/png" width="12" height="7"/>
<media:thumbnail url="https://a.example/1.png"/><media:player url="https://v.example/1"/></entry>
<entry><id>tag:a.example,2024:2</id><title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">T<b>wo</b></div></title>
<updated>2024-05-19T12:00:00Z</updated><summary>A picture</summary>
<content type="image/png" src="https://a.example/2.png"/></entry>
</feed>
"""

ARCHIVE = """\
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:fh="http://purl.org/syndication/history/1.0" xml:lang="en">
<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3</id><title>AI</title><updated>2024-05-01T12:00:00Z</updated>
<author><name>Notes</name></author>
<link href="https://feeds.example.org/ai/archive/0002.xml" rel="self" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/atom.xml" rel="current" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/archive/0001.xml" rel="prev-archive" type="application/atom+xml"/>
<link href="https://feeds.example.org/ai/" rel="alternate" type="text/html"/>
<fh:archive/>
<entry><id>urn:uuid:00000000-0000-0000-0000-000000000003</id><title>Three</title><updated>2024-05-01T12:00:00Z</updated>
<link href="https://a.example/3" rel="alternate"/><summary>Text</summary></entry>
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
<managingEditor>a@notes.example (Notes)</managingEditor><ttl>15</ttl>
<skipHours><hour>0</hour></skipHours><skipDays><day>Sunday</day></skipDays>
<image><url>https://notes.example/icon.png</url><title>AI</title><link>https://feeds.example.org/ai/</link>
<width>88</width><height>31</height></image>
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
"feed_url": "https://feeds.example.org/ai/feed.json", "language": "en", "authors": [{"name": "Notes"}], "expired": false,
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
DELETED = '<at:deleted-entry ref="urn:uuid:00000000-0000-0000-0000-000000000009" when="2024-05-20T11:00:00+00:00"/>\n'
ATOM_CONTENT = '<content type="image/png" src="https://a.example/2.png"/>'
PREVIOUS = (
    '<link href="https://feeds.example.org/ai/archive/0001.xml" rel="prev-archive" type="application/atom+xml"/>\n'
)
CURRENT = '<link href="https://feeds.example.org/ai/atom.xml" rel="current" type="application/atom+xml"/>\n'
TWICE = (
    "<entry><id>tag:a.example,2024:2</id><title>Two</title><updated>2024-05-19T12:00:00Z</updated>"
    "<summary>Text</summary><content>Text</content></entry>"
)

# What of a good document becomes what, and a part of the complaint.
BROKEN: dict[str, list[tuple[str, str, str]]] = {
    "ai/atom.xml": [
        ("</feed>", "", "not well-formed"),
        ("<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3</id>\n", "", "Appendix B"),
        ("<title>One</title>", "<title>One</title><title>One</title>", "Appendix B"),
        ("<updated>2024-05-19T12:00:00Z</updated>", "", "Appendix B"),
        ("<updated>2024-05-19T12:00:00Z</updated>", "<updated>2024-05-19</updated>", "Appendix B"),
        ("<name>ZDNet</name>", "", "Appendix B"),
        ("<name>ZDNet</name>", "<name>A</name><name>B</name>", "Appendix B"),
        ('term="ai" ', "", "Appendix B"),
        ('href="https://b.example/1" ', "", "Appendix B"),
        ('rel="self" ', 'rel="self" length="1" size="1" ', "Appendix B"),
        ('type="html">On', 'type="xhtml">On', "Appendix B"),
        ('type="html">On', 'type="text/html">On', "Appendix B"),
        (ATOM_CONTENT, ATOM_CONTENT * 2, "Appendix B"),
        (ATOM_CONTENT, '<content src="https://a.example/2.png">Text</content>', "Appendix B"),
        ("<rights>", "<copyright>c</copyright><rights>", "Appendix B"),
        ("</feed>", f"{DELETED}</feed>", "Appendix B"),
        ("http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#", "RFC 4287 2: is no feed"),
        ("<summary>a &lt; b</summary>", "<summary>a <b>b</b></summary>", "of type text has child elements"),
        ("&lt;p&gt;Text", "&lt;script&gt;1&lt;/script&gt;Text", "holds <script>"),
        ("&lt;p&gt;Text", "&lt;bold&gt;Text&lt;/bold&gt;", "holds <bold>"),
        ("&lt;p&gt;Text", "&lt;iframe src='https://a.example/'&gt;&lt;/iframe&gt;", "holds <iframe>"),
        ("&lt;p&gt;Text", "&lt;p onclick='x'&gt;Text", "holds the attribute onclick"),
        ("&lt;p&gt;Text", "&lt;p style='x'&gt;Text", "holds the attribute style"),
        ("&lt;p&gt;Text", "&lt;img src='1.png'&gt;", "src is no absolute address: '1.png'"),
        ("&lt;p&gt;Text", "&lt;img srcset='https://a.example/1.png 1x, 2.png 2x'/&gt;", "srcset is no absolute"),
        ('"https://a.example/"', '"javascript:x"', "href is no absolute address"),
        ("&lt;/a&gt;", "", "<a> is not closed"),
        ("&lt;/ul&gt;", "&lt;/ol&gt;", "</ol> closes nothing"),
        ("&lt;p&gt;Text", "&lt;em&gt;Text", "<em> is not closed"),
        ("<name>ZDNet</name>", "<name> </name>", "<author> has no name"),
        ("<uri>https://notes.example/", "<uri>notes example", "has no IRI in its uri"),
        ("a@notes.example", "a@", "has no address in its email"),
        ("2024-05-20T12:00:00Z", "2024-05-20t12:00:00z", "RFC 4287 3.3"),
        ("2024-05-19T12:00:00Z", "2024-05-19T12:00:00", "RFC 4287 3.3"),
        ("2024-05-19T12:00:00Z", "2024-02-30T12:00:00Z", "RFC 4287 3.3"),
        ("2024-05-20T10:00:00.5+02:00", "2024-05-20 10:00:00Z", "RFC 4287 3.3"),
        (
            "<author><name>Notes</name><uri>https://notes.example/</uri><email>a@notes.example</email></author>",
            "",
            "has no author, nor has the feed",
        ),
        ('rel="via"', 'rel="alternate"', "has 2 alternate links"),
        (
            '<link href="https://hub.example/" rel="hub"/>',
            '<link href="https://a.example/" type="text/html" hreflang="en"/>',
            "has 2 alternate links",
        ),
        ("</feed>", f"{TWICE}</feed>", "stands 2 times with one date"),
        ("<id>tag:a.example,2024:2", "<id>urn:uuid:12560564-3f12-5283-8252-31119f8caff3", "has the id of the feed"),
        ("<title>AI &amp; more</title>", "<title> </title>", "has an empty title"),
        (ATOM_CONTENT, "", "has neither content nor an alternate link"),
        ("<summary>A picture</summary>", "", "is elsewhere or not text, and there is no summary"),
        (
            "<summary>A picture</summary>\n" + ATOM_CONTENT,
            '<content type="image/png">AAAA</content>',
            "not text, and there is no summary",
        ),
        ('src="https://a.example/2.png"', 'src="2 .png"', "src is no IRI"),
        ('type="image/png" src=', 'type="multipart/mixed" src=', "has a composite type"),
        ('term="ai"', 'term=""', "has an empty term"),
        ('scheme="https://feeds.example.org/#topic"', 'scheme="topic"', "scheme is no IRI"),
        (">maker<", "> <", "RFC 4287 4.2.4"),
        ('uri="https://maker.example/"', 'uri="a maker"', "RFC 4287 4.2.4"),
        ("https://notes.example/icon.png", "icon.png", "RFC 4287 4.2.5"),
        ("tag:a.example,2024:2", "/2", "RFC 4287 4.2.6"),
        ("tag:a.example,2024:2", "https://a.example/a b", "RFC 4287 4.2.6"),
        ("tag:a.example,2024:2", "urn:uuid:2", "RFC 4287 4.2.6"),
        ("tag:a.example,2024:2", "https:///2", "RFC 4287 4.2.6"),
        ('"https://zdnet.example/1"', '"/1"', "href is no absolute address"),
        ('"https://zdnet.example/1"', '"https://zdnet.example/é"', "href is no absolute address"),
        ('"https://zdnet.example/1"', '"https://zdnet.example/%zz"', "href is no absolute address"),
        ('rel="via"', 'rel="original"', "rel is neither registered nor an IRI"),
        ('rel="self" type="application/atom+xml"', 'rel="self" type="atom/x/y"', "type is no media type"),
        ('rel="via"', 'rel="via" length="long"', "length is no number"),
        ('title="More"', 'title=""', "has an empty title, or a text"),
        ('rel="via"', 'rel="prev-archive"', "is of a feed, not of an entry"),
        (' rel="self"', ' rel="related"', "the self links are []"),
        ("ai/atom.xml", "all/atom.xml", "the self links are"),
        ('rel="via"', 'rel="hub"', "is no hub of the feed"),
        ('xml:lang="de"', 'xml:lang="german language"', "Appendix B"),
        ('xml:lang="de"', 'xml:lang="d-e"', "has no language tag: 'd-e'"),
        ('hreflang="en"', 'hreflang="en_GB"', "has no language tag: 'en_GB'"),
        ("urn:uuid:00000000-0000-0000-0000-000000000009", "9", "ref is no absolute IRI"),
        ("2024-05-20T11:00:00+00:00", "2024-05-20", "when is no date and time"),
        (DELETED, "", "declares a namespace"),
        (DELETED, DELETED * 2, "is removed 2 times"),
        ('000000000009" when="2024-05-20T11', '000000000001" when="2024-05-20T12', "removes an entry that is there"),
        (f'{DELETED}<entry xml:lang="de">', f'<entry xml:lang="de">{DELETED}', "is no child of the feed"),
        (
            'xmlns:media="http://search.yahoo.com/mrss/"',
            'xmlns:media="http://search.yahoo.com/mrss"',
            "has the prefix 'media'",
        ),
        ("thr:", "t:", "not well-formed"),
        ("<updated>2024-05-20T12:00:00Z", "<updated>2024-05-20T11:00:00Z", "readers skip what is newer"),
        ('medium="image"', 'medium="picture"', "has an unknown medium"),
        ('width="12"', 'width="0"', "width is no positive number"),
        ('height="7"', 'height="7px"', "height is no positive number"),
        ('type="image/png" width', 'type="png" width', "type is no media type"),
        ('content url="https://a.example/1.png"', "content", "url is no absolute address"),
        ('thumbnail url="https://a.example/1.png"', 'thumbnail url="1.png"', "url is no absolute address"),
        ('player url="https://v.example/1"', "player", "url is no absolute address"),
        ("<media:thumbnail", "<media:group><media:title/></media:group><media:thumbnail", "holds no alternatives"),
        (
            "<generator",
            '<media:content url="https://a.example/"/><generator',
            "stands in {http://www.w3.org/2005/Atom}feed",
        ),
        (
            "<generator",
            "<fh:archive xmlns:fh='http://purl.org/syndication/history/1.0'/><generator",
            "an empty fh:archive",
        ),
        ("archive/0002.xml", "archive/2.xml", "prev-archive is no page of this feed"),
        ('rel="hub"', 'rel="next-archive"', "has a next-archive"),
        ('rel="hub"', 'rel="current"', "current links"),
        ("<feed ", '<feed xmlns:x="urn:x-unknown:1" ', "declares a namespace"),
        ("https://a.example/1.png", "https://a.example/é.png", "url is no absolute address"),
        ('rel="hub"/>', 'rel="hub">text</link>', "has an empty title, or a text"),
        ("&lt;p&gt;Text", "&lt;em&gt;&lt;b&gt;Text&lt;/em&gt;", "</em> closes nothing"),
        ("&lt;/ul&gt;", "&lt;/ul&gt;&lt;/p&gt;&lt;/p&gt;", "</p> closes nothing"),
        ('<link href="https://hub.example/" rel="hub"/>', PREVIOUS, "has more than one prev-archive"),
        ("2024-05-20T12:00:00Z", "2024-05-20T12:00:00", "RFC 4287 3.3"),
        ("2024-05-20T12:00:00Z", "2024-05-20T12:00:00Z ", "RFC 4287 3.3"),
        (
            "<media:thumbnail",
            '<media:content url="https://a.example/"><media:content url="https://a.example/"/></media:content><media:thumbnail',
            "stands in",
        ),
        (
            "<generator",
            '<media:thumbnail url="https://a.example/1.png"/><generator',
            "stands in {http://www.w3.org/2005/Atom}feed",
        ),
        (
            f"<summary>A picture</summary>\n{ATOM_CONTENT}",
            ATOM_CONTENT.replace("image/png", "text/html"),
            "is elsewhere or not text",
        ),
    ],
    "ai/archive/0002.xml": [
        ("<fh:archive/>\n", "", "an empty fh:archive"),
        ("<fh:archive/>", "<fh:archive>yes</fh:archive>", "an empty fh:archive"),
        (PREVIOUS, "", "prev-archive of page 2 is []"),
        (PREVIOUS, PREVIOUS * 2, "prev-archive of page 2 is"),
        ("0001.xml", "0003.xml", "prev-archive of page 2 is"),
        (CURRENT, "", "current links None"),
        (CURRENT, CURRENT + PREVIOUS.replace("prev", "next"), "has a next-archive"),
        ("ai/atom.xml", "b/atom.xml", "current is no subscription document of this feed"),
        ("archive/0002.xml", "atom.xml", "the self links are"),
        ("<fh:archive/>\n<entry>", "<entry>", "an empty fh:archive"),
        ("</feed>", "<fh:archive/></feed>", "Appendix B"),
        ("<fh:archive/>", '<fh:archive sealed="yes"/>', "an empty fh:archive"),
        ("<fh:archive/>", "<fh:archive><fh:complete/></fh:archive>", "an empty fh:archive"),
        (
            ARCHIVE[ARCHIVE.index("<author>") : ARCHIVE.index("</feed>")],
            "",
            "neither the feed nor an entry has an author",
        ),
    ],
    "ai/rss.xml": [
        ("</channel>", "", "not well-formed"),
        ('version="2.0"', 'version="0.91"', "is no <rss version='2.0'>"),
        ("<ttl>", "<date/><ttl>", "holds <date>"),
        ("<ttl>", "<ttl>15</ttl><ttl>", "holds <ttl> 2 times"),
        ("<title>Two", "<id>2</id><title>Two", "holds <id>"),
        ("<title>AI</title><link>", "<link>", "the channel has no title"),
        ("<link>https://feeds.example.org/ai/</link><description>", "<description>", "the channel has no link"),
        ("<description>On AI</description>", "<description/>", "the channel has no description"),
        ("<title>Two</title>", "", "has neither title nor description"),
        ("<title>One</title>", "<title/>", "has an empty title"),
        (">AI</category>", "> </category>", "has an empty category"),
        ("<guid>https://a.example/2</guid>", "", "has no guid"),
        ("<guid>https://a.example/2</guid>", '<guid isPermaLink="false">urn:uuid:1</guid>', "stands 2 times"),
        ("<guid>https://a.example/2", "<guid>urn:uuid:2", "isPermaLink says so"),
        ('isPermaLink="false"', 'isPermaLink="no"', "neither true nor false"),
        ("Mon, 20 May 2024 10", "Tue, 20 May 2024 10", "is no date of RFC 822"),
        ("Mon, 20 May 2024 10:00:00 +0000", "Mon, 20 May 24 10:00:00 +0000", "is no date of RFC 822"),
        ("Mon, 20 May 2024 10:00:00 +0000", "Mon, 20 May 2024 10:00:00 CET", "is no date of RFC 822"),
        ("Mon, 20 May 2024 12:00:00 +0000", "2024-05-20T12:00:00Z", "is no date of RFC 822"),
        ("20 May 2024 12:00:00 +0000", "20 May 2024 11:00:00 +0000", "readers skip what is newer"),
        ("2024-05-20T12:00:00+00:00", "2024-05-20", "RFC 4287 3.3"),
        ("<link>https://zdnet.example/1", "<link>/1", "RSS 2.0: links"),
        ("<link>https://zdnet.example/1", "<link>https://zdnet.example/é", "RSS 2.0: links"),
        ('source url="https://b.example/rss.xml"', 'source url="rss.xml"', "RSS 2.0: links"),
        ('enclosure url="https://a.example/1.mp3"', 'enclosure url="ftp://a.example/1"', "RSS 2.0: links"),
        ("a@notes.example (Notes)", "Notes", "is no 'address (name)'"),
        ("<dc:creator>ZDNet</dc:creator>", "<author>a@b.example</author>", "is no 'address (name)'"),
        ('length="9" ', "", "has no length or no media type"),
        ('length="9" type="audio/mpeg"', 'length="9" type="audio"', "has no length or no media type"),
        ("<source", '<enclosure url="https://a.example/2" length="9" type="a/b"/><source', "has several enclosures"),
        ("<ttl>15", "<ttl>0", "ttl is no number of minutes"),
        ("<hour>0", "<hour>24", "skipHours are no hours"),
        ("<day>Sunday", "<day>Sun", "skipDays are no days"),
        ("<language>en", "<language>english!", "BCP 47"),
        ("<dc:language>de", "<dc:language>d", "BCP 47"),
        ("</url><title>AI", "</url><title>A", "has not the title of its channel"),
        ("ai/</link>\n<width>", "b/</link>\n<width>", "has not the link of its channel"),
        ("icon.png", "icon.svg", "is no GIF, JPEG or PNG"),
        ("<width>88", "<width>145", "width is not within 1 and 144"),
        ("<height>31", "<height>0", "height is not within 1 and 400"),
        ("<ttl>", "<textInput/><ttl>", "has a textInput"),
        ("</channel>", "<docs>https://a.example/</docs></channel>", "stands behind an item"),
        ("a &amp;lt; b", "a &lt;script&gt;", "holds <script>"),
        ("&lt;p&gt;Text&lt;/p&gt;", '&lt;a href="/x"&gt;x&lt;/a&gt;', "href is no absolute address"),
        (
            "<description>a &amp;lt; b</description>",
            "<content:encoded>x</content:encoded><description>x</description>",
            "has its description behind content:encoded",
        ),
        ("<source", "<content:encoded>x</content:encoded><source", "has content:encoded twice"),
        ("<dc:creator>", "<dc:date>2024-05-20</dc:date><dc:creator>", "says the same by pubDate"),
        ("<title>One<", "<title>&lt;b&gt;One&lt;/b&gt;<", "has what readers take for HTML"),
        ("<title>One<", "<title>R&amp;amp;D<", "has what readers take for HTML"),
        (' rel="self"', ' rel="related"', "the self links are []"),
        ('href="https://hub.example/"', 'href="urn:x-hub:1"', "is no hub of the feed"),
        ('rel="hub"', 'rel="centre"', "rel is neither registered nor an IRI"),
        ("archive/0002.xml", "archive/", "prev-archive is no page of this feed"),
        ("xmlns:content=", "xmlns:c='http://purl.org/rss/1.0/modules/content/' xmlns:content=", "has the prefix 'c'"),
        ('medium="image"', 'medium="picture"', "has an unknown medium"),
        (
            "<dc:creator>",
            '<atom:link href="https://a.example/" rel="next"/><dc:creator>',
            "is of a feed, not of an entry",
        ),
        ("<rss ", '<rss xmlns:x="urn:x-unknown:1" ', "declares a namespace"),
        ("rss", "rdf", "is no <rss version='2.0'>"),
        ("</channel>", "</channel><channel/>", "is no <rss version='2.0'>"),
        ("<guid>https://a.example/2</guid>", "<guid> </guid>", "has no guid"),
        ("<hour>0</hour>", "<hour>0</hour><hour>0</hour>", "skipHours are no hours"),
        ("<hour>0", "<hour>noon", "skipHours are no hours"),
        ("<day>Sunday</day>", "<day>Sunday</day><day>Sunday</day>", "skipDays are no days"),
        ("<url>https://notes.example/icon.png</url>", "", "is no GIF, JPEG or PNG"),
    ],
    "ai/feed.json": [
        ("]}\n", "]", "not well-formed"),
        ('"title": "AI",', '"title": "AI", "title": "B",', "not well-formed: 'title' stands twice"),
        ('{"version"', '\ufeff{"version"', "not well-formed"),
        ("version/1.1", "version/1", "version is"),
        ('"title": "AI",', "", "the title is missing"),
        ("ai/feed.json", "b/feed.json", "the document is at"),
        ("false", '"no"', "expired is neither true nor false"),
        ('"authors": [{"name": "Notes"}]', '"author": {"name": "Notes"}', "'author' is no member"),
        ("_aggregator", "aggregator", "'aggregator' is no member"),
        ("_aggregator", "_", "'_' is no member"),
        ('"type": "WebSub"', '"type": "WebSub", "name": "x"', "'name' is no member"),
        ('"https://a.example/1"', '"/1"', "url is no absolute address"),
        ('https://feeds.example.org/ai/"', '/ai/"', "home_page_url is no absolute address"),
        ('"https://hub.example/"', '"hub"', "url is no absolute address"),
        ('"title": "One"', '"title": 1', "title is no text"),
        ('"language": "en"', '"language": "en_GB!"', "language is no tag"),
        ('"id": "urn:uuid:2", ', "", "an id is missing"),
        ('"urn:uuid:2"', "2", "an id is missing or no text"),
        ("urn:uuid:2", "urn:uuid:1", "stands 2 times"),
        (', "content_text": "Two"', "", "has no content"),
        ("<p>Text</p>", "<script></script>", "holds <script>"),
        ("2024-05-20T10:00:00+00:00", "Mon, 20 May 2024 10:00:00 +0000", "is no date and time of RFC 3339"),
        ('[{"name": "Notes"}]', "[{}]", "says nothing"),
        ('"type": "WebSub", ', "", "has no type"),
        (', "mime_type": "audio/mpeg"', "", "has no mime_type"),
        ("audio/mpeg", "audio", "mime_type is no media type"),
        ('["AI"]', '["AI", 5]', "a tag is no text"),
        ('"items": [', '"items": "none", "_items": [', "is no object with a list of items"),
        ('"urn:uuid:2"', '""', "an id is missing or no text"),
        ('"content_text": "Two"', '"content_text": 2', "has no content"),
        ('["AI"]', '["AI", " "]', "a tag is no text"),
        (JSON, "[]", "is no object with a list of items"),
        ('"language": "en"', '"language": 5', "language is no tag"),
        ('"audio/mpeg"', "5", "mime_type is no media type"),
        ('"2024-05-20T10:00:00+00:00"', "5", "is no date and time of RFC 3339"),
        (
            'page_url": "https://feeds.example.org/ai/"',
            'page_url": "mailto:a@a.example"',
            "home_page_url is no absolute",
        ),
    ],
    "opml.xml": [
        ("</body>", "", "not well-formed"),
        ('version="2.0"', 'version="1.0"', "is no <opml version='2.0'>"),
        ("<head><title>Feeds</title><ownerName>Notes</ownerName></head>", "", "with a head and a body"),
        ("<ownerName>", "<owner/><ownerName>", "is not known"),
        ("<ownerName>", "<dateCreated>2024-05-20</dateCreated><ownerName>", "is no date of RFC 822"),
        ('text="AI"', 'text=""', "has no text"),
        ('title="AI"', "", "has no title"),
        ('type="rss" text="AI"', 'text="AI"', "is of type None"),
        ("https://feeds.example.org/ai/rss.xml", "ai/rss.xml", "is no absolute address"),
        ('htmlUrl="https://feeds.example.org/ai/"', 'htmlUrl="ai/"', "is no absolute address"),
        ("org/b/rss.xml", "org/ai/rss.xml", "stands twice"),
        ("RSS2", "2.0", "version is not known"),
        ('language="en"', 'language="en US"', "language is no tag"),
        ("opml", "outlines", "is no <opml version='2.0'>"),
        (OPML[OPML.index("<outline") : OPML.index("</body>")], "", "the body has no outline"),
    ],
}
MEDIA_CONTENT = '<media:content url="https://a.example/1.png" medium="image" type="image/png" width="12" height="7"/>'
# From the author of the archive page to its first entry.
AUTHOR = ARCHIVE[ARCHIVE.index("<author>") : ARCHIVE.index("<entry>") + len("<entry>")]
NOTES = "<author><name>Notes</name></author>"

# What may stand in a good document in place of something.
ALLOWED = [
    ("ai/atom.xml", "tag:a.example,2024:2", "urn:uuid:00000000-0000-0000-0000-000000000001"),
    ("ai/atom.xml", "000000000009", "000000000001"),
    ("ai/atom.xml", '"https://zdnet.example/1"', '"/1" xml:base="https://zdnet.example/"'),
    (
        "ai/atom.xml",
        "<author><name>ZDNet</name><uri>https://zdnet.example/",
        '<author xml:base="https://zdnet.example/"><name>ZDNet</name><uri>/',
    ),
    ("ai/atom.xml", 'uri="https://maker.example/"', 'uri="/" xml:base="https://maker.example/"'),
    ("ai/atom.xml", "<icon>https://notes.example/icon", '<icon xml:base="https://notes.example/">icon'),
    ("ai/atom.xml", ATOM_CONTENT, '<content type="image/png" src="2.png" xml:base="https://a.example/"/>'),
    ("ai/atom.xml", f"<summary>A picture</summary>\n{ATOM_CONTENT}", '<content type="text/markdown">Text</content>'),
    ("ai/atom.xml", f"<summary>A picture</summary>\n{ATOM_CONTENT}", "<content>Text</content>"),
    (
        "ai/atom.xml",
        f"<summary>A picture</summary>\n{ATOM_CONTENT}",
        '<content type="image/svg+xml"><a>b</a></content>',
    ),
    ("ai/atom.xml", 'rel="via"', 'rel="https://relations.example/origin"'),
    ("ai/atom.xml", '"https://a.example/"', '"mailto:a@a.example"'),
    ("ai/atom.xml", MEDIA_CONTENT, f"<media:group>{MEDIA_CONTENT * 2}</media:group>"),
    ("ai/atom.xml", MEDIA_CONTENT, '<media:content><media:player url="https://v.example/1"/></media:content>'),
    ("ai/atom.xml", MEDIA_CONTENT, '<media:title type="plain">A picture</media:title>'),
    ("ai/archive/0002.xml", AUTHOR, AUTHOR.replace(NOTES, "") + NOTES),
    ("ai/archive/0002.xml", AUTHOR, AUTHOR.replace(NOTES, "") + f"<source>{NOTES}</source>"),
    ("ai/rss.xml", "+0000", "GMT"),
    ("ai/rss.xml", "icon.png", "icon"),
    ("ai/rss.xml", "<description>a &amp;lt; b</description>", ""),
    ("ai/rss.xml", RSS[RSS.index("<item>") : RSS.index("</channel>")], ""),
    ("ai/atom.xml", f"<summary>A picture</summary>\n{ATOM_CONTENT}", "<content/>"),
    ("ai/feed.json", '"Two"', '""'),
    ("ai/feed.json", '"content_html"', '"content_text": "Text", "content_html"'),
    ("ai/feed.json", "https://zdnet.example/", "mailto:a@zdnet.example"),
    ("opml.xml", "<ownerName>", "<dateCreated>Mon, 20 May 2024 12:00:00 GMT</dateCreated><ownerName>"),
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
def test_a_broken_document_is_found_out(path: str, old: str, new: str, expected: str) -> None:
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
def test_a_document_in_another_encoding_than_it_is_served_in_is_found_out(path: str) -> None:
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


@pytest.mark.skipif(
    not (SHARED / "corpus").is_dir(), reason=f"the real records are not at {SHARED}/corpus (set AGGREGATOR_SHARED)"
)
@pytest.mark.parametrize("limit", [1000, 20])
def test_every_file_from_the_real_records_keeps_to_its_standard(tmp_path: Path, limit: int) -> None:
    (tmp_path / "aggregator.toml").write_text(
        f"""\
[site]
base_url = "{BASE_URL}"
id = "feeds.example.org"
[records]
path = "{SHARED / "corpus"}"
[store]
url = "sqlite:///aggregator.db"
[output]
path = "output"
limit = {limit}
max_bytes = "20MB"
"""
    )
    command = [sys.executable, "-m", "aggregator", "build", "--config", "aggregator.toml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    documents = files_of(tmp_path / "output")
    assert {"opml.xml", "all/rss.xml", "all/atom.xml", "all/feed.json"} <= documents.keys()
    assert_good(documents)


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
SITE = Site("Notes", BASE_URL, "en", "Ann", "https://notes.example/i.png", "© Notes", 15, "https://hub.example/")
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
        *(render.render_archive_page(feed, ArchivePage(number, NOON, entries), SITE, OPTIONS) for number in (1, 2)),
    ]
    assert_good({one.path: one.body for one in documents if standards.kind_of(one.path)})
