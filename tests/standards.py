"""What the standards of our formats demand beyond what RELAX NG and feedparser check, each rule a function.

`complaints` is the way in. A rule cites its source: a section of an RFC, of the RSS 2.0 specification, of the RSS Best
Practices Profile ("Profile"), of JSON Feed 1.1 or OPML 2.0, or the message of the W3C feed validator ("validator").
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import feedparser
from lxml import etree

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
HISTORY = "{http://purl.org/syndication/history/1.0}"
MEDIA = "{http://search.yahoo.com/mrss/}"
TOMBSTONES = "{http://purl.org/atompub/tombstones/1.0}"

# IANA's registry of link relations, as far as feeds use it.
RELATIONS = frozenset("alternate canonical current enclosure hub icon prev-archive related self via".split())
HISTORY_RELATIONS = frozenset("current first last next next-archive prev-archive previous".split())
CHANNEL_ELEMENTS = frozenset(
    "title link description language copyright managingEditor webMaster pubDate lastBuildDate category generator docs"
    " cloud ttl image rating textInput skipHours skipDays item".split()
)
ITEM_ELEMENTS = frozenset("title link description author category comments enclosure guid pubDate source".split())
REPEATABLE = frozenset({"item", "category"})
# An element of RSS and an extension that means the same (validator: DuplicateSemantics).
SAME_MEANING = (("pubDate", f"{DC}date"), ("pubDate", f"{ATOM}published"), ("author", f"{DC}creator"))

HTML_ELEMENTS = frozenset(
    "a abbr acronym address article aside audio b bdi bdo big blockquote br caption center cite code col colgroup data"
    " dd del details dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins"
    " kbd li main map mark menu ol p picture pre q rp rt ruby s samp section small source span strike strong sub"
    " summary sup table tbody td tfoot th thead time tr track tt u ul var video wbr area".split()
)
"""What the HTML of a feed may hold: nothing that runs, embeds, styles or asks for input."""
VOID_ELEMENTS = frozenset("area br col hr img source track wbr".split())
CLOSED_BY_THEMSELVES = frozenset("colgroup dd dt li p rp rt tbody td tfoot th thead tr".split())
URL_ATTRIBUTES = frozenset("background cite data href longdesc poster src".split())

_IRI = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*:(?:[^\x00-\x20<>"{}|\\^`%\x7f-\x9f]|%[0-9A-Fa-f]{2})+""")
_URN = re.compile(
    r"urn:(?!uuid:)[a-z0-9][a-z0-9-]{1,31}:.+|urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE
)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_RFC_822 = re.compile(r"(\w{3}), \d\d \w{3} \d{4} \d\d:\d\d:\d\d (?:[+-]\d{4}|GMT)")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?:; ?\w+=[\w-]+)*")
_POSITIVE = re.compile(r"[1-9]\d*")
_ARCHIVE = re.compile(r"[^/]+/archive/(\d{4,})\.xml")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")


class Place(NamedTuple):
    """Where a document is: its path in the output folder, and the URL of that folder."""

    path: str
    base_url: str

    @property
    def url(self) -> str:
        return self.base_url + self.path

    @property
    def page(self) -> int:
        """The number of an archive page, 0 for any other document."""
        match = _ARCHIVE.fullmatch(self.path)
        return int(match[1]) if match else 0


Check = Callable[[Any, Place], Iterator[str]]


class Rule(NamedTuple):
    """A rule; `check` takes the parsed document and its place, and gives what is wrong."""

    source: str
    check: Check


FEEDPARSER_TYPES = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
RULES: dict[str, list[Rule]] = {"atom": [], "rss": [], "json": [], "opml": []}


def rule(source: str, *kinds: str) -> Callable[[Check], Check]:
    """Registers a rule for these kinds of documents."""

    def register(check: Check) -> Check:
        for kind in kinds:
            RULES[kind].append(Rule(source, check))
        return check

    return register


def kind_of(path: str) -> str | None:
    """The kind of the document at a path of the output folder; None if no rule here is about it."""
    if _ARCHIVE.fullmatch(path):
        return "atom"
    return {"rss.xml": "rss", "atom.xml": "atom", "feed.json": "json", "opml.xml": "opml"}.get(path.rsplit("/")[-1])


def complaints(path: str, body: bytes, base_url: str) -> list[str]:
    """What is wrong with the document, each as `path: source: what is wrong`; empty for a good one."""
    kind = kind_of(path)
    assert kind, f"{path} is no feed and no list of feeds"
    place = Place(path, base_url)
    try:
        document = _parse_json(body) if kind == "json" else etree.fromstring(body, etree.XMLParser(no_network=True))
    except (ValueError, etree.XMLSyntaxError) as error:
        return [f"{path}: not well-formed: {error}"]
    found = [f"{path}: {rule.source}: {text}" for rule in RULES[kind] for text in rule.check(document, place)]
    if kind in FEEDPARSER_TYPES:
        parsed = feedparser.parse(body, response_headers={"content-type": f"{FEEDPARSER_TYPES[kind]}; charset=utf-8"})
        if parsed.bozo:
            found.append(f"{path}: feedparser: {parsed.bozo_exception}")
    return found


def _parse_json(body: bytes) -> Any:
    """The feed. A byte order mark (RFC 8259 8.1) or a name that is there twice (section 4) is an error."""

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            raise ValueError(f"a name is there twice: {[name for name, _ in members]}")
        return dict(members)

    feed = json.loads(body.decode(), object_pairs_hook=unique)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ValueError("is no object with a list of items")
    return feed


def at(element: etree._Element, text: str) -> str:
    """The text behind the place of the element."""
    return f"line {element.sourceline}: <{etree.QName(element).localname}> {text}"


# values


def is_iri(text: str) -> bool:
    """An absolute IRI (RFC 3987), of the form that its scheme asks for where that is http, https or urn."""
    if not _IRI.fullmatch(text):
        return False
    if text.lower().startswith("urn:"):
        return bool(_URN.fullmatch(text))
    return not text.lower().startswith("http") or bool(urlsplit(text).hostname)


def is_web_url(text: object) -> bool:
    """An absolute URI (RFC 3986) of http or https."""
    return isinstance(text, str) and text.isascii() and is_iri(text) and text.lower().startswith(("http:", "https:"))


def moment(text: object) -> datetime | None:
    """A date and time with upper-case T and Z (RFC 4287 3.3); None if it is none."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and _RFC_3339.fullmatch(text) else None
    except ValueError:
        return None


def rfc_822_moment(text: str | None) -> datetime | None:
    """A date of RFC 822 with a year of four digits, a zone of digits or GMT, and the right day; None if it is none."""
    match = _RFC_822.fullmatch(text or "")
    found = parsedate_to_datetime(match[0]) if match else None
    return found if found and match and f"{found:%a}" == match[1] else None


class _Fragment(HTMLParser):
    """Collects what is wrong with a piece of HTML (validator: NotHtml, SecurityRisk, ContainsRelRef)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in HTML_ELEMENTS:
            self.found.append(f"holds <{tag}>")
        if tag not in VOID_ELEMENTS:
            self._open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.found.append(f"holds the attribute {name}")
            urls = [value or ""] * (name in URL_ATTRIBUTES)
            if name == "srcset":
                urls = [candidate.split()[0] for candidate in re.split(r",\s+", value or "") if candidate.strip()]
            self.found += [
                f"{name} is no absolute URL: {url!r}"
                for url in urls
                if not is_web_url(url) and not url.startswith("mailto:")
            ]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1] != tag and self._open[-1] in CLOSED_BY_THEMSELVES:
            self._open.pop()
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.found.append(f"</{tag}> closes nothing")

    def close(self) -> None:
        super().close()
        self.found += [f"<{tag}> is not closed" for tag in self._open if tag not in CLOSED_BY_THEMSELVES]


def html_complaints(text: str) -> list[str]:
    """What is wrong with a piece of HTML."""
    fragment = _Fragment()
    fragment.feed(text)
    fragment.close()
    return fragment.found


# both XML feeds


def _entries(root: etree._Element) -> list[etree._Element]:
    return [*root.iterfind(f"{ATOM}entry"), *root.iterfind("channel/item")]


def _head(root: etree._Element) -> etree._Element:
    """The element that holds what is said of the feed as a whole."""
    channel = root.find("channel")
    return root if channel is None else channel


def _urls(holder: etree._Element, rel: str) -> list[str]:
    """The URLs of the Atom links of an element with this relation."""
    return [link.get("href", "") for link in holder.iterfind(f"{ATOM}link") if link.get("rel", "alternate") == rel]


@rule("RFC 4287 4.2.7", "atom", "rss")
def _links(root: etree._Element, place: Place) -> Iterator[str]:
    for link in root.iter(f"{ATOM}link"):
        href, rel = link.get("href", ""), link.get("rel", "alternate")
        if not href.isascii() or not is_iri(href):
            yield at(link, f"href is no absolute URL: {href!r}")
        if rel not in RELATIONS:
            yield at(link, f"rel is not one that we use: {rel!r}")
        if not _MEDIA_TYPE.fullmatch(link.get("type", "text/html")):
            yield at(link, f"type is no media type: {link.get('type')!r}")


@rule("RFC 4287 4.1.1, Profile atom:link (validator: SelfDoesntMatchLocation)", "atom", "rss")
def _self_link(root: etree._Element, place: Place) -> Iterator[str]:
    if _urls(_head(root), "self") != [place.url]:
        yield f"the self links are {_urls(_head(root), 'self')}, the document is at {place.url}"


@rule("WebSub 4", "atom", "rss")
def _hub_links(root: etree._Element, place: Place) -> Iterator[str]:
    for link in root.iter(f"{ATOM}link"):
        if link.get("rel") == "hub" and (link.getparent() is not _head(root) or not is_web_url(link.get("href"))):
            yield at(link, "is no hub of the feed")


@rule("RFC 5005 4", "atom", "rss")
def _archived_feed(root: etree._Element, place: Place) -> Iterator[str]:
    head, folder = _head(root), urljoin(place.url, "." if place.page else "archive/")
    markers = head.findall(f"{HISTORY}archive")
    if len(markers) != bool(place.page) or any(len(marker) or marker.text or marker.attrib for marker in markers):
        yield "archive pages, and only they, hold one empty fh:archive"
    if _urls(head, "next-archive"):
        # it SHOULD be there, but our pages do not change once they are sealed
        yield "has a next-archive"
    previous, current = _urls(head, "prev-archive"), _urls(head, "current")
    if place.page and previous != [f"{folder}{place.page - 1:04}.xml"][: place.page - 1]:
        yield f"prev-archive of page {place.page} is {previous}"
    if len(previous) > 1 or not all(re.fullmatch(re.escape(folder) + r"\d{4,}\.xml", url) for url in previous):
        yield f"prev-archive is not one page of this feed: {previous}"
    if current != [urljoin(place.url, "../atom.xml")] * bool(place.page):
        yield f"current is not the subscription document of this feed: {current}"
    for entry in _entries(root):
        if HISTORY_RELATIONS & {link.get("rel") for link in entry.iterfind(f"{ATOM}link")}:
            yield at(entry, "has a link that a feed has, not an entry")


@rule("RFC 4287 3.3", "atom", "rss")
def _dates(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(f"{ATOM}updated", f"{ATOM}published"):
        if not moment(element.text):
            yield at(element, f"is no date and time of RFC 3339: {element.text!r}")


@rule("readers skip what is newer than its feed", "atom", "rss")
def _entries_within_the_feed(root: etree._Element, place: Place) -> Iterator[str]:
    newest = moment(_head(root).findtext(f"{ATOM}updated")) or rfc_822_moment(_head(root).findtext("lastBuildDate"))
    for entry in _entries(root):
        updated = moment(entry.findtext(f"{ATOM}updated"))
        if updated and newest and updated > newest:
            yield at(entry, f"is of {updated}, the feed of {newest}")


@rule("Media RSS 1.5.1", "atom", "rss")
def _media(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(f"{MEDIA}*"):
        if element.getparent().tag not in (f"{ATOM}entry", "item", f"{MEDIA}content"):
            yield at(element, f"is in {element.getparent().tag}")
        if not is_web_url(element.get("url")):
            yield at(element, f"url is no absolute URL: {element.get('url')!r}")
        if element.get("medium", "image") not in ("image", "video", "audio"):
            yield at(element, f"has an unknown medium: {element.get('medium')!r}")
        for name in ("width", "height"):
            if not _POSITIVE.fullmatch(element.get(name, "1")):
                yield at(element, f"{name} is no positive number: {element.get(name)!r}")


# Atom


@cache
def _grammar() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(Path(__file__).parent / "data" / "atom.rng"))


@rule("RFC 4287 Appendix B", "atom")
def _schema(root: etree._Element, place: Place) -> Iterator[str]:
    grammar = _grammar()
    if not grammar.validate(root):
        yield "; ".join(f"line {error.line}: {error.message}" for error in list(grammar.error_log)[:3])


@rule("RFC 4287 3.1.1", "atom")
def _html_texts(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(etree.Element):
        if element.get("type") == "html" and element.tag.startswith(ATOM):
            yield from (at(element, text) for text in html_complaints(element.text or ""))


@rule("RFC 4287 4.1.1 and 4.1.2", "atom")
def _holders(root: etree._Element, place: Place) -> Iterator[str]:
    for holder in (root, *_entries(root)):
        if not any("".join(title.itertext()).strip() for title in holder.iterfind(f"{ATOM}title")):
            yield at(holder, "has an empty title")
        links = Counter(
            (link.get("type"), link.get("hreflang"))
            for link in holder.iterfind(f"{ATOM}link")
            if link.get("rel", "alternate") == "alternate"
        )
        if any(count > 1 for count in links.values()):
            yield at(holder, "has several alternate links of one type and language")
        if holder is not root and not links and holder.find(f"{ATOM}content") is None:
            yield at(holder, "has neither content nor an alternate link")
    if root.find(f"{ATOM}author") is None and not all(
        entry.find(f"{ATOM}author") is not None for entry in _entries(root)
    ):
        yield "an entry has no author, nor has the feed"


@rule("RFC 4287 4.1.1 and 4.2.6: ids (validator: DuplicateEntries)", "atom")
def _ids(root: etree._Element, place: Place) -> Iterator[str]:
    ids = Counter(element.text or "" for element in root.iter(f"{ATOM}id"))
    yield from (f"the id is no absolute IRI: {id_!r}" for id_ in ids if not is_iri(id_))
    yield from (f"{id_} is there {count} times" for id_, count in ids.items() if count > 1)


@rule("RFC 4287 4.2: IRIs of authors, icons, generators and categories", "atom")
def _iris(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(f"{ATOM}uri", f"{ATOM}icon", f"{ATOM}logo"):
        if not is_iri(element.text or ""):
            yield at(element, f"is no IRI: {element.text!r}")
    for element in root.iter(f"{ATOM}generator", f"{ATOM}category"):
        if not is_iri(element.get("uri") or element.get("scheme") or "urn:x-ours:none"):
            yield at(element, "has no IRI")
        if element.tag == f"{ATOM}category" and not element.get("term", "").strip():
            yield at(element, "has an empty term")


@rule("RFC 6721 3", "atom")
def _tombstones(root: etree._Element, place: Place) -> Iterator[str]:
    updated = {entry.findtext(f"{ATOM}id"): moment(entry.findtext(f"{ATOM}updated")) for entry in _entries(root)}
    stones = list(root.iter(f"{TOMBSTONES}deleted-entry"))
    for stone in stones:
        ref, when = stone.get("ref", ""), moment(stone.get("when"))
        if stone.getparent() is not root:
            yield at(stone, "is no child of the feed")
        if not is_iri(ref):
            yield at(stone, f"ref is no absolute IRI: {ref!r}")
        if not when:
            yield at(stone, f"when is no date and time of RFC 3339: {stone.get('when')!r}")
        elif (live := updated.get(ref)) and live <= when:
            yield at(stone, f"removes an entry that is there: {ref}")
    if len({(stone.get("ref"), stone.get("when")) for stone in stones}) < len(stones):
        yield "an entry is removed twice at one time"


# RSS


@rule("RSS 2.0: rss, channel", "rss")
def _rss_document(root: etree._Element, place: Place) -> Iterator[str]:
    if root.tag != "rss" or root.get("version") != "2.0" or [child.tag for child in root] != ["channel"]:
        yield "is no <rss version='2.0'> with one channel"
    for holder, known in ((_head(root), CHANNEL_ELEMENTS), *((item, ITEM_ELEMENTS) for item in _entries(root))):
        plain = Counter(child.tag for child in holder.iterchildren(etree.Element) if not child.tag.startswith("{"))
        yield from (at(holder, f"holds <{name}>") for name in sorted(plain.keys() - known))
        yield from (
            at(holder, f"holds several <{name}>") for name in plain if plain[name] > 1 and name not in REPEATABLE
        )
    tags = [child.tag for child in _head(root).iterchildren(etree.Element)]
    if "item" in tags and set(tags[tags.index("item") :]) != {"item"}:
        yield "something of the channel comes behind an item (validator: MisplacedItem)"


@rule("RSS 2.0: required elements", "rss")
def _required_elements(root: etree._Element, place: Place) -> Iterator[str]:
    for name in ("title", "link", "description"):
        if not (_head(root).findtext(name) or "").strip():
            yield f"the channel has no {name}"
    for item in _entries(root):
        if not (item.findtext("title") or "").strip():
            yield at(item, "has no title")
    if not _POSITIVE.fullmatch(_head(root).findtext("ttl", "60")):
        yield "ttl is no number of minutes"


@rule("RSS 2.0: guid (validator: MissingGuid, DuplicateValue, InvalidHttpGUID)", "rss")
def _guids(root: etree._Element, place: Place) -> Iterator[str]:
    guids = [item.find("guid") for item in _entries(root)]
    for item, guid in zip(_entries(root), guids, strict=True):
        if guid is None or not (guid.text or "").strip():
            yield at(item, "has no guid")
        elif guid.get("isPermaLink") != "false" and not is_web_url(guid.text):
            yield at(guid, f"is no URL, but isPermaLink says so: {guid.text!r}")
    if len({guid.text for guid in guids if guid is not None}) < len(guids):
        yield "a guid is missing or there twice"


@rule("RSS 2.0 and Profile: dates (validator: InvalidRFC2822Date, IncorrectDOW)", "rss")
def _rss_dates(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("pubDate", "lastBuildDate"):
        if not rfc_822_moment(element.text):
            yield at(element, f"is no date of RFC 822 with four digits for the year and an offset: {element.text!r}")


@rule("RSS 2.0: links, languages (validator: InvalidFullLink, UriNotIri)", "rss")
def _rss_links(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("link", "url"):
        if not is_web_url(element.text):
            yield at(element, f"is no absolute URL: {element.text!r}")
    for element in root.iter("source", "enclosure"):
        if not is_web_url(element.get("url")):
            yield at(element, f"url is no absolute URL: {element.get('url')!r}")
        if element.tag == "enclosure" and not (element.get("length", "").isdecimal() and element.get("type")):
            yield at(element, "has no length or no type")
    for element in root.iter("language", f"{DC}language"):
        if not _LANGUAGE.fullmatch(element.text or ""):
            yield at(element, f"is no language: {element.text!r}")


@rule("RSS 2.0 and Profile: image (validator: ImageLinkDoesntMatch, ImageTitleDoesntMatch, ImageUrlFormat)", "rss")
def _channel_image(root: etree._Element, place: Place) -> Iterator[str]:
    for image in _head(root).iterfind("image"):
        for name in ("title", "link"):
            if image.findtext(name) != _head(root).findtext(name):
                yield at(image, f"has not the {name} of its channel: {image.findtext(name)!r}")
        extension = re.search(r"\.(\w+)$", urlsplit(image.findtext("url") or "").path)
        if extension and extension[1].lower() not in ("gif", "jpeg", "jpg", "png"):
            yield at(image, f"is no GIF, JPEG or PNG: {image.findtext('url')!r}")


@rule("RSS 2.0 and Profile: description, content:encoded (validator: NotHtml, NeedDescriptionBeforeContent)", "rss")
def _rss_html(root: etree._Element, place: Place) -> Iterator[str]:
    # The validator also warns where there is no description at all; ours would then say more than the other formats.
    for item in _entries(root):
        texts = [child for child in item if child.tag in ("description", f"{CONTENT}encoded")]
        if [text.tag for text in texts] != sorted(
            {text.tag for text in texts}, key=f"description {CONTENT}encoded".find
        ):
            yield at(item, "has content:encoded twice or before its description")
        for element in texts:
            yield from (at(element, text) for text in html_complaints(element.text or ""))


@rule("validator: DuplicateSemantics, ContainsHTML, CharacterData", "rss")
def _rss_texts(root: etree._Element, place: Place) -> Iterator[str]:
    for item in _entries(root):
        for plain, extension in SAME_MEANING:
            if item.find(plain) is not None and item.find(extension) is not None:
                yield at(item, f"says the same by {plain} and {extension}")
    for element in root.iter("title", "category", "copyright", "generator"):
        text = element.text or ""
        if not text.strip() or _MARKUP.search(text) or unescape(text) != text:
            yield at(element, f"is empty or has what readers take for HTML: {text!r}")


# JSON Feed

JSON_MEMBERS = {
    "feed": "version title home_page_url feed_url description user_comment next_url icon favicon authors language"
    " expired hubs items",
    "item": "id url external_url title content_html content_text summary image banner_image date_published"
    " date_modified authors tags language attachments",
    "authors": "name url avatar",
    "hubs": "type url",
    "attachments": "url mime_type title size_in_bytes duration_in_seconds",
}
JSON_URLS = frozenset("home_page_url feed_url next_url icon favicon url external_url image banner_image avatar".split())
JSON_TEXTS = frozenset("id title description content_html content_text summary name mime_type language".split())
JSON_REQUIRED = {"hubs": {"type", "url"}, "attachments": {"url", "mime_type"}, "authors": {"name"}, "item": {"id"}}


def _objects(holder: dict[str, Any], kind: str = "feed") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the standard describes, with its kind."""
    yield kind, holder
    for name in ("items", "authors", "hubs", "attachments"):
        for member in holder.get(name, []):
            yield from _objects(member, name.replace("items", "item"))


@rule("JSON Feed 1.1: top-level", "json")
def _json_top(feed: Any, place: Place) -> Iterator[str]:
    if feed.get("version") != "https://jsonfeed.org/version/1.1":
        yield f"version is {feed.get('version')!r}"
    if not str(feed.get("title", "")).strip():
        yield "the title is missing"
    if feed.get("feed_url") != place.url:
        yield f"feed_url is {feed.get('feed_url')!r}, the document is at {place.url}"


@rule("JSON Feed 1.1: members, extensions", "json")
def _json_members(feed: Any, place: Place) -> Iterator[str]:
    for kind, holder in _objects(feed):
        for name in holder.keys() - set(JSON_MEMBERS[kind].split()):
            if not re.fullmatch(r"_[A-Za-z][^.]*", name):
                yield f"{kind}: {name!r} is no member of JSON Feed 1.1, nor an extension"
        if missing := JSON_REQUIRED.get(kind, set()) - holder.keys():
            yield f"{kind}: has no {' and '.join(sorted(missing))}"


@rule("JSON Feed 1.1: values", "json")
def _json_values(feed: Any, place: Place) -> Iterator[str]:
    for kind, holder in _objects(feed):
        for name, value in holder.items():
            if name in JSON_TEXTS and not isinstance(value, str):
                yield f"{kind}: {name} is no text: {value!r}"
            elif name in JSON_URLS and not is_web_url(value):
                yield f"{kind}: {name} is no absolute URL: {value!r}"
            elif name in ("date_published", "date_modified") and not moment(value):
                yield f"{kind}: {name} is no date and time of RFC 3339: {value!r}"
            elif name == "language" and not _LANGUAGE.fullmatch(value):
                yield f"{kind}: language is no language: {value!r}"
            elif name == "mime_type" and not _MEDIA_TYPE.fullmatch(value):
                yield f"{kind}: mime_type is no media type: {value!r}"
            elif name == "tags" and not all(isinstance(tag, str) and tag.strip() for tag in value):
                yield f"{kind}: a tag is no text: {value!r}"


@rule("JSON Feed 1.1: items", "json")
def _json_items(feed: Any, place: Place) -> Iterator[str]:
    ids = Counter(item.get("id") for item in feed["items"])
    yield from (f"{id_!r} is there {count} times" for id_, count in ids.items() if count > 1)
    for item in feed["items"]:
        if not {"content_html", "content_text"} & item.keys():
            yield f"{item.get('id')}: has no content"
        yield from (f"{item.get('id')}: {text}" for text in html_complaints(str(item.get("content_html", ""))))


# OPML


@rule("OPML 2.0: subscription lists (validator: MissingXmlURL, MissingTitleAttr)", "opml")
def _opml(root: etree._Element, place: Place) -> Iterator[str]:
    if root.tag != "opml" or root.get("version") != "2.0" or [child.tag for child in root] != ["head", "body"]:
        yield "is no <opml version='2.0'> with a head and a body"
    if root.find("body/outline") is None:
        yield "the body has no outline"
    for outline in root.iter("outline"):
        if outline.get("type") != "rss" or not outline.get("text", "").strip() or not outline.get("title", "").strip():
            yield at(outline, "is not of type rss, or has no text or no title")
        if not is_web_url(outline.get("xmlUrl")) or not is_web_url(outline.get("htmlUrl", place.url)):
            yield at(outline, f"xmlUrl or htmlUrl is no absolute URL: {outline.get('xmlUrl')!r}")
    urls = [outline.get("xmlUrl") for outline in root.iter("outline")]
    if len(set(urls)) < len(urls):
        yield "a feed is there twice"
