"""Saved feeds of another system, RSS, Atom or JSON: the ids that its subscribers have, and the links of the entries.

Only ids, links and titles are read. Nothing is fetched, no entity is expanded, and a file has a bound. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from lxml import etree

from aggregator.links import absolute_url, http_url
from aggregator.settings import Format
from aggregator.unicode import xml_text

MAX_FEED_BYTES = 64_000_000
"""Bytes of a saved feed. The feed of a whole site with full texts is smaller."""
MAX_TITLE = 80
"""Characters of a title, which only messages show."""
_RSS = (
    "",
    "{http://purl.org/rss/1.0/}",
    "{http://my.netscape.com/rdf/simple/0.9/}",
    "{http://backend.userland.com/rss2}",
)
_ATOM = ("{http://www.w3.org/2005/Atom}", "{http://purl.org/atom/ns#}")
_RDF_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
_ORIGINAL_LINK = "{http://rssnamespace.org/feedburner/ext/1.0}origLink"


class FeedFileError(Exception):
    """The file is no feed that can be read; `line` is 0 if unknown."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


class SavedEntry(NamedTuple):
    """An entry of a saved feed."""

    id: str  # as subscribers have it; without one, the link, which readers use then
    links: tuple[str, ...]  # absolute http(s) URLs of its page, the best first
    title: str
    line: int  # from 1; 0 is unknown


class SavedFeed(NamedTuple):
    """A saved feed: its format, and its entries in the order of the file, usually the newest first."""

    format: Format
    entries: tuple[SavedEntry, ...]


def read_saved_feed(raw: bytes) -> SavedFeed:
    """The feed in the bytes of a file. Raises FeedFileError."""
    if b"\0" not in raw:  # not UTF-16: lines as XML has them (section 2.11), which lxml counts otherwise
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = raw.lstrip()  # some systems write empty lines before the XML declaration
    if text.removeprefix(b"\xef\xbb\xbf").startswith(b"{"):
        return SavedFeed("json", tuple(_json_entries(text)))
    first_line = raw[: len(raw) - len(text)].count(b"\n")
    # An entity stays a reference, and external ones are not loaded. Errors are not repaired: that would change ids.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        reason = str(error.msg).partition(", line")[0]
        what = f"is not valid XML: {reason}" if text.startswith(b"<") else "is neither XML nor JSON"
        raise FeedFileError(first_line + (error.lineno or 0), what) from None
    name = etree.QName(root).localname
    if name in ("rss", "RDF"):
        return SavedFeed("rss", tuple(_rss_entries(root, first_line)))
    if name == "feed":
        return SavedFeed("atom", tuple(_atom_entries(root, first_line)))
    raise FeedFileError(
        first_line + root.sourceline, "is no feed: it begins with another element than rss, RDF or feed"
    )


def _rss_entries(root: Any, first_line: int) -> Iterator[SavedEntry]:
    for space in _RSS:
        for item in root.iter(f"{space}item"):
            guid, link = _text(item, f"{space}guid"), _text(item, f"{space}link")
            about = item.get(_RDF_ABOUT, "").strip()
            hrefs = [atom.get("href", "") for atom in item.findall(f"{_ATOM[0]}link") if _is_page(atom)]
            links = _absolute([_text(item, _ORIGINAL_LINK), link, *hrefs, guid, about], item.base)
            line = first_line + item.sourceline
            yield SavedEntry(guid or about or link, links, _title(_text(item, f"{space}title")), line)


def _atom_entries(root: Any, first_line: int) -> Iterator[SavedEntry]:
    for space in _ATOM:
        for entry in root.iter(f"{space}entry"):
            pages = [link for link in entry.findall(f"{space}link") if _is_page(link)]
            pages.sort(key=lambda link: link.get("type", "text/html") != "text/html")  # keeps the order otherwise
            stated = _text(entry, f"{space}id")
            original = _text(entry, _ORIGINAL_LINK)
            links = [
                *_absolute([original], entry.base),
                *(url for link in pages for url in _absolute([link.get("href", "")], link.base)),
                *_absolute([stated], None),
            ]
            line = first_line + entry.sourceline
            first = next(iter(links), "")
            yield SavedEntry(stated or first, tuple(dict.fromkeys(links)), _title(_text(entry, f"{space}title")), line)


def _json_entries(text: bytes) -> Iterator[SavedEntry]:
    """The items; a number as id keeps its spelling, as readers take it for a text."""
    try:
        feed = json.loads(text.decode("utf-8-sig"), parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise FeedFileError(error.lineno, "is neither XML nor JSON") from None
    except (UnicodeDecodeError, RecursionError):
        raise FeedFileError(0, "is neither XML nor JSON") from None
    items = feed.get("items")
    if not isinstance(items, list):
        raise FeedFileError(1, "is no feed: it has no list of items")
    for item in items:
        if isinstance(item, dict):
            stated, *urls = (_json_text(item.get(name)) for name in ("id", "url", "external_url"))
            links = _absolute([*urls, stated], None)
            yield SavedEntry(stated or next(iter(links), ""), links, _title(_json_text(item.get("title"))), 0)


def _is_page(link: Any) -> bool:
    return bool(link.get("rel", "alternate") == "alternate")


def _text(parent: Any, tag: str) -> str:
    """The text of the first child with this tag, markup in it aside."""
    child = parent.find(tag)
    return "" if child is None else "".join(child.itertext()).strip()


def _json_text(value: object) -> str:
    return xml_text(value).strip() if isinstance(value, str) else ""


def _title(text: str) -> str:
    words = " ".join(text[:1000].split())
    return words if len(words) <= MAX_TITLE else f"{words[: MAX_TITLE - 1]}…"


def _absolute(references: list[str], base: str | None) -> tuple[str, ...]:
    """The http(s) URLs among the references, each once; with `base`, also of references relative to it."""
    urls = (absolute_url(text, base) if base else http_url(text) for text in references if text)
    return tuple(dict.fromkeys(filter(None, urls)))
