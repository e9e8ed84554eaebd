"""XML as text, for the entries of RSS and Atom.

Elements of an XML library take many times as long, and entries are most of what a build renders. Texts have only what
XML allows (see `model.Content`), so only markup characters are escaped here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from aggregator.model import Content, Entry, Image, Provider
from aggregator.render.content import authors_of


def escaped(text: str) -> str:
    """The text for element content. XML 1.0 section 2.11 reads a bare carriage return as a line feed."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def escaped_twice(text: str) -> str:
    """The text escaped twice, for elements that readers parse as HTML."""
    return text.replace("&", "&amp;amp;").replace("<", "&amp;lt;").replace(">", "&amp;gt;").replace("\r", "&#13;")


def attribute(name: str, value: str) -> str:
    """The attribute after a space; empty without a value."""
    return f" {name}={quoted(value)}" if value else ""


def quoted(text: str) -> str:
    """The text as a quoted attribute value."""
    # XML 1.0 section 3.3.3: white space in an attribute becomes a space, unless it is a character reference
    return '"' + escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;") + '"'


def optional_element(tag: str, text: str) -> str:
    """An element with the text; empty without a text."""
    return f"<{tag}>{escaped(text)}</{tag}>" if text else ""


def empty_element(tag: str, /, **attributes: str) -> str:
    """An element without content. Leaves out attributes without a value."""
    return f"<{tag}{''.join([attribute(name, value) for name, value in attributes.items()])}/>"


class SharedMarkup(NamedTuple):
    """Parts of an entry that formats share: RFC 3339 times (`published` may be empty), and XML."""

    authors: tuple[Provider, ...]
    published: str
    updated: str
    id: str
    title: str
    media: str


def shared_markup(entry: Entry) -> SharedMarkup:
    """The shared parts of an entry. Raises ValueError for a time without a zone."""
    content = entry.content
    return SharedMarkup(
        authors=authors_of(content),
        published=rfc3339_date(entry.published) if entry.published else "",
        updated=rfc3339_date(entry.updated),
        id=escaped(entry.id),
        title=escaped(content.title),
        media=_media(content),
    )


def _media(content: Content) -> str:
    """Media RSS elements. A media:group is only for variants of one picture."""
    parts = []
    for number, image in enumerate(content.images):
        url, size = attribute("url", image.url), _size(image)
        parts.append(f'<media:content{url} medium="image"{size}/>')
        if number == 0:
            parts.append(f"<media:thumbnail{url}{size}/>")
    if content.video_url:
        parts.append(empty_element("media:player", url=content.video_url))
    return "".join(parts)


def _size(image: Image) -> str:
    width = f' width="{image.width}"' if image.width > 0 else ""
    return f'{width} height="{image.height}"' if image.height > 0 else width


def rfc3339_date(time: datetime) -> str:
    """The time in whole seconds, as in "2020-05-20T12:00:00+00:00". Raises ValueError if it has no zone."""
    if time.tzinfo is None:
        raise ValueError(f"the time has no zone: {time}")
    return time.isoformat(timespec="seconds")


def rfc822_date(time: datetime) -> str:
    """The time as in "Wed, 20 May 2020 12:00:00 +0000" (RFC 822 with the year of RFC 1123), in every locale.

    Raises ValueError if it has no zone.
    """
    if time.tzinfo is None:
        raise ValueError(f"the time has no zone: {time}")
    time = time.astimezone(UTC)
    name, month, *_ = time.ctime().split()  # as in "Wed May 20 12:00:00 2020", in every locale
    return f"{name}, {time.day:02} {month} {time.year:04} {time.time().isoformat('seconds')} +0000"
