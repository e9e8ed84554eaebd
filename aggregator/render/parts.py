"""What every format says alike: texts fit to print, addresses, authors, contents, and how many pieces fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from functools import cache, lru_cache, wraps
from html import escape
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from aggregator.model import FILE_NAMES, Content, Document, Entry, Format, OutputOptions, Provider, Site

T = TypeVar("T")
P = ParamSpec("P")

GENERATOR = "aggregator"  # without a version, so that an upgrade changes no bytes
MEDIA_TYPES: dict[Format, str] = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
}
PAGE = "index.html"
KEPT_ENTRIES = 4096
LONG_BODY = 8192

# XML 1.0 section 2.2, Char: all else, lone surrogates too, can stand in no document.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Scope(NamedTuple):
    """What the element of an entry depends on besides the entry."""

    base_url: str
    language: str
    full: bool


class Frame(NamedTuple):
    """A feed document without its entries: they go between `head` and `tail`.

    `trailers` follow the entries as far as there is room.
    """

    head: bytes
    separator: bytes
    tail: bytes
    trailers: tuple[bytes, ...] = ()


def presentable(value: T) -> T:
    """The value with every text in it cut to XML 1.0 characters and every time to seconds, however deep they are."""
    return cast("T", _presentable(value))


def _presentable(value: Any) -> Any:
    kind: Any = type(value)
    if kind is str:
        return _NOT_XML.sub("", value)
    if kind is datetime:
        return value.replace(microsecond=0)
    if kind is tuple:
        return tuple(map(_presentable, value))
    if names := _field_names(kind):
        return kind(*[_presentable(getattr(value, name)) for name in names])
    return value


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    """The fields of a type of ours, in the order its instances are made with; of any other, none."""
    return tuple(part.name for part in fields(kind)) if is_dataclass(kind) else ()


def presentable_entry(entry: Entry) -> Entry:
    """The entry fit to print; one whose title holds nothing printable is called by its address."""
    entry = presentable(entry)
    if entry.content.title.strip():
        return entry
    return replace(entry, content=replace(entry.content, title=entry.content.link or entry.id))


def remembered(render: Callable[Concatenate[Entry, P], T]) -> Callable[Concatenate[Entry, P], T]:
    """The function with its latest results kept: an entry stands in several feeds and outlives many of their versions.

    An entry with a long body is made anew each time, so that what is kept stays within some 100 MB.
    """
    kept = cast("Callable[Concatenate[Entry, P], T]", lru_cache(maxsize=KEPT_ENTRIES)(render))

    @wraps(render)
    def choose(entry: Entry, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return (render if len(entry.content.body_html) > LONG_BODY else kept)(entry, *args, **kwargs)

    return choose


def fitting(pieces: Iterable[bytes], separator: bytes, room: int) -> int:
    """How many of the pieces, from the first on, take at most `room` bytes when joined."""
    room += len(separator)
    count = 0
    for piece in pieces:
        room -= len(piece) + len(separator)
        if room < 0:
            break
        count += 1
    return count


def filled(frame: Frame, entries: Iterable[bytes], max_bytes: int) -> bytes:
    """The whole document, with as many trailers as `max_bytes` allows; entries are never left out here."""
    body = frame.head + frame.separator.join(entries)
    count = fitting(frame.trailers, b"", max_bytes - len(body) - len(frame.tail))
    return body + b"".join(frame.trailers[:count]) + frame.tail


def document(path: str, media_type: str, body: bytes) -> Document:
    """A document in UTF-8 whose type says so, except JSON, which has no such parameter (RFC 8259 section 11)."""
    charset = "" if media_type.endswith("json") else "; charset=utf-8"
    return Document(path, media_type + charset, body)


def feed_url(slug: str, form: Format, site: Site) -> str:
    """The address people subscribe to."""
    return f"{site.base_url}{slug}/{FILE_NAMES[form]}"


def page_url(slug: str, site: Site, options: OutputOptions) -> str:
    """The address of the feed's page, or of the site when there are no pages."""
    return f"{site.base_url}{slug}/" if options.pages else site.base_url


def author_name(site: Site) -> str:
    """Who answers for the feeds."""
    return site.author or site.title


def provider_of(content: Content) -> Provider | None:
    """The provider, if it has a name to show."""
    return content.provider if content.provider and content.provider.name else None


def provider_url(provider: Provider) -> str:
    """The provider's address, empty when its domain is not known."""
    return f"https://{provider.domain}/" if provider.domain else ""


def foreign_language(content: Content, scope: Scope) -> str:
    """The language of the entry if the feed around it is in another, else empty."""
    return content.language if content.language != scope.language else ""


def content_html(content: Content, scope: Scope) -> str:
    """The body, or the summary in its place, as HTML; a full one ends with the list of related stories.

    Where the feed is not full, the summary stands for an entry that must have content.
    """
    body = content.body_html if scope.full else ""
    if not body and content.summary:
        body = f"<p>{escape(content.summary)}</p>"
    if scope.full and content.related:
        links = (f'<li><a href="{escape(one.url)}">{escape(one.title or one.url)}</a></li>' for one in content.related)
        body += f"<ul>{''.join(links)}</ul>"
    return body
