"""What a saved feed says of its entries: ids, links, titles and lines."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import feedparser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.ids import FormatIds, IdMint
from aggregator.links import page_key
from aggregator.moving_in.saved_feeds import FeedFileError, SavedEntry, read_saved_feed

PAGE = "https://blog.example.org/a/"
FEEDBURNER = "http://rssnamespace.org/feedburner/ext/1.0"


def rss(items: str, version: str = "2.0") -> bytes:
    return f'<rss version="{version}"><channel>{items}</channel></rss>'.encode()


def only(raw: bytes) -> SavedEntry:
    [entry] = read_saved_feed(raw).entries
    return entry


# RSS


@pytest.mark.parametrize(
    ("item", "entry_id", "links"),
    [
        (f"<link>{PAGE}</link><guid>{PAGE}?p=1</guid>", f"{PAGE}?p=1", (PAGE, f"{PAGE}?p=1")),
        (f"<link> {PAGE}\n</link><guid isPermaLink='false'> 5f3a&amp;b </guid>", "5f3a&b", (PAGE,)),
        (f"<guid>{PAGE}</guid>", PAGE, (PAGE,)),
        (f"<link>{PAGE}</link>", PAGE, (PAGE,)),
        ("<guid>42</guid>", "42", ()),
        (f"<guid><![CDATA[<42>]]></guid><link>{PAGE}</link>", "<42>", (PAGE,)),
        (f'<atom:link xmlns:atom="http://www.w3.org/2005/Atom" href="{PAGE}"/><guid>42</guid>', "42", (PAGE,)),
        (
            f'<f:origLink xmlns:f="{FEEDBURNER}">{PAGE}</f:origLink><link>https://feedproxy.example/1</link><guid>42</guid>',
            "42",
            (PAGE, "https://feedproxy.example/1"),
        ),
        ("<title>x</title>", "", ()),
    ],
)
def test_an_rss_item_has_its_guid_else_its_link_as_id(item: str, entry_id: str, links: tuple[str, ...]) -> None:
    assert only(rss(f"<item>{item}</item>"))[:2] == (entry_id, links)


@pytest.mark.parametrize("version", ["0.91", "0.92", "2.0"])
def test_every_version_of_rss_is_read(version: str) -> None:
    feed = read_saved_feed(rss(f"<item><link>{PAGE}</link></item>", version))
    assert (feed.format, feed.entries[0].links) == ("rss", (PAGE,))


@pytest.mark.parametrize("space", ["http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/"])
def test_in_rss_1_the_resource_is_the_id(space: str) -> None:
    raw = (
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="{space}"><channel/>'
        f'<item rdf:about="urn:x:1"><title>One</title><link>{PAGE}</link></item></rdf:RDF>'
    ).encode()
    assert only(raw) == SavedEntry("urn:x:1", (PAGE,), "One", 1)


def test_a_netscape_doctype_and_its_entities_are_not_fetched() -> None:
    doctype = b'<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss-0.91.dtd">\n'
    entry = only(doctype + rss(f"<item><title>Caf&eacute;</title><link>{PAGE}</link></item>", "0.91"))
    assert (entry.id, entry.line) == (PAGE, 2)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_those_of_xml(end: str) -> None:
    raw = f"{end}<rss version='2.0'>{end}<channel>{end}<item><guid>a\u2028\x85</guid></item>{end}<item><guid>b</guid></item></channel></rss>"
    assert [entry.line for entry in read_saved_feed(raw.encode()).entries] == [4, 5]


def test_lines_are_those_of_the_file_also_after_empty_ones() -> None:
    raw = b'\n\n<?xml version="1.0"?>\n' + rss("\n<item><guid>1</guid></item>\n<item><guid>2</guid></item>")
    assert [entry.line for entry in read_saved_feed(raw).entries] == [5, 6]


# Atom


@pytest.mark.parametrize("space", ["http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#"])
def test_an_atom_entry_has_its_page_before_other_links(space: str) -> None:
    raw = (
        f'<feed xmlns="{space}" xml:base="https://blog.example.org/"><link href="/"/><id>feed</id>'
        '<entry><title type="html">A &amp;amp; b</title><link rel="enclosure" href="/x.mp3"/>'
        '<link rel="alternate" type="application/json" href="/a.json"/><link href="a/"/><id>tag:x,2020:1</id>'
        "<source><id>other</id></source></entry></feed>"
    ).encode()
    entry = only(raw)
    assert (entry.id, entry.links) == ("tag:x,2020:1", (PAGE, "https://blog.example.org/a.json"))
    assert read_saved_feed(raw).format == "atom"


# JSON Feed


@pytest.mark.parametrize(
    ("item", "entry_id", "links"),
    [
        ({"id": "42", "url": PAGE}, "42", (PAGE,)),
        ({"id": 42, "url": PAGE}, "42", (PAGE,)),
        ({"id": 10**5000, "url": PAGE}, str("1" + "0" * 5000), (PAGE,)),
        ({"id": PAGE, "external_url": "https://other.example/"}, PAGE, ("https://other.example/", PAGE)),
        ({"url": PAGE}, PAGE, (PAGE,)),
        ({"id": ["x"], "url": 5}, "", ()),
    ],
)
def test_a_json_item(item: dict[str, object], entry_id: str, links: tuple[str, ...]) -> None:
    text = json.dumps({"items": [item if item.get("id") != 10**5000 else "HUGE"]}, ensure_ascii=False).replace(
        '"HUGE"', '{"id": 1' + "0" * 5000 + f', "url": "{PAGE}"}}'
    )
    assert only(b"\xef\xbb\xbf" + text.encode())[:2] == (entry_id, links)


# what is refused


@pytest.mark.parametrize(
    ("raw", "line", "what"),
    [
        (b"", 1, "is neither XML nor JSON"),
        (b"plain", 1, "is neither XML nor JSON"),
        (b"\n<rss>\n<channel></rss>", 3, "is not valid XML: "),
        (b"<rss>\n&nbsp;</rss>", 2, "is not valid XML: "),
        (b"<html><body/></html>", 1, "is no feed: it begins with another element than rss, RDF or feed"),
        (b'{"items":\n]', 2, "is neither XML nor JSON"),
        (b'{"a": 1}', 1, "is no feed: it has no list of items"),
        (b'{"a": "\xff"}', 0, "is neither XML nor JSON"),
        (b'{"a":' + b"[" * 100_000, 0, "is neither XML nor JSON"),
        (
            b"<rss>" + b"<a>" * 10_000,
            1,
            "is not valid XML: ",
        ),
    ],
)
def test_a_file_that_is_no_feed_is_refused_with_its_line(raw: bytes, line: int, what: str) -> None:
    with pytest.raises(FeedFileError) as refused:
        read_saved_feed(raw)
    assert refused.value.line == line
    assert refused.value.what.startswith(what)


def test_no_entity_is_expanded() -> None:
    bomb = '<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    started = time.process_time()
    with pytest.raises(FeedFileError):
        read_saved_feed(f"{bomb}]>".encode() + rss("<item><guid>x&i;</guid></item>"))
    assert time.process_time() - started < 10  # 10 to the power of 9 characters take minutes
    one = b'<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">]>'
    assert only(one + rss("<item><guid>x&a;</guid></item>")).id == "x&a;"


def test_no_file_is_read_through_an_entity() -> None:
    raw = b'<!DOCTYPE rss [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + rss("<item><guid>x&f;</guid></item>")
    assert only(raw).id == "x&f;"


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{{{text}".encode(errors="replace")))
def test_any_bytes_are_a_feed_or_refused(raw: bytes) -> None:
    with suppress(FeedFileError):
        assert read_saved_feed(raw).format in ("rss", "atom", "json")


def is_encoded_twice(text: str) -> bool:
    """Whether feedparser takes a text for UTF-8 that someone read as Latin-1, and repairs it."""
    try:
        return not text.isascii() and bool(text.encode("latin-1").decode())
    except UnicodeError:
        return False


TEXTS = (
    st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30)
    .map(str.strip)
    .filter(lambda text: text and not is_encoded_twice(text))
)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_guids_are_those_that_a_reader_sees(guids: list[str]) -> None:
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in guids]
    raw = rss("".join(f'<item><guid isPermaLink="false">{text}</guid></item>' for text in escaped))
    assert [entry.id for entry in read_saved_feed(raw).entries] == guids
    assert [entry.id for entry in feedparser.parse(raw).entries] == guids


# from ids to ids


@pytest.mark.parametrize(
    ("ids", "uid", "shown"),
    [
        ({"rss": PAGE}, PAGE, None),
        ({"rss": "42"}, "", FormatIds(rss="42")),
        ({"json": "42"}, "", FormatIds(json="42")),
        ({"rss": "42", "json": "42"}, "", FormatIds("42", "42")),
        ({"rss": "42", "atom": PAGE}, PAGE, FormatIds(rss="42")),
        ({"rss": "42", "atom": PAGE, "json": PAGE}, PAGE, FormatIds(rss="42")),
        ({"rss": "urn:x:1", "json": "7", "atom": PAGE}, PAGE, FormatIds("urn:x:1", "7")),
        ({"rss": "42", "json": PAGE}, PAGE, FormatIds(rss="42")),
    ],
)
def test_atom_has_the_id_and_rss_and_json_show_their_own(
    ids: dict[str, str], uid: str, shown: FormatIds | None
) -> None:
    mint = IdMint("feeds.example.org")
    assert mint.adopted_entry_id(ids) == (uid or mint.explicit_entry_id("42"), shown)


@pytest.mark.parametrize(
    "other",
    [
        "http://blog.example.org/a",
        "https://www.blog.example.org/a/",
        "https://BLOG.example.org/a/index.html",
        "https://blog.example.org/a/index.htm?utm_source=rss",
        "https://blog.example.org/%61/#comments",
    ],
)
def test_spellings_of_one_page_are_one_link(other: str) -> None:
    assert page_key(other) == page_key(PAGE)


@pytest.mark.parametrize(
    "other", ["https://blog.example.org/a/?p=1", "https://blog.example.org/A/", f"{PAGE}index.php"]
)
def test_other_pages_are_other_links(other: str) -> None:
    assert page_key(other) != page_key(PAGE)
