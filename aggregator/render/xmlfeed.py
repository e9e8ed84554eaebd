"""The one home of feedgen and lxml: what their elements cannot say is added here, what they raise is wrapped here.

feedgen makes the channel and each entry; `fragment` turns an entry into bytes once, and a document is those bytes
put into the channel's. Building whole documents from entry objects costs several times as much, for the same elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import format_datetime
from typing import Any, NamedTuple

import feedgen.entry
import feedgen.feed
from feedgen.ext.base import BaseExtension
from lxml import etree

from aggregator.errors import RenderError
from aggregator.model import Content, Entry, Feed, Format, OutputOptions, Site
from aggregator.render.parts import GENERATOR, MEDIA_TYPES, Frame, feed_url, page_url

# feedgen's own asks the C library by switching the locale of the whole process, which other threads then see.
feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = format_datetime

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
MEDIA = "{http://search.yahoo.com/mrss/}"
TOMBSTONES = "{http://purl.org/atompub/tombstones/1.0}"
XML = "{http://www.w3.org/XML/1998/namespace}"

# What the root of every document declares, used or not: then a fragment fits into any of them.
_PREFIXES: dict[Format, dict[str, str]] = {
    "rss": {"atom": ATOM[1:-1], "content": CONTENT[1:-1], "dc": DC[1:-1], "media": MEDIA[1:-1]},
    "atom": {"at": TOMBSTONES[1:-1], "media": MEDIA[1:-1]},
}


class Addition(NamedTuple):
    """An element that feedgen cannot make."""

    tag: str
    text: str | None
    attributes: Mapping[str, str]


def addition(tag: str, text: str | None = None, /, **attributes: str) -> Addition:
    """The element, without those of its attributes that are empty."""
    return Addition(tag, text, {name: value for name, value in attributes.items() if value})


class _FeedAdditions(BaseExtension):  # type: ignore[misc]
    """feedgen's hook for the channel: its namespaces, and elements behind its own."""

    def __init__(self) -> None:
        self.prefixes: Mapping[str, str] = {}
        self.elements: tuple[Addition, ...] = ()

    def extend_ns(self) -> Mapping[str, str]:
        return self.prefixes

    def extend_rss(self, root: etree._Element) -> None:
        _append(root[0], self.elements)

    def extend_atom(self, root: etree._Element) -> None:
        _append(root, self.elements)


class _EntryAdditions(BaseExtension):  # type: ignore[misc]
    """feedgen's hook for an entry: elements behind its own, and the language of all of them."""

    def __init__(self) -> None:
        self.elements: tuple[Addition, ...] = ()
        self.language = ""

    def extend_rss(self, item: etree._Element) -> None:
        _append(item, self.elements)

    def extend_atom(self, entry: etree._Element) -> None:
        # feedgen loses the rel of an entry's links (python-feedgen#135); it is given only those that have this one.
        for link in entry.iterfind("link"):
            link.set("rel", "alternate")
        if self.language:
            entry.set(f"{XML}lang", self.language)
        _append(entry, self.elements)


@contextmanager
def render_errors(subject: str) -> Iterator[None]:
    """Turns what feedgen and lxml raise into a RenderError that names the subject."""
    try:
        yield
    except (ValueError, TypeError, KeyError, etree.LxmlError) as error:
        raise RenderError(f"{subject} cannot be written: {error}") from error


def new_feed(feed: Feed, site: Site, options: OutputOptions, form: Format, additions: Iterable[Addition] = ()) -> Any:
    """A feedgen FeedGenerator that holds what RSS and Atom share."""
    generator = feedgen.feed.FeedGenerator()
    generator.register_extension("additions", _FeedAdditions, atom=True, rss=True)
    generator.additions.prefixes = _PREFIXES[form]
    generator.additions.elements = tuple(additions)
    generator.title(feed.title)
    # feedgen's default for every date is the wall clock.
    generator.updated(feed.updated)
    generator.language(feed.language)
    generator.generator(GENERATOR)
    generator.rights(site.copyright)
    generator.link(href=feed_url(feed.slug, form, site), rel="self", type=MEDIA_TYPES[form])
    if site.hub_url:
        generator.link(href=site.hub_url, rel="hub")
    # Last, because feedgen takes the last link of any kind for the channel's.
    generator.link(href=page_url(feed.slug, site, options), rel="alternate", type="text/html")
    return generator


def new_entry(entry: Entry, additions: Iterable[Addition], language: str = "") -> Any:
    """A feedgen FeedEntry with the id, title and dates of the entry."""
    made = feedgen.entry.FeedEntry()
    made.register_extension("additions", _EntryAdditions, atom=True, rss=True)
    made.additions.elements = tuple(additions)
    made.additions.language = language
    made.id(entry.id)
    made.title(entry.content.title)
    made.updated(entry.updated)
    if entry.published:
        made.published(entry.published)
    if entry.content.link:
        made.link(href=entry.content.link, rel="alternate")
    return made


def media_additions(content: Content) -> Iterator[Addition]:
    """Media RSS straight in the entry: feedgen's puts pictures that are no variants of one into one media:group."""
    for number, image in enumerate(content.images):
        size = {name: str(pixels) for name in ("width", "height") if (pixels := getattr(image, name)) > 0}
        yield addition(f"{MEDIA}content", url=image.url, medium="image", **size)
        if number == 0:
            yield addition(f"{MEDIA}thumbnail", url=image.url, **size)
    if content.video_url:
        yield addition(f"{MEDIA}player", url=content.video_url)


def fragment(made: etree._Element, form: Format) -> bytes:
    """The element as one line of bytes that fits into a document of the format.

    It declares no namespace, because the root does: lxml drops a declaration that a parent has, so the element is
    written inside such a parent, which is then cut off on both sides.
    """
    parent = etree.Element("parent", nsmap=_PREFIXES[form])
    parent.append(made)
    made.tail = "\n"
    text: bytes = etree.tostring(parent, encoding="utf-8")
    # The first tag is the parent's and holds nothing but our own namespaces.
    return text[text.index(b">") + 1 : -len("</parent>")]


def added_fragment(made: Addition, form: Format) -> bytes:
    """The same for an element that feedgen has no part in."""
    parent = etree.Element("parent")
    _append(parent, (made,))
    return fragment(parent[0], form)


def frame(shell: bytes, closing_tag: bytes, trailers: tuple[bytes, ...] = ()) -> Frame:
    """The document without entries, cut before the tag that closes what holds them."""
    head, tag, rest = shell.rpartition(closing_tag)
    return Frame(head.rstrip() + b"\n", b"", tag + rest, trailers)


def written(root: etree._Element) -> bytes:
    """A whole small document."""
    text: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return text


def element(tag: str, parent: Any = None, text: str | None = None, /, **attributes: str) -> Any:
    """A new element, the last in its parent if it has one."""
    made = etree.Element(tag, attributes) if parent is None else etree.SubElement(parent, tag, attributes)
    made.text = text
    return made


def _append(parent: etree._Element, additions: Iterable[Addition]) -> None:
    for tag, text, attributes in additions:
        element(tag, parent, text, **attributes)
