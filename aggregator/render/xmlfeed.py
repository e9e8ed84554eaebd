"""The one home of feedgen and lxml: what their elements cannot say is added here, what they raise is wrapped here.

feedgen makes the channel of a document, and entries written as text are put into it: building whole documents from
entry objects costs many times as much, for the same bytes.
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

from aggregator.errors import RenderError
from aggregator.model import Feed
from aggregator.render.markup import rfc822_date
from aggregator.render.parts import GENERATOR, Frame
from aggregator.settings import Format, Site

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
HISTORY = "{http://purl.org/syndication/history/1.0}"
MEDIA = "{http://search.yahoo.com/mrss/}"

# What the root of every document declares, used or not: then an entry fits into any of them.
_PREFIXES: dict[Format, dict[str, str]] = {
    "rss": {"atom": ATOM[1:-1], "content": CONTENT[1:-1], "dc": DC[1:-1], "media": MEDIA[1:-1]},
    "atom": {"media": MEDIA[1:-1]},
}

Extend = Callable[[Any], None]
"""Adds elements that feedgen cannot make to one that it has made."""


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
