"""The one home of feedgen and lxml: what their elements cannot say is added here, what they raise is wrapped here.

feedgen makes the channel and each entry; `fragment` turns an entry into bytes once, and a document is those bytes
put into the channel's. Building whole documents from entry objects costs several times as much, for the same elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import feedgen.entry
import feedgen.feed
from feedgen.ext.base import BaseExtension
from lxml import etree

from aggregator.errors import RenderError
from aggregator.model import Content, Entry, Feed, Format, Site
from aggregator.render.parts import GENERATOR, Frame

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
HISTORY = "{http://purl.org/syndication/history/1.0}"
MEDIA = "{http://search.yahoo.com/mrss/}"

# What the root of every document declares, used or not: then a fragment fits into any of them.
_PREFIXES: dict[Format, dict[str, str]] = {
    "rss": {"atom": ATOM[1:-1], "content": CONTENT[1:-1], "dc": DC[1:-1], "media": MEDIA[1:-1]},
    "atom": {"media": MEDIA[1:-1]},
}

_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

Extend = Callable[[Any], None]
"""Adds elements that feedgen cannot make to one that it has made."""


def rfc822_date(time: datetime) -> str:
    """The time as in "Wed, 20 May 2020 12:00:00 +0000" (RFC 822 with the year of RFC 1123), in every locale."""
    time = time.astimezone(UTC)
    day = f"{_DAYS[time.weekday()]}, {time.day:02} {_MONTHS[time.month - 1]} {time.year:04}"
    return f"{day} {time.hour:02}:{time.minute:02}:{time.second:02} +0000"


# feedgen's own asks the C library by switching the locale of the whole process, which other threads then see.
feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = rfc822_date


class _FeedAdditions(BaseExtension):  # type: ignore[misc]
    """feedgen's hook for the channel: its namespaces, and elements behind its own."""

    def __init__(self, prefixes: Mapping[str, str], extend: Extend) -> None:
        self._prefixes, self._extend = prefixes, extend

    def extend_ns(self) -> Mapping[str, str]:
        return self._prefixes

    def extend_rss(self, root: etree._Element) -> None:
        self._extend(root[0])

    def extend_atom(self, root: etree._Element) -> None:
        self._extend(root)


@contextmanager
def render_errors(subject: str) -> Iterator[None]:
    """Turns what feedgen and lxml raise into a RenderError that names the subject."""
    try:
        yield
    except (ValueError, TypeError, KeyError, etree.LxmlError) as error:
        raise RenderError(f"{subject} cannot be written: {error}") from error


def new_feed(feed: Feed, site: Site, form: Format, links: Iterable[dict[str, str]], extend: Extend) -> Any:
    """A feedgen FeedGenerator that holds what RSS and Atom share; feedgen takes the last link for the channel's."""
    made = feedgen.feed.FeedGenerator()
    made.register_extension("additions", partial(_FeedAdditions, _PREFIXES[form], extend))
    made.title(feed.title)
    # feedgen's default for every date is the wall clock.
    made.updated(feed.updated)
    made.language(feed.language)
    made.generator(GENERATOR)
    made.rights(site.copyright)
    made.link(list(links))
    return made


def mark_as_archive(feed: etree._Element) -> None:
    """RFC 5005 section 4: an archive document says by `fh:archive` that it is one."""
    etree.SubElement(feed, f"{HISTORY}archive", nsmap={"fh": HISTORY[1:-1]})


def new_entry(entry: Entry) -> Any:
    """A feedgen FeedEntry with the id, title, dates and link of the entry."""
    made = feedgen.entry.FeedEntry()
    made.id(entry.id)
    made.title(entry.content.title)
    made.updated(entry.updated)
    if entry.published:
        made.published(entry.published)
    if entry.content.link:
        made.link(href=entry.content.link, rel="alternate")
    return made


def fragment(made: etree._Element, additions: Iterable[str], language: str = "") -> bytes:
    """The element as one line of bytes, with the additions behind its own children and the language of all of them.

    feedgen's hook for additions would have them as elements, each of which takes lxml as long as ten take here.
    """
    text: str = etree.tostring(made, encoding="unicode")
    start, end = len(made.tag) + 1, len(made.tag) + 3
    lang = f' xml:lang="{_escape_attribute(language)}"' if language else ""
    return f"{text[:start]}{lang}{text[start:-end]}{''.join(additions)}{text[-end:]}\n".encode()


def addition(tag: str, text: str = "", /, **attributes: str) -> str:
    """An element that feedgen cannot make, without those of its attributes that are empty.

    The root declares its prefix.
    """
    stated = "".join([f' {name}="{_escape_attribute(value)}"' for name, value in attributes.items() if value])
    return f"<{tag}{stated}>{_escape(text)}</{tag}>" if text else f"<{tag}{stated}/>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _escape_attribute(text: str) -> str:
    # XML 1.0 section 3.3.3: white space in an attribute is read as a space unless it is a character reference.
    return _escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def media_additions(content: Content) -> Iterator[str]:
    """Media RSS straight in the entry: feedgen's puts pictures that are no variants of one into one media:group."""
    for number, image in enumerate(content.images):
        width = str(image.width) if image.width > 0 else ""
        height = str(image.height) if image.height > 0 else ""
        yield addition("media:content", url=image.url, medium="image", width=width, height=height)
        if number == 0:
            yield addition("media:thumbnail", url=image.url, width=width, height=height)
    if content.video_url:
        yield addition("media:player", url=content.video_url)


def frame(shell: bytes, closing_tag: bytes) -> Frame:
    """The document without entries, cut before the tag that closes what holds them."""
    head, tag, rest = shell.rpartition(closing_tag)
    return Frame(head.rstrip() + b"\n", b"", tag + rest)


def written(root: etree._Element) -> bytes:
    """A whole small document."""
    text: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return text


def element(tag: str, parent: Any = None, text: str | None = None, /, **attributes: str) -> Any:
    """A new element, the last in its parent if it has one."""
    made = etree.Element(tag, attributes) if parent is None else etree.SubElement(parent, tag, attributes)
    made.text = text
    return made
