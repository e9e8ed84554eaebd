"""The home of feedgen and lxml: adds elements that feedgen lacks, and wraps errors.

feedgen writes documents without entries. Entries are inserted as text, because building them as objects takes many
times as long for the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import feedgen.entry
import feedgen.feed
from feedgen.ext.base import BaseExtension
from lxml import etree

from aggregator.documents import FEED_STYLE
from aggregator.errors import RenderError
from aggregator.model import Feed
from aggregator.render.assembly import Frame
from aggregator.render.content import GENERATOR
from aggregator.render.markup import quoted, rfc822_date
from aggregator.settings import Format, Site

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
HISTORY = "{http://purl.org/syndication/history/1.0}"
MEDIA = "{http://search.yahoo.com/mrss/}"

# namespaces of every document, so that cached entries fit into all
_PREFIXES: dict[Format, dict[str, str]] = {
    "rss": {"atom": ATOM[1:-1], "content": CONTENT[1:-1], "dc": DC[1:-1], "media": MEDIA[1:-1]},
    "atom": {"media": MEDIA[1:-1]},
}

Extend = Callable[[Any], None]
"""Adds elements that feedgen lacks to an element of feedgen."""


# feedgen's version switches the locale of the whole process, which other threads would see
feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = rfc822_date


class _FeedAdditions(BaseExtension):  # type: ignore[misc]
    """feedgen's hook for feeds: namespaces, and elements after its own."""

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
    """Wraps errors of feedgen and lxml in a RenderError that names the subject."""
    try:
        yield
    except (ValueError, TypeError, KeyError, etree.LxmlError) as error:
        raise RenderError(f"{subject} cannot be written: {error}") from error


def new_feed(feed: Feed, site: Site, form: Format, links: Iterable[dict[str, str]], extend: Extend) -> Any:
    """A FeedGenerator with what RSS and Atom share. feedgen uses the last link as the link of an RSS channel."""
    made = feedgen.feed.FeedGenerator()
    made.register_extension("additions", partial(_FeedAdditions, _PREFIXES[form], extend))
    made.title(feed.title)
    # feedgen's default is the current time
    made.updated(feed.updated.replace(microsecond=0))
    made.language(feed.language)
    made.generator(GENERATOR)
    made.rights(site.copyright)
    made.link(list(links))
    return made


def mark_as_archive(feed: etree._Element) -> None:
    """Adds `fh:archive` (RFC 5005 section 4)."""
    etree.SubElement(feed, f"{HISTORY}archive", nsmap={"fh": HISTORY[1:-1]})


def frame(shell: bytes, closing_tag: bytes, site: Site) -> Frame:
    """The document without entries, split before the closing tag of their parent, with our stylesheet for browsers
    (https://www.w3.org/TR/xml-stylesheet/)."""
    head, tag, rest = shell.rpartition(closing_tag)
    declaration, end, root = head.partition(b"?>\n")
    style = f'<?xml-stylesheet type="text/css" href={quoted(f"{site.base_url}{FEED_STYLE}")}?>\n'.encode()
    return Frame(declaration + end + style + root.rstrip() + b"\n", b"", tag + rest)


def document_bytes(root: etree._Element) -> bytes:
    """The element as a document."""
    text: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return text


def element(tag: str, parent: Any = None, text: str | None = None, /, nsmap: Any = None, **attributes: str) -> Any:
    """A new element, appended to its parent if it has one."""
    made = etree.Element(tag, attributes, nsmap=nsmap) if parent is None else etree.SubElement(parent, tag, attributes)
    made.text = text
    return made
