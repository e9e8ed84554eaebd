"""What every format says alike: texts fit to print, addresses, authors, contents, and how many pieces fit."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache, lru_cache, wraps
from html import escape
from operator import attrgetter
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar, cast

from aggregator.documents import archive_path
from aggregator.model import Content, Document, Entry, Feed, Provider
from aggregator.settings import FILE_NAMES, Format, OutputOptions, Site

S = TypeVar("S")
K = TypeVar("K")
T = TypeVar("T", bound=Any)

GENERATOR = "aggregator"  # without a version, so that an upgrade changes no bytes
MEDIA_TYPES: dict[Format, str] = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
}
KEPT_TOPICS = 4096
"""Of how many topics each format keeps what it says of one, and of KEPT_PROVIDERS providers likewise."""
KEPT_PROVIDERS = 1024
LONGEST_KEPT = 500
"""Of how many characters texts may be for what is made of them to be kept."""
ENTRY_BYTES = 2000
"""What an entry takes in memory besides its body, give or take."""

# XML 1.0 section 2.2, Char: all else, lone surrogates too, can stand in no document.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Scope(NamedTuple):
    """What the element of an entry depends on besides the entry."""

    base_url: str
    language: str
    full: bool


class Frame(NamedTuple):
    """A feed document without its entries: they go between `head` and `tail`."""

    head: bytes
    separator: bytes
    tail: bytes

    def room(self, max_bytes: int) -> int:
        """How many bytes the entries may take."""
        return max_bytes - len(self.head) - len(self.tail)


def kept(count: int) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Keeps what a function makes of texts, `count` times, unless they are long: a record may say anything."""

    def keep(make: Callable[..., str]) -> Callable[..., str]:
        known = lru_cache(maxsize=count)(make)

        @wraps(make)
        def made(*texts: str) -> str:
            return known(*texts) if sum(map(len, texts)) <= LONGEST_KEPT else make(*texts)

        return made

    return keep


def presentable(value: T) -> T:
    """The value with every text in it cut to XML 1.0 characters and every time to seconds, however deep they are."""
    return value if _is_plain(value) else cast("T", _presentable(value))


def _is_plain(value: Any) -> bool:
    """Whether a quick look shows that all is presentable: what Python calls printable is a part of what XML allows."""
    parts = [value]
    for part in parts:  # and those of the parts, which come behind them
        kind: Any = type(part)
        if kind is str:
            if not part.isprintable():
                return False
        elif kind is datetime:
            if part.microsecond:
                return False
        elif issubclass(kind, tuple):
            parts += part
        elif read := _reader_of(kind):
            parts += read(part)
    return True


def _presentable(value: Any) -> Any:
    kind: Any = type(value)
    if kind is str:
        return value if value.isprintable() else _NOT_XML.sub("", value)
    if kind is datetime:
        return value.replace(microsecond=0) if value.microsecond else value
    if issubclass(kind, tuple):
        made = tuple(map(_presentable, value))
        return value if made == value else made if kind is tuple else kind(*made)
    if read := _reader_of(kind):
        parts = read(value)
        made = tuple(map(_presentable, parts))
        return value if made == parts else kind(*made)
    return value


@cache
def _reader_of(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """What takes an instance of a type of ours apart, in the order instances are made with; of any other, none."""
    return attrgetter(*(part.name for part in fields(kind))) if is_dataclass(kind) else None


def presentable_entry(entry: Entry) -> Entry:
    """The entry fit to print; one whose title holds nothing printable is called by its address."""
    entry = presentable(entry)
    if entry.content.title.strip():
        return entry
    return entry._replace(content=entry.content._replace(title=entry.content.link or entry.id))


class Rendered(Generic[S, K, T]):
    """Entries as they were rendered, each in a scope and in some kinds: one stands in several feeds and outlives many
    of their versions.

    The latest used are kept, as long as they take some `max_bytes` of memory; of one entry in one scope, its latest
    state.
    """

    def __init__(self, render: Callable[[Entry, S, Sequence[K]], dict[K, T]], max_bytes: int) -> None:
        self._render, self._room = render, max_bytes
        self._kept: OrderedDict[tuple[str, S], tuple[Entry, dict[K, T], int]] = OrderedDict()
        self._lock = Lock()

    def get(self, entry: Entry, scope: S, kinds: Sequence[K]) -> Mapping[K, T]:
        """The entry in each of the kinds, and maybe in others; raises what its rendering does."""
        key = (entry.id, scope)
        with self._lock:
            known = self._kept.get(key)
            made = known[1] if known and (known[0] is entry or known[0] == entry) else {}
            if missing := [kind for kind in kinds if kind not in made]:
                made = made | self._render(entry, scope, missing)
                self._forget(key)
                self._keep(key, entry, made)
            else:
                self._kept.move_to_end(key)
        return made

    def _keep(self, key: tuple[str, S], entry: Entry, made: dict[K, T]) -> None:
        size = ENTRY_BYTES + len(entry.content.body_html) + sum(map(len, made.values()))
        self._kept[key] = entry, made, size
        self._room -= size
        while self._room < 0:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, S]) -> None:
        if known := self._kept.pop(key, None):
            self._room += known[2]


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


def filled(frame: Frame, entries: Iterable[bytes], tombstones: Iterable[bytes], max_bytes: int) -> bytes:
    """The whole document: all entries, and before them as many tombstones as `max_bytes` then leaves room for.

    The grammar of RFC 4287 has an entry behind all that is none.
    """
    pieces, stones = list(entries) or [b""], list(tombstones)
    room = frame.room(max_bytes) - sum(map(len, pieces)) - len(frame.separator) * (len(pieces) - 1)
    pieces[0] = b"".join((frame.head, *stones[: fitting(stones, b"", room)], pieces[0]))
    pieces[-1] += frame.tail
    return frame.separator.join(pieces)


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


def feed_links(feed: Feed, site: Site, options: OutputOptions, form: Format) -> Iterator[dict[str, str]]:
    """The links of what people subscribe to: itself, the hub, what it held before (RFC 5005 section 4), its page."""
    yield {"rel": "self", "href": feed_url(feed.slug, form, site), "type": MEDIA_TYPES[form]}
    if site.hub_url:
        yield {"rel": "hub", "href": site.hub_url}
    if feed.pages:
        yield _archive_link("prev-archive", feed.slug, feed.pages, site)
    yield _page_link(feed.slug, site, options)


def archive_links(slug: str, number: int, site: Site, options: OutputOptions) -> Iterator[dict[str, str]]:
    """The links of a page of the archive: itself, what people subscribe to, the page before it, the feed's page.

    There is no `next-archive`, or a page would change for its successor, and no hub, because it tells of what is new.
    """
    form = next(form for form in ("atom", "rss", "json") if form in options.formats)
    yield _archive_link("self", slug, number, site)
    yield {"rel": "current", "href": feed_url(slug, form, site), "type": MEDIA_TYPES[form]}
    if number > 1:
        yield _archive_link("prev-archive", slug, number - 1, site)
    yield _page_link(slug, site, options)


def _archive_link(rel: str, slug: str, number: int, site: Site) -> dict[str, str]:
    return {"rel": rel, "href": f"{site.base_url}{archive_path(slug, number)}", "type": MEDIA_TYPES["atom"]}


def _page_link(slug: str, site: Site, options: OutputOptions) -> dict[str, str]:
    return {"rel": "alternate", "href": page_url(slug, site, options), "type": "text/html"}


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

    Where the feed is not full, the summary stands for an entry that must have content. Without either it is empty: a
    title in its place would be a summary to readers of one format that those of another do not see.
    """
    body = content.body_html if scope.full else ""
    if not body and content.summary:
        body = f"<p>{escape(content.summary)}</p>"
    if scope.full and content.related:
        links = (f'<li><a href="{escape(one.url)}">{escape(one.title or one.url)}</a></li>' for one in content.related)
        body += f"<ul>{''.join(links)}</ul>"
    return body
