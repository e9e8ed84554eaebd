"""What the standards of our formats demand, each rule a function that names what a document breaks.

`complaints` is the way in. A rule cites its source: a section of an RFC, of the RSS 2.0 specification, of the RSS Best
Practices Profile ("Profile"), of JSON Feed 1.1 or OPML 2.0, or the message of the W3C feed validator ("validator").
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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
XML = "{http://www.w3.org/XML/1998/namespace}"

PREFIXES = {
    "atom": ATOM, "content": CONTENT, "dc": DC, "fh": HISTORY, "media": MEDIA, "xml": XML,
    "dcterms": "{http://purl.org/dc/terms/}", "thr": "{http://purl.org/syndication/thread/1.0}",
}  # fmt: skip
"""What the validator expects each prefix to stand for."""
KNOWN_NAMESPACES = {namespace[1:-1] for namespace in PREFIXES.values()}
# IANA's registry of link relations, as far as feeds use it.
RELATIONS = frozenset(
    "about alternate amphtml author bookmark canonical collection current describedby edit edit-media enclosure first"
    " hub icon item last license next next-archive payment prev prev-archive previous related replies search self"
    " service start tag up via".split()
)
HISTORY_RELATIONS = frozenset("current first last next next-archive prev-archive previous".split())
MEDIUMS = frozenset("image audio video document executable".split())

CHANNEL_ELEMENTS = frozenset(
    "title link description language copyright managingEditor webMaster pubDate lastBuildDate category generator docs"
    " cloud ttl image rating textInput skipHours skipDays item".split()
)
ITEM_ELEMENTS = frozenset("title link description author category comments enclosure guid pubDate source".split())
REPEATABLE = frozenset({"item", "category", "enclosure"})
# A plain element and an extension that says the same (validator: DuplicateSemantics).
SAME_MEANING = (
    ("pubDate", f"{DC}date"), ("pubDate", f"{ATOM}published"), ("author", f"{DC}creator"), ("guid", f"{ATOM}id"),
    ("managingEditor", f"{DC}creator"), ("webMaster", f"{DC}publisher"), ("category", f"{DC}subject"),
    ("language", f"{DC}language"), ("copyright", f"{DC}rights"), ("source", f"{DC}source"),
    ("lastBuildDate", "{http://purl.org/dc/terms/}modified"),
)  # fmt: skip

HTML_ELEMENTS = frozenset(
    "a abbr acronym address article aside audio b bdi bdo big blockquote br caption center cite code col colgroup data"
    " dd del details dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins"
    " kbd li main map mark menu ol p picture pre q rp rt ruby s samp section small source span strike strong sub"
    " summary sup table tbody td tfoot th thead time tr track tt u ul var video wbr area".split()
)
"""What may stand in the HTML of a feed: nothing that runs, embeds, styles or asks for input."""
VOID_ELEMENTS = frozenset("area br col hr img source track wbr".split())
CLOSED_BY_THEMSELVES = frozenset("colgroup dd dt li p rp rt tbody td tfoot th thead tr".split())
URL_ATTRIBUTES = frozenset("background cite data href longdesc poster src".split())

_IRI = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*:(?:[^\x00-\x20<>"{}|\\^`%\x7f-\x9f]|%[0-9A-Fa-f]{2})+""")
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{1,31}:.+", re.IGNORECASE)
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_RFC_822 = re.compile(
    r"(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
    r" \d\d:\d\d(?::\d\d)? (?:[+-]\d{4}|GMT)"
)
_LANGUAGE = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+",
    re.IGNORECASE,
)
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"[^"]*"))*')
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_POSITIVE = re.compile(r"[1-9]\d*")
_ARCHIVE = re.compile(r"[^/]+/archive/(\d{4,})\.xml")


class Place(NamedTuple):
    """Where a document is: its path in the output folder, and the address of that folder."""

    path: str
    base_url: str

    @property
    def url(self) -> str:
        return self.base_url + self.path

    @property
    def page(self) -> int:
        """The number of an archive document, 0 for any other."""
        match = _ARCHIVE.fullmatch(self.path)
        return int(match[1]) if match else 0


class Rule(NamedTuple):
    """A rule and where it stands; `check` takes the parsed document and its place."""

    source: str
    check: Callable[[Any, Place], Iterable[str]]


FEEDPARSER_TYPES = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
RULES: dict[str, list[Rule]] = {"atom": [], "rss": [], "json": [], "opml": []}
Check = Callable[[Any, Place], Iterator[str]]


def rule(source: str, *kinds: str) -> Callable[[Check], Check]:
    """Registers a rule of these kinds of documents."""

    def register(check: Check) -> Check:
        for kind in kinds:
            RULES[kind].append(Rule(source, check))
        return check

    return register


def kind_of(path: str) -> str | None:
    """The kind of the document at a path of the output folder, None for what no rule here is about."""
    if _ARCHIVE.fullmatch(path):
        return "atom"
    return {"rss.xml": "rss", "atom.xml": "atom", "feed.json": "json", "opml.xml": "opml"}.get(path.rsplit("/")[-1])


def complaints(path: str, body: bytes, base_url: str) -> list[str]:
    """What the document breaks, each as `path: source: what is wrong`; empty for a good one."""
    kind = kind_of(path)
    assert kind, f"{path} is no feed and no list of feeds"
    place = Place(path, base_url)
    try:
        document = _parse_json(body) if kind == "json" else _parse_xml(body)
    except ValueError as error:
        return [f"{path}: not well-formed: {error}"]
    found = [f"{path}: {one.source}: {text}" for one in RULES[kind] for text in one.check(document, place)]
    if kind in FEEDPARSER_TYPES:
        parsed = feedparser.parse(body, response_headers={"content-type": f"{FEEDPARSER_TYPES[kind]}; charset=utf-8"})
        if parsed.bozo:
            found.append(f"{path}: feedparser: {parsed.bozo_exception}")
    return found


def _parse_xml(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise ValueError(error) from error


def _parse_json(body: bytes) -> Any:
    """The feed; a byte order mark (RFC 8259 8.1) or a name that stands twice (section 4) is an error."""

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [name for name, count in Counter(name for name, _ in members).items() if count > 1]:
            raise ValueError(f"{twice[0]!r} stands twice in an object")
        return dict(members)

    feed = json.loads(body.decode(), object_pairs_hook=unique)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ValueError("is no object with a list of items")
    return feed


def at(element: etree._Element, text: str) -> str:
    """The text with the place of the element before it."""
    return f"line {element.sourceline}: <{etree.QName(element).localname}> {text}"


# What values look like.


def is_iri(text: str) -> bool:
    """An absolute IRI (RFC 3987), of the form its scheme asks for where that is http, https or urn."""
    if not _IRI.fullmatch(text):
        return False
    scheme = text.partition(":")[0].lower()
    if scheme == "urn":
        return bool((_UUID if text.lower().startswith("urn:uuid:") else _URN).fullmatch(text))
    try:
        return scheme not in ("http", "https") or bool(urlsplit(text).hostname)
    except ValueError:
        return False


def is_uri(text: str) -> bool:
    """An absolute URI (RFC 3986)."""
    return text.isascii() and is_iri(text)


def is_web_address(text: object) -> bool:
    """An absolute URI of http or https."""
    return isinstance(text, str) and is_uri(text) and text.lower().startswith(("http://", "https://"))


def is_rfc_3339(text: object) -> bool:
    """A date and time with upper-case T and Z (RFC 4287 3.3)."""
    return isinstance(text, str) and bool(_RFC_3339.fullmatch(text)) and _moment(text) is not None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def is_rfc_822(text: str) -> bool:
    """A date and time of RFC 822 with a year of four digits, a zone of digits or GMT, and the right day of the week."""
    match = _RFC_822.fullmatch(text)
    try:
        return bool(match and match[1] in (None, f"{parsedate_to_datetime(text):%a}"))
    except ValueError:
        return False


def is_language(text: object) -> bool:
    """A well-formed tag of BCP 47."""
    return isinstance(text, str) and bool(_LANGUAGE.fullmatch(text))


def is_media_type(text: object) -> bool:
    """A type of RFC 2045 5.1, with or without parameters."""
    return isinstance(text, str) and bool(_MEDIA_TYPE.fullmatch(text))


class _Fragment(HTMLParser):
    """Collects what is wrong with a piece of HTML."""

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
            addresses = _srcset(value or "") if name == "srcset" else [value or ""] * (name in URL_ATTRIBUTES)
            for address in addresses:
                if not is_web_address(address) and not address.startswith("mailto:"):
                    self.found.append(f"{name} is no absolute address: {address!r}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

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


def _srcset(value: str) -> list[str]:
    return [candidate.split()[0] for candidate in re.split(r",\s+", value) if candidate.strip()]


def html_complaints(text: str) -> list[str]:
    """What a reader would have to mend or remove in a piece of HTML (validator: NotHtml, SecurityRisk, ContainsRelRef)."""
    fragment = _Fragment()
    fragment.feed(text)
    fragment.close()
    return fragment.found


# Both XML feeds.


def _entries(root: etree._Element) -> list[etree._Element]:
    return [*root.iterfind(f"{ATOM}entry"), *root.iterfind("channel/item")]


def _head(root: etree._Element) -> etree._Element:
    """The element that holds what is said of the feed as a whole."""
    channel = root.find("channel")
    return root if channel is None else channel


@rule("validator: ReservedPrefix, NonstdPrefix", "atom", "rss")
def _prefixes(root: etree._Element, place: Place) -> Iterator[str]:
    usual = {namespace[1:-1]: prefix for prefix, namespace in PREFIXES.items()}
    for element in root.iter(etree.Element):
        for prefix, namespace in element.nsmap.items():
            if prefix and (
                usual.get(namespace, prefix) != prefix or PREFIXES.get(prefix, namespace).strip("{}") != namespace
            ):
                yield at(element, f"has the prefix {prefix!r} for {namespace}")


@rule("BCP 47 2.1", "atom", "rss")
def _language_tags(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(etree.Element):
        tags = [element.get(f"{XML}lang"), element.get("hreflang")]
        if element.tag in (f"{DC}language", "language"):
            tags.append(element.text or "")
        yield from (
            at(element, f"has no language tag: {tag!r}") for tag in tags if tag is not None and not is_language(tag)
        )


@rule("RFC 4287 4.2.7", "atom", "rss")
def _links(root: etree._Element, place: Place) -> Iterator[str]:
    for link in root.iter(f"{ATOM}link"):
        href, rel = link.get("href", ""), link.get("rel", "alternate")
        if not is_uri(urljoin(link.base or "", href)):
            yield at(link, f"href is no absolute address: {href!r}")
        if rel not in RELATIONS and not is_iri(rel):
            yield at(link, f"rel is neither registered nor an IRI: {rel!r}")
        if not is_media_type(link.get("type", "text/html")):
            yield at(link, f"type is no media type: {link.get('type')!r}")
        if not link.get("length", "0").isdecimal():
            yield at(link, f"length is no number: {link.get('length')!r}")
        if not link.get("title", "one").strip() or (link.text or "").strip():
            yield at(link, "has an empty title, or a text")


@rule("RFC 5005 3 and 4 (validator: FeedHistoryRelInEntry)", "atom", "rss")
def _history_of_entries(root: etree._Element, place: Place) -> Iterator[str]:
    for entry in _entries(root):
        for link in entry.iterfind(f"{ATOM}link"):
            if link.get("rel") in HISTORY_RELATIONS:
                yield at(link, f"rel={link.get('rel')} is of a feed, not of an entry")


@rule("RFC 4287 4.1.1, Profile atom:link (validator: MissingSelf, SelfDoesntMatchLocation)", "atom", "rss")
def _self_link(root: etree._Element, place: Place) -> Iterator[str]:
    found = [link.get("href") for link in _head(root).iterfind(f"{ATOM}link") if link.get("rel") == "self"]
    if found != [place.url]:
        yield f"the self links are {found}, the document is at {place.url}"


@rule("WebSub 4", "atom", "rss")
def _hub_links(root: etree._Element, place: Place) -> Iterator[str]:
    for link in root.iter(f"{ATOM}link"):
        if link.get("rel") == "hub" and (link.getparent() is not _head(root) or not is_web_address(link.get("href"))):
            yield at(link, "is no hub of the feed")


@rule("RFC 5005 4", "atom", "rss")
def _archived_feed(root: etree._Element, place: Place) -> Iterator[str]:
    head = _head(root)
    links: dict[str, list[str]] = {}
    for link in head.iterfind(f"{ATOM}link"):
        links.setdefault(link.get("rel", "alternate"), []).append(link.get("href", ""))
    folder = place.url.rsplit("/", 1)[0] + ("/" if place.page else "/archive/")
    markers = head.findall(f"{HISTORY}archive")
    if len(markers) != bool(place.page) or any(len(one) or one.text or one.attrib for one in markers):
        yield "an empty fh:archive stands in archive documents, and only there"
    if links.get("next-archive"):
        # it SHOULD be there, but ours never change once they are sealed
        yield "has a next-archive"
    previous = links.get("prev-archive", [])
    if place.page and previous != [f"{folder}{place.page - 1:04}.xml"][: place.page - 1]:
        yield f"prev-archive of page {place.page} is {previous}"
    if not all(re.fullmatch(re.escape(folder) + r"\d{4,}\.xml", one) for one in previous[:2]):
        yield f"prev-archive is no page of this feed: {previous}"
    if len(previous) > 1 or len(links.get("current", [])) != bool(place.page):
        yield f"has more than one prev-archive, or current links {links.get('current')}"
    subscriptions = {urljoin(place.url, f"../{name}") for name in ("atom.xml", "rss.xml", "feed.json")}
    if not subscriptions.issuperset(links.get("current", [])):
        yield f"current is no subscription document of this feed: {links.get('current')}"


@rule("RFC 4287 3.3", "atom", "rss")
def _date_constructs(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(f"{ATOM}updated", f"{ATOM}published"):
        if not is_rfc_3339(element.text):
            yield at(element, f"is no date and time of RFC 3339: {element.text!r}")


@rule("readers skip what is newer than its feed", "atom", "rss")
def _entries_within_the_feed(root: etree._Element, place: Place) -> Iterator[str]:
    stated = _head(root).findtext(f"{ATOM}updated") or ""
    built = _head(root).findtext("lastBuildDate") or ""
    newest = _moment(stated) or (parsedate_to_datetime(built) if is_rfc_822(built) else None)
    for entry in _entries(root):
        updated = _moment(entry.findtext(f"{ATOM}updated") or "")
        if updated and newest and updated.tzinfo and newest.tzinfo and updated > newest:
            yield at(entry, f"is of {updated}, the feed of {newest}")


@rule("Media RSS 1.5.1", "atom", "rss")
def _media(root: etree._Element, place: Place) -> Iterator[str]:
    holders = {f"{ATOM}entry", "item", f"{MEDIA}group"}
    for element in root.iter(f"{MEDIA}*"):
        name = etree.QName(element).localname
        if element.getparent().tag not in holders and not (
            name != "content" and element.getparent().tag == f"{MEDIA}content"
        ):
            yield at(element, f"stands in {element.getparent().tag}")
        has_player = element.find(f"{MEDIA}player") is not None
        if name in ("content", "thumbnail", "player") and not has_player and not is_web_address(element.get("url")):
            yield at(element, f"url is no absolute address: {element.get('url')!r}")
        if element.get("medium", "image") not in MEDIUMS:
            yield at(element, f"has an unknown medium: {element.get('medium')!r}")
        if name == "content" and not is_media_type(element.get("type", "image/png")):
            yield at(element, f"type is no media type: {element.get('type')!r}")
        for attribute in ("width", "height", "fileSize"):
            if not _POSITIVE.fullmatch(element.get(attribute, "1")):
                yield at(element, f"{attribute} is no positive number: {element.get(attribute)!r}")
        if name == "group" and len(element.findall(f"{MEDIA}content")) < 2:
            yield at(element, "holds no alternatives of one thing")


# Atom.


@cache
def _grammar() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(Path(__file__).parent / "data" / "atom.rng"))


@rule("RFC 4287 Appendix B", "atom")
def _schema(root: etree._Element, place: Place) -> Iterator[str]:
    grammar = _grammar()
    if not grammar.validate(root):
        yield "; ".join(f"line {error.line}: {error.message}" for error in list(grammar.error_log)[:3])


@rule("RFC 4287 2", "atom")
def _feed_document(root: etree._Element, place: Place) -> Iterator[str]:
    if root.tag != f"{ATOM}feed":
        yield f"is no feed but {root.tag}"


@rule("RFC 4287 3.1.1", "atom")
def _text_constructs(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(*(f"{ATOM}{name}" for name in ("title", "subtitle", "summary", "rights", "content"))):
        kind = element.get("type", "text")
        if kind in ("text", "html") and len(element):
            yield at(element, f"of type {kind} has child elements")
        if kind == "html":
            yield from (at(element, text) for text in html_complaints(element.text or ""))


@rule("RFC 4287 3.2", "atom")
def _persons(root: etree._Element, place: Place) -> Iterator[str]:
    for person in root.iter(f"{ATOM}author", f"{ATOM}contributor"):
        if not (person.findtext(f"{ATOM}name") or "").strip():
            yield at(person, "has no name")
        uri, email = person.findtext(f"{ATOM}uri"), person.findtext(f"{ATOM}email")
        if uri is not None and not is_iri(urljoin(person.base or "", uri)):
            yield at(person, f"has no IRI in its uri: {uri!r}")
        if email is not None and not _EMAIL.fullmatch(email):
            yield at(person, f"has no address in its email: {email!r}")


@rule("RFC 4287 4.1.1, 4.1.2 and 4.2.1: authors", "atom")
def _authors(root: etree._Element, place: Place) -> Iterator[str]:
    if root.find(f"{ATOM}author") is None:
        if not _entries(root):
            yield "neither the feed nor an entry has an author"
        for entry in _entries(root):
            if entry.find(f"{ATOM}author") is None and entry.find(f"{ATOM}source/{ATOM}author") is None:
                yield at(entry, "has no author, nor has the feed")


@rule("RFC 4287 4.1.1 and 4.1.2: alternate links", "atom")
def _alternate_links(root: etree._Element, place: Place) -> Iterator[str]:
    for holder in (root, *_entries(root)):
        found = [link for link in holder.iterfind(f"{ATOM}link") if link.get("rel", "alternate") == "alternate"]
        for (kind, language), count in Counter((link.get("type"), link.get("hreflang")) for link in found).items():
            if count > 1:
                yield at(holder, f"has {count} alternate links of type {kind} and language {language}")


@rule("RFC 4287 4.1.1: one id is one entry (validator: DuplicateEntries)", "atom")
def _unique_ids(root: etree._Element, place: Place) -> Iterator[str]:
    versions = Counter((entry.findtext(f"{ATOM}id"), entry.findtext(f"{ATOM}updated")) for entry in _entries(root))
    yield from (f"{id_} stands {count} times with one date" for (id_, _), count in versions.items() if count > 1)
    if root.findtext(f"{ATOM}id") in {id_ for id_, _ in versions}:
        yield "an entry has the id of the feed"


@rule("RFC 4287 4.1.1.1", "atom")
def _titles(root: etree._Element, place: Place) -> Iterator[str]:
    # It also advises a content or summary that says something. A record may have a title alone, and that again in
    # place of a text would be a summary to the readers of one format only.
    for holder in (root, *_entries(root)):
        if not any("".join(title.itertext()).strip() for title in holder.iterfind(f"{ATOM}title")):
            yield at(holder, "has an empty title")


@rule("RFC 4287 4.1.2: content or an alternate link", "atom")
def _content_or_link(root: etree._Element, place: Place) -> Iterator[str]:
    for entry in _entries(root):
        links = {link.get("rel", "alternate") for link in entry.iterfind(f"{ATOM}link")}
        if entry.find(f"{ATOM}content") is None and "alternate" not in links:
            yield at(entry, "has neither content nor an alternate link")


@rule("RFC 4287 4.1.2 and 4.1.3: content that is not text", "atom")
def _other_content(root: etree._Element, place: Place) -> Iterator[str]:
    for content in root.iter(f"{ATOM}content"):
        kind, source = content.get("type", "text"), content.get("src")
        is_text = kind in ("text", "html", "xhtml") or kind.startswith("text/") or kind.endswith(("+xml", "/xml"))
        if content.getparent().find(f"{ATOM}summary") is None and (source is not None or not is_text):
            yield at(content, "is elsewhere or not text, and there is no summary")
        if source is not None and not is_iri(urljoin(content.base or "", source)):
            yield at(content, f"src is no IRI: {source!r}")
        if kind.startswith(("multipart/", "message/")):
            yield at(content, f"has a composite type: {kind!r}")


@rule("RFC 4287 4.2.2", "atom")
def _categories(root: etree._Element, place: Place) -> Iterator[str]:
    for category in root.iter(f"{ATOM}category"):
        if not category.get("term", "").strip():
            yield at(category, "has an empty term")
        if not is_iri(category.get("scheme", "urn:x-ours:topic")):
            yield at(category, f"scheme is no IRI: {category.get('scheme')!r}")


@rule("RFC 4287 4.2.4", "atom")
def _generator(root: etree._Element, place: Place) -> Iterator[str]:
    for generator in root.iter(f"{ATOM}generator"):
        if not (generator.text or "").strip() or not is_iri(
            urljoin(generator.base or "", generator.get("uri", "urn:x-ours:none"))
        ):
            yield at(generator, "has no name, or a uri that is none")


@rule("RFC 4287 4.2.5 and 4.2.8", "atom")
def _pictures(root: etree._Element, place: Place) -> Iterator[str]:
    for picture in root.iter(f"{ATOM}icon", f"{ATOM}logo"):
        if not is_iri(urljoin(picture.base or "", picture.text or "")):
            yield at(picture, f"is no IRI: {picture.text!r}")


@rule("RFC 4287 4.2.6", "atom")
def _ids(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter(f"{ATOM}id"):
        if not is_iri(element.text or ""):
            yield at(element, f"is no absolute IRI: {element.text!r}")


@rule("RFC 6721 3", "atom")
def _tombstones(root: etree._Element, place: Place) -> Iterator[str]:
    updated = {entry.findtext(f"{ATOM}id"): _moment(entry.findtext(f"{ATOM}updated") or "") for entry in _entries(root)}
    stones = list(root.iter(f"{TOMBSTONES}deleted-entry"))
    for stone in stones:
        ref, when = stone.get("ref", ""), stone.get("when", "")
        if stone.getparent() is not root:
            yield at(stone, "is no child of the feed")
        if not is_iri(ref):
            yield at(stone, f"ref is no absolute IRI: {ref!r}")
        if not is_rfc_3339(when):
            yield at(stone, f"when is no date and time of RFC 3339: {when!r}")
        elif (live := updated.get(ref)) and live <= datetime.fromisoformat(when):
            yield at(stone, f"removes an entry that is there: {ref}")
    for (ref, when), count in Counter((stone.get("ref"), stone.get("when")) for stone in stones).items():
        if count > 1:
            yield f"{ref} is removed {count} times at {when}"


@rule("RFC 4287 6.3 (validator: UnknownNamespace)", "atom", "rss")
def _namespaces(root: etree._Element, place: Place) -> Iterator[str]:
    used = {etree.QName(element).namespace for element in root.iter(etree.Element)}
    for namespace in set(root.nsmap.values()) - KNOWN_NAMESPACES - used:
        yield f"declares a namespace that readers may not know and that nothing uses: {namespace}"


# RSS.


@rule("RSS 2.0: rss, channel", "rss")
def _rss_document(root: etree._Element, place: Place) -> Iterator[str]:
    if root.tag != "rss" or root.get("version") != "2.0" or len(root.findall("channel")) != 1:
        yield "is no <rss version='2.0'> with one channel"
    for holder, known in ((_head(root), CHANNEL_ELEMENTS), *((item, ITEM_ELEMENTS) for item in _entries(root))):
        plain = [child.tag for child in holder.iterchildren(etree.Element) if not child.tag.startswith("{")]
        yield from (at(holder, f"holds <{name}>") for name in sorted(set(plain) - known))
        for name, count in Counter(plain).items():
            if count > 1 and name not in REPEATABLE:
                yield at(holder, f"holds <{name}> {count} times")


@rule("RSS 2.0: required channel elements", "rss")
def _required_elements(root: etree._Element, place: Place) -> Iterator[str]:
    for name in ("title", "link", "description"):
        if not (_head(root).findtext(name) or "").strip():
            yield f"the channel has no {name}"


@rule("RSS 2.0: elements of item", "rss")
def _title_or_description(root: etree._Element, place: Place) -> Iterator[str]:
    for item in _entries(root):
        if not any((item.findtext(name) or "").strip() for name in ("title", "description")):
            yield at(item, "has neither title nor description")
        for name in ("title", "category"):
            if any(not (element.text or "").strip() for element in item.iterfind(name)):
                yield at(item, f"has an empty {name}")


@rule("RSS 2.0: guid (validator: MissingGuid, DuplicateValue, InvalidHttpGUID)", "rss")
def _guids(root: etree._Element, place: Place) -> Iterator[str]:
    found = Counter(item.findtext("guid") for item in _entries(root))
    yield from (f"guid {guid!r} stands {count} times" for guid, count in found.items() if count > 1)
    for item in _entries(root):
        guid = item.find("guid")
        if guid is None or not (guid.text or "").strip():
            yield at(item, "has no guid")
        elif guid.get("isPermaLink", "true") not in ("true", "false"):
            yield at(guid, f"isPermaLink is neither true nor false: {guid.get('isPermaLink')!r}")
        elif guid.get("isPermaLink") != "false" and not is_web_address(guid.text):
            yield at(guid, f"is no address, but isPermaLink says so: {guid.text!r}")


@rule("RSS 2.0 and Profile: dates (validator: InvalidRFC2822Date, IncorrectDOW)", "rss")
def _rss_dates(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("pubDate", "lastBuildDate"):
        if not is_rfc_822(element.text or ""):
            yield at(element, f"is no date of RFC 822 with four digits for the year and an offset: {element.text!r}")


@rule("RSS 2.0: links (validator: InvalidFullLink, UriNotIri)", "rss")
def _rss_links(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("link", "comments", "docs", "url"):
        if not is_uri(element.text or ""):
            yield at(element, f"is no absolute address: {element.text!r}")
    for element in root.iter("source", "enclosure"):
        if not is_web_address(element.get("url")):
            yield at(element, f"url is no absolute address: {element.get('url')!r}")


@rule("Profile: email addresses (validator: InvalidContact, MissingRealName)", "rss")
def _rss_persons(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("author", "managingEditor", "webMaster"):
        if not re.fullmatch(rf"(?:{_EMAIL.pattern}) \(.+\)", element.text or ""):
            yield at(element, f"is no 'address (name)': {element.text!r}")


@rule("RSS 2.0 and Profile: enclosure", "rss")
def _enclosures(root: etree._Element, place: Place) -> Iterator[str]:
    for enclosure in root.iter("enclosure"):
        if not enclosure.get("length", "").isdecimal() or not is_media_type(enclosure.get("type")):
            yield at(enclosure, "has no length or no media type")
    for item in _entries(root):
        if len(item.findall("enclosure")) > 1:
            yield at(item, "has several enclosures; readers take one")


@rule("RSS 2.0: ttl, skipHours, skipDays", "rss")
def _schedule(root: etree._Element, place: Place) -> Iterator[str]:
    days = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
    ttl = _head(root).findtext("ttl", "60")
    if not _POSITIVE.fullmatch(ttl):
        yield f"ttl is no number of minutes: {ttl!r}"
    hours = [one.text or "" for one in root.iter("hour")]
    if len(set(hours)) < len(hours) or not all(one.isdecimal() and int(one) < 24 for one in hours):
        yield f"skipHours are no hours: {hours}"
    named = [one.text for one in root.iter("day")]
    if len(set(named)) < len(named) or not days.issuperset(named):
        yield f"skipDays are no days: {named}"


@rule("RSS 2.0 and Profile: image (validator: ImageLinkDoesntMatch, ImageTitleDoesntMatch, ImageUrlFormat)", "rss")
def _channel_image(root: etree._Element, place: Place) -> Iterator[str]:
    for image in _head(root).iterfind("image"):
        for name in ("title", "link"):
            if image.findtext(name) != _head(root).findtext(name):
                yield at(image, f"has not the {name} of its channel: {image.findtext(name)!r}")
        extension = re.search(r"\.(\w+)$", urlsplit(image.findtext("url") or "").path)
        if image.find("url") is None or (extension and extension[1].lower() not in ("gif", "jpeg", "jpg", "png")):
            yield at(image, f"is no GIF, JPEG or PNG: {image.findtext('url')!r}")
        for name, most in (("width", 144), ("height", 400)):
            stated = image.findtext(name, "1")
            if not _POSITIVE.fullmatch(stated) or int(stated) > most:
                yield at(image, f"{name} is not within 1 and {most}: {stated!r}")


@rule("Profile: textInput", "rss")
def _text_input(root: etree._Element, place: Place) -> Iterator[str]:
    if root.find("channel/textInput") is not None:
        yield "has a textInput"


@rule("Profile: item (validator: MisplacedItem)", "rss")
def _items_last(root: etree._Element, place: Place) -> Iterator[str]:
    tags = [child.tag for child in _head(root).iterchildren(etree.Element)]
    if "item" in tags and set(tags[tags.index("item") :]) != {"item"}:
        yield "something of the channel stands behind an item"


@rule("RSS 2.0: description, content:encoded (validator: NotHtml, SecurityRisk, ContainsRelRef)", "rss")
def _rss_html(root: etree._Element, place: Place) -> Iterator[str]:
    for item in _entries(root):
        for element in (*item.iterfind("description"), *item.iterfind(f"{CONTENT}encoded")):
            yield from (at(element, text) for text in html_complaints(element.text or ""))


@rule("Profile: content:encoded (validator: NeedDescriptionBeforeContent, DuplicateElement)", "rss")
def _description_first(root: etree._Element, place: Place) -> Iterator[str]:
    # The validator also warns where there is no description at all; ours would then say more than the other formats.
    for item in _entries(root):
        tags = [child.tag for child in item.iterchildren(etree.Element)]
        if tags.count(f"{CONTENT}encoded") > 1:
            yield at(item, "has content:encoded twice")
        if f"{CONTENT}encoded" in tags and "description" in tags[tags.index(f"{CONTENT}encoded") :]:
            yield at(item, "has its description behind content:encoded")


@rule("validator: DuplicateSemantics", "rss")
def _same_meaning(root: etree._Element, place: Place) -> Iterator[str]:
    for holder in (_head(root), *_entries(root)):
        for plain, extension in SAME_MEANING:
            if holder.find(plain) is not None and holder.find(extension) is not None:
                yield at(holder, f"says the same by {plain} and {extension}")


@rule("Profile: character data (validator: ContainsHTML, CharacterData)", "rss")
def _plain_texts(root: etree._Element, place: Place) -> Iterator[str]:
    for element in root.iter("title", "category", "copyright", "generator"):
        text = element.text or ""
        if re.search(r"</?[A-Za-z][^<>]*>", text) or unescape(text) != text:
            yield at(element, f"has what readers take for HTML: {text!r}")


# JSON Feed.

JSON_FEED = "https://jsonfeed.org/version/1.1"
JSON_TOP = frozenset(
    "version title home_page_url feed_url description user_comment next_url icon favicon authors language expired hubs"
    " items".split()
)
JSON_ITEM = frozenset(
    "id url external_url title content_html content_text summary image banner_image date_published date_modified"
    " authors tags language attachments".split()
)
JSON_URLS = frozenset("home_page_url feed_url next_url icon favicon url external_url image banner_image avatar".split())
JSON_TEXTS = frozenset("title description user_comment content_html content_text summary name mime_type".split())


def _objects(feed: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the standard describes, with its place: the feed, items, authors, hubs and attachments."""
    yield "feed", feed
    for number, item in enumerate(feed["items"]):
        yield f"items[{number}]", item
        yield from _members(f"items[{number}]", item, "authors", "attachments")
    yield from _members("feed", feed, "authors", "hubs")


def _members(where: str, holder: dict[str, Any], *names: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in names:
        yield from ((f"{where}.{name}", one) for one in holder.get(name, []))


@rule("JSON Feed 1.1: top-level", "json")
def _json_top(feed: Any, place: Place) -> Iterator[str]:
    if feed.get("version") != JSON_FEED:
        yield f"version is {feed.get('version')!r}"
    if not str(feed.get("title", "")).strip():
        yield "the title is missing"
    if feed.get("feed_url") != place.url:
        yield f"feed_url is {feed.get('feed_url')!r}, the document is at {place.url}"
    if not isinstance(feed.get("expired", False), bool):
        yield f"expired is neither true nor false: {feed['expired']!r}"


@rule("JSON Feed 1.1: names of members, extensions", "json")
def _json_names(feed: Any, place: Place) -> Iterator[str]:
    known = {
        "feed": JSON_TOP,
        "authors": frozenset({"name", "url", "avatar"}),
        "hubs": frozenset({"type", "url"}),
        "attachments": frozenset({"url", "mime_type", "title", "size_in_bytes", "duration_in_seconds"}),
    }
    for where, one in _objects(feed):
        for name in one.keys() - known.get(where.rpartition(".")[2], JSON_ITEM):
            if not re.fullmatch(r"_[A-Za-z][^.]*", name):
                yield f"{where}: {name!r} is no member of JSON Feed 1.1, nor an extension"


@rule("JSON Feed 1.1: urls and texts", "json")
def _json_values(feed: Any, place: Place) -> Iterator[str]:
    for where, one in _objects(feed):
        for name, value in one.items():
            if (
                name in JSON_URLS
                and not is_web_address(value)
                and not (name == "url" and str(value).startswith("mailto:"))
            ):
                yield f"{where}: {name} is no absolute address: {value!r}"
            if name in JSON_TEXTS and not isinstance(value, str):
                yield f"{where}: {name} is no text: {value!r}"
            if name == "language" and not is_language(value):
                yield f"{where}: language is no tag of BCP 47: {value!r}"


@rule("JSON Feed 1.1: id", "json")
def _json_ids(feed: Any, place: Place) -> Iterator[str]:
    ids = Counter(item.get("id") for item in feed["items"])
    for id_, count in ids.items():
        if not isinstance(id_, str) or not id_:
            yield f"an id is missing or no text: {id_!r}"
        if count > 1:
            yield f"{id_!r} stands {count} times"


@rule("JSON Feed 1.1: content_html, content_text", "json")
def _json_contents(feed: Any, place: Place) -> Iterator[str]:
    for number, item in enumerate(feed["items"]):
        if not any(isinstance(item.get(name), str) for name in ("content_html", "content_text")):
            yield f"items[{number}]: has no content"
        for text in html_complaints(str(item.get("content_html", ""))):
            yield f"items[{number}].content_html: {text}"


@rule("JSON Feed 1.1: dates (RFC 3339)", "json")
def _json_dates(feed: Any, place: Place) -> Iterator[str]:
    for where, one in _objects(feed):
        for name in ("date_published", "date_modified"):
            if name in one and not is_rfc_3339(one[name]):
                yield f"{where}: {name} is no date and time of RFC 3339: {one[name]!r}"


@rule("JSON Feed 1.1: authors, tags, hubs, attachments", "json")
def _json_parts(feed: Any, place: Place) -> Iterator[str]:
    required = {"hubs": {"type", "url"}, "attachments": {"url", "mime_type"}}
    for where, one in _objects(feed):
        part = where.rpartition(".")[2]
        if part == "authors" and not any(one.get(name) for name in ("name", "url", "avatar")):
            yield f"{where}: says nothing"
        if missing := required.get(part, set()) - one.keys():
            yield f"{where}: has no {' and '.join(sorted(missing))}"
        if not is_media_type(one.get("mime_type", "text/html")):
            yield f"{where}: mime_type is no media type: {one['mime_type']!r}"
        if not all(isinstance(tag, str) and tag.strip() for tag in one.get("tags", [])):
            yield f"{where}: a tag is no text: {one['tags']!r}"


# OPML.


@rule("OPML 2.0: opml, head, body", "opml")
def _opml_document(root: etree._Element, place: Place) -> Iterator[str]:
    if root.tag != "opml" or root.get("version") != "2.0" or [child.tag for child in root] != ["head", "body"]:
        yield "is no <opml version='2.0'> with a head and a body"
    if root.find("body/outline") is None:
        yield "the body has no outline"


@rule("OPML 2.0: head", "opml")
def _opml_head(root: etree._Element, place: Place) -> Iterator[str]:
    known = "title dateCreated dateModified ownerName ownerEmail ownerId docs expansionState vertScrollState".split()
    for element in root.iterfind("head/*"):
        if element.tag not in known:
            yield at(element, "is not known")
        if element.tag.startswith("date") and not is_rfc_822(element.text or ""):
            yield at(element, f"is no date of RFC 822: {element.text!r}")


@rule("OPML 2.0: subscription lists (validator: MissingXmlURL, MissingTitleAttr)", "opml")
def _opml_outlines(root: etree._Element, place: Place) -> Iterator[str]:
    for outline in root.iter("outline"):
        if not outline.get("text", "").strip():
            yield at(outline, "has no text")
        if outline.get("type") != "rss":
            yield at(outline, f"is of type {outline.get('type')!r}, not rss")
        if not outline.get("title", "").strip():
            yield at(outline, "has no title")
        if not is_web_address(outline.get("xmlUrl")) or not is_web_address(outline.get("htmlUrl", place.url)):
            yield at(outline, f"xmlUrl or htmlUrl is no absolute address: {outline.get('xmlUrl')!r}")
        if outline.get("version", "RSS2") not in ("RSS", "RSS1", "RSS2", "scriptingNews"):
            yield at(outline, f"version is not known: {outline.get('version')!r}")
        if not is_language(outline.get("language", "en")):
            yield at(outline, f"language is no tag of BCP 47: {outline.get('language')!r}")
    twice = [url for url, count in Counter(one.get("xmlUrl") for one in root.iter("outline")).items() if count > 1]
    yield from (f"{url} stands twice" for url in twice)
